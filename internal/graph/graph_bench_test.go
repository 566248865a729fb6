package graph

import (
	"fmt"
	"math/rand"
	"runtime"
	"testing"
)

// big is a graph of ten edges an image, most of them from few images, as in real organisations. Design section 3 names
// the sizes: 10,000 images and 100,000 edges, and 100,000 images.
func big(n int) ([]Node, []Edge) {
	r := rand.New(rand.NewSource(1))
	nodes := make([]Node, n)
	for i := range nodes {
		nodes[i] = Node{Name: fmt.Sprintf("registry.example.com/team/image-%06d", i), Kind: Application}
	}
	evidence := []Evidence{FromRecipe, FromProvenance, FromLayers}
	edges := make([]Edge, 10*n)
	for i := range edges {
		c := 1 + r.Intn(n-1)
		edges[i] = Edge{Parent: nodes[r.Intn(min(c, 500))].Name, Child: nodes[c].Name, Kind: Inherits, Evidence: evidence[i%len(evidence)],
			Digest: fmt.Sprintf("sha256:%064x", r.Intn(1000)), Where: "Dockerfile:1"}
	}
	return nodes, edges
}

func benchmarkAffected(b *testing.B, n int) {
	g, err := New(big(n))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if len(g.Affected("registry.example.com/team/image-000000")) < n/2 {
			b.Fatal("the blast radius is too small to measure anything")
		}
	}
}

func BenchmarkAffected10k(b *testing.B)  { benchmarkAffected(b, 10_000) }
func BenchmarkAffected100k(b *testing.B) { benchmarkAffected(b, 100_000) }

func benchmarkNew(b *testing.B, n int) {
	nodes, edges := big(n)
	for b.Loop() {
		if _, err := New(nodes, edges); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNew10k(b *testing.B)  { benchmarkNew(b, 10_000) }
func BenchmarkNew100k(b *testing.B) { benchmarkNew(b, 100_000) }

// BenchmarkHeap100k reports as MB what a graph of 100,000 images holds on the heap, the names and digests included that
// it was given.
func BenchmarkHeap100k(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		g, err := New(big(100_000))
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
		runtime.KeepAlive(g)
	}
}
