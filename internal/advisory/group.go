package advisory

import (
	"cmp"
	"slices"
	"strings"

	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
)

// group is one vulnerability of one package, as all records tell it.
type group struct {
	id   string
	hits []hit
}

// grouped puts the records of one vulnerability together, for each package. One that gathers several is part of each.
func grouped(hits []hit) []group {
	type place struct{ family, name, version, arch, path string }
	var order []place
	by := map[place][]hit{}
	for _, h := range hits {
		p := place{typeOf(h.p), h.p.Name, h.p.Version, h.p.Architecture, h.p.Path}
		if by[p] == nil {
			order = append(order, p)
		}
		by[p] = append(by[p], h)
	}
	var out []group
	for _, p := range order {
		out = append(out, vulnerabilities(by[p])...)
	}
	return out
}

// vulnerabilities groups the records that hit one package by CVE, and those of none by the names that they share.
func vulnerabilities(hits []hit) []group {
	names := map[string]string{} // of a record without a CVE: what it is called by
	called := func(n string) string {
		for names[n] != "" && names[n] != n {
			n = names[n]
		}
		return n
	}
	for _, h := range hits {
		first := ""
		for _, n := range slices.Concat([]string{h.advisory.ID}, h.advisory.Aliases) {
			if isCVE(n) {
				continue
			}
			if c := called(n); first == "" {
				first = c
			} else if c != first {
				names[c] = first
			}
		}
	}
	known := map[string][]string{} // the CVEs of what is called so
	for _, h := range hits {
		c := called(h.advisory.ID)
		known[c] = unique(append(known[c], cves(h.advisory)...))
	}
	by := map[string][]hit{}
	for _, h := range hits {
		c := called(h.advisory.ID)
		ids := cves(h.advisory)
		if len(ids) == 0 {
			ids = known[c] // another record says which they are
		}
		if len(ids) == 0 {
			ids = []string{c}
		}
		for _, id := range ids {
			by[id] = append(by[id], h)
		}
	}
	out := make([]group, 0, len(by))
	for id, some := range by {
		out = append(out, group{id, some})
	}
	slices.SortFunc(out, func(a, b group) int { return strings.Compare(a.id, b.id) })
	return out
}

// finding is the group as policy judges it, without what lists say of it.
func (g group) finding(os inventory.OS) policy.Finding {
	p := g.hits[0].p
	f := policy.Finding{Kind: policy.Vulnerability, ID: g.id, Type: typeOf(p), Package: p.Name, Version: p.Version, Path: p.Path, Layer: p.Layer, FoundBy: []string{FoundBy}, PURL: purl(os, p)}
	if p.Source != p.Name {
		f.Source = p.Source
	}
	s := scored{severity: policy.SeverityUnknown}
	for _, h := range g.hits {
		f.Aliases = append(f.Aliases, h.names(g.id)...)
		f.Title = cmp.Or(f.Title, h.advisory.Summary)
		if fix := later(f.Type, f.FixedIn, h.fix); fix != f.FixedIn {
			f.FixedIn, f.FixKnown = fix, h.fixedAt
		} else if h.fix == fix && fix != "" {
			f.FixKnown = min(f.FixKnown, h.fixedAt)
		}
		if h.worse(s) {
			s = h.scored
		}
		if at := h.advisory.Published; at != 0 && (f.Published == 0 || at < f.Published) {
			f.Published = at
		}
	}
	f.Severity, f.Score, f.Vector = s.severity, s.score, s.vector
	slices.Sort(f.Aliases)
	f.Aliases = slices.Compact(f.Aliases)
	return f
}

// names are the record's other names of a vulnerability: of what gathers several, its own only.
func (h hit) names(id string) (out []string) {
	several := len(cves(h.advisory)) > 1
	for _, n := range slices.Concat([]string{h.advisory.ID}, h.advisory.Aliases) {
		if n == id || several && n != h.advisory.ID {
			continue
		}
		out = append(out, n)
	}
	return out
}

// later is the version that has the fixes of both: records may know of one each.
func later(family, a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	if c, err := compare(family, a, b); err == nil && c < 0 {
		return b
	}
	return a
}
