package advisory

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/package-url/packageurl-go"

	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

// FoundBy is who found what this package finds.
const FoundBy = "rebuilder"

// Coverage says what is known of the advisories of some packages of an image.
type Coverage struct {
	Type      string // of the packages: "deb", "golang"
	Ecosystem string // "Debian:12"; empty when it cannot be told
	Packages  int
	// Covered says that a source has advisories for the ecosystem. Without, that nothing was found means nothing.
	Covered bool
	AsOf    time.Time // when those were last read; zero: never
	Why     string    // why it is not covered, one sentence
}

// Result is what is known to be wrong with the packages of an image, and how much is known.
type Result struct {
	// Findings are one for each vulnerability and package, the worst first.
	Findings []policy.Finding
	Coverage []Coverage // one for each type of packages, by type
	// Unknown says what could not be told although there are advisories, a sentence each.
	Unknown []string
	AsOf    time.Time // the oldest of what is covered; zero: nothing is
}

// Covered says that something is known of every package.
func (r Result) Covered() bool {
	return !slices.ContainsFunc(r.Coverage, func(c Coverage) bool { return !c.Covered })
}

// Findings returns what is known to be wrong with an inventory's packages. It asks the store only.
func (b *Book) Findings(ctx context.Context, inv *inventory.Inventory) (Result, error) {
	m := &matching{q: b.store.Q(), inv: inv}
	if err := m.sources(ctx); err != nil {
		return Result{}, err
	}
	for _, family := range m.families() {
		if err := m.match(ctx, family); err != nil {
			return Result{}, fmt.Errorf("advisories for %s packages: %w", family, err)
		}
	}
	if err := m.weigh(ctx); err != nil {
		return Result{}, err
	}
	return m.result(ctx)
}

// matching is one inventory that is held against the advisories.
type matching struct {
	q        store.Querier
	inv      *inventory.Inventory
	asOf     map[string]int64 // by ecosystem
	lists    map[string]store.AdvisorySource
	hits     []hit
	coverage []Coverage
	unknown  []string
}

// hit is a record that hits a package.
type hit struct {
	p        inventory.Package
	advisory store.Advisory
	fix      string
	fixedAt  int64 // since when it is known
	scored
}

// sources reads what there is and as of when.
func (m *matching) sources(ctx context.Context) error {
	all, err := store.AdvisorySources(ctx, m.q)
	m.asOf, m.lists = map[string]int64{}, map[string]store.AdvisorySource{}
	for _, s := range all {
		if Kind(s.Kind) != OSV {
			m.lists[s.Name] = s
		}
		for _, e := range s.Ecosystems {
			m.asOf[e] = max(m.asOf[e], s.OKAt)
		}
	}
	return err
}

func (m *matching) families() []string {
	all := map[string]bool{}
	for _, p := range m.inv.Packages {
		all[typeOf(p)] = true
	}
	return slices.Sorted(maps.Keys(all))
}

func typeOf(p inventory.Package) string { return cmp.Or(p.Type, inventory.Deb) }

// match finds the records that hit the packages of one type.
func (m *matching) match(ctx context.Context, family string) error {
	c, e := m.covers(m.inv.OS, family)
	byName := map[string][]inventory.Package{}
	for _, p := range m.inv.Packages {
		if typeOf(p) != family || p.Owner != "" { // a library that the distribution owns has the distribution's advisories
			continue
		}
		c.Packages++
		name, _ := knownAs(m.inv.OS, p)
		byName[name] = append(byName[name], p)
	}
	if c.Packages == 0 {
		return nil
	}
	m.coverage = append(m.coverage, c)
	if e.name == "" {
		return nil
	}
	for _, ecosystem := range unique([]string{e.name, e.bare}) {
		found, err := store.AdvisoriesFor(ctx, m.q, ecosystem, slices.Sorted(maps.Keys(byName)))
		if err != nil {
			return err
		}
		for _, f := range found {
			if err := m.try(family, f, byName[f.Name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// covers says what is known of the advisories for packages of a type of an operating system.
func (m *matching) covers(os inventory.OS, family string) (c Coverage, e ecosystem) {
	e, why := of(os, family)
	c = Coverage{Type: family, Ecosystem: e.name, Why: why}
	at, ok := m.asOf[e.name] // a few records for all releases, without those of this one, cover nothing
	at = max(at, m.asOf[e.bare])
	switch {
	case e.name != "" && ok:
		c.Covered, c.AsOf = true, moment(at)
	case why == "":
		c.Why = "no source has advisories for " + e.name
	}
	return c, e
}

// Covers returns what says, for packages of a type of an operating system, whether anything is known of their advisories.
func (b *Book) Covers(ctx context.Context) (func(os inventory.OS, family string) Coverage, error) {
	m := &matching{q: b.store.Q()}
	err := m.sources(ctx)
	return func(os inventory.OS, family string) Coverage {
		c, _ := m.covers(os, family)
		return c
	}, err
}

// knownAs is the name and version by which records know a package.
func knownAs(os inventory.OS, p inventory.Package) (name, version string) {
	return named(os, typeOf(p), p.Name, p.Version, p.Source, p.SourceVersion)
}

// try holds a record against the packages that it is about.
func (m *matching) try(family string, f store.AdvisoryMatch, packages []inventory.Package) error {
	a, err := stored(f)
	if err != nil {
		return err
	}
	for _, p := range packages {
		_, version := knownAs(m.inv.OS, p)
		is, fix, err := a.hits(family, version)
		if err != nil {
			m.cannotTell(p, f.Advisory.ID, err)
		} else if is {
			m.hits = append(m.hits, hit{p, f.Advisory, fix, f.FixedAt, a.scored(f.Advisory)})
		}
	}
	return nil
}

// stored is what is stored of a package of a record.
func stored(f store.AdvisoryMatch) (a affects, err error) {
	if err := json.Unmarshal([]byte(f.Body), &a); err != nil {
		return a, fmt.Errorf("%s of %s: %w", f.Name, f.Advisory.ID, err)
	}
	return a, nil
}

// scored is how bad a record is for this package.
func (a affects) scored(r store.Advisory) scored {
	whole := scored{severity: policy.Severity(r.Severity), vector: r.Vector, score: r.Score}
	here := scored{severity: policy.Severity(a.Severity), vector: a.Vector, score: a.Score}
	if a.Severity != "" && (here.vector != "" || whole.vector == "") {
		return here
	}
	return whole
}

func (m *matching) cannotTell(p inventory.Package, id string, err error) {
	const most = 100
	if len(m.unknown) < most {
		m.unknown = append(m.unknown, fmt.Sprintf("whether %s hits %s %s is not known: %v", id, p.Name, p.Version, err))
	}
}

// weigh adds how bad vulnerabilities are that only other records have a word for.
func (m *matching) weigh(ctx context.Context) error {
	asked := map[string]scored{}
	for i, h := range m.hits {
		if h.severity != policy.SeverityUnknown {
			continue
		}
		for _, name := range cves(h.advisory) {
			s, ok := asked[name]
			if !ok {
				all, err := store.AdvisoriesNamed(ctx, m.q, name)
				if err != nil {
					return err
				}
				s = worst(all, name)
				asked[name] = s
			}
			if s.worse(m.hits[i].scored) {
				m.hits[i].scored = s
			}
		}
	}
	return nil
}

// worst is how bad the records of one vulnerability say that it is. What gathers several speaks of all of them.
func worst(all []store.Advisory, name string) scored {
	s := scored{severity: policy.SeverityUnknown}
	for _, a := range all {
		if a.Withdrawn == 0 && len(cves(a)) == 1 {
			if o := (affects{}).scored(a); o.worse(s) {
				s = o
			}
		}
	}
	return s
}

// cves are the vulnerabilities that a record is about.
func cves(a store.Advisory) (out []string) {
	for _, n := range slices.Concat([]string{a.ID}, a.Aliases, a.Upstream) {
		if isCVE(n) {
			out = append(out, n)
		}
	}
	return unique(out)
}

// result groups the hits and says of each what people should know.
func (m *matching) result(ctx context.Context) (Result, error) {
	r := Result{Coverage: m.coverage, Unknown: m.unknown}
	for _, c := range m.coverage {
		if c.Covered && (r.AsOf.IsZero() || c.AsOf.Before(r.AsOf)) {
			r.AsOf = c.AsOf
		}
	}
	for _, g := range grouped(m.hits) {
		r.Findings = append(r.Findings, g.finding(m.inv.OS))
	}
	ids := make([]string, 0, len(r.Findings))
	for _, f := range r.Findings {
		ids = append(ids, f.ID)
	}
	listed, err := m.listed(ctx, ids)
	if err != nil {
		return r, err
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		l := listed[f.ID]
		f.Exploited, f.EPSS = l.exploited, l.epss
		f.Why, f.Do = why(*f, l), do(m.inv.OS, *f)
	}
	slices.SortStableFunc(r.Findings, worstFirst)
	return r, nil
}

// worstFirst orders findings as people should read them.
func worstFirst(a, b policy.Finding) int {
	likely := func(f policy.Finding) float64 {
		if f.EPSS == nil {
			return 0
		}
		return *f.EPSS
	}
	switch {
	case a.Exploited != b.Exploited && a.Exploited:
		return -1
	case a.Exploited != b.Exploited:
		return 1
	}
	return cmp.Or(cmp.Compare(ranks[b.Severity], ranks[a.Severity]), cmp.Compare(b.Score, a.Score), cmp.Compare(likely(b), likely(a)),
		cmp.Compare(a.ID, b.ID), cmp.Compare(a.Package, b.Package), cmp.Compare(a.Path, b.Path))
}

// listing is what lists say of a CVE.
type listing struct {
	exploited bool
	since     time.Time // when it was listed as exploited; zero: not known
	epss      *float64  // nil: not known
	scoredAt  time.Time // the date of the scores
}

// listed is what all lists say of some vulnerabilities. Of several scores that of the newest list counts.
func (m *matching) listed(ctx context.Context, ids []string) (map[string]listing, error) {
	slices.Sort(ids)
	facts, err := store.AdvisoryFacts(ctx, m.q, slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	out := map[string]listing{}
	for _, f := range facts {
		l, s := out[f.Name], m.lists[f.Source]
		switch Kind(s.Kind) {
		case Exploited:
			l.exploited = true
			if at := moment(f.At); l.since.IsZero() || !at.IsZero() && at.Before(l.since) {
				l.since = at
			}
		case EPSS:
			if at := moment(s.ListedAt); l.epss == nil || at.After(l.scoredAt) {
				l.epss, l.scoredAt = &f.Value, at
			}
		}
		out[f.Name] = l
	}
	return out, nil
}

// why says in a sentence why a vulnerability matters, with what weighs most.
func why(f policy.Finding, l listing) string {
	const day = "2 Jan 2006"
	switch {
	case l.exploited && !l.since.IsZero():
		return "It is known to be exploited, since " + l.since.Format(day) + " at the latest."
	case l.exploited:
		return "It is known to be exploited."
	}
	likely := ""
	if l.epss != nil {
		likely = fmt.Sprintf("; the probability that it is exploited within 30 days is %s", percent(*l.epss))
		if !l.scoredAt.IsZero() {
			likely += " as of " + l.scoredAt.Format(day)
		}
	}
	switch {
	case f.Vector != "":
		return fmt.Sprintf("Its CVSS base score is %.1f of 10%s.", f.Score, likely)
	case f.Severity != policy.SeverityUnknown:
		return fmt.Sprintf("Advisories call it %s%s.", f.Severity, likely)
	}
	return "How bad it is is not known" + likely + "."
}

// percent is a probability as people read it.
func percent(p float64) string {
	if p < 0.01 {
		return "less than 1 %"
	}
	return fmt.Sprintf("%.0f %%", math.Round(100*p))
}

// do says in a sentence what to do about a vulnerability.
func do(os inventory.OS, f policy.Finding) string {
	switch {
	case f.FixedIn == "":
		return "There is no patch yet."
	case libraries[f.Type] != "" && f.Package == "stdlib":
		return fmt.Sprintf("Build %s with Go %s or newer.", where(f), f.FixedIn)
	case libraries[f.Type] != "":
		return fmt.Sprintf("Use %s %s or newer in %s.", f.Package, f.FixedIn, where(f))
	}
	name := f.Package
	if distributions[os.ID].source {
		name = cmp.Or(f.Source, name)
	}
	return fmt.Sprintf("Rebuild when %s %s is in the image's repositories.", name, f.FixedIn)
}

func where(f policy.Finding) string { return cmp.Or(f.Path, "what has it") }

// purl is the package's URL, as other scanners write it.
func purl(os inventory.OS, p inventory.Package) string {
	family, namespace, name, version := typeOf(p), "", p.Name, p.Version
	qualifiers := map[string]string{}
	switch family {
	case inventory.Deb, inventory.APK, inventory.RPM:
		namespace = os.ID
		if p.Architecture != "" {
			qualifiers["arch"] = p.Architecture
		}
		if os.ID != "" && os.Version != "" {
			qualifiers["distro"] = os.ID + "-" + os.Version
		}
	case inventory.Maven:
		namespace, name = split(name, ":")
	default:
		if i := strings.LastIndex(name, "/"); i >= 0 {
			namespace, name = name[:i], name[i+1:]
		}
	}
	return packageurl.NewPackageURL(family, namespace, name, version, packageurl.QualifiersFromMap(qualifiers), "").ToString()
}

func split(s, at string) (before, after string) {
	before, after, ok := strings.Cut(s, at)
	if !ok {
		return "", before
	}
	return before, after
}
