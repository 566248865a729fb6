package discover_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rebuilder/internal/discover"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

// A walk that is killed before any of its requests, and started again, ends as one that is not: the first walk of a place,
// and the one after everything changed.
func TestKilledBetweenAnyTwoRequests(t *testing.T) {
	for name, only := range map[string]func(*world){"registry": onlyRegistry, "forge": onlyForge} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			only(w)
			w.populate()
			saved := w.save()
			w.restore(saved)
			w.killedEverywhere(saved)
			after := w.save()
			w.upheave()
			w.restore(after)
			w.killedEverywhere(after)
			if rows := strings.Join(w.rows(), "\n"); !strings.Contains(rows, "gone") {
				t.Errorf("nothing is gone:\n%s", rows)
			}
		})
	}
}

// upheave removes, moves and renames.
func (w *world) upheave() {
	w.t.Helper()
	if len(w.catalog.Discovery.Registries) == 0 {
		w.must(w.hub.RenameRepository("acme", "web", "a-shop"))
		w.must(w.hub.RemoveRepository("acme", "stranger"))
		w.must(w.hub.ArchiveRepository("acme", "odd"))
		return
	}
	w.untag("team/web:v1.2")
	w.untag("other/stranger:latest")
	w.push("team/web:main", w.on(w.base))
}

// killedEverywhere does a whole walk, and then one from the same beginning for each of its requests that is killed there.
func (w *world) killedEverywhere(saved string) {
	w.t.Helper()
	began := w.now
	w.seen()
	w.complete()
	want, whole := w.rows(), w.seen()
	if len(want) < 4 || whole < 5 {
		w.t.Fatalf("%d requests found %q", whole, want)
	}
	for n := 1; n <= whole; n++ {
		w.now = began
		w.restore(saved)
		w.killedAt(n)
		w.complete()
		if w.expect(want...); w.t.Failed() {
			w.t.Fatalf("killed at request %d of %d", n, whole)
		}
	}
}

// save returns a copy of the store as it is now, and closes it.
func (w *world) save() (file string) {
	w.t.Helper()
	w.must(w.store.Close())
	return w.file
}

// restore goes on from a copy.
func (w *world) restore(saved string) {
	w.t.Helper()
	w.must(w.store.Close())
	data, err := os.ReadFile(saved)
	w.must(err)
	w.file = filepath.Join(w.t.TempDir(), "rebuilder.db")
	w.must(os.WriteFile(w.file, data, 0o600))
	w.store = storetest.Open(w.t, "sqlite:"+w.file)
}

// seen is how many requests there were since the last call.
func (w *world) seen() int { return len(w.registry.seen()) + len(w.forge.seen()) }

// killedAt does a Run that is killed when its n-th request is under way.
func (w *world) killedAt(n int) {
	w.t.Helper()
	ctx, kill := context.WithCancel(w.t.Context())
	defer kill()
	var passed atomic.Int64
	count := func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v2/" && passed.Add(1) == int64(n) {
			kill()
		}
		return false
	}
	w.registry.breakWith(count)
	w.forge.breakWith(count)
	defer w.registry.breakWith(nil)
	defer w.forge.breakWith(nil)
	if _, err := w.discoverer().Run(ctx, w.catalog); !errors.Is(err, context.Canceled) {
		w.t.Fatalf("killed at request %d: %v", n, err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// With a budget of one request a walk takes many slices and ends as one that has no bound.
func TestManySlices(t *testing.T) {
	w := newWorld(t)
	w.populate()
	w.config.RegistryRequests, w.config.ForgeRequests = 1, 1
	slices := 0
	for done := map[string]bool{}; len(done) < 2; slices++ {
		report := w.slice()
		for _, p := range report.Places {
			if p.Complete {
				done[p.Place] = true
			}
			if p.Walked && p.Requests > 10 {
				t.Errorf("a slice of %s took %d requests", p.Place, p.Requests)
			}
		}
		if slices > 60 {
			t.Fatal("the walk does not come to its end")
		}
	}
	if slices < 5 {
		t.Errorf("it took %d slices", slices)
	}
	w.expect(w.populated()...)
}

// What did not change costs one request for each tag, and none for each repository of the forge that nobody pushed to.
func TestSecondWalkReadsNothing(t *testing.T) {
	w := newWorld(t)
	w.populate()
	w.complete()
	w.complete() // the first look was too close to the push to be sure
	w.registry.seen()
	w.forge.seen()
	done := w.complete()
	for _, r := range w.registry.seen() {
		if r[:4] == "GET " && !hasSuffix(r, "/_catalog", "/tags/list") {
			t.Errorf("the registry was asked %s", r)
		}
	}
	for _, r := range w.forge.seen() {
		if !hasSuffix(r, "/orgs/acme/repos") {
			t.Errorf("the forge was asked %s", r)
		}
	}
	for place, p := range done {
		if p.Found+p.Changed+p.Gone > 0 {
			t.Errorf("%s: %+v", place, p)
		}
	}
	w.expect(w.populated()...)
}

func hasSuffix(s string, suffixes ...string) bool {
	for _, x := range suffixes {
		if len(s) >= len(x) && s[len(s)-len(x):] == x {
			return true
		}
	}
	return false
}

func TestBothDatabases(t *testing.T) {
	w := newWorld(t)
	w.populate()
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		w.store = st
		w.read("base/debian", w.base)
		w.complete()
		w.expect(w.populated()...)
	})
}

// A process leaves alone what another one walks. When that one was silent for so long that it goes on for it, and the first
// one lives after all, that one stops at its next step, and nothing is lost.
func TestTwoWalkers(t *testing.T) {
	for name, late := range map[string]time.Duration{"at once": 0, "after the pause": 11 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			onlyRegistry(w)
			w.populate()
			later := *w
			later.now = w.now.Add(late)
			var other atomic.Bool
			var taken discover.Report
			w.registry.breakWith(func(_ http.ResponseWriter, r *http.Request) bool {
				if hasSuffix(r.URL.Path, "team/multi/tags/list") && other.CompareAndSwap(false, true) {
					var err error
					if taken, err = later.discoverer().Run(t.Context(), w.catalog); err != nil {
						t.Error(err)
					}
				}
				return false
			})
			first, err := w.discoverer().Run(t.Context(), w.catalog)
			w.must(err)
			theirs, ours := taken.Places[0], first.Places[0]
			if lost := late > 0; theirs.Walked != lost || theirs.Complete != lost || ours.Complete == lost {
				t.Errorf("the first one: %+v, the other one: %+v", ours, theirs)
			}
			w.expect(w.populated()[:6]...)
			for _, walk := range must(store.Walks(t.Context(), w.store.Q())) {
				if walk.Number != 1 || walk.Phase != store.Complete {
					t.Errorf("%+v", walk)
				}
			}
		})
	}
}
