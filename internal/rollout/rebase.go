package rollout

import (
	"context"
	"errors"
	"fmt"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/inventory"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// Rebaser puts the layers of an image on another base and pushes the result by digest. It is idempotent.
type Rebaser interface {
	// Rebase takes references by digest. It returns *inventory.Overlap where the result is not proven to be right.
	Rebase(ctx context.Context, image, old, new, platform, repository string) (digest string, err error)
}

// rebase makes an application's image of now stand on the new base. Nothing is built.
func (r *Runner) rebase(ctx context.Context, b catalog.Base, o order) (made, error) {
	owner := "owner of its repository: strategy = \"rebuild\" builds it instead"
	blocked := func(format string, args ...any) (made, error) {
		return made{}, &failure{State: store.Blocked, Reason: fmt.Sprintf(format, args...), Who: owner}
	}
	var on *plan.Pinned
	for i, p := range o.Inputs.Parents {
		if p.Kind != graph.Inherits {
			return blocked("it also takes files from %s (%s), which only a build does", p.Name, p.Where)
		}
		on = &o.Inputs.Parents[i]
	}
	switch {
	case r.cfg.Gates.Rebaser == nil:
		return made{}, fail("there is nobody who puts layers on another base")
	case on == nil || o.Before == "":
		return blocked("it has no image yet, or none that stands on a base")
	}
	above, f := r.base(on.Name)
	if f != nil {
		return made{}, f
	}
	inv, err := r.facts.Inventory(ctx, b.Name, b.Image+"@"+o.Before, o.Inputs.Platform)
	if err != nil {
		return made{}, err
	}
	old, err := r.stoodBefore(ctx, on.Name, inv)
	if err != nil {
		return made{}, err
	}
	if old == "" {
		return blocked("it stands on no digest of %s that we promoted", on.Name)
	}
	digest, err := r.cfg.Gates.Rebaser.Rebase(ctx, b.Image+"@"+o.Before, above.Image+"@"+old, above.Image+"@"+on.Digest.String(), o.Inputs.Platform, b.Image)
	if overlap := new(inventory.Overlap); errors.As(err, &overlap) {
		return blocked("%s", overlap)
	}
	return made{Digest: digest}, err
}

// stoodBefore is the digest of a base, as we promoted it, that an image stands on; empty when there is none.
func (r *Runner) stoodBefore(ctx context.Context, base string, inv *inventory.Inventory) (digest string, err error) {
	past, err := store.Promotions(ctx, r.store.Q(), base, 200)
	if err != nil {
		return "", err
	}
	layers := 0
	for _, p := range past {
		for _, d := range []string{p.To, p.From} {
			was, known, err := store.GetInventory(ctx, r.store.Q(), d)
			if err != nil {
				return "", err
			}
			if known && len(was.DiffIDs) > layers && inv.StandsOn(was) {
				digest, layers = d, len(was.DiffIDs)
			}
		}
	}
	return digest, nil
}
