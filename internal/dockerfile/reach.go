package dockerfile

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	distribution "github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// image is an image as BuildKit asks for it: its whole name and its platform.
type image struct{ name, platform string }

// answer is what BuildKit says that a target needs.
type answer struct {
	images   map[image]bool
	inherits image // what it stands on; none for scratch
}

// ask has BuildKit convert the file as a build of target would, with registries that know every image and the ONBUILDs
// of some. The answer is exact for what the file says: images of which BuildKit reads the configuration, and those of
// which it takes files alone, which are seen only in the graph of the build.
//
// An error says why a build would fail, too. What it costs is bounded before, by afford: nothing in here waits.
func (f *File) ask(target string, triggers Triggers) (*answer, error) {
	platform, err := platforms.Parse(f.platform())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	builder, err := platforms.Parse(cmp.Or(f.args["BUILDPLATFORM"], defaultPlatform))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	args := maps.Clone(f.args)
	delete(args, targetPlatform)
	caps := pb.Caps.CapSet(pb.Caps.All())
	files := llb.Local("context")
	registries := &resolver{triggers: triggers, images: map[image]bool{}}
	built, err := dockerfile2llb.Dockerfile2LLB(context.Background(), f.src, dockerfile2llb.ConvertOpt{
		Config:      dockerui.Config{Target: target, BuildArgs: args, BuildPlatforms: []ocispecs.Platform{builder}},
		MainContext: &files, TargetPlatform: &platform, MetaResolver: registries, LLBCaps: &caps,
	})
	if err != nil {
		return nil, whereIn(f.Path, err)
	}
	if err := registries.addSources(built.State, platform); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	a := &answer{images: registries.images}
	if built.BaseImage != nil {
		a.inherits = image{built.BaseImage.Author, platforms.Format(built.BaseImage.Platform)}
	}
	return a, nil
}

// resolver answers for every image with one that has a layer, as an empty one would count as scratch, and without a
// digest, which would become a part of the image's name. That name is the author of the image, so that it can be told
// which one a target stands on.
type resolver struct {
	triggers Triggers

	mu     sync.Mutex
	images map[image]bool
}

func (r *resolver) ResolveImageConfig(_ context.Context, name string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	if opt.ImageOpt == nil || opt.ImageOpt.Platform == nil {
		return "", "", nil, fmt.Errorf("%s is asked for without a platform", name)
	}
	platform := *opt.ImageOpt.Platform
	r.mu.Lock()
	r.images[image{name, platforms.Format(platform)}] = true
	r.mu.Unlock()
	config, err := json.Marshal(ocispecs.Image{
		Author:   name,
		Platform: platform,
		RootFS:   ocispecs.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString("layer")}},
	})
	if on := r.triggers.of(name); err == nil && len(on) > 0 {
		config, err = withTriggers(config, on)
	}
	return name, "", config, err
}

// withTriggers adds ONBUILDs to a configuration: OCI has no field for them.
func withTriggers(config []byte, on []string) ([]byte, error) {
	fields := map[string]any{}
	if err := json.Unmarshal(config, &fields); err != nil {
		return nil, err
	}
	fields["config"] = map[string]any{"OnBuild": on}
	return json.Marshal(fields)
}

func (r *resolver) ResolveSourceMetadata(context.Context, *pb.SourceOp, sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	return nil, errors.New("only a build can ask for this source")
}

// addSources adds the images of a build's graph.
func (r *resolver) addSources(s llb.State, platform ocispecs.Platform) error {
	def, err := s.Marshal(context.Background(), llb.Platform(platform))
	if err != nil {
		return err
	}
	for _, dt := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			return err
		}
		if name, ok := strings.CutPrefix(op.GetSource().GetIdentifier(), "docker-image://"); ok {
			r.images[image{name, platforms.Format(op.Platform.Spec())}] = true
		}
	}
	return nil
}

// Triggers are the ONBUILDs that images hold, by their references as a Dockerfile may spell them: what is not known is
// left out, and fires nothing.
type Triggers map[string][]string

func (t Triggers) of(name string) []string {
	for spelt, on := range t {
		if whole(spelt) == name {
			return on
		}
	}
	return nil
}

// whole is a reference as BuildKit asks registries for it; one that is none stays as it is.
func whole(name string) string {
	ref, err := distribution.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return distribution.TagNameOnly(ref).String()
}

// settle has BuildKit decide which images are reached, and by which of them the target stands. What this package found
// says where: the file's line and bytes, and whether they can be rewritten.
func (a *answer) settle(own []Used) []Used {
	placed := map[image]bool{}
	for i := range own {
		u := &own[i]
		switch im := u.image(); {
		case u.Use == Frontend || u.Use == Unreachable:
		case a.images[im]:
			placed[im] = true
		case !u.onbuild(): // an ONBUILD's image is reached by what is built on this one
			u.Use = Unreachable
		}
	}
	var missing []image
	for im := range a.images {
		if !placed[im] {
			missing = append(missing, im)
		}
	}
	slices.SortFunc(missing, func(x, y image) int {
		return cmp.Or(strings.Compare(x.name, y.name), strings.Compare(x.platform, y.platform))
	})
	for _, im := range missing {
		own = im.place(own)
	}
	return a.standOn(own)
}

// place finds the references to an image that were thought to be out of reach, or adds one that stands nowhere.
func (im image) place(own []Used) []Used {
	found := false
	for i := range own {
		u := &own[i]
		if u.Use != Unreachable || u.image() != im {
			continue
		}
		found = true
		if u.Use = CopiesFrom; u.Role == From {
			u.Use = BuildsWith
		}
	}
	if found {
		return own
	}
	return append(own, Used{Reference{
		Raw: im.name, Name: im.name, Platform: im.platform, StageIndex: -1,
		Why: "no line of the file names it: BuildKit reaches it by an ONBUILD of what the file is built on, or in a way that is not known here",
	}, CopiesFrom})
}

// standOn corrects which reference the target inherits from.
func (a *answer) standOn(own []Used) []Used {
	stands := false
	for i := range own {
		u := &own[i]
		if u.Use != Inherits {
			continue
		}
		if u.image() == a.inherits {
			stands = true
		} else {
			u.Use = BuildsWith
		}
	}
	for i := range own {
		if u := &own[i]; !stands && u.image() == a.inherits && (u.Use == BuildsWith || u.Role == "") {
			u.Use = Inherits
		}
	}
	return own
}

// image is what a reference is to BuildKit.
func (r Reference) image() image { return image{whole(r.Name), r.Platform} }
