package rollout

import (
	"context"
	"errors"
	"fmt"

	"rebuilder/internal/notify"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// withdraw closes the pull requests that nobody wants any more: their application is gone, names other bases now, or has what
// they propose by another way. One that a newer rollout is about to update stays.
func (r *Runner) withdraw(ctx context.Context, f plan.Facts) error {
	if r.forge == nil {
		return nil
	}
	all, err := store.Abandoned(ctx, r.store.Q())
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range all {
		if r.wanted(p, f) {
			continue
		}
		if err := r.withdrawOne(ctx, p); err != nil {
			errs = append(errs, fmt.Errorf("withdraw pull request %s#%d: %w", p.Repository, p.Number, err))
		}
	}
	return errors.Join(errs...)
}

// wanted says that what a proposal pins is still to be pinned, or that this is not known now.
func (r *Runner) wanted(p store.Proposal, f plan.Facts) bool {
	app := r.byName(p.Application)
	if app == nil || p.State == store.ProposalBuilt {
		return false
	}
	for _, i := range app.Images {
		a, ok := f.Applications[i.Name]
		if !ok || a.Problem != "" || a.Unknown != "" || a.Busy != "" {
			return true
		}
		for _, ref := range a.Named() {
			b := f.Bases[ref.Base]
			if p.Wants[ref.Base] != "" && ref.Rewritable && (!b.Exists() || ref.Pinned != b.Digest) {
				return true
			}
		}
	}
	return false
}

func (r *Runner) withdrawOne(ctx context.Context, p store.Proposal) error {
	reason := "Closed: " + plain(p.Reason) + "."
	successor, err := r.successor(ctx, p)
	if err != nil {
		return err
	}
	if successor != 0 {
		reason += fmt.Sprintf(" What comes in its place is #%d.", successor)
	}
	err = r.forge.ClosePullRequest(ctx, p.Repository, p.Number, reason)
	var no *notify.Refused
	if err != nil && !errors.As(err, &no) && !errors.Is(err, notify.ErrNotFound) {
		return err
	}
	return r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		p.WithdrawnAt = r.cfg.Now().UnixMilli()
		if err := store.SaveProposal(ctx, q, p); err != nil {
			return err
		}
		return store.Audit(ctx, q, store.Event{At: p.WithdrawnAt, Actor: "rebuilder", Kind: store.Automation, Rule: "withdraw", Action: "close pull request", Object: p.Application,
			Detail: fmt.Sprintf("%s#%d: %s", p.Repository, p.Number, p.Reason)})
	})
}

// successor is the number of the application's newest pull request after this one; 0 when there is none.
func (r *Runner) successor(ctx context.Context, p store.Proposal) (int, error) {
	last, err := store.LastProposals(ctx, r.store.Q())
	if err != nil {
		return 0, err
	}
	for _, o := range last[p.Application] {
		if o.CreatedAt > p.CreatedAt && o.Number > 0 && o.Number != p.Number && o.Repository == p.Repository {
			return o.Number, nil
		}
	}
	return 0, nil
}
