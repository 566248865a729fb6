package rollout

import (
	"context"
	"fmt"
	"strings"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"rebuilder/internal/catalog"
	"rebuilder/internal/durable"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// Application tells one application, and ends. What becomes of it is followed by Follow: nothing waits for days in here.
func (r *Runner) Application(ctx dbos.Context, t Turn) (string, error) {
	defer r.engine.Track(ctx)()
	ok, err := r.begin(ctx, t, store.Telling, "reads its Dockerfiles")
	if err != nil || !ok {
		return "", err
	}
	p, f, err := step(r, ctx, "tell", func(ctx context.Context) (outcome, error) { return r.tell(ctx, t) })
	switch {
	case err != nil:
		return "", err
	case f != nil && f.State == store.Waiting:
		return "", r.postpone(ctx, t, f)
	case f != nil:
		if err := r.untold(ctx, p, f); err != nil {
			return "", err
		}
		return string(f.State), r.end(ctx, t, store.Move{To: f.State, Reason: f.Reason, Who: f.Who, Rule: "tell"})
	}
	_, err = durable.Transaction(ctx, r.engine, "told", func(ctx context.Context, q store.Querier) (bool, error) {
		return true, r.told(ctx, q, t, p)
	})
	if err == nil && p.Partly != nil {
		err = r.untold(ctx, p, p.Partly)
	}
	r.cfg.Changed()
	return p.URL, err
}

// untold remembers that these digests could not be told, so that the next look does not try again at once.
func (r *Runner) untold(ctx dbos.Context, p outcome, f *failure) error {
	if len(p.All) == 0 || f.State != store.Failed && f.State != store.Blocked {
		return nil
	}
	_, err := durable.Transaction(ctx, r.engine, "untold", func(ctx context.Context, q store.Querier) (bool, error) {
		in := inputs{Key: plan.TellKey(p.Application, p.All)}
		return true, r.remember(ctx, q, p.Application, in, f.State, f.Reason, "")
	})
	return err
}

// told writes what was done on the node, with what it waits for now.
func (r *Runner) told(ctx context.Context, q store.Querier, t Turn, p outcome) error {
	m := store.Move{Rollout: t.Rollout, Image: t.Image, To: store.Telling, At: r.cfg.Now().UnixMilli(), Rule: p.Strategy, Who: "owner of " + p.Repository,
		Detail: func(d *store.NodeDetail) { d.Key, d.URL, d.Number = p.Key, p.URL, p.Number }}
	// Follow may be ending this proposal at this moment. The lock makes one of the two see what the other did.
	if _, err := store.LockRollout(ctx, q, t.Rollout); err != nil {
		return err
	}
	now, _, err := store.GetProposal(ctx, q, p.Key)
	if err != nil {
		return err
	}
	n, err := store.GetNode(ctx, q, t.Rollout, t.Image)
	if err != nil {
		return err
	}
	if n.State.Ended() {
		return r.overtaken(ctx, q, now.Application, n)
	}
	switch {
	case now.State == store.ProposalBuilt:
		m.To, m.Reason = store.Done, now.Reason
	case now.EndedAt > 0:
		m.To, m.Reason = store.Skipped, now.Reason
	case p.Number == 0 && p.Strategy == string(catalog.PullRequest):
		m.Reason = "its Dockerfile is as wanted; waits for its next image"
	case p.Number > 0:
		m.Reason = fmt.Sprintf("pull request #%d waits to be merged", p.Number)
	default:
		m.Reason = "its CI was dispatched; waits for its next image"
	}
	if p.Partly != nil && m.To == store.Telling {
		m.Reason += "; not told of all: " + p.Partly.Reason
	}
	for _, note := range p.Notes {
		m.Reason += "; " + note
	}
	if _, err := store.MoveNode(ctx, q, m); err != nil {
		return err
	}
	return store.Finish(ctx, q, t.Rollout, m.At)
}

// overtaken ends the proposals whose node was ended while they were made, as a newer rollout does.
func (r *Runner) overtaken(ctx context.Context, q store.Querier, app string, n store.Node) error {
	if n.State != store.Skipped {
		return nil
	}
	return endProposals(ctx, q, n.Rollout, app, n.Reason, r.cfg.Now().UnixMilli())
}

// tell proposes or dispatches, once for an application in a rollout: its images take turns, and the second one finds it
// done.
func (r *Runner) tell(ctx context.Context, t Turn) (p outcome, err error) {
	app, _, f := r.application(t.Image)
	if f != nil {
		return p, f
	}
	if r.forge == nil {
		return p, fail("the catalog has no [forge], so that nobody can be told")
	}
	err = r.inLine(ctx, t, app, func(ctx context.Context) (err error) {
		p, err = r.tellInTurn(ctx, t, app)
		return err
	})
	return p, err
}

// tellInTurn looks and tells. What it sees is fresh: it waited before.
func (r *Runner) tellInTurn(ctx context.Context, t Turn, app catalog.Application) (outcome, error) {
	key := "tell " + t.Rollout + " " + app.Name
	unlock := r.telling.lock(key)
	defer unlock()
	claim, err := r.store.Claim(ctx, key) // against other replicas
	if err != nil {
		return outcome{}, err
	}
	defer claim.Release()
	if over, err := r.over(ctx, t); err != nil || over {
		return outcome{}, orErr(stoppedTelling(over), err)
	}
	facts, stuck, err := r.applicationFacts(ctx, app, t.Image)
	if err != nil {
		return outcome{}, err
	}
	wants, err := r.wants(ctx, facts)
	if err != nil {
		return outcome{}, err
	}
	if f := r.needless(ctx, t); f != nil {
		return outcome{}, f
	}
	if f, err := r.stayed(ctx, t, app, facts, wants); err != nil || f != nil {
		return outcome{}, orErr(f, err)
	}
	message := &message{turn: t, app: app, facts: facts, stuck: stuck, wants: wants}
	if app.Strategy == catalog.Dispatch {
		return r.tellAll(ctx, message, []part{{key: key, wants: wants}})
	}
	parts, err := r.parts(ctx, message, key)
	if err != nil {
		return outcome{All: wants, Proposal: store.Proposal{Application: app.Name}}, err
	}
	return r.tellAll(ctx, message, parts)
}

// needless says that no parent of this turn was promoted, so that there is nothing to tell.
func (r *Runner) needless(ctx context.Context, t Turn) *failure {
	n, err := store.GetNode(ctx, r.store.Q(), t.Rollout, t.Image)
	if err != nil || len(n.Detail.Step.Parents) == 0 {
		return nil
	}
	var why []string
	for _, name := range n.Detail.Step.Parents {
		p, err := store.GetNode(ctx, r.store.Q(), t.Rollout, name)
		if err != nil || p.State == store.Done {
			return nil
		}
		why = append(why, fmt.Sprintf("%s: %s", name, p.State))
	}
	return &failure{State: store.Skipped, Reason: "nothing new to tell: " + strings.Join(why, ", ")}
}

// applicationFacts reads what the images of an application are made from. What cannot be read of one of them is said to
// the others, and stops it alone.
func (r *Runner) applicationFacts(ctx context.Context, app catalog.Application, image string) (facts []plan.Application, stuck []string, err error) {
	for _, i := range app.Images {
		a, err := r.facts.Application(ctx, r.catalog(), app, i)
		if err != nil {
			return nil, nil, err
		}
		if a.Problem != "" && i.Name == image {
			return nil, nil, &failure{State: store.Blocked, Reason: a.Problem, Who: "owner of " + app.Repository}
		}
		if a.Problem != "" {
			stuck = append(stuck, i.Dockerfile+": "+a.Problem)
			a.References, a.Pins = nil, nil
		}
		facts = append(facts, a)
	}
	return facts, stuck, nil
}

// wants are the digests on the channels of all bases that the application names.
func (r *Runner) wants(ctx context.Context, facts []plan.Application) (map[string]string, error) {
	out := map[string]string{}
	for _, a := range facts {
		for _, ref := range a.Named() {
			b, f := r.base(ref.Base)
			if f != nil {
				continue
			}
			d, err := r.facts.Wants(ctx, b)
			if err != nil {
				return nil, err
			}
			out[ref.Base] = d.String()
		}
	}
	return out, nil
}
