package dockerfile

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// What BuildKit may be asked about a file: it expands the variables of every instruction and copies the environment for
// each, so that a few lines of ENV could take all memory there is. The largest of real files stay far below.
const (
	maxStages       = 250
	maxInstructions = 1000
	maxExpanded     = 16 << 20 // bytes
)

// bill adds up, from above, what BuildKit has to write for a file.
type bill struct {
	file         *File
	instructions int
	expanded     int
}

// environment holds the length of each variable of a stage, and of all together.
type environment struct {
	lengths map[string]int
	total   int
}

// afford returns an error for a file that would cost BuildKit too much to convert.
func (f *File) afford(triggers Triggers) error {
	if n := len(f.Stages); n > maxStages {
		return fmt.Errorf("%s: %d stages are too many, the most is %d", f.Path, n, maxStages)
	}
	b := &bill{file: f}
	done := make([]environment, len(f.Stages))
	for i, s := range f.Stages {
		env := environment{lengths: map[string]int{}}
		fired, err := f.fired(i, triggers)
		if err != nil {
			return err
		}
		if s.Parent >= 0 {
			env = environment{maps.Clone(done[s.Parent].lengths), done[s.Parent].total}
		}
		for _, n := range slices.Concat(fired, f.nodes[i]) {
			b.add(n, &env)
			switch {
			case b.instructions > maxInstructions:
				return fmt.Errorf("%s: more than %d instructions are too many", f.Path, maxInstructions)
			case b.expanded > maxExpanded:
				return fmt.Errorf("%s:%d: with all variables expanded, the instructions up to here are longer than %d MiB", f.Path, n.StartLine, maxExpanded>>20)
			}
		}
		done[i] = env
	}
	return nil
}

// fired are the instructions that what a stage is FROM adds to it.
func (f *File) fired(stage int, triggers Triggers) ([]*parser.Node, error) {
	var out []*parser.Node
	if parent := f.Stages[stage].Parent; parent >= 0 {
		for _, n := range f.nodes[parent] {
			if strings.EqualFold(n.Value, command.Onbuild) && n.Next != nil {
				out = append(out, n.Next.Children...)
			}
		}
		return out, nil
	}
	for _, r := range f.References {
		if r.Role != From || r.StageIndex != stage {
			continue
		}
		for _, on := range triggers.of(whole(r.Name)) {
			if len(on) > maxSize {
				return nil, fmt.Errorf("%s: an ONBUILD of %s is too long", f.Path, r.Name)
			}
			parsed, err := parser.Parse(strings.NewReader(on))
			if err != nil {
				return nil, fmt.Errorf("%s:%d: ONBUILD of %s: %w", f.Path, r.Line, r.Name, err)
			}
			out = append(out, parsed.AST.Children...)
		}
	}
	return out, nil
}

// add takes one instruction, and what it sets.
func (b *bill) add(n *parser.Node, env *environment) {
	b.instructions++
	name := strings.ToLower(n.Value)
	var words []string
	for w := n.Next; w != nil; w = w.Next {
		words = append(words, w.Value)
	}
	if name == command.Onbuild {
		words = []string{n.Original}
	}
	for _, w := range slices.Concat(words, n.Flags) {
		b.expand(w, env)
	}
	for _, h := range n.Heredocs {
		b.expand(h.Content, env)
	}
	switch name {
	case command.Env:
		for i := 0; i+1 < len(words); i += 3 { // name, value, what stands between
			env.set(words[i], b.expand(words[i+1], env))
		}
	case command.Arg:
		for _, w := range words {
			key, value, _ := strings.Cut(w, "=")
			given := len(b.file.args[key])
			if global := b.file.global.lookup(key); global != nil {
				given = max(given, len(global.value))
			}
			env.set(key, max(given, b.expand(value, env)))
		}
	}
}

func (e *environment) set(key string, length int) {
	if _, ok := e.lengths[key]; !ok {
		e.total += len(key)
	}
	e.total += length - e.lengths[key]
	e.lengths[key] = length
}

// variable matches where a word takes a variable; a slash behind the name replaces parts of its value.
var variable = regexp.MustCompile(`\$\{?([A-Za-z_][A-Za-z0-9_]*)(/?)`)

// expand returns the most that a word can become, and adds it and the environment that BuildKit looks it up in.
func (b *bill) expand(word string, env *environment) int {
	n := len(word)
	for _, m := range variable.FindAllStringSubmatch(word, -1) {
		value := env.lengths[m[1]]
		if m[2] != "" {
			value *= 1 + len(word)
		}
		if n += value - len(m[0]); n > maxExpanded {
			break
		}
	}
	b.expanded += n + env.total
	return n
}
