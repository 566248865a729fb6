package observe

import (
	"fmt"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/graph"
	"rebuilder/internal/plan"
	"rebuilder/internal/registry"
	"rebuilder/internal/store"
)

// BenchmarkEdges10k makes the edges of a look at 100 bases with 100 earlier digests each and 10,000 applications of ten
// layers, for two platforms, with provenance.
func BenchmarkEdges10k(b *testing.B) {
	hash := func(format string, a ...any) v1.Hash {
		return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", fmt.Sprintf(format, a...))[:64]}
	}
	l := &looking{names: names{}, facts: plan.Facts{Upstreams: map[string]plan.Image{}, Bases: map[string]plan.Base{}, Applications: map[string]plan.Application{}},
		sights: map[string]sight{}, origin: map[string]store.Origin{}, used: map[string]map[string]string{}}
	see := func(name string, layers []v1.Hash) plan.Image {
		img := plan.Image{Reference: "r/" + name, Digest: hash("a%s", name), DiffIDs: layers, Platform: "linux/amd64"}
		l.sights[name] = sight{image: img, resolved: registry.Resolved{Index: hash("i%s", name), Manifests: map[string]v1.Hash{"linux/amd64": img.Digest, "linux/arm64": hash("r%s", name)}}}
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
		l.facts.Bases[name] = plan.Base{Image: see(name, below(i, 100))}
		for k := range 100 {
			all := store.Chains(diffIDs(below(i, k)))
			l.parents = append(l.parents, store.Layered{Digest: hash("m%d %d", i, k).String(), Image: name, Platform: "linux/amd64", Chain: all[len(all)-1]})
		}
	}
	for i := range 10_000 {
		name, base := fmt.Sprintf("app%d", i), fmt.Sprintf("base%d", i%100)
		img := see(name, append(below(i%100, i%101), hash("x%d", i), hash("y%d", i)))
		l.facts.Applications[name] = plan.Application{Image: img}
		for _, m := range l.sights[name].resolved.Manifests {
			l.origin[m.String()] = store.Origin{Layers: diffIDs(img.DiffIDs), Claims: []store.Claimed{{Evidence: registry.Provenance, Reference: "r/" + base, Digest: hash("m%d %d", i%100, i%101).String()}}}
		}
	}
	for b.Loop() {
		e := l.edger()
		for i := range 10_000 {
			name, base := fmt.Sprintf("app%d", i), fmt.Sprintf("base%d", i%100)
			all := e.all(name, []graph.Edge{e.recipe(base, name, graph.Inherits, "Dockerfile:1", "")})
			if !slices.ContainsFunc(all, func(e graph.Edge) bool { return e.Evidence == graph.FromLayers }) {
				b.Fatalf("%+v", all)
			}
		}
	}
}
