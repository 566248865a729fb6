package discover

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/store"
)

// scope names all that a catalog says of what to look for in a place. A walk of another scope is due at once.
func scope(c *catalog.Catalog, p place) string {
	looksFor := struct {
		Forge            string
		Organizations    []string // their packages may be what a registry has
		Include, Exclude []string
	}{c.Forge.URL, nil, c.Discovery.Include, c.Discovery.Exclude}
	if p.org == "" {
		looksFor.Organizations = c.Discovery.Organizations
	}
	text, _ := json.Marshal(looksFor) // of texts
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// dueAt is when a place is to be walked on, in epoch milliseconds: by the interval of now, at once when the catalog of now
// looks for something else there, and never before the place had its rest.
func dueAt(w store.Walk, wanted string, every time.Duration) int64 {
	switch {
	case w.Scope != wanted:
		return w.NotBefore
	case w.Phase == store.Complete && w.EndedAt > 0:
		return max(w.EndedAt+every.Milliseconds(), w.NotBefore)
	}
	return w.NextAt
}

// postpone shows another time than the last slice could know of. Another process that walks there shows its own.
func (d *Discoverer) postpone(ctx context.Context, w store.Walk, due int64) error {
	if w.NextAt == due {
		return nil
	}
	w.NextAt = due
	err := d.cfg.Store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		w := w // a transaction may be run again
		if err := store.SaveWalk(ctx, q, &w); err != nil {
			return err
		}
		return store.PostponeWatcher(ctx, q, HeartbeatPrefix+w.Place, due)
	})
	if errors.Is(err, store.ErrWalkLost) {
		return nil
	}
	return err
}
