package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
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

// made is what a build left.
type made struct {
	Digest string
	Build  string // the record's id
}

// order is what the build workflow is given.
type order struct {
	Turn   Turn
	Inputs plan.Inputs
	Key    string
	Source string // of an application
	Rebase bool   // of Before, its digest now
	Before string
}

// build hands the build to the builder, which has a line of its own, and waits for it. It is a workflow of its own and on
// no queue: nobody has to find it first, and its end is known at once.
func (r *Runner) build(ctx dbos.Context, t Turn, in inputs) (made, *failure, error) {
	r.hold()
	h, err := dbos.RunWorkflow(ctx, r.Build, order{t, in.Inputs, in.Key, in.Source, in.Rebase, in.Before}, dbos.WithWorkflowID(t.ID()+"/build"))
	if err != nil {
		return made{}, nil, err
	}
	a, err := h.GetResult(dbos.WithHandlePollingInterval(100 * time.Millisecond))
	r.hold()
	return a.Value, a.Failed, err
}

// Build is one build. It pushes by digest only, so that it may be repeated.
func (r *Runner) Build(ctx dbos.Context, o order) (answer[made], error) {
	defer r.engine.Track(ctx)()
	v, f, err := step(r, ctx, "build", func(ctx context.Context) (made, error) { return r.buildOnce(ctx, o) })
	return answer[made]{v, f}, err
}

func (r *Runner) buildOnce(ctx context.Context, o order) (made, error) {
	b, f := r.base(o.Turn.Image)
	if f != nil {
		return made{}, f
	}
	if m, ok, err := r.reuse(ctx, o); err != nil || ok {
		return m, err
	}
	if o.Rebase {
		return r.rebase(ctx, b, o)
	}
	req, err := r.request(ctx, b, o)
	if err != nil {
		return made{}, fail(err.Error())
	}
	id := jobID("b", o.Turn, o.Turn.Image)
	rec := store.Build{ID: id, Rollout: o.Turn.Rollout, Image: o.Turn.Image, Key: o.Key, State: "running", Started: r.cfg.Now().UnixMilli(), Log: r.logPath(id),
		Detail: store.BuildDetail{Recipe: o.Inputs.Recipe, State: o.Inputs.State, Parents: parents(o.Inputs), Source: o.Source, Platform: o.Inputs.Platform, Args: b.Args, Secrets: slices.Sorted(maps.Keys(b.Secrets))}}
	if err := store.SaveBuild(ctx, r.store.Q(), rec); err != nil {
		return made{}, err
	}
	if err := r.building(ctx, o.Turn, id); err != nil {
		return made{}, err
	}
	n, err := store.GetNode(ctx, r.store.Q(), o.Turn.Rollout, o.Turn.Image)
	if err != nil {
		return made{}, err
	}
	req.Priority = time.Duration(n.Detail.Chain) * time.Millisecond
	req.Turn = func(waits bool) { r.turn(ctx, o.Turn, waits) }
	res, err := r.record(ctx, o.Turn, b, rec, req)
	var be *build.Error
	switch {
	case err == nil:
		return made{res.Digest.String(), id}, nil
	case errors.Is(err, context.DeadlineExceeded):
		return made{}, fail(fmt.Sprintf("build took longer than %s ([builder] timeout)", r.timeout(b)))
	case errors.Is(err, context.Canceled):
		return made{}, fail("the build was cancelled")
	case errors.As(err, &be) && be.Lost:
		return made{}, err
	case be != nil:
		return made{}, &failure{State: store.Failed, Reason: be.Reason, Who: blamed(be)}
	}
	return made{}, err
}

// blamed is who can do something about a build that failed.
func blamed(e *build.Error) string {
	switch {
	case strings.HasPrefix(e.Reason, "failed to push "):
		return "who keeps the registry"
	case strings.Contains(e.Reason, "no space left on device"):
		return "who keeps the builders"
	}
	return "who keeps its recipe"
}

// request is what the builder is asked for.
func (r *Runner) request(ctx context.Context, b catalog.Base, o order) (build.Request, error) {
	if o.Source != "" {
		return r.ownRequest(ctx, b, o)
	}
	c := r.catalog()
	req := build.Request{
		Image: b.Name, Dir: b.Context, Dockerfile: b.Dockerfile, Target: b.Target, Args: b.Args, Platform: b.Platform, Labels: b.Labels,
		Pins: pins(o.Inputs), RepositoryState: o.Inputs.State, Fresh: o.Inputs.Fresh, Uncached: o.Inputs.Uncached, Repository: b.Image, SourceDateEpoch: o.Inputs.Epoch,
		Limits: r.limits(b), Network: build.Network(cmp.Or(b.Network, c.Builder.Network)), RecordNetwork: c.Builder.RecordNetwork,
		Reproducible: b.Reproducible, Affinity: affinity(o.Inputs),
	}
	if b.RecordNetwork != nil {
		req.RecordNetwork = *b.RecordNetwork
	}
	if c.Builder.Cache != "" {
		req.Cache = c.Builder.Cache + ":" + strings.ReplaceAll(b.Name, "/", "-")
	}
	if req.Reproducible && req.SourceDateEpoch.IsZero() {
		req.SourceDateEpoch = undated
	}
	for id, s := range b.Secrets {
		value, err := r.secret(s)
		if err != nil {
			return req, fmt.Errorf("secret %s of %s: %w", id, b.Name, err)
		}
		if req.Secrets == nil {
			req.Secrets = map[string][]byte{}
		}
		req.Secrets[id] = value
	}
	return req, nil
}

// undated is the time in an image whose inputs have none: the oldest that every archive format can hold.
var undated = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

func (r *Runner) secret(s catalog.BuildSecret) ([]byte, error) {
	if r.cfg.Gates.Secret == nil {
		return nil, errors.New("there is nowhere to read it from")
	}
	return r.cfg.Gates.Secret(s)
}

// affinity keeps what stands on one parent on the builder that has it.
func affinity(in plan.Inputs) string {
	for _, p := range in.Parents {
		if p.Kind == graph.Inherits {
			return p.Digest.String()
		}
	}
	return in.Image
}

func (r *Runner) limits(b catalog.Base) build.Limits {
	c := r.catalog().Builder
	return build.Limits{Memory: cmp.Or(b.Memory, c.Memory), CPUs: cmp.Or(b.CPUs, c.CPUs)}
}

// timeout is how long one build, or all tests, of a base may take.
func (r *Runner) timeout(b catalog.Base) time.Duration { return cmp.Or(b.Timeout, r.cfg.Timeout) }

// jobID names what is done in a turn.
func jobID(kind string, t Turn, what string) string {
	return kind + "-" + strings.TrimPrefix(t.Rollout, "r-") + "-" + strings.ReplaceAll(what, "/", "-") + fmt.Sprintf("-%d", t.Attempt)
}

func (r *Runner) logPath(id string) string { return filepath.Join(r.cfg.Logs, id+".log") }

func (r *Runner) openLog(id string) (*os.File, error) {
	return os.OpenFile(r.logPath(id), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// record builds, within the base's time and until its rollout is cancelled, and writes down what came of it. The error is
// the builder's.
func (r *Runner) record(ctx context.Context, t Turn, b catalog.Base, rec store.Build, req build.Request) (*build.Result, error) {
	if err := store.SaveBuild(ctx, r.store.Q(), rec); err != nil {
		return nil, err
	}
	log, err := r.openLog(rec.ID)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := r.watchCancel(ctx, t, cancel)
	req.Timeout = r.timeout(b) // from when it has a place
	req.ID, req.Log = fmt.Sprintf("%s-%d", rec.ID, rec.Started), log
	res, err := r.builder.Build(ctx, req)
	stop()
	r.hold()
	rec.Ended = r.cfg.Now().UnixMilli()
	ctx = context.WithoutCancel(ctx)
	if err != nil {
		return nil, errors.Join(err, r.recordFailure(ctx, rec, err))
	}
	rec.State, rec.Detail.Steps, rec.Detail.Took = "done", len(res.Steps), res.Steps
	if !req.Discard {
		rec.Digest = res.Digest.String()
	}
	rec.Detail.Worker, rec.Detail.Doubt, rec.Detail.Warnings, rec.Detail.Materials, rec.Detail.Fetched = res.Worker, res.Doubt, res.Warnings, res.Materials, res.Fetched
	for _, s := range res.Steps {
		if s.Cached {
			rec.Detail.Cached++
		}
	}
	return res, r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		if err := store.SaveProvenance(ctx, q, rec.ID, res.Provenance); err != nil {
			return err
		}
		return store.SaveBuild(ctx, q, rec)
	})
}

// reuse finds that these very inputs were built before, so that neither a promotion that was cut off nor a candidate that did
// not pass a gate need be built again.
func (r *Runner) reuse(ctx context.Context, o order) (made, bool, error) {
	a, found, err := store.GetAttempt(ctx, r.store.Q(), o.Key)
	if err != nil || !found || a.Outcome != "built" && a.Gate == "" {
		return made{}, false, err
	}
	rec, found, err := store.BuildOf(ctx, r.store.Q(), o.Turn.Image, a.Digest)
	if err != nil || !found {
		return made{}, false, err
	}
	b, f := r.base(o.Turn.Image)
	if f != nil {
		return made{}, false, f
	}
	there, err := r.registry.Digest(ctx, b.Image+"@"+a.Digest)
	if err != nil || there == (v1.Hash{}) {
		return made{}, false, err // gone: build again
	}
	return made{a.Digest, rec.ID}, true, nil
}

// building names the build on the node, so that `logs` finds it while it runs.
func (r *Runner) building(ctx context.Context, t Turn, id string) error {
	err := r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		if over, err := ended(ctx, q, t); err != nil || over {
			return orErr(stoppedBuild(over), err)
		}
		_, err := store.MoveNode(ctx, q, store.Move{Rollout: t.Rollout, Image: t.Image, To: store.Building, Reason: "builds", At: r.cfg.Now().UnixMilli(), Rule: "order",
			Detail: func(d *store.NodeDetail) { d.Build = id }})
		return err
	})
	r.cfg.Changed()
	return err
}

// turn says on the node whether the build waits for a free builder. It is told, and not asked: what cannot be written now is
// only missing on a page.
func (r *Runner) turn(ctx context.Context, t Turn, waits bool) {
	reason := "builds"
	if waits {
		reason = "waits for a free builder"
	}
	err := r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		n, err := store.GetNode(ctx, q, t.Rollout, t.Image)
		if err != nil || n.State != store.Building || n.Reason == reason {
			return err
		}
		_, err = store.MoveNode(ctx, q, store.Move{Rollout: t.Rollout, Image: t.Image, To: store.Building, Reason: reason, At: r.cfg.Now().UnixMilli(), Rule: "order"})
		return err
	})
	if err != nil {
		r.cfg.Log.Debug("not written that a build waits", "rollout", t.Rollout, "image", t.Image, "error", err)
	}
	r.cfg.Changed()
}

// stoppedBuild is the end of a build whose node was stopped before it began.
func stoppedBuild(over bool) *failure {
	if !over {
		return nil
	}
	return &failure{State: store.Skipped, Reason: "stopped before it was built"}
}

// watchCancel ends the build when its rollout is cancelled or its node was stopped: the engine does not stop a running step.
func (r *Runner) watchCancel(ctx context.Context, t Turn, cancel func()) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if ro, err := store.GetRollout(ctx, r.store.Q(), t.Rollout); err == nil && ro.State == store.Cancelled {
					cancel()
				}
				if n, err := store.GetNode(ctx, r.store.Q(), t.Rollout, t.Image); err == nil && n.State.Ended() {
					cancel()
				}
			}
		}
	}()
	return func() { close(done) }
}

// recordFailure writes why a build failed.
func (r *Runner) recordFailure(ctx context.Context, rec store.Build, err error) error {
	rec.State, rec.Error = "failed", err.Error()
	var be *build.Error
	if errors.As(err, &be) {
		rec.Error, rec.Detail.LogTail, rec.Detail.Lines = be.Reason, be.Log, be.Lines
		if be.Lost {
			rec.State = "lost"
		}
	}
	return store.SaveBuild(ctx, r.store.Q(), rec)
}

func pins(in plan.Inputs) []build.Pin {
	var out []build.Pin
	for _, p := range in.Parents {
		out = append(out, build.Pin{Reference: p.Reference, Digest: p.Digest})
	}
	return out
}

func parents(in plan.Inputs) map[string]string {
	m := map[string]string{}
	for _, p := range in.Parents {
		m[p.Name] = p.Digest.String()
	}
	return m
}
