package rollout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/notify"
	"rebuilder/internal/store"
)

// people is the rule in the audit log under which something is done that a person asked for at the forge.
const people = "control"

// controls takes care of what people asked for: whether they may, what it means, and the answer to them. What cannot be done
// now is tried at the next look, and stops no other.
func (r *Runner) controls(ctx context.Context) error {
	desk, ok := r.forge.(notify.Desk)
	if !ok {
		return nil
	}
	open, err := store.Unanswered(ctx, r.store.Q())
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range open {
		if err := r.control(ctx, desk, c); err != nil {
			errs = append(errs, fmt.Errorf("%s of %s at %s#%d: %w", c.Action, c.Actor, c.Repository, c.Number, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Runner) control(ctx context.Context, desk notify.Desk, c store.Control) error {
	if c.State == store.ControlAsked {
		may, err := desk.MayWrite(ctx, c.Repository, c.Actor)
		if err != nil && !errors.Is(err, notify.ErrNotFound) {
			return err
		}
		if c, err = r.decide(ctx, c, may); err != nil {
			return err
		}
	}
	if err := r.act(ctx, desk, &c); err != nil {
		return err
	}
	if err := r.acknowledge(ctx, desk, c); err != nil {
		return err
	}
	c.Acked = true
	return store.SetControl(ctx, r.store.Q(), c)
}

// decide grants or refuses, with the person's audit row in the same transaction, and has the images wait or go on.
func (r *Runner) decide(ctx context.Context, c store.Control, may bool) (store.Control, error) {
	now := r.cfg.Now()
	defer r.cfg.Changed()
	err := r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		p, found, err := store.OpenProposal(ctx, q, c.Repository, c.Number)
		if err != nil {
			return err
		}
		c.State = store.ControlGranted
		switch {
		case !may:
			c.State, c.Reason = store.ControlRefused, "only who may write to the repository is heard"
		case !found && notify.Action(c.Action) != notify.OpenNow:
			c.State, c.Reason = store.ControlRefused, "this pull request is not followed any more"
		case found:
			c.Application, c.Line = p.Application, p.Line
			err = r.grant(ctx, q, &c, p, now)
		default:
			err = r.goOn(ctx, q, &c, now)
		}
		if err != nil {
			return err
		}
		if err := store.SetControl(ctx, q, c); err != nil {
			return err
		}
		return store.Audit(ctx, q, store.Event{At: now.UnixMilli(), Actor: c.Actor, Kind: store.Human, Rule: people, Action: c.Action, Object: c.Application,
			Detail: fmt.Sprintf("%s#%d: %s %s", c.Repository, c.Number, c.State, c.Reason)})
	})
	return c, err
}

// grant changes what the granted action changes in the store.
func (r *Runner) grant(ctx context.Context, q store.Querier, c *store.Control, p store.Proposal, now time.Time) error {
	at := fmt.Sprintf("pull request #%d", c.Number)
	switch notify.Action(c.Action) {
	case notify.Rebase, notify.TakeOver:
		p.State = store.ProposalPlanned // so that it is proposed again
		if err := store.SaveProposal(ctx, q, p); err != nil {
			return err
		}
		return r.another(ctx, q, p, store.Move{Reason: fmt.Sprintf("%s is made again, as %s asked; its turn comes next", at, c.Actor), At: now.UnixMilli(), Rule: people})
	case notify.Wait:
		until := time.UnixMilli(c.Until).UTC()
		c.Reason = "until " + until.Format("2 January 15:04 UTC")
		return r.another(ctx, q, p, store.Move{Reason: fmt.Sprintf("%s is left as it is, as %s asked", at, c.Actor), Next: c.Until, Who: c.Actor, At: now.UnixMilli(), Rule: people})
	}
	return nil
}

// another has the images of a proposal wait for another turn.
func (r *Runner) another(ctx context.Context, q store.Querier, p store.Proposal, m store.Move) error {
	if _, err := store.LockRollout(ctx, q, p.Rollout); err != nil {
		return err
	}
	nodes, err := r.nodesOf(ctx, q, p)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		m.Rollout, m.Image, m.To, m.Detail = n.Rollout, n.Image, store.Waiting, func(d *store.NodeDetail) { d.HeldUntil = m.Next }
		if _, err := store.MoveNode(ctx, q, m); err != nil {
			return err
		}
		if _, err := store.NextAttempt(ctx, q, n.Rollout, n.Image); err != nil {
			return err
		}
	}
	return nil
}

// goOn has the images of an application that wait for a time go on now.
func (r *Runner) goOn(ctx context.Context, q store.Querier, c *store.Control, now time.Time) error {
	app := r.byName(c.Application)
	if app == nil {
		c.State, c.Reason = store.ControlRefused, "it is no longer in the catalog"
		return nil
	}
	live, err := store.LiveNodes(ctx, q)
	if err != nil {
		return err
	}
	n := 0
	for _, node := range live {
		if !builds(app, node.Image) || node.State != store.Waiting || node.Waiting > 0 || node.Detail.HeldUntil == 0 {
			continue
		}
		n++
		if _, err := store.MoveNode(ctx, q, store.Move{Rollout: node.Rollout, Image: node.Image, To: store.Waiting, At: now.UnixMilli(), Rule: people,
			Reason: "goes on now, as " + c.Actor + " asked; its turn comes next", Detail: func(d *store.NodeDetail) { d.HeldUntil = 0 }}); err != nil {
			return err
		}
	}
	if n == 0 {
		c.State, c.Reason = store.ControlRefused, "nothing of it waits for a time"
	}
	return nil
}

func builds(app *catalog.Application, image string) bool {
	for _, i := range app.Images {
		if i.Name == image {
			return true
		}
	}
	return false
}

// act does what a granted action does at the forge. Each can be repeated.
func (r *Runner) act(ctx context.Context, desk notify.Desk, c *store.Control) error {
	if c.State != store.ControlGranted {
		return nil
	}
	var err error
	switch notify.Action(c.Action) {
	case notify.Skip:
		err = desk.Decline(ctx, c.Repository, c.Number, "Closed as "+code(c.Actor)+" asked: these digests are not proposed again.")
	case notify.Never:
		if err = desk.Label(ctx, c.Repository, c.Number, notify.LabelPrefix+string(notify.Never)); err == nil {
			err = desk.Decline(ctx, c.Repository, c.Number, "Closed as "+code(c.Actor)+" asked: nothing is proposed for this base here while the label stays.")
		}
	case notify.Except:
		err = desk.Reply(ctx, c.Repository, c.Number, c.ID, "An exception accepts findings for a while, with a reason and an approver. Ask for it with `rebuilder exception request`, or in the catalog.")
	default:
		return nil // done by the next turn, or in time
	}
	if err == nil {
		c.State = store.ControlDone
	}
	return err
}

// acknowledge answers the person: by a reaction to the comment, or by taking back the tick or the label.
func (r *Runner) acknowledge(ctx context.Context, desk notify.Desk, c store.Control) error {
	var err error
	switch {
	case c.Comment != 0:
		err = desk.React(ctx, c.Repository, c.Comment, c.State != store.ControlRefused)
	case c.Label != "" && notify.Action(c.Action) != notify.Never:
		err = desk.Unlabel(ctx, c.Repository, c.Number, c.Label)
	case c.Label == "":
		err = desk.Untick(ctx, c.Repository, c.Number)
	}
	if errors.Is(err, notify.ErrNotFound) { // the comment was deleted
		return nil
	}
	return err
}

// heed adds to a proposal what was granted for it. A person's wish to wait is a failure of the kind that is no fault.
func (r *Runner) heed(ctx context.Context, app catalog.Application, n *notify.Proposal) ([]store.Control, error) {
	granted, err := store.Granted(ctx, r.store.Q(), app.Name)
	if err != nil {
		return nil, err
	}
	var asked []store.Control
	now := r.cfg.Now().UnixMilli()
	for _, c := range granted {
		if c.Line != "" && c.Line != n.Key {
			continue
		}
		switch notify.Action(c.Action) {
		case notify.Rebase:
			n.Rebase = true
		case notify.TakeOver:
			n.TakeOver = true
		case notify.OpenNow:
			n.CoolDown, n.NoOpen, n.NoPush = 0, nil, nil
		case notify.Wait:
			if c.Until > now {
				return nil, &failure{State: store.Waiting, Next: c.Until, Who: c.Actor, Reason: fmt.Sprintf("pull request #%d is left as it is, as %s asked", c.Number, c.Actor)}
			}
		}
		asked = append(asked, c)
	}
	return asked, nil
}

// obeyed ends what was asked for and is done now.
func (r *Runner) obeyed(ctx context.Context, asked []store.Control, pr notify.PullRequest) error {
	for _, c := range asked {
		c.State, c.Reason = store.ControlDone, fmt.Sprintf("pull request #%d", pr.Number)
		if err := store.SetControl(ctx, r.store.Q(), c); err != nil {
			return err
		}
	}
	return nil
}
