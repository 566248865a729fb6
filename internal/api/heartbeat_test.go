package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/api"
	"rebuilder/internal/api/apitest"
	"rebuilder/internal/store"
)

// A loop that stopped writes nothing any more: the reader's clock alone shows it, within twice its interval.
func TestAWatcherThatStoppedIsLate(t *testing.T) {
	w := world(t, apitest.Calm)
	now := apitest.Now()
	const interval = 10 * time.Minute
	last := now
	for _, name := range []string{"reconcile", "packages", "upstreams", "discovery/registry.example.com"} {
		every := interval
		if strings.HasPrefix(name, "discovery") {
			every = 6 * time.Hour
		}
		beat(t, w, store.Watcher{Name: name, LastRun: last.UnixMilli(), LastOK: last.UnixMilli(), NextRun: last.Add(every).UnixMilli()})
	}
	w.Deps.Now = func() time.Time { return now }
	srv := serve(t, w)
	for _, c := range []struct {
		ago   time.Duration
		late  []string
		needs string
	}{
		{0, nil, ""},
		{2*interval - time.Second, nil, ""},
		{2 * interval, []string{"packages", "reconcile", "upstreams"}, "reconcile late"},
		{12*time.Hour - time.Second, []string{"packages", "reconcile", "upstreams"}, "reconcile late"},
		{12 * time.Hour, []string{"discovery/registry.example.com", "packages", "reconcile", "upstreams"}, "discovery/registry.example.com late, reconcile late"},
	} {
		now = last.Add(c.ago)
		s, err := api.NewClient(srv.URL, "").Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var late, needs []string
		for _, one := range s.Watchers {
			if one.State == api.WatcherLate {
				late = append(late, one.Name)
				if !one.Since.Equal(one.NextRun) || one.Who == "" {
					t.Errorf("after %s: %+v", c.ago, one)
				}
			}
		}
		for _, n := range s.Needs {
			if n.State == api.WatcherLate {
				needs = append(needs, n.What+" "+n.State)
				if n.Who != "who runs the daemon" || n.Since.IsZero() || !strings.Contains(n.Reason, "stopped") {
					t.Errorf("after %s: %+v", c.ago, n)
				}
			}
		}
		if strings.Join(late, ",") != strings.Join(c.late, ",") || strings.Join(needs, ", ") != c.needs {
			t.Errorf("after %s: late %v, needs %v; want %v, %s", c.ago, late, needs, c.late, c.needs)
		}
		metrics := string(get(t, srv.URL+"/metrics", 200))
		want := "0"
		if len(c.late) > 0 {
			want = "1"
		}
		if !strings.Contains(metrics, `rebuilder_watcher_late{watcher="reconcile"} `+want) {
			t.Errorf("after %s: the metric does not say %s", c.ago, want)
		}
	}
}

func TestAWatcherThatFails(t *testing.T) {
	now := apitest.Now()
	minutes := func(n int) int64 { return now.Add(time.Duration(-n) * time.Minute).UnixMilli() }
	for _, c := range []struct {
		name  string
		w     store.Watcher
		state string
		need  bool
		who   string
	}{
		{"well", store.Watcher{Name: "packages", LastRun: minutes(1), LastOK: minutes(1), NextRun: minutes(-9)}, "ok", false, ""},
		{"once", store.Watcher{Name: "packages", LastRun: minutes(1), LastOK: minutes(11), NextRun: minutes(-9), Error: "503"}, "failed", false, "who runs the daemon"},
		{"for long", store.Watcher{Name: "packages", LastRun: minutes(1), LastOK: minutes(21), NextRun: minutes(-9), Error: "503"}, "failed", true, "who runs the daemon"},
		{"always", store.Watcher{Name: "packages", LastRun: minutes(1), NextRun: minutes(-9), Error: "503"}, "failed", true, "who runs the daemon"},
		{"fresh builds", store.Watcher{Name: "refresh", LastRun: minutes(1), NextRun: minutes(-9), Error: "base/debian: exit 6"}, "failed", true, "who keeps the recipes"},
		{"not due yet, and never ran", store.Watcher{Name: "refresh", NextRun: minutes(-9)}, "ok", false, ""},
		{"due, and never ran", store.Watcher{Name: "refresh", NextRun: minutes(61)}, "late", true, "who runs the daemon"},
		{"a look takes a while", store.Watcher{Name: "reconcile", LastRun: now.Add(-20 * time.Second).UnixMilli(), LastOK: now.Add(-20 * time.Second).UnixMilli(), NextRun: now.Add(-19 * time.Second).UnixMilli()}, "ok", false, ""},
		{"nobody knows when it is due", store.Watcher{Name: "old", LastRun: minutes(10_000), LastOK: minutes(10_000)}, "ok", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := world(t, apitest.Calm)
			beat(t, w, c.w)
			r := api.Reader{Loop: w.Loop, Store: w.Store, Now: apitest.Now}
			s, err := r.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got api.Watcher
			for _, one := range s.Watchers {
				if one.Name == c.w.Name {
					got = one
				}
			}
			need := false
			for _, n := range s.Needs {
				need = need || n.What == c.w.Name
			}
			if got.State != c.state || got.Who != c.who || need != c.need {
				t.Errorf("%+v, need %v", got, need)
			}
		})
	}
}

func beat(t *testing.T, w *apitest.World, one store.Watcher) {
	t.Helper()
	if err := w.Store.Tx(t.Context(), func(ctx context.Context, q store.Querier) error {
		if err := store.ForgetWatcher(ctx, q, one.Name); err != nil {
			return err
		}
		return store.SaveWatcher(ctx, q, one)
	}); err != nil {
		t.Fatal(err)
	}
}

func TestRefreshIsAskedForOnce(t *testing.T) {
	w := world(t, apitest.Fix)
	srv := serve(t, w)
	c := api.NewClient(srv.URL, "")
	for i := range 3 {
		r, err := c.Refresh(t.Context(), api.RefreshRequest{ID: "x", Images: []string{"base/python", "base/debian"}, Reason: "try", By: "ada"})
		if err != nil || r.Again != (i > 0) || r.By != "ada" || !r.Automatic || len(r.Images) != 2 || !r.At.Equal(apitest.Now()) {
			t.Errorf("%+v %v", r, err)
		}
	}
	if w.Loop.Woken != 1 {
		t.Errorf("woken %d times", w.Loop.Woken)
	}
	a, errA := c.Refresh(t.Context(), api.RefreshRequest{Images: []string{"base/python"}})
	b, errB := c.Refresh(t.Context(), api.RefreshRequest{Images: []string{"base/python"}})
	if errA != nil || errB != nil || a.ID == b.ID || b.Again {
		t.Errorf("without an id each is its own: %+v %v, %+v %v", a, errA, b, errB)
	}
	for says, q := range map[string]api.RefreshRequest{
		"no image is named":      {},
		`no base "web"`:          {Images: []string{"base/debian", "web"}},
		"cannot be the id":       {ID: "../x", Images: []string{"base/debian"}},
		"more than 1000":         {Images: make([]string, 1001)},
		"used for another":       {ID: "x", Images: []string{"base/debian"}},
		`no base "\x00"`:         {Images: []string{"\x00"}},
		"cannot be the id of a ": {ID: strings.Repeat("x", 101), Images: []string{"base/debian"}},
	} {
		if _, err := c.Refresh(t.Context(), q); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}
