package demo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"rebuilder/internal/api"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// Daemon is what the demo asks of the daemon while it drives the world: only what anybody can see. *api.Client is one.
type Daemon interface {
	Rollouts(ctx context.Context, limit int) (api.Rollouts, error)
	Rollout(ctx context.Context, id string) (api.RolloutDetail, error)
}

// look is how often the drive looks at the daemon.
const look = 300 * time.Millisecond

// AwaitBases waits until the daemon has built and promoted every base of the catalog for the first time.
func AwaitBases(ctx context.Context, d Daemon, bases int, show func([]api.Node)) error {
	return await(ctx, func() (bool, error) {
		all, err := d.Rollouts(ctx, 10)
		if err != nil {
			return false, err
		}
		done := map[string]bool{}
		for _, ro := range all.Rollouts {
			one, err := d.Rollout(ctx, ro.ID)
			if err != nil {
				return false, err
			}
			show(one.Nodes)
			for _, n := range one.Nodes {
				if n.Kind == "base" && n.State == string(store.Done) {
					done[n.Image] = true
				} else if n.Ended && !store.NodeState(n.State).Good() {
					return false, fmt.Errorf("first build of %s: %s: %s", n.Image, n.State, n.Sentence)
				}
			}
		}
		return len(done) == bases, nil
	})
}

// Drive lets the published update run its course: it merges what is open, as a reviewer would, until every image of the
// rollout has come to its end, and reports what became of each. It ends early only with ctx.
func (w *World) Drive(ctx context.Context, d Daemon, p Published, show func([]api.Node)) (Report, error) {
	r := Report{PublishedAt: p.At.UTC()}
	err := await(ctx, func() (bool, error) {
		if _, err := w.Merge(ctx); err != nil {
			return false, fmt.Errorf("merge as a reviewer: %w", err)
		}
		all, err := d.Rollouts(ctx, 10)
		if err != nil {
			return false, err
		}
		i := slices.IndexFunc(all.Rollouts, func(ro api.Rollout) bool {
			return ro.Cause == string(plan.CausePackage) && !ro.CreatedAt.Before(p.At.Truncate(time.Millisecond))
		})
		if i < 0 {
			return false, nil
		}
		one, err := d.Rollout(ctx, all.Rollouts[i].ID)
		if err != nil {
			return false, err
		}
		show(one.Nodes)
		r.fill(p, one.Rollout)
		return !slices.ContainsFunc(one.Nodes, func(n api.Node) bool { return !n.Ended }), nil
	})
	return r, err
}

// fill writes the present state of a rollout into the report.
func (r *Report) fill(p Published, ro api.Rollout) {
	r.NoticedAt, r.Images, r.PullRequests, r.Dispatches = ro.NoticedAt, nil, 0, 0
	for _, n := range ro.Nodes {
		i := ReportImage{Name: n.Image, Kind: n.Kind, OldDigest: n.Before, NewDigest: n.After, Package: p.Package}
		for _, c := range n.Changes { // what was found inside the two digests, not what was hoped for
			if c.Package == p.Package {
				i.From, i.To = c.From, c.To
			}
		}
		i.Proven = n.State == string(store.Done) && n.Proven && n.After != n.Before && i.To == p.To
		if n.Ended {
			i.Seconds = n.Since.Sub(p.At).Seconds()
			r.LoopSeconds = max(r.LoopSeconds, i.Seconds)
		}
		r.Images = append(r.Images, i)
	}
	for _, pr := range ro.Proposals {
		if pr.Number > 0 {
			r.PullRequests++
		} else if pr.Strategy == "dispatch" && !pr.OpenedAt.IsZero() {
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

// AwaitRest waits until the daemon has seen every image of the catalog and has nothing to do.
func AwaitRest(ctx context.Context, d interface {
	Plan(ctx context.Context) (api.Plan, error)
}) error {
	return await(ctx, func() (bool, error) {
		p, err := d.Plan(ctx)
		return err == nil && len(p.Steps) == 0 && p.Unknown == 0, err
	})
}
