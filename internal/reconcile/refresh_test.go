package reconcile

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// refreshing turns [refresh] on, without jitter.
func (w *world) refreshing() {
	w.t.Helper()
	w.change("[rollout]\n", "[refresh]\nschedule = \"0 3 * * *\"\ntimezone = \"Europe/Berlin\"\njitter = \"0s\"\n[rollout]\n")
}

// wants are the fresh builds that the store wants; the fake observer adds them to the facts, as the real one does.
func (w *world) wants() map[string]store.Refresh {
	w.t.Helper()
	all, err := store.Refreshes(w.t.Context(), w.st.Q())
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func TestRefresh(t *testing.T) {
	now := noon()
	w := newWorld(t, at(now))
	w.refreshing()
	w.once()
	if n := len(w.wants()); n != 0 || len(w.started) != 0 {
		t.Errorf("turned on at noon, %d are wanted at noon", n)
	}
	if next, want := w.loop.Last().Next, now.Add(time.Hour); !next.Equal(want) {
		t.Errorf("looks again at %s, want %s", next, want)
	}
	*now = time.Date(2026, 11, 22, 1, 59, 59, 0, time.UTC) // three in the morning in Berlin is 02:00 UTC
	w.once()
	if n := len(w.wants()); n != 0 {
		t.Errorf("%d are wanted before the slot", n)
	}
	if next := w.loop.Last().Next; !next.Equal(now.Add(time.Second)) {
		t.Errorf("looks again at %s, not on the slot", next)
	}
	*now = now.Add(time.Second)
	w.once()
	r := w.wants()["base/python"]
	if len(w.wants()) != 2 || r.Wanted != "slot 2026-11-22T02:00:00Z" || !strings.HasPrefix(r.Reason, "everything is built fresh at 03:00 CET") {
		t.Errorf("%+v", w.wants())
	}
	if len(w.started) != 1 || w.started[0].Cause != plan.CauseRefresh || len(w.started[0].Steps) != 2 {
		t.Fatalf("%d started: %+v", len(w.started), w.started)
	}
	if h := w.heart("refresh"); h.LastRun != now.UnixMilli() || h.LastOK != 0 || h.NextRun != now.Add(24*time.Hour).UnixMilli() {
		t.Errorf("%+v", h)
	}

	// The rollout makes them; the same slot is not wanted again.
	for _, name := range []string{"base/debian", "base/python"} {
		w.refreshed(name, "slot 2026-11-22T02:00:00Z")
	}
	w.end("r-1", store.Finished)
	*now = now.Add(time.Hour)
	w.once()
	if h := w.heart("refresh"); len(w.started) != 1 || h.LastOK == 0 {
		t.Errorf("%d started, %+v", len(w.started), h)
	}

	// Days in which nobody was there are made up once.
	*now = now.Add(72 * time.Hour)
	w.once()
	w.once()
	if len(w.started) != 2 || w.wants()["base/debian"].Wanted != "slot 2026-11-25T02:00:00Z" {
		t.Errorf("%d started, %+v", len(w.started), w.wants())
	}

	// Turned off and on again, nothing is made up.
	w.change("schedule = ", "# schedule = ")
	w.once()
	if h := w.heart("refresh"); h != (store.Watcher{}) {
		t.Errorf("off: %+v", h)
	}
	*now = now.Add(72 * time.Hour)
	w.change("# schedule = ", "schedule = ")
	w.once()
	if got := w.wants()["base/debian"].Wanted; got != "slot 2026-11-25T02:00:00Z" {
		t.Errorf("%s is wanted", got)
	}
}

// A schedule that is changed counts from then on: what would have been a slot of it before is not made up.
func TestAnotherSchedule(t *testing.T) {
	now := noon()
	w := newWorld(t, at(now))
	w.refreshing()
	w.once()
	for _, c := range [][2]string{{`"0 3 * * *"`, `"0 5 * * *"`}, {`"0 5 * * *"`, `"0 3 * * *"`}, {`"Europe/Berlin"`, `"Asia/Tokyo"`}} {
		w.change(c[0], c[1])
		for range 2 {
			if w.once(); len(w.wants()) != 0 {
				t.Errorf("%s instead of %s: at once %+v are wanted", c[1], c[0], w.wants())
			}
		}
		*now = now.Add(2 * time.Hour) // far from any slot of these
	}
	*now = now.Add(24 * time.Hour)
	if w.once(); w.wants()["base/debian"].Wanted != "slot 2026-11-22T18:00:00Z" {
		t.Errorf("%+v", w.wants())
	}
	if h := w.heart("refresh"); h.LastRun != time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC).UnixMilli() {
		t.Errorf("%+v", h)
	}
}

// Two daemons on one database take a slot once.
func TestTwoDaemonsTakeASlotOnce(t *testing.T) {
	now := noon()
	w := newWorld(t, at(now))
	w.refreshing()
	w.once()
	other := New(w.loop.Catalog(), w, w.st, w.loop.log, w.now)
	other.Use(w)
	*now = now.Add(24 * time.Hour)
	w.once()
	w.refreshed("base/debian", "slot 2026-11-22T02:00:00Z")
	if err := other.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := w.wants()["base/debian"]; r.Due() {
		t.Errorf("wanted again: %+v", r)
	}
}

// The slot comes while the loop runs: it looks then, and not an interval later.
func TestRunLooksOnTheSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the bubble's clock begins at midnight UTC, an hour after that in Berlin
		w := newWorld(t, time.Now)
		w.refreshing()
		w.change(`interval = "1h"`, `interval = "7h"`)
		defer w.run()()
		time.Sleep(2*time.Hour - time.Second)
		synctest.Wait()
		if _, n := w.counts(); n != 0 {
			t.Fatal("started before the slot")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if _, n := w.counts(); n != 1 {
			t.Errorf("%d started on the slot", n)
		}
	})
}

// A person who asked does not wait for the schedule, nor for what settles.
func TestARequestIsTakenByTheNextLook(t *testing.T) {
	w := newWorld(t, at(noon()))
	w.patch(0)
	if w.once(); len(w.started) != 0 {
		t.Fatal("it settles")
	}
	for range 2 {
		if err := w.st.Tx(t.Context(), func(ctx context.Context, q store.Querier) error {
			_, _, err := store.AskRefresh(ctx, q, store.Request{ID: "1", Images: []string{"base/python"}, Reason: "try", Actor: "ada", At: 1})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		w.once()
	}
	if len(w.started) != 1 {
		t.Fatalf("%d started", len(w.started))
	}
	if s, _ := w.started[0].Find("base/python"); s.Refresh != "request 1" {
		t.Errorf("%+v", s)
	}
}
