package secret

import (
	"fmt"
	"strings"
)

// Titles are how the rules are called, a line each.
func (f *Finder) Titles() string {
	var all strings.Builder
	for i, r := range f.rules {
		fmt.Fprintf(&all, "%-45s %s\n", r.RuleID, f.titles[i])
	}
	for _, p := range places {
		fmt.Fprintf(&all, "%-45s %s\n", p.rule, p.title)
	}
	return all.String()
}

// WithoutReaches tries each rule on all of a window.
func (f *Finder) WithoutReaches() *Finder {
	g := *f
	g.reaches = nil
	return &g
}
