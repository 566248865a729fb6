package observe

import (
	"fmt"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/inventory"
)

func TestOnlyTheInventoriesOfTheLastLookAreKept(t *testing.T) {
	of := func(n int) *inventory.Inventory {
		return &inventory.Inventory{Digest: v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", n)}}
	}
	var k kept
	holds := func(want bool, numbers ...int) {
		t.Helper()
		for _, n := range numbers {
			if inv, ok := k.get(of(n).Digest); ok != want || ok && inv.Digest != of(n).Digest {
				t.Errorf("%d: held %v, want %v", n, ok, want)
			}
		}
	}
	holds(false, 1)
	k.only([]*inventory.Inventory{of(1), nil, of(2), of(2)})
	holds(true, 1, 2)
	k.only([]*inventory.Inventory{of(2), of(3)})
	holds(true, 2, 3)
	holds(false, 1)
	var many []*inventory.Inventory
	for n := range 2 * most {
		many = append(many, of(n))
	}
	k.only(many)
	holds(true, 0, most-1)
	holds(false, most, 2*most-1)
}
