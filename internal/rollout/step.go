package rollout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"rebuilder/internal/catalog"
	"rebuilder/internal/durable"
	"rebuilder/internal/graph"
	"rebuilder/internal/notify"
	"rebuilder/internal/store"
)

// answer is what a step of ours ends with. Errors of the world are data here, not Go errors: the engine would record
// and replay them all the same, and this way their facts survive.
type answer[T any] struct {
	Value  T
	Failed *failure
}

// failure is why an image could not go on.
type failure struct {
	State  store.NodeState // failed, blocked, not-taken, unchanged, skipped; waiting: it gets another turn at Next
	Reason string
	Who    string
	Next   int64
	// Gate is what a candidate did not pass, and Digest the candidate: it need not be built again to be asked again.
	Gate, Digest string
}

func fail(reason string) *failure { return &failure{State: store.Failed, Reason: reason} }

const tries = 6 // of a step

// step runs fn durably, repeating it for a while when the error says that it may pass. What does not pass is a failure.
func step[T any](r *Runner, ctx dbos.Context, name string, fn func(context.Context) (T, error)) (T, *failure, error) {
	a, err := durable.Step(ctx, name, func(ctx context.Context) (answer[T], error) {
		r.hold()
		wait := r.cfg.Patience
		for n := 1; ; n++ {
			v, err := fn(ctx)
			r.hold()
			var f *failure
			switch {
			case err == nil:
				return answer[T]{Value: v}, nil
			case errors.As(err, &f):
				return answer[T]{Value: v, Failed: f}, nil
			case n == tries || !passing(err):
				return answer[T]{Value: v, Failed: fail(err.Error())}, nil
			}
			r.cfg.Log.Warn("trying again", "step", name, "try", n, "error", err)
			if err := sleep(ctx, max(wait, until(err, r.cfg.Now()))); err != nil {
				r.hold()
				return answer[T]{}, err
			}
			wait *= 2
		}
	})
	return a.Value, a.Failed, err
}

func (f *failure) Error() string { return f.Reason }

// hold blocks for ever once the process is going down.
func (r *Runner) hold() {
	if r.closing.Load() {
		select {}
	}
}

// passing says that an error may be gone at the next try: it says so itself, or nobody classified it.
func passing(err error) bool {
	var t interface{ Temporary() bool }
	if errors.As(err, &t) {
		return t.Temporary()
	}
	var limited *notify.RateLimited
	if errors.As(err, &limited) {
		return true
	}
	return !errors.Is(err, notify.ErrNotFound)
}

// until is how long a forge asked us to wait, or we ourselves, at most an hour.
func until(err error, now time.Time) time.Duration {
	var limited *notify.RateLimited
	var early *tooEarly
	switch {
	case errors.As(err, &limited):
		return min(limited.Until.Sub(now), time.Hour)
	case errors.As(err, &early):
		return early.until.Sub(now)
	}
	return 0
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// move changes the node of this turn in one transaction with its audit row.
func (r *Runner) move(ctx dbos.Context, t Turn, m store.Move) error {
	r.hold()
	goesOn, err := durable.Transaction(ctx, r.engine, string(m.To), func(ctx context.Context, q store.Querier) (bool, error) {
		if over, err := ended(ctx, q, t); err != nil || over {
			return false, err
		}
		m.Rollout, m.Image, m.At = t.Rollout, t.Image, r.cfg.Now().UnixMilli()
		_, err := store.MoveNode(ctx, q, m)
		return true, err
	})
	r.cfg.Changed()
	if err == nil && !goesOn {
		return errStopped
	}
	return err
}

// errStopped is returned to a turn whose node was ended by somebody else, who released its children.
var errStopped = errors.New("stopped")

// ended says, with the rollout locked, that the node of a turn was ended.
func ended(ctx context.Context, q store.Querier, t Turn) (bool, error) {
	if _, err := store.LockRollout(ctx, q, t.Rollout); err != nil {
		return false, err
	}
	n, err := store.GetNode(ctx, q, t.Rollout, t.Image)
	return n.State.Ended(), err
}

// begin is the first transaction of a turn. It says no when the rollout is not running any more, or the turn is over; what
// was held in the meantime gets another turn, to be taken when nothing holds it.
func (r *Runner) begin(ctx dbos.Context, t Turn, to store.NodeState, reason string) (bool, error) {
	r.hold()
	ok, err := durable.Transaction(ctx, r.engine, "begin", func(ctx context.Context, q store.Querier) (bool, error) {
		ro, err := store.LockRollout(ctx, q, t.Rollout)
		if err != nil {
			return false, err
		}
		n, err := store.GetNode(ctx, q, t.Rollout, t.Image)
		if err != nil || n.State != store.Waiting || n.Attempt != t.Attempt {
			return false, err
		}
		if ro.State != store.Running || heldBy(ro, n.Tier) != nil {
			_, err = store.NextAttempt(ctx, q, t.Rollout, t.Image)
			return false, err
		}
		rule := "order"
		if n.Kind == string(graph.Application) {
			if told, _, err := store.GetTold(ctx, q, t.Rollout, applicationsOf(r.catalog()).of(t.Image)); err != nil {
				return false, err
			} else if told != "" {
				rule = told
			}
		}
		_, err = store.MoveNode(ctx, q, store.Move{Rollout: t.Rollout, Image: t.Image, To: to, Reason: reason, At: r.cfg.Now().UnixMilli(), Rule: rule})
		return err == nil, err
	})
	r.cfg.Changed()
	return ok, err
}

// end writes how a turn ended, releases its children and starts those that wait for nobody any more. Those that order and
// pace hold are started by a later look.
func (r *Runner) end(ctx dbos.Context, t Turn, m store.Move) error {
	r.hold()
	ready, err := durable.Transaction(ctx, r.engine, "end", func(ctx context.Context, q store.Querier) ([]Turn, error) {
		if over, err := ended(ctx, q, t); err != nil || over {
			return nil, err
		}
		m.Rollout, m.Image, m.At = t.Rollout, t.Image, r.cfg.Now().UnixMilli()
		if _, err := store.MoveNode(ctx, q, m); err != nil {
			return nil, err
		}
		return r.release(ctx, q, m)
	})
	defer r.cfg.Changed()
	if err != nil {
		return err
	}
	told := false
	for _, next := range ready {
		if _, _, f := r.application(next.Image); f == nil {
			told = true // in its wave
			continue
		}
		if err := r.run(ctx, next); err != nil {
			return err
		}
	}
	if told {
		if err := r.letGo(ctx); err != nil {
			r.cfg.Log.Warn("nobody could be let go; the next look tries again", "rollout", t.Rollout, "error", err)
		}
	}
	return nil
}

// release lets the children go on, and returns those that wait for nobody any more, unless somebody holds them.
func (r *Runner) release(ctx context.Context, q store.Querier, m store.Move) ([]Turn, error) {
	names, err := store.Release(ctx, q, m.Rollout, m.Image, m.At)
	if err != nil {
		return nil, err
	}
	ro, err := store.LockRollout(ctx, q, m.Rollout)
	if err != nil {
		return nil, err
	}
	var ready []Turn
	for _, name := range names {
		n, err := store.GetNode(ctx, q, m.Rollout, name)
		if err != nil {
			return nil, err
		}
		if heldBy(ro, n.Tier) == nil {
			ready = append(ready, turnOf(n))
		}
	}
	return ready, store.Finish(ctx, q, m.Rollout, m.At)
}

func (r *Runner) base(name string) (catalog.Base, *failure) {
	for _, b := range r.catalog().Bases {
		if b.Name == name {
			return b, nil
		}
	}
	if b, ok := r.own(name); ok {
		return b, nil
	}
	return catalog.Base{}, &failure{State: store.Skipped, Reason: "no longer in the catalog"}
}

func (r *Runner) application(image string) (catalog.Application, catalog.ApplicationImage, *failure) {
	for _, a := range r.catalog().Applications {
		for _, i := range a.Images {
			if i.Name == image {
				return a, i, nil
			}
		}
	}
	return catalog.Application{}, catalog.ApplicationImage{}, &failure{State: store.Skipped, Reason: "no longer in the catalog"}
}

func noted(prefix string, err error) error { return fmt.Errorf("%s: %w", prefix, err) }
