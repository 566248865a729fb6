// Package observe looks at the world and writes down what is there: what references point to, what is inside the digests,
// which packages are newer, what the recipes and the applications' Dockerfiles name, what was tried before. It decides
// nothing and writes nothing outside the store.
package observe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/inventory"
	"rebuilder/internal/notify"
	"rebuilder/internal/plan"
	"rebuilder/internal/registry"
	"rebuilder/internal/store"
	"rebuilder/internal/watch"
)

// Registry is what is asked of OCI registries.
type Registry interface {
	Resolve(ctx context.Context, ref, platform string) (registry.Resolved, error)
	Image(ctx context.Context, ref, platform string) (v1.Image, error)
}

// Packages is what is asked of package repositories.
type Packages interface {
	// Round asks each repository of the images once. What could not be read is in the snapshot; the error is ctx's.
	Round(ctx context.Context, images ...*inventory.Inventory) (*watch.Snapshot, error)
}

// Observer gathers facts.
type Observer struct {
	Registry Registry
	Packages Packages
	Forge    notify.Forge // nil when the catalog has none
	Store    *store.Store
	Now      func() time.Time
	Log      *slog.Logger

	reading singleflight.Group // one read of a digest, however many ask
	kept    kept
}

// World is what was seen in one look.
type World struct {
	Graph *graph.Graph
	Facts plan.Facts
}

const atOnce = 8 // references looked at together

// Gather looks at everything that the catalog names. What cannot be seen is in the facts as unknown, with the reason; an
// error means that the look itself failed (a database, a cycle in the catalog).
func (o *Observer) Gather(ctx context.Context, c *catalog.Catalog) (*World, error) {
	l := &looking{Observer: o, c: c, facts: plan.Facts{At: o.Now(), Upstreams: map[string]plan.Image{}, Bases: map[string]plan.Base{}, Applications: map[string]plan.Application{}},
		names: namesOf(c), inventories: map[string]*inventory.Inventory{}, recipes: map[string]*recipe{}, busy: map[string]string{}}
	if err := l.hands(ctx); err != nil {
		return nil, err
	}
	for _, b := range c.Bases {
		l.recipes[b.Name] = readRecipe(ctx, l.names, b)
	}
	if err := l.applications(ctx); err != nil {
		return nil, err
	}
	if err := l.images(ctx); err != nil {
		return nil, err
	}
	l.kept.only(l.met())
	if err := l.packages(ctx); err != nil {
		return nil, err
	}
	if err := l.memory(ctx); err != nil {
		return nil, err
	}
	g, err := l.graph()
	if err != nil {
		return nil, err
	}
	return &World{Graph: g, Facts: l.facts}, nil
}

// looking is one look.
type looking struct {
	*Observer
	c           *catalog.Catalog
	names       names
	mu          sync.Mutex
	facts       plan.Facts
	inventories map[string]*inventory.Inventory // by graph name: of the digest that its reference points to now
	recipes     map[string]*recipe
	busy        map[string]string // image -> rollout that has it in hand
}

// images looks at every reference of the catalog.
func (l *looking) images(ctx context.Context) error {
	of := platforms(l.c, l.recipes)
	for name, a := range l.facts.Applications {
		for _, r := range a.References {
			of[name] = of[r.Base]
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	see := func(name string, kind graph.Kind, ref, platform string, keep func(plan.Image)) {
		g.Go(func() error {
			img, inv, err := l.image(ctx, name, string(kind), ref, platform)
			l.set(func() {
				l.inventories[name] = inv
				keep(img)
			})
			return err
		})
	}
	for _, u := range l.c.Upstreams {
		see(u.Name, graph.Upstream, u.Image, of[u.Name], func(img plan.Image) { l.facts.Upstreams[u.Name] = img })
	}
	for _, b := range l.c.Bases {
		see(b.Name, graph.Base, b.Reference(), b.Platform, func(img plan.Image) { l.facts.Bases[b.Name] = plan.Base{Image: img} })
	}
	for _, a := range l.c.Applications {
		for _, i := range a.Images {
			see(i.Name, graph.Application, i.Image, of[i.Name], func(img plan.Image) {
				f := l.facts.Applications[i.Name]
				f.Image = img
				l.facts.Applications[i.Name] = f
			})
		}
	}
	return g.Wait()
}

func (l *looking) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// image looks at one reference. Only the store's errors are returned; the registry's are facts.
func (l *looking) image(ctx context.Context, name, kind, ref, platform string) (plan.Image, *inventory.Inventory, error) {
	img, inv := l.look(ctx, name, ref, platform)
	if err := ctx.Err(); err != nil {
		return img, inv, err
	}
	if img.Unknown != "" {
		return img, inv, nil // what was seen last still counts: an outage is no change
	}
	digest := ""
	if img.Exists() {
		digest = img.Digest.String()
	}
	since, err := store.SeenImage(ctx, l.Store.Q(), name, kind, ref, digest, "", l.facts.At.UnixMilli())
	img.FirstSeen = time.UnixMilli(since)
	return img, inv, err
}

// look resolves a reference and reads what is inside, which is done once a digest.
func (o *Observer) look(ctx context.Context, name, ref, platform string) (plan.Image, *inventory.Inventory) {
	img := plan.Image{Reference: ref}
	if platform == "" { // nothing of ours is made from it, so nobody says
		platform = "linux/amd64"
	}
	res, err := o.Registry.Resolve(ctx, ref, platform)
	if errors.Is(err, registry.ErrNotFound) {
		return img, nil
	}
	if err != nil {
		img.Unknown = err.Error()
		return img, nil
	}
	inv, err := o.inventory(ctx, name, withDigest(ref, res.Manifest), res.Manifest, platform)
	if err != nil {
		img.Unknown = err.Error()
		return img, nil
	}
	img.Digest, img.DiffIDs = res.Manifest, inv.DiffIDs
	return img, inv
}

// Inventory reads what is inside a reference by digest; rollouts use it.
func (o *Observer) Inventory(ctx context.Context, image, reference, platform string) (*inventory.Inventory, error) {
	_, digest := splitDigest(reference)
	d, err := v1.NewHash(digest)
	if err != nil {
		return nil, fmt.Errorf("inventory of %s: the reference has no digest", reference)
	}
	return o.inventory(ctx, image, reference, d, platform)
}

// reads bounds how long the inventory of one image may take.
const reads = 15 * time.Minute

// inventory reads a digest once, however many ask; whoever asks first may go without stopping it for the others.
func (o *Observer) inventory(ctx context.Context, name, ref string, digest v1.Hash, platform string) (*inventory.Inventory, error) {
	if inv, ok := o.kept.get(digest); ok {
		return inv, nil
	}
	done := o.reading.DoChan(digest.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reads)
		defer cancel()
		return o.read(ctx, name, ref, digest, platform)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-done:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*inventory.Inventory), nil
	}
}

func (o *Observer) read(ctx context.Context, name, ref string, digest v1.Hash, platform string) (*inventory.Inventory, error) {
	if inv, found, err := store.GetInventory(ctx, o.Store.Q(), digest.String()); err != nil || found {
		return inv, err
	}
	img, err := o.Registry.Image(ctx, ref, platform)
	if err != nil {
		return nil, err
	}
	inv, err := inventory.Read(ctx, img, platform)
	if err != nil {
		return nil, err
	}
	return inv, store.SaveInventory(ctx, o.Store.Q(), name, inv, o.Now().UnixMilli())
}
