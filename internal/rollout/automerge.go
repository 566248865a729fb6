package rollout

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/notify"
	"rebuilder/internal/store"
)

// merges are the pull requests that are being merged at this moment, by proposal.
type merges struct {
	mu   sync.Mutex
	busy map[string]bool
}

// begin says no when it is being merged already.
func (m *merges) begin(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy[key] {
		return false
	}
	if m.busy == nil {
		m.busy = map[string]bool{}
	}
	m.busy[key] = true
	return true
}

func (m *merges) end(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.busy, key)
}

// longestMerge bounds how long a merge may stand in the forge's line.
const longestMerge = 6 * time.Hour

// autoMerge has an open pull request merged where the catalog asks for it. It does not wait: the look that comes next asks
// again, and what was done is found then.
func (r *Runner) autoMerge(ctx context.Context, app *catalog.Application, p store.Proposal, pr notify.PullRequest) {
	forge, ok := r.forge.(notify.Merging)
	if !ok || app.AutoMerge == catalog.MergeNever || pr.Human || !r.merging.begin(p.Key) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), longestMerge)
	go func() {
		defer cancel()
		defer r.merging.end(p.Key)
		if err := r.merge(ctx, forge, app, p, pr); err != nil && !r.closing.Load() {
			r.cfg.Log.Warn("pull request is not merged", "repository", p.Repository, "number", p.Number, "error", err)
		}
	}()
}

// merge asks the forge once for each commit: a person who takes its auto-merge back has said no.
func (r *Runner) merge(ctx context.Context, forge notify.Merging, app *catalog.Application, p store.Proposal, pr notify.PullRequest) error {
	key := fmt.Sprintf("automerge %s#%d %s", p.Repository, p.Number, pr.HeadCommit)
	if _, done, err := r.store.Ledger().Begin(ctx, key, "automerge", p.Repository); err != nil || done {
		return err
	}
	w, err := r.writer(ctx, Turn{Rollout: p.Rollout, Image: app.Images[0].Name})
	if err != nil {
		return err
	}
	w.Still, w.Waits = nil, nil
	m, err := forge.AutoMerge(notify.By(ctx, w), p.Repository, p.Number, pr.HeadCommit, app.AutoMerge == catalog.MergeUnchecked)
	switch {
	case err != nil:
		return err
	case m.State == notify.MergeWaits:
		return r.notMerged(ctx, p, m.Why)
	}
	return r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		if err := r.store.Ledger().In(q).Done(ctx, key, string(m.State)); err != nil {
			return err
		}
		detail := fmt.Sprintf("%s: #%d at %s, automerge = %q", p.Rollout, p.Number, pr.HeadCommit, app.AutoMerge)
		return store.Audit(ctx, q, store.Event{At: r.cfg.Now().UnixMilli(), Actor: "rebuilder", Kind: "automation", Rule: "automerge", Action: "automerge " + string(m.State), Object: p.Repository, Detail: detail})
	})
}

// notMerged says on the nodes why.
func (r *Runner) notMerged(ctx context.Context, p store.Proposal, why string) error {
	nodes, err := r.nodesOf(ctx, r.store.Q(), p)
	for _, n := range nodes {
		reason := fmt.Sprintf("pull request #%d is not merged yet: %s", p.Number, why)
		err = errors.Join(err, store.SayWaiting(ctx, r.store.Q(), n.Rollout, n.Image, reason, 0))
	}
	return err
}
