package observe

import (
	"context"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// fresh adds the fresh build that is wanted of a base, and which one goes into a build of now: the wanted one, or, while that
// one failed and waits for its next try, the last that was made. So a download that is gone holds up no patch.
func (l *looking) fresh(ctx context.Context, b catalog.Base, f *plan.Base) error {
	r, err := store.GetRefresh(ctx, l.Store.Q(), b.Name)
	if err != nil {
		return err
	}
	f.Fresh = r.Done
	if !r.Due() {
		return nil
	}
	f.Fresh = r.Wanted
	a, err := l.attempt(ctx, l.inputs(b, *f).Key())
	if err != nil {
		return err
	}
	f.Refresh = &plan.Refresh{Wanted: r.Wanted, Cause: plan.Cause(r.Cause), Reason: r.Reason, Since: time.UnixMilli(r.Since)}
	if a != nil && a.Outcome == "failed" && l.facts.At.Before(a.Next) {
		f.Refresh.Failed, f.Fresh = a, r.Done
	}
	return nil
}
