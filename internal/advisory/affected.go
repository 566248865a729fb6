package advisory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

// Hit is a stored inventory that has a package which an advisory hits.
type Hit struct {
	Digest       string
	Ecosystem    string
	Type         string // as in package URLs
	Package      string
	Version      string
	Architecture string
	Source       string // the source package
	PURL         string
	Layer        int // index in the inventory's layers
	// FixedIn is the first version with the fix, of the source where records name sources; empty: no patch yet.
	FixedIn string
	// Unknown says why it cannot be told whether the package is hit; empty: it is.
	Unknown string

	sourceVersion string
}

// Fixes says that a newer version of the package has the fix. Where there is none, and where it cannot be told, it is false.
func (h Hit) Fixes(newer string) bool {
	return fixes(h.Type, h.Version, h.sourceVersion, newer, h.FixedIn)
}

// verdict is what records say of one package.
type verdict struct{ fix, unknown string }

// Affected returns the stored inventories that an advisory hits, by digest and package: one for each package of each. id is
// any name of it, in whatever letters. Inventories that no image points to any more are among them. No image is pulled and
// no inventory decoded: each version of a package is looked at once, however many have it.
func (b *Book) Affected(ctx context.Context, id string) ([]Hit, error) {
	q := b.store.Q()
	records, err := store.AdvisoryPackagesNamed(ctx, q, id)
	if err != nil {
		return nil, err
	}
	type place struct{ ecosystem, name string }
	by := map[place][]affects{}
	var order []place
	for _, r := range records {
		a, err := stored(r)
		if err != nil {
			return nil, err
		}
		p := place{r.Ecosystem, r.Name}
		if by[p] == nil {
			order = append(order, p)
		}
		by[p] = append(by[p], a)
	}
	var hits []Hit
	for _, p := range order {
		some, err := holders(ctx, q, p.ecosystem, p.name, by[p])
		if err != nil {
			return nil, fmt.Errorf("who has %s of %s: %w", p.name, p.ecosystem, err)
		}
		hits = append(hits, some...)
	}
	slices.SortFunc(hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(a.Digest, b.Digest), cmp.Compare(a.Package, b.Package), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Architecture, b.Architecture), cmp.Compare(a.Type, b.Type), cmp.Compare(len(a.Unknown), len(b.Unknown)))
	})
	return slices.CompactFunc(hits, func(a, b Hit) bool {
		a.FixedIn, a.Ecosystem, a.Unknown, a.sourceVersion = b.FixedIn, b.Ecosystem, b.Unknown, b.sourceVersion // a record for all releases, and one for this
		return a == b
	}), nil
}

// holders are the inventories that hold an affected version of one package.
func holders(ctx context.Context, q store.Querier, eco, name string, records []affects) ([]Hit, error) {
	family := family(eco)
	systems := map[inventory.OS]bool{} // whether its packages are those of the ecosystem
	ours := func(os inventory.OS) bool {
		is, ok := systems[os]
		if !ok {
			e, _ := of(os, family)
			is = e.name != "" && (e.name == eco || e.bare == eco)
			systems[os] = is
		}
		return is
	}
	verdicts := map[store.Package]verdict{}
	all, err := store.HoldingsOf(ctx, q, name, func(p store.Package) bool {
		v, hit := judge(eco, name, p, records)
		if hit {
			verdicts[p] = v
		}
		return hit
	})
	if err != nil {
		return nil, err
	}
	out := make([]Hit, 0, len(all))
	for _, h := range all {
		if h.Owned || !ours(h.OS) {
			continue
		}
		v := verdicts[h.Package]
		hit := Hit{Digest: h.Digest, Ecosystem: eco, Type: h.Type, Package: h.Name, Version: h.Version, Architecture: h.Architecture, Source: h.Source, Layer: h.Layer, FixedIn: v.fix, Unknown: v.unknown,
			PURL: purl(h.OS, inventory.Package{Type: h.Type, Name: h.Name, Version: h.Version, Architecture: h.Architecture}), sourceVersion: h.SourceVersion}
		if !distributions[h.OS.ID].source {
			hit.sourceVersion = h.Version // the fix is a version of the package itself
		}
		out = append(out, hit)
	}
	return out, nil
}

// judge says whether any of the records hits a package, or may, and from which version on none does.
func judge(eco, name string, p store.Package, records []affects) (v verdict, hit bool) {
	family := family(eco)
	if p.Type != family {
		return v, false
	}
	known, version := named(inventory.OS{ID: systemOf(eco)}, family, p.Name, p.Version, p.Source, p.SourceVersion)
	if known != name {
		return v, false
	}
	var unknown error
	for _, a := range records {
		is, fix, err := a.hits(family, version)
		if err != nil {
			unknown = err
		} else if is {
			v.fix, hit = later(family, v.fix, fix), true
		}
	}
	if !hit && unknown != nil {
		v.unknown = unknown.Error()
	}
	return v, hit || unknown != nil
}

// systemOf is the ID of the operating system of an ecosystem; empty for libraries.
func systemOf(eco string) string {
	bare, _, _ := strings.Cut(eco, ":")
	for id, d := range distributions {
		if d.ecosystem == bare {
			return id
		}
	}
	return ""
}

// Facts are what is known of one advisory.
type Facts struct {
	ID        string   // its CVE where it has one, else as it was asked for
	Aliases   []string // other names, and those of records that gather it with others
	Summary   string   // one line, untrusted text
	Severity  policy.Severity
	Score     float64 // CVSS base score; 0 when none is known
	Vector    string
	Exploited bool
	// ExploitedSince is when it was listed; zero: not known.
	ExploitedSince time.Time
	EPSS           *float64 // nil: not known
	EPSSAt         time.Time
	Published      time.Time // zero: not known
	Modified       time.Time
	Withdrawn      bool // all its records are
	Packages       []AffectedPackage
	Sources        []string // that have it
}

// AffectedPackage is a package that an advisory is about.
type AffectedPackage struct {
	Ecosystem string
	Name      string   // of the source, where records name sources
	Fixed     []string // the versions with the fix, one for each line of versions; none: no patch yet
}

// Lookup returns what is known of an advisory by any of its names; found is false when no source has it. A CVE that only
// lists name is found, too.
func (b *Book) Lookup(ctx context.Context, id string) (f Facts, found bool, err error) {
	m := &matching{q: b.store.Q()}
	if err := m.sources(ctx); err != nil {
		return f, false, err
	}
	records, err := store.AdvisoriesNamed(ctx, m.q, id)
	if err != nil {
		return f, false, err
	}
	f.ID, f.Severity = id, policy.SeverityUnknown
	if up := strings.ToUpper(id); isCVE(up) {
		f.ID = up
	}
	s := scored{severity: policy.SeverityUnknown}
	f.Withdrawn = len(records) > 0
	for _, a := range records {
		if strings.EqualFold(a.ID, id) || slices.ContainsFunc(a.Aliases, func(n string) bool { return strings.EqualFold(n, id) }) {
			if all := cves(a); len(all) == 1 {
				f.ID = all[0]
			}
		}
		f.add(a)
		if o := (affects{}).scored(a); o.worse(s) && (len(cves(a)) <= 1 || !isCVE(f.ID)) {
			s = o
		}
	}
	f.Severity, f.Score, f.Vector = s.severity, s.score, s.vector
	f.Aliases = slices.DeleteFunc(unique(f.Aliases), func(n string) bool { return n == f.ID })
	slices.Sort(f.Aliases)
	f.Sources = unique(f.Sources)
	listed, err := m.listed(ctx, []string{f.ID})
	if err != nil {
		return f, false, err
	}
	l, on := listed[f.ID]
	f.Exploited, f.ExploitedSince, f.EPSS, f.EPSSAt = l.exploited, l.since, l.epss, l.scoredAt
	if err := f.packages(ctx, m.q, id); err != nil {
		return f, false, err
	}
	return f, len(records) > 0 || on, nil
}

// add takes in what one record says.
func (f *Facts) add(a store.Advisory) {
	f.Aliases = append(f.Aliases, a.ID)
	if len(cves(a)) <= 1 {
		f.Aliases = append(f.Aliases, a.Aliases...)
	}
	f.Summary = cmp.Or(f.Summary, a.Summary)
	f.Sources = append(f.Sources, a.Source)
	f.Withdrawn = f.Withdrawn && a.Withdrawn != 0
	if at := moment(a.Published); !at.IsZero() && (f.Published.IsZero() || at.Before(f.Published)) {
		f.Published = at
	}
	if at := moment(a.Modified); at.After(f.Modified) {
		f.Modified = at
	}
}

// packages fills in what the records are about.
func (f *Facts) packages(ctx context.Context, q store.Querier, id string) error {
	all, err := store.AdvisoryPackagesNamed(ctx, q, id)
	if err != nil {
		return err
	}
	for _, r := range all {
		a, err := stored(r)
		if err != nil {
			return err
		}
		n := len(f.Packages)
		if n == 0 || f.Packages[n-1].Ecosystem != r.Ecosystem || f.Packages[n-1].Name != r.Name {
			f.Packages = append(f.Packages, AffectedPackage{Ecosystem: r.Ecosystem, Name: r.Name})
			n++
		}
		p := &f.Packages[n-1]
		p.Fixed = unique(append(p.Fixed, a.fixes()...))
	}
	return nil
}
