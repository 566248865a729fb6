package graph

import (
	"cmp"
	"maps"
	"slices"
)

// Node returns the image of that name.
func (g *Graph) Node(name string) (Node, bool) {
	i, ok := g.index[name]
	if !ok {
		return Node{}, false
	}
	return g.nodes[i], true
}

// Nodes returns all images by name.
func (g *Graph) Nodes() []Node { return slices.Clone(g.nodes) }

// Edges returns all edges by parent, child and kind, the strongest evidence first.
func (g *Graph) Edges() []Edge {
	out := make([]Edge, len(g.links))
	for i := range out {
		out[i] = g.edge(int32(i))
	}
	return out
}

// Len is the number of images.
func (g *Graph) Len() int { return len(g.nodes) }

// Order returns all names so that every image comes after everything it stands on: by tier, then by name.
func (g *Graph) Order() []string { return g.names(g.order) }

// Tiers returns the names in tiers, each sorted: the images of a tier stand only on images of earlier ones, so that a
// whole tier can be built at once.
func (g *Graph) Tiers() [][]string {
	var tiers [][]string
	for _, i := range g.order {
		if int(g.tier[i]) == len(tiers) {
			tiers = append(tiers, nil)
		}
		last := len(tiers) - 1
		tiers[last] = append(tiers[last], g.nodes[i].Name)
	}
	return tiers
}

// Affected returns every image that stands on one of names, directly or not, in Order. The names themselves are left
// out, also when one stands on another; names not in the graph are passed over.
func (g *Graph) Affected(names ...string) []string { return g.reach(g.down, names) }

// Ancestors returns every image that one of names stands on, directly or not, in Order; see Affected.
func (g *Graph) Ancestors(names ...string) []string { return g.reach(g.up, names) }

// reach walks along next from names and returns what it meets besides them.
func (g *Graph) reach(next lists, names []string) []string {
	seen := make([]bool, len(g.nodes))
	var found []int32
	for _, name := range names {
		if i, ok := g.index[name]; ok && !seen[i] {
			seen[i] = true
			found = append(found, i)
		}
	}
	starts := len(found)
	for at := 0; at < len(found); at++ {
		for _, to := range next.of(found[at]) {
			if !seen[to] {
				seen[to] = true
				found = append(found, to)
			}
		}
	}
	found = found[starts:]
	slices.SortFunc(found, func(a, b int32) int { return cmp.Compare(g.rank[a], g.rank[b]) })
	return g.names(found)
}

// Parents returns the edges to what name stands on, by parent.
func (g *Graph) Parents(name string) []Edge { return g.edgesOf(g.in, name) }

// Children returns the edges from what stands directly on name, by child.
func (g *Graph) Children(name string) []Edge { return g.edgesOf(g.out, name) }

func (g *Graph) edgesOf(l lists, name string) []Edge {
	i, ok := g.index[name]
	if !ok {
		return nil
	}
	out := make([]Edge, 0, len(l.of(i)))
	for _, k := range l.of(i) {
		out = append(out, g.edge(k))
	}
	return out
}

// Believed returns one edge for each parent, kind and platform that name is built on: the one with the strongest
// evidence. Neither an edge for all platforms nor a recipe repeats what is known of the platforms that were built.
func (g *Graph) Believed(name string) []Edge {
	var out []Edge
	for _, e := range g.Parents(name) { // of each parent and kind, the strongest evidence first
		known := slices.ContainsFunc(out, func(o Edge) bool {
			return o.Parent == e.Parent && o.Kind == e.Kind && (o.Platform == e.Platform || o.Evidence.built() && !e.Evidence.built())
		})
		if !known {
			out = append(out, e)
		}
	}
	return slices.DeleteFunc(out, func(e Edge) bool {
		return e.Platform == "" && slices.ContainsFunc(out, func(o Edge) bool {
			return o.Platform != "" && o.Evidence.built() && o.Parent == e.Parent && o.Kind == e.Kind
		})
	})
}

// Built returns what the published image of name inherits from: the edge with the strongest evidence of each platform
// for which there is any. A recipe is none.
func (g *Graph) Built(name string) []Edge {
	best := map[string]Edge{}
	for _, e := range g.Parents(name) {
		if e.Kind == Inherits && e.Evidence.built() && e.Evidence.strength() > best[e.Platform].Evidence.strength() {
			best[e.Platform] = e
		}
	}
	out := make([]Edge, 0, len(best))
	for _, platform := range slices.Sorted(maps.Keys(best)) {
		out = append(out, best[platform])
	}
	return out
}

// ParentOf returns the image whose packages flow into name: its Inherits parent. Where kinds of evidence name
// different parents the recipe's is returned, since it says what the next build will stand on; then the strongest.
// Following it upwards ends.
func (g *Graph) ParentOf(name string) (string, bool) {
	i, ok := g.index[name]
	if !ok {
		return "", false
	}
	best, parent := -1, ""
	for _, k := range g.in.of(i) {
		w := g.whats[g.links[k].what]
		if w.kind == Inherits && !g.links[k].loose && standing(w.evidence) > best {
			best, parent = standing(w.evidence), g.nodes[g.links[k].parent].Name
		}
	}
	return parent, best >= 0
}

// standing orders evidence by how well it says what the next build will stand on.
func standing(e Evidence) int {
	if e == FromRecipe {
		return FromLayers.strength() + 1
	}
	return max(0, e.strength())
}

// Subgraph returns the images of names and the edges between them. Names not in the graph are passed over.
func (g *Graph) Subgraph(names ...string) *Graph {
	keep := make(map[string]bool, len(names))
	var nodes []Node
	for _, name := range names {
		if n, ok := g.Node(name); ok && !keep[name] {
			keep[name] = true
			nodes = append(nodes, n)
		}
	}
	var edges []Edge
	for _, n := range nodes {
		for _, e := range g.Children(n.Name) {
			if keep[e.Child] {
				edges = append(edges, e)
			}
		}
	}
	sub, err := New(nodes, edges)
	if err != nil {
		// Part of a valid graph is valid: no name twice, both ends kept, no new way round.
		panic("graph: subgraph of a valid graph: " + err.Error())
	}
	return sub
}
