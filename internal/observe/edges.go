package observe

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/plan"
	"rebuilder/internal/registry"
	"rebuilder/internal/store"
)

// Unlisted is an image that another one claims to be made from and that the catalog does not name.
type Unlisted struct {
	Image     string         `json:"image"` // that claims it
	Evidence  graph.Evidence `json:"evidence"`
	Reference string         `json:"reference,omitempty"` // without digest; empty when only the digest is claimed
	Digest    string         `json:"digest,omitempty"`
}

// graph is what the recipes and Dockerfiles say, what images claim, and what the layers prove.
func (l *looking) graph(ctx context.Context) (*graph.Graph, []Unlisted, error) {
	var nodes []graph.Node
	var edges []graph.Edge
	e := l.edger()
	for _, u := range l.c.Upstreams {
		nodes = append(nodes, graph.Node{Name: u.Name, Kind: graph.Upstream})
	}
	for _, b := range l.c.Bases {
		nodes = append(nodes, graph.Node{Name: b.Name, Kind: graph.Base})
		var recipe []graph.Edge
		for _, p := range l.recipes[b.Name].parents {
			recipe = append(recipe, e.next(b, p))
		}
		edges = append(edges, e.all(b.Name, recipe)...)
	}
	for _, a := range l.c.Applications {
		for _, i := range a.Images {
			nodes = append(nodes, graph.Node{Name: i.Name, Kind: graph.Application})
			f := l.facts.Applications[i.Name]
			var recipe []graph.Edge
			for _, r := range append(slices.Clip(f.References), f.Upstreams...) {
				pinned := ""
				if r.Pinned.Hex != "" {
					pinned = r.Pinned.String()
				}
				recipe = append(recipe, e.recipe(r.Base, i.Name, r.Kind, fmt.Sprintf("%s:%d", r.File, r.Line), pinned))
			}
			edges = append(edges, e.all(i.Name, recipe)...)
		}
	}
	if l.Found != nil {
		found, on, err := l.Found(ctx, l.c)
		if err != nil {
			return nil, nil, fmt.Errorf("what discovery found: %w", err)
		}
		nodes, edges = append(nodes, found...), append(edges, on...)
	}
	g, err := graph.New(nodes, edges)
	return g, e.unlisted, err
}

// edger makes the edges of one look.
type edger struct {
	*looking
	chains   map[string][]store.Layered // by chain id: images that others are made from, the likelier first
	whose    map[string][]string        // digest, of index or manifest -> images that others are made from
	points   map[string]pointing
	unlisted []Unlisted
}

func (l *looking) edger() *edger {
	e := &edger{looking: l, chains: map[string][]store.Layered{}, whose: map[string][]string{}, points: map[string]pointing{}}
	add := func(row store.Layered) {
		e.chains[row.Chain] = append(e.chains[row.Chain], row)
		e.own(row.Digest, row.Image)
	}
	for _, name := range slices.Sorted(maps.Keys(l.sights)) {
		s := l.sights[name]
		if l.kind(name) == string(graph.Application) {
			continue
		}
		for _, h := range l.pointed(name) {
			e.own(h.Digest.String(), name)
			for _, m := range h.Manifests {
				e.own(m.String(), name)
			}
		}
		if all := store.Chains(diffIDs(s.image.DiffIDs)); len(all) > 0 {
			add(store.Layered{Digest: s.image.Digest.String(), Image: name, Platform: s.image.Platform, Chain: all[len(all)-1]})
		}
	}
	for _, row := range l.parents {
		if _, known := l.sights[row.Image]; known && l.kind(row.Image) != string(graph.Application) {
			add(row)
		}
	}
	return e
}

func (e *edger) own(digest, image string) {
	if !slices.Contains(e.whose[digest], image) {
		e.whose[digest] = append(e.whose[digest], image)
	}
}

// pointed is what a reference pointed to, now's first, of what is no upstream only now's.
func (l *looking) pointed(name string) []plan.Sighting {
	s := l.sights[name]
	if len(s.history) > 0 || !s.image.Exists() {
		return s.history
	}
	return []plan.Sighting{{Digest: s.resolved.Digest(), Manifests: s.resolved.Manifests}}
}

// pointing is what the references of one image held.
type pointing struct {
	manifests map[string]map[string]v1.Hash // digest -> platform -> manifest
	newest    map[string]string             // manifest -> the newest digest that holds it
}

func (l *looking) pointing(name string) pointing {
	p := pointing{map[string]map[string]v1.Hash{}, map[string]string{}}
	for _, s := range l.pointed(name) {
		p.manifests[s.Digest.String()] = s.Manifests
		for _, m := range s.Manifests {
			if _, newer := p.newest[m.String()]; !newer {
				p.newest[m.String()] = s.Digest.String()
			}
		}
	}
	return p
}

// at names a digest of a parent as its reference would: by the newest index that holds it, where there is one. So an edge
// tells the same of all platforms, and an index that got a new digest and nothing else is no other image.
func (e *edger) at(parent, digest, platform string) string {
	p, ok := e.points[parent]
	if !ok {
		p = e.pointing(parent)
		e.points[parent] = p
	}
	manifest := digest
	if m := p.manifests[digest][platform]; m.Hex != "" {
		manifest = m.String()
	}
	return cmp.Or(p.newest[manifest], digest)
}

// next is an edge to what the next build of a base will take of one of its parents.
func (e *edger) next(b catalog.Base, p plan.Parent) graph.Edge {
	out := e.recipe(p.Name, b.Name, p.Kind, p.Where, "")
	if p.Platform == registry.PlatformName(b.Platform) {
		return out
	}
	out.Platform = p.Platform
	if s := e.sights[p.Name]; s.image.Exists() {
		out.Digest = ""
		if taken := s.image.For(p.Platform); taken.Unknown == "" {
			out.Digest = e.at(p.Name, taken.Digest.String(), p.Platform)
		}
	}
	return out
}

// recipe is an edge to what the next build will stand on.
func (e *edger) recipe(parent, child string, kind graph.EdgeKind, where, pinned string) graph.Edge {
	s := e.sights[parent]
	out := graph.Edge{Parent: parent, Child: child, Kind: kind, Evidence: graph.FromRecipe, Where: where}
	switch {
	case pinned != "":
		out.Digest = e.at(parent, pinned, s.image.Platform)
	case s.image.Exists():
		out.Digest = e.at(parent, s.image.Digest.String(), s.image.Platform)
	}
	return out
}

// all are the edges to one image: recipe's, and those of what was built.
func (e *edger) all(child string, recipe []graph.Edge) []graph.Edge {
	s := e.sights[child]
	if !s.image.Exists() {
		return recipe
	}
	var found []graph.Edge
	platforms := 0
	for _, platform := range slices.Sorted(maps.Keys(s.resolved.Manifests)) {
		m := s.resolved.Manifests[platform]
		o, ok := e.origin[m.String()]
		if m == s.image.Digest {
			o.Layers, ok = diffIDs(s.image.DiffIDs), true
		}
		if !ok {
			continue
		}
		platforms++
		proven := e.proven(child, platform, o, recipe)
		found = append(append(found, proven...), e.claimed(child, platform, o.Claims, proven, recipe)...)
	}
	return append(append(recipe, together(found, platforms)...), e.ours(child, recipe)...)
}

// ours are the edges to what we built ourselves: the stored build says what from.
func (e *edger) ours(child string, recipe []graph.Edge) (out []graph.Edge) {
	platform := e.sights[child].image.Platform
	for _, parent := range slices.Sorted(maps.Keys(e.used[child])) {
		if _, ok := e.sights[parent]; !ok {
			continue // it is not in the catalog any more
		}
		for _, w := range ways(parent, recipe, graph.Uses) {
			w.Parent, w.Child, w.Evidence, w.Digest = parent, child, graph.FromProvenance, e.at(parent, e.used[child][parent], platform)
			out = append(out, w)
		}
	}
	return out
}

// proven is the edge to the nearest image whose layers are the first ones of one platform of a child; none when there is
// no such image.
func (e *edger) proven(child, platform string, o store.Origin, recipe []graph.Edge) []graph.Edge {
	named := func(image string) bool {
		return slices.ContainsFunc(recipe, func(r graph.Edge) bool { return r.Parent == image && r.Kind == graph.Inherits })
	}
	all := store.Chains(o.Layers)
	for n := len(all); n > 0; n-- {
		var fits []store.Layered
		for _, c := range e.chains[all[n-1]] {
			other := c.Platform != "" && registry.PlatformName(c.Platform) != platform
			// What adds no layer to its parent cannot be told from what has the same parent, but by its recipe.
			if c.Image == child || other || n == len(all) && !named(c.Image) {
				continue
			}
			fits = append(fits, c)
		}
		if len(fits) == 0 {
			continue
		}
		claimed := func(c store.Layered) bool {
			return slices.ContainsFunc(o.Claims, func(x store.Claimed) bool {
				return x.Digest != "" && e.at(c.Image, x.Digest, platform) == e.at(c.Image, c.Digest, platform)
			})
		}
		slices.SortStableFunc(fits, func(a, b store.Layered) int {
			return cmp.Or(likelier(named(a.Image), named(b.Image)), likelier(claimed(a), claimed(b)))
		})
		w := ways(fits[0].Image, slices.DeleteFunc(slices.Clone(recipe), func(r graph.Edge) bool { return r.Kind != graph.Inherits }), graph.Inherits)[0]
		w.Parent, w.Child, w.Evidence, w.Platform, w.Digest = fits[0].Image, child, graph.FromLayers, platform, e.at(fits[0].Image, fits[0].Digest, platform)
		return []graph.Edge{w}
	}
	return nil
}

// likelier puts what is so before what is not.
func likelier(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// claimed are the edges to what one platform of a child says it was made from.
func (e *edger) claimed(child, platform string, claims []store.Claimed, proven, recipe []graph.Edge) (out []graph.Edge) {
	for _, c := range claims {
		parent, ok := e.meant(c)
		if !ok {
			if u := (Unlisted{child, graph.Evidence(c.Evidence), c.Reference, c.Digest}); !slices.Contains(e.unlisted, u) {
				e.unlisted = append(e.unlisted, u)
			}
			continue
		}
		if parent == child {
			continue // patched in place
		}
		kinds := []graph.Edge{{Kind: graph.Inherits}}
		if c.Evidence == registry.Provenance {
			kinds = read(parent, proven, recipe)
		} else if w := ways(parent, recipe, graph.Inherits); w[0].Kind == graph.Inherits {
			kinds = w[:1]
		}
		for _, w := range kinds {
			w.Parent, w.Child, w.Evidence, w.Platform, w.Digest = parent, child, graph.Evidence(c.Evidence), platform, e.at(parent, c.Digest, cmp.Or(c.Platform, platform))
			out = append(out, w)
		}
	}
	return out
}

// read says in which ways an image was used that provenance lists, which does not say it: as the recipe does, but only
// what the layers prove was inherited from.
func read(parent string, proven, recipe []graph.Edge) []graph.Edge {
	if len(proven) == 0 {
		return ways(parent, recipe, graph.Uses)
	}
	if proven[0].Parent == parent {
		return ways(parent, recipe, graph.Inherits)
	}
	others := slices.DeleteFunc(slices.Clone(recipe), func(r graph.Edge) bool { return r.Kind == graph.Inherits })
	return ways(parent, others, graph.Uses)
}

// ways are edges with the kinds, places and platforms in which a recipe names a parent; or else a single one of another kind.
func ways(parent string, recipe []graph.Edge, otherwise graph.EdgeKind) (out []graph.Edge) {
	for _, r := range recipe {
		if r.Parent == parent && !slices.ContainsFunc(out, func(w graph.Edge) bool { return w.Kind == r.Kind }) {
			out = append(out, graph.Edge{Kind: r.Kind, Where: r.Where, Platform: r.Platform})
		}
	}
	if len(out) == 0 {
		out = []graph.Edge{{Kind: otherwise}}
	}
	return out
}

// meant is the image of the catalog that a claim means: the one whose digest it names, or else whose reference.
func (e *edger) meant(c store.Claimed) (image string, ok bool) {
	_, digest := splitDigest("@" + c.Digest)
	named, _, ok := e.names.find(reference{name: c.Reference, digest: digest})
	switch whose := e.whose[c.Digest]; {
	case len(whose) == 1:
		return whose[0], true
	case len(whose) > 1 && !slices.Contains(whose, named.name):
		return whose[0], true
	}
	return named.name, ok
}

// together makes one edge of what holds for every platform, if everything does. Else each platform has its own, so that
// what is strongest can be told of each.
func together(edges []graph.Edge, platforms int) []graph.Edge {
	on := map[graph.Edge]map[string]bool{}
	for _, e := range edges {
		platform := e.Platform
		e.Platform = ""
		if on[e] == nil {
			on[e] = map[string]bool{}
		}
		on[e][platform] = true
	}
	for _, same := range on {
		if len(same) < platforms {
			return edges
		}
	}
	return slices.Collect(maps.Keys(on)) // in no order: the graph has its own
}

func diffIDs(all []v1.Hash) []string {
	out := make([]string, len(all))
	for i, d := range all {
		out[i] = d.String()
	}
	return out
}

// compareUnlisted orders what a look could not place.
func compareUnlisted(a, b Unlisted) int {
	return cmp.Or(strings.Compare(a.Image, b.Image), strings.Compare(a.Reference, b.Reference), strings.Compare(a.Digest, b.Digest), strings.Compare(string(a.Evidence), string(b.Evidence)))
}
