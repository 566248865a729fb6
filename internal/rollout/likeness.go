package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// inside is what tells one digest of a base from another, as far as that is known.
type inside struct {
	Fingerprint string
	Packages    map[string]string // version, by name; nil: not known
	Recipe      string            // empty: we did not build it
	Parents     map[string]string // digest, by name in the graph
}

// like says what a candidate has of that which a bad digest brought, when it took the place of the one before: the bad thing
// may be in it. It is empty only when the candidate has nothing of it, which is what a fix looks like: another version of each
// package that came in, another recipe where that was what changed, other parents. Where nothing is known that the bad digest
// brought, nothing tells the two apart.
func like(candidate, bad, before inside) string {
	if candidate.Fingerprint != "" && candidate.Fingerprint == bad.Fingerprint {
		return "its content is that of"
	}
	if candidate.Packages == nil || bad.Packages == nil {
		return "what is in one of them is not known, so that nobody can tell it from"
	}
	shared, brought := []string{}, 0
	note := func(same bool, format string, a ...any) {
		if brought++; same {
			shared = append(shared, fmt.Sprintf(format, a...))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(bad.Packages)) {
		if version := bad.Packages[name]; before.Packages[name] != version {
			note(candidate.Packages[name] == version, "%s %s", name, version)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before.Packages)) {
		if _, kept := bad.Packages[name]; !kept {
			_, has := candidate.Packages[name]
			note(!has, "no %s", name)
		}
	}
	if bad.Recipe != "" && bad.Recipe != before.Recipe {
		note(candidate.Recipe == bad.Recipe, "the same recipe")
	}
	for _, name := range slices.Sorted(maps.Keys(bad.Parents)) {
		if digest := bad.Parents[name]; before.Parents[name] != digest {
			note(candidate.Parents[name] == digest, "the same %s", name)
		}
	}
	switch {
	case brought == 0:
		return "nothing that is known tells it from"
	case len(shared) == 0:
		return ""
	}
	const told = 3
	s := "it has " + strings.Join(shared[:min(told, len(shared))], ", ")
	if n := len(shared) - told; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s + ", as has"
}
