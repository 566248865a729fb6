package store_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/inventory"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

func hash(name string) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256([]byte(name)))}
}

func inventoryOf(name string, packages ...inventory.Package) *inventory.Inventory {
	return &inventory.Inventory{Format: inventory.Format, Digest: hash(name), Platform: "linux/amd64", DiffIDs: []v1.Hash{hash("layer 1"), hash("layer 2 of " + name)}, Packages: packages}
}

func libssl(version string, layer int) inventory.Package {
	return inventory.Package{Type: inventory.Deb, Name: "libssl3", Version: version, Architecture: "amd64", Source: "openssl", SourceVersion: version, Layer: layer}
}

func save(t *testing.T, q store.Querier, image string, inv *inventory.Inventory) {
	t.Helper()
	if err := store.SaveInventory(t.Context(), q, image, inv, 1); err != nil {
		t.Fatal(err)
	}
}

// holders are the digests that have a package, as "version@layer" by digest.
func holders(t *testing.T, q store.Querier, name string) map[string]string {
	t.Helper()
	all, err := store.Holdings(t.Context(), q, name)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, h := range all {
		out[h.Digest] += fmt.Sprintf("%s %s@%d", h.Name, h.Version, h.Layer)
		if h.Held {
			out[h.Digest] += " held"
		}
	}
	return out
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
		return
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %s has %q, want %q", what, k, got[k], v)
		}
	}
}

func TestPackagesAreFoundByNameAndBySource(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		q := st.Q()
		held := libssl("3.0.16", 1)
		held.Held = true
		save(t, q, "base/debian", inventoryOf("debian", libssl("3.0.17", 0)))
		save(t, q, "base/nginx", inventoryOf("nginx", held, inventory.Package{Name: "nginx", Version: "1", Architecture: "amd64"}))
		save(t, q, "base/empty", inventoryOf("empty"))
		want := map[string]string{hash("debian").String(): "libssl3 3.0.17@0", hash("nginx").String(): "libssl3 3.0.16@1 held"}
		same(t, "by name", holders(t, q, "libssl3"), want)
		same(t, "by source", holders(t, q, "openssl"), want)
		same(t, "a package without a family or a source", holders(t, q, "nginx"), map[string]string{hash("nginx").String(): "nginx 1@0"})
		same(t, "a name that nothing has", holders(t, q, "libssl"), map[string]string{})
		same(t, "no name", holders(t, q, ""), map[string]string{})

		listed, err := store.Listed(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for name, n := range map[string]int{"debian": 1, "nginx": 2, "empty": 0} {
			if c, ok := listed[hash(name).String()]; !ok || c.Packages != n || c.Layers != 2 {
				t.Errorf("%s: %+v %v, want %d packages in 2 layers", name, c, ok, n)
			}
		}
		names, err := store.PackageNames(t.Context(), q)
		slices.Sort(names)
		if err != nil || !slices.Equal(names, []string{"libssl3", "nginx", "openssl"}) {
			t.Errorf("names %q %v", names, err)
		}
		if p, err := store.PackagesOf(t.Context(), q, "openssl"); err != nil || len(p) != 2 || p[0].Type != inventory.Deb {
			t.Errorf("packages of openssl: %+v %v", p, err)
		}
	})
}

func TestAnInventoryReadAnewReplacesItsPackages(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		q := st.Q()
		save(t, q, "base/debian", inventoryOf("debian", libssl("3.0.17", 0), inventory.Package{Type: "deb", Name: "gone", Version: "1"}))
		for range 2 { // the same again changes nothing
			save(t, q, "base/debian", inventoryOf("debian", libssl("3.0.17", 1)))
			same(t, "after", holders(t, q, "openssl"), map[string]string{hash("debian").String(): "libssl3 3.0.17@1"})
			same(t, "gone", holders(t, q, "gone"), map[string]string{})
		}
	})
}

// A library that lies in several files is listed once, in the lowest layer that has it.
func TestALibraryInManyFilesIsListedOnce(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		lib := func(path string, layer int) inventory.Package {
			return inventory.Package{Type: inventory.NPM, Name: "lodash", Version: "4.17.20", Path: path, Layer: layer}
		}
		save(t, st.Q(), "app", inventoryOf("app", lib("/a/package.json", 1), lib("/b/package.json", 0)))
		h, err := store.Holdings(t.Context(), st.Q(), "lodash")
		if err != nil || len(h) != 1 || h[0].Layer != 0 || h[0].Type != inventory.NPM {
			t.Errorf("%+v, %v", h, err)
		}
	})
}

func TestInventoryAndItsPackagesAreOneTransaction(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		stop := errors.New("the process dies")
		err := st.Tx(t.Context(), func(_ context.Context, q store.Querier) error {
			save(t, q, "base/debian", inventoryOf("debian", libssl("3.0.17", 0)))
			return stop
		})
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
		if n := count(t, st.Q(), `SELECT (SELECT count(*) FROM inventory)+(SELECT count(*) FROM package_in)+(SELECT count(*) FROM listed)`); n != 0 {
			t.Errorf("%d rows of an inventory that was not stored", n)
		}
		// Outside of a transaction SaveInventory makes one of its own: when the last write fails, nothing is there.
		exec(t, st.Q(), `ALTER TABLE listed RENAME TO elsewhere`)
		if err := store.SaveInventory(t.Context(), st.Q(), "base/debian", inventoryOf("debian", libssl("3.0.17", 0)), 1); err == nil {
			t.Fatal("stored without its list")
		}
		if n := count(t, st.Q(), `SELECT (SELECT count(*) FROM inventory)+(SELECT count(*) FROM package_in)`); n != 0 {
			t.Errorf("%d rows of an inventory that was not stored", n)
		}
	})
}

func TestInventoriesOfBeforeTheListAreListedOnce(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		q := st.Q()
		want := map[string]string{}
		for i := range 5 {
			name := fmt.Sprint("image ", i)
			save(t, q, name, inventoryOf(name, libssl("3.0.17", 0)))
			want[hash(name).String()] = "libssl3 3.0.17@0"
		}
		exec(t, q, `DELETE FROM package_in`)
		exec(t, q, `DELETE FROM listed`)
		exec(t, q, `INSERT INTO inventory(digest, body) VALUES('sha256:0broken', '{')`)
		for _, c := range []struct{ most, want int }{{2, 2}, {2, 2}, {2, 1}, {2, 0}} {
			if n, err := store.ListInventories(t.Context(), st, c.most); err != nil || n != c.want {
				t.Errorf("listed %d %v, want %d", n, err, c.want)
			}
		}
		same(t, "all", holders(t, q, "openssl"), want)
		if listed, err := store.Listed(t.Context(), q); err != nil || len(listed) != 5 {
			t.Errorf("%d listed, want 5: what cannot be decoded is not known to hold nothing (%v)", len(listed), err)
		}
	})
}

func TestManyPackagesTakeSeveralWrites(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		var packages []inventory.Package
		for i := range 1001 {
			packages = append(packages, inventory.Package{Type: inventory.RPM, Name: fmt.Sprint("p", i), Version: "1", Source: "big"})
		}
		packages = append(packages, packages[0]) // a database that names one twice
		save(t, st.Q(), "base/big", inventoryOf("big", packages...))
		if all, err := store.Holdings(t.Context(), st.Q(), "big"); err != nil || len(all) != 1001 {
			t.Errorf("%d holdings, want 1001 (%v)", len(all), err)
		}
	})
}

func TestDigestsAreFoundByTheirBeginning(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		for _, name := range []string{"a", "b", "c", "d"} {
			save(t, st.Q(), "base/"+name, inventoryOf(name))
		}
		want := hash("c").String()
		got, err := store.ReadDigests(t.Context(), st.Q(), want[:15], 2)
		if err != nil || len(got) != 1 || got[0] != (store.Read{Digest: want, Image: "base/c", ReadAt: 1}) {
			t.Errorf("%+v %v", got, err)
		}
		if got, err := store.ReadDigests(t.Context(), st.Q(), "sha256:", 3); err != nil || len(got) != 3 {
			t.Errorf("%d digests, want the first 3 (%v)", len(got), err)
		}
		of, err := store.ReadOf(t.Context(), st.Q(), []string{want, "sha256:none"})
		if err != nil || len(of) != 1 || of[want].Image != "base/c" {
			t.Errorf("%+v %v", of, err)
		}
	})
}

func TestPacesAreTheNewestBuildsThatWorked(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		q := st.Q()
		build := func(id, image, state string, started, ended int64) {
			t.Helper()
			if err := store.SaveBuild(t.Context(), q, store.Build{ID: id, Image: image, State: state, Started: started, Ended: ended}); err != nil {
				t.Fatal(err)
			}
		}
		build("b1", "base/debian", "done", 1000, 2000)
		build("b2", "base/debian", "done", 3000, 5000)
		build("b3", "base/debian", "done", 6000, 9000)
		build("b4", "base/debian", "failed", 10000, 10001)
		build("b5", "base/debian", "running", 11000, 0)
		build("b6", "base/nginx", "lost", 1000, 2000)
		build("b7", "base/other", "done", 1000, 2000)
		got, err := store.Paces(t.Context(), q, []string{"base/debian", "base/nginx", "base/none"}, 2)
		if err != nil || len(got) != 1 || fmt.Sprint(got["base/debian"]) != "[3s 2s]" {
			t.Errorf("%v %v, want the last two of base/debian, the newest first", got, err)
		}
	})
}

func TestIndexAgesLeaveOutWhatIsNotReadAnyMore(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		q := st.Q()
		if x, err := store.IndexAges(t.Context(), q); err != nil || x != (store.Indexes{}) {
			t.Errorf("none: %+v %v", x, err)
		}
		const hour = 3_600_000
		for i, at := range []int64{hour, 10 * hour, 10*hour + 5, 10*hour + 9} {
			problem := ""
			if i == 2 {
				problem = "connection refused"
			}
			if _, err := store.SeenRepository(t.Context(), q, fmt.Sprint(i), "http://deb", "bookworm", "x", 1, problem, at); err != nil {
				t.Fatal(err)
			}
		}
		if x, err := store.IndexAges(t.Context(), q); err != nil || x != (store.Indexes{Count: 3, Problems: 1, CheckedAt: 10 * hour}) {
			t.Errorf("%+v %v", x, err)
		}
	})
}

// A fleet of 10,000 inventories as the study of re-matching has it, with fewer packages: what a question costs depends on
// how many hold the package.
func BenchmarkHoldings(b *testing.B) {
	st, err := store.Open(b.Context(), "sqlite:"+b.TempDir()+"/fleet.db", nil)
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	const fleet = 10_000
	for i := range fleet {
		packages := []inventory.Package{{Type: "deb", Name: "libc6", Version: fmt.Sprint("2.36-", i%3), Source: "glibc"}}
		for k := range 20 {
			packages = append(packages, inventory.Package{Type: "deb", Name: fmt.Sprint("p", (i+k*k)%997), Version: fmt.Sprint(i % 5)})
		}
		if i%10 == 0 {
			packages = append(packages, libssl(fmt.Sprint("3.0.", i%7), 0))
		}
		slices.SortFunc(packages, func(a, b inventory.Package) int { return cmp.Compare(a.Name, b.Name) })
		if err := store.SaveInventory(b.Context(), st.Q(), "i", inventoryOf(fmt.Sprint(i), packages...), 1); err != nil {
			b.Fatal(err)
		}
	}
	for name, want := range map[string]int{"openssl": fleet / 10, "libc6": fleet} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if all, err := store.Holdings(b.Context(), st.Q(), name); err != nil || len(all) != want {
					b.Fatal(len(all), err)
				}
			}
		})
	}
}

// What a listed inventory's packages are of is counted anew when it is read anew.
func TestSystems(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		a := inventoryOf("a", libssl("1", 0), inventory.Package{Type: inventory.Golang, Name: "stdlib", Version: "go1.26"}, inventory.Package{Type: inventory.PyPI, Name: "six", Version: "1", Owner: "python3-six"})
		a.OS = inventory.OS{ID: "debian", Version: "12", Codename: "bookworm"}
		save(t, st.Q(), "a", a)
		save(t, st.Q(), "empty", inventoryOf("empty"))
		check := func(want string) {
			t.Helper()
			all, err := store.Systems(t.Context(), st.Q())
			if err != nil || len(all) != 2 || fmt.Sprint(all[hash("a").String()]) != want || fmt.Sprint(all[hash("empty").String()]) != "{{  } map[]}" {
				t.Errorf("%v, %v", all, err)
			}
		}
		check("{{debian 12 } map[deb:1 golang:1]}")
		a.Packages = append(a.Packages[:1], libssl("2", 0))
		save(t, st.Q(), "a", a)
		check("{{debian 12 } map[deb:2]}")
	})
}
