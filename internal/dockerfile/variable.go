package dockerfile

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// Variables are resolved with bounds: a few lines of ARG can double a value at each step.
const (
	maxArgs  = 1000 // before the first FROM
	maxValue = 4096 // bytes of an ARG's default, a FROM, or what becomes of them
)

// targetStage is the argument that names the stage which is built, targetPlatform the one that names for what.
const (
	targetStage    = "TARGETSTAGE"
	targetPlatform = "TARGETPLATFORM"
)

// defaultPlatform is what is built for, and on, when nothing else is said.
const defaultPlatform = "linux/amd64"

// Platform is the one that is built for, spelt as that of each Reference.
func (f *File) Platform() string { return platform(f.platform()) }

// platform is the platform that is built for, as given.
func (f *File) platform() string { return cmp.Or(f.args[targetPlatform], defaultPlatform) }

// platform spells a platform as BuildKit does; what it would refuse stays as it is.
func platform(s string) string {
	p, err := platforms.Parse(s)
	if err != nil {
		return s
	}
	return platforms.Format(p)
}

// scope is the ARGs before the first FROM, each with those before it.
type scope struct {
	before *scope
	key    string
	value  string
	set    bool

	given    bool // by a build argument: the default does not count
	platform bool // by BuildKit
	raw      text // the default as written, located
	located  bool
}

// Get returns the value of a variable, as the shell package wants it.
func (s *scope) Get(key string) (string, bool) {
	if a := s.lookup(key); a != nil {
		return a.value, true
	}
	return "", false
}

// Keys returns the names of all variables.
func (s *scope) Keys() []string {
	keys := map[string]bool{}
	for ; s != nil; s = s.before {
		keys[s.key] = true
	}
	return slices.Sorted(maps.Keys(keys))
}

// lookup returns the last ARG of that name which has a value.
func (s *scope) lookup(key string) *scope {
	for ; s != nil; s = s.before {
		if s.key == key && s.set {
			return s
		}
	}
	return nil
}

func (s *scope) declared(key string) bool {
	for ; s != nil; s = s.before {
		if s.key == key && !s.platform {
			return true
		}
	}
	return false
}

// builderArgs are the arguments that BuildKit sets by itself when it builds stage, for linux/amd64 unless args say
// otherwise.
func builderArgs(args map[string]string, stage string) *scope {
	var s *scope
	add := func(key, value string) {
		if v, ok := args[key]; ok {
			value = v
		}
		s = &scope{before: s, key: key, value: value, set: true, platform: true}
	}
	for _, side := range []string{"BUILD", "TARGET"} {
		add(side+"PLATFORM", defaultPlatform)
		os, arch, _ := strings.Cut(s.value, "/")
		arch, variant, _ := strings.Cut(arch, "/")
		add(side+"OS", os)
		add(side+"OSVERSION", "")
		add(side+"ARCH", arch)
		add(side+"VARIANT", variant)
	}
	add(targetStage, cmp.Or(stage, "default"))
	return s
}

// resolve expands the variables of a word as BuildKit does.
func (s *scope) resolve(lex *shell.Lex, word string) (string, error) {
	if len(word) > maxValue {
		return "", fmt.Errorf("a word of %d bytes is too long", len(word))
	}
	v, _, err := lex.ProcessWord(word, s)
	if err == nil && len(v) > maxValue {
		err = fmt.Errorf("a value of %d bytes is too long", len(v))
	}
	return v, err
}

// slot is where a reference can be changed: the bytes from start to end, which follow prefix in the resolved name.
type slot struct {
	start, end int
	prefix     string
	arg        string // the ARG that holds the bytes, if one does
	why        string // it cannot be changed
}

// expansion is one variable of a word, from start to end: $NAME, ${NAME}, or ${NAME} with an operator and the text behind
// it, which is from textStart to textEnd.
type expansion struct {
	start, end         int
	name               string
	operator           string // - + or ?, with a colon before it when empty counts as unset
	textStart, textEnd int
}

// opening matches $NAME (group 1), or ${NAME (2) with an operator that chooses between texts (3).
var opening = regexp.MustCompile(`^\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(:?[-+?])?)`)

// expansions returns the variables of a word; false when there is more to it than those and text, such as quotes or an
// operator that computes a value.
func expansions(word string) ([]expansion, bool) {
	var out []expansion
	for i := 0; i < len(word); {
		switch c := word[i]; {
		case c == '$':
			e, ok := expansionAt(word, i)
			if !ok {
				return nil, false
			}
			out = append(out, e)
			i = e.end
		case strings.IndexByte(`"'{}`, c) >= 0:
			return nil, false
		default:
			i++
		}
	}
	return out, true
}

// expansionAt reads the variable that begins at an offset. The text behind an operator may hold variables itself.
func expansionAt(word string, at int) (expansion, bool) {
	m := opening.FindStringSubmatch(word[at:])
	if m == nil {
		return expansion{}, false
	}
	e := expansion{start: at, end: at + len(m[0]), name: m[1] + m[2], operator: m[3]}
	if m[1] != "" {
		return e, true
	}
	e.textStart = e.end
	depth := 1
	for i := e.textStart; i < len(word); i++ {
		switch {
		case strings.HasPrefix(word[i:], "${"):
			depth++
		case word[i] == '}':
			depth--
		}
		if depth == 0 {
			e.textEnd, e.end = i, i+1
			return e, e.operator != "" || e.textEnd == e.textStart
		}
	}
	return expansion{}, false
}

// find returns the slot of a word: its last part, if that is written in one piece, or the default of the ARG that gives
// the last part. inStages are the global ARGs that stages use too: changing a part of a reference there could change
// more than the reference.
func (s *scope) find(lex *shell.Lex, escape byte, word text, inStages map[string]bool) slot {
	n := len(word.s)
	literal := false
	if n >= 2 && word.s[0] == word.s[n-1] && (word.s[0] == '"' || word.s[0] == '\'') {
		literal = word.s[0] == '\''
		word = word.slice(1, n-1)
	}
	if strings.IndexByte(word.s, escape) >= 0 {
		return slot{why: "it is written with escapes"}
	}
	variables, plain := []expansion(nil), !strings.Contains(word.s, "'")
	if !literal {
		variables, plain = expansions(word.s)
	}
	switch {
	case !plain:
		return slot{why: "it is written with quotes or with a modified variable"}
	case len(variables) == 0:
		return located(word)
	}
	last := variables[len(variables)-1]
	if last.end < len(word.s) { // text follows
		head, err := s.resolve(lex, word.s[:last.end])
		if err != nil {
			return slot{why: err.Error()}
		}
		sl := located(word.slice(last.end, len(word.s)))
		sl.prefix = head
		return sl
	}
	head, err := s.resolve(lex, word.s[:last.start])
	if err != nil {
		return slot{why: err.Error()}
	}
	if slices.ContainsFunc(variables[:len(variables)-1], func(e expansion) bool { return e.name == last.name }) {
		return slot{why: fmt.Sprintf("%s gives another part of it too", last.name)}
	}
	sl := s.held(lex, escape, word, last, head != "", inStages)
	sl.prefix = head + sl.prefix
	return sl
}

// held returns the slot in what the variable e of word stands for: the text behind its operator, or the default of the
// ARG that gives its value.
func (s *scope) held(lex *shell.Lex, escape byte, word text, e expansion, part bool, inStages map[string]bool) slot {
	arg := s.lookup(e.name)
	set := arg != nil && (arg.value != "" || !strings.HasPrefix(e.operator, ":"))
	switch alternative := strings.HasSuffix(e.operator, "+"); {
	case alternative && !set:
		return slot{why: fmt.Sprintf("it ends in an alternative for %s, which is not set", e.name)}
	case alternative, strings.HasSuffix(e.operator, "-") && !set:
		return s.find(lex, escape, word.slice(e.textStart, e.textEnd), inStages)
	}
	switch {
	case arg == nil && s.declared(e.name):
		return slot{why: fmt.Sprintf("ARG %s has no default", e.name)}
	case arg == nil:
		return slot{why: fmt.Sprintf("there is no ARG %s before the first FROM", e.name)}
	case arg.platform:
		return slot{why: fmt.Sprintf("it depends on %s, which the builder sets", e.name)}
	case arg.given:
		return slot{why: fmt.Sprintf("build argument %s is given from outside and wins over the Dockerfile", e.name)}
	case !arg.located || len(arg.raw.s) == 0:
		return slot{why: fmt.Sprintf("the default of ARG %s is empty or could not be located", e.name)}
	case part && inStages[e.name]:
		return slot{why: fmt.Sprintf("ARG %s gives a part of it and is used inside stages too", e.name)}
	}
	sl := arg.before.find(lex, escape, arg.raw, inStages)
	if sl.arg == "" {
		sl.arg = e.name
	}
	return sl
}

func located(t text) slot {
	start, end, ok := t.span()
	if !ok {
		return slot{why: "it is broken by a line end, a quote or an escape"}
	}
	return slot{start: start, end: end}
}
