package announce_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/announce"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// facts are of a rollout of two bases, one on the other, and three applications on the upper one.
func facts() announce.Facts {
	at := noon.Add(-time.Hour).UnixMilli()
	base := func(image string, tier int, parents ...string) store.Node {
		return store.Node{Image: image, Kind: "base", Tier: tier, State: store.Waiting, Waiting: len(parents), Since: at, Detail: store.NodeDetail{Step: plan.Step{Image: image, Action: plan.Rebuild, Parents: parents}}}
	}
	app := func(image, reason string, next time.Duration) store.Node {
		n := store.Node{Image: image, Kind: "application", Tier: 2, State: store.Waiting, Reason: reason, Since: at}
		if next > 0 {
			n.Next = noon.Add(next).UnixMilli()
		}
		return n
	}
	return announce.Facts{
		Rollout: store.Rollout{ID: "r-1", Title: "libssl3 1 -> 2 in base/debian", State: store.Running, CreatedAt: at},
		Nodes: []store.Node{base("base/debian", 0), base("base/java", 1, "base/debian"), app("a", "the freeze \"weekend\" is on", 2*time.Hour), app("b", "the freeze \"weekend\" is on", time.Hour),
			app("c", "waits for its wave", 0)},
		Past: map[string][]time.Duration{"base/debian": {10 * time.Minute}, "base/java": {20 * time.Minute, 20 * time.Minute}}, Parallel: 2, Now: noon,
	}
}

func TestEstimates(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*announce.Facts)
		want   string
	}{
		"one after the other": {func(*announce.Facts) {}, "bases rebuilt about 12:30 UTC (from 3 past builds)"},
		"the first is at work": {func(f *announce.Facts) {
			f.Nodes[0].State, f.Nodes[0].Since = store.Building, noon.Add(-4*time.Minute).UnixMilli()
		}, "bases rebuilt about 12:26 UTC (from 3 past builds)"},
		"the first is done":   {func(f *announce.Facts) { f.Nodes[0].State = store.Done }, "bases rebuilt about 12:20 UTC (from 2 past builds)"},
		"one was never built": {func(f *announce.Facts) { delete(f.Past, "base/java") }, ""},
		"the bases are done":  {func(f *announce.Facts) { f.Nodes[0].State, f.Nodes[1].State = store.Done, store.Done }, ""},
		"it stands still":     {func(f *announce.Facts) { f.Rollout.State = store.Paused }, ""},
		"it takes longer than usual": {func(f *announce.Facts) {
			f.Nodes[0].State, f.Nodes[0].Since = store.Building, noon.Add(-9*time.Hour).UnixMilli()
		}, "bases rebuilt about 12:00 UTC (from 3 past builds)"},
	} {
		f := facts()
		c.change(&f)
		if got := strings.Join(announce.Of(f).Ahead, "\n"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestWaits(t *testing.T) {
	f := facts()
	want := []string{`3 of 5 images wait, 2 of them: the freeze "weekend" is on; next 13:00 UTC`}
	if got := announce.Of(f).Waits; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	f.Nodes = f.Nodes[:2]
	if got := announce.Of(f).Waits; got != nil {
		t.Errorf("%q", got)
	}
}

func TestNeeds(t *testing.T) {
	f := facts()
	f.Nodes[0].State, f.Nodes[0].Reason, f.Nodes[0].Next, f.Nodes[0].Who = store.Failed, "exit code 100.", noon.Add(24*time.Hour).UnixMilli(), "who keeps its recipe"
	f.Rollout.State, f.Rollout.Reason = store.Halted, "1 of 5 failed"
	var got []string
	for _, n := range announce.Of(f).Needs {
		got = append(got, strings.Join([]string{n.What, n.State, n.Why, n.Who}, " | "))
	}
	want := []string{"the rollout | halted | 1 of 5 failed | who may resume it", "base/debian | failed | exit code 100; tried again 12:00 UTC on 22 Nov | who keeps its recipe"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
