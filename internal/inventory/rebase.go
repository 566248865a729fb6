package inventory

import (
	"archive/tar"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// Overlap is why an image was not put on another base: what it changed and what the base changed is not apart.
type Overlap struct {
	// Paths are some of those that both have changed, or that would come out otherwise, in order; More counts the rest.
	Paths []string
	More  int
	// Config names what the two bases start a container with that differs: the image has it from the old one.
	Config []string
}

const maxOverlap = 5 // paths that are named

func (e *Overlap) Error() string {
	if len(e.Config) > 0 {
		return "the new base has another " + strings.Join(e.Config, ", ") + " than the old one: the image has the old one's"
	}
	s := "both the image and the new base have changed " + strings.Join(e.Paths, ", ")
	if e.More > 0 {
		s += fmt.Sprintf(" and %d more", e.More)
	}
	return s
}

// Temporary says no: the same three images overlap again.
func (e *Overlap) Temporary() bool { return false }

// Rebase puts the layers that img has on top of old onto new, building nothing. It reads all files of all of them, and
// returns *Overlap unless it is proven that this comes to what it should: no path that the image's own layers have set or
// deleted differs between the bases, every other path is as new has it, and the bases start containers alike.
// What differs between any two builds, as logs do, does not count. The images must be of one platform.
//
// Files alone are compared: that a program runs with a new library as with the old one is for tests to say.
func Rebase(ctx context.Context, img, old, new v1.Image, platform string, opts ...Option) (v1.Image, error) {
	o := options{limits: defaultLimits()}
	for _, set := range opts {
		set(&o)
	}
	var was, is, base *merged
	for _, m := range []struct {
		what string
		img  v1.Image
		to   **merged
	}{{"the old base", old, &was}, {"the new base", new, &base}, {"the image", img, &is}} {
		var err error
		if *m.to, err = merge(ctx, m.img, platform, o); err != nil {
			return nil, fmt.Errorf("%s: %w", m.what, err)
		}
	}
	if differs := configDiffers(was.config, base.config); len(differs) > 0 {
		return nil, &Overlap{Config: differs}
	}
	out, err := mutate.Rebase(img, old, new)
	if err != nil {
		return nil, err
	}
	got, err := merge(ctx, out, platform, o)
	if err != nil {
		return nil, fmt.Errorf("the result: %w", err)
	}
	c := rebasing{own: was.layers}
	c.compare("", was.root, base.root, is.root, got.root)
	if c.count > 0 {
		return nil, &Overlap{Paths: c.paths, More: c.count - len(c.paths)}
	}
	return out, nil
}

// merged is the file system of an image.
type merged struct {
	*tree
	config *v1.ConfigFile
	layers int
}

func merge(ctx context.Context, img v1.Image, platform string, o options) (*merged, error) {
	cfg, err := configFile(img)
	if err != nil {
		return nil, err
	}
	if _, err := checkPlatform(cfg, platform); err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	if len(layers) != len(cfg.RootFS.DiffIDs) || len(layers) > maxLayers {
		return nil, fmt.Errorf("%d layers, %d diff ids: at most %d, and as many of both", len(layers), len(cfg.RootFS.DiffIDs), maxLayers)
	}
	t := newTree(o.limits)
	defer t.spool.close()
	for i, l := range layers {
		if err := t.apply(ctx, l, i, cfg.RootFS.DiffIDs[i]); err != nil {
			return nil, fmt.Errorf("layer %d (%s): %w", i, cfg.RootFS.DiffIDs[i], err)
		}
	}
	return &merged{t, cfg, len(layers)}, nil
}

// configDiffers names the fields in which two bases start containers otherwise.
func configDiffers(a, b *v1.ConfigFile) (fields []string) {
	x, y := reflect.ValueOf(normalConfig(a)), reflect.ValueOf(normalConfig(b))
	for i := range x.NumField() {
		if fx, fy := x.Field(i), y.Field(i); !(unset(fx) && unset(fy)) && !reflect.DeepEqual(fx.Interface(), fy.Interface()) {
			fields = append(fields, x.Type().Field(i).Name)
		}
	}
	return fields
}

// unset says that a field says nothing: a list without elements says no more than none.
func unset(v reflect.Value) bool {
	return v.IsZero() || (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0
}

// rebasing compares four file systems: of the old base, of the new one, of the image, and of the result.
type rebasing struct {
	own   int // layers from this one on are the image's own
	paths []string
	count int
}

func (c *rebasing) compare(at string, was, base, is, got *node) {
	names := map[string]bool{}
	for _, n := range []*node{was, base, is, got} {
		for name := range n.below() {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		p := at + "/" + name
		w, b, i, g := was.child(name), base.child(name), is.child(name), got.child(name)
		if !volatile(p) && !c.right(w, b, i, g) {
			if c.count++; len(c.paths) < maxOverlap {
				c.paths = append(c.paths, p)
			}
			continue // what is below follows from it
		}
		c.compare(p, w, b, i, g)
	}
}

// right says that one path of the result is as it should be. Its nodes are nil where there is no such path.
func (c *rebasing) right(was, base, is, got *node) bool {
	switch {
	case is != nil && is.layer >= c.own: // the image has set it
		return alike(was, base) && alike(is, got)
	case was != nil && is == nil: // the image has deleted it
		return alike(was, base) && got == nil
	}
	return alike(base, got)
}

// alike says that two files, apart from what is below them, are the same; neither may be there.
func alike(a, b *node) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := a.more(), b.more()
	return a.typ == b.typ && a.mode == b.mode && a.uid == b.uid && a.gid == b.gid && (a.typ != tar.TypeReg || a.sum == b.sum) &&
		x.link == y.link && x.dev == y.dev && x.capability == y.capability
}

func (n *node) below() map[string]*node {
	if n == nil {
		return nil
	}
	return n.children
}

func (n *node) child(name string) *node { return n.below()[name] }
