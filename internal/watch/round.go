package watch

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
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

const (
	roundParallel   = 8   // repositories asked at once
	hostParallel    = 4   // of them, of one server: a slow one does not hold up all others
	maxRepositories = 100 // of one image
)

// Round asks every repository of the given images once, however many images use it, for the packages of all of them.
// What could not be read is told by Snapshot.Errors; the error is ctx's. Of an image with more than 100 repositories the
// first are asked.
func (w *Watcher) Round(ctx context.Context, images ...*inventory.Inventory) (*Snapshot, error) {
	w.Want(namesIn(images)...)
	s := &Snapshot{indexes: map[string]*Index{}, errs: map[string]error{}, memories: map[string]*memory{}}
	repos := s.repositories(images)
	var wg sync.WaitGroup
	all, hosts := make(chan struct{}, roundParallel), slotsByHost(repos)
	for key, repo := range repos {
		wg.Go(func() {
			host := hosts[hostOf(repo)]
			host <- struct{}{}
			defer func() { <-host }()
			all <- struct{}{}
			defer func() { <-all }()
			ix, err := w.State(ctx, repo)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.add(key, ix, err)
		})
	}
	wg.Wait()
	w.forget()
	return s, ctx.Err()
}

// repositories are those of all images by their keys.
func (s *Snapshot) repositories(images []*inventory.Inventory) map[string]inventory.Repository {
	repos := map[string]inventory.Repository{}
	for _, inv := range images {
		n := 0
		s.each(inv, func(key string, repo inventory.Repository) {
			if n++; n > maxRepositories {
				s.errs[key] = fmt.Errorf("package repository %s: %w: the image names more than %d, of which this one is not asked", repositoryName(repo), ErrTooLarge, maxRepositories)
				return
			}
			repos[key] = repo
		})
	}
	return repos
}

func slotsByHost(repos map[string]inventory.Repository) map[string]chan struct{} {
	slots := map[string]chan struct{}{}
	for _, repo := range repos {
		slots[hostOf(repo)] = make(chan struct{}, hostParallel)
	}
	return slots
}

// hostOf is the server that is asked first; empty for an address that is none.
func hostOf(repo inventory.Repository) string {
	u, err := url.Parse(cmp.Or(repo.URI, repo.Mirrors))
	if err != nil {
		return ""
	}
	return u.Host
}

func (s *Snapshot) add(key string, ix *Index, err error) {
	if err != nil {
		s.errs[key] = err
		return
	}
	s.indexes[key] = ix
	delete(s.errs, key) // another image may name too many
	if ix.Stale != nil {
		s.errs[key] = ix.Stale
	}
}

func namesIn(images []*inventory.Inventory) []string {
	seen := map[string]struct{}{}
	var names []string
	for _, inv := range images {
		for _, p := range inv.Packages {
			if p.Library() {
				continue
			}
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
	s.each(inv, func(key string, _ inventory.Repository) {
		if ix := s.indexes[key]; ix != nil {
			all = append(all, ix)
		}
	})
	return all
}

// Errors says what is wrong with an image's repositories: those never read or not asked, and those whose index is stale.
func (s *Snapshot) Errors(inv *inventory.Inventory) []error {
	var all []error
	s.each(inv, func(key string, repo inventory.Repository) {
		switch err := s.errs[key]; {
		case err != nil:
			all = append(all, err)
		case s.indexes[key] == nil:
			all = append(all, fmt.Errorf("package repository %s: it was not asked in this round", repositoryName(repo)))
		}
	})
	return all
}

func (s *Snapshot) each(inv *inventory.Inventory, f func(key string, repo inventory.Repository)) {
	seen := map[string]bool{}
	for _, r := range inv.Repositories {
		if key := keyOf(r); !seen[key] {
			seen[key] = true
			f(key, r)
		}
	}
}

// Patches is the function of that name with an image's own indexes. What many images have in common is compared once.
func (s *Snapshot) Patches(inv *inventory.Inventory) []Patch {
	choose := choosers(inv, s.Indexes(inv))
	m := s.memory(inv)
	m.mu.Lock()
	defer m.mu.Unlock()
	var patches []Patch
	for _, p := range inv.Packages {
		if p.Library() {
			continue
		}
		key := likeness{p.Type, p.Name, p.Version, p.Architecture, p.Source, p.Module, p.Held}
		found, known := m.answers[key]
		if !known {
			if patch, ok := newer(p, choose); ok {
				found = &patch
			}
			m.answers[key] = found
		}
		if found != nil {
			patches = append(patches, *found)
		}
	}
	return patches
}

// memory is what was compared already for images with the same repositories and rules.
type memory struct {
	mu      sync.Mutex
	answers map[likeness]*Patch // nil: there is none
}

// likeness is everything that a package manager looks at in an installed package when it chooses.
type likeness struct {
	kind, name, version, arch, source, module string
	held                                      bool
}

// memory finds that of images like inv.
func (s *Snapshot) memory(inv *inventory.Inventory) *memory {
	lines := []string{inv.Platform, fmt.Sprintf("%#v", inv.Pins)}
	s.each(inv, func(key string, _ inventory.Repository) { lines = append(lines, key) })
	like := hashLines(lines)
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.memories[like]
	if !ok {
		m = &memory{answers: map[likeness]*Patch{}}
		s.memories[like] = m
	}
	return m
}

// StateHash is the function of that name with an image's own indexes.
func (s *Snapshot) StateHash(inv *inventory.Inventory) string { return StateHash(s.Indexes(inv)) }
