package rollout

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/notify"
	"rebuilder/internal/store"
)

// dispatch asks for a run of the application's CI. A forge keeps no dispatch that could be asked for later, but it shows the
// runs: where an answer was lost, by a kill or on its way, they are looked at before CI is asked once more. Each asking has a row
// of its own in the ledger.
func (r *Runner) dispatch(ctx context.Context, app catalog.Application, p *store.Proposal) error {
	key := p.Key + " " + digestOf(p.Wants)
	d := notify.Dispatch{Key: key, Repo: app.Repository, Event: app.Event, Workflow: app.Workflow, Ref: app.Branch, Payload: payload(p)}
	for n := 1; ; n++ {
		asking := key
		if n > 1 {
			asking = fmt.Sprintf("%s (%d)", key, n)
		}
		now := r.store.Now()
		e, done, err := r.store.Ledger().Begin(ctx, asking, "dispatch", app.Repository)
		if err != nil || done {
			return err
		}
		if e.StartedAt >= now {
			if err := r.forge.Dispatch(ctx, d); err != nil {
				return noted("dispatch "+app.Repository, err)
			}
			return r.store.Ledger().Done(ctx, asking, "sent")
		}
		began := time.UnixMilli(e.StartedAt)
		there, err := r.forge.Dispatched(ctx, d, began)
		switch {
		case err != nil:
			return noted("look for what was dispatched to "+app.Repository, err)
		case there:
			return r.store.Ledger().Done(ctx, asking, "seen")
		}
		if sure := began.Add(r.cfg.Lag); time.UnixMilli(now).Before(sure) {
			return &tooEarly{app.Repository, sure}
		}
	}
}

func payload(p *store.Proposal) map[string]string {
	out := map[string]string{"rollout": p.Rollout}
	for _, b := range slices.Sorted(maps.Keys(p.Wants)) {
		if len(out) < 8 {
			out[b] = p.Wants[b]
		}
	}
	return out
}

// tooEarly says that a dispatch may have arrived, and that a run of it might not be shown yet.
type tooEarly struct {
	repository string
	until      time.Time
}

func (e *tooEarly) Error() string {
	return fmt.Sprintf("%s was asked for a run and did not answer; whether it has one is sure at %s", e.repository, e.until.UTC().Format(time.TimeOnly))
}

// Temporary says yes: it is asked again.
func (e *tooEarly) Temporary() bool { return true }
