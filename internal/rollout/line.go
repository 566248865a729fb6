package rollout

import (
	"context"
	"fmt"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/notify"
	"rebuilder/internal/pace"
	"rebuilder/internal/store"
)

// inLine runs what tells an application when its turn at the forge has come, which may take hours. Until then its node
// says where in the line it stands.
func (r *Runner) inLine(ctx context.Context, t Turn, app catalog.Application, fn func(context.Context) error) error {
	queue, ok := r.forge.(notify.Queuing)
	if !ok {
		return fn(ctx)
	}
	w, err := r.writer(ctx, t)
	if err != nil {
		return err
	}
	// The ticket is the application's in this rollout: its images are told in one turn, one after the other.
	return queue.InTurn(notify.By(ctx, w), app.Repository, "tell "+t.Rollout+" "+t.Image, fn)
}

// usualLater puts what is merely fresh behind all that is patched, whenever that started.
const usualLater = 1 << 50 // milliseconds

// writer says how urgent a turn is.
func (r *Runner) writer(ctx context.Context, t Turn) (notify.Writer, error) {
	ro, err := store.GetRollout(ctx, r.store.Q(), t.Rollout)
	if err != nil {
		return notify.Writer{}, err
	}
	lane := paced(ro, r.catalog()).Lane
	order := ro.StartedAt
	if lane == pace.Usual {
		order += usualLater
	}
	return notify.Writer{
		Object: t.Image, Urgent: lane == pace.Critical, Order: order,
		Still: func(ctx context.Context) error { return r.still(ctx, t) },
		Waits: func(w notify.Waiting) { r.waits(ctx, t, w) },
	}, nil
}

// still fails a turn whose node was ended while it waited, as a newer rollout does.
func (r *Runner) still(ctx context.Context, t Turn) error {
	n, err := store.GetNode(ctx, r.store.Q(), t.Rollout, t.Image)
	if err == nil && n.State.Ended() {
		return &failure{State: n.State, Reason: n.Reason, Who: n.Who}
	}
	return err
}

// waits writes on the node what it waits for. It is no change of state: nobody did anything.
func (r *Runner) waits(ctx context.Context, t Turn, w notify.Waiting) {
	if err := store.SayWaiting(ctx, r.store.Q(), t.Rollout, t.Image, waitsFor(w), w.Until.UnixMilli()); err != nil {
		r.cfg.Log.Warn("what a node waits for is not shown", "node", t.ID(), "error", err)
		return
	}
	r.cfg.Changed()
}

func waitsFor(w notify.Waiting) string {
	text := fmt.Sprintf("waits for its turn at the forge, place %d of %d, until about %s", w.Place, w.Of, w.Until.UTC().Format(time.TimeOnly+" MST"))
	if w.Why != "" {
		text += ": " + w.Why
	}
	return text
}
