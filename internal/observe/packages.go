package observe

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/inventory"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
	"rebuilder/internal/watch"
)

// packages looks at the package repositories of every base, each repository once, and compares.
func (l *looking) packages(ctx context.Context) error {
	of, all := map[string]*inventory.Inventory{}, []*inventory.Inventory{}
	for _, b := range l.c.Bases {
		inv := l.inventories[b.Name]
		if inv == nil {
			inv = l.parentInventory(b)
		}
		if inv != nil {
			of[b.Name] = inv
			all = append(all, inv)
		}
	}
	snap, err := l.Packages.Round(ctx, all...)
	if err != nil {
		return err
	}
	for _, b := range l.c.Bases {
		inv := of[b.Name]
		if inv == nil {
			continue
		}
		f := l.facts.Bases[b.Name]
		s, err := l.state(ctx, snap, inv)
		if err != nil {
			return err
		}
		f.State, f.StateSince, f.Stale = s.hash, s.since, s.stale
		if own := l.inventories[b.Name]; own != nil {
			for _, p := range snap.Patches(own) {
				f.Patches = append(f.Patches, plan.Patch{Patch: p, Inherited: l.inherited(b, own, p)})
			}
		}
		l.facts.Bases[b.Name] = f
	}
	return nil
}

// parentInventory is the inventory of what a base that has no image yet will stand on.
func (l *looking) parentInventory(b catalog.Base) *inventory.Inventory {
	if r := l.recipes[b.Name]; r != nil {
		if p, ok := r.inherits(); ok {
			return l.inventories[p.Name]
		}
	}
	return nil
}

// inherited names the base whose image brought a package in, when that base is ours and its image has it still. What
// comes from an upstream is fixed by the lowest base of ours: this one.
func (l *looking) inherited(b catalog.Base, own *inventory.Inventory, p watch.Patch) string {
	r := l.recipes[b.Name]
	if r == nil {
		return ""
	}
	parent, ok := r.inherits()
	if !ok {
		return ""
	}
	above, ours := l.inventories[parent.Name], false
	for _, c := range l.c.Bases {
		ours = ours || c.Name == parent.Name
	}
	if !ours || above == nil {
		return ""
	}
	// By name, whatever the version: a parent that has it patched already gives it down when the child stands on it.
	if _, has := above.Package(p.Package); has && !l.broughtAbove(own, above, p.Package) {
		return parent.Name
	}
	return ""
}

// broughtAbove says that the child itself installed the package anew, in a layer above its parent's, though the parent
// has the same version that the child had to change: then it is the child's to fix.
func (l *looking) broughtAbove(own, above *inventory.Inventory, name string) bool {
	mine, _ := own.Package(name)
	theirs, _ := above.Package(name)
	return own.StandsOn(above) && mine.Layer >= len(above.DiffIDs) && mine.Version != theirs.Version
}

// state is the present state of the repositories of an image.
type state struct {
	hash  string // empty when the image uses none, or none could be read
	since time.Time
	stale string
}

func (o *Observer) state(ctx context.Context, snap *watch.Snapshot, inv *inventory.Inventory) (state, error) {
	var s state
	var problems []string
	for _, err := range snap.Errors(inv) {
		problems = append(problems, err.Error())
	}
	s.stale = strings.Join(problems, "; ")
	indexes := snap.Indexes(inv)
	for _, ix := range indexes {
		problem := ""
		if ix.Stale != nil {
			problem = ix.Stale.Error()
		}
		since, err := store.SeenRepository(ctx, o.Store.Q(), ix.Name(), ix.Repository.URI, ix.Repository.Suite, ix.Hash, ix.Date.UnixMilli(), problem, o.Now().UnixMilli())
		if err != nil {
			return s, fmt.Errorf("repository %s: %w", ix.Name(), err)
		}
		if t := time.UnixMilli(since); t.After(s.since) {
			s.since = t
		}
	}
	if len(indexes) > 0 {
		s.hash = watch.StateHash(indexes)
	}
	return s, nil
}
