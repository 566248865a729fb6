package dockerfile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	distribution "github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestAgreesWithBuildKit converts the corpus as a build would and compares the images that BuildKit then asks for with
// those that Uses calls reachable.
func TestAgreesWithBuildKit(t *testing.T) {
	for _, s := range corpus(t) {
		t.Run(s.name, func(t *testing.T) {
			want, err := asked(s)
			if s.refused != "" {
				if err == nil || !strings.Contains(err.Error(), s.refused) {
					t.Fatalf("BuildKit says %v, want %q", err, s.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := reachable(t, s); !slices.Equal(got, want) {
				t.Errorf("got %q, BuildKit asks for %q", got, want)
			}
		})
	}
}

// FuzzAgreesWithBuildKit: what BuildKit builds, Parse reads, and both reach the same images.
func FuzzAgreesWithBuildKit(f *testing.F) {
	for _, s := range corpus(f) {
		f.Add(s.src, s.target)
	}
	f.Fuzz(func(t *testing.T, src []byte, target string) {
		s := sample{name: "fuzz", src: src, target: target}
		file, err := Parse("Dockerfile", src, nil)
		if err != nil && strings.Contains(err.Error(), "too long") || bytes.Contains(src, []byte("SOURCE_DATE_EPOCH")) {
			return
		}
		want, refused := asked(s)
		if refused != nil || file != nil && len(file.Stages) > 100 {
			return
		}
		if err != nil {
			t.Fatalf("BuildKit builds it, but %v", err)
		}
		if got := reachable(t, s); !slices.Equal(got, want) {
			t.Errorf("got %q, BuildKit asks for %q", got, want)
		}
	})
}

// reachable are the images that the target of a sample needs, normalized as BuildKit asks for them. What an ONBUILD names
// counts if a stage that is built is FROM the one it stands in.
func reachable(t *testing.T, s sample) []string {
	t.Helper()
	f := s.parse(t)
	at, err := f.Target(s.target)
	if err != nil {
		t.Fatal(err)
	}
	used, err := f.Uses(s.target)
	if err != nil {
		t.Fatal(err)
	}
	if f, err = f.built(s.target); err != nil {
		t.Fatal(err)
	}
	_, reached := f.reach(at)
	fires := map[int]bool{}
	for i, stage := range f.Stages {
		if reached[i] {
			fires[stage.Parent] = true
		}
	}
	var out []string
	for _, u := range used {
		if u.Use == Frontend || u.Use == Unreachable || u.onbuild() && !fires[u.StageIndex] {
			continue
		}
		ref, err := distribution.ParseNormalizedNamed(u.Name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, distribution.TagNameOnly(ref).String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// asked returns the images whose configuration BuildKit asks for while it converts a Dockerfile.
func asked(s sample) ([]string, error) {
	r := &resolver{}
	caps := pb.Caps.CapSet(pb.Caps.All())
	state := llb.Local("context")
	opt := dockerfile2llb.ConvertOpt{MetaResolver: r, LLBCaps: &caps, MainContext: &state}
	opt.Config = dockerui.Config{Target: s.target, BuildArgs: maps.Clone(s.args), BuildPlatforms: []ocispecs.Platform{{OS: "linux", Architecture: "amd64"}}}
	if p, ok := s.args["TARGETPLATFORM"]; ok {
		os, arch, _ := strings.Cut(p, "/")
		opt.TargetPlatform = &ocispecs.Platform{OS: os, Architecture: arch}
		delete(opt.BuildArgs, "TARGETPLATFORM")
	}
	built, err := dockerfile2llb.Dockerfile2LLB(context.Background(), s.src, opt)
	if err != nil {
		return nil, err
	}
	sources, err := imagesOf(built.State)
	if err != nil {
		return nil, err
	}
	names := append(r.names, sources...)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// imagesOf returns the images of a build's graph. Those whose configuration BuildKit asks for are not all: of what a
// stage that is reached by an ONBUILD alone copies from, it takes the files and never looks at the configuration.
func imagesOf(s llb.State) ([]string, error) {
	def, err := s.Marshal(context.Background(), llb.LinuxAmd64)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, dt := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			return nil, err
		}
		if name, ok := strings.CutPrefix(op.GetSource().GetIdentifier(), "docker-image://"); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// resolver answers for every image with one that has a layer, as an empty one would count as scratch, and without a
// digest, which would become a part of the image's name.
type resolver struct {
	mu    sync.Mutex
	names []string
}

func (r *resolver) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = append(r.names, ref)
	layer := digest.FromString("layer")
	config, err := json.Marshal(ocispecs.Image{
		Platform: ocispecs.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   ocispecs.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer}},
	})
	if err != nil {
		return "", "", nil, err
	}
	return ref, "", config, nil
}

func (r *resolver) ResolveSourceMetadata(context.Context, *pb.SourceOp, sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	return nil, errors.New("not asked for here")
}
