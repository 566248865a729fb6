package watch

import (
	"context"
	"fmt"
	"sync"

	"rebuilder/internal/inventory"
)

// Snapshot is what the repositories of some images offered in one round. It does not change, and is safe for concurrent
// use.
type Snapshot struct {
	indexes map[string]*Index // by keyOf
	errs    map[string]error

	mu       sync.Mutex
	memories map[string]*memory
}

const roundParallel = 4 // repositories asked at once

// Round asks every repository of the given images once, however many images use it, for the packages of all of them.
// What could not be read is told by Snapshot.Errors; the error is ctx's.
func (w *Watcher) Round(ctx context.Context, images ...*inventory.Inventory) (*Snapshot, error) {
	w.Want(namesIn(images)...)
	repos := map[string]inventory.Repository{}
	for _, inv := range images {
		for _, r := range inv.Repositories {
			repos[keyOf(r)] = r
		}
	}
	s := &Snapshot{indexes: map[string]*Index{}, errs: map[string]error{}, memories: map[string]*memory{}}
	var wg sync.WaitGroup
	slots := make(chan struct{}, roundParallel)
	for key, repo := range repos {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ix, err := w.State(ctx, repo)
			s.mu.Lock()
			defer s.mu.Unlock()
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

// Patches is the function of that name with an image's own indexes. What many images have in common is compared once.
func (s *Snapshot) Patches(inv *inventory.Inventory) []Patch {
	choose := choosers(inv, s.Indexes(inv))
	seen := s.memory(inv)
	var patches []Patch
	for _, p := range inv.Packages {
		a, ok := seen.get(p)
		if !ok {
			a.patch, a.found = newer(p, choose)
			seen.put(p, a)
		}
		if a.found {
			patches = append(patches, a.patch)
		}
	}
	return patches
}

// memory is what was compared already for images with the same repositories and rules.
type memory struct {
	mu      sync.Mutex
	answers map[inventory.Package]newest
}

// newest is the answer about one package.
type newest struct {
	patch Patch
	found bool
}

func (m *memory) get(p inventory.Package) (newest, bool) {
	p.Layer = 0
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.answers[p]
	return a, ok
}

func (m *memory) put(p inventory.Package, a newest) {
	p.Layer = 0
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers[p] = a
}

// memory finds that of images like inv.
func (s *Snapshot) memory(inv *inventory.Inventory) *memory {
	lines := []string{inv.Platform, fmt.Sprintf("%#v", inv.Pins)}
	s.each(inv, func(key string) { lines = append(lines, key) })
	like := hashLines(lines)
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.memories[like]
	if !ok {
		m = &memory{answers: map[inventory.Package]newest{}}
		s.memories[like] = m
	}
	return m
}

// StateHash is the function of that name with an image's own indexes.
func (s *Snapshot) StateHash(inv *inventory.Inventory) string { return StateHash(s.Indexes(inv)) }
