package buildkit

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// places are the instructions of a Dockerfile that become steps, by their stage's name.
type places map[string]*stagePlaces

// stagePlaces are those of one stage, in order. BuildKit counts some that become none.
type stagePlaces struct {
	counted int
	steps   []placed
}

// placed is one instruction.
type placed struct {
	keyword string
	line    int
}

// newPlaces reads a Dockerfile; of one that cannot be read it knows nothing.
func newPlaces(dockerfile []byte) places {
	f, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil {
		return nil
	}
	stages, _, err := instructions.Parse(f.AST, linter.New(&linter.Config{SkipAll: true})) // it needs one for a "# check="
	if err != nil {
		return nil
	}
	all := places{}
	for i, s := range stages {
		here := &stagePlaces{}
		if !named(stages[:i], s.BaseName) && s.BaseName != "scratch" {
			here.add("FROM", s.Location)
		}
		for _, c := range s.Commands {
			switch c := c.(type) {
			case *instructions.AddCommand, *instructions.CopyCommand, *instructions.RunCommand:
				here.add(strings.ToUpper(c.Name()), c.Location())
			case *instructions.WorkdirCommand:
				if c.Path == "/" { // it is there already
					here.counted++
				} else {
					here.add("WORKDIR", c.Location())
				}
			}
		}
		all.put(i, s.Name, here)
	}
	return all
}

func named(stages []instructions.Stage, name string) bool {
	for _, s := range stages {
		if strings.EqualFold(s.Name, name) {
			return true
		}
	}
	return false
}

// put names a stage as BuildKit does, which leaves the name out where there is one stage only.
func (p places) put(i int, name string, s *stagePlaces) {
	if name == "" {
		name = fmt.Sprintf("stage-%d", i)
	}
	if p[name] != nil {
		s = &stagePlaces{} // of two stages of one name, steps do not say which
	}
	p[name] = s
	if i == 0 {
		p[""] = s
	}
}

func (s *stagePlaces) add(keyword string, at []parser.Range) {
	s.counted++
	if len(at) > 0 {
		s.steps = append(s.steps, placed{keyword, at[0].Start.Line})
	}
}

// stepName is "[build 3/4] RUN make".
var stepName = regexp.MustCompile(`^\[(?:(\S+) )? *(\d+)/(\d+)\] ([A-Z]+)\b`)

// line is where the Dockerfile has the step of a name; 0 is not known. What ONBUILD brings comes first and is counted, too.
func (p places) line(step string) int {
	m := stepName.FindStringSubmatch(step)
	if m == nil || p[m[1]] == nil {
		return 0
	}
	s := p[m[1]]
	n, _ := strconv.Atoi(m[2]) // of digits; too many of them are no place either
	total, _ := strconv.Atoi(m[3])
	if brought := total - s.counted; m[4] != "FROM" {
		n -= brought
	}
	if n < 1 || n > len(s.steps) || s.steps[n-1].keyword != m[4] {
		return 0
	}
	return s.steps[n-1].line
}
