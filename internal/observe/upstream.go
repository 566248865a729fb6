package observe

import (
	"context"
	"errors"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/plan"
	"rebuilder/internal/registry"
	"rebuilder/internal/store"
)

// upstream looks at an image that somebody else makes. Which of the digests that its reference was seen to point to is
// looked into is plan.Take's to decide; what the reference points to, and what was decided, is remembered. needs are the
// platforms that bases are built for from it. Only the store's errors are returned; the registry's are facts.
func (o *Observer) upstream(ctx context.Context, name, ref, platform string, needs []string) (sight, error) {
	res, missing := o.resolve(ctx, ref, platform)
	if other := slices.IndexFunc(needs, res.Has); missing != nil && other >= 0 { // it is there for those who need that one
		platform = needs[other]
		res, missing = o.resolve(ctx, ref, platform)
	}
	if res.Digest() == (v1.Hash{}) {
		return unseen(ref, missing), nil
	}
	now := o.Now()
	history, err := o.history(ctx, ref, res, now)
	if err != nil {
		return sight{}, err
	}
	needs = slices.DeleteFunc(slices.Clone(needs), res.Has)
	taken, untaken := plan.Take(history, needs, false, now)
	if untaken != nil {
		before, err := o.resolve(ctx, withDigest(ref, taken.Digest), platform)
		switch {
		case errors.Is(err, registry.ErrNotFound):
			taken, untaken = plan.Take(history, needs, true, now)
		case err != nil:
			return unseen(ref, err), nil
		default:
			res, missing = before, nil
		}
	}
	if untaken == nil && !last(history, taken) {
		if err := store.TakeSighting(ctx, o.Store.Q(), ref, taken.Digest.String(), now.UnixMilli()); err != nil {
			return sight{}, err
		}
	}
	if missing != nil { // the reference is there, for other platforms
		return unseen(ref, missing), nil
	}
	s := o.inside(ctx, name, ref, platform, res)
	s.history, s.image.Untaken = history, untaken
	return s, nil
}

// last says that a digest is the one that was taken last.
func last(history []plan.Sighting, s plan.Sighting) bool {
	return !s.Taken.IsZero() && !slices.ContainsFunc(history, func(o plan.Sighting) bool { return o.Taken.After(s.Taken) })
}

// seenWithin is how exactly it is known when a reference was last seen to point somewhere: what does not change is not
// written down at each look.
const seenWithin = time.Hour

// history remembers what a reference points to now and returns all that it pointed to, that first.
func (o *Observer) history(ctx context.Context, ref string, res registry.Resolved, now time.Time) ([]plan.Sighting, error) {
	rows, err := store.Sightings(ctx, o.Store.Q(), ref)
	if err != nil {
		return nil, err
	}
	digest := res.Digest().String()
	if len(rows) == 0 || rows[0].Digest != digest || now.Sub(time.UnixMilli(rows[0].LastSeen)) >= seenWithin {
		manifests := make(map[string]string, len(res.Manifests))
		for platform, m := range res.Manifests {
			manifests[platform] = m.String()
		}
		if err := store.SaveSighting(ctx, o.Store.Q(), ref, digest, manifests, now.UnixMilli()); err != nil {
			return nil, err
		}
		if rows, err = store.Sightings(ctx, o.Store.Q(), ref); err != nil {
			return nil, err
		}
	}
	out := make([]plan.Sighting, len(rows))
	for i, r := range rows {
		out[i] = sighting(r)
	}
	return out, nil
}

func sighting(r store.Sighting) plan.Sighting {
	s := plan.Sighting{Manifests: make(map[string]v1.Hash, len(r.Platforms)), FirstSeen: time.UnixMilli(r.FirstSeen), Since: time.UnixMilli(r.Since)}
	s.Digest, _ = v1.NewHash(r.Digest) // written from one
	for platform, m := range r.Platforms {
		s.Manifests[platform], _ = v1.NewHash(m)
	}
	if r.TakenAt > 0 {
		s.Taken = time.UnixMilli(r.TakenAt)
	}
	return s
}
