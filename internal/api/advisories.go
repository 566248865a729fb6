package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/advisory"
	"rebuilder/internal/catalog"
	"rebuilder/internal/inventory"
	"rebuilder/internal/judge"
	"rebuilder/internal/store"
)

// Book knows advisories, from the store alone.
type Book interface {
	Affected(ctx context.Context, id string) ([]advisory.Hit, error)
	Lookup(ctx context.Context, id string) (f advisory.Facts, found bool, err error)
	Covers(ctx context.Context) (func(os inventory.OS, family string) advisory.Coverage, error)
	States(ctx context.Context) ([]advisory.SourceState, error)
}

// Weigher weighs vulnerabilities by the policies, exceptions and statements of now.
type Weigher interface {
	Weigh(ctx context.Context, names []string) (judge.Weigher, error)
}

// VEX knows how reading the catalog's OpenVEX documents went.
type VEX interface {
	States() []judge.VEXState
}

// Advice is what is known of advisories. Its zero value knows nothing, and says so.
type Advice struct {
	Book    Book
	Weigher Weigher // nil: it is not said what becomes of what advisories hit
	VEX     VEX
}

// AdvisorySource is where advisories, facts on them, or statements are read, and how that went.
type AdvisorySource struct {
	Name       string    `json:"name"`
	Kind       string    `json:"kind"`            // osv, kev, epss or openvex
	Place      string    `json:"place,omitempty"` // path or address
	State      string    `json:"state"`           // ok, failed, or never: it was not read yet
	LookedAt   time.Time `json:"looked_at,omitzero"`
	OKAt       time.Time `json:"ok_at,omitzero"`      // the last look that worked: what is known is as of then
	ChangedAt  time.Time `json:"changed_at,omitzero"` // when something new was found last
	ListedAt   time.Time `json:"listed_at,omitzero"`  // the date that a list gives itself
	Records    int       `json:"records"`             // files, entries of a list, or statements
	Broken     int       `json:"broken"`              // of Records: could not be read
	Problems   []string  `json:"problems"`            // the first broken ones, with what is wrong
	Ecosystems []string  `json:"ecosystems"`          // that there are advisories for
	Error      string    `json:"error,omitempty"`     // why the last look failed; what was known before still is
}

// States of sources.
const (
	SourceOK     = "ok"
	SourceFailed = "failed"
	SourceNever  = "never"
)

// Uncovered are packages of images that no source has advisories for: that nothing is found in them means nothing.
type Uncovered struct {
	Type      string   `json:"type"`                // of the packages: "apk", "golang"
	Ecosystem string   `json:"ecosystem,omitempty"` // left out when it cannot be told
	Why       string   `json:"why"`
	Packages  int      `json:"packages"`
	Images    int      `json:"images"`
	Names     []string `json:"names"` // of the images, the first 100
}

// Advisories are the sources of advisories and what they do not cover.
type Advisories struct {
	Now  time.Time `json:"now"`
	AsOf time.Time `json:"as_of,omitzero"`
	// Unanswered says why nothing at all is known of vulnerabilities.
	Unanswered string           `json:"unanswered,omitempty"`
	Sources    []AdvisorySource `json:"sources"`
	Images     int              `json:"images"`  // of the graph
	Unread     int              `json:"unread"`  // of Images: what is inside is not known
	Covered    int              `json:"covered"` // of Images: something is known of all their packages
	Uncovered  []Uncovered      `json:"uncovered"`
	Imported   int              `json:"imported"` // OpenVEX documents
}

const maxUncoveredNames = 100

// Advisories says which sources of advisories there are, how reading them went, and which images' packages none covers.
func (r *Reader) Advisories(ctx context.Context) (Advisories, error) {
	v, err := r.view(ctx)
	if err != nil {
		return Advisories{}, err
	}
	a := Advisories{Now: v.now, AsOf: v.asOf(), Uncovered: []Uncovered{}}
	if a.Sources, err = r.sources(ctx, v); err != nil {
		return a, err
	}
	a.Unanswered = unanswered(a.Sources)
	imported, err := store.ListVEX(ctx, r.Store.Q())
	if err != nil {
		return a, err
	}
	a.Imported = len(imported)
	return a, r.cover(ctx, v, &a)
}

// unadvised says why the catalog gives nothing to know of vulnerabilities; empty when it does.
func (r *Reader) unadvised(v *view) string {
	c := v.snap.Catalog
	if r.Advice.Book == nil || c == nil || !slices.ContainsFunc(c.Advisories, func(s catalog.AdvisorySource) bool { return s.Kind == catalog.OSV }) {
		return NoAdvisories
	}
	return ""
}

// unanswered says why nothing is known of vulnerabilities; empty when something is.
func unanswered(sources []AdvisorySource) string {
	why := NoAdvisories
	for _, s := range sources {
		switch {
		case s.Kind != string(catalog.OSV):
			continue
		case !s.OKAt.IsZero():
			return ""
		case s.Error != "":
			why = "no source of advisories could be read yet: " + s.Error
		case why == NoAdvisories:
			why = "no source of advisories was read yet"
		}
	}
	return why
}

// sources are those of the catalog, in its order.
func (r *Reader) sources(ctx context.Context, v *view) ([]AdvisorySource, error) {
	out := []AdvisorySource{}
	if r.unadvised(v) != "" && (v.snap.Catalog == nil || len(v.snap.Catalog.Advisories) == 0) {
		return out, nil
	}
	states := map[string]AdvisorySource{}
	if r.Advice.Book != nil {
		all, err := r.Advice.Book.States(ctx)
		if err != nil {
			return out, err
		}
		for _, s := range all {
			states[s.Name] = AdvisorySource{Place: s.Place, LookedAt: s.LookedAt, OKAt: s.OKAt, ChangedAt: s.ChangedAt, ListedAt: s.ListedAt, Records: s.Records, Broken: s.Broken,
				Problems: append([]string{}, s.Problems...), Ecosystems: append([]string{}, s.Ecosystems...), Error: s.Error}
		}
	}
	if r.Advice.VEX != nil {
		for _, s := range r.Advice.VEX.States() {
			one := AdvisorySource{Place: s.Place, LookedAt: s.LookedAt, OKAt: s.OKAt, ChangedAt: s.ChangedAt, Records: s.Statements, Problems: []string{}, Ecosystems: []string{}, Error: s.Error}
			if s.Problem != "" {
				one.Problems = append(one.Problems, s.Problem)
			}
			states[s.Name] = one
		}
	}
	for _, c := range v.snap.Catalog.Advisories {
		s, ok := states[c.Name]
		if !ok {
			s = AdvisorySource{Place: c.Path, Problems: []string{}, Ecosystems: []string{}}
		}
		s.Name, s.Kind, s.State = c.Name, string(c.Kind), SourceOK
		switch {
		case s.Error != "":
			s.State = SourceFailed
		case s.OKAt.IsZero():
			s.State = SourceNever
		}
		out = append(out, s)
	}
	return out, nil
}

// cover counts which packages of which images no source covers.
func (r *Reader) cover(ctx context.Context, v *view, a *Advisories) error {
	images := v.images()
	a.Images = len(images)
	systems, err := store.Systems(ctx, r.Store.Q())
	if err != nil {
		return err
	}
	covers := func(inventory.OS, string) advisory.Coverage { return advisory.Coverage{Why: NoAdvisories} }
	if r.unadvised(v) == "" {
		if covers, err = r.Advice.Book.Covers(ctx); err != nil {
			return err
		}
	}
	type place struct{ family, ecosystem, why string }
	by := map[place]*Uncovered{}
	for _, i := range images {
		s, ok := systems[i.Digest]
		if i.Digest == "" || !ok || len(s.Types) == 0 {
			a.Unread++
			continue
		}
		all := true
		for family, n := range s.Types {
			c := covers(s.OS, family)
			if c.Covered {
				continue
			}
			all = false
			p := place{family, c.Ecosystem, c.Why}
			if by[p] == nil {
				by[p] = &Uncovered{Type: family, Ecosystem: c.Ecosystem, Why: c.Why}
			}
			u := by[p]
			u.Images, u.Packages = u.Images+1, u.Packages+n
			if len(u.Names) < maxUncoveredNames {
				u.Names = append(u.Names, i.Name)
			}
		}
		if all {
			a.Covered++
		}
	}
	for _, u := range by {
		a.Uncovered = append(a.Uncovered, *u)
	}
	slices.SortFunc(a.Uncovered, func(a, b Uncovered) int {
		return cmp.Or(cmp.Compare(b.Images, a.Images), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Ecosystem, b.Ecosystem), cmp.Compare(a.Why, b.Why))
	})
	return nil
}

// advised answers for an advisory.
func (r *Reader) advised(ctx context.Context, v *view, a *Affected, images []Image, all bool) error {
	s, err := r.advice(ctx, v, a)
	if err != nil || a.Unanswered != "" {
		return err
	}
	weigh, err := r.weigher(ctx, a.Advisory)
	if err != nil {
		return err
	}
	var rest []Image
	has := map[string]bool{}
	for _, img := range images {
		s.image[img.Name] = img
		holdings := s.by[img.Digest]
		if img.Digest == "" || len(holdings) == 0 {
			rest = append(rest, img)
			continue
		}
		found := s.hit(img, holdings, weigh)
		a.Found = append(a.Found, found...)
		switch {
		case !slices.ContainsFunc(found, func(f Found) bool { return f.Outcome != outcomeNotAffected }):
			a.NotAffected++
			rest = append(rest, img)
			continue
		case !slices.ContainsFunc(found, func(f Found) bool { return f.Outcome != outcomeNotAffected && f.Outcome != outcomeExcepted }):
			a.Accepted++
		}
		has[img.Name] = true
	}
	a.Has = len(has)
	s.rest(rest, has)
	s.a.Uncovered = s.partlyCovered(rest)
	if err := r.earlier(ctx, s, images, all); err != nil {
		return err
	}
	a.Sentence = s.advisorySentence()
	return nil
}

// advice gathers what is known of the advisory that is asked for: which packages of which digests it hits, and of which
// digests that cannot be told. a.Unanswered says why there is no answer at all.
func (r *Reader) advice(ctx context.Context, v *view, a *Affected) (*search, error) {
	s := r.searchFor(v, a)
	if a.Unanswered = r.unadvised(v); a.Unanswered != "" {
		return s, nil
	}
	sources, err := r.sources(ctx, v)
	if err != nil {
		return s, err
	}
	if a.Unanswered = unanswered(sources); a.Unanswered != "" {
		return s, nil
	}
	a.AdvisoriesAt = oldest(sources)
	facts, found, err := r.Advice.Book.Lookup(ctx, a.Name)
	switch {
	case err != nil:
		return s, err
	case !found:
		a.Unanswered = "no source of advisories has it, of " + Count(len(sources), "source")
		return s, nil
	case len(facts.Packages) == 0 && !facts.Withdrawn:
		a.Unanswered = "no source of advisories says which packages it is in"
	}
	a.Name = facts.ID
	a.Advisory = factsOf(facts)
	if a.Unanswered != "" {
		return s, nil
	}
	if s.listed, err = store.Listed(ctx, r.Store.Q()); err != nil {
		return s, err
	}
	if err := s.cover(ctx, r); err != nil {
		return s, err
	}
	if err := s.take(ctx, r); err != nil {
		return s, err
	}
	return s, s.above(ctx, r)
}

// searchFor is a question about the advisory that an answer names.
func (r *Reader) searchFor(v *view, a *Affected) *search {
	return &search{view: v, target: target{kind: TargetAdvisory, name: a.Name}, a: a, by: map[string][]store.Holding{}, other: map[string][]store.Holding{}, doubtful: map[string]string{},
		image: map[string]Image{}, hits: map[store.Holding]advisory.Hit{}, uncovered: map[string]string{}, partly: map[string]bool{}}
}

// oldest is when the first of the sources of advisories was last read.
func oldest(sources []AdvisorySource) (at time.Time) {
	for _, s := range sources {
		if s.Kind == string(catalog.OSV) && !s.OKAt.IsZero() && (at.IsZero() || s.OKAt.Before(at)) {
			at = s.OKAt
		}
	}
	return at
}

func factsOf(f advisory.Facts) *AdvisoryFacts {
	out := &AdvisoryFacts{ID: f.ID, Aliases: append([]string{}, f.Aliases...), Summary: f.Summary, Severity: string(f.Severity), Score: f.Score, Vector: f.Vector, Exploited: f.Exploited,
		ExploitedSince: f.ExploitedSince, EPSS: f.EPSS, PublishedAt: f.Published, ModifiedAt: f.Modified, Withdrawn: f.Withdrawn, Packages: []AdvisoryPackage{}, Sources: append([]string{}, f.Sources...)}
	for _, p := range f.Packages {
		out.Packages = append(out.Packages, AdvisoryPackage{Ecosystem: p.Ecosystem, Name: p.Name, Fixed: append([]string{}, p.Fixed...)})
	}
	return out
}

// cover notes the digests of which no source has advisories: for the packages of their system or for any, or for some.
func (s *search) cover(ctx context.Context, r *Reader) error {
	covers, err := r.Advice.Book.Covers(ctx)
	if err != nil {
		return err
	}
	systems, err := store.Systems(ctx, r.Store.Q())
	if err != nil {
		return err
	}
	for digest, y := range systems {
		some := false
		for family := range y.Types {
			c := covers(y.OS, family)
			switch {
			case c.Covered:
				some = true
			case !(inventory.Package{Type: family}).Library():
				s.uncovered[digest] = c.Why
			default:
				s.partly[digest] = true
			}
		}
		if !some && len(y.Types) > 0 && s.uncovered[digest] == "" {
			s.uncovered[digest] = "no source has advisories for any of its packages"
		}
	}
	return nil
}

// take sorts what the advisory hits by digest.
func (s *search) take(ctx context.Context, r *Reader) error {
	hits, err := r.Advice.Book.Affected(ctx, s.name)
	if err != nil {
		return err
	}
	for _, h := range hits {
		if h.Unknown != "" {
			s.doubtful[h.Digest] = fmt.Sprintf("whether it hits %s %s is not known: %s", h.Package, h.Version, h.Unknown)
			continue
		}
		at := store.Holding{Package: store.Package{Type: h.Type, Name: h.Package, Version: h.Version, Architecture: h.Architecture, Source: h.Source}, Digest: h.Digest, Layer: h.Layer}
		s.hits[at] = h
		s.by[h.Digest] = append(s.by[h.Digest], at)
	}
	return nil
}

// above gathers all versions of the packages that are hit: a parent may have the fixed one already.
func (s *search) above(ctx context.Context, r *Reader) error {
	names := map[string]bool{}
	for h := range s.hits {
		names[h.Name] = true
	}
	for name := range names {
		all, err := store.HoldingsOf(ctx, r.Store.Q(), name, func(p store.Package) bool { return p.Name == name })
		if err != nil {
			return err
		}
		for _, h := range all {
			s.other[h.Digest] = append(s.other[h.Digest], h)
		}
	}
	return nil
}

// Outcomes of what is accepted, and of what statements say is none.
const (
	outcomeExcepted    = "excepted"
	outcomeNotAffected = "not-affected"
)

// weigher weighs what an advisory hits; nil when nobody does.
func (r *Reader) weigher(ctx context.Context, f *AdvisoryFacts) (judge.Weigher, error) {
	if r.Advice.Weigher == nil {
		return nil, nil
	}
	return r.Advice.Weigher.Weigh(ctx, append([]string{f.ID}, f.Aliases...))
}

// partlyCovered counts images that are clean as far as sources go.
func (s *search) partlyCovered(images []Image) (n int) {
	open := map[string]bool{}
	for _, d := range s.a.Downstream {
		open[d.Image] = true
	}
	for _, img := range images {
		if !open[img.Name] && s.unread(img) == "" && s.partly[img.Digest] {
			n++
		}
	}
	return n
}

func (s *search) advisorySentence() string {
	a := s.a
	out := fmt.Sprintf("%s hits %s of %s", a.Name, Thousands(a.Has), a.all())
	if a.Accepted > 0 {
		out += fmt.Sprintf(" (%s accepted)", Thousands(a.Accepted))
	}
	out += fmt.Sprintf("%s; %s not hit", belowWords(a), verbed(a.Clean, "is", "are"))
	if a.NotAffected > 0 {
		out += fmt.Sprintf(" (%s by statements)", Thousands(a.NotAffected))
	}
	out += "; " + Thousands(a.Unknown) + " unknown"
	if a.Uncovered > 0 {
		out += fmt.Sprintf("; of those that are not hit %s packages, too, that no source has advisories for", verbed(a.Uncovered, "has", "have"))
	}
	if a.Advisory.Withdrawn {
		out += "; it was withdrawn"
	}
	return out
}

// advisoryWords says in few words how bad an advisory is.
func (f *AdvisoryFacts) words() string {
	words := []string{f.Severity}
	if f.Score > 0 {
		words[0] += fmt.Sprintf(" %.1f", f.Score)
	}
	if f.Exploited {
		words = append(words, "known to be exploited")
	}
	return strings.Join(words, ", ")
}
