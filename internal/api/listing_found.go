package api

import (
	"context"
	"fmt"
	"strings"

	"rebuilder/internal/graph"
	"rebuilder/internal/observe"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// declared says that the catalog has an entry for images of a kind.
func declared(k graph.Kind) bool {
	return k == graph.Upstream || k == graph.Base || k == graph.Application
}

// notLookedInto is why the contents of an image that was found are not known.
const notLookedInto = "nobody declared it, so that what is inside is not read"

func (i Image) declared() bool { return declared(graph.Kind(i.Kind)) }

// found is what discovery knows of the images of the graph that nobody declared; nothing when there is none.
func (r *Reader) found(ctx context.Context, w *observe.World) (map[string]store.Observed, error) {
	out := map[string]store.Observed{}
	if w == nil {
		return out, nil
	}
	for _, n := range w.Graph.Nodes() {
		if !declared(n.Kind) {
			out[n.Name] = store.Observed{}
		}
	}
	if len(out) == 0 {
		return out, nil
	}
	all, err := store.ObservedAll(ctx, r.Store.Q())
	for _, o := range all {
		if _, ok := out[o.Name]; ok && o.GoneAt == 0 {
			out[o.Name] = o
		}
	}
	return out, err
}

// undeclared are the images of the graph that the catalog does not name, by name. Nothing is decided about what nobody
// declared, so that how they are is never known to be fine.
func (v *view) undeclared() []Image {
	var out []Image
	if v.snap.World == nil {
		return out
	}
	for _, n := range v.snap.World.Graph.Nodes() {
		if declared(n.Kind) {
			continue
		}
		o := v.found[n.Name]
		i := Image{Name: n.Name, Kind: string(n.Kind)}
		if o.Kind == store.ObservedImage {
			i.Reference, i.Digest, i.SeenAt = o.Name, o.Digest, at(o.ChangedAt)
		}
		out = append(out, i.is(Unknown, v.foundSentence(n.Name, o)))
	}
	return out
}

// foundSentence says where an image was found, and what is known of what it stands on.
func (v *view) foundSentence(name string, o store.Observed) string {
	said := []string{"declared by nobody"}
	if o.Place != "" {
		said[0] = "found in " + o.Place + ", declared by nobody"
	}
	if o.State != "" {
		said = append(said, "it is "+o.State)
	}
	for _, e := range v.snap.World.Graph.Built(name) {
		parent, _ := v.fact(e.Parent)
		standing, note := claimed(e, parent.Digest.String())
		switch standing {
		case "proven":
			note = "its layers are those of " + e.Parent + " as it is now"
		case "older":
			note = "its layers are those of an older " + e.Parent
		}
		said = append(said, On(e.Platform, note))
	}
	if o.Unknown != "" {
		said = append(said, o.Unknown)
	}
	return strings.Join(said, "; ")
}

// onDigest says what an image that nobody declared has to do with a digest, as far as its layers and claims go; empty when
// they say nothing of it.
func (v *view) onDigest(img Image, on plan.Image) string {
	for _, e := range v.snap.World.Graph.Built(img.Name) {
		parent, _ := v.fact(e.Parent)
		through := e.Digest != "" && e.Digest == parent.Digest.String() && parent.StandsOn(on)
		switch {
		case e.Digest != on.Digest.String() && !through:
			continue
		case e.Evidence == graph.FromLayers:
			return On(e.Platform, "stands on it, proven by its layers")
		}
		return On(e.Platform, fmt.Sprintf("stands on it, as its %s claims", e.Evidence))
	}
	return ""
}

// claimed says how an image that is not looked into stands on its parent, as far as the evidence goes.
func claimed(e graph.Edge, now string) (standing, note string) {
	switch {
	case e.Evidence != graph.FromLayers:
		return "unproven", fmt.Sprintf("only its %s says that it stands on %s", e.Evidence, e.Parent)
	case e.Digest == "":
		return "unproven", "its layers are those of " + e.Parent + ", of which digest is not known"
	case e.Digest == now:
		return "proven", ""
	}
	return "older", ""
}
