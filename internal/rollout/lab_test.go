package rollout_test

import (
	"archive/tar"
	"bytes"
	"context"
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
	"sync/atomic"
	"testing"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"rebuilder/internal/catalog"
	"rebuilder/internal/demo/debrepo"
	"rebuilder/internal/durable"
	"rebuilder/internal/notify"
	"rebuilder/internal/observe"
	"rebuilder/internal/plan"
	"rebuilder/internal/reconcile"
	"rebuilder/internal/registry"
	"rebuilder/internal/rollout"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
	"rebuilder/internal/watch"
)

// lab is upstream/debian <- base/debian <- base/python <- {web (pull request), batch (dispatch)}, with a real registry, a
// real package repository, a real database and engine; the builder, the forge and its CI are scripted.
type lab struct {
	t        *testing.T
	dir      string
	dsn      string
	host     string // of the registry
	repo     *debrepo.Repository
	repoURL  string
	packages *watch.Watcher
	builder  *scripted
	forge    *forge
	tags     atomic.Int64 // manifests written to the registry under a tag
	pushes   atomic.Int64 // all writes to the registry
	cut      *cut
	gates    rollout.Gates
	storm    *storm      // strikes the daemon's calls; nil: the weather is fair
	over     atomic.Bool // the test has ended, and its registry is going

	store  *store.Store
	engine *durable.Engine
	runner *rollout.Runner
	loop   *reconcile.Loop
}

func newLab(t *testing.T, dsn string) *lab {
	t.Helper()
	l := unstartedOn(t, dsn)
	l.start()
	t.Cleanup(func() { l.stop() })
	return l
}

func unstarted(t *testing.T) *lab { return unstartedOn(t, storetest.SQLite(t)) }

// unstartedOn is a lab whose daemon does not run yet.
func unstartedOn(t *testing.T, dsn string) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir(), dsn: dsn, cut: &cut{}}
	reg := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			l.pushes.Add(1)
		}
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") && !strings.Contains(r.URL.Path, "sha256:") {
			l.tags.Add(1)
		}
		reg.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		l.over.Store(true)
		srv.Close()
	})
	l.host = strings.TrimPrefix(srv.URL, "http://")
	var err error
	if l.repo, err = debrepo.Open(filepath.Join(l.dir, "apt"), debrepo.Config{Codename: "stable"}); err != nil {
		t.Fatal(err)
	}
	apt := httptest.NewServer(l.repo)
	t.Cleanup(apt.Close)
	l.repoURL = apt.URL
	l.publish("1.0")
	l.upstream()
	l.catalog()
	l.builder = &scripted{lab: l, available: "1.0"}
	l.forge = &forge{lab: l, repos: map[string]*repository{}}
	return l
}

func (l *lab) publish(version string) {
	l.t.Helper()
	deb, err := debrepo.Build(l.t.Context(), l.t.TempDir(), debrepo.Package{Name: "libfoo", Version: version, Architecture: "amd64"})
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.repo.Publish(l.t.Context(), deb); err != nil {
		l.t.Fatal(err)
	}
	if l.builder != nil {
		l.builder.set(func(b *scripted) { b.available = version })
	}
}

const dockerfileDebian = "FROM %s/upstream/debian:12\nRUN apt-get update && apt-get -y upgrade\n"

func (l *lab) catalog() {
	l.write("debian/Dockerfile", fmt.Sprintf(dockerfileDebian, l.host))
	l.write("python/Dockerfile", fmt.Sprintf("FROM %s/base/debian:stable\nRUN true\n", l.host))
	l.write("catalog.toml", fmt.Sprintf(`
organization = "acme"
[registry]
address = "%[1]s"
[forge]
url = "http://127.0.0.1:9"
[watch]
interval = "1h"
settle = "0s"
[[upstream]]
name = "upstream/debian"
image = "%[1]s/upstream/debian:12"
[[base]]
name = "base/debian"
context = "debian"
[[base]]
name = "base/python"
context = "python"
[[application]]
name = "web"
repository = "acme/web"
strategy = "pull-request"
image = "%[1]s/apps/web:main"
[[application]]
name = "batch"
repository = "acme/batch"
strategy = "dispatch"
image = "%[1]s/apps/batch:main"
`, l.host))
}

func (l *lab) read(path string) string {
	l.t.Helper()
	b, err := os.ReadFile(filepath.Join(l.dir, path))
	if err != nil {
		l.t.Fatal(err)
	}
	return string(b)
}

func (l *lab) write(path, content string) {
	l.t.Helper()
	p := filepath.Join(l.dir, path)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
		l.t.Fatal(err)
	}
}

// upstream is a Debian with libfoo 1.0 and the lab's package repository.
func (l *lab) upstream() {
	key, err := l.repo.PublicKey()
	if err != nil {
		l.t.Fatal(err)
	}
	img := l.layer(l.scratch(), map[string]string{
		"etc/os-release":                "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=stable\n",
		"var/lib/dpkg/status":           status("1.0", false),
		"etc/apt/keyrings/lab.gpg":      string(key),
		"etc/apt/sources.list.d/l.list": "deb [signed-by=/etc/apt/keyrings/lab.gpg] " + l.repoURL + " stable main\n",
	})
	l.push(img, "upstream/debian:12")
}

// scratch is an image without layers.
func (l *lab) scratch() v1.Image {
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		panic(err)
	}
	return img
}

// index puts what a tag points to into an index of one platform, and the tag on that.
func (l *lab) index(ref string) {
	l.t.Helper()
	img := l.pull(ref)
	idx := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	to, err := name.ParseReference(l.host + "/" + ref)
	if err == nil {
		err = remote.WriteIndex(to, idx)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) digest(ref string) string {
	d, err := l.pull(ref).Digest()
	if err != nil {
		l.t.Fatal(err)
	}
	return d.String()
}

func status(version string, held bool) string {
	want := "install"
	if held {
		want = "hold"
	}
	return fmt.Sprintf("Package: libfoo\nStatus: %s ok installed\nArchitecture: amd64\nVersion: %s\n\n", want, version)
}

func (l *lab) layer(on v1.Image, files map[string]string) v1.Image {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, p := range slices.Sorted(maps.Keys(files)) {
		_ = w.WriteHeader(&tar.Header{Name: p, Mode: 0o644, Size: int64(len(files[p]))})
		_, _ = io.WriteString(w, files[p])
	}
	w.Close()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		panic(err)
	}
	img, err := mutate.AppendLayers(on, layer)
	if err != nil {
		panic(err)
	}
	return img
}

func (l *lab) push(img v1.Image, ref string) v1.Hash {
	d, err := img.Digest()
	if err != nil {
		panic(err)
	}
	if !strings.Contains(ref, ":") {
		ref += "@" + d.String()
	}
	r, err := name.ParseReference(l.host + "/" + ref)
	if err == nil {
		err = remote.Write(r, img)
	}
	if err != nil {
		l.hold()
		panic(err)
	}
	return d
}

// hold keeps what is still at work when its test ends from taking the end for a fault.
func (l *lab) hold() {
	if l.over.Load() {
		select {}
	}
}

func (l *lab) pull(ref string) v1.Image {
	r, err := name.ParseReference(l.host + "/" + ref)
	if err != nil {
		panic(err)
	}
	img, err := remote.Image(r)
	if err != nil {
		l.hold()
		panic(err)
	}
	return img
}

// start is what app.go does.
func (l *lab) start() {
	l.t.Helper()
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			l.t.Helper()
			l.t.Fatal(err)
		}
	}
	log := slog.New(slog.NewTextHandler(l.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	c, err := catalog.Load(filepath.Join(l.dir, "catalog.toml"))
	must(err)
	l.store, err = store.Open(ctx, l.dsn, log)
	must(err)
	l.engine, err = durable.Open(ctx, l.store, durable.Config{Log: log})
	must(err)
	l.packages, err = watch.New(watch.Config{Dir: filepath.Join(l.dir, "indexes"), Log: log})
	must(err)
	regs, settings, host := registry.Config{}, rollout.Config{Logs: l.dir, Log: log, Gates: l.gates, Lag: 100 * time.Millisecond}, notify.Forge(l.forge)
	if l.storm != nil {
		log = slog.New(slog.DiscardHandler)
		regs.Transport, regs.Backoff = l.storm, time.Millisecond
		settings.Patience, settings.Log = 2*time.Millisecond, log
		host = stormyForge{l.forge, l.storm}
	}
	reg, err := registry.New(regs)
	must(err)
	obs := &observe.Observer{Registry: reg, Packages: l.packages, Forge: host, Store: l.store, Now: time.Now, Log: log}
	l.loop = reconcile.New(c, obs, l.store, log, time.Now)
	l.runner, err = rollout.New(l.engine, l.store, obs, l.builder, cutRegistry{reg, l.cut}, host, l.loop.Catalog, settings)
	must(err)
	l.loop.Use(l.runner)
	must(l.engine.Launch(ctx))
}

func (l *lab) stop() {
	l.runner.Stopping()
	_ = l.engine.Close(50 * time.Millisecond)
	_ = l.store.Close()
}

// look runs the reconcile until the world is at rest, merging what is open as a reviewer would.
func (l *lab) settle() {
	l.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	rests := 0 // a rollout may end between a look and the question whether one runs: the next look plans what follows
	for time.Now().Before(deadline) {
		if l.cut.happened() {
			l.stop()
			l.start()
		}
		if err := l.loop.Once(context.Background()); err != nil {
			l.t.Fatal(err)
		}
		l.forge.merge()
		running, err := store.RunningRollouts(context.Background(), l.store.Q())
		if err != nil {
			l.t.Fatal(err)
		}
		if last := l.loop.Last(); len(running) > 0 || !last.Plan.Empty() || l.forge.open() {
			rests = 0
		} else if rests++; rests == 2 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	l.t.Fatalf("no rest: %s", l.describe())
}

// until runs the reconcile, merging nothing, until done says so.
func (l *lab) until(done func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err := l.loop.Once(context.Background()); err != nil {
			l.t.Fatal(err)
		}
		if done() {
			return
		}
	}
	l.t.Fatalf("it does not come: %s", l.describe())
}

func (l *lab) describe() string {
	var b strings.Builder
	ros, _ := store.Rollouts(context.Background(), l.store.Q(), 5)
	for _, r := range ros {
		fmt.Fprintf(&b, "%s %s %s %s\n", r.ID, r.State, r.Title, r.Reason)
		nodes, _ := store.Nodes(context.Background(), l.store.Q(), r.ID)
		for _, n := range nodes {
			fmt.Fprintf(&b, "  %s %s waiting %d: %s\n", n.Image, n.State, n.Waiting, n.Reason)
		}
	}
	ws, _ := dbos.ListWorkflows(l.engine.DBOS())
	for _, w := range ws {
		fmt.Fprintf(&b, "workflow %s %s %v\n", w.ID, w.Status, w.Error)
	}
	if p := l.loop.Last().Plan; p != nil {
		for _, s := range p.Steps {
			fmt.Fprintf(&b, "plan %s %s %v\n", s.Action, s.Image, s.Reasons)
		}
		for _, n := range p.NotDone {
			fmt.Fprintf(&b, "not %s: %s\n", n.Image, n.Reason)
		}
	}
	return b.String()
}

// last returns the newest rollout and its nodes.
func (l *lab) last() (store.Rollout, map[string]store.Node) {
	l.t.Helper()
	ros, err := store.Rollouts(context.Background(), l.store.Q(), 1)
	if err != nil || len(ros) == 0 {
		l.t.Fatal("no rollout: ", err)
	}
	nodes, err := store.Nodes(context.Background(), l.store.Q(), ros[0].ID)
	if err != nil {
		l.t.Fatal(err)
	}
	m := map[string]store.Node{}
	for _, n := range nodes {
		m[n.Image] = n
	}
	return ros[0], m
}

// newest is what the newest rollout that had an image in hand made of it.
func (l *lab) newest(image string) store.Node {
	l.t.Helper()
	nodes, err := store.LastNodes(context.Background(), l.store.Q(), image, 1)
	if err != nil || len(nodes) == 0 {
		l.t.Fatalf("%s was in no rollout: %v", image, err)
	}
	return nodes[0]
}

func (l *lab) plan() *plan.Plan {
	l.t.Helper()
	p, err := l.loop.Plan(context.Background())
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}
