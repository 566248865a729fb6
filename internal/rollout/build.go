package rollout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/build"
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
}

// build waits for a free builder; the child workflow's queue holds the places.
func (r *Runner) build(ctx dbos.Context, t Turn, in inputs) (made, *failure, error) {
	r.hold()
	h, err := dbos.RunWorkflow(ctx, r.Build, order{t, in.Inputs, in.Key}, dbos.WithWorkflowID(t.ID()+"/build"), dbos.WithQueue(r.builds))
	if err != nil {
		return made{}, nil, err
	}
	a, err := h.GetResult(dbos.WithHandlePollingInterval(100 * time.Millisecond))
	r.hold()
	return a.Value, a.Failed, err
}

// Build is one build on one of the places of the queue. It pushes by digest only, so that it may be repeated.
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
	id := "b-" + strings.TrimPrefix(o.Turn.Rollout, "r-") + "-" + strings.ReplaceAll(o.Turn.Image, "/", "-") + fmt.Sprintf("-%d", o.Turn.Attempt)
	rec := store.Build{ID: id, Rollout: o.Turn.Rollout, Image: o.Turn.Image, Key: o.Key, State: "running", Started: r.cfg.Now().UnixMilli(),
		Log: filepath.Join(r.cfg.Logs, id+".log"), Detail: store.BuildDetail{Recipe: o.Inputs.Recipe, State: o.Inputs.State, Parents: parents(o.Inputs)}}
	if err := store.SaveBuild(ctx, r.store.Q(), rec); err != nil {
		return made{}, err
	}
	if err := r.building(ctx, o.Turn, id); err != nil {
		return made{}, err
	}
	log, err := os.OpenFile(rec.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return made{}, err
	}
	defer log.Close()
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	stop := r.watchCancel(ctx, o.Turn, cancel)
	res, err := r.builder.Build(ctx, build.Request{
		ID: fmt.Sprintf("%s-%d", id, rec.Started), Image: b.Name, Dir: b.Context, Dockerfile: b.Dockerfile, Target: b.Target, Args: b.Args, Platform: b.Platform,
		Labels: b.Labels, Pins: pins(o.Inputs), RepositoryState: o.Inputs.State, Fresh: o.Inputs.Fresh, Repository: b.Image, Log: log,
	})
	stop()
	r.hold()
	rec.Ended = r.cfg.Now().UnixMilli()
	if err != nil {
		return made{}, r.buildFailed(ctx, rec, err)
	}
	rec.State, rec.Digest, rec.Detail.Steps = "done", res.Digest.String(), len(res.Steps)
	for _, s := range res.Steps {
		if s.Cached {
			rec.Detail.Cached++
		}
	}
	return made{rec.Digest, id}, store.SaveBuild(ctx, r.store.Q(), rec)
}

// reuse finds that these very inputs were built before, so that a promotion that was cut off need not build again.
func (r *Runner) reuse(ctx context.Context, o order) (made, bool, error) {
	a, found, err := store.GetAttempt(ctx, r.store.Q(), o.Key)
	if err != nil || !found || a.Outcome != "built" {
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
		_, err := store.MoveNode(ctx, q, store.Move{Rollout: t.Rollout, Image: t.Image, To: store.Building, Reason: "builds", At: r.cfg.Now().UnixMilli(), Rule: "order",
			Detail: func(d *store.NodeDetail) { d.Build = id }})
		return err
	})
	r.cfg.Changed()
	return err
}

// watchCancel ends the build when its rollout is cancelled: the engine does not stop a running step.
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
			}
		}
	}()
	return func() { close(done) }
}

// buildFailed writes the record and says whether it is worth another try.
func (r *Runner) buildFailed(ctx context.Context, rec store.Build, err error) error {
	ctx = context.WithoutCancel(ctx)
	rec.State, rec.Error = "failed", err.Error()
	var be *build.Error
	if errors.As(err, &be) {
		rec.Error, rec.Detail.LogTail, rec.Detail.Lines = be.Reason, be.Log, be.Lines
		if be.Lost {
			rec.State = "lost"
		}
	}
	if err := store.SaveBuild(ctx, r.store.Q(), rec); err != nil {
		return err
	}
	if be != nil && be.Lost {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fail(fmt.Sprintf("build took longer than %s ([builder] timeout)", r.cfg.Timeout))
	}
	return &failure{State: store.Failed, Reason: rec.Error, Who: "who keeps its recipe"}
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
