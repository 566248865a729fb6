package dockerfile_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"rebuilder/internal/dockerfile"
)

// notBuildable are the files of the corpus that BuildKit refuses, and a part of what it says.
var notBuildable = map[string]string{
	"copy-variable": "variable expansion is not supported for --from",
}

// TestAgreesWithBuildKit converts the corpus as a build would and compares the images that BuildKit then asks for with
// those that Uses calls reachable.
func TestAgreesWithBuildKit(t *testing.T) {
	files, err := filepath.Glob("testdata/corpus/*.Dockerfile")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".Dockerfile")
		if name == "escape-backtick" {
			continue // for Windows, which this conversion does not take
		}
		t.Run(name, func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			args, target := map[string]string(nil), ""
			switch name {
			case "arg-given":
				args = map[string]string{"BASE": "debian:13", "REG": "mirror.example.com", "NOT_DECLARED": "x"}
			case "arg-platform-last":
				args = map[string]string{"TARGETPLATFORM": "linux/arm64"}
			case "target-in-middle":
				target = "RUN"
			}
			want, err := asked(src, args, target)
			if say, ok := notBuildable[name]; ok {
				if err == nil || !strings.Contains(err.Error(), say) {
					t.Fatalf("BuildKit says %v, want %q", err, say)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := reachable(t, src, args, target); !slices.Equal(got, want) {
				t.Errorf("got %q, BuildKit asks for %q", got, want)
			}
		})
	}
}

func reachable(t *testing.T, src []byte, args map[string]string, target string) []string {
	t.Helper()
	f, err := dockerfile.Parse("Dockerfile", src, args)
	if err != nil {
		t.Fatal(err)
	}
	used, err := f.Uses(target)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, u := range used {
		if u.Use == dockerfile.Frontend || u.Use == dockerfile.Unreachable || strings.HasPrefix(string(u.Role), "onbuild-") {
			continue
		}
		ref, err := reference.ParseNormalizedNamed(u.Name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, reference.TagNameOnly(ref).String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// asked returns the images whose configuration BuildKit asks for while it converts a Dockerfile.
func asked(src []byte, args map[string]string, target string) ([]string, error) {
	r := &resolver{}
	caps := pb.Caps.CapSet(pb.Caps.All())
	state := llb.Local("context")
	opt := dockerfile2llb.ConvertOpt{MetaResolver: r, LLBCaps: &caps, MainContext: &state}
	opt.Config = dockerui.Config{Target: target, BuildArgs: args, BuildPlatforms: []ocispecs.Platform{{OS: "linux", Architecture: "amd64"}}}
	if p, ok := args["TARGETPLATFORM"]; ok {
		os, arch, _ := strings.Cut(p, "/")
		opt.TargetPlatform = &ocispecs.Platform{OS: os, Architecture: arch}
		opt.Config.BuildArgs = nil
	}
	if _, err := dockerfile2llb.Dockerfile2LLB(context.Background(), src, opt); err != nil {
		return nil, err
	}
	slices.Sort(r.names)
	return slices.Compact(r.names), nil
}

// resolver answers for every image with one that has a layer, as an empty one would count as scratch.
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
	return ref, digest.FromBytes(config), config, nil
}

func (r *resolver) ResolveSourceMetadata(context.Context, *pb.SourceOp, sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	return nil, errors.New("not asked for here")
}
