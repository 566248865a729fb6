package graph

import (
	"cmp"
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

// Edges returns all edges by parent, child, kind, evidence and place.
func (g *Graph) Edges() []Edge { return slices.Clone(g.edges) }

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
func (g *Graph) reach(next [][]int32, names []string) []string {
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
		for _, to := range next[found[at]] {
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

func (g *Graph) edgesOf(lists [][]int32, name string) []Edge {
	i, ok := g.index[name]
	if !ok {
		return nil
	}
	out := make([]Edge, len(lists[i]))
	for k, e := range lists[i] {
		out[k] = g.edges[e]
	}
	return out
}

// ParentOf returns the image whose packages flow into name: its Inherits parent. Where kinds of evidence name
// different parents the recipe's is returned, since it says what the next build will stand on; then the layers', then
// the provenance's.
func (g *Graph) ParentOf(name string) (string, bool) {
	best := Edge{}
	for _, e := range g.Parents(name) {
		if e.Kind == Inherits && (best.Parent == "" || standing(e.Evidence) > standing(best.Evidence)) {
			best = e
		}
	}
	return best.Parent, best.Parent != ""
}

func standing(e Evidence) int {
	return slices.Index([]Evidence{FromProvenance, FromLayers, FromRecipe}, e)
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
