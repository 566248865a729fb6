package dockerfile

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// Variables are resolved with bounds: a few lines of ARG can double a value at each step.
const (
	maxArgs  = 1000 // before the first FROM
	maxValue = 4096 // bytes of an ARG's default, a FROM, or what becomes of them
)

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

// platformArgs are the arguments that BuildKit sets by itself, for linux/amd64 unless args say otherwise.
func platformArgs(args map[string]string) *scope {
	var s *scope
	add := func(key, value string) {
		if v, ok := args[key]; ok {
			value = v
		}
		s = &scope{before: s, key: key, value: value, set: true, platform: true}
	}
	for _, side := range []string{"BUILD", "TARGET"} {
		add(side+"PLATFORM", "linux/amd64")
		os, arch, _ := strings.Cut(s.value, "/")
		arch, variant, _ := strings.Cut(arch, "/")
		add(side+"OS", os)
		add(side+"OSVERSION", "")
		add(side+"ARCH", arch)
		add(side+"VARIANT", variant)
	}
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

// variable matches $NAME (group 4) and ${NAME} (1), the latter also with a default (2 is - or :-, 3 the text).
var (
	variable   = regexp.MustCompile(`\$(?:\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?-)([^${}]*))?\}|([A-Za-z_][A-Za-z0-9_]*))`)
	otherChars = regexp.MustCompile(`[$"'{}]`)
)

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
	variables := variable.FindAllStringSubmatchIndex(word.s, -1)
	if literal {
		variables = nil
	}
	if plain := variable.ReplaceAllString(word.s, ""); !literal && otherChars.MatchString(plain) || literal && strings.Contains(plain, "'") {
		return slot{why: "it is written with quotes or with a modified variable"}
	}
	if len(variables) == 0 {
		return located(word)
	}
	last := variables[len(variables)-1]
	if last[1] < len(word.s) { // text follows
		head, err := s.resolve(lex, word.s[:last[1]])
		if err != nil {
			return slot{why: err.Error()}
		}
		sl := located(word.slice(last[1], len(word.s)))
		sl.prefix = head
		return sl
	}
	head, err := s.resolve(lex, word.s[:last[0]])
	if err != nil {
		return slot{why: err.Error()}
	}
	sl := s.held(lex, escape, word, last, head != "", inStages)
	sl.prefix = head + sl.prefix
	return sl
}

// held returns the slot in what the variable m of word stands for.
func (s *scope) held(lex *shell.Lex, escape byte, word text, m []int, part bool, inStages map[string]bool) slot {
	name := group(word.s, m, 1) + group(word.s, m, 4)
	arg := s.lookup(name)
	modifier := group(word.s, m, 2)
	if modifier != "" && arg == nil || modifier == ":-" && arg.value == "" {
		return s.find(lex, escape, word.slice(m[2*3], m[2*3+1]), inStages) // the text behind the modifier
	}
	switch {
	case arg == nil && s.declared(name):
		return slot{why: fmt.Sprintf("ARG %s has no default", name)}
	case arg == nil:
		return slot{why: fmt.Sprintf("there is no ARG %s before the first FROM", name)}
	case arg.platform:
		return slot{why: fmt.Sprintf("it depends on %s, which the builder sets", name)}
	case arg.given:
		return slot{why: fmt.Sprintf("build argument %s is given from outside and wins over the Dockerfile", name)}
	case !arg.located || len(arg.raw.s) == 0:
		return slot{why: fmt.Sprintf("the default of ARG %s is empty or could not be located", name)}
	case part && inStages[name]:
		return slot{why: fmt.Sprintf("ARG %s gives a part of it and is used inside stages too", name)}
	}
	sl := arg.before.find(lex, escape, arg.raw, inStages)
	if sl.arg == "" {
		sl.arg = name
	}
	return sl
}

// group returns a group of a match, "" when it took no part.
func group(s string, m []int, n int) string {
	if m[2*n] < 0 {
		return ""
	}
	return s[m[2*n]:m[2*n+1]]
}

func located(t text) slot {
	start, end, ok := t.span()
	if !ok {
		return slot{why: "it is broken by a line end, a quote or an escape"}
	}
	return slot{start: start, end: end}
}
