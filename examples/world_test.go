package examples

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"rebuilder/internal/catalog"
	"rebuilder/internal/dockerfile"
	"rebuilder/internal/graph"
	"rebuilder/internal/inventory"
	"rebuilder/internal/notify"
	"rebuilder/internal/observe"
	"rebuilder/internal/plan"
	"rebuilder/internal/registry"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
	"rebuilder/internal/watch"
)

// world is an example come to life: its catalog, recipes and Dockerfiles as they are, a real store, observer and package
// repository; the registry and the repositories of the applications are maps.
type world struct {
	t             *testing.T
	dir           string
	c             *catalog.Catalog
	obs           *observe.Observer
	tags          map[string]v1.Image // by reference
	digests       map[string]v1.Image
	names         map[string]string // digest -> "base/debian #2"
	count         map[string]int
	files         map[string][]byte // "repository/path"
	commits       int
	now           time.Time
	distributions map[string]distribution // by the id of an upstream's system
}

func newWorld(t *testing.T, dir string) *world {
	t.Helper()
	c, err := catalog.Load(filepath.Join(dir, "catalog.toml"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, c: c, tags: map[string]v1.Image{}, digests: map[string]v1.Image{}, names: map[string]string{}, count: map[string]int{}, files: map[string][]byte{},
		now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	for _, a := range c.Applications {
		for _, i := range a.Images {
			src, err := os.ReadFile(filepath.Join(apps(dir, a), i.Dockerfile))
			if err != nil {
				t.Fatal(err)
			}
			w.files[a.Repository+"/"+i.Dockerfile] = src
		}
	}
	w.distributions = distributions(t)
	deb, err := watch.New(watch.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w.obs = &observe.Observer{Registry: w, Packages: deb, Forge: forge{w: w}, Store: storetest.Open(t, storetest.SQLite(t)), Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler)}
	return w
}

// plan looks and decides, an hour after whatever happened last: settle windows are over.
func (w *world) plan() (*plan.Plan, plan.Facts) {
	w.t.Helper()
	seen, err := w.obs.Gather(w.t.Context(), w.c)
	if err != nil {
		w.t.Fatal(err)
	}
	return plan.Make(w.c, seen.Graph, seen.Facts, w.now), seen.Facts
}

// Resolve is that of a registry.
func (w *world) Resolve(_ context.Context, ref, _ string) (registry.Resolved, error) {
	img, ok := w.tags[ref]
	if !ok {
		return registry.Resolved{}, fmt.Errorf("%s: %w", ref, registry.ErrNotFound)
	}
	d, err := img.Digest()
	return registry.Resolved{Manifest: d}, err
}

// Image is that of a registry.
func (w *world) Image(_ context.Context, ref, _ string) (v1.Image, error) {
	_, digest, _ := strings.Cut(ref, "@")
	img, ok := w.digests[digest]
	if !ok {
		return nil, fmt.Errorf("%s: %w", ref, registry.ErrNotFound)
	}
	return img, nil
}

// push makes an image on another one, nil for none, and moves a reference to it. Every image has content of its own.
func (w *world) push(name, ref string, on v1.Image, files map[string]string) string {
	w.t.Helper()
	w.count[name]++
	nth := fmt.Sprintf("%s #%d", name, w.count[name])
	files = maps.Clone(files)
	if files == nil {
		files = map[string]string{}
	}
	files["etc/image"] = nth
	if on == nil {
		on = empty.Image
	}
	img, err := mutate.AppendLayers(on, layer(w.t, files))
	if err != nil {
		w.t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		w.t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		w.t.Fatal(err)
	}
	d, err := img.Digest()
	if err != nil {
		w.t.Fatal(err)
	}
	w.tags[ref], w.digests[d.String()], w.names[d.String()] = img, img, nth
	return d.String()
}

func layer(t *testing.T, files map[string]string) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, p := range slices.Sorted(maps.Keys(files)) {
		if err := tw.WriteHeader(&tar.Header{Name: p, Mode: 0o644, Size: int64(len(files[p]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, files[p]); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return static.NewLayer(buf.Bytes(), types.OCIUncompressedLayer)
}

// upgraded are the files that an upgrade of a family's library writes.
func (w *world) upgraded(family, version string) map[string]string {
	w.t.Helper()
	return w.distributions[map[string]string{inventory.Deb: "debian", inventory.APK: "alpine", inventory.RPM: "centos"}[family]].installed(w.t, version)
}

// publish publishes the library of every distribution, its patched version if that is wanted.
func (w *world) publish(patched bool) {
	w.t.Helper()
	for _, d := range w.distributions {
		_, version, second := d.offers()
		if patched {
			version = second
		}
		d.publish(w.t, version)
	}
}

// upstreams moves every upstream to a new image.
func (w *world) upstreams() {
	for _, u := range w.c.Upstreams {
		w.push(u.Name, u.Image, nil, w.system(u.Name))
	}
}

// apply does what a rollout does: builds and remembers, and the applications do as they are told.
func (w *world) apply(p *plan.Plan) {
	w.t.Helper()
	w.now = w.now.Add(time.Hour)
	for _, s := range p.Steps {
		if i := slices.IndexFunc(w.c.Bases, func(b catalog.Base) bool { return b.Name == s.Image }); i >= 0 {
			w.build(w.c.Bases[i], s)
		}
	}
	w.applications()
}

func (w *world) build(b catalog.Base, s plan.Step) {
	w.t.Helper()
	in, _, err := w.obs.Base(w.t.Context(), w.c, b)
	if err != nil {
		w.t.Fatalf("%s was planned, and cannot be built: %v", b.Name, err)
	}
	var on v1.Image
	used, brought := map[string]string{}, map[string]string(nil)
	for _, q := range in.Parents {
		used[q.Name] = q.Digest.String()
		if q.Kind == graph.Inherits {
			on = w.digests[q.Digest.String()]
		}
	}
	for _, q := range s.Patches {
		if q.Inherited == "" {
			brought = w.upgraded(q.Type, q.To)
		}
	}
	d := w.push(b.Name, b.Reference(), on, brought)
	err = w.obs.Store.Tx(w.t.Context(), func(ctx context.Context, q store.Querier) error {
		at := w.now.UnixMilli()
		if err := store.SaveBuild(ctx, q, store.Build{ID: "b-" + d, Image: b.Name, Key: in.Key(), State: "done", Started: at, Ended: at, Digest: d,
			Detail: store.BuildDetail{Recipe: in.Recipe, State: in.State, Parents: used}}); err != nil {
			return err
		}
		if err := store.SaveAttempt(ctx, q, store.Attempt{Key: in.Key(), Image: b.Name, Outcome: "built", Digest: d, Tries: 1, At: at}); err != nil {
			return err
		}
		_, err := store.SavePromotion(ctx, q, store.Promotion{Key: "p-" + d, Image: b.Name, Channel: b.Channel, To: d, At: at})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// applications pins what pull requests would pin, and lets every CI build.
func (w *world) applications() {
	w.t.Helper()
	_, facts := w.plan()
	w.commits++ // a commit's files never change
	for _, a := range w.c.Applications {
		for _, i := range a.Images {
			f := facts.Applications[i.Name]
			if a.Strategy == catalog.PullRequest {
				w.pin(a, i, f, facts)
			}
			var on v1.Image
			for _, r := range f.References {
				if r.Kind == graph.Inherits {
					on = w.tags[r.Reference]
				}
			}
			if on == nil {
				w.t.Fatalf("%s stands on nothing: %+v", i.Name, f)
			}
			w.push(i.Name, i.Image, on, nil)
		}
	}
}

func (w *world) pin(a catalog.Application, i catalog.ApplicationImage, f plan.Application, facts plan.Facts) {
	w.t.Helper()
	path := a.Repository + "/" + i.Dockerfile
	parsed, err := dockerfile.Parse(i.Dockerfile, w.files[path], i.Args)
	if err != nil {
		w.t.Fatal(err)
	}
	w.files[path], err = parsed.Rewrite(func(ref dockerfile.Reference) (string, bool) {
		name, _, _ := strings.Cut(ref.Name, "@")
		k := slices.IndexFunc(f.References, func(r plan.Reference) bool { return r.Reference == name })
		if k < 0 {
			return "", false
		}
		to := name + "@" + facts.Bases[f.References[k].Base].Digest.String()
		return to, to != ref.Name
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// forge has the applications' files at one commit, and takes no writes.
type forge struct {
	notify.Forge
	w *world
}

func (f forge) Head(context.Context, string, string) (string, error) {
	return fmt.Sprintf("commit%d", f.w.commits), nil
}

func (f forge) ReadFile(_ context.Context, repo, _, path string) ([]byte, error) {
	src, ok := f.w.files[repo+"/"+path]
	if !ok {
		return nil, notify.ErrNotFound
	}
	return src, nil
}
