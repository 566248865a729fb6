package observe_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"rebuilder/internal/catalog"
	"rebuilder/internal/demo/debrepo"
	"rebuilder/internal/notify"
	"rebuilder/internal/observe"
	"rebuilder/internal/plan"
	"rebuilder/internal/registry"
	"rebuilder/internal/store"
	"rebuilder/internal/watch"
)

// world is a real registry, real package repositories and a real store, with a forge of a map.
type world struct {
	t    testing.TB
	dir  string
	host string // of the registry
	main *repository
	obs  *observe.Observer
	args string // of the base in recipe_test.go
	now  time.Time

	mu       sync.Mutex
	down     string   // part of the paths for which the registry answers 503
	requests []string // to the registry: "GET /v2/base/debian/manifests/stable"
}

// repository is a package repository that images may use.
type repository struct {
	*debrepo.Repository
	t   testing.TB
	url string
}

func newRepository(t testing.TB) *repository {
	t.Helper()
	r, err := debrepo.Open(t.TempDir(), debrepo.Config{Codename: "stable"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	return &repository{r, t, srv.URL}
}

// publish makes and publishes packages: "libfoo 1.1".
func (r *repository) publish(packages ...string) {
	r.t.Helper()
	for _, p := range packages {
		name, version, _ := strings.Cut(p, " ")
		deb, err := debrepo.Build(r.t.Context(), r.t.TempDir(), debrepo.Package{Name: name, Version: version, Architecture: "amd64"})
		if err == nil {
			_, err = r.Publish(r.t.Context(), deb)
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

// sources are the files of an image that uses the repository under a name.
func (r *repository) sources(name string) files {
	r.t.Helper()
	key, err := r.PublicKey()
	if err != nil {
		r.t.Fatal(err)
	}
	return files{
		"etc/apt/keyrings/" + name + ".gpg":        string(key),
		"etc/apt/sources.list.d/" + name + ".list": "deb [signed-by=/etc/apt/keyrings/" + name + ".gpg] " + r.url + " stable main\n",
	}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), main: newRepository(t), now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	reg := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		down := w.down != "" && strings.Contains(r.URL.Path, w.down)
		w.requests = append(w.requests, r.Method+" "+r.URL.Path)
		w.mu.Unlock()
		if down {
			http.Error(rw, "down for the test", http.StatusForbidden)
			return
		}
		reg.ServeHTTP(rw, r)
	}))
	t.Cleanup(srv.Close)
	w.host = strings.TrimPrefix(srv.URL, "http://")
	client, err := registry.New(registry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	packages, err := watch.New(watch.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w.obs = &observe.Observer{Registry: client, Packages: packages, Forge: forge{}, Store: openStore(t),
		Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler)}
	return w
}

// openStore is storetest.Open for tests and benchmarks.
func openStore(t testing.TB) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "rebuilder.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func (w *world) fail(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = path
}

// catalog writes catalog.toml, with the registry's address before what is given, and loads it.
func (w *world) catalog(toml string) *catalog.Catalog {
	w.t.Helper()
	w.write("catalog.toml", strings.ReplaceAll(fmt.Sprintf("organization = \"acme\"\n[registry]\naddress = \"HOST\"\n[forge]\nurl = \"http://127.0.0.1:9\"\n%s", toml), "HOST", w.host))
	c, err := catalog.Load(filepath.Join(w.dir, "catalog.toml"))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// write writes a file below the catalog's directory; HOST is the registry's address.
func (w *world) write(path, content string) {
	w.t.Helper()
	p := filepath.Join(w.dir, path)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(strings.ReplaceAll(content, "HOST", w.host)), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) look(c *catalog.Catalog) *observe.World {
	w.t.Helper()
	seen, err := w.obs.Gather(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	return seen
}

func (w *world) plan(c *catalog.Catalog) *plan.Plan {
	w.t.Helper()
	seen := w.look(c)
	return plan.Make(c, seen.Graph, seen.Facts, w.now)
}

type files map[string]string

func join(all ...files) files {
	out := files{}
	for _, f := range all {
		maps.Copy(out, f)
	}
	return out
}

// debian are the files of an image with packages, "libfoo 1.0".
func debian(packages ...string) files {
	var b strings.Builder
	for _, p := range packages {
		name, version, _ := strings.Cut(p, " ")
		fmt.Fprintf(&b, "Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: %s\n\n", name, version)
	}
	return files{"var/lib/dpkg/status": b.String(), "etc/os-release": "ID=debian\nVERSION_ID=\"12\"\n"}
}

// image adds a layer to an image; on nil begins one for linux/amd64.
func (w *world) image(on v1.Image, layer files) v1.Image {
	w.t.Helper()
	if on == nil {
		cfg, err := empty.Image.ConfigFile()
		if err != nil {
			w.t.Fatal(err)
		}
		cfg = cfg.DeepCopy()
		cfg.OS, cfg.Architecture = "linux", "amd64"
		if on, err = mutate.ConfigFile(empty.Image, cfg); err != nil {
			w.t.Fatal(err)
		}
	}
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, p := range slices.Sorted(maps.Keys(layer)) {
		if err := tw.WriteHeader(&tar.Header{Name: p, Mode: 0o644, Size: int64(len(layer[p]))}); err != nil {
			w.t.Fatal(err)
		}
		_, _ = io.WriteString(tw, layer[p])
	}
	_ = tw.Close()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		w.t.Fatal(err)
	}
	img, err := mutate.AppendLayers(on, l)
	if err != nil {
		w.t.Fatal(err)
	}
	return img
}

// push pushes an image to "base/debian:stable" and returns its digest.
func (w *world) push(img v1.Image, ref string) v1.Hash {
	w.t.Helper()
	r, err := name.ParseReference(w.host + "/" + ref)
	if err == nil {
		err = remote.Write(r, img)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	d, err := img.Digest()
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// forge is "repository/path" -> file, at the one commit that there is of them.
type forge map[string]string

func (f forge) Head(_ context.Context, repo, branch string) (string, error) {
	sum, found := sha256.New(), false
	for _, k := range slices.Sorted(maps.Keys(f)) {
		if strings.HasPrefix(k, repo+"/") {
			fmt.Fprintf(sum, "%q %q\n", k, f[k])
			found = true
		}
	}
	if !found || branch != "main" {
		return "", notify.ErrNotFound
	}
	return fmt.Sprintf("c0ffee%x", sum.Sum(nil))[:40], nil
}

func (f forge) ReadFile(_ context.Context, repo, _, path string) ([]byte, error) {
	src, ok := f[repo+"/"+path]
	if !ok {
		return nil, notify.ErrNotFound
	}
	return []byte(src), nil
}

var errNotHere = fmt.Errorf("an observer writes nothing")

func (forge) Propose(context.Context, notify.Proposal) (notify.PullRequest, error) {
	return notify.PullRequest{}, errNotHere
}
func (forge) PullRequest(context.Context, string, int) (notify.PullRequest, error) {
	return notify.PullRequest{}, errNotHere
}
func (forge) Proposed(context.Context, notify.Proposal) (notify.PullRequest, error) {
	return notify.PullRequest{}, errNotHere
}
func (forge) ClosePullRequest(context.Context, string, int, string) error { return errNotHere }
func (forge) Dispatch(context.Context, notify.Dispatch) error             { return errNotHere }
func (forge) Dispatched(context.Context, notify.Dispatch, time.Time) (bool, error) {
	return false, errNotHere
}

// twoBases is upstream/debian <- base/debian <- base/python.
const twoBases = `
[[upstream]]
name = "upstream/debian"
image = "HOST/upstream/debian:12"
[[base]]
name = "base/debian"
context = "debian"
[[base]]
name = "base/python"
context = "python"
`

func (w *world) twoBases() *catalog.Catalog {
	w.t.Helper()
	w.write("debian/Dockerfile", "FROM HOST/upstream/debian:12\nRUN true\n")
	w.write("python/Dockerfile", "FROM HOST/base/debian:stable\nRUN true\n")
	return w.catalog(twoBases)
}

// remember writes down what a rollout that built an image leaves.
func (w *world) remember(f func(context.Context, store.Querier) error) {
	w.t.Helper()
	if err := w.obs.Store.Tx(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}
