package observe

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"rebuilder/internal/graph"
	"rebuilder/internal/registry"
	"rebuilder/internal/store"
)

// Origins is what a Registry may offer besides: what images show and say of what they were made from.
type Origins interface {
	// Origins is called once a digest, and again after a while for those that claim nothing yet.
	Origins(ctx context.Context, ref string) ([]registry.Origin, error)
}

const (
	originsAtOnce = 200            // references of which origins are read in one look; the others wait for the next
	attachedLater = 24 * time.Hour // how often images without provenance are asked for it
	originAgain   = time.Hour      // when what could not be read is tried again
	indexedAtOnce = 100            // inventories
)

// origins reads what images were made from where that is not known, and loads it where it is. What cannot be read leaves
// an edge without that evidence and is no reason to know less of anything else.
func (l *looking) origins(ctx context.Context) error {
	if _, err := store.IndexAncestors(ctx, l.Store.Q(), indexedAtOnce); err != nil {
		return err
	}
	var digests []string
	for _, s := range l.sights {
		for _, m := range s.resolved.Manifests {
			digests = append(digests, m.String())
		}
	}
	slices.Sort(digests)
	var err error
	if l.origin, err = store.GetOrigins(ctx, l.Store.Q(), slices.Compact(digests)); err != nil {
		return err
	}
	if err := l.readOrigins(ctx); err != nil {
		return err
	}
	l.parents, err = l.layered.get(ctx, l.Store)
	return err
}

// readOrigins reads what is due, what was never read first.
func (l *looking) readOrigins(ctx context.Context) error {
	reader, ok := l.Registry.(Origins)
	if !ok {
		return nil
	}
	var due, again []string
	for _, name := range slices.Sorted(maps.Keys(l.sights)) {
		switch first, later := l.originDue(l.sights[name]); {
		case first:
			due = append(due, name)
		case later:
			again = append(again, name)
		}
	}
	slices.SortStableFunc(again, func(a, b string) int { return cmp.Compare(l.originRead(a), l.originRead(b)) }) // so that all get their turn
	due = append(due, again...)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, name := range due[:min(len(due), originsAtOnce)] {
		g.Go(func() error { return l.readOrigin(ctx, reader, name, l.sights[name]) })
	}
	return g.Wait()
}

// originDue says whether an image is to be read for the first time, or again.
func (l *looking) originDue(s sight) (first, again bool) {
	for _, m := range s.resolved.Manifests {
		o, ok := l.origin[m.String()]
		age := l.facts.At.Sub(time.UnixMilli(o.ReadAt))
		attested := slices.ContainsFunc(o.Claims, func(c store.Claimed) bool { return c.Evidence == registry.Provenance })
		first = first || !ok
		again = again || o.Problem != "" && age >= originAgain || !attested && age >= attachedLater
	}
	return first, again
}

// originRead is when what an image was made from was last read, in epoch milliseconds.
func (l *looking) originRead(name string) (at int64) {
	for _, m := range l.sights[name].resolved.Manifests {
		at = max(at, l.origin[m.String()].ReadAt)
	}
	return at
}

func (l *looking) readOrigin(ctx context.Context, reader Origins, name string, s sight) error {
	kind := l.kind(name)
	found, err := reader.Origins(ctx, withDigest(s.image.Reference, s.resolved.Digest()))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	rows := map[string]store.Origin{}
	for _, o := range found {
		row := store.Origin{Digest: o.Manifest.String(), Image: name, Kind: kind, Platform: o.Platform, Problem: strings.Join(o.Problems, "; "), ReadAt: l.facts.At.UnixMilli()}
		for _, d := range o.DiffIDs {
			row.Layers = append(row.Layers, d.String())
		}
		for _, c := range o.Claims {
			claim := store.Claimed{Evidence: c.Evidence, Reference: c.Reference, Platform: c.Platform}
			if c.Digest.Hex != "" {
				claim.Digest = c.Digest.String()
			}
			row.Claims = append(row.Claims, claim)
		}
		rows[row.Digest] = row
	}
	problem := "an image of more platforms than are read"
	if err != nil {
		problem = err.Error()
		l.Log.Debug("what an image was made from cannot be read", "image", name, "error", err)
	}
	for platform, m := range s.resolved.Manifests {
		if _, ok := rows[m.String()]; ok {
			continue
		}
		row := l.stored(m.String()) // what was known of it stays
		row.Digest, row.Image, row.Kind, row.Platform, row.Problem, row.ReadAt = m.String(), name, kind, platform, problem, l.facts.At.UnixMilli()
		if m == s.image.Digest && len(row.Layers) == 0 {
			row.Layers = diffIDs(s.image.DiffIDs)
		}
		rows[row.Digest] = row
	}
	if err := store.SaveOrigins(ctx, l.Store.Q(), name, kind, slices.Collect(maps.Values(rows)), l.facts.At.UnixMilli()); err != nil {
		return err
	}
	l.set(func() { maps.Copy(l.origin, rows) })
	return nil
}

func (l *looking) stored(digest string) (o store.Origin) {
	l.set(func() { o = l.origin[digest] })
	return o
}

// kind is that of an image of the catalog.
func (l *looking) kind(name string) string {
	if _, ok := l.facts.Upstreams[name]; ok {
		return string(graph.Upstream)
	}
	if _, ok := l.facts.Bases[name]; ok {
		return string(graph.Base)
	}
	return string(graph.Application)
}

// layered holds the layers of every image that others are made from, of earlier digests, too. They are read anew when
// there are others.
type layered struct {
	mu   sync.Mutex
	mark string
	rows []store.Layered
}

func (k *layered) get(ctx context.Context, st *store.Store) ([]store.Layered, error) {
	mark, err := store.LayeredParentsMark(ctx, st.Q())
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.mark == mark {
		return k.rows, nil
	}
	rows, err := store.LayeredParents(ctx, st.Q())
	if err == nil {
		k.mark, k.rows = mark, rows
	}
	return rows, err
}
