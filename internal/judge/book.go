package judge

import (
	"context"
	"fmt"

	"rebuilder/internal/advisory"
	"rebuilder/internal/inventory"
)

// Book is an advisory.Book as a judge asks it.
type Book struct{ *advisory.Book }

// Known implements Advisories.
func (b Book) Known(ctx context.Context, inv *inventory.Inventory) (Known, error) {
	r, err := b.Findings(ctx, inv)
	if err != nil {
		return Known{}, err
	}
	out := Known{Findings: r.Findings, Unknown: r.Unknown, AsOf: r.AsOf}
	for _, c := range r.Coverage {
		if !c.Covered {
			out.Unknown = append(out.Unknown, fmt.Sprintf("of its %d %s packages no vulnerability is known: %s", c.Packages, c.Type, c.Why))
		}
	}
	return out, nil
}
