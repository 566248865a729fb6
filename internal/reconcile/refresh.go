package reconcile

import (
	"context"
	"fmt"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/plan"
	"rebuilder/internal/schedule"
	"rebuilder/internal/store"
)

// refreshSlot is the schedule's name in the store. A changed one has another name: what would have been a slot of it before is
// not made up.
func refreshSlot(r catalog.Refresh) string {
	return "refresh " + r.Schedule + " " + r.Timezone
}

// refresh wants every base built fresh when a slot of [refresh] has come since the last one that was taken, and returns when
// the next one comes: zero when there is no schedule. A slot is taken and wanted in one transaction, once, however often the
// daemon is killed or started and however many there are.
func (l *Loop) refresh(ctx context.Context, c *catalog.Catalog, now time.Time) (next time.Time, err error) {
	if c.Refresh.Schedule == "" {
		return next, store.ForgetSlots(ctx, l.store.Q(), "")
	}
	name := refreshSlot(c.Refresh)
	last, err := store.LastSlot(ctx, l.store.Q(), name)
	if err != nil {
		return next, err
	}
	spec, err := schedule.Parse(c.Refresh.Schedule, c.Refresh.Timezone, c.Refresh.Jitter, c.Organization+" "+c.Registry.Address)
	if err != nil { // the catalog was checked
		return next, fmt.Errorf("[refresh] schedule: %w", err)
	}
	due, slot, next := spec.Due(known(last), now)
	if last != 0 && !due {
		return next, nil
	}
	if slot.IsZero() {
		slot = now // it begins to count here
	}
	return next, l.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		if err := store.ForgetSlots(ctx, q, name); err != nil {
			return err
		}
		taken, err := store.TakeSlot(ctx, q, name, slot.UnixMilli())
		if err != nil || !taken || !due {
			return err
		}
		l.log.Info("everything is built fresh", "slot", slot)
		return store.WantRefresh(ctx, q, wanted(c, slot), names(c))
	})
}

// wanted is what a slot wants.
func wanted(c *catalog.Catalog, slot time.Time) store.Refresh {
	local := slot
	if zone, err := schedule.Zone(c.Refresh.Timezone); err == nil {
		local = slot.In(zone)
	}
	return store.Refresh{Wanted: "slot " + slot.UTC().Format(time.RFC3339), Cause: string(plan.CauseRefresh),
		Reason: "everything is built fresh at " + local.Format("15:04 MST on 2 Jan 2006"), Since: slot.UnixMilli()}
}

func names(c *catalog.Catalog) (out []string) {
	for _, b := range c.Bases {
		out = append(out, b.Name)
	}
	return out
}

// known is a stored time; zero when there is none.
func known(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
