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

// BenchmarkMake10k plans a patch of the base that 500 bases and 9,500 applications stand on.
func BenchmarkMake10k(b *testing.B) {
	const bases, applications = 500, 9_500
	c := &catalog.Catalog{Watch: catalog.Watch{Settle: 10 * time.Minute}}
	f := plan.Facts{At: noon, Upstreams: map[string]plan.Image{"up": image("r/up:1", "U", "u")}, Bases: map[string]plan.Base{}, Applications: map[string]plan.Application{}}
	nodes, edges := []graph.Node{{Name: "up", Kind: graph.Upstream}}, []graph.Edge(nil)
	node := func(name string, kind graph.Kind, parent string) {
		nodes = append(nodes, graph.Node{Name: name, Kind: kind})
		edges = append(edges, graph.Edge{Parent: parent, Child: name, Kind: graph.Inherits})
	}
	baseName := func(i int) string { return fmt.Sprintf("base/%03d", i) }
	for i := range bases {
		parent, layers := "up", []string{"u", baseName(0)}
		if i > 0 {
			parent, layers = baseName(0), append(layers, baseName(i))
		}
		f.Bases[baseName(i)] = plan.Base{Image: image("r/"+baseName(i)+":stable", baseName(i), layers...), Recipe: "r", BuiltFrom: "r", State: "s", StateSince: noon.Add(-time.Hour),
			Parents: []plan.Parent{{Name: parent, Reference: "r/" + parent, Kind: graph.Inherits, Where: "Dockerfile:1"}}}
		node(baseName(i), graph.Base, parent)
	}
	patched := f.Bases[baseName(0)]
	patched.Patches = []plan.Patch{{Patch: patch.Patch{Package: "libssl3", From: "1", To: "2", PublishedAt: noon.Add(-time.Hour).UnixMilli()}}}
	f.Bases[baseName(0)] = patched
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
	for b.Loop() {
		if p := plan.Make(c, g, f, noon); len(p.Steps) != bases+applications {
			b.Fatalf("%d steps, want one for each of %d images: %s", len(p.Steps), bases+applications, p.Title)
		}
	}
}
