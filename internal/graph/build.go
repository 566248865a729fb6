package graph

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Graph is an immutable directed acyclic graph of images. It is safe for concurrent use.
//
// Nodes are held in name order and addressed by their index, so that walks touch slices of int32 and never a map.
type Graph struct {
	nodes []Node           // by name
	index map[string]int32 // name -> index in nodes
	edges []Edge           // by parent, child, kind, evidence, where

	down, up [][]int32 // neighbours by index: ascending, each once
	in, out  [][]int32 // edges by child and by parent: indexes in edges
	tier     []int32   // longest way from a root
	order    []int32   // by tier, then name
	rank     []int32   // place in order
}

// New checks and indexes a graph. An edge that is given twice is kept once; edges between the same two images may
// differ in kind, evidence and place. Every duplicate node and every edge to an unknown image is reported, joined in
// one error; a cycle is named in full.
func New(nodes []Node, edges []Edge) (*Graph, error) {
	g := &Graph{nodes: slices.Clone(nodes), index: make(map[string]int32, len(nodes))}
	slices.SortStableFunc(g.nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	var mistakes []error
	for i, n := range g.nodes {
		switch _, dup := g.index[n.Name]; {
		case n.Name == "":
			mistakes = append(mistakes, errors.New("an image of the graph has no name"))
		case dup:
			mistakes = append(mistakes, fmt.Errorf("image %q is in the graph twice", n.Name))
		default:
			g.index[n.Name] = int32(i)
		}
	}
	for _, e := range edges {
		for _, end := range []string{e.Parent, e.Child} {
			if _, ok := g.index[end]; !ok {
				mistakes = append(mistakes, fmt.Errorf("%s: image %q is not in the graph", describe(e), end))
			}
		}
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	g.connect(edges)
	if err := g.sort(); err != nil {
		return nil, err
	}
	return g, nil
}

// describe says an edge in words, for errors.
func describe(e Edge) string {
	s := fmt.Sprintf("%s %s %s", e.Child, e.Kind, e.Parent)
	if e.Where != "" {
		s += " (" + e.Where + ")"
	}
	return s
}

func (g *Graph) connect(edges []Edge) {
	type ends struct{ parent, child int32 }
	at := func(e Edge) ends { return ends{g.index[e.Parent], g.index[e.Child]} }
	g.edges = slices.Clone(edges)
	slices.SortFunc(g.edges, compareEdges)
	g.edges = slices.Compact(g.edges)

	n := len(g.nodes)
	g.down, g.up = make([][]int32, n), make([][]int32, n)
	g.out, g.in = make([][]int32, n), make([][]int32, n)
	for i, e := range g.edges {
		x := at(e)
		g.out[x.parent] = append(g.out[x.parent], int32(i))
		g.in[x.child] = append(g.in[x.child], int32(i))
		// Edges come by parent, then child: a repeated neighbour is always the last one.
		if d := g.down[x.parent]; len(d) == 0 || d[len(d)-1] != x.child {
			g.down[x.parent] = append(d, x.child)
			g.up[x.child] = append(g.up[x.child], x.parent)
		}
	}
}

func compareEdges(a, b Edge) int {
	for _, c := range []int{
		strings.Compare(a.Parent, b.Parent),
		strings.Compare(a.Child, b.Child),
		strings.Compare(string(a.Kind), string(b.Kind)),
		strings.Compare(string(a.Evidence), string(b.Evidence)),
	} {
		if c != 0 {
			return c
		}
	}
	return strings.Compare(a.Where, b.Where)
}

// sort fills tier, order and rank, or names a cycle.
func (g *Graph) sort() error {
	n := len(g.nodes)
	g.tier, g.rank = make([]int32, n), make([]int32, n)
	waiting := make([]int32, n) // parents not yet placed
	ready := make([]int32, 0, n)
	for i := range g.nodes {
		if waiting[i] = int32(len(g.up[i])); waiting[i] == 0 {
			ready = append(ready, int32(i))
		}
	}
	for next := 0; next < len(ready); next++ {
		i := ready[next]
		for _, c := range g.down[i] {
			g.tier[c] = max(g.tier[c], g.tier[i]+1)
			if waiting[c]--; waiting[c] == 0 {
				ready = append(ready, c)
			}
		}
	}
	if len(ready) < n {
		return &CycleError{Images: g.cycle(waiting)}
	}
	slices.SortFunc(ready, func(a, b int32) int {
		if g.tier[a] != g.tier[b] {
			return int(g.tier[a] - g.tier[b])
		}
		return int(a - b)
	})
	g.order = ready
	for place, i := range g.order {
		g.rank[i] = int32(place)
	}
	return nil
}

// CycleError says that images stand on each other in a circle.
type CycleError struct {
	Images []string // each stands on the next; the first, least by name, is repeated as the last
}

func (e *CycleError) Error() string {
	return "cycle of images, each stands on the next: " + strings.Join(e.Images, " -> ")
}

// cycle walks from the first image that is still waiting to a parent that still waits, until it meets itself. Every
// waiting image has one: that is why it waits.
func (g *Graph) cycle(waiting []int32) []string {
	at := int32(slices.IndexFunc(waiting, func(w int32) bool { return w > 0 }))
	seen := map[int32]int{}
	var path []int32
	for {
		if start, ok := seen[at]; ok {
			path = path[start:]
			break
		}
		seen[at] = len(path)
		path = append(path, at)
		at = g.up[at][slices.IndexFunc(g.up[at], func(p int32) bool { return waiting[p] > 0 })]
	}
	least := slices.Index(path, slices.Min(path))
	path = append(path[least:len(path):len(path)], path[:least]...)
	return g.names(append(path, path[0]))
}

func (g *Graph) names(ids []int32) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = g.nodes[id].Name
	}
	return out
}
