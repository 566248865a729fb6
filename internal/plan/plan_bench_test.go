package plan_test

import (
	"fmt"
	"testing"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/patch"
	"rebuilder/internal/plan"
)

// A large organisation: 500 bases, all on the first of them, and 9,500 applications on these.
const (
	bases        = 500
	applications = 9_500
)

func baseName(i int) string { return fmt.Sprintf("base/%03d", i) }

// large has everything as it should be.
func large(b *testing.B) (*graph.Graph, plan.Facts) {
	b.Helper()
	f := plan.Facts{At: noon, Upstreams: map[string]plan.Image{"up": image("r/up:1", "U", "u")}, Bases: map[string]plan.Base{}, Applications: map[string]plan.Application{}}
	nodes, edges := []graph.Node{{Name: "up", Kind: graph.Upstream}}, []graph.Edge(nil)
	node := func(name string, kind graph.Kind, parent string) {
		nodes = append(nodes, graph.Node{Name: name, Kind: kind})
		edges = append(edges, graph.Edge{Parent: parent, Child: name, Kind: graph.Inherits})
	}
	for i := range bases {
		parent, layers := "up", []string{"u", baseName(0)}
		if i > 0 {
			parent, layers = baseName(0), append(layers, baseName(i))
		}
		f.Bases[baseName(i)] = plan.Base{Image: image("r/"+baseName(i)+":stable", baseName(i), layers...), Recipe: "r", BuiltFrom: "r", State: "s", StateSince: noon.Add(-time.Hour),
			Parents: []plan.Parent{{Name: parent, Reference: "r/" + parent, Kind: graph.Inherits, Where: "Dockerfile:1"}}}
		node(baseName(i), graph.Base, parent)
	}
	for i := range applications {
		name, base := fmt.Sprintf("app/%04d", i), baseName(1+i%(bases-1))
		f.Applications[name] = plan.Application{Image: image("r/"+name+":main", name, "u", baseName(0), base, name), Application: name, Strategy: "pull-request", Repository: "acme/" + name, Branch: "main", Commit: "c",
			References: []plan.Reference{{Base: base, Reference: "r/" + base + ":stable", Pinned: hash(base), Kind: graph.Inherits, File: "Dockerfile", Line: 1, Rewritable: true}}}
		node(name, graph.Application, base)
	}
	g, err := graph.New(nodes, edges)
	if err != nil {
		b.Fatal(err)
	}
	return g, f
}

func makePlan(b *testing.B, g *graph.Graph, f plan.Facts, steps int) {
	b.Helper()
	c := &catalog.Catalog{Watch: catalog.Watch{Settle: 10 * time.Minute}}
	for b.Loop() {
		if p := plan.Make(c, g, f, noon); len(p.Steps) != steps {
			b.Fatalf("%d steps, want %d: %s", len(p.Steps), steps, p.Title)
		}
	}
}

// BenchmarkMakeRest10k has nothing to do: it is what every look costs.
func BenchmarkMakeRest10k(b *testing.B) {
	g, f := large(b)
	makePlan(b, g, f, 0)
}

// BenchmarkMakePatched10k has a patch for the base that all others stand on.
func BenchmarkMakePatched10k(b *testing.B) {
	g, f := large(b)
	patched := f.Bases[baseName(0)]
	patched.Patches = []plan.Patch{{Patch: patch.Patch{Package: "libssl3", From: "1", To: "2", PublishedAt: noon.Add(-time.Hour).UnixMilli()}}}
	f.Bases[baseName(0)] = patched
	makePlan(b, g, f, bases+applications)
}

// BenchmarkMakeBehind10k has all bases rebuilt and no application told.
func BenchmarkMakeBehind10k(b *testing.B) {
	g, f := large(b)
	for i := range bases {
		name := baseName(i)
		base := f.Bases[name]
		layers := []string{"u", "new" + baseName(0)}
		if i > 0 {
			layers = append(layers, "new"+name)
		}
		base.Image = image(base.Reference, "new"+name, layers...)
		f.Bases[name] = base
	}
	makePlan(b, g, f, applications)
}
