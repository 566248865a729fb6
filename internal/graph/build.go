package graph

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Graph is an immutable graph of images. It is safe for concurrent use.
//
// Recipes make no circle. What images claim of themselves, or were once built on, may: such edges are kept and walked,
// and left out of the order.
//
// Nodes are held in name order and addressed by their index, so that walks touch slices of int32 and never a map; an edge
// takes 48 bytes.
type Graph struct {
	nodes []Node           // by name
	index map[string]int32 // name -> index in nodes
	links []link           // by parent, child, what, digest, where
	whats []what           // by kind, strongest evidence first, then platform

	down, up lists   // neighbours by index: ascending, each once
	in, out  lists   // edges by child and by parent: indexes in links
	firm     lists   // up without what is outside of the order
	tier     []int32 // longest way from a root
	order    []int32 // by tier, then name
	rank     []int32 // place in order
}

// link is an Edge with numbers for names.
type link struct {
	parent, child int32
	what          int32 // index in whats
	loose         bool  // outside of the order: it would close a circle
	digest, where string
}

// what is what many edges have in common.
type what struct {
	kind     EdgeKind
	evidence Evidence
	platform string
}

// New checks and indexes a graph. An edge that is given twice is kept once; edges between the same two images may
// differ in everything else. Every duplicate node and every edge to an unknown image is reported, joined in one error; a
// circle of recipes is named in full.
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
	number := g.interned(edges)
	g.links = make([]link, len(edges))
	for i, e := range edges {
		l := link{what: number[what{e.Kind, e.Evidence, e.Platform}], digest: e.Digest, where: e.Where}
		var ok bool
		if l.parent, ok = g.index[e.Parent]; !ok {
			mistakes = append(mistakes, fmt.Errorf("%s: image %q is not in the graph", describe(e), e.Parent))
		}
		if l.child, ok = g.index[e.Child]; !ok {
			mistakes = append(mistakes, fmt.Errorf("%s: image %q is not in the graph", describe(e), e.Child))
		}
		g.links[i] = l
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	g.connect()
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

// connect puts the links in order and indexes them from both ends.
func (g *Graph) connect() {
	n := len(g.nodes)
	parent, child, self := g.parentOf, g.childOf, func(i int32) int32 { return i }
	// By child, then by parent: putting them into lists twice is several times faster than comparing names.
	byParent := gather(n, gather(n, upTo(len(g.links)), child, self).all, parent, self)
	sorted := make([]link, len(g.links))
	for i, k := range byParent.all {
		sorted[i] = g.links[k]
	}
	for first, i := 0, 1; i <= len(sorted); i++ {
		if i == len(sorted) || sorted[i].parent != sorted[first].parent || sorted[i].child != sorted[first].child {
			slices.SortFunc(sorted[first:i], compareWhat)
			first = i
		}
	}
	g.links = slices.Clip(slices.Compact(sorted))

	all := upTo(len(g.links))
	g.out, g.in = gather(n, all, parent, self), gather(n, all, child, self)
	// A repeated pair is always the last one.
	pairs := slices.Clone(slices.CompactFunc(all, func(a, b int32) bool { return parent(a) == parent(b) && child(a) == child(b) }))
	g.down, g.up = gather(n, pairs, parent, child), gather(n, pairs, child, parent)
	g.firm = g.up
}

func upTo(n int) []int32 {
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
	}
	return all
}

func (g *Graph) parentOf(i int32) int32 { return g.links[i].parent }
func (g *Graph) childOf(i int32) int32  { return g.links[i].child }

// interned fills whats and returns the number of each.
func (g *Graph) interned(edges []Edge) map[what]int32 {
	number := map[what]int32{}
	for _, e := range edges {
		number[what{e.Kind, e.Evidence, e.Platform}] = 0
	}
	for w := range number {
		g.whats = append(g.whats, w)
	}
	slices.SortFunc(g.whats, func(a, b what) int {
		return cmp.Or(strings.Compare(string(a.kind), string(b.kind)), cmp.Compare(b.evidence.strength(), a.evidence.strength()),
			strings.Compare(string(a.evidence), string(b.evidence)), strings.Compare(a.platform, b.platform))
	})
	for i, w := range g.whats {
		number[w] = int32(i)
	}
	return number
}

// compareWhat orders the links of the same two images.
func compareWhat(a, b link) int {
	return cmp.Or(cmp.Compare(a.what, b.what), strings.Compare(a.digest, b.digest), strings.Compare(a.where, b.where))
}

func (g *Graph) edge(i int32) Edge {
	l := g.links[i]
	w := g.whats[l.what]
	return Edge{Parent: g.nodes[l.parent].Name, Child: g.nodes[l.child].Name, Kind: w.kind, Evidence: w.evidence, Platform: w.platform, Digest: l.digest, Where: l.where}
}

// lists are many short lists in one piece of memory.
type lists struct{ at, all []int32 }

func (l lists) of(i int32) []int32 { return l.all[l.at[i]:l.at[i+1]] }

// gather makes n lists: each item's value goes into the list of its key, in the order of items.
func gather(n int, items []int32, key, value func(int32) int32) lists {
	l := lists{at: make([]int32, n+1), all: make([]int32, len(items))}
	for _, i := range items {
		l.at[key(i)+1]++
	}
	for i := range n {
		l.at[i+1] += l.at[i]
	}
	next := slices.Clone(l.at)
	for _, i := range items {
		k := key(i)
		l.all[next[k]] = value(i)
		next[k]++
	}
	return l
}

// sort fills tier, order and rank, or names a circle of recipes. Edges that only other evidence has are left out where
// they are part of a circle, or lie between two.
func (g *Graph) sort() error {
	down := g.down
	waiting, ok := g.place(down, g.up)
	if !ok && g.loosen(waiting) {
		firm := g.firmPairs()
		down, g.firm = gather(len(g.nodes), firm, g.parentOf, g.childOf), gather(len(g.nodes), firm, g.childOf, g.parentOf)
		waiting, ok = g.place(down, g.firm)
	}
	if !ok {
		return &CycleError{Images: g.cycle(waiting)}
	}
	slices.SortFunc(g.order, func(a, b int32) int { return cmp.Or(cmp.Compare(g.tier[a], g.tier[b]), cmp.Compare(a, b)) })
	g.rank = make([]int32, len(g.nodes))
	for place, i := range g.order {
		g.rank[i] = int32(place)
	}
	return nil
}

// place fills tier, and order with every image whose parents could all be placed; waiting counts those that could not.
func (g *Graph) place(down, up lists) (waiting []int32, ok bool) {
	n := len(g.nodes)
	g.tier, waiting = make([]int32, n), make([]int32, n)
	ready := make([]int32, 0, n)
	for i := range int32(n) {
		if waiting[i] = int32(len(up.of(i))); waiting[i] == 0 {
			ready = append(ready, i)
		}
	}
	for next := 0; next < len(ready); next++ {
		i := ready[next]
		for _, c := range down.of(i) {
			g.tier[c] = max(g.tier[c], g.tier[i]+1)
			if waiting[c]--; waiting[c] == 0 {
				ready = append(ready, c)
			}
		}
	}
	g.order = ready
	return waiting, len(ready) == n
}

// loosen marks the edges without a recipe among the images that wait for a circle and that a circle waits for. It
// says whether there was any.
func (g *Graph) loosen(waiting []int32) (found bool) {
	inside := make([]bool, len(g.nodes))
	needed := make([]int32, len(g.nodes)) // by how many that wait
	for i := range inside {
		inside[i] = waiting[i] > 0
	}
	var free []int32
	for i := range int32(len(inside)) {
		for _, c := range g.down.of(i) {
			if inside[i] && inside[c] {
				needed[i]++
			}
		}
		if inside[i] && needed[i] == 0 {
			free = append(free, i)
		}
	}
	for ; len(free) > 0; free = free[1:] {
		inside[free[0]] = false
		for _, p := range g.up.of(free[0]) {
			if needed[p]--; inside[p] && needed[p] == 0 {
				free = append(free, p)
			}
		}
	}
	for i := range int32(len(inside)) {
		for _, same := range g.pairs(i) {
			recipe := slices.ContainsFunc(same, func(k int32) bool { return !g.whats[g.links[k].what].evidence.built() })
			if recipe || !inside[i] || !inside[g.links[same[0]].child] {
				continue
			}
			for _, k := range same {
				g.links[k].loose, found = true, true
			}
		}
	}
	return found
}

// pairs are the edges of one parent, by child.
func (g *Graph) pairs(parent int32) [][]int32 {
	var out [][]int32
	for _, k := range g.out.of(parent) {
		if n := len(out); n > 0 && g.links[out[n-1][0]].child == g.links[k].child {
			out[n-1] = append(out[n-1], k)
		} else {
			out = append(out, []int32{k})
		}
	}
	return out
}

// firmPairs are one edge for each two images that are ordered.
func (g *Graph) firmPairs() (firm []int32) {
	for i := range int32(len(g.nodes)) {
		for _, same := range g.pairs(i) {
			if !g.links[same[0]].loose {
				firm = append(firm, same[0])
			}
		}
	}
	return firm
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
		up := g.firm.of(at)
		at = up[slices.IndexFunc(up, func(p int32) bool { return waiting[p] > 0 })]
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
