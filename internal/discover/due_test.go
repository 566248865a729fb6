package discover_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/discover"
	"rebuilder/internal/store"
)

// later does a Run some time after the last one.
func (w *world) later(d time.Duration) discover.Report {
	w.t.Helper()
	w.now = w.now.Add(d)
	report, err := w.discoverer().Run(w.t.Context(), w.catalog)
	w.must(err)
	return report
}

func walked(r discover.Report) (out []string) {
	for _, p := range r.Places {
		if p.Walked {
			out = append(out, p.Place)
		}
	}
	return out
}

// settled is a world whose first walk has just come to its end.
func settled(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.populate()
	if r := w.later(0); !r.Places[0].Complete || !r.Places[1].Complete {
		t.Fatalf("%+v", r)
	}
	return w
}

// What changes in the catalog counts from the next minute on.
func TestAChangedCatalogIsWalkedAtOnce(t *testing.T) {
	all := func(w *world) []string { return []string{w.registry.host(), "acme"} }
	for name, c := range map[string]struct {
		change func(*world)
		walked func(*world) []string
	}{
		"nothing":              {func(*world) {}, func(*world) []string { return nil }},
		"a longer interval":    {func(w *world) { w.catalog.Discovery.Interval = 24 * time.Hour }, func(*world) []string { return nil }},
		"a shorter interval":   {func(w *world) { w.catalog.Discovery.Interval = time.Minute }, all},
		"patterns":             {func(w *world) { w.catalog.Discovery.Include = []string{"team/*", "acme/*"} }, all},
		"an exclusion":         {func(w *world) { w.catalog.Discovery.Exclude = []string{"team/*"} }, all},
		"another registry":     {func(w *world) { w.catalog.Discovery.Registries = []string{w.registry.host() + "/team"} }, func(w *world) []string { return []string{w.registry.host() + "/team"} }},
		"another organization": {func(w *world) { w.catalog.Discovery.Organizations = []string{"acme", "umbrella"} }, func(w *world) []string { return []string{w.registry.host(), "umbrella"} }},
	} {
		t.Run(name, func(t *testing.T) {
			w := settled(t)
			c.change(w)
			if got, want := walked(w.later(time.Minute)), c.walked(w); !slices.Equal(got, want) {
				t.Errorf("walked are %q, want %q", got, want)
			}
			if got := walked(w.later(30 * time.Second)); got != nil {
				t.Errorf("then once more %q", got)
			}
		})
	}
}

// The heartbeat tells of the interval of now, or nobody could say whether it is late.
func TestAHeartbeatFollowsTheInterval(t *testing.T) {
	w := settled(t)
	for _, interval := range []time.Duration{24 * time.Hour, 3 * time.Hour, 6 * time.Hour} {
		w.catalog.Discovery.Interval = interval
		w.later(time.Minute)
		for _, walk := range must(store.Walks(t.Context(), w.store.Q())) {
			due := walk.EndedAt + interval.Milliseconds()
			if h := w.heartbeat(walk.Place); h.NextRun != due || walk.NextAt != due || h.LastOK == 0 || walk.Number != 1 {
				t.Errorf("%s: heartbeat %+v, walk %+v, due at %d", interval, h, walk, due)
			}
		}
	}
}

// A walk that is under way when the patterns change begins anew, and forgets what is not wanted any more.
func TestPatternsChangeUnderWay(t *testing.T) {
	w := newWorld(t)
	onlyRegistry(w)
	w.populate()
	w.config.RegistryRequests = 8
	if p := w.later(0).Places[0]; p.Complete || p.Found == 0 {
		t.Fatalf("%+v", p)
	}
	w.catalog.Discovery.Include = []string{"team/*"}
	if got := walked(w.later(time.Minute)); got != nil {
		t.Errorf("its budget is spent, and it was walked again: %q", got)
	}
	w.later(10 * time.Minute)
	w.complete()
	w.expect(w.populated()[3:6]...)
}

// Who asks to be left alone is, whatever changes.
func TestAChangedCatalogWaitsForWhoAskedForIt(t *testing.T) {
	w := newWorld(t)
	w.populate()
	w.code.rate.Limit, w.code.rate.Remaining, w.code.rate.Reset = 5000, 10, w.now.Add(time.Hour)
	onlyForge(w)
	if p := w.later(0).Places[0]; !strings.Contains(p.Problem, "pull requests") {
		t.Fatalf("%+v", p)
	}
	w.catalog.Discovery.Interval, w.catalog.Discovery.Exclude = time.Minute, []string{"acme/odd"}
	if got := walked(w.later(59 * time.Minute)); got != nil {
		t.Errorf("walked are %q", got)
	}
	if got := walked(w.later(2 * time.Minute)); !slices.Equal(got, []string{"acme"}) {
		t.Errorf("walked are %q", got)
	}
}

// What a person got wrong and put right is not waited for.
func TestAMistakeThatWasPutRight(t *testing.T) {
	w := newWorld(t)
	w.populate()
	w.registry.breakWith(noCatalog)
	onlyRegistry(w)
	w.config.PackageHosts = []string{w.registry.host()}
	if p := w.later(0).Places[0]; !strings.Contains(p.Problem, "organizations in [discovery]") {
		t.Fatalf("%+v", p)
	}
	w.catalog.Discovery.Organizations = []string{"acme"}
	if p := w.later(time.Minute).Places[0]; !p.Complete {
		t.Errorf("%+v", p)
	}
}

// What left the catalog leaves nothing behind, and what still walks there brings nothing back.
func TestAPlaceThatLeft(t *testing.T) {
	w := settled(t)
	w.catalog.Discovery.Registries = nil
	w.later(time.Minute)
	w.expect(w.populated()[6:]...)
	if h := w.heartbeat(w.registry.host()); h.Name != "" {
		t.Errorf("its heart still beats: %+v", h)
	}
	if h := w.heartbeat("acme"); h.LastOK == 0 {
		t.Errorf("the other's heart: %+v", h)
	}
	onlyOne := *w.catalog
	onlyOne.Discovery.Organizations = nil
	w.forge.breakWith(forgets(w, &onlyOne))
	w.catalog.Discovery.Interval = time.Second
	w.later(time.Hour)
	w.expect()
	if h := w.heartbeat("acme"); h.Name != "" {
		t.Errorf("its heart beats again: %+v", h)
	}
}

// forgets lets another process run with another catalog at the first request.
func forgets(w *world, c *catalog.Catalog) func(http.ResponseWriter, *http.Request) bool {
	var done atomic.Bool
	other := w.discoverer()
	return func(http.ResponseWriter, *http.Request) bool {
		if done.CompareAndSwap(false, true) {
			if _, err := other.Run(w.t.Context(), c); err != nil {
				w.t.Error(err)
			}
		}
		return false
	}
}
