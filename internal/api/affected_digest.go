package api

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// standing answers for a digest: who is it, who stands on it by its layers, who was built with it or names it, and what is
// below those.
func (r *Reader) standing(ctx context.Context, v *view, a *Affected, images []Image) error {
	read, err := r.wholeDigest(ctx, v, a)
	if err != nil || a.Unanswered != "" {
		return err
	}
	on, err := r.layersOf(ctx, v, a.Name)
	if err != nil {
		return err
	}
	has := map[string]bool{}
	var others []Image
	for _, img := range images {
		if how := v.toDigest(img, a.Name, on); how != "" {
			has[img.Name] = true
			a.Found = append(a.Found, Found{Image: img.Name, Kind: img.Kind, Owner: img.Owner, State: img.State, Digest: img.Digest, How: how})
			continue
		}
		others = append(others, img)
	}
	a.Has = len(has)
	rest(v, a, others, has, func(img Image) string { return v.unseen(img, on) })
	if a.Has == 0 && read.Image != "" {
		a.Earlier = append(a.Earlier, Found{Image: read.Image, Digest: a.Name, ReadAt: at(read.ReadAt), How: "was its image"})
		a.EarlierCount = 1
	}
	a.Sentence = digestSentence(a, read, len(on.DiffIDs) > 0)
	return nil
}

// wholeDigest finds the digest that is meant by its beginning, among those that were read and those that images have now.
func (r *Reader) wholeDigest(ctx context.Context, v *view, a *Affected) (store.Read, error) {
	const most = 10
	reads, err := store.ReadDigests(ctx, r.Store.Q(), a.Name, most)
	if err != nil {
		return store.Read{}, err
	}
	known := map[string]bool{}
	by := map[string]store.Read{}
	for _, d := range reads {
		known[d.Digest], by[d.Digest] = true, d
	}
	for _, d := range v.digests() {
		if strings.HasPrefix(d, a.Name) {
			known[d] = true
		}
	}
	whole := len(a.Name) == len("sha256:")+64
	switch {
	case len(known) == 1 || whole && known[a.Name]:
		a.Name = slices.Min(slices.Collect(maps.Keys(known)))
		return by[a.Name], nil
	case len(known) > 1:
		return store.Read{}, badRequest("give more of its digits", "%s is the beginning of several digests: %s", a.Name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	a.Unanswered = "no image is known to have had that digest. Of an image for several platforms, ask for the digest of one platform's image"
	return store.Read{}, nil
}

// digests are all that images have now, are pinned to, or were built with.
func (v *view) digests() []string {
	var out []string
	add := func(h v1.Hash) {
		if h != (v1.Hash{}) {
			out = append(out, h.String())
		}
	}
	f := v.snap.World.Facts
	for _, u := range f.Upstreams {
		add(u.Digest)
	}
	for _, b := range f.Bases {
		add(b.Digest)
		for _, p := range b.Parents {
			out = append(out, p.Used)
		}
	}
	for _, a := range f.Applications {
		add(a.Digest)
		for _, ref := range a.References {
			add(ref.Pinned)
		}
	}
	for _, o := range v.found {
		if o.Digest != "" && o.Kind == store.ObservedImage {
			out = append(out, o.Digest)
		}
	}
	return out
}

// layersOf is a digest as something to stand on; without layers when these are not known.
func (r *Reader) layersOf(ctx context.Context, v *view, digest string) (plan.Image, error) {
	f := v.snap.World.Facts
	for _, u := range f.Upstreams {
		if u.Digest.String() == digest {
			return u, nil
		}
	}
	for _, b := range f.Bases {
		if b.Digest.String() == digest {
			return b.Image, nil
		}
	}
	h, err := v1.NewHash(digest)
	if err != nil {
		return plan.Image{}, badRequest("", "%s: %v", digest, err)
	}
	inv, found, err := store.GetInventory(ctx, r.Store.Q(), digest)
	if err != nil || !found {
		return plan.Image{Digest: h}, err
	}
	return plan.Image{Digest: h, DiffIDs: inv.DiffIDs}, nil
}

// toDigest says what an image has to do with a digest; empty when nothing is known.
func (v *view) toDigest(img Image, digest string, on plan.Image) string {
	var how []string
	f := v.snap.World.Facts
	own, _ := v.fact(img.Name)
	switch {
	case img.Digest == digest:
		how = append(how, "is it")
	case own.StandsOn(on):
		how = append(how, "stands on it, proven by its layers")
	case !img.declared():
		if said := v.onDigest(img, on); said != "" {
			how = append(how, said)
		}
	}
	for _, p := range f.Bases[img.Name].Parents {
		if p.Used == digest {
			how = append(how, fmt.Sprintf("was built with it (%s, %s)", p.Kind, p.Where))
		}
	}
	for _, ref := range f.Applications[img.Name].References {
		if ref.Pinned.String() == digest {
			how = append(how, fmt.Sprintf("its Dockerfile pins it (%s:%d)", ref.File, ref.Line))
		}
	}
	return strings.Join(slices.Compact(how), "; ")
}

// unseen says why it cannot be told whether an image stands on a digest with these layers; empty when it can.
func (v *view) unseen(img Image, on plan.Image) string {
	own, _ := v.fact(img.Name)
	switch {
	case !img.declared():
		return notLookedInto
	case !own.Exists() && img.Sentence != "":
		return img.Sentence
	case len(own.DiffIDs) == 0:
		return "its layers are not known"
	case len(on.DiffIDs) == 0:
		return "the layers of that digest are not known"
	}
	return ""
}

func digestSentence(a *Affected, read store.Read, layers bool) string {
	out := fmt.Sprintf("%s of %s %s %s, %s on it or %s it%s; %s not; %s unknown", Thousands(a.Has), a.all(), verb(a.Has, "is", "are"), Short(a.Name),
		verb(a.Has, "stands", "stand"), verb(a.Has, "names", "name"), belowWords(a), verbed(a.Clean, "does", "do"), Thousands(a.Unknown))
	if read.Image != "" {
		out += "; it was read as " + read.Image
	}
	if !layers {
		out += "; its layers are not known, so that only those are found that name it"
	}
	return out
}
