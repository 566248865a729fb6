package api

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rebuilder/internal/advisory"
	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/inventory"
	"rebuilder/internal/judge"
)

// An advisory that hits each of 10,000 images, with what becomes of it in each, and no inventory decoded.
func BenchmarkAffectedByAdvisory10k(b *testing.B) {
	f := newFleet(b)
	dir := b.TempDir()
	record := `{"id":"CVE-2026-1001","modified":"2026-01-02T03:04:05Z","affected":[{"package":{"ecosystem":"Wolfi","name":"openssl"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"9-r0"}]}]}]}`
	if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte(record), 0o600); err != nil {
		b.Fatal(err)
	}
	book, err := advisory.New(f.Store, advisory.Config{Sources: []advisory.Source{{Name: "dir", Path: dir}}})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := book.Sync(b.Context()); err != nil {
		b.Fatal(err)
	}
	f.os = inventory.OS{ID: "wolfi", Version: "20230201"}
	ssl := inventory.Package{Type: inventory.APK, Name: "libssl3", Version: "3-r0", Architecture: "x86_64", Source: "openssl"}
	f.add(b, graph.Base, "base", "", false, ssl)
	for i := range 10_000 {
		f.add(b, graph.Application, fmt.Sprint("app", i), "base", false, inventory.Package{Type: inventory.APK, Name: fmt.Sprint("p", i%500), Version: "1-r0"})
	}
	f.catalog.Advisories = []catalog.AdvisorySource{{Name: "dir", Kind: catalog.OSV, Path: dir}}
	f.catalog.Exceptions = []catalog.Exception{{ID: "A-1", Finding: "CVE-2026-1001", Images: []string{"app1*"}, Expires: f.Now().Add(time.Hour)}}
	r := f.look(b)
	r.Advice = Advice{Book: book, Weigher: &judge.Judge{Store: f.Store, Catalog: func() *catalog.Catalog { return &f.catalog }, Now: f.Now}}
	b.ResetTimer()
	for b.Loop() {
		if a, err := r.Affected(b.Context(), "CVE-2026-1001", false); err != nil || a.Has != 10_001 || a.Accepted != 1111 {
			b.Fatal(a.Sentence, a.Accepted, err)
		}
	}
}
