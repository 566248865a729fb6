package api

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// images are all images: those of the catalog, upstreams first, then bases, then applications, each in the catalog's order,
// and then those that were found and that it does not name.
func (v *view) images() []Image {
	out := v.each()
	if v.snap.World == nil {
		return out
	}
	at := make(map[string]int, len(out))
	for i := range out {
		at[out[i].Name] = i
	}
	for _, name := range v.snap.World.Graph.Order() { // parents come first
		parent, ok := v.snap.World.Graph.ParentOf(name)
		child, known := at[name]
		above, both := at[parent]
		if ok && known && both {
			out[child] = out[child].on(out[above], v.idle(out[above]))
		}
	}
	return out
}

// idle says why an image that is not current has nothing newer to give all the same: it is stuck without a patch to take, as
// by a recipe that does not build, or what is newer is not taken yet. It is empty otherwise.
func (v *view) idle(parent Image) string {
	switch {
	case parent.State == Stuck && len(v.snap.World.Facts.Bases[parent.Name].Patches) == 0:
		return parent.Name + " itself is stuck"
	case parent.State == Behind && v.untaken(parent.Name) != nil:
		return "what " + parent.Name + " points to now is not taken yet"
	}
	return ""
}

// on is an image that is current as far as its own parent goes, seen together with how that parent is: nobody stands
// well on what is not well, but on what is idle.
func (i Image) on(parent Image, idle string) Image {
	switch {
	case i.State != Current:
		return i
	case idle != "":
		return i.is(Current, i.Sentence+"; "+idle)
	}
	switch parent.State {
	case Unknown:
		return i.is(Unknown, "stands on "+parent.Name+", of which not all is known: "+parent.Sentence)
	case Behind, Stuck:
		return i.is(Behind, "stands on "+parent.Name+", for which something newer is available")
	case Rebuilding:
		return i.is(Behind, "stands on "+parent.Name+", which is being rebuilt")
	}
	return i
}

// each is every image by itself.
func (v *view) each() []Image {
	var out []Image
	c := v.snap.Catalog
	if c == nil {
		return out
	}
	for _, u := range c.Upstreams {
		out = append(out, v.image(Image{Name: u.Name, Kind: string(graph.Upstream), Reference: u.Image}))
	}
	for _, b := range c.Bases {
		out = append(out, v.image(Image{Name: b.Name, Kind: string(graph.Base), Reference: b.Reference(), Owner: b.Owner}))
	}
	for _, a := range c.Applications {
		for _, i := range a.Images {
			out = append(out, v.image(Image{Name: i.Name, Kind: string(graph.Application), Reference: i.Image, Owner: a.Owner}))
		}
	}
	return append(out, v.undeclared()...)
}

// find returns one image.
func (v *view) find(name string) (Image, *Error) {
	all := v.images()
	if i := slices.IndexFunc(all, func(i Image) bool { return i.Name == name }); i >= 0 {
		return all[i], nil
	}
	return Image{}, noImage(name, all)
}

func noImage(name string, all []Image) *Error {
	return notFound(likely(name, all), "there is no image %q", name)
}

// likely is a hint with the names that come near, or with what to do when none does.
func likely(name string, all []Image) string {
	const most = 5
	var near, names []string
	last := name[strings.LastIndex(name, "/")+1:]
	for _, i := range all {
		names = append(names, i.Name)
		if last != "" && (strings.Contains(i.Name, last) || strings.Contains(last, i.Name[strings.LastIndex(i.Name, "/")+1:])) {
			near = append(near, i.Name)
		}
	}
	if n := catalog.Nearest(name, names); n != "" && !slices.Contains(near, n) {
		near = slices.Insert(near, 0, n)
	}
	if len(near) == 0 || len(near) > most {
		return "see all images: rebuilder images"
	}
	return "did you mean " + strings.Join(near, " or ") + "?"
}

// image fills in how an image is. What is going on comes first, then what is wrong, then what is available.
func (v *view) image(i Image) Image {
	img, seen := v.fact(i.Name)
	if img.Exists() {
		i.Digest, i.SeenAt = img.Digest.String(), utc(img.FirstSeen)
	}
	if n, ok := v.live[i.Name]; ok {
		return v.inHand(i, n)
	}
	switch {
	case !seen:
		return i.is(Unknown, "was not looked at yet")
	case v.snap.Plan == nil:
		return i.is(Unknown, "nothing was decided yet")
	}
	if s, ok := v.snap.Plan.Find(i.Name); ok {
		return i.is(Behind, s.Reasons[0]+more(len(s.Reasons)-1))
	}
	if j, decided := v.undone(i); decided {
		return j
	}
	if !img.Exists() {
		return i.is(Unknown, "there is no image at "+i.Reference)
	}
	return i.is(Current, "stands on the newest of all that is known")
}

func (i Image) is(s ImageState, sentence string) Image {
	i.State, i.Sentence = s, sentence
	return i
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" (and %d more)", n)
}

// undone is an image for which things are not done: as the first of them says, but what a person must do something about
// is never behind what is not known.
func (v *view) undone(i Image) (Image, bool) {
	var first Image
	found := false
	for _, n := range v.notDone[i.Name] {
		j, decided := v.held(i, n)
		switch {
		case decided && j.State == Stuck:
			return j, true
		case decided && !found:
			first, found = j, true
		}
	}
	return first, found
}

// inHand is an image that a running rollout is at.
func (v *view) inHand(i Image, n store.Node) Image {
	i = i.is(Rebuilding, sentence(n))
	i.Since, i.Next, i.Who, i.Rollout = at(n.Since), at(n.Next), n.Who, n.Rollout
	if n.State == store.Telling && n.Detail.Key != "" {
		i.State, i.URL = Awaiting, n.Detail.URL
	}
	return i
}

// held is an image for which something is not done, with the reason. It is not decided by something that turned out to
// need nothing.
func (v *view) held(i Image, n plan.NotDone) (Image, bool) {
	i.Since, i.Next, i.Who = utc(n.Since), utc(n.Next), n.Who
	switch {
	case n.Unknown:
		return i.is(Unknown, n.Reason), true
	case v.unchanged(i.Name):
		return i, false
	case v.untaken(i.Name) != nil: // it will be, by itself
		return i.is(Behind, n.Reason), true
	case v.awaited(i.Name):
		if t := v.snap.World.Facts.Applications[i.Name].Told; t != nil {
			i.URL, i.Rollout = t.URL, t.Rollout
		}
		return i.is(Awaiting, n.Reason), true
	case n.Who == "" || v.observed(i.Name):
		return i.is(Behind, n.Reason), true
	}
	return i.is(Stuck, n.Reason), true
}

// unchanged says that a rebuild with today's inputs made the same content: the image is as new as it can be.
func (v *view) unchanged(name string) bool {
	a := v.snap.World.Facts.Bases[name].Attempt
	return a != nil && a.Outcome == string(store.Unchanged)
}

// observed says that an application is watched and never told, by its catalog's choice.
func (v *view) observed(name string) bool {
	return v.snap.World.Facts.Applications[name].Strategy == string(catalog.Observe)
}

// awaited says that an application was told, or pins what it should: its next image is what is missing.
func (v *view) awaited(name string) bool {
	f := v.snap.World.Facts
	a, ok := f.Applications[name]
	if !ok {
		return false
	}
	if a.Told != nil && a.Told.State != "closed" {
		return true
	}
	for _, r := range a.References {
		if b := f.Bases[r.Base]; !b.Exists() || r.Pinned != b.Digest {
			return false
		}
	}
	return len(a.References) > 0
}

// fleet counts images; every state is in it.
func fleet(images []Image) Fleet {
	f := Fleet{States: map[ImageState]int{}, Kinds: map[string]int{}}
	for _, s := range ImageStates() {
		f.States[s] = 0
	}
	for _, i := range images {
		if !i.declared() {
			f.Observed++
			continue
		}
		f.Images++
		f.States[i.State]++
		f.Kinds[i.Kind]++
	}
	return f
}

// asOf is when the last look that worked was made.
func (v *view) asOf() time.Time { return utc(v.snap.At) }
