package watch

import (
	"context"
	"sync"

	"rebuilder/internal/inventory"
)

// Snapshot is what the repositories of some images offered in one round. It is immutable.
type Snapshot struct {
	indexes map[string]*Index // by keyOf
	errs    map[string]error
}

const roundParallel = 4 // repositories asked at once

// Round asks every repository of the given images once, however many images use it, for the packages of all of them.
// What could not be read is told by Snapshot.Errors; the error is ctx's.
func (d *Debian) Round(ctx context.Context, images ...*inventory.Inventory) (*Snapshot, error) {
	d.Want(namesIn(images)...)
	repos := map[string]inventory.Repository{}
	for _, inv := range images {
		for _, r := range inv.Repositories {
			if r.Type == "deb" {
				repos[keyOf(r)] = r
			}
		}
	}
	s := &Snapshot{indexes: map[string]*Index{}, errs: map[string]error{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, roundParallel)
	for key, repo := range repos {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ix, err := d.State(ctx, repo)
			mu.Lock()
			defer mu.Unlock()
			s.add(key, ix, err)
		})
	}
	wg.Wait()
	return s, ctx.Err()
}

func (s *Snapshot) add(key string, ix *Index, err error) {
	if err != nil {
		s.errs[key] = err
		return
	}
	s.indexes[key] = ix
	if ix.Stale != nil {
		s.errs[key] = ix.Stale
	}
}

func namesIn(images []*inventory.Inventory) []string {
	seen := map[string]struct{}{}
	var names []string
	for _, inv := range images {
		for _, p := range inv.Packages {
			if _, ok := seen[p.Name]; !ok {
				seen[p.Name] = struct{}{}
				names = append(names, p.Name)
			}
		}
	}
	return names
}

// Indexes returns those of an image's repositories, in its order, each once. Repositories that were never read are
// missing.
func (s *Snapshot) Indexes(inv *inventory.Inventory) []*Index {
	var all []*Index
	s.each(inv, func(key string) {
		if ix := s.indexes[key]; ix != nil {
			all = append(all, ix)
		}
	})
	return all
}

// Errors says what is wrong with an image's repositories: those never read, and those whose index is stale.
func (s *Snapshot) Errors(inv *inventory.Inventory) []error {
	var all []error
	s.each(inv, func(key string) {
		if err := s.errs[key]; err != nil {
			all = append(all, err)
		}
	})
	return all
}

func (s *Snapshot) each(inv *inventory.Inventory, f func(key string)) {
	seen := map[string]bool{}
	for _, r := range inv.Repositories {
		if key := keyOf(r); !seen[key] {
			seen[key] = true
			f(key)
		}
	}
}

// Patches is the function of that name with an image's own indexes.
func (s *Snapshot) Patches(inv *inventory.Inventory) []Patch { return Patches(inv, s.Indexes(inv)) }

// StateHash is the function of that name with an image's own indexes.
func (s *Snapshot) StateHash(inv *inventory.Inventory) string { return StateHash(s.Indexes(inv)) }
