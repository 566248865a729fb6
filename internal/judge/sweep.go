package judge

import (
	"context"
	"fmt"
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
// itself, and returns how many those were. Images whose inventory has not been read are passed over. One that cannot be judged
// does not keep the others from it. What is as it was costs one query for all.
func (j *Judge) Sweep(ctx context.Context) (judged int, err error) {
	w := j.world()
	if w == nil {
		return 0, nil
	}
	g, err := j.ground(ctx)
	if err != nil {
		return 0, err
	}
	hash, err := g.hash()
	if err != nil {
		return 0, err
	}
	if err := j.askAgain(ctx, hash); err != nil {
		return 0, err
	}
	kept, err := store.JudgedOn(ctx, j.Store.Q())
	if err != nil {
		return 0, err
	}
	now, failed := j.Now().UnixMilli(), 0
	for _, img := range current(w) {
		on := basis(hash, w, policy.Subject{Image: img.name, Kind: img.kind})
		k, found := kept[img.Digest.String()]
		if found && k.Basis == on && (k.Next == 0 || now < k.Next) {
			continue
		}
		done, problem := j.rejudge(ctx, g, img, on)
		switch {
		case ctx.Err() != nil:
			return judged, ctx.Err()
		case problem != nil && err == nil:
			err = fmt.Errorf("%s: %w", img.name, problem)
			fallthrough
		case problem != nil:
			failed++
		case done:
			judged++
		}
	}
	if failed > 1 {
		err = fmt.Errorf("%d images, the first: %w", failed, err)
	}
	return judged, err
}

// rejudge judges an image of a look, if its inventory has been read.
func (j *Judge) rejudge(ctx context.Context, g *ground, img named, basis string) (done bool, err error) {
	inv, read, err := store.GetInventory(ctx, j.Store.Q(), img.Digest.String())
	if err != nil || !read {
		return false, err
	}
	s, err := j.sheet(ctx, g, policy.Subject{Image: img.name, Kind: img.kind}, img.at(), inv, nil)
	if err != nil {
		return false, err
	}
	return true, j.keep(ctx, s, basis)
}

// askAgain makes candidates due that the policies did not let pass, when what verdicts rest on is not what it was at the last
// sweep: an exception may have been approved.
func (j *Judge) askAgain(ctx context.Context, hash string) error {
	if hash == j.swept {
		return nil
	}
	n, err := store.AskAgain(ctx, j.Store.Q(), store.GatePolicy, j.Now().UnixMilli())
	if err != nil {
		return err
	}
	j.swept = hash
	if n > 0 && j.Due != nil {
		j.Due()
	}
	return nil
}

// named is an image of a look.
type named struct {
	name, kind string
	plan.Image
}

// at is the image by digest.
func (n named) at() string { return repositoryOf(n.Reference) + "@" + n.Digest.String() }

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

const (
	sweepEvery = time.Minute     // how often Run looks whether something is to be judged again
	sweepRest  = 5 * time.Second // between two sweeps, however often it is woken
)

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
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(0, sweepRest-j.Now().Sub(began))):
		}
	}
}
