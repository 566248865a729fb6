package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/plan"
	"rebuilder/internal/promote"
	"rebuilder/internal/store"
)

// Signer signs digests ("host/repo@sha256:..") and statements about them. Both are safe to repeat.
type Signer interface {
	Sign(ctx context.Context, ref string) error
	Attest(ctx context.Context, ref, predicateType string, predicate []byte) error
}

// Verifier looks for the signatures that images must have before they are built upon.
type Verifier interface {
	// Verify returns the signature of a parent; nil when none is asked for. refused says why it must not be built upon.
	Verify(ctx context.Context, p plan.Pinned, platform string) (s *store.Signature, refused string, err error)
}

// The predicates of this project; docs/signing.md describes them.
const (
	verdictType   = "urn:rebuilder:verdict:v1"
	promotionType = "urn:rebuilder:promotion:v1"
)

// verdictPredicate is what was found out about a digest before it was promoted.
type verdictPredicate struct {
	Image string `json:"image"` // in the catalog
	store.Evidence
}

// promotionPredicate is a promotion: what moved where, why, after which gates, by whom.
type promotionPredicate struct {
	Image     string `json:"image"`
	Reference string `json:"reference"` // the channel: "registry/base/debian:stable"
	Channel   string `json:"channel"`
	From      string `json:"from,omitempty"` // digest on the channel before
	To        string `json:"to"`
	Release   string `json:"release,omitempty"` // the immutable tag
	Rollout   string `json:"rollout,omitempty"`
	Rule      string `json:"rule"`
	Gates     []gate `json:"gates"`
	Reason    string `json:"reason,omitempty"`   // that a person gave
	Override  bool   `json:"override,omitempty"` // of what spoke against it
	By        string `json:"by"`
	Kind      string `json:"kind"` // automation or human
	At        string `json:"at"`   // when it was decided
}

// gate is what came of one gate. One that is not listed was not asked.
type gate struct {
	Name    string `json:"name"`
	Outcome string `json:"outcome"`
	Words   string `json:"words,omitempty"`
}

func gatesPassed(ev store.Evidence) []gate {
	out := []gate{}
	if v := ev.Verdict; v != nil {
		out = append(out, gate{store.GatePolicy, v.Outcome, fmt.Sprintf("failing are %d of %d findings; new against what it replaces: %d", v.Failing, v.Findings, v.BlockingCount)})
	}
	if t := ev.Tests; t != nil {
		out = append(out, gate{store.GateTests, "pass", fmt.Sprintf("%d of %d passed", t.Passed, t.Total)})
	}
	if len(ev.Trials) > 0 {
		passed := 0
		for _, t := range ev.Trials {
			if t.Outcome == store.TrialPassed {
				passed++
			}
		}
		out = append(out, gate{store.GateTrials, "pass", fmt.Sprintf("%d of %d dependents build on it; the others did not before, or were not tried", passed, len(ev.Trials))})
	}
	return out
}

// sign signs a candidate that passed its gates, and attests what they found.
func (r *Runner) sign(ctx context.Context, b catalog.Base, digest string, ev store.Evidence) error {
	if r.cfg.Gates.Signer == nil {
		return nil
	}
	ref := b.Image + "@" + digest
	if err := r.cfg.Gates.Signer.Sign(ctx, ref); err != nil {
		return err
	}
	return r.attest(ctx, ref, verdictType, verdictPredicate{b.Name, ev})
}

// attestPromotion attests a promotion, before the channel moves.
func (r *Runner) attestPromotion(ctx context.Context, b catalog.Base, p promotionPredicate) error {
	p.Image, p.Reference, p.Channel = b.Name, b.Reference(), b.Channel
	return r.attest(ctx, b.Image+"@"+p.To, promotionType, p)
}

// rollbackPatience is how long a rollback waits for a signature.
const rollbackPatience = 5 * time.Second

// attestByHand signs what a person moves a channel to, and attests who did. A rollback waits for no key: what it goes back to was
// signed when it was promoted, and is late already.
func (r *Runner) attestByHand(ctx context.Context, b catalog.Base, m store.ChannelMove) error {
	if r.cfg.Gates.Signer == nil {
		return nil
	}
	back := m.Verb == store.MoveRollback
	if back {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, rollbackPatience)
		defer cancel()
	}
	err := r.cfg.Gates.Signer.Sign(ctx, b.Image+"@"+m.To)
	if err == nil {
		err = r.attestPromotion(ctx, b, promotionPredicate{From: m.From, To: m.To, Release: m.Release, Rule: string(m.Verb), Gates: []gate{},
			Reason: m.Reason, Override: m.Override, By: m.Actor, Kind: store.Human, At: time.UnixMilli(m.AskedAt).UTC().Format(time.RFC3339)})
	}
	if err != nil && back {
		r.cfg.Log.Warn("rolled back without a signature", "image", m.Image, "digest", m.To, "error", err)
		return nil
	}
	return err
}

// movedByOthers says who moved a channel last, as far as we know, and what can be done about it now.
func (r *Runner) movedByOthers(ctx context.Context, b catalog.Base, moved *promote.Moved) error {
	last := "we never promoted it"
	ps, err := store.Promotions(ctx, r.store.Q(), b.Name, 1)
	if err != nil {
		return err
	}
	if len(ps) > 0 {
		last = fmt.Sprintf("our last promotion was to %s, at %s", short(ps[0].To), time.UnixMilli(ps[0].At).UTC().Format(time.RFC3339))
	}
	return &failure{State: store.Blocked, Reason: moved.Error() + "; " + last,
		Who: fmt.Sprintf("who may push to %[2]s: rebuilder rollback %[1]s --accept takes it over, rebuilder promote %[1]s candidate --override puts ours in its place", b.Name, b.Image)}
}

func (r *Runner) attest(ctx context.Context, ref, predicateType string, predicate any) error {
	if r.cfg.Gates.Signer == nil {
		return nil
	}
	body, err := json.Marshal(predicate)
	if err != nil {
		return err
	}
	return r.cfg.Gates.Signer.Attest(ctx, ref, predicateType, body)
}

// verified looks for the signatures of all parents, where they are asked for.
func (r *Runner) verified(ctx context.Context, in plan.Inputs) ([]store.Signature, error) {
	if r.cfg.Gates.Verifier == nil {
		return nil, nil
	}
	var out []store.Signature
	for _, p := range in.Parents {
		if p.Digest == (v1.Hash{}) {
			continue
		}
		s, refused, err := r.cfg.Gates.Verifier.Verify(ctx, p, in.Platform)
		if err != nil {
			return nil, err
		}
		if refused != "" {
			return nil, &failure{State: store.Blocked, Reason: fmt.Sprintf("it would stand on %s: %s", p.Name, refused), Who: "who signs " + p.Name + ", or who keeps the catalog"}
		}
		if s != nil {
			out = append(out, *s)
		}
	}
	return out, nil
}
