package observe

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
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
	found := map[string][]watch.Patch{}
	for name, inv := range of {
		if inv == l.inventories[name] {
			found[name] = snap.Patches(inv)
		}
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
		for _, p := range found[b.Name] {
			f.Patches = append(f.Patches, plan.Patch{Patch: p, Inherited: l.inherited(b, inv, p, found)})
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

// inherited names the base from which a rebuild would inherit a patch: the parent is ours, brought the package in, and
// has the patch already or is offered it, too. What comes from an upstream is fixed by the lowest base of ours: this one.
// So is what only this one's repositories offer, or what this one had already changed itself.
func (l *looking) inherited(b catalog.Base, own *inventory.Inventory, p watch.Patch, found map[string][]watch.Patch) string {
	parent, ok := l.recipes[b.Name].inherits()
	above := l.inventories[parent.Name]
	if _, ours := l.facts.Bases[parent.Name]; !ok || !ours || above == nil {
		return ""
	}
	theirs, has := above.Installed(p.Package, p.Architecture)
	if !has || broughtAbove(own, above, theirs, p) {
		return ""
	}
	offered := func(o watch.Patch) bool {
		return o.Package == p.Package && o.Architecture == theirs.Architecture && p.TakenBy(o.To)
	}
	if p.TakenBy(theirs.Version) || slices.ContainsFunc(found[parent.Name], offered) {
		return parent.Name
	}
	return ""
}

// broughtAbove says that the child itself has changed the package to another version than its parent's, in a layer above
// the parent's.
func broughtAbove(own, above *inventory.Inventory, theirs inventory.Package, p watch.Patch) bool {
	mine, _ := own.Installed(p.Package, p.Architecture)
	return own.StandsOn(above) && mine.Layer >= len(above.DiffIDs) && mine.Version != theirs.Version
}

// state is the present state of the repositories of an image.
type state struct {
	hash  string // empty when the image uses none, or none could be read
	since time.Time
	stale string
	dated time.Time // of the newest index, by its own word
}

func (o *Observer) state(ctx context.Context, snap *watch.Snapshot, inv *inventory.Inventory) (state, error) {
	var s state
	var problems []string
	problems = append(problems, unwatched(inv)...)
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
		since, err := store.SeenRepository(ctx, o.Store.Q(), repositoryKey(ix), ix.Repository.URI, ix.Repository.Suite, ix.Hash, ix.Date.UnixMilli(), problem, o.Now().UnixMilli())
		if err != nil {
			return s, fmt.Errorf("repository %s: %w", ix.Name(), err)
		}
		s.since, s.dated = later(s.since, time.UnixMilli(since)), later(s.dated, ix.Date)
	}
	if len(indexes) > 0 {
		s.hash = watch.StateHash(indexes)
	}
	return s, nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// unwatched says what of an image is not watched, a sentence each; nothing when all of it is.
func unwatched(inv *inventory.Inventory) []string {
	said := slices.Clone(inv.Unknown)
	has, named := map[string]int{}, map[string]bool{}
	libraries := 0
	for _, p := range inv.Packages {
		if p.Library() {
			libraries++
			continue
		}
		has[p.Type]++
	}
	for _, r := range inv.Repositories {
		named[r.Type] = true
	}
	for _, kind := range slices.Sorted(maps.Keys(has)) {
		if !named[kind] {
			said = append(said, fmt.Sprintf("the image names none for its %d packages of type %s, so that newer ones are not noticed", has[kind], kind))
		}
	}
	if libraries > 0 && len(has) == 0 && len(said) == 0 {
		said = append(said, fmt.Sprintf("it has libraries and no packages of a distribution: newer versions of its %d libraries are not noticed", libraries))
	}
	if len(has) == 0 && len(said) == 0 && inv.OS.ID != "" {
		said = append(said, fmt.Sprintf("no package database was found in %s %s", inv.OS.ID, inv.OS.Version))
	}
	return said
}

// repositoryKey tells repositories apart as far as they may be in different states at one time: the same address read
// for another architecture, or believed with other keys.
func repositoryKey(ix *watch.Index) string {
	sum := sha256.New()
	for _, k := range ix.Repository.Keys {
		fmt.Fprintf(sum, "%x\n", sha256.Sum256(k))
	}
	return fmt.Sprintf("%s [%s] %x", ix.Name(), strings.Join(ix.Repository.Architectures, " "), sum.Sum(nil)[:6])
}
