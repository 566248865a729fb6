package judge

import (
	"context"
	"maps"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/graph"
	"rebuilder/internal/observe"
	"rebuilder/internal/plan"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

// Sweep judges each image of the last look whose verdict is missing, rests on what is no longer so, or may have changed by
// itself, and returns how many those were. Images whose inventory has not been read are passed over. What is as it was costs
// one query for all.
func (j *Judge) Sweep(ctx context.Context) (judged int, err error) {
	w := j.world()
	if w == nil {
		return 0, nil
	}
	state, err := j.State(ctx)
	if err != nil {
		return 0, err
	}
	kept, err := store.JudgedOn(ctx, j.Store.Q())
	if err != nil {
		return 0, err
	}
	now := j.Now().UnixMilli()
	for _, img := range current(w) {
		k, found := kept[img.Digest.String()]
		if found && k.Basis == state && (k.Next == 0 || now < k.Next) {
			continue
		}
		inv, read, err := store.GetInventory(ctx, j.Store.Q(), img.Digest.String())
		if err != nil {
			return judged, err
		}
		if !read {
			continue
		}
		s, err := j.Sheet(ctx, policy.Subject{Image: img.name, Kind: img.kind}, img.at(), inv)
		if err != nil {
			return judged, err
		}
		if err := j.keep(ctx, s, state); err != nil {
			return judged, err
		}
		judged++
	}
	return judged, nil
}

// named is an image of a look.
type named struct {
	name, kind string
	plan.Image
}

// at is the image by digest.
func (n named) at() string { return withoutTag(n.Reference) + "@" + n.Digest.String() }

// current are the images of a look that are there, by kind, then name.
func current(w *observe.World) []named {
	var out []named
	add := func(name string, kind graph.Kind, i plan.Image) {
		if i.Exists() && i.Digest != (v1.Hash{}) {
			out = append(out, named{name, string(kind), i})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.Facts.Upstreams)) {
		add(name, graph.Upstream, w.Facts.Upstreams[name])
	}
	for _, name := range slices.Sorted(maps.Keys(w.Facts.Bases)) {
		add(name, graph.Base, w.Facts.Bases[name].Image)
	}
	for _, name := range slices.Sorted(maps.Keys(w.Facts.Applications)) {
		add(name, graph.Application, w.Facts.Applications[name].Image)
	}
	return out
}

// sweepEvery is how often Run looks whether something is to be judged again.
const sweepEvery = time.Minute

// Run sweeps again and again until ctx ends: soon after wake, and every minute.
func (j *Judge) Run(ctx context.Context, wake <-chan struct{}) {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		began := j.Now()
		n, err := j.Sweep(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			j.Log.Error("images could not be judged", "error", err)
		case n > 0:
			j.Log.Info("images judged", "count", n, "took", j.Now().Sub(began).Round(time.Millisecond))
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-wake:
		}
	}
}
