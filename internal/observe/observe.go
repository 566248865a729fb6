// Package observe looks at the world and writes down what is there: what references point to, what is inside the digests,
// which packages are newer, what the recipes and the applications' Dockerfiles name, what was tried before. It decides
// nothing and writes nothing outside the store.
package observe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
	// Secrets returns what finds keys and passwords in a file of an image, for as long as one is read; nil: nobody looks for
	// them.
	Secrets func() (find func(path string, content []byte) []inventory.Secret, err error)
	// Found returns the images that nobody declared and what they stand on, from images of the catalog; nil when nobody
	// looks for them.
	Found func(ctx context.Context, c *catalog.Catalog) ([]graph.Node, []graph.Edge, error)
	Now   func() time.Time
	Log   *slog.Logger

	reading singleflight.Group // one read of a digest, however many ask
	kept    kept
	refused refused
	files   files
	layered layered
	bad     sync.Map // digest in quarantine -> its layers, which take long to read
}

// World is what was seen in one look.
type World struct {
	Graph *graph.Graph
	Facts plan.Facts
	// Unlisted are images that others claim to be made from and the catalog does not name.
	Unlisted []Unlisted
}

const atOnce = 8 // references looked at together

// Gather looks at everything that the catalog names. What cannot be seen is in the facts as unknown, with the reason; an
// error means that the look itself failed (a database, a cycle in the catalog).
func (o *Observer) Gather(ctx context.Context, c *catalog.Catalog) (*World, error) {
	l := &looking{Observer: o, c: c, facts: plan.Facts{At: o.Now(), Upstreams: map[string]plan.Image{}, Bases: map[string]plan.Base{}, Applications: map[string]plan.Application{}},
		names: namesOf(c), inventories: map[string]*inventory.Inventory{}, recipes: map[string]*recipe{}, busy: map[string]string{}, held: map[string]bool{},
		sights: map[string]sight{}, used: map[string]map[string]string{}}
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
	l.fired()
	if err := l.packages(ctx); err != nil {
		return nil, err
	}
	if err := l.memory(ctx); err != nil {
		return nil, err
	}
	if err := l.origins(ctx); err != nil {
		return nil, err
	}
	g, unlisted, err := l.graph(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(unlisted, compareUnlisted)
	return &World{Graph: g, Facts: l.facts, Unlisted: unlisted}, nil
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
	held        map[string]bool   // of those, which that rollout has not begun with
	sights      map[string]sight
	origin      map[string]store.Origin      // by platform manifest
	parents     []store.Layered              // all digests that others are made from, of now and before
	used        map[string]map[string]string // base -> parent -> digest, of what we built
}

// sight is what was seen of one reference.
type sight struct {
	image     plan.Image
	inventory *inventory.Inventory // of image's digest; nil when there is none
	resolved  registry.Resolved    // what the image is of
	history   []plan.Sighting      // what an upstream's reference pointed to, now's first
}

// images looks at every reference of the catalog.
func (l *looking) images(ctx context.Context) error {
	of, needs := platforms(l.c, l.recipes), map[string][]string{}
	for _, b := range l.c.Bases {
		for _, p := range l.recipes[b.Name].parents {
			needs[p.Name] = append(needs[p.Name], p.Platform)
		}
	}
	for name, a := range l.facts.Applications {
		for _, r := range a.References {
			of[name] = of[r.Base]
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	see := func(name string, kind graph.Kind, ref, platform string, keep func(plan.Image)) {
		g.Go(func() error {
			s, err := l.image(ctx, name, string(kind), ref, platform, needs[name])
			l.set(func() {
				l.sights[name], l.inventories[name] = s, s.inventory
				keep(s.image)
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
func (l *looking) image(ctx context.Context, name, kind, ref, platform string, needs []string) (s sight, err error) {
	if kind == string(graph.Upstream) {
		s, err = l.upstream(ctx, name, ref, platform, needs)
	} else {
		s = l.look(ctx, name, ref, platform)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil || s.image.Unknown != "" {
		return s, err // what was seen last still counts: an outage is no change
	}
	digest := ""
	if s.image.Exists() {
		digest = s.image.Digest.String()
	}
	since, err := store.SeenImage(ctx, l.Store.Q(), name, kind, ref, digest, "", l.facts.At.UnixMilli())
	s.image.FirstSeen = time.UnixMilli(since)
	return s, err
}

// look resolves a reference and reads what is inside, which is done once a digest.
func (o *Observer) look(ctx context.Context, name, ref, platform string) sight {
	res, err := o.resolve(ctx, ref, platform)
	if err != nil {
		return unseen(ref, err)
	}
	return o.inside(ctx, name, ref, platform, res)
}

// anyPlatform is looked at where nothing of ours is made from an image, so that nobody says.
const anyPlatform = "linux/amd64"

// resolve finds the platforms behind a reference.
func (o *Observer) resolve(ctx context.Context, ref, platform string) (registry.Resolved, error) {
	platform = cmp.Or(platform, anyPlatform)
	res, err := o.Registry.Resolve(ctx, ref, platform)
	if err == nil && len(res.Manifests) == 0 {
		name := registry.PlatformName(platform)
		res.Manifests, res.Platforms = map[string]v1.Hash{name: res.Manifest}, []string{name}
	}
	return res, err
}

// unseen is the sight of a reference that could not be looked at, or that is not there.
func unseen(ref string, err error) sight {
	s := sight{image: plan.Image{Reference: ref}}
	if !errors.Is(err, registry.ErrNotFound) {
		s.image.Unknown = err.Error()
	}
	return s
}

// inside reads what is in the platform of an image that was resolved.
func (o *Observer) inside(ctx context.Context, name, ref, platform string, res registry.Resolved) sight {
	platform = cmp.Or(platform, anyPlatform)
	inv, err := o.inventory(ctx, name, withDigest(ref, res.Manifest), res.Manifest, platform)
	if err != nil {
		return sight{image: plan.Image{Reference: ref, Unknown: err.Error()}}
	}
	img := plan.Image{Reference: ref, Digest: res.Manifest, DiffIDs: inv.DiffIDs, Platform: registry.PlatformName(platform), Manifests: res.Manifests}
	return sight{image: img, inventory: inv, resolved: res}
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
	if err := o.refused.why(digest, o.Now()); err != nil {
		return nil, err
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
	var options []inventory.Option
	if o.Secrets != nil {
		find, err := o.Secrets()
		if err != nil {
			return nil, err
		}
		options = append(options, inventory.WithSecrets(find))
	}
	inv, err := inventory.Read(ctx, img, platform, options...)
	if err != nil {
		return nil, o.refused.note(digest, err, o.Now())
	}
	o.refused.forget(digest)
	return inv, store.SaveInventory(ctx, o.Store.Q(), name, inv, o.Now().UnixMilli())
}
