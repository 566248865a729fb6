package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/store"
)

// ImageFilter says which images to list; the zero value lists all. Of several values one must fit.
type ImageFilter struct {
	Kinds  []string
	States []string
	Owners []string // "" is for those without one
	On     string   // only what stands on this image, directly or not
	Stale  bool     // only what is not known to be current
}

// Images lists images with what they stand on and how many packages are in them. A value that nothing can have is an
// error with the values that there are.
func (r *Reader) Images(ctx context.Context, f ImageFilter) (Images, error) {
	v, err := r.view(ctx)
	if err != nil {
		return Images{}, err
	}
	all := v.images()
	out := Images{Now: v.now, AsOf: v.asOf(), Fleet: fleet(all), Images: []Listed{}}
	if mistake := f.check(all); mistake != nil {
		return out, mistake
	}
	listed, err := store.Listed(ctx, r.Store.Q())
	if err != nil {
		return out, err
	}
	judged, err := r.verdicts(ctx, all)
	if err != nil {
		return out, err
	}
	on := v.standingOn(f.On)
	for _, i := range all {
		if !f.fits(i) || f.On != "" && !on[i.Name] {
			continue
		}
		l := Listed{Image: i}
		if chain := v.chain(i.Name); len(chain) > 0 {
			l.StandsOn, l.Standing = chain[0].Parent, chain[0].Standing
		}
		if c, ok := listed[i.Digest]; ok && c.Packages > 0 {
			l.Packages = &c.Packages
		}
		if k, ok := judged[i.Digest]; ok {
			l.Verdict = judgedOf(k)
		}
		out.Images = append(out.Images, l)
	}
	return out, nil
}

func (v *view) standingOn(name string) map[string]bool {
	out := map[string]bool{}
	if v.snap.World != nil && name != "" {
		for _, n := range v.snap.World.Graph.Affected(name) {
			out[n] = true
		}
	}
	return out
}

func (f ImageFilter) fits(i Image) bool {
	switch {
	case len(f.Kinds) > 0 && !slices.Contains(f.Kinds, i.Kind):
		return false
	case len(f.States) > 0 && !slices.Contains(f.States, string(i.State)):
		return false
	case len(f.Owners) > 0 && !slices.Contains(f.Owners, i.Owner):
		return false
	}
	return !f.Stale || i.State != Current
}

// check finds values that nothing can have.
func (f ImageFilter) check(all []Image) *Error {
	var owners []string
	for _, i := range all {
		if i.Owner != "" && !slices.Contains(owners, i.Owner) {
			owners = append(owners, i.Owner)
		}
	}
	slices.Sort(owners)
	for _, c := range []struct {
		what   string
		asked  []string
		exists []string
	}{{"kind", f.Kinds, kinds()}, {"state", f.States, text(ImageStates()...)}, {"owner", f.Owners, append(owners, "")}} {
		for _, a := range c.asked {
			if !slices.Contains(c.exists, a) {
				return unknownValue(c.what, a, slices.DeleteFunc(slices.Clone(c.exists), func(s string) bool { return s == "" }))
			}
		}
	}
	if f.On != "" && !slices.ContainsFunc(all, func(i Image) bool { return i.Name == f.On }) {
		return noImage(f.On, all)
	}
	return nil
}

// kinds are those of images.
func kinds() []string { return text(graph.Upstream, graph.Base, graph.Application, graph.Observed) }

func unknownValue(what, asked string, exists []string) *Error {
	hint := "there are: " + strings.Join(exists, ", ")
	if len(exists) == 0 {
		hint = "no image has one"
	}
	if near := catalog.Nearest(asked, exists); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	return badRequest(hint, "no image can have the %s %q", what, asked)
}

func (s *Server) getImages(r *http.Request) (any, error) {
	q := r.URL.Query()
	f := ImageFilter{Kinds: q["kind"], States: q["state"], Owners: q["owner"], On: q.Get("on")}
	var err error
	if f.Stale, err = flag(r, "stale"); err != nil {
		return nil, err
	}
	return s.Images(r.Context(), f)
}

func (s *Server) getAffected(r *http.Request) (any, error) {
	all, err := flag(r, "all")
	if err != nil {
		return nil, err
	}
	return s.Affected(r.Context(), r.URL.Query().Get("of"), all)
}

// flag reads a query parameter that is on or off; off when it is not there.
func flag(r *http.Request, name string) (bool, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return false, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, badRequest("leave it out for 0", "%s=%q: want 1 or 0", name, text)
	}
	return on, nil
}
