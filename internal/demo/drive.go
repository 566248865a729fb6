package demo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// Daemon is what the demo asks of the daemon while it drives the world: only what anybody can see.
type Daemon interface {
	// Rollouts returns the newest rollouts, newest first.
	Rollouts(ctx context.Context) ([]store.Rollout, error)
	// Rollout returns the nodes and proposals of one rollout.
	Rollout(ctx context.Context, id string) ([]store.Node, []store.Proposal, error)
}

// look is how often the drive looks at the daemon.
const look = 300 * time.Millisecond

// AwaitBases waits until the daemon has built every base of the catalog for the first time.
func AwaitBases(ctx context.Context, d Daemon, bases int, show func([]store.Node)) error {
	return await(ctx, func() (bool, error) {
		ros, err := d.Rollouts(ctx)
		if err != nil {
			return false, err
		}
		done := map[string]bool{}
		for _, ro := range ros {
			nodes, _, err := d.Rollout(ctx, ro.ID)
			if err != nil {
				return false, err
			}
			show(nodes)
			for _, n := range nodes {
				if n.Kind == "base" && n.State == store.Done {
					done[n.Image] = true
				}
				if n.State.Ended() && !n.State.Good() {
					return false, fmt.Errorf("first build of %s: %s: %s", n.Image, n.State, n.Reason)
				}
			}
		}
		return len(done) == bases, nil
	})
}

// Drive lets the published update run its course: it merges what is open, as a reviewer would, until every image of the
// rollout has come to its end, and reports what became of each. It ends early only with ctx.
func (w *World) Drive(ctx context.Context, d Daemon, p Published, show func([]store.Node)) (Report, error) {
	r := Report{PublishedAt: p.At.UTC()}
	err := await(ctx, func() (bool, error) {
		if _, err := w.Merge(ctx); err != nil {
			return false, fmt.Errorf("merge as a reviewer: %w", err)
		}
		ros, err := d.Rollouts(ctx)
		if err != nil {
			return false, err
		}
		i := slices.IndexFunc(ros, func(ro store.Rollout) bool {
			return ro.Cause == string(plan.CausePackage) && ro.CreatedAt >= p.At.UnixMilli()
		})
		if i < 0 {
			return false, nil
		}
		nodes, proposals, err := d.Rollout(ctx, ros[i].ID)
		if err != nil {
			return false, err
		}
		show(nodes)
		r.fill(p, ros[i], nodes, proposals)
		return !slices.ContainsFunc(nodes, func(n store.Node) bool { return !n.State.Ended() }), nil
	})
	return r, err
}

// fill writes the present state of a rollout into the report.
func (r *Report) fill(p Published, ro store.Rollout, nodes []store.Node, proposals []store.Proposal) {
	r.NoticedAt, r.Images, r.PullRequests, r.Dispatches = time.UnixMilli(ro.NoticedAt).UTC(), nil, 0, 0
	for _, n := range nodes {
		i := ReportImage{Name: n.Image, Kind: n.Kind, OldDigest: n.Before, NewDigest: n.After, Package: p.Package}
		for _, c := range n.Detail.Changes { // what was found inside the two digests, not what was hoped for
			if c.Package == p.Package {
				i.From, i.To = c.From, c.To
			}
		}
		i.Proven = n.State == store.Done && n.Detail.Proven && n.After != n.Before && i.To == p.To
		if n.State.Ended() {
			i.Seconds = float64(n.Since-p.At.UnixMilli()) / 1000
			r.LoopSeconds = max(r.LoopSeconds, i.Seconds)
		}
		r.Images = append(r.Images, i)
	}
	for _, pr := range proposals {
		if pr.Number > 0 {
			r.PullRequests++
		} else if pr.Strategy == "dispatch" && pr.OpenedAt > 0 {
			r.Dispatches++
		}
	}
}

// await calls f until it says yes.
func await(ctx context.Context, f func() (bool, error)) error {
	t := time.NewTicker(look)
	defer t.Stop()
	for {
		if ok, err := f(); err != nil || ok {
			return err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
