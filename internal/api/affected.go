package api

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rebuilder/internal/advisory"
	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/inventory"
	"rebuilder/internal/patch"
	"rebuilder/internal/store"
)

// NoAdvisories is why questions about advisories are not answered.
const NoAdvisories = "no source of advisories is configured"

const (
	maxEarlier = 1000 // earlier digests in an answer
	maxNear    = 5    // names that come near
)

// Affected says which images have a package, or stand on a digest; all lists earlier digests, too. asked is
// PACKAGE[@VERSION|<VERSION|<=VERSION], where a source's name stands for all packages that are built from it, or a digest,
// or an advisory's id.
func (r *Reader) Affected(ctx context.Context, asked string, all bool) (Affected, error) {
	t, mistake := parseTarget(asked)
	if mistake != nil {
		return Affected{}, mistake
	}
	v, err := r.view(ctx)
	if err != nil {
		return Affected{}, err
	}
	a := Affected{Now: v.now, AsOf: v.asOf(), Asked: asked, Kind: t.kind, Name: t.name, Op: t.op, Version: t.version,
		Found: []Found{}, Downstream: []Downstream{}, NotKnown: []NotKnown{}, Earlier: []Found{}}
	if a.Indexes, err = r.indexes(ctx); err != nil {
		return a, err
	}
	images := v.images()
	a.Images, a.Observed = len(images), fleet(images).Observed
	switch {
	case v.snap.World == nil && (t.kind != TargetAdvisory || r.unadvised(v) == ""):
		a.Unanswered = "nothing was looked at yet"
	case t.kind == TargetAdvisory:
		err = r.advised(ctx, v, &a, images, all)
	case t.kind == TargetDigest:
		err = r.standing(ctx, v, &a, images)
	default:
		err = r.having(ctx, v, &a, t, images, all)
	}
	if err != nil {
		return a, err
	}
	if a.Unanswered != "" {
		a.Unknown = a.Images
		a.Sentence = fmt.Sprintf("%s: unknown, of %s: %s", t.words(), a.all(), a.Unanswered)
	}
	return a, nil
}

func (r *Reader) indexes(ctx context.Context) (Indexes, error) {
	x, err := store.IndexAges(ctx, r.Store.Q())
	return Indexes{Count: x.Count, Problems: x.Problems, CheckedAt: at(x.CheckedAt)}, err
}

// search is one question about a package.
type search struct {
	*view
	target
	a        *Affected
	by       map[string][]store.Holding // what is asked for, by digest
	other    map[string][]store.Holding // other versions, by digest
	doubtful map[string]string          // by digest: why it cannot be told
	listed   map[string]store.Contents
	image    map[string]Image

	// Of an advisory.
	hits      map[store.Holding]advisory.Hit
	uncovered map[string]string // by digest: why nothing is known of its packages
	partly    map[string]bool   // digests that have packages, too, of which nothing is known
}

// having answers for a package.
func (r *Reader) having(ctx context.Context, v *view, a *Affected, t target, images []Image, all bool) error {
	s := &search{view: v, target: t, a: a, by: map[string][]store.Holding{}, other: map[string][]store.Holding{}, doubtful: map[string]string{}, image: map[string]Image{}}
	holdings, err := store.Holdings(ctx, r.Store.Q(), t.name)
	if err != nil {
		return err
	}
	if len(holdings) == 0 && slices.ContainsFunc(images, func(i Image) bool { return i.Name == t.name }) {
		return badRequest(fmt.Sprintf("what stands on it: rebuilder images --on %[1]s; what has its digest: rebuilder affected %[1]s@DIGEST", t.name), "%s is an image, and no package has that name", t.name)
	}
	s.sort(holdings)
	if s.listed, err = store.Listed(ctx, r.Store.Q()); err != nil {
		return err
	}
	var rest []Image
	has := map[string]bool{}
	for _, img := range images {
		s.image[img.Name] = img
		found := s.by[img.Digest]
		if img.Digest == "" || len(found) == 0 {
			rest = append(rest, img)
			continue
		}
		has[img.Name] = true
		for _, h := range found {
			a.Found = append(a.Found, s.found(img, h))
		}
	}
	a.Has = len(has)
	s.rest(rest, has)
	if err := r.earlier(ctx, s, images, all); err != nil {
		return err
	}
	if len(holdings) == 0 {
		if a.Near, err = r.near(ctx, t.name); err != nil {
			return err
		}
	}
	a.Sentence = s.sentence(len(holdings) > 0)
	return nil
}

// sort tells what is asked for from what is not.
func (s *search) sort(all []store.Holding) {
	slices.SortFunc(all, func(a, b store.Holding) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Architecture, b.Architecture), cmp.Compare(a.Version, b.Version))
	})
	for _, h := range all {
		version := h.Version
		if h.Name != s.name {
			version = h.SourceVersion // it was found by its source, and so is the version meant
		}
		switch yes, err := s.asks(h.Type, version); {
		case err != nil:
			s.doubtful[h.Digest] = err.Error()
		case yes:
			s.by[h.Digest] = append(s.by[h.Digest], h)
		default:
			s.other[h.Digest] = append(s.other[h.Digest], h)
		}
	}
}

// found is one package in one image.
func (s *search) found(img Image, h store.Holding) Found {
	f := foundOf(img, h)
	f.Layers = s.listed[h.Digest].Layers
	chain := s.chain(img.Name)
	f.BroughtBy, f.Proven = s.broughtBy(img.Name, chain, h.Layer)
	if f.Proven {
		f.FixedBy = s.lowest(img.Name, chain, f.BroughtBy)
	}
	f.Newer, f.NewerUnknown = s.newerThan(img, chain, h, f)
	if f.Newer != nil {
		f.FixedBy = f.Newer.FixedBy
	}
	return f
}

func foundOf(img Image, h store.Holding) Found {
	return Found{Image: img.Name, Kind: img.Kind, Owner: img.Owner, State: img.State, Digest: h.Digest, Type: h.Type, Package: h.Name, Version: h.Version,
		Architecture: h.Architecture, Source: h.Source, Held: h.Held, Layer: h.Layer + 1}
}

// lowest is the image nearest to where a package comes from whose recipe is ours or an application's: it can bring a newer
// one in. It is empty when all that hold it are made by others.
func (v *view) lowest(name string, chain []Link, by string) string {
	if v.mends(by) {
		return by
	}
	for i := len(chain) - 1; i >= 0; i-- {
		if chain[i].Parent == by && v.mends(chain[i].Child) {
			return chain[i].Child
		}
	}
	return ""
}

// mends says that an image is made from a recipe that the catalog names.
func (v *view) mends(name string) bool {
	if v.snap.World == nil {
		return false
	}
	n, ok := v.snap.World.Graph.Node(name)
	return ok && (n.Kind == graph.Base || n.Kind == graph.Application)
}

// newerThan is a newer version of a package in an image: in the package repositories, or already in an image above it.
// Without one, unknown says why there may be one all the same.
func (s *search) newerThan(img Image, chain []Link, h store.Holding, f Found) (p *Patch, unknown string) {
	if (inventory.Package{Type: h.Type}).Library() {
		return nil, libraryUnwatched
	}
	for _, p := range s.offers(img) {
		if p.Package == h.Name && p.From == h.Version && (p.Architecture == h.Architecture || p.Architecture == "") {
			return &p, ""
		}
	}
	for _, l := range chain {
		if l.Standing != "older" {
			continue
		}
		for _, above := range append(slices.Clone(s.by[l.ParentDigest]), s.other[l.ParentDigest]...) {
			if above.Type != h.Type || above.Name != h.Name || above.Architecture != h.Architecture {
				continue
			}
			if order, err := patch.Compare(h.Type, above.Version, h.Version); err == nil && order > 0 {
				return &Patch{Package: h.Name, Architecture: h.Architecture, Source: h.Source, From: h.Version, To: above.Version, Repository: l.Parent, FixedBy: l.Parent}, ""
			}
		}
	}
	return nil, s.unwatched(img, f)
}

// libraryUnwatched is why newer versions of libraries are not known.
const libraryUnwatched = "it is a library, and no package repository of the image has any"

// offers are the newer packages that are known for an image; for an upstream those that the bases on it are offered.
func (v *view) offers(img Image) []Patch {
	out := v.patches(img.Name)
	if img.Kind != string(graph.Upstream) {
		return out
	}
	for _, e := range v.snap.World.Graph.Children(img.Name) {
		if e.Kind == graph.Inherits {
			out = append(out, v.patches(e.Child)...)
		}
	}
	return out
}

// unwatched says why a newer version of a package might be there without being known; empty when it would be.
func (v *view) unwatched(img Image, f Found) string {
	b, ours := v.snap.World.Facts.Bases[img.Name]
	switch {
	case ours && b.Stale != "":
		return "its package repositories: " + b.Stale
	case ours:
		return ""
	case f.Proven && f.BroughtBy == img.Name && img.Kind == string(graph.Application):
		return "it was installed by the application itself, whose package repositories are not watched"
	case f.FixedBy == "":
		return "nobody of the catalog builds what holds it"
	}
	return v.stale(f.FixedBy)
}

func (v *view) stale(name string) string {
	if s := v.snap.World.Facts.Bases[name].Stale; s != "" {
		return "the package repositories of " + name + ": " + s
	}
	return ""
}

// rest sorts the images that do not show it.
func (s *search) rest(images []Image, has map[string]bool) {
	rest(s.view, s.a, images, has, s.unread)
	may := map[string]bool{}
	for _, d := range s.a.Downstream {
		may[d.Image] = true
	}
	for _, img := range images {
		if !may[img.Name] && s.unread(img) == "" && s.listed[img.Digest].Unknown > 0 {
			s.a.Partly++
		}
	}
}

// rest sorts the images that are not known to be affected: into those that may be by their parents, those of which it is
// not known, and those that are not. unread says why that cannot be seen in an image itself; empty when it can.
func rest(v *view, a *Affected, images []Image, has map[string]bool, unread func(Image) string) {
	why := make(map[string]string, len(images))
	for _, img := range images {
		if reason := unread(img); reason != "" {
			why[img.Name] = reason
		}
	}
	below := v.below(has, why)
	for _, img := range images {
		reason := why[img.Name]
		if d, ok := below[img.Name]; ok {
			d.Kind, d.Owner, d.State, d.Read = img.Kind, img.Owner, img.State, reason == ""
			a.Downstream = append(a.Downstream, d)
		} else if reason != "" {
			a.NotKnown = append(a.NotKnown, NotKnown{Image: img.Name, Kind: img.Kind, Reason: reason})
		}
	}
	a.Below, a.Unknown = len(a.Downstream), len(a.NotKnown)
	a.Clean = a.Images - a.Has - a.Below - a.Unknown
}

// below are the images that may be affected by their parents, and through which. What an image inherits shows in itself
// once it was read; what it copies from another one, or was compiled with, does not, nor does it in what is made from it.
func (v *view) below(has map[string]bool, unread map[string]string) map[string]Downstream {
	g := v.snap.World.Graph
	b := &below{has: has, unread: unread, may: map[string]Downstream{}, hides: map[string]bool{}}
	reached := maps.Clone(has)
	for _, name := range g.Affected(slices.Sorted(maps.Keys(has))...) {
		reached[name] = true
	}
	names := slices.DeleteFunc(g.Order(), func(name string) bool { return !reached[name] })
	for more := true; more; { // once, and once more to see that it was enough: only claims make circles
		more = false
		for _, name := range names {
			edges := g.Parents(name)
			slices.SortStableFunc(edges, func(a, b graph.Edge) int { return rankOf(a.Kind) - rankOf(b.Kind) })
			more = b.add(name, edges) || more
		}
	}
	return b.may
}

// below is what comes down to the images that stand on affected ones, or are made with them.
type below struct {
	has    map[string]bool       // known to be affected
	unread map[string]string     // why it cannot be seen whether they are
	may    map[string]Downstream // that may be
	hides  map[string]bool       // that hold something which came from such an image and does not show
}

// add looks at what comes to an image by its edges; it says whether that was anything new.
func (b *below) add(name string, edges []graph.Edge) (more bool) {
	for _, e := range edges {
		if _, may := b.may[e.Parent]; !may && !b.has[e.Parent] {
			continue
		}
		hidden := e.Kind != graph.Inherits || b.hides[e.Parent]
		if hidden && !b.hides[name] {
			b.hides[name], more = true, true
		}
		if _, known := b.may[name]; known || b.has[name] || !hidden && b.unread[name] == "" {
			continue
		}
		b.may[name], more = Downstream{Image: name, Via: e.Parent, Edge: string(e.Kind), Note: cmp.Or(b.unread[name], hiding(e))}, true
	}
	return more
}

// hiding says why what came along an edge does not show.
func hiding(e graph.Edge) string {
	switch e.Kind {
	case graph.Inherits:
		return "what " + e.Parent + " was made with is in it, too, and does not show"
	case graph.CopiesFrom:
		return "what was copied is in no package database"
	case graph.BuildsWith:
		return "what was compiled in does not show"
	}
	return "what came from it does not show"
}

// rankOf puts the ways of using a parent in order of how much comes down by it; unknown ways last.
func rankOf(k graph.EdgeKind) int {
	ways := []graph.EdgeKind{graph.Inherits, graph.CopiesFrom, graph.BuildsWith}
	if i := slices.Index(ways, k); i >= 0 {
		return i
	}
	return len(ways)
}

// unread says why the contents of an image are not known; empty when they are, and what is asked for is not in it.
func (s *search) unread(img Image) string {
	c, listed := s.listed[img.Digest]
	switch {
	case !listed && !img.declared():
		return notLookedInto
	case img.Digest == "" && img.Sentence != "":
		return img.Sentence
	case img.Digest == "":
		return "no image of it is known"
	case s.doubtful[img.Digest] != "":
		return s.doubtful[img.Digest]
	case !listed:
		return "what is inside " + Short(img.Digest) + " is not known yet"
	case c.Packages == 0:
		return "no packages could be read in " + Short(img.Digest)
	}
	return s.uncovered[img.Digest]
}

// earlier adds the digests that no image points to any more.
func (r *Reader) earlier(ctx context.Context, s *search, images []Image, all bool) error {
	now := map[string]bool{}
	for _, img := range images {
		now[img.Digest] = true
	}
	old := slices.DeleteFunc(slices.Collect(maps.Keys(s.by)), func(d string) bool { return now[d] })
	if s.a.EarlierCount = len(old); !all || len(old) == 0 {
		return nil
	}
	read, err := store.ReadOf(ctx, r.Store.Q(), old)
	if err != nil {
		return err
	}
	slices.SortFunc(old, func(a, b string) int { return cmp.Or(cmp.Compare(read[b].ReadAt, read[a].ReadAt), cmp.Compare(a, b)) })
	for _, d := range old[:min(len(old), maxEarlier)] {
		for _, h := range s.by[d] {
			f := foundOf(Image{Name: read[d].Image}, h)
			f.ReadAt, f.Layers = at(read[d].ReadAt), s.listed[d].Layers
			s.a.Earlier = append(s.a.Earlier, f)
		}
	}
	return nil
}

// near are names of packages that come near one that nothing has.
func (r *Reader) near(ctx context.Context, name string) ([]string, error) {
	names, err := store.PackageNames(ctx, r.Store.Q())
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	near := catalog.Nearest(name, names)
	var out []string
	if near != "" {
		out = append(out, near)
	}
	for _, n := range names {
		if len(out) < maxNear && n != near && len(name) > 2 && (strings.Contains(n, name) || len(n) > 2 && strings.HasPrefix(name, n)) {
			out = append(out, n)
		}
	}
	return out, nil
}

// sentence is the answer in one line.
func (s *search) sentence(anywhere bool) string {
	a := s.a
	out := fmt.Sprintf("%s is in %s of %s%s; %s not have it; %s unknown", s.words(), Thousands(a.Has), a.all(), belowWords(a), verbed(a.Clean, "does", "do"), Thousands(a.Unknown))
	if a.Partly > 0 {
		out += fmt.Sprintf("; %s of those that do not also hold files that are in no package database", Thousands(a.Partly))
	}
	if !anywhere {
		out += "; no package or source of that name was ever seen"
	}
	return out
}

// all is the denominator of an answer.
func (a *Affected) all() string {
	s := Count(a.Images, "image")
	if a.Observed > 0 {
		s += fmt.Sprintf(" (%s of them declared by nobody)", Thousands(a.Observed))
	}
	return s
}

// belowWords says how many images may be affected by their parents, and why; empty when none may.
func belowWords(a *Affected) string {
	if a.Below == 0 {
		return ""
	}
	unread := 0
	for _, d := range a.Downstream {
		if !d.Read {
			unread++
		}
	}
	var why []string
	if unread > 0 {
		why = append(why, fmt.Sprintf("%s not read and %s below those", verbed(unread, "was", "were"), verb(unread, "is", "are")))
	}
	if made := a.Below - unread; made > 0 {
		why = append(why, verbed(made, "was", "were")+" made with those, which does not show")
	}
	return fmt.Sprintf("; %s more may be affected (%s)", Thousands(a.Below), strings.Join(why, ", "))
}

func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func verbed(n int, one, many string) string { return Thousands(n) + " " + verb(n, one, many) }
