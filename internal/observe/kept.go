package observe

import (
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/inventory"
)

// most bounds how many inventories are held: one takes up to 200 kB, most of it the keys of its repositories.
const most = 256

// kept holds the inventories that the last look met, so that the next one need not decode them again. A digest's content
// never changes, and inventories are immutable; what no reference points to any more is let go.
type kept struct {
	mu   sync.Mutex
	last map[v1.Hash]*inventory.Inventory
}

func (k *kept) get(digest v1.Hash) (*inventory.Inventory, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	inv, ok := k.last[digest]
	return inv, ok
}

// only replaces what is held by the first of these, some of which may be nil or the same.
func (k *kept) only(seen []*inventory.Inventory) {
	last := map[v1.Hash]*inventory.Inventory{}
	for _, inv := range seen {
		if inv != nil && len(last) < most {
			last[inv.Digest] = inv
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last = last
}

// met are the inventories of a look, those that others stand on first.
func (l *looking) met() []*inventory.Inventory {
	var met []*inventory.Inventory
	for _, u := range l.c.Upstreams {
		met = append(met, l.inventories[u.Name])
	}
	for _, b := range l.c.Bases {
		met = append(met, l.inventories[b.Name])
	}
	for _, a := range l.c.Applications {
		for _, i := range a.Images {
			met = append(met, l.inventories[i.Name])
		}
	}
	return met
}
