package rollout_test

import (
	"context"
	"strings"
	"testing"

	"rebuilder/internal/notify"
	"rebuilder/internal/store"
)

// AutoMerge merges once the checks are green.
func (f *forge) AutoMerge(_ context.Context, _ string, _ int, commit string, _ bool) (notify.Merge, error) {
	f.mu.Lock()
	f.asked++
	green := f.green
	f.mu.Unlock()
	if !green {
		return notify.Merge{State: notify.MergeWaits, Why: "checks run: build"}, nil
	}
	f.merge()
	return notify.Merge{State: notify.MergeDone, Wrote: true}, nil
}

func (f *forge) turnGreen() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.green = true
}

func (f *forge) times() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// TestAutoMerge: a pull request is merged where the catalog asks for it, when its checks are green, and who did it under
// which rule is in the audit trail.
func TestAutoMerge(t *testing.T) {
	t.Parallel()
	l := applied(t)
	l.write("catalog.toml", strings.Replace(l.read("catalog.toml"), `strategy = "pull-request"`, `automerge = "checked"`, 1))
	l.publish("1.1")
	l.until(func() bool {
		return l.forge.open() && strings.Contains(l.newest("web").Reason, "is not merged yet: checks run: build")
	})
	l.forge.turnGreen()
	l.until(func() bool { return !l.forge.open() })
	l.settle()
	events, err := store.AuditLog(t.Context(), l.store.Q(), store.AuditFilter{Rule: "automerge"})
	if err != nil || len(events) != 1 || events[0].Object != "acme/web" || events[0].Action != "automerge merged" || events[0].Kind != "automation" {
		t.Errorf("%+v, %v", events, err)
	}
}

func TestNothingIsMergedThatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	l := applied(t)
	l.forge.turnGreen()
	l.publish("1.1")
	l.until(func() bool { return l.forge.open() })
	for range 5 {
		l.until(func() bool { return true })
	}
	if n := l.forge.times(); n != 0 {
		t.Errorf("the forge was asked to merge %d times", n)
	}
}
