package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/observe"
	"rebuilder/internal/patch"
	"rebuilder/internal/plan"
	"rebuilder/internal/rollout"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

// world is upstream/debian <- base/debian <- base/python. The catalog is a real file and the store a real one; what is
// seen is what the test says, and rollouts are rows that do nothing.
type world struct {
	t     *testing.T
	file  string
	st    *store.Store
	loop  *Loop
	seen  plan.Facts
	now   func() time.Time
	blind error                       // of the next looks
	watch func(context.Context) error // called by each look; may be nil

	mu                      sync.Mutex // of all that follows, and of seen and blind: Run has a goroutine of its own
	looks, follows, resumes int
	refuse                  error // of the next starts
	started                 []*plan.Plan
}

const twoBases = `
organization = "acme"
[registry]
address = "registry.example.com"
[watch]
interval = "1h"
settle = "10m"
[rollout]
retry_after = "30m"
[[upstream]]
name = "upstream/debian"
image = "debian:12"
[[base]]
name = "base/debian"
context = "debian"
[[base]]
name = "base/python"
context = "python"
`

func newWorld(t *testing.T, now func() time.Time) *world {
	t.Helper()
	w := &world{t: t, file: filepath.Join(t.TempDir(), "catalog.toml"), st: storetest.Open(t, storetest.SQLite(t)), now: now}
	for _, dir := range []string{"debian", "python"} {
		w.write(filepath.Join(filepath.Dir(w.file), dir, "Dockerfile"), "FROM debian:12\n")
	}
	w.write(w.file, twoBases)
	c, err := catalog.Load(w.file)
	if err != nil {
		t.Fatal(err)
	}
	w.seen = current(now())
	w.loop = New(c, w, w.st, slog.New(slog.DiscardHandler), now)
	w.loop.Use(w)
	return w
}

// at is a clock that the test moves.
func at(now *time.Time) func() time.Time { return func() time.Time { return *now } }

func noon() *time.Time {
	t := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	return &t
}

func (w *world) write(path, content string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// change rewrites the catalog.
func (w *world) change(old, now string) {
	w.t.Helper()
	src, err := os.ReadFile(w.file)
	if err != nil {
		w.t.Fatal(err)
	}
	if !strings.Contains(string(src), old) {
		w.t.Fatalf("the catalog has no %q", old)
	}
	w.write(w.file, strings.Replace(string(src), old, now, 1))
}

func hash(s string) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", s) + strings.Repeat("0", 64-2*len(s))}
}

func image(ref, digest string, layers ...string) plan.Image {
	i := plan.Image{Reference: ref, Digest: hash(digest)}
	for _, l := range layers {
		i.DiffIDs = append(i.DiffIDs, hash(l))
	}
	return i
}

// current has everything as it should be.
func current(now time.Time) plan.Facts {
	base := func(i plan.Image, parent, ref string) plan.Base {
		return plan.Base{Image: i, Recipe: "r", BuiltFrom: "r", State: "s1", StateSince: now.Add(-time.Hour),
			Parents: []plan.Parent{{Name: parent, Reference: ref, Kind: graph.Inherits, Where: "Dockerfile:1"}}}
	}
	return plan.Facts{
		Upstreams: map[string]plan.Image{"upstream/debian": image("debian:12", "U1", "u1")},
		Bases: map[string]plan.Base{
			"base/debian": base(image("registry.example.com/base/debian:stable", "D1", "u1", "d1"), "upstream/debian", "debian:12"),
			"base/python": base(image("registry.example.com/base/python:stable", "P1", "u1", "d1", "p1"), "base/debian", "registry.example.com/base/debian:stable"),
		},
	}
}

// counts are the looks and the starts so far.
func (w *world) counts() (looks, started int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.looks, len(w.started)
}

func (w *world) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blind = err
}

func (w *world) base(name string, f func(*plan.Base)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.seen.Bases[name]
	f(&b)
	w.seen.Bases[name] = b
}

// patch publishes a package for base/debian that was first seen a while ago.
func (w *world) patch(ago time.Duration) {
	w.base("base/debian", func(b *plan.Base) {
		b.State, b.StateSince = "s2", w.now().Add(-ago)
		b.Patches = []plan.Patch{{Patch: patch.Patch{Package: "libssl3", From: "3.0.20", To: "3.0.22", Repository: "http://d stable main"}}}
	})
}

// Gather is the observer of the world.
func (w *world) Gather(ctx context.Context, c *catalog.Catalog) (*observe.World, error) {
	if w.watch != nil {
		if err := w.watch(ctx); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	if w.blind != nil {
		return nil, w.blind
	}
	if err := w.refreshes(ctx); err != nil {
		return nil, err
	}
	var nodes []graph.Node
	var edges []graph.Edge
	for _, u := range c.Upstreams {
		nodes = append(nodes, graph.Node{Name: u.Name, Kind: graph.Upstream})
	}
	for _, b := range c.Bases {
		nodes = append(nodes, graph.Node{Name: b.Name, Kind: graph.Base})
		for _, p := range w.seen.Bases[b.Name].Parents {
			edges = append(edges, graph.Edge{Parent: p.Name, Child: b.Name, Kind: p.Kind, Evidence: graph.FromRecipe})
		}
	}
	g, err := graph.New(nodes, edges)
	if err != nil {
		return nil, err
	}
	return &observe.World{Graph: g, Facts: w.seen}, ctx.Err()
}

// refreshes adds the fresh builds that are wanted, as internal/observe does.
func (w *world) refreshes(ctx context.Context) error {
	all, err := store.Refreshes(ctx, w.st.Q())
	for name, b := range w.seen.Bases {
		b.Refresh = nil
		if r := all[name]; r.Due() {
			b.Refresh = &plan.Refresh{Wanted: r.Wanted, Cause: plan.Cause(r.Cause), Reason: r.Reason, Since: time.UnixMilli(r.Since)}
		}
		w.seen.Bases[name] = b
	}
	return err
}

// refreshed is what a rollout writes when it made a fresh build.
func (w *world) refreshed(image, wanted string) {
	w.t.Helper()
	if err := store.Refreshed(w.t.Context(), w.st.Q(), image, wanted, w.now().UnixMilli()); err != nil {
		w.t.Fatal(err)
	}
}

// Start writes the rows that a rollout begins with.
func (w *world) Start(ctx context.Context, p *plan.Plan, _ rollout.Actor) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return "", w.refuse
	}
	w.started = append(w.started, p)
	id := fmt.Sprintf("r-%d", len(w.started))
	r := store.Rollout{ID: id, Plan: p.ID, State: store.Running, CreatedAt: w.now().UnixMilli(), StartedAt: w.now().UnixMilli()}
	return id, w.st.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		_, err := store.CreateRollout(ctx, q, r, nil)
		return err
	})
}

// Follow counts.
func (w *world) Follow(context.Context, plan.Facts) error { w.follows++; return nil }

// Resume counts.
func (w *world) Resume(context.Context) error { w.resumes++; return nil }

// end ends a rollout.
func (w *world) end(id string, s store.RolloutState) {
	w.t.Helper()
	if err := w.st.Tx(w.t.Context(), func(ctx context.Context, q store.Querier) error {
		return store.SetRollout(ctx, q, id, s, "base/debian: exit 100", w.now().UnixMilli(), "test")
	}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) once() {
	w.t.Helper()
	if err := w.loop.Once(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) plan() *plan.Plan {
	w.t.Helper()
	p, err := w.loop.Plan(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}
