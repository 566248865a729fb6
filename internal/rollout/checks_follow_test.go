package rollout_test

import (
	"context"
	"strings"
	"testing"

	"rebuilder/internal/notify"
)

// Checks are those of a commit, or of a branch.
func (f *forge) Checks(_ context.Context, _, commit string) (notify.Checks, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	failed := f.failing[commit]
	if len(failed) == 0 {
		return notify.Checks{State: notify.Green, Total: 1}, nil
	}
	return notify.Checks{State: notify.Red, Failed: failed, Total: len(failed)}, nil
}

// A check that is red without the change as well is said to be.
func TestRedChecksAreSaid(t *testing.T) {
	t.Parallel()
	l := applied(t)
	l.forge.mu.Lock()
	l.forge.failing = map[string][]string{"head 1": {"e2e", "lint"}, "main": {"lint"}}
	l.forge.mu.Unlock()
	l.publish("1.1")
	l.until(func() bool {
		return strings.HasSuffix(l.newest("web").Reason, "waits to be merged; red: e2e and lint (of these red on main too: lint)")
	})
}
