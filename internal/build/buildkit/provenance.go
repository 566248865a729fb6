package buildkit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/content/proxy"
	"github.com/containerd/platforms"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"rebuilder/internal/build"
)

// maxBlob bounds what is read back from the engine: a manifest, a config, a provenance.
const maxBlob = 16 << 20

// provenance reads the SLSA v1 predicate of a finished build from the engine's history. BuildKit keeps one for each
// build, asked for or not; it forgets after some fifty builds.
func provenance(ctx context.Context, c *client.Client, ref string) ([]byte, []build.Material, error) {
	stream, err := c.ControlClient().ListenBuildHistory(ctx, &controlapi.BuildHistoryRequest{Ref: ref, EarlyExit: true})
	if err != nil {
		return nil, nil, fmt.Errorf("read build history: %w", err)
	}
	for {
		ev, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, nil, fmt.Errorf("build history has no provenance of %s", ref)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read build history: %w", err)
		}
		if ev.Record.GetRef() != ref || len(ev.Record.GetResult().GetAttestations()) == 0 {
			continue
		}
		a := ev.Record.Result.Attestations[0]
		predicate, err := readBlob(ctx, c, ocispecs.Descriptor{Digest: digest.Digest(a.Digest), Size: a.Size})
		if err != nil {
			return nil, nil, fmt.Errorf("read provenance: %w", err)
		}
		materials, err := parseMaterials(predicate)
		return predicate, materials, err
	}
}

func parseMaterials(predicate []byte) ([]build.Material, error) {
	var p struct {
		BuildDefinition struct {
			ResolvedDependencies []build.Material `json:"resolvedDependencies"`
		} `json:"buildDefinition"`
	}
	if err := json.Unmarshal(predicate, &p); err != nil {
		return nil, fmt.Errorf("parse provenance: %w", err)
	}
	return p.BuildDefinition.ResolvedDependencies, nil
}

// checkPlatform compares what was built with what was asked for: BuildKit builds on a base of another platform
// without a word.
func checkPlatform(ctx context.Context, c *client.Client, response map[string]string, want string) error {
	if want == "" {
		return nil
	}
	p, err := platforms.Parse(want)
	if err != nil {
		return fmt.Errorf("platform %q: %w", want, err)
	}
	got, err := resultPlatform(ctx, c, response)
	if err != nil {
		return fmt.Errorf("read the built image's platform: %w", err)
	}
	if !platforms.OnlyStrict(p).Match(got) {
		return fmt.Errorf("the built image is for %s, not for %s: is its base?", platforms.Format(got), want)
	}
	return nil
}

func resultPlatform(ctx context.Context, c *client.Client, response map[string]string) (ocispecs.Platform, error) {
	var desc ocispecs.Descriptor
	b, err := base64.StdEncoding.DecodeString(response[exptypes.ExporterImageDescriptorKey])
	if err != nil {
		return ocispecs.Platform{}, err
	}
	if err := json.Unmarshal(b, &desc); err != nil {
		return ocispecs.Platform{}, err
	}
	var manifest ocispecs.Manifest
	if err := readJSON(ctx, c, desc, &manifest); err != nil {
		return ocispecs.Platform{}, err
	}
	var config ocispecs.Image
	err = readJSON(ctx, c, manifest.Config, &config)
	return config.Platform, err
}

func readJSON(ctx context.Context, c *client.Client, desc ocispecs.Descriptor, v any) error {
	b, err := readBlob(ctx, c, desc)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func readBlob(ctx context.Context, c *client.Client, desc ocispecs.Descriptor) ([]byte, error) {
	if desc.Size > maxBlob {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", desc.Digest, desc.Size, maxBlob)
	}
	return content.ReadBlob(ctx, proxy.NewContentStore(c.ContentClient()), desc)
}
