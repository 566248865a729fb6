package advisory_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/advisory"
	"rebuilder/internal/inventory"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

type m = map[string]any

// record is an OSV record of one package: events are "introduced 0", "fixed 1.2".
func record(id, ecosystem, name string, events ...string) m {
	return m{"id": id, "modified": "2026-01-02T03:04:05Z", "affected": []any{affected(ecosystem, name, events...)}}
}

func affected(ecosystem, name string, events ...string) m {
	kind := "ECOSYSTEM"
	if ecosystem == "Go" || ecosystem == "npm" {
		kind = "SEMVER"
	}
	return m{"package": m{"ecosystem": ecosystem, "name": name}, "ranges": []any{ranged(kind, events...)}}
}

func ranged(kind string, events ...string) m {
	all := []any{}
	for _, e := range events {
		k, v, _ := strings.Cut(e, " ")
		all = append(all, m{k: v})
	}
	return m{"type": kind, "events": all}
}

func with(r m, key string, value any) m {
	r[key] = value
	return r
}

func raw(t testing.TB, r any) []byte {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// world is a book on a store, and a directory of records.
type world struct {
	t    *testing.T
	st   *store.Store
	dir  string
	book *advisory.Book
}

func newWorld(t *testing.T, st *store.Store) *world {
	t.Helper()
	if st == nil {
		st = storetest.Open(t, storetest.SQLite(t))
	}
	w := &world{t: t, st: st, dir: t.TempDir()}
	w.book = w.open(advisory.Source{Name: "dir", Path: w.dir})
	return w
}

func (x *world) open(sources ...advisory.Source) *advisory.Book {
	x.t.Helper()
	b, err := advisory.New(x.st, advisory.Config{Sources: sources, Client: &http.Client{}, Log: slog.New(slog.NewTextHandler(x.t.Output(), nil))})
	if err != nil {
		x.t.Fatal(err)
	}
	return b
}

// write puts records in the directory, each in a file of its id.
func (x *world) write(records ...m) {
	x.t.Helper()
	for _, r := range records {
		x.file(fmt.Sprint(r["id"])+".json", raw(x.t, r))
	}
}

// clear empties the directory.
func (x *world) clear() {
	x.t.Helper()
	all, err := filepath.Glob(filepath.Join(x.dir, "*"))
	for _, path := range all {
		err = errors.Join(err, os.RemoveAll(path))
	}
	if err != nil {
		x.t.Fatal(err)
	}
}

func (x *world) file(name string, content []byte) {
	x.t.Helper()
	path := filepath.Join(x.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		x.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		x.t.Fatal(err)
	}
}

// sync looks at all sources and returns how the first went.
func (x *world) sync() advisory.SourceState {
	x.t.Helper()
	all, err := x.book.Sync(x.t.Context())
	if err != nil {
		x.t.Fatal(err)
	}
	if len(all) == 0 {
		return advisory.SourceState{}
	}
	return all[0]
}

// found are the findings, as "CVE-1 openssl 1.0 fixed 1.1".
func (x *world) found(inv *inventory.Inventory) []string {
	x.t.Helper()
	out := []string{}
	for _, f := range x.result(inv).Findings {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", f.ID, f.Package, f.Version, prefixed("fixed ", f.FixedIn))))
	}
	return out
}

func prefixed(before, s string) string {
	if s == "" {
		return ""
	}
	return before + s
}

func (x *world) result(inv *inventory.Inventory) advisory.Result {
	x.t.Helper()
	r, err := x.book.Findings(x.t.Context(), inv)
	if err != nil {
		x.t.Fatal(err)
	}
	return r
}

// hits are the packages of stored inventories that an advisory hits, as "openssl 1.0 fixed 1.1".
func (x *world) hits(id string) []string {
	x.t.Helper()
	all, err := x.book.Affected(x.t.Context(), id)
	if err != nil {
		x.t.Fatal(err)
	}
	out := []string{}
	for _, h := range all {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s%s", h.Package, h.Version, prefixed("fixed ", h.FixedIn), prefixed("unknown: ", h.Unknown))))
	}
	return out
}

func (x *world) save(inv *inventory.Inventory) {
	x.t.Helper()
	if err := store.SaveInventory(x.t.Context(), x.st.Q(), "image", inv, 1); err != nil {
		x.t.Fatal(err)
	}
}

func (x *world) same(what string, got, want []string) {
	x.t.Helper()
	if !slices.Equal(got, want) {
		x.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func digest(n int) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", n)} }

var (
	bookworm = inventory.OS{ID: "debian", Version: "12", Codename: "bookworm"}
	alma     = inventory.OS{ID: "almalinux", Version: "9.4"}
	alpine   = inventory.OS{ID: "alpine", Version: "3.22.1"}
)

func image(os inventory.OS, packages ...inventory.Package) *inventory.Inventory {
	return &inventory.Inventory{Format: inventory.Format, Digest: digest(1), OS: os, Packages: packages}
}

func deb(name, version, source, sourceVersion string) inventory.Package {
	return inventory.Package{Type: inventory.Deb, Name: name, Version: version, Architecture: "amd64", Source: source, SourceVersion: sourceVersion}
}

func pkg(family, name, version string) inventory.Package {
	return inventory.Package{Type: family, Name: name, Version: version, Source: name, SourceVersion: version}
}

// zipped is a zip file of members, name and content in turn; names may come twice.
func zipped(t testing.TB, members ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(members); i += 2 {
		w, err := z.Create(members[i])
		if err == nil {
			_, err = w.Write([]byte(members[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
