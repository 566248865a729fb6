package reconcile

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// heart is a watcher's heartbeat; the zero one when there is none.
func (w *world) heart(name string) store.Watcher {
	w.t.Helper()
	all, err := store.Watchers(w.t.Context(), w.st.Q())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, one := range all {
		if one.Name == name {
			return one
		}
	}
	return store.Watcher{}
}

// What fails is named, with its own last success, while the rest goes on.
func TestEachWatcherHasItsOwnHeart(t *testing.T) {
	now := noon()
	w := newWorld(t, at(now))
	w.once()
	first := now.UnixMilli()
	*now = now.Add(time.Minute)
	w.base("base/debian", func(b *plan.Base) { b.Stale = "http://d: 503" })
	w.base("base/python", func(b *plan.Base) { b.Stale = "http://d: 503" })
	w.once()
	if h := w.heart("packages"); h.LastOK != first || h.LastRun != now.UnixMilli() || h.Error != "http://d: 503 (for base/debian and 1 more)" {
		t.Errorf("%+v", h)
	}
	for _, name := range []string{"reconcile", "upstreams"} {
		if h := w.heart(name); h.LastOK != now.UnixMilli() || h.Error != "" {
			t.Errorf("%+v", h)
		}
	}
	w.base("base/debian", func(b *plan.Base) { b.Stale = strings.Repeat("é", 5000) })
	w.seen.Upstreams["upstream/debian"] = plan.Image{Reference: "debian:12", Unknown: "connection refused"}
	w.once()
	if h := w.heart("packages"); len(h.Error) > 2100 {
		t.Errorf("%d bytes", len(h.Error))
	}
	if h := w.heart("upstreams"); h.Error != "upstream/debian: connection refused" {
		t.Errorf("%+v", h)
	}
	if h := w.heart("forge"); h != (store.Watcher{}) {
		t.Errorf("the catalog has no forge: %+v", h)
	}
	w.seen.Upstreams["upstream/debian"] = image("debian:12", "U1", "u1")
	for _, name := range []string{"base/debian", "base/python"} {
		w.base(name, func(b *plan.Base) { b.Stale = "" })
	}
	w.once()
	if h := w.heart("packages"); h.LastOK != now.UnixMilli() || h.Error != "" {
		t.Errorf("%+v", h)
	}
}

// Webhooks that nobody repeats any more are forgotten.
func TestOldDeliveriesAreForgotten(t *testing.T) {
	now := noon()
	w := newWorld(t, at(now))
	first := func() int {
		t.Helper()
		n, err := store.FirstDelivery(t.Context(), w.st.Q(), "harbor", now.UnixMilli(), "a")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first()
	*now = now.Add(6 * 24 * time.Hour)
	if w.once(); first() != 0 {
		t.Error("forgotten after six days")
	}
	*now = now.Add(2 * 24 * time.Hour)
	if w.once(); first() != 1 {
		t.Error("not forgotten after eight days")
	}
}

// What is too old goes while the daemon runs, looked for once an hour; what the bases of the catalog are made from stays.
func TestOldRowsAreRemoved(t *testing.T) {
	now := noon()
	w := newWorld(t, at(now))
	ask := func() {
		t.Helper()
		r := store.Refresh{Wanted: "slot", Cause: "refresh", Since: now.Add(-100 * 24 * time.Hour).UnixMilli()}
		if err := store.WantRefresh(t.Context(), w.st.Q(), r, []string{"base/debian", "base/left"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		later time.Duration
		left  int
	}{{0, 1}, {59 * time.Minute, 2}, {time.Minute, 1}} {
		ask()
		*now = now.Add(c.later)
		w.once()
		all, err := store.Refreshes(t.Context(), w.st.Q())
		if _, kept := all["base/debian"]; err != nil || !kept || len(all) != c.left {
			t.Errorf("%s later there are %+v, want %d; %v", c.later, all, c.left, err)
		}
	}
}

type advisories struct {
	found []plan.Advisory
	err   error
}

func (a *advisories) New(context.Context, plan.Facts) ([]plan.Advisory, error) { return a.found, a.err }

// What judges images may say so; that it cannot holds up nothing else.
func TestAdvisories(t *testing.T) {
	w := newWorld(t, at(noon()))
	w.once()
	if h := w.heart("advisories"); h != (store.Watcher{}) {
		t.Errorf("nobody knows of advisories: %+v", h)
	}
	a := &advisories{found: []plan.Advisory{{Image: "base/debian", ID: "CVE-2026-1"}, {Image: "not/ours", ID: "CVE-2026-2"}}}
	w.loop.Judge(a)
	p := w.plan()
	if s, ok := p.Find("base/debian"); !ok || p.Cause != plan.CauseAdvisory || s.Reasons[0] != "CVE-2026-1 hits it" {
		t.Errorf("%+v", p)
	}
	w.base("base/debian", func(b *plan.Base) { b.Advisories = nil })
	a.found, a.err = nil, errors.New("the feed is gone")
	w.patch(time.Hour)
	w.once()
	if len(w.started) != 1 || w.heart("advisories").Error != "the feed is gone" {
		t.Errorf("%d started, %+v", len(w.started), w.heart("advisories"))
	}
	w.loop.Judge(nil) // as after a restart without them
	w.once()
	if h := w.heart("advisories"); h != (store.Watcher{}) {
		t.Errorf("nobody knows of advisories any more: %+v", h)
	}
}
