package rollout

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"rebuilder/internal/catalog"
	"rebuilder/internal/store"
)

// Candidate names, in ByHand.To, the newest image of a base that was built and not promoted.
const Candidate = "candidate"

func (r *Runner) decidePromote(ctx context.Context, at place, h ByHand) (d decidedMove, err error) {
	if at.strange && !h.Override {
		return d, at.moved()
	}
	if d.to, err = r.candidate(ctx, at, h.To); err != nil {
		return d, err
	}
	if d.to == at.image {
		d.again = true
		return d, nil
	}
	if err := r.sound(ctx, at.base, d.to, h.Override); err != nil {
		return d, err
	}
	d.release = releaseName(at.moves, d.to, r.cfg.Now())
	if h.Override {
		return d, nil
	}
	missing, err := r.ungated(ctx, at, d.to)
	if err == nil && len(missing) > 0 {
		err = refused("see why: rebuilder why "+at.base.Name+"; or promote it all the same, which the audit log shows: --override", "%s@%s did not pass its gates: %s", at.base.Name, short(d.to), strings.Join(missing, "; "))
	}
	return d, err
}

// candidate is the digest that a person wants promoted.
func (r *Runner) candidate(ctx context.Context, at place, text string) (string, error) {
	if text != Candidate {
		return r.known(ctx, at.base, text)
	}
	turns, err := store.LastNodes(ctx, r.store.Q(), at.base.Name, lastBuilds)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(turns, func(n store.Node) bool { return n.After != "" && n.After != at.image && n.State != store.Done })
	if i < 0 {
		return "", refused("name a digest: rebuilder promote "+at.base.Name+" DIGEST", "%s has no candidate: all that was built of it was promoted, or is there", at.base.Name)
	}
	return turns[i].After, nil
}

// ungated says which of the gates that the catalog asks for now a digest did not pass, or was never asked at. The policy is asked
// now; of tests and trials that counts which was written down when they were made.
func (r *Runner) ungated(ctx context.Context, at place, digest string) (missing []string, err error) {
	b := at.base
	if p := at.previously(digest); p != nil {
		missing = append(missing, fmt.Sprintf("it was there before, and another one took its place: rebuilder rollback %s --to %s", b.Name, short(digest)))
	}
	if r.cfg.Gates.Judge != nil {
		v, err := r.cfg.Gates.Judge.Candidate(ctx, b, digest, at.image)
		if err != nil {
			return nil, err
		}
		if len(v.Blocking) > 0 {
			missing = append(missing, blocked(v))
		}
	}
	ev, err := r.evidence(ctx, b, digest)
	if err != nil {
		return nil, err
	}
	return append(missing, missingGates(b, ev)...), nil
}

// previously is the last time that a digest was moved to the channel; nil when it never was.
func (p place) previously(digest string) *store.Promotion {
	i := slices.IndexFunc(p.moves, func(m store.Promotion) bool { return m.To == digest })
	if i < 0 {
		return nil
	}
	return &p.moves[i]
}

// evidence is what is written down of the tests and trials of a digest.
func (r *Runner) evidence(ctx context.Context, b catalog.Base, digest string) (ev store.Evidence, err error) {
	turns, err := store.LastNodes(ctx, r.store.Q(), b.Name, remembered)
	for _, n := range turns {
		if n.After != digest {
			continue
		}
		if ev.Tests == nil {
			ev.Tests = n.Detail.Tests
		}
		if ev.Trials == nil {
			ev.Trials = n.Detail.Trials
		}
	}
	return ev, err
}

// missingGates says what of tests and trials is missing.
func missingGates(b catalog.Base, ev store.Evidence) (missing []string) {
	switch {
	case len(b.Tests) == 0:
	case ev.Tests == nil:
		missing = append(missing, "its tests were not run")
	case len(ev.Tests.Failed) > 0 || ev.Tests.Total == 0:
		missing = append(missing, testsFailed(ev.Tests))
	}
	if len(b.Trial) == 0 && b.TrialCount == 0 {
		return missing
	}
	if len(ev.Trials) == 0 {
		return append(missing, "no dependent was built on it")
	}
	if f := tried(ev.Trials); f != nil {
		missing = append(missing, f.Reason)
	}
	return missing
}
