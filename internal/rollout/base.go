package rollout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/durable"
	"rebuilder/internal/graph"
	"rebuilder/internal/inventory"
	"rebuilder/internal/plan"
	"rebuilder/internal/promote"
	"rebuilder/internal/store"
)

// Base is the life of one base in one rollout: look, build, look inside, judge, test, try, promote, release.
func (r *Runner) Base(ctx dbos.Context, t Turn) (string, error) {
	defer r.engine.Track(ctx)()
	came, err := r.rebuild(ctx, t)
	if errors.Is(err, errStopped) {
		return errStopped.Error(), nil // who stopped it wrote down why, and let its children go on
	}
	return came, err
}

func (r *Runner) rebuild(ctx dbos.Context, t Turn) (string, error) {
	ok, err := r.begin(ctx, t, store.Building, "reads what goes in")
	if err != nil || !ok {
		return "", err
	}
	in, f, err := step(r, ctx, "inputs", func(ctx context.Context) (inputs, error) { return r.inputs(ctx, t) })
	if err != nil || f != nil {
		return r.failed(ctx, t, in, f, err)
	}
	made, f, err := r.build(ctx, t, in)
	if err != nil || f != nil {
		return r.failed(ctx, t, in, f, err)
	}
	if err := r.move(ctx, t, store.Move{To: store.Scanning, Reason: "looks inside " + short(made.Digest), After: made.Digest, Rule: "assert",
		Detail: func(d *store.NodeDetail) { d.Build = made.Build }}); err != nil {
		return "", err
	}
	seen, f, err := step(r, ctx, "look inside", func(ctx context.Context) (look, error) { return r.lookInside(ctx, t, in, made.Digest) })
	if err != nil || f != nil {
		return r.failed(ctx, t, in, f, err)
	}
	ev, f, err := r.gates(ctx, t, in, made)
	if err != nil || f != nil {
		return r.failed(ctx, t, in, f, err)
	}
	if err := r.move(ctx, t, store.Move{To: store.Promoting, Reason: "moves " + in.Reference, Rule: "promote",
		Detail: func(d *store.NodeDetail) {
			d.Changes, d.Missing, d.Proven, d.Evidence = seen.Changes, seen.Missing, seen.Proven, ev
		}}); err != nil {
		return "", err
	}
	_, f, err = step(r, ctx, "promote", func(ctx context.Context) (string, error) { return r.promote(ctx, t, in, made.Digest) })
	if err != nil || f != nil {
		return r.failed(ctx, t, in, f, err)
	}
	return made.Digest, r.end(ctx, t, store.Move{To: store.Done, Reason: strings.Join(seen.Missing, "; "), Rule: "promote"})
}

// failed ends a turn that did not make it. A failure is remembered with its build key, so that the same inputs are not
// built again at once.
func (r *Runner) failed(ctx dbos.Context, t Turn, in inputs, f *failure, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if in.Key != "" && f.State != store.Skipped {
		if _, err := durable.Transaction(ctx, r.engine, "remember", func(ctx context.Context, q store.Querier) (bool, error) {
			if n, err := store.GetNode(ctx, q, t.Rollout, t.Image); err != nil || n.State.Ended() {
				return false, err // it was stopped: that says nothing about its inputs
			}
			if in.Tell != "" {
				if err := r.rememberFailure(ctx, q, t.Image, inputs{Key: in.Tell}, f); err != nil {
					return true, err
				}
			}
			if err := r.rememberFailure(ctx, q, t.Image, in, f); err != nil || f.State != store.Unchanged && f.State != store.NotTaken && f.State != store.Quarantined {
				return true, err
			}
			return true, store.Refreshed(ctx, q, t.Image, in.Fresh, r.cfg.Now().UnixMilli())
		}); err != nil {
			return "", err
		}
	}
	return string(f.State), r.end(ctx, t, store.Move{To: f.State, Reason: f.Reason, Who: f.Who, Rule: "assert"})
}

// remember writes the memory of a build key.
func (r *Runner) remember(ctx context.Context, q store.Querier, image string, in inputs, outcome store.NodeState, reason, digest string) error {
	return r.keep(ctx, q, image, in, outcome, &failure{Reason: reason, Digest: digest})
}

func (r *Runner) rememberFailure(ctx context.Context, q store.Querier, image string, in inputs, f *failure) error {
	return r.keep(ctx, q, image, in, f.State, f)
}

func (r *Runner) keep(ctx context.Context, q store.Querier, image string, in inputs, outcome store.NodeState, f *failure) error {
	old, _, err := store.GetAttempt(ctx, q, in.Key)
	if err != nil {
		return err
	}
	now := r.cfg.Now()
	a := store.Attempt{Key: in.Key, Image: image, Outcome: string(outcome), Reason: f.Reason, Digest: f.Digest, Gate: f.Gate, Tries: old.Tries + 1, At: now.UnixMilli()}
	switch outcome {
	case store.Done:
		a.Outcome = "built"
	case store.NotTaken, store.Unchanged: // the inputs must change first
	case store.Quarantined: // or a person must clear it
		a.Outcome = string(store.Failed)
	default:
		a.Outcome = string(store.Failed)
		slot := r.catalog().Rollout.RetryAfter << min(old.Tries, 5)
		a.Next = now.Add(slot).UnixMilli()
	}
	return store.SaveAttempt(ctx, q, a)
}

// inputs is everything that a build of a base needs to know, by digest.
type inputs struct {
	plan.Inputs
	Key       string
	Reference string // the channel
	Before    string // image on the channel now, by the digest of its manifest; empty when none
	Channel   string // what the channel itself points to, which is an index when somebody else pushed one
	Step      plan.Step
	Verified  []store.Signature // of what it stands on
	// Of an application: what it is built from, "acme/web@<commit>", and what a failure is remembered by besides.
	Source, Tell string
	Rebase       bool // its layers are put on the new base
}

func (r *Runner) inputs(ctx context.Context, t Turn) (inputs, error) {
	b, f := r.base(t.Image)
	if f != nil {
		return inputs{}, f
	}
	if b.Context == "" { // an application's image
		return r.ownInputs(ctx, t, b)
	}
	n, err := store.GetNode(ctx, r.store.Q(), t.Rollout, t.Image)
	if err != nil {
		return inputs{}, err
	}
	channel, err := r.registry.Digest(ctx, b.Reference())
	if err != nil {
		return inputs{}, err
	}
	in, now, err := r.facts.Base(ctx, r.catalog(), b)
	if err != nil {
		return inputs{}, err
	}
	out := inputs{Inputs: in, Key: in.Key(), Reference: b.Reference(), Step: n.Detail.Step}
	if now.Exists() {
		out.Before = now.Digest.String()
	}
	if channel != (v1.Hash{}) {
		out.Channel = channel.String()
	}
	if f, err := r.ours(ctx, t.Image, b.Channel, out.Before); err != nil || f != nil {
		return out, orErr(f, err)
	}
	if f, err := r.soundParents(ctx, in); err != nil || f != nil {
		return out, orErr(f, err)
	}
	if reason := r.pointless(ctx, t, n.Detail.Step, in, now); reason != "" {
		return out, &failure{State: store.Skipped, Reason: reason}
	}
	a, found, err := store.GetAttempt(ctx, r.store.Q(), out.Key)
	if err != nil {
		return out, err
	}
	if found && a.Outcome == string(store.NotTaken) {
		return out, &failure{State: store.NotTaken, Reason: a.Reason}
	}
	out.Verified, err = r.verified(ctx, in)
	return out, err
}

// pointless says why a rebuild that was only for its parents' sake is not needed: they did not change after all.
func (r *Runner) pointless(ctx context.Context, t Turn, s plan.Step, in plan.Inputs, now plan.Image) string {
	if !s.Follows() || len(s.Parents) == 0 || !now.Exists() {
		return ""
	}
	var why []string
	for _, p := range s.Parents {
		n, err := store.GetNode(ctx, r.store.Q(), t.Rollout, p)
		if err != nil || n.State == store.Done {
			return ""
		}
		why = append(why, fmt.Sprintf("%s: %s", p, n.State))
	}
	return "nothing new to stand on: " + strings.Join(why, ", ")
}

// look is what was found in a new image.
type look struct {
	Changes []store.Change
	Missing []string
	Proven  bool
}

// lookInside reads the inventory of the new digest and decides whether it is what was wanted.
func (r *Runner) lookInside(ctx context.Context, t Turn, in inputs, digest string) (look, error) {
	b, f := r.base(t.Image)
	if f != nil {
		return look{}, f
	}
	inv, err := r.facts.Inventory(ctx, t.Image, b.Image+"@"+digest, in.Platform)
	if err != nil {
		return look{}, err
	}
	var l look
	if l.Proven, err = r.stands(ctx, in, inv); err != nil {
		return l, err
	}
	if !l.Proven {
		return l, fail("its first layers are not those of its parent, though its recipe says so")
	}
	l.Missing = missing(in.Step.Patches, inv)
	if len(l.Missing) > 0 && len(l.Missing) == len(in.Step.Patches) {
		return l, &failure{State: store.NotTaken, Reason: strings.Join(l.Missing, "; "), Who: "who keeps its recipe"}
	}
	if in.Before == "" {
		return l, r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
			return r.remember(ctx, q, t.Image, in, store.Done, "", digest)
		})
	}
	old, err := r.facts.Inventory(ctx, t.Image, b.Image+"@"+in.Before, in.Platform)
	if err != nil {
		return l, err
	}
	if old.Fingerprint == inv.Fingerprint {
		return l, &failure{State: store.Unchanged, Reason: "its content is what it was; nothing to promote"}
	}
	if f, err := r.unsuspected(ctx, t.Image, in, inv); err != nil || f != nil {
		return l, orErr(f, err)
	}
	l.Changes = changes(old, inv)
	return l, r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		return r.remember(ctx, q, t.Image, in, store.Done, "", digest)
	})
}

// stands proves by layers that the new image stands on the parent that it was to inherit from.
func (r *Runner) stands(ctx context.Context, in inputs, inv *inventory.Inventory) (bool, error) {
	for _, p := range in.Parents {
		if p.Kind != graph.Inherits {
			continue
		}
		repo, _, _ := strings.Cut(p.Reference, "@")
		parent, err := r.facts.Inventory(ctx, p.Name, repo+"@"+p.Digest.String(), in.Platform)
		if err != nil {
			return false, err
		}
		return inv.StandsOn(parent), nil
	}
	return true, nil
}

// missing lists the patches that are not in the image, each with what is known of the reason.
func missing(patches []plan.Patch, inv *inventory.Inventory) []string {
	var out []string
	for _, p := range patches {
		have, found := inv.Installed(p.Package, p.Architecture)
		if !found || p.TakenBy(have.Version) { // removed is gone, too
			continue
		}
		s := fmt.Sprintf("%s is still %s, not %s", p.Package, have.Version, p.To)
		if have.Held || p.Held {
			s += " (held)"
		}
		out = append(out, s)
	}
	return out
}

func changes(old, new *inventory.Inventory) []store.Change {
	var out []store.Change
	for _, c := range inventory.Diff(old, new) {
		out = append(out, store.Change{Package: c.Name, From: c.From, To: c.To})
	}
	return out
}

// promote moves the channel, once.
func (r *Runner) promote(ctx context.Context, t Turn, in inputs, digest string) (string, error) {
	b, f := r.base(t.Image)
	if f != nil {
		return "", f
	}
	to, err := v1.NewHash(digest)
	if err != nil {
		return "", err
	}
	var expect v1.Hash
	if in.Channel != "" {
		if expect, err = v1.NewHash(in.Channel); err != nil {
			return "", err
		}
	}
	unlock, err := r.lockChannel(ctx, t.Image)
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := r.mayPromote(ctx, t, digest); err != nil {
		return "", err
	}
	key := "promote " + t.Rollout + " " + t.Image + " " + short(digest)
	started, _, err := r.store.Ledger().Begin(ctx, key, "promote", t.Image)
	if err != nil {
		return "", err
	}
	release := time.UnixMilli(started.StartedAt).UTC().Format("20060102") + "-" + short(digest)
	n, err := store.GetNode(ctx, r.store.Q(), t.Rollout, t.Image)
	if err != nil {
		return "", err
	}
	res, err := promote.Promote(ctx, r.registry, promote.Request{Repository: b.Image, Channel: b.Channel, Digest: to, Expect: expect, Release: release,
		Attest: func(ctx context.Context) error {
			return r.attestPromotion(ctx, b, promotionPredicate{From: in.Channel, To: digest, Release: release, Rollout: t.Rollout, Rule: "promote",
				Gates: gatesPassed(n.Detail.Evidence), By: "rebuilder", Kind: "automation", At: time.UnixMilli(started.StartedAt).UTC().Format(time.RFC3339)})
		}})
	var moved *promote.Moved
	if errors.As(err, &moved) {
		return "", r.movedByOthers(ctx, b, moved)
	}
	if err != nil {
		return "", err
	}
	return release, r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		p := store.Promotion{Key: key, Rollout: t.Rollout, Image: t.Image, Channel: b.Channel, From: in.Before, To: digest, Release: release, At: r.cfg.Now().UnixMilli()}
		created, err := store.SavePromotion(ctx, q, p)
		if err != nil || !created {
			return err
		}
		if err := r.store.Ledger().In(q).Done(ctx, key, fmt.Sprintf("moved=%v", res.Moved)); err != nil {
			return err
		}
		if err := store.Refreshed(ctx, q, t.Image, in.Fresh, p.At); err != nil {
			return err
		}
		return store.Audit(ctx, q, store.Event{At: p.At, Actor: "rebuilder", Kind: "automation", Rule: "promote", Action: "promote", Object: b.Reference(), Detail: digest})
	})
}

func short(digest string) string {
	d := strings.TrimPrefix(digest, "sha256:")
	return d[:min(12, len(d))]
}
