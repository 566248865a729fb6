package api

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"rebuilder/internal/observe"
)

// untaken is what the reference of an upstream points to and images are not made from yet; nil when there is none.
func (v *view) untaken(name string) *Untaken {
	if v.snap.World == nil {
		return nil
	}
	img := v.snap.World.Facts.Upstreams[name]
	u := img.Untaken
	if u == nil {
		return nil
	}
	return &Untaken{Image: name, Reference: img.Reference, Digest: u.Digest.String(), Reason: u.Reason, Since: utc(u.Since), Next: utc(u.Next), Who: u.Who}
}

// allUntaken lists what is not taken yet, by image.
func (v *view) allUntaken() []Untaken {
	out := []Untaken{}
	if v.snap.World == nil {
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(v.snap.World.Facts.Upstreams)) {
		if u := v.untaken(name); u != nil {
			out = append(out, *u)
		}
	}
	return out
}

// unlisted are the parents that images claim and the catalog does not name: those of one image, or of all when name is empty.
func (v *view) unlisted(name string) []Unlisted {
	out := []Unlisted{}
	if v.snap.World == nil {
		return out
	}
	for _, u := range v.snap.World.Unlisted {
		if name == "" || u.Image == name {
			out = append(out, unlistedOf(u))
		}
	}
	return out
}

func unlistedOf(u observe.Unlisted) Unlisted {
	what := u.Reference
	if u.Digest != "" {
		what = cmp.Or(what, "an image") + "@" + Short(u.Digest)
	}
	return Unlisted{Image: u.Image, Evidence: string(u.Evidence), Reference: u.Reference, Digest: u.Digest,
		Sentence: fmt.Sprintf("its %s claims %s, which the catalog does not name", u.Evidence, what)}
}
