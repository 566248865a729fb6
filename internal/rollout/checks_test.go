package rollout

import (
	"fmt"
	"testing"
	"time"

	"rebuilder/internal/notify"
)

func TestRed(t *testing.T) {
	failed := func(names ...string) notify.Checks { return notify.Checks{State: notify.Red, Failed: names} }
	for _, c := range []struct {
		name       string
		is, branch notify.Checks
		want       string
	}{
		{"no checks", notify.Checks{}, notify.Checks{}, ""},
		{"green", notify.Checks{State: notify.Green}, failed("e2e"), ""},
		{"red", failed("e2e"), notify.Checks{State: notify.Green}, "; red: e2e"},
		{"red anyway", failed("e2e"), failed("e2e", "lint"), "; red: e2e (red on main too: not because of this)"},
		{"partly", failed("e2e", "lint"), failed("lint"), "; red: e2e and lint (of these red on main too: lint)"},
		{"many", failed("a", "b", "c", "d\nx"), notify.Checks{}, "; red: a, b, c and 1 more"},
	} {
		if got := red(c.is, c.branch, "main"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestChecksAreAskedForNowAndThen(t *testing.T) {
	now := time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)
	var c checking
	if !c.due("a", now) || c.due("a", now.Add(time.Minute)) || !c.due("a", now.Add(checksEvery)) {
		t.Error("one pull request")
	}
	asked := 2
	for i := range 1000 {
		if c.due(fmt.Sprint(i), now.Add(20*time.Minute)) {
			asked++
		}
	}
	if asked != checksHourly || !c.due("a", now.Add(time.Hour)) {
		t.Errorf("asked %d times in an hour", asked)
	}
}
