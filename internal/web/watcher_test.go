package web

import (
	"context"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/api/apitest"
	"rebuilder/internal/store"
)

func TestAWatcherThatStoppedIsSeen(t *testing.T) {
	now := apitest.Now()
	ago := func(d time.Duration) int64 { return now.Add(-d).UnixMilli() }
	body := page(t, apitest.Calm, func(w *apitest.World) {
		for _, one := range []store.Watcher{
			{Name: "reconcile", LastRun: ago(25 * time.Minute), LastOK: ago(25 * time.Minute), NextRun: ago(15 * time.Minute)},
			{Name: "discovery/acme", LastRun: ago(time.Hour), NextRun: ago(-5 * time.Hour), Error: "401 <Unauthorized>"},
			{Name: "refresh", NextRun: ago(-15 * time.Hour)},
		} {
			if err := store.SaveWatcher(context.Background(), w.Store.Q(), one); err != nil {
				t.Fatal(err)
			}
		}
	}).Body.String()
	for _, want := range []string{
		`<span class="state bad">late</span>`, "this watcher stopped: it did not run when it was due", "overdue by 15 min", "who runs the daemon",
		`<span class="state bad">failed</span>`, "this watcher never worked: 401 &lt;Unauthorized&gt;", `<span class="state good">ok</span>`, "never", "in 15 h",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}
