package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
)

// pair is a vulnerability of a package.
type pair struct {
	identity
	vulnerability string
}

func (p pair) String() string { return p.identity.String() + " " + p.vulnerability }

type pairs map[pair]bool

// pairsOf are findings, each package named as in inventories.
func pairsOf(findings []policy.Finding) pairs {
	all := pairs{}
	for _, f := range findings {
		version := strings.TrimPrefix(f.Version, "0:")
		if f.Type == inventory.Golang {
			version = strings.TrimPrefix(version, "v")
		}
		all[pair{identity{f.Type, f.Package, version}, strings.ToUpper(f.ID)}] = true
	}
	return all
}

// compareFindings prints how many pairs of each type all found, by the records that were given and those that were made, and those that not all did.
func compareFindings(w io.Writer, name string, found map[string]pairs) {
	who := slices.Sorted(maps.Keys(found))
	fmt.Fprintf(w, "\n# %s: findings\n", name)
	kinds, union := map[string]map[string]int{}, pairs{}
	for _, one := range who {
		for p := range found[one] {
			kind := p.kind + ", given"
			if strings.HasPrefix(p.vulnerability, madeID) {
				kind = p.kind + ", made"
			}
			if kinds[kind] == nil {
				kinds[kind] = map[string]int{}
			}
			kinds[kind][one]++
			union[p] = true
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Fprintf(w, "%-14s", kind)
		for _, one := range who {
			fmt.Fprintf(w, " %s %d", one, kinds[kind][one])
		}
		fmt.Fprintln(w)
	}
	for _, p := range slices.SortedFunc(maps.Keys(union), func(a, b pair) int { return strings.Compare(a.String(), b.String()) }) {
		only := slices.DeleteFunc(slices.Clone(who), func(one string) bool { return !found[one][p] })
		if len(only) < len(who) {
			fmt.Fprintf(w, "  %s: only %s\n", p, strings.Join(only, ", "))
		}
	}
}
