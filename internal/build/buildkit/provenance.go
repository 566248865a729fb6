package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/content/proxy"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	provenancetypes "github.com/moby/buildkit/solver/llbsolver/provenance/types"
	"github.com/moby/buildkit/util/purl"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"rebuilder/internal/build"
)

// maxBlob bounds what is read back from the engine: manifests, configs, provenances.
const maxBlob = 16 << 20

// provenance reads the SLSA v1 predicate of a finished build from the engine's history. BuildKit keeps one for each
// build, asked for or not; it forgets after some fifty builds.
func provenance(ctx context.Context, c *client.Client, ref string) ([]byte, error) {
	stream, err := c.ControlClient().ListenBuildHistory(ctx, &controlapi.BuildHistoryRequest{Ref: ref, EarlyExit: true})
	if err != nil {
		return nil, fmt.Errorf("read build history: %w", err)
	}
	for {
		ev, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("build history has no provenance of %s", ref)
		}
		if err != nil {
			return nil, fmt.Errorf("read build history: %w", err)
		}
		if ev.Record.GetRef() != ref || len(ev.Record.GetResult().GetAttestations()) == 0 {
			continue
		}
		predicate, err := readBlob(ctx, c, digest.Digest(ev.Record.Result.Attestations[0].Digest))
		if err != nil {
			return nil, fmt.Errorf("read provenance: %w", err)
		}
		return predicate, nil
	}
}

// predicate is what we need of a SLSA v1 predicate.
type predicate struct {
	BuildDefinition struct {
		ResolvedDependencies []build.Material `json:"resolvedDependencies"`
		InternalParameters   struct {
			BuildConfig struct {
				Definition []provenancetypes.BuildStep `json:"llbDefinition"`
			} `json:"buildConfig"`
		} `json:"internalParameters"`
	} `json:"buildDefinition"`
}

func parseProvenance(b []byte) (*predicate, error) {
	p := &predicate{}
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("parse provenance: %w", err)
	}
	return p, nil
}

// materials are what the build took, and apart from it what its RUN steps fetched: that is in the provenance beside what
// ADD named, and is no source of the build's definition.
func (p *predicate) materials() (taken, fetched []build.Material) {
	named := map[string]bool{}
	for _, st := range p.BuildDefinition.InternalParameters.BuildConfig.Definition {
		if s := st.Op.GetSource(); s != nil {
			named[s.Identifier] = true
		}
	}
	for _, m := range p.BuildDefinition.ResolvedDependencies {
		web := strings.HasPrefix(m.URI, "http://") || strings.HasPrefix(m.URI, "https://")
		if web && m.Digest["sha1"] == "" && !named[m.URI] { // a commit has a sha1
			fetched = append(fetched, m)
		} else {
			taken = append(taken, m)
		}
	}
	return taken, fetched
}

// checkPlatforms compares each image that was used with the platform it was used as: BuildKit takes an image of another
// platform without a word and labels the result as asked for.
func checkPlatforms(ctx context.Context, c *client.Client, materials []build.Material) error {
	for _, m := range materials {
		ref, want := imageMaterial(m)
		if want == nil {
			continue
		}
		got, err := imageConfig(ctx, c, m.Digest["sha256"])
		if err != nil {
			return fmt.Errorf("read the platform of %s: %w", ref, err)
		}
		if got != nil && got.Architecture != "" && !platforms.OnlyStrict(*want).Match(got.Platform) {
			return fmt.Errorf("%s is for %s, not for %s", ref, platforms.Format(got.Platform), platforms.Format(*want))
		}
	}
	return nil
}

// checkResult makes sure that what was made is for the platform that was asked for, and stands on no image that was taken for
// another: a Dockerfile may name one in FROM, and the label says nothing of it.
func checkResult(ctx context.Context, c *client.Client, made v1.Hash, platform string, materials []build.Material) error {
	want, err := platforms.Parse(platform)
	if err != nil {
		return fmt.Errorf("platform %q: %w", platform, err)
	}
	got, err := imageConfig(ctx, c, made.Hex)
	if err != nil || got == nil {
		return err
	}
	if !platforms.OnlyStrict(want).Match(got.Platform) {
		return fmt.Errorf("what was built is for %s, not for %s", platforms.Format(got.Platform), platforms.Format(want))
	}
	for _, m := range materials {
		ref, taken := imageMaterial(m)
		if taken == nil || platforms.OnlyStrict(want).Match(*taken) {
			continue
		}
		below, err := imageConfig(ctx, c, m.Digest["sha256"])
		if err != nil {
			return fmt.Errorf("read the layers of %s: %w", ref, err)
		}
		if below != nil && standsOn(got.RootFS.DiffIDs, below.RootFS.DiffIDs) {
			return fmt.Errorf("what was built for %s stands on %s for %s: look for FROM --platform in the Dockerfile", platforms.Format(want), ref, platforms.Format(*taken))
		}
	}
	return nil
}

func standsOn(layers, below []digest.Digest) bool {
	return len(below) > 0 && len(layers) >= len(below) && slices.Equal(layers[:len(below)], below)
}

// imageMaterial is the reference of a material that is an image, and the platform it was taken for, which is nil for others.
func imageMaterial(m build.Material) (ref string, taken *ocispecs.Platform) {
	if !strings.HasPrefix(m.URI, "pkg:docker/") || m.Digest["sha256"] == "" {
		return "", nil
	}
	ref, taken, err := purl.PURLToRef(m.URI)
	if err != nil {
		return "", nil
	}
	return ref, taken
}

// imageConfig is what the image says of itself. It is nil for an index, which was searched for the platform, and where it is
// not kept.
func imageConfig(ctx context.Context, c *client.Client, hex string) (*ocispecs.Image, error) {
	var manifest ocispecs.Manifest
	if err := readJSON(ctx, c, digest.NewDigestFromEncoded(digest.SHA256, hex), &manifest); err != nil {
		return nil, notKept(err)
	}
	if manifest.Config.Digest == "" {
		return nil, nil
	}
	config := &ocispecs.Image{}
	if err := readJSON(ctx, c, manifest.Config.Digest, config); err != nil {
		return nil, notKept(err)
	}
	return config, nil
}

func notKept(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

func readJSON(ctx context.Context, c *client.Client, d digest.Digest, v any) error {
	b, err := readBlob(ctx, c, d)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func readBlob(ctx context.Context, c *client.Client, d digest.Digest) ([]byte, error) {
	store := proxy.NewContentStore(c.ContentClient())
	info, err := store.Info(ctx, d)
	if err != nil {
		return nil, err
	}
	if info.Size > maxBlob {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", d, info.Size, maxBlob)
	}
	return content.ReadBlob(ctx, store, ocispecs.Descriptor{Digest: d, Size: info.Size})
}
