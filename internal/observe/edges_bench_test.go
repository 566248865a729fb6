package observe

import (
	"fmt"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/inventory"
	"rebuilder/internal/plan"
	"rebuilder/internal/registry"
	"rebuilder/internal/store"
)

// BenchmarkGraph10k makes the graph of a look at 100 bases with 100 earlier digests each and 10,000 applications of ten
// layers, for two platforms, with provenance.
func BenchmarkGraph10k(b *testing.B) {
	hash := func(format string, a ...any) v1.Hash {
		return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", fmt.Sprintf(format, a...))[:64]}
	}
	c := &catalog.Catalog{}
	l := &looking{c: c, names: names{}, facts: plan.Facts{Upstreams: map[string]plan.Image{}, Bases: map[string]plan.Base{}, Applications: map[string]plan.Application{}},
		inventories: map[string]*inventory.Inventory{}, recipes: map[string]*recipe{}, sights: map[string]sight{}, origin: map[string]store.Origin{}, used: map[string]map[string]string{}}
	see := func(name string, layers []v1.Hash) plan.Image {
		img := plan.Image{Reference: "r/" + name, Digest: hash("a%s", name), DiffIDs: layers}
		l.sights[name] = sight{image: img, platform: "linux/amd64", resolved: registry.Resolved{Index: hash("i%s", name), Manifests: map[string]v1.Hash{"linux/amd64": img.Digest, "linux/arm64": hash("r%s", name)}}}
		return img
	}
	below := func(base, release int) (layers []v1.Hash) {
		for k := range 8 {
			layers = append(layers, hash("%d %d %d", k, base, release))
		}
		return layers
	}
	for i := range 100 {
		name := fmt.Sprintf("base%d", i)
		c.Bases = append(c.Bases, catalog.Base{Name: name})
		l.recipes[name] = &recipe{}
		l.facts.Bases[name] = plan.Base{Image: see(name, below(i, 100))}
		for k := range 100 {
			all := store.Chains(diffIDs(below(i, k)))
			l.parents = append(l.parents, store.Layered{Digest: hash("m%d %d", i, k).String(), Image: name, Platform: "linux/amd64", Chain: all[len(all)-1]})
		}
	}
	for i := range 10_000 {
		name, base := fmt.Sprintf("app%d", i), fmt.Sprintf("base%d", i%100)
		c.Applications = append(c.Applications, catalog.Application{Name: name, Images: []catalog.ApplicationImage{{Name: name}}})
		img := see(name, append(below(i%100, i%101), hash("x%d", i), hash("y%d", i)))
		l.facts.Applications[name] = plan.Application{Image: img, References: []plan.Reference{{Base: base, Kind: graph.Inherits, File: "Dockerfile", Line: 1}}}
		for _, m := range l.sights[name].resolved.Manifests {
			l.origin[m.String()] = store.Origin{Layers: diffIDs(img.DiffIDs), Claims: []store.Claimed{{Evidence: registry.Provenance, Reference: "r/" + base, Digest: hash("m%d %d", i%100, i%101).String()}}}
		}
	}
	for b.Loop() {
		g, _, err := l.graph()
		if err != nil {
			b.Fatal(err)
		}
		if e := g.Built("app7"); len(e) == 0 || e[0].Evidence != graph.FromLayers {
			b.Fatalf("%+v", e)
		}
	}
}
