package graph

import (
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
)

// shop is a small organisation: two bases on debian, applications of each kind of use.
func shop(t *testing.T) *Graph {
	t.Helper()
	g, err := New(
		[]Node{
			{"upstream/debian", Upstream}, {"base/debian", Base}, {"base/java", Base}, {"base/node", Base},
			{"shop", Application}, {"web", Application}, {"tool", Application},
		},
		[]Edge{
			{Parent: "upstream/debian", Child: "base/debian", Kind: Inherits, Evidence: FromRecipe, Where: "Dockerfile:1"},
			{Parent: "base/debian", Child: "base/java", Kind: Inherits, Evidence: FromRecipe, Where: "Dockerfile:1"},
			{Parent: "base/debian", Child: "base/node", Kind: Inherits, Evidence: FromRecipe, Where: "Dockerfile:1"},
			{Parent: "base/java", Child: "shop", Kind: Inherits, Evidence: FromRecipe, Where: "Dockerfile:9"},
			{Parent: "base/java", Child: "shop", Kind: BuildsWith, Evidence: FromRecipe, Where: "Dockerfile:1"},
			{Parent: "base/java", Child: "shop", Kind: Inherits, Evidence: FromLayers},
			{Parent: "base/node", Child: "shop", Kind: CopiesFrom, Evidence: FromRecipe, Where: "Dockerfile:12"},
			{Parent: "base/node", Child: "web", Kind: Inherits, Evidence: FromRecipe, Where: "Dockerfile:1"},
			{Parent: "base/node", Child: "tool", Kind: CopiesFrom, Evidence: FromRecipe, Where: "Dockerfile:2"},
		})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestNewRefuses(t *testing.T) {
	nodes := func(names ...string) (out []Node) {
		for _, n := range names {
			out = append(out, Node{Name: n, Kind: Base})
		}
		return out
	}
	edge := func(child, parent string) Edge {
		return Edge{Parent: parent, Child: child, Kind: Inherits, Evidence: FromRecipe, Where: "Dockerfile:1"}
	}
	for name, tc := range map[string]struct {
		nodes []Node
		edges []Edge
		want  []string
	}{
		"a name twice":            {nodes("a", "b", "a"), nil, []string{`image "a" is in the graph twice`}},
		"no name":                 {nodes(""), nil, []string{"has no name"}},
		"unknown parent":          {nodes("a"), []Edge{edge("a", "b")}, []string{`a inherits b (Dockerfile:1): image "b" is not in the graph`}},
		"all mistakes at once":    {nodes("a", "a"), []Edge{edge("x", "y")}, []string{`"a"`, `"x"`, `"y"`}},
		"an image on itself":      {nodes("a"), []Edge{edge("a", "a")}, []string{"a -> a"}},
		"two on each other":       {nodes("base/b", "base/a"), []Edge{edge("base/a", "base/b"), edge("base/b", "base/a")}, []string{"base/a -> base/b -> base/a"}},
		"a cycle below others":    {nodes("r", "d", "c", "b", "leaf"), []Edge{edge("d", "r"), edge("b", "c"), edge("c", "d"), edge("d", "b"), edge("leaf", "b")}, []string{"b -> c -> d -> b"}},
		"what waits on the cycle": {nodes("a", "y", "z"), []Edge{edge("a", "y"), edge("y", "z"), edge("z", "y")}, []string{": y -> z -> y"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.nodes, tc.edges)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if c := (*CycleError)(nil); strings.Contains(tc.want[0], "->") && !errors.As(err, &c) {
				t.Errorf("%T is not a CycleError", err)
			}
		})
	}
}

func TestQueries(t *testing.T) {
	g := shop(t)
	for _, tc := range []struct {
		name string
		got  []string
		want string
	}{
		{"order", g.Order(), "upstream/debian base/debian base/java base/node shop tool web"},
		{"affected by debian", g.Affected("base/debian"), "base/java base/node shop tool web"},
		{"affected by two, one below the other", g.Affected("base/debian", "base/java"), "base/node shop tool web"},
		{"affected by an application", g.Affected("web"), ""},
		{"affected by an unknown name", g.Affected("nothing"), ""},
		{"ancestors", g.Ancestors("shop"), "upstream/debian base/debian base/java base/node"},
		{"subgraph", g.Subgraph("web", "base/node", "web", "nothing").Order(), "base/node web"},
	} {
		want := tc.want
		if got := strings.Join(tc.got, " "); got != want {
			t.Errorf("%s: got %q, want %q", tc.name, got, want)
		}
	}
	tiers := fmt.Sprint(g.Tiers())
	if want := "[[upstream/debian] [base/debian] [base/java base/node] [shop tool web]]"; tiers != want {
		t.Errorf("tiers %s, want %s", tiers, want)
	}
	if p, ok := g.ParentOf("shop"); !ok || p != "base/java" {
		t.Errorf("ParentOf(shop) = %q, %v", p, ok)
	}
	if p, ok := g.ParentOf("tool"); ok {
		t.Errorf("ParentOf(tool) = %q: it only copies", p)
	}
	if got := len(g.Parents("shop")); got != 4 {
		t.Errorf("%d edges into shop, want 4", got)
	}
	if got := len(g.Children("base/node")); got != 3 {
		t.Errorf("%d edges out of base/node, want 3", got)
	}
}

func TestParentOfPrefersTheRecipe(t *testing.T) {
	g, err := New([]Node{{"old", Base}, {"new", Base}, {"app", Application}}, []Edge{
		{Parent: "old", Child: "app", Kind: Inherits, Evidence: FromLayers},
		{Parent: "new", Child: "app", Kind: Inherits, Evidence: FromRecipe},
	})
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := g.ParentOf("app"); p != "new" {
		t.Errorf("ParentOf = %q, want what the recipe says", p)
	}
}

// TestProperties compares with the obvious definitions on random graphs, and builds each from shuffled input.
func TestProperties(t *testing.T) {
	for seed := range int64(200) {
		r := rand.New(rand.NewSource(seed))
		nodes, edges := random(r, 1+r.Intn(40), r.Intn(120))
		g, err := New(nodes, edges)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		order := g.Order()
		for _, e := range edges {
			if slices.Index(order, e.Parent) >= slices.Index(order, e.Child) {
				t.Fatalf("seed %d: %s comes before its parent %s", seed, e.Child, e.Parent)
			}
		}
		if len(order) != len(nodes) {
			t.Fatalf("seed %d: %d of %d in order", seed, len(order), len(nodes))
		}
		start := nodes[r.Intn(len(nodes))].Name
		want := reachable(edges, start)
		got := g.Affected(start)
		if len(got) != len(want) {
			t.Fatalf("seed %d: affected by %s: %v, want %v", seed, start, got, want)
		}
		for _, n := range got {
			if !want[n] {
				t.Fatalf("seed %d: %s is not reachable from %s", seed, n, start)
			}
			if !slices.Contains(g.Ancestors(n), start) {
				t.Fatalf("seed %d: %s is no ancestor of %s", seed, start, n)
			}
		}
		if !slices.IsSortedFunc(got, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) }) {
			t.Fatalf("seed %d: affected is not in order: %v", seed, got)
		}
		r.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
		r.Shuffle(len(edges), func(i, j int) { edges[i], edges[j] = edges[j], edges[i] })
		again, err := New(nodes, append(edges, edges...))
		if err != nil {
			t.Fatal(err)
		}
		if again.Tree("", nil)+again.DOT()+again.Mermaid() != g.Tree("", nil)+g.DOT()+g.Mermaid() {
			t.Fatalf("seed %d: input order shows in the output", seed)
		}
	}
}

// TestAddingABackEdgeIsACycle takes valid graphs and closes a circle: the named one must exist in the edges.
func TestAddingABackEdgeIsACycle(t *testing.T) {
	for seed := range int64(200) {
		r := rand.New(rand.NewSource(seed))
		nodes, edges := random(r, 2+r.Intn(30), 10+r.Intn(80))
		g, err := New(nodes, edges)
		if err != nil {
			t.Fatal(err)
		}
		start := nodes[r.Intn(len(nodes))].Name
		below := g.Affected(start)
		if len(below) == 0 {
			continue
		}
		edges = append(edges, Edge{Parent: below[r.Intn(len(below))], Child: start, Kind: BuildsWith})
		_, err = New(nodes, edges)
		var c *CycleError
		if !errors.As(err, &c) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if len(c.Images) < 2 || c.Images[0] != c.Images[len(c.Images)-1] {
			t.Fatalf("seed %d: not closed: %v", seed, c.Images)
		}
		for i := range len(c.Images) - 1 {
			if !slices.ContainsFunc(edges, func(e Edge) bool { return e.Child == c.Images[i] && e.Parent == c.Images[i+1] }) {
				t.Fatalf("seed %d: %s does not stand on %s", seed, c.Images[i], c.Images[i+1])
			}
		}
	}
}

// random returns an acyclic graph: edges go from earlier to later nodes.
func random(r *rand.Rand, n, m int) ([]Node, []Edge) {
	kinds := []EdgeKind{Inherits, BuildsWith, CopiesFrom}
	nodes := make([]Node, n)
	for i, p := range r.Perm(n) {
		nodes[i] = Node{Name: fmt.Sprintf("image/%d", p), Kind: Base}
	}
	var edges []Edge
	for range m {
		a, b := r.Intn(n), r.Intn(n)
		if a == b {
			continue
		}
		edges = append(edges, Edge{
			Parent: nodes[min(a, b)].Name, Child: nodes[max(a, b)].Name,
			Kind: kinds[r.Intn(len(kinds))], Evidence: FromRecipe,
		})
	}
	return nodes, edges
}

func reachable(edges []Edge, from string) map[string]bool {
	found := map[string]bool{}
	for grew := true; grew; {
		grew = false
		for _, e := range edges {
			if (e.Parent == from || found[e.Parent]) && !found[e.Child] {
				found[e.Child], grew = true, true
			}
		}
	}
	return found
}
