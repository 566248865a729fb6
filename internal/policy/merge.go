package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rebuilder/internal/patch"
)

// Merge joins what several have found in one image: one finding for each advisory and package, with all who found it. The
// first list is trusted most: its words go before those of the others, and so do its severity, which takes the
// distribution's own into account, and its fix. Where it has none, the worst severity of the others counts, and the lowest fix
// that is newer than what is installed.
//
// Advisories are the same by their CVE, and without one by any name that they share. Two CVEs are never one, though an
// advisory of a distribution names both: what is known by such a name only belongs to each of them.
func Merge(lists ...[]Finding) []Finding {
	var all []Finding
	var trust []int // of each, the list it is from
	for i, list := range lists {
		all = append(all, list...)
		trust = append(trust, slices.Repeat([]int{i}, len(list))...)
	}
	byKey := map[identity][]int{}
	names := nameAll(all)
	var vague []int // of several CVEs, or of none and near several
	for i, f := range all {
		if f.Kind == Vulnerability && len(names[i]) > 1 {
			vague = append(vague, i)
			continue
		}
		byKey[keyOf(f, names[i])] = append(byKey[keyOf(f, names[i])], i)
	}
	for _, i := range vague {
		placed := false
		for _, name := range names[i] {
			key := keyOf(all[i], []string{name})
			if _, ok := byKey[key]; ok {
				byKey[key], placed = append(byKey[key], i), true
			}
		}
		if !placed {
			key := keyOf(all[i], []string{strings.Join(names[i], " ")})
			byKey[key] = append(byKey[key], i)
		}
	}
	out := make([]Finding, 0, len(byKey))
	for key, members := range byKey {
		slices.SortFunc(members, func(a, b int) int {
			// A package may lie in several places. It is told of in the last layer that has it: who stands on a base has
			// only to wait where all are the base's.
			return cmp.Or(cmp.Compare(trust[a], trust[b]), cmp.Compare(all[b].Layer, all[a].Layer), ordered(all[a], all[b]))
		})
		out = append(out, join(key, all, trust, members))
	}
	slices.SortFunc(out, ordered)
	return out
}

// identity is what findings are the same by.
type identity struct {
	kind                 Kind
	name                 string
	family, pkg, version string
	path                 string
	line, layer          int
}

func keyOf(f Finding, names []string) identity {
	if f.Kind != Vulnerability {
		return identity{kind: f.Kind, name: strings.ToUpper(f.ID), family: f.Type, pkg: f.Package, version: f.Version, path: f.Path, line: f.Line, layer: f.Layer}
	}
	return identity{kind: f.Kind, name: strings.Join(names, " "), family: f.Type, pkg: f.Package, version: strings.TrimPrefix(f.Version, "v")}
}

// nameAll returns, for each finding, what its advisory is known by: its CVE; of an advisory without one that shares a name
// with a finding of one CVE that; else one name for all that share names. Several are an advisory of several CVEs.
func nameAll(all []Finding) [][]string {
	out := make([][]string, len(all))
	cves := map[string]map[string]bool{} // of every other name, those that it stands for
	for i, f := range all {
		if f.Kind != Vulnerability {
			continue
		}
		if own := cvesOf(f); len(own) == 1 {
			out[i] = own
			for _, name := range namesOf(f) {
				if cves[name] == nil {
					cves[name] = map[string]bool{}
				}
				cves[name][own[0]] = true
			}
		}
	}
	same := union{}
	for i, f := range all {
		if f.Kind == Vulnerability && out[i] == nil {
			names := namesOf(f)
			for _, name := range names {
				same.join(names[0], name)
			}
		}
	}
	near := map[string]map[string]bool{} // of what shares names, the CVEs that it stands for
	for i, f := range all {
		if f.Kind != Vulnerability || out[i] != nil {
			continue
		}
		root := same.root(namesOf(f)[0])
		if near[root] == nil {
			near[root] = map[string]bool{}
		}
		for _, name := range namesOf(f) {
			maps.Copy(near[root], cves[name])
		}
		for _, cve := range cvesOf(f) {
			near[root][cve] = true
		}
	}
	for i, f := range all {
		if f.Kind != Vulnerability || out[i] != nil {
			continue
		}
		root := same.root(namesOf(f)[0])
		if out[i] = slices.Sorted(maps.Keys(near[root])); len(out[i]) == 0 {
			out[i] = []string{root}
		}
	}
	return out
}

// namesOf are all names of a finding, in upper case; at least one.
func namesOf(f Finding) []string {
	names := []string{strings.ToUpper(f.ID)}
	for _, a := range f.Aliases {
		if a != "" {
			names = append(names, strings.ToUpper(a))
		}
	}
	return names
}

func cvesOf(f Finding) (out []string) {
	for _, name := range namesOf(f) {
		if strings.HasPrefix(name, "CVE-") && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// union says what is the same as what: a name's root is the least of all that are the same.
type union map[string]string

func (u union) root(name string) string {
	for {
		up, ok := u[name]
		if !ok || up == name {
			return name
		}
		if above, ok := u[up]; ok {
			u[name] = above // shorter the next time
		}
		name = up
	}
}

func (u union) join(a, b string) {
	a, b = u.root(a), u.root(b)
	if a > b {
		a, b = b, a
	}
	if a != b {
		u[b] = a
	}
}

// join makes one finding of several, the most trusted first.
func join(key identity, all []Finding, trust, members []int) Finding {
	out := all[members[0]]
	aliases := map[string]bool{}
	for _, i := range members {
		f := all[i]
		for _, name := range append([]string{f.ID}, f.Aliases...) {
			aliases[name] = true
		}
		fill(&out, f)
	}
	out.FoundBy = foundBy(all, trust, members)
	if out.Kind == Vulnerability {
		if strings.HasPrefix(key.name, "CVE-") && !strings.Contains(key.name, " ") {
			out.ID = key.name
			// What an advisory of several says of this one must not make it one with the others.
			maps.DeleteFunc(aliases, func(name string, _ bool) bool { return strings.HasPrefix(strings.ToUpper(name), "CVE-") })
		}
		ours := 1
		for ours < len(members) && trust[members[ours]] == trust[members[0]] {
			ours++
		}
		setSeverity(&out, all, members[:ours], members[ours:])
		out.FixedIn = fix(out, all, members[:ours], members[ours:])
	}
	delete(aliases, out.ID)
	delete(aliases, "")
	out.Aliases = slices.Sorted(maps.Keys(aliases))
	return out
}

// foundBy are all who found it, the most trusted first.
func foundBy(all []Finding, trust, members []int) (out []string) {
	if len(members) == 1 {
		return all[members[0]].FoundBy
	}
	first := 0 // of those in out who are trusted as much
	for n, i := range members {
		if n > 0 && trust[i] != trust[members[n-1]] {
			first = len(out)
		}
		for _, by := range all[i].FoundBy {
			if !slices.Contains(out, by) {
				out = append(out, by)
			}
		}
		slices.Sort(out[first:])
	}
	return out
}

// fill takes from f what out does not have.
func fill(out *Finding, f Finding) {
	out.Title = cmp.Or(out.Title, f.Title)
	out.Source = cmp.Or(out.Source, f.Source)
	out.PURL = cmp.Or(out.PURL, f.PURL)
	out.Inherited = cmp.Or(out.Inherited, f.Inherited)
	out.Why = cmp.Or(out.Why, f.Why)
	out.Do = cmp.Or(out.Do, f.Do)
	out.Exploited = out.Exploited || f.Exploited
	out.Deleted = out.Deleted && f.Deleted
	if f.EPSS != nil && (out.EPSS == nil || *f.EPSS > *out.EPSS) {
		out.EPSS = f.EPSS
	}
	if out.Layer < 0 {
		out.Layer = f.Layer
	}
	out.Published = earliest(out.Published, f.Published)
	out.FixKnown = earliest(out.FixKnown, f.FixKnown)
}

// earliest is the lesser of two times, of which 0 is none.
func earliest(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// setSeverity takes the worst of the most trusted that know one, with its score.
func setSeverity(out *Finding, all []Finding, ours, others []int) {
	for _, members := range [][]int{ours, others} {
		out.Severity, out.Score, out.Vector = SeverityUnknown, 0, ""
		for _, i := range members {
			f := all[i]
			if f.Severity.rank() > out.Severity.rank() {
				out.Severity, out.Score, out.Vector = f.Severity, f.Score, f.Vector
			}
		}
		if out.Severity != SeverityUnknown {
			break
		}
	}
	for _, i := range slices.Concat(ours, others) {
		if out.Score == 0 {
			out.Score, out.Vector = all[i].Score, all[i].Vector
		}
	}
}

// fix takes the lowest of the most trusted that know one. Versions that cannot be ordered come in the order of trust.
func fix(out Finding, all []Finding, ours, others []int) string {
	for _, members := range [][]int{ours, others} {
		best := ""
		for _, i := range members {
			fixed := all[i].FixedIn
			if newer, err := patch.Compare(out.Type, fixed, out.Version); fixed == "" || err == nil && newer <= 0 {
				continue
			}
			if order, err := patch.Compare(out.Type, fixed, best); best == "" || err == nil && order < 0 {
				best = fixed
			}
		}
		if best != "" {
			return best
		}
	}
	return ""
}

// ordered is one order of all findings: the worst first, then by name and place.
func ordered(a, b Finding) int {
	c := cmp.Or(
		cmp.Compare(b.Severity.rank(), a.Severity.rank()), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID),
		cmp.Compare(a.Package, b.Package), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line),
		cmp.Compare(a.Layer, b.Layer),
	)
	if c != 0 {
		return c
	}
	return cmp.Compare(printed(a), printed(b))
}

// printed is all that there is to a finding, for an order of what differs in hardly anything.
func printed(f Finding) string {
	epss := "none"
	if f.EPSS != nil {
		epss = fmt.Sprint(*f.EPSS)
	}
	f.EPSS = nil
	return fmt.Sprintf("%#v %s", f, epss) // quoted: no text of one is taken for two of another
}
