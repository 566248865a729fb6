package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/notify"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// Follow looks what has become of those who were told: merged, closed, built, proven. It only reads the world and writes
// the store, and changes nothing when nothing has changed. One proposal that cannot be followed does not stop the others.
func (r *Runner) Follow(ctx context.Context, f plan.Facts) error {
	live, err := store.LiveProposals(ctx, r.store.Q())
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range live {
		if p.State == store.ProposalPlanned {
			continue // its workflow is at it
		}
		if err := r.follow(ctx, p, f); err != nil {
			errs = append(errs, fmt.Errorf("follow %s: %w", p.Key, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Runner) follow(ctx context.Context, p store.Proposal, f plan.Facts) error {
	app := r.byName(p.Application)
	if app == nil {
		return r.finish(ctx, p, store.ProposalClosed, store.Skipped, "no longer in the catalog", nil)
	}
	if p.Number > 0 && p.State == store.ProposalOpen && r.forge != nil {
		pr, err := r.forge.PullRequest(ctx, p.Repository, p.Number)
		if err != nil {
			return err
		}
		switch pr.State {
		case notify.Merged:
			p.State, p.MergedAt = store.ProposalMerged, r.cfg.Now().UnixMilli()
			if err := r.merged(ctx, p, app); err != nil {
				return err
			}
		case notify.Closed:
			return r.finish(ctx, p, store.ProposalClosed, store.Skipped, fmt.Sprintf("pull request #%d was closed without merging: not this digest", p.Number), nil)
		}
	}
	proven := r.proven(app, p, f)
	if len(proven) == len(app.Images) {
		return r.finish(ctx, p, store.ProposalBuilt, store.Done, "its layers prove that it stands on the new base", f.Applications)
	}
	return r.prove(ctx, p, proven, f)
}

func (r *Runner) byName(name string) *catalog.Application {
	c := r.catalog()
	if i := slices.IndexFunc(c.Applications, func(a catalog.Application) bool { return a.Name == name }); i >= 0 {
		return &c.Applications[i]
	}
	return nil
}

// proven lists the images of an application whose layers are on the wanted base.
func (r *Runner) proven(app *catalog.Application, p store.Proposal, f plan.Facts) []string {
	var out []string
	for _, i := range app.Images {
		if stands(f, f.Applications[i.Name], p.Wants) {
			out = append(out, i.Name)
		}
	}
	return out
}

// stands says that the image inherits from at least one wanted base, and that its layers prove it for each.
func stands(f plan.Facts, a plan.Application, wants map[string]string) bool {
	some := false
	for _, ref := range a.References {
		want := wants[ref.Base]
		if ref.Kind != graph.Inherits || want == "" {
			continue
		}
		b := f.Bases[ref.Base].Image
		if b.Digest.String() != want || !a.StandsOn(b) {
			return false
		}
		some = true
	}
	return some
}

func (r *Runner) merged(ctx context.Context, p store.Proposal, app *catalog.Application) error {
	defer r.cfg.Changed()
	return r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		if err := store.SaveProposal(ctx, q, p); err != nil {
			return err
		}
		return r.nodesOf(ctx, q, p, func(n store.Node) error {
			_, err := store.MoveNode(ctx, q, store.Move{Rollout: p.Rollout, Image: n.Image, To: store.Telling, At: p.MergedAt, Rule: "follow", Who: "CI of " + app.Repository,
				Reason: fmt.Sprintf("pull request #%d is merged; waits for its next image", p.Number)})
			return err
		})
	})
}

// prove ends the nodes of the images that are proven while others of the application are not yet.
func (r *Runner) prove(ctx context.Context, p store.Proposal, proven []string, f plan.Facts) error {
	if len(proven) == 0 {
		return nil
	}
	return r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		return r.nodesOf(ctx, q, p, func(n store.Node) error {
			if !slices.Contains(proven, n.Image) {
				return nil
			}
			return r.ended(ctx, q, n, store.Done, "its layers prove that it stands on the new base", f.Applications)
		})
	})
}

// finish ends a proposal and all its nodes, in one transaction.
func (r *Runner) finish(ctx context.Context, p store.Proposal, state store.ProposalState, to store.NodeState, reason string, images map[string]plan.Application) error {
	defer r.cfg.Changed()
	now := r.cfg.Now().UnixMilli()
	p.State, p.Reason, p.EndedAt = state, reason, now
	if state == store.ProposalBuilt {
		p.BuiltAt = now
	}
	return r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		if err := store.SaveProposal(ctx, q, p); err != nil {
			return err
		}
		if err := r.nodesOf(ctx, q, p, func(n store.Node) error { return r.ended(ctx, q, n, to, reason, images) }); err != nil {
			return err
		}
		return store.Finish(ctx, q, p.Rollout, now)
	})
}

func (r *Runner) ended(ctx context.Context, q store.Querier, n store.Node, to store.NodeState, reason string, images map[string]plan.Application) error {
	a := images[n.Image]
	m := store.Move{Rollout: n.Rollout, Image: n.Image, To: to, Reason: reason, At: r.cfg.Now().UnixMilli(), Rule: "follow"}
	if a.Exists() && to == store.Done {
		m.After = a.Digest.String()
		diff, err := differs(ctx, q, n.Before, m.After)
		if err != nil {
			return err
		}
		m.Detail = func(d *store.NodeDetail) { d.Proven, d.Changes = true, diff }
	}
	_, err := store.MoveNode(ctx, q, m)
	return err
}

// nodesOf calls f for each image of the proposal's application that is still being told.
func (r *Runner) nodesOf(ctx context.Context, q store.Querier, p store.Proposal, f func(store.Node) error) error {
	nodes, err := store.Nodes(ctx, q, p.Rollout)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if n.Detail.Key != p.Key || n.State != store.Telling {
			continue
		}
		if err := f(n); err != nil {
			return err
		}
	}
	return nil
}

// differs compares what is inside two digests; the look that proved them has stored both.
func differs(ctx context.Context, q store.Querier, before, after string) ([]store.Change, error) {
	old, ok, err := store.GetInventory(ctx, q, before)
	if err != nil || !ok {
		return nil, err
	}
	now, ok, err := store.GetInventory(ctx, q, after)
	if err != nil || !ok {
		return nil, err
	}
	return changes(old, now), nil
}
