package store_test

import (
	"fmt"
	"slices"
	"testing"

	"rebuilder/internal/inventory"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

func TestAdvisories(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, q := t.Context(), st.Q()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		one := func(path, id string, packages int) store.AdvisoryRecord {
			r := store.AdvisoryRecord{Advisory: store.Advisory{Path: path, Mark: "1", ID: id, Aliases: []string{"GHSA-x"}, Summary: "nul\x00", Score: 9.8}, Names: []string{id, "GHSA-x"}}
			for i := range packages {
				r.Packages = append(r.Packages, store.AdvisoryPackage{Ecosystem: "Go", Name: fmt.Sprint("p", i), Body: "{}"})
			}
			return r
		}
		must(store.SaveAdvisorySource(ctx, q, store.AdvisorySource{Name: "a", Kind: "osv", Problems: []string{"x"}, Ecosystems: []string{"Go"}}))
		for range 2 {
			must(store.SaveAdvisories(ctx, st, "a", []store.AdvisoryRecord{one("1", "CVE-1", 700), one("2", "CVE-2", 1)}))
		}
		if s, found, err := store.GetAdvisorySource(ctx, q, "a"); err != nil || !found || s.Revision != 2 || !slices.Equal(s.Problems, []string{"x"}) || !slices.Equal(s.Ecosystems, []string{"Go"}) {
			t.Errorf("%+v %v %v", s, found, err)
		}
		if all, err := store.AdvisoriesFor(ctx, q, "Go", []string{"p0", "p699", "p700"}); err != nil || len(all) != 3 || all[0].Advisory.Score != 9.8 || all[0].Advisory.Source != "a" {
			t.Errorf("%+v %v", all, err)
		}
		must(store.SaveAdvisories(ctx, st, "a", []store.AdvisoryRecord{one("1", "CVE-1", 1), {Advisory: store.Advisory{Path: "2", Mark: "2", Problem: "broken"}}, {Advisory: store.Advisory{Path: "3", Mark: "2", Problem: "broken"}}}))
		if all, err := store.AdvisoryPackagesNamed(ctx, q, "ghsa-X"); err != nil || len(all) != 2 {
			t.Errorf("%+v %v", all, err)
		}
		if n, broken, problems, err := store.CountAdvisories(ctx, q, "a", 1); err != nil || n != 3 || broken != 2 || !slices.Equal(problems, []string{"2: broken"}) {
			t.Errorf("%d %d %q %v", n, broken, problems, err)
		}
		if all, err := store.AdvisoryMarks(ctx, q, "a"); err != nil || fmt.Sprint(all) != "map[1:1 2:2 3:2]" {
			t.Errorf("%v %v", all, err)
		}
		must(store.RemoveAdvisories(ctx, st, "a", []string{"1", "none"}))
		if all, err := store.AdvisoriesNamed(ctx, q, "cve-1"); err != nil || len(all) != 0 {
			t.Errorf("%+v %v", all, err)
		}
		facts := []store.AdvisoryFact{{Name: "CVE-1", Value: 0.5}, {Name: "CVE-2", Value: 1, At: 7}}
		for _, want := range []int{2, 0} {
			if n, err := store.SaveAdvisoryFacts(ctx, st, "a", facts); err != nil || n != want {
				t.Errorf("%d %v, want %d", n, err, want)
			}
		}
		if n, err := store.SaveAdvisoryFacts(ctx, st, "a", []store.AdvisoryFact{{Name: "CVE-3", Value: 1}, {Name: "CVE-3", Value: 2}}); err != nil || n != 1 {
			t.Errorf("one that is named twice: %d %v", n, err)
		}
		must(store.ForgetAdvisorySource(ctx, st, "a"))
		for _, table := range []string{"advisory", "advisory_package", "advisory_name", "advisory_fact", "advisory_source"} {
			var n int
			if err := q.QueryRow(ctx, `SELECT COUNT(*) FROM `+table).Scan(&n); err != nil || n != 0 {
				t.Errorf("%s has %d rows, %v", table, n, err)
			}
		}
	})
}

// Whoever asks who has a package is told of which system the image is, and whether the package is the system's own.
func TestHoldingsOf(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		inv := inventoryOf("1", libssl("1", 0), libssl("2", 0), inventory.Package{Type: inventory.PyPI, Name: "pip", Version: "1", Owner: "python3-pip"},
			inventory.Package{Type: inventory.PyPI, Name: "six", Version: "1", Owner: "python3-six"}, inventory.Package{Type: inventory.PyPI, Name: "six", Version: "1", Path: "/app"})
		inv.OS = inventory.OS{ID: "debian", Version: "12", Codename: "bookworm"}
		if err := store.SaveInventory(t.Context(), st.Q(), "i", inv, 1); err != nil {
			t.Fatal(err)
		}
		asked := 0
		all, err := store.HoldingsOf(t.Context(), st.Q(), "openssl", func(p store.Package) bool { asked++; return p.Version == "2" })
		if err != nil || asked != 2 || len(all) != 1 || all[0].Version != "2" || all[0].OS != (inventory.OS{ID: "debian", Version: "12"}) || all[0].Owned {
			t.Errorf("%d %+v %v", asked, all, err)
		}
		for name, owned := range map[string]bool{"pip": true, "six": false} {
			if all, err := store.Holdings(t.Context(), st.Q(), name); err != nil || len(all) != 1 || all[0].Owned != owned {
				t.Errorf("%s: %+v %v", name, all, err)
			}
		}
	})
}
