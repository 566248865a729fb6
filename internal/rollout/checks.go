package rollout

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/notify"
	"rebuilder/internal/store"
)

// checking remembers when the checks of each pull request were asked for, so that following many costs the forge little.
type checking struct {
	mu   sync.Mutex
	at   map[string]time.Time // by proposal
	hour time.Time            // since when asked counts
	n    int
}

const (
	checksEvery  = 10 * time.Minute // of one pull request
	checksHourly = 300              // of all of them: each takes some requests of the thousands that a forge allows
)

func (c *checking) due(key string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.hour) >= time.Hour {
		c.hour, c.n, c.at = now, 0, map[string]time.Time{}
	}
	if last, ok := c.at[key]; c.n >= checksHourly || ok && now.Sub(last) < checksEvery {
		return false
	}
	c.at[key] = now
	c.n++
	return true
}

// checked says on the nodes which checks of an open pull request are red, and which of these are red without it as well. A
// forge that cannot say stops nothing. Where a pull request merges by itself, what it waits for is said there.
func (r *Runner) checked(ctx context.Context, app *catalog.Application, p store.Proposal, pr notify.PullRequest) error {
	forge, ok := r.forge.(notify.Checking)
	if !ok || app.AutoMerge != catalog.MergeNever || pr.HeadCommit == "" || !r.checks.due(p.Key, r.cfg.Now()) {
		return nil
	}
	is, err := forge.Checks(ctx, p.Repository, pr.HeadCommit)
	var branch notify.Checks
	if err == nil && is.State == notify.Red {
		branch, err = forge.Checks(ctx, p.Repository, p.Branch)
	}
	if err != nil {
		r.cfg.Log.Warn("the checks of a pull request are not known", "repository", p.Repository, "number", p.Number, "error", err)
		return ctx.Err()
	}
	nodes, err := r.nodesOf(ctx, r.store.Q(), p)
	if err != nil {
		return err
	}
	open := fmt.Sprintf("pull request #%d waits to be merged", p.Number)
	for _, n := range nodes {
		now := open + red(is, branch, p.Branch)
		if n.State != store.Telling || n.Reason == now || !strings.HasPrefix(n.Reason, open) {
			continue
		}
		if err := store.SayWaiting(ctx, r.store.Q(), n.Rollout, n.Image, now, n.Next); err != nil {
			return err
		}
		r.cfg.Changed()
	}
	return nil
}

// red names the checks that are red; empty when none is.
func red(is, branch notify.Checks, name string) string {
	if is.State != notify.Red || len(is.Failed) == 0 {
		return ""
	}
	s := "; red: " + oneLine(some(is.Failed, 3), maxWord)
	switch also := is.AlsoRed(branch); {
	case len(also) == len(is.Failed):
		return s + fmt.Sprintf(" (red on %s too: not because of this)", name)
	case len(also) > 0:
		return s + fmt.Sprintf(" (of these red on %s too: %s)", name, oneLine(some(also, 3), maxWord))
	}
	return s
}
