package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/build"
	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// trialOrder is one dependent to be built on a candidate.
type trialOrder struct {
	Turn      Turn   // of the base
	Candidate string // digest
	Image     string // the dependent
}

// trials builds dependents on a candidate, their own repositories unchanged, each on a place of the builds' queue.
func (r *Runner) trials(ctx dbos.Context, t Turn, candidate string, ev store.Evidence) ([]store.Trial, *failure, error) {
	names, f, err := step(r, ctx, "choose trials", func(ctx context.Context) ([]string, error) { return r.canaries(ctx, t) })
	if err != nil || f != nil || len(names) == 0 {
		return nil, f, err
	}
	reason := fmt.Sprintf("is tried by building %s on it", some(slices.Clone(names), 3))
	if err := r.move(ctx, t, store.Move{To: store.Testing, Reason: reason, Rule: "trial", Detail: func(d *store.NodeDetail) { d.Evidence = ev }}); err != nil {
		return nil, nil, err
	}
	var running []dbos.WorkflowHandle[answer[store.Trial]]
	for _, name := range names {
		r.hold()
		h, err := dbos.RunWorkflow(ctx, r.Trial, trialOrder{t, candidate, name}, dbos.WithWorkflowID(t.ID()+"/trial/"+name), dbos.WithQueue(r.builds))
		if err != nil {
			return nil, nil, err
		}
		running = append(running, h)
	}
	var all []store.Trial
	for i, h := range running {
		a, err := h.GetResult(dbos.WithHandlePollingInterval(100 * time.Millisecond))
		r.hold()
		if err != nil {
			return nil, nil, err
		}
		if a.Failed != nil {
			a.Value.Image, a.Value.Outcome, a.Value.Reason = names[i], store.TrialNotTried, a.Failed.Reason
		}
		all = append(all, a.Value)
	}
	return all, tried(all), nil
}

// tried says what trials mean for the candidate: one that fails forbids it, and so does it when nobody could try.
func tried(all []store.Trial) *failure {
	var failed, not []string
	for _, t := range all {
		switch t.Outcome {
		case store.TrialFailed:
			failed = append(failed, fmt.Sprintf("%s does not build on it: %s", t.Image, t.Reason))
		case store.TrialNotTried:
			not = append(not, fmt.Sprintf("%s: %s", t.Image, t.Reason))
		}
	}
	switch {
	case len(failed) > 0:
		return &failure{State: store.Blocked, Reason: strings.Join(failed, "; "), Who: "who keeps its recipe, or the owners of what does not build"}
	case len(not) == len(all):
		return &failure{State: store.Failed, Reason: "none of its trials could be made: " + strings.Join(not, "; "), Who: "who keeps rebuilder"}
	}
	return nil
}

// canaries are the dependents that are tried: those that the catalog names, or the first of those that this rollout would
// tell next.
func (r *Runner) canaries(ctx context.Context, t Turn) ([]string, error) {
	b, f := r.base(t.Image)
	if f != nil {
		return nil, f
	}
	if len(b.Trial) > 0 || b.TrialCount == 0 {
		return b.Trial, nil
	}
	nodes, err := store.Nodes(ctx, r.store.Q(), t.Rollout)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range nodes {
		if n.Kind == string(graph.Application) && slices.Contains(n.Detail.Step.Parents, t.Image) {
			names = append(names, n.Image)
		}
	}
	slices.Sort(names)
	return r.tryable(ctx, b, names), nil
}

// spare is how many dependents more than are to be tried are looked at.
const spare = 20

// tryable are as many dependents as are to be tried, those first that can be: one whose repository cannot be read holds no fix
// back while there are others.
func (r *Runner) tryable(ctx context.Context, b catalog.Base, names []string) []string {
	var can, cannot []string
	for _, name := range names[:min(b.TrialCount+spare, len(names))] {
		if len(can) == b.TrialCount {
			break
		}
		if _, why, err := r.dependent(ctx, b, name); err != nil || why != "" {
			cannot = append(cannot, name)
		} else {
			can = append(can, name)
		}
	}
	all := slices.Concat(can, cannot)
	return all[:min(b.TrialCount, len(all))]
}

// dependent is an image of an application as it is now.
type dependent struct {
	app   catalog.Application
	img   catalog.ApplicationImage
	facts plan.Application
}

// dependent reads what is to be built on a base. why is the reason why it cannot be tried; empty: it can.
func (r *Runner) dependent(ctx context.Context, b catalog.Base, name string) (d dependent, why string, err error) {
	var f *failure
	if d.app, d.img, f = r.application(name); f != nil {
		return d, f.Reason, nil
	}
	if d.facts, err = r.facts.Application(ctx, r.catalog(), d.app, d.img); err != nil {
		return d, "", err
	}
	switch {
	case d.facts.Problem != "":
		why = d.facts.Problem
	case !slices.ContainsFunc(d.facts.References, func(ref plan.Reference) bool { return ref.Base == b.Name }):
		why = "its Dockerfile does not name " + b.Name
	}
	return d, why, nil
}

// Trial is one dependent built on a candidate. Nothing of it is pushed.
func (r *Runner) Trial(ctx dbos.Context, o trialOrder) (answer[store.Trial], error) {
	defer r.engine.Track(ctx)()
	v, f, err := step(r, ctx, "trial", func(ctx context.Context) (store.Trial, error) { return r.trial(ctx, o) })
	return answer[store.Trial]{v, f}, err
}

func (r *Runner) trial(ctx context.Context, o trialOrder) (store.Trial, error) {
	out := store.Trial{Image: o.Image, Outcome: store.TrialNotTried}
	b, f := r.base(o.Turn.Image)
	if f != nil {
		return out, f
	}
	d, why, err := r.dependent(ctx, b, o.Image)
	out.Repository, out.Commit, out.Reason = d.app.Repository, d.facts.Commit, why
	if err != nil || why != "" {
		return out, err
	}
	began := r.cfg.Now()
	id, err := r.tryOn(ctx, o, d, o.Candidate, "")
	out.Build, out.Took = id, r.cfg.Now().Sub(began).Milliseconds()
	if err == nil {
		out.Outcome = store.TrialPassed
		return out, nil
	}
	if out.Reason, err = r.broken(err, b); err != nil {
		return out, untried(&out, err)
	}
	out.Outcome = store.TrialFailed
	before, err := r.facts.Wants(ctx, b)
	if err != nil || before == (v1.Hash{}) {
		return out, err
	}
	// It may be broken anyway: only what builds on the base of now tells of the candidate.
	if _, err = r.tryOn(ctx, o, d, before.String(), "-before"); err != nil {
		if _, err = r.broken(err, b); err != nil {
			return out, untried(&out, err)
		}
		out.Outcome = store.TrialBroken
		return out, nil
	}
	// It may have been what steps fetch, which comes and goes: one build is no proof against a fix.
	again, err := r.tryOn(ctx, o, d, o.Candidate, "-again")
	if err == nil {
		out.Outcome, out.Reason, out.Build = store.TrialPassed, "", again
		return out, nil
	}
	reason, err := r.broken(err, b)
	if err != nil {
		return out, untried(&out, err)
	}
	out.Reason, out.Build = reason, again
	return out, nil
}

// broken says why something does not build. What is no fault of its own comes back as an error.
func (r *Runner) broken(err error, b catalog.Base) (reason string, other error) {
	var be *build.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("it took longer than %s ([builder] timeout)", r.timeout(b)), nil
	case errors.As(err, &be) && !be.Lost && !be.Unfetched:
		return be.Reason, nil
	}
	return "", err
}

// untried makes a trial one that was not made where trying again is of no use; any other error is returned.
func untried(t *store.Trial, err error) error {
	var be *build.Error
	switch {
	case errors.Is(err, context.Canceled):
		t.Outcome, t.Reason = store.TrialNotTried, "the build was cancelled"
	case errors.As(err, &be) && be.Unfetched:
		t.Outcome, t.Reason = store.TrialNotTried, be.Reason
	default:
		return err
	}
	return nil
}

// tryOn builds an application's commit with a digest in the place of the base, and records it as a build.
func (r *Runner) tryOn(ctx context.Context, o trialOrder, d dependent, digest, suffix string) (id string, err error) {
	b, f := r.base(o.Turn.Image)
	if f != nil {
		return "", f
	}
	req, err := r.trialRequest(ctx, b, d, digest)
	if err != nil {
		return "", err
	}
	id = jobID("try", o.Turn, o.Turn.Image+"-"+o.Image) + suffix
	rec := store.Build{ID: id, Rollout: o.Turn.Rollout, Image: o.Image, State: "running", Started: r.cfg.Now().UnixMilli(), Log: r.logPath(id),
		Detail: store.BuildDetail{Parents: map[string]string{b.Name: digest}, Source: d.app.Repository + "@" + d.facts.Commit, Trial: b.Name, Platform: b.Platform, Args: d.img.Args}}
	_, err = r.record(ctx, o.Turn, b, rec, req)
	return id, err
}

func (r *Runner) trialRequest(ctx context.Context, b catalog.Base, d dependent, digest string) (build.Request, error) {
	req := build.Request{
		Image: d.img.Name, Git: r.catalog().Forge.CloneURL + "/" + d.app.Repository + ".git#" + d.facts.Commit, Dockerfile: d.img.Dockerfile, Target: d.img.Target,
		Args: d.img.Args, Platform: b.Platform, Limits: r.limits(b), Affinity: b.Name, Discard: true,
	}
	if r.cfg.Gates.Token != nil {
		token, err := r.cfg.Gates.Token(ctx, d.app.Repository)
		if err != nil {
			return req, err
		}
		req.GitToken = token
	}
	seen := map[string]bool{}
	for _, ref := range d.facts.References {
		name := ref.Reference
		if ref.Pinned != (v1.Hash{}) {
			name += "@" + ref.Pinned.String()
		}
		to := digest
		if ref.Base != b.Name {
			other, f := r.base(ref.Base)
			if f != nil {
				continue
			}
			h, err := r.facts.Wants(ctx, other)
			if err != nil {
				return req, err
			}
			to = h.String()
		}
		h, err := v1.NewHash(to)
		if err != nil {
			return req, err
		}
		if !seen[name] {
			seen[name] = true
			req.Pins = append(req.Pins, build.Pin{Reference: name, Digest: h, Optional: ref.Base != b.Name})
		}
	}
	return req, nil
}
