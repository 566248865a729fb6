package observe

import (
	"context"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// rememberedQuarantines is how many of an image's quarantines are looked through.
const rememberedQuarantines = 200

// quarantined adds the digests of a base that are not to be used.
func (l *looking) quarantined(ctx context.Context, name string, f *plan.Base) error {
	all, err := store.QuarantineHistory(ctx, l.Store.Q(), name, rememberedQuarantines)
	if err != nil {
		return err
	}
	for _, z := range all {
		if at := time.UnixMilli(max(z.At, z.ClearedAt)); at.After(f.Judged) {
			f.Judged = at
		}
		if !z.Stands() {
			continue
		}
		layers, err := l.layersOf(ctx, z.Digest)
		if err != nil {
			return err
		}
		if f.Quarantined == nil {
			f.Quarantined = map[string]plan.Quarantined{}
		}
		f.Quarantined[z.Digest] = plan.Quarantined{Reason: z.Reason, By: z.Actor, Since: time.UnixMilli(z.At), Because: z.Because, DiffIDs: layers}
	}
	return nil
}

// layersOf are the layers of a digest that was read before; nil when it never was.
func (o *Observer) layersOf(ctx context.Context, digest string) ([]v1.Hash, error) {
	if known, ok := o.bad.Load(digest); ok {
		return known.([]v1.Hash), nil
	}
	inv, found, err := store.GetInventory(ctx, o.Store.Q(), digest)
	if err != nil || !found {
		return nil, err
	}
	o.bad.Store(digest, inv.DiffIDs)
	return inv.DiffIDs, nil
}
