package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/graph"
	"rebuilder/internal/inventory"
	"rebuilder/internal/patch"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

const lastNodes = 5

// Why tells everything about one image, and where one of its packages comes from when pkg is not empty. pkg may be a source,
// too, or an advisory's id.
func (r *Reader) Why(ctx context.Context, name, pkg string) (Why, error) {
	v, err := r.view(ctx)
	if err != nil {
		return Why{}, err
	}
	img, mistake := v.find(name)
	if mistake != nil {
		return Why{}, mistake
	}
	w := Why{Now: v.now, AsOf: v.asOf(), Image: img, Chain: v.chain(name), Uses: v.uses(name), Built: v.built(name), Patches: v.patches(name), NotDone: []NotDone{}, Last: []Node{}}
	for _, n := range v.notDone[name] {
		w.NotDone = append(w.NotDone, notDoneOf(n))
	}
	last, err := store.LastNodes(ctx, r.Store.Q(), name, lastNodes)
	if err != nil {
		return Why{}, err
	}
	for _, n := range last {
		w.Last = append(w.Last, nodeOf(n))
	}
	w.Waits, w.Disagreements, w.Unlisted, w.Untaken = v.waits(img), v.disagreements(name), v.unlisted(name), v.untaken(name)
	if w.LogTail, err = r.logTail(ctx, last); err != nil {
		return Why{}, err
	}
	if pkg != "" {
		p, err := r.packageWhy(ctx, v, img, w.Chain, pkg)
		if err != nil {
			return Why{}, err
		}
		w.Package = &p
	}
	return w, nil
}

// logTail is the end of the log of the last build, when that failed.
func (r *Reader) logTail(ctx context.Context, last []store.Node) ([]string, error) {
	if len(last) == 0 || last[0].State != store.Failed || last[0].Detail.Build == "" {
		return nil, nil
	}
	b, err := store.GetBuild(ctx, r.Store.Q(), last[0].Detail.Build)
	if err != nil {
		return nil, err
	}
	return b.Detail.LogTail, nil
}

// chain is what the image inherits from, up to what nobody of us builds.
func (v *view) chain(name string) []Link {
	out := []Link{}
	if v.snap.World == nil {
		return out
	}
	g := v.snap.World.Graph
	for len(out) <= g.Len() {
		parent, ok := g.ParentOf(name)
		if !ok {
			return out
		}
		out = append(out, v.link(inherited(g, name, parent)))
		name = parent
	}
	return out
}

// uses are the images that it is built with or copies from.
func (v *view) uses(name string) []Link {
	out := []Link{}
	if v.snap.World == nil {
		return out
	}
	for _, e := range v.snap.World.Graph.Believed(name) {
		if e.Kind != graph.Inherits {
			out = append(out, v.link(e))
		}
	}
	return out
}

// built is what the published image inherits from.
func (v *view) built(name string) []Edge {
	out := []Edge{}
	if v.snap.World == nil {
		return out
	}
	for _, e := range v.snap.World.Graph.Built(name) {
		out = append(out, edgeOf(e))
	}
	return out
}

// inherited is the edge by which an image inherits from its parent: with the strongest evidence, and the line of the recipe
// that names the parent, if one does.
func inherited(g *graph.Graph, child, parent string) (best graph.Edge) {
	where := ""
	for _, e := range g.Parents(child) { // the strongest first
		if e.Parent != parent || e.Kind != graph.Inherits {
			continue
		}
		if best.Parent == "" {
			best = e
		}
		where = cmp.Or(where, e.Where)
	}
	best.Where = cmp.Or(best.Where, where)
	return best
}

// disagreements are where what is known of an image does not fit together, a sentence each.
func (v *view) disagreements(name string) []string {
	var out []string
	if v.snap.World == nil {
		return out
	}
	g := v.snap.World.Graph
	around := []string{name}
	for _, e := range g.Parents(name) {
		around = append(around, e.Parent)
	}
	for _, d := range g.Subgraph(around...).Disagreements() {
		if d.Image == name {
			out = append(out, On(d.Platform, d.Sentence))
		}
	}
	return out
}

func (v *view) link(e graph.Edge) Link {
	l := Link{Edge: edgeOf(e), Standing: "unproven"}
	child, looked := v.fact(e.Child)
	parent, _ := v.fact(e.Parent)
	if parent.Exists() {
		l.ParentDigest, l.ParentSeenAt = parent.Digest.String(), utc(parent.FirstSeen)
	}
	if !looked && e.Kind == graph.Inherits {
		l.Standing, l.Note = claimed(e, l.ParentDigest)
		return l
	}
	switch {
	case e.Kind != graph.Inherits:
		l.Note = "copied files leave no layers that could prove it"
	case child.Unknown != "":
		l.Note = child.Unknown
	case parent.Unknown != "":
		l.Note = parent.Unknown
	case !child.Exists():
		l.Note = e.Child + " has no image yet"
	case !parent.Exists():
		l.Note = e.Parent + " has no image yet"
	case child.StandsOn(parent):
		l.Standing = "proven"
	default:
		l.Standing = "older"
	}
	return l
}

// patches are the newer packages for an image. Those of an application are the ones its bases know, and those that a
// plan brings to it.
func (v *view) patches(name string) []Patch {
	out := []Patch{}
	if v.snap.World == nil {
		return out
	}
	add := func(image string, patches []plan.Patch) {
		for _, p := range patchesOf(image, patches) {
			if !slices.ContainsFunc(out, func(o Patch) bool { return o.Package == p.Package && o.Architecture == p.Architecture }) {
				out = append(out, p)
			}
		}
	}
	f := v.snap.World.Facts
	add(name, f.Bases[name].Patches)
	for _, r := range f.Applications[name].References {
		if r.Kind == graph.Inherits {
			add(r.Base, f.Bases[r.Base].Patches)
		}
	}
	return out
}

// waits says what is waited for; nil when nothing is.
func (v *view) waits(i Image) *Wait {
	if n, ok := v.live[i.Name]; ok {
		return &Wait{For: sentence(n), Since: at(n.Since), Next: at(n.Next), Then: then(n), Who: n.Who, Rollout: n.Rollout, URL: n.Detail.URL}
	}
	w := &Wait{For: i.Sentence, Since: i.Since, Next: i.Next, Who: i.Who, Rollout: i.Rollout, URL: i.URL}
	switch {
	case !i.declared():
		return &Wait{For: "nothing is decided about an image that nobody declared", Then: "looked at like all others once the catalog names it", Who: "who keeps the catalog"}
	case i.State == Behind && v.untaken(i.Name) != nil:
		w.Then = "taken by itself, at the latest"
		return w
	}
	switch i.State {
	case Current:
		return nil
	case Behind:
		w.Then, w.Next = v.start(i)
	case Awaiting:
		w.Then = followed
	case Stuck:
		w.Then = "planned again when its inputs change"
		if !w.Next.IsZero() {
			w.Then = "tried again by itself"
		}
	case Unknown:
		w.Then, w.Next = "looked at again by itself", utc(v.snap.Next)
	}
	return w
}

// start says what is done next about an image for which something newer is available.
func (v *view) start(i Image) (string, time.Time) {
	p := v.snap.Plan
	_, planned := p.Find(i.Name)
	switch {
	case v.observed(i.Name):
		return "nothing by itself: its strategy is observe", time.Time{}
	case !planned:
		return "planned as soon as what it stands on is rebuilt", time.Time{}
	case !v.snap.Catalog.Rollout.Automatic:
		return "started when a person applies the plan: rebuilder plan", time.Time{}
	case p.NotBefore.After(v.now):
		return "started by itself when the settle window is over", utc(p.NotBefore)
	}
	return "started by itself at the next look", utc(v.snap.Next)
}

// packageWhy finds the layer of a package and the image that brought it in.
func (r *Reader) packageWhy(ctx context.Context, v *view, img Image, chain []Link, pkg string) (PackageWhy, error) {
	w := PackageWhy{Name: pkg}
	if id, ok := advisoryID(pkg); ok {
		return r.advisoryWhy(ctx, v, img, chain, id)
	}
	if img.Digest == "" {
		w.Unknown = img.Name + " has no image that could be read: " + img.Sentence
		w.Sentence = w.Unknown
		return w, nil
	}
	inv, found, err := store.GetInventory(ctx, r.Store.Q(), img.Digest)
	if err != nil {
		return w, err
	}
	if !found && !img.declared() {
		w.Unknown = "what is inside " + img.Name + " is not known: " + notLookedInto
		w.Sentence = w.Unknown
		return w, nil
	}
	if !found {
		w.Unknown = "what is inside " + Short(img.Digest) + " was not read yet"
		w.Sentence = w.Unknown
		return w, nil
	}
	have, found := w.find(inv)
	if !found {
		return w, r.packageElsewhere(ctx, v, &w, img, inv)
	}
	w.Installed, w.Version, w.Architecture, w.Source, w.Held = true, have.Version, have.Architecture, have.Source, have.Held
	w.Layer, w.Layers, w.Pins = have.Layer+1, len(inv.DiffIDs), pinsOf(inv, have)
	w.BroughtBy, w.Proven = v.broughtBy(img.Name, chain, have.Layer)
	if w.Proven {
		w.FixedBy = v.lowest(img.Name, chain, w.BroughtBy)
	}
	if err := r.newer(ctx, v, &w, img, chain, have); err != nil {
		return w, err
	}
	if have.Library() {
		w.NewerUnknown = libraryUnwatched
	} else if w.Newer == nil {
		w.NewerUnknown = v.unwatched(img, Found{BroughtBy: w.BroughtBy, Proven: w.Proven, FixedBy: w.FixedBy})
	}
	w.Planned = v.plannedFor(img, w)
	w.Sentence = v.packageSentence(w, img)
	return w, nil
}

// find is the package of that name, or the first of those that are built from a source of that name.
func (w *PackageWhy) find(inv *inventory.Inventory) (have inventory.Package, found bool) {
	if have, found = inv.Package(w.Name); found {
		return have, true
	}
	for _, p := range inv.Packages {
		if p.Source != w.Name {
			continue
		}
		if !found {
			have, found = p, true
		}
		if !slices.Contains(w.Binaries, p.Name) {
			w.Binaries = append(w.Binaries, p.Name)
		}
	}
	return have, found
}

// packageElsewhere says that an image has no such package, and which images have it.
func (r *Reader) packageElsewhere(ctx context.Context, v *view, w *PackageWhy, img Image, inv *inventory.Inventory) error {
	if len(inv.Packages) == 0 {
		w.Unknown = "no packages could be read in " + img.Name
		w.Sentence = w.Unknown
		return nil
	}
	holdings, err := store.Holdings(ctx, r.Store.Q(), w.Name)
	if err != nil {
		return err
	}
	has := map[string]bool{}
	for _, h := range holdings {
		has[h.Digest] = true
	}
	all := v.images()
	for _, i := range all {
		if i.Digest != "" && has[i.Digest] {
			w.In = append(w.In, i.Name)
		}
	}
	w.Sentence = fmt.Sprintf("%s is not among the %s of %s", w.Name, Count(len(inv.Packages), "package"), img.Name)
	if len(w.In) > 0 {
		w.Sentence += fmt.Sprintf("; %s of %s have it", Thousands(len(w.In)), Count(len(all), "image"))
		return nil
	}
	w.Sentence += ", nor of any image that was read"
	near, err := r.near(ctx, w.Name)
	if len(near) > 0 {
		w.Sentence += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return err
}

// plannedFor says what is done about a newer version of a package: by a rollout, by the plan of the last look, or why not.
func (v *view) plannedFor(img Image, w PackageWhy) string {
	if w.Newer == nil {
		return ""
	}
	var said []string
	for _, name := range []string{w.FixedBy, img.Name} {
		if s := v.inPlan(name); s != "" && !slices.Contains(said, s) {
			said = append(said, s)
		}
	}
	return strings.Join(said, "; ")
}

// inPlan says what is done with an image, or why nothing is; empty when there is nothing to say.
func (v *view) inPlan(name string) string {
	if n, ok := v.live[name]; ok {
		return fmt.Sprintf("rollout %s has %s in hand: %s", n.Rollout, name, sentence(n))
	}
	if v.snap.Plan == nil {
		return ""
	}
	if s, ok := v.snap.Plan.Find(name); ok {
		return fmt.Sprintf("plan %s has %s in tier %d (%s)", v.snap.Plan.ID, name, s.Tier+1, s.Action)
	}
	if not := v.notDone[name]; len(not) > 0 {
		return fmt.Sprintf("nothing for %s: %s", name, not[0].Reason)
	}
	return ""
}

// broughtBy walks up as long as the parent's layers are the image's and hold the package's layer. proven is false when
// an image stands on an older parent than today's, whose layers are not known.
func (v *view) broughtBy(name string, chain []Link, layer int) (by string, proven bool) {
	by = name
	for _, l := range chain {
		parent, _ := v.fact(l.Parent)
		if l.Standing != "proven" {
			return by, false
		}
		if layer >= len(parent.DiffIDs) {
			return by, true
		}
		by = l.Parent
	}
	return by, true
}

// newer looks for a version that is not in the image: in the package repositories, or already in an image above it.
func (r *Reader) newer(ctx context.Context, v *view, w *PackageWhy, img Image, chain []Link, have inventory.Package) error {
	if have.Library() {
		return nil
	}
	for _, p := range v.patches(img.Name) {
		if p.Package == have.Name && p.From == have.Version && (p.Architecture == have.Architecture || p.Architecture == "") {
			w.Newer, w.FixedBy = &p, p.FixedBy
			return nil
		}
	}
	for _, l := range chain {
		if l.ParentDigest == "" || l.Standing != "older" {
			continue
		}
		above, found, err := store.GetInventory(ctx, r.Store.Q(), l.ParentDigest)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		i := slices.IndexFunc(above.Packages, func(p inventory.Package) bool {
			return p.Name == have.Name && p.Architecture == have.Architecture && !p.Library()
		})
		if i < 0 {
			continue
		}
		p := above.Packages[i]
		if order, err := patch.Compare(p.Type, p.Version, have.Version); err == nil && order > 0 {
			w.Newer = &Patch{Package: p.Name, Architecture: p.Architecture, Source: p.Source, From: have.Version, To: p.Version, Repository: l.Parent, FixedBy: l.Parent}
			w.FixedBy = l.Parent
			return nil
		}
	}
	return nil
}

func (v *view) packageSentence(w PackageWhy, img Image) string {
	s := fmt.Sprintf("%s has %s %s, in layer %d of %d", img.Name, w.Name, w.Version, w.Layer, w.Layers)
	if len(w.Binaries) > 0 {
		s = fmt.Sprintf("%s is a source: %s has %s of it, %s %s in layer %d of %d", w.Name, img.Name, Count(len(w.Binaries), "package"), w.Binaries[0], w.Version, w.Layer, w.Layers)
	}
	s += whence(img.Name, w.BroughtBy, w.Proven)
	switch {
	case w.Newer == nil && w.NewerUnknown != "":
		s += ". Whether there is a newer version is unknown: " + w.NewerUnknown + "."
	case w.Newer == nil:
		s += ". No newer version is known."
	case w.Newer.Held:
		s += fmt.Sprintf(". %s is published in %s; the image's own rules hold it back.", w.Newer.To, w.Newer.Repository)
	case w.FixedBy == w.Newer.Repository:
		s += fmt.Sprintf(". %s has %s already: rebuilding on it fixes it.", w.FixedBy, w.Newer.To)
	default:
		s += fmt.Sprintf(". %s is published in %s; %s must be rebuilt to bring it in.", w.Newer.To, w.Newer.Repository, w.FixedBy)
	}
	return s
}

// whence says which image brought a layer of an image in.
func whence(image, by string, proven bool) string {
	switch {
	case !proven:
		return "; which image brought it in cannot be proven, since the chain stands on older images than today's"
	case by == image:
		return ", which it brought in itself"
	}
	return ", which is a layer of " + by
}
