package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Description is what an image says of itself, without its layers.
type Description struct {
	Digest    v1.Hash // what the reference points to: index or manifest
	MediaType string
	Platforms []PlatformDescription // sorted by platform; empty for an artifact
	Artifact  string                // what it is when it is no image: the media type of its configuration
	Omitted   int                   // platforms that were not looked at
	Requests  int                   // how many were made, retries left out
}

// PlatformDescription is what an image says of one platform.
type PlatformDescription struct {
	Platform string
	Manifest v1.Hash
	DiffIDs  []v1.Hash // its layers, uncompressed, the lowest first
	// BaseName and BaseDigest are claims: the annotations org.opencontainers.image.base.*.
	BaseName, BaseDigest string
}

const (
	maxPlatforms  = 16   // looked at of one index
	maxAnnotation = 1024 // bytes kept of one
)

// Describe reads the manifests and configurations behind a reference, of all platforms: 1 request for the reference, and 2
// for each platform of an index. No layer is pulled.
//
// errors.Is(err, ErrNotFound) when the repository or the tag is missing.
func (c *Client) Describe(ctx context.Context, ref string) (Description, error) {
	r, err := c.reference(ref)
	if err != nil {
		return Description{}, err
	}
	d, err := c.get(ctx, r)
	if err != nil {
		return Description{}, explain("describe", ref, err)
	}
	got := Description{Digest: d.Digest, MediaType: string(d.MediaType), Requests: 1}
	switch {
	case d.MediaType.IsIndex():
		err = c.describeIndex(ctx, r, d, &got)
	case d.MediaType.IsImage():
		err = describeImage(d, nil, &got)
	default:
		got.Artifact = string(d.MediaType)
	}
	if err != nil {
		return got, explain("describe", ref, err)
	}
	slices.SortFunc(got.Platforms, func(a, b PlatformDescription) int { return strings.Compare(a.Platform, b.Platform) })
	return got, nil
}

func (c *Client) describeIndex(ctx context.Context, r name.Reference, d *remote.Descriptor, got *Description) error {
	idx, err := d.ImageIndex()
	if err != nil {
		return err
	}
	m, err := idx.IndexManifest()
	if err != nil {
		return fmt.Errorf("index %s: %w", d.Digest, err)
	}
	for _, child := range m.Manifests {
		if !child.MediaType.IsImage() || child.Platform != nil && child.Platform.OS == "unknown" {
			continue // attestations and artifacts
		}
		if len(got.Platforms) >= maxPlatforms {
			got.Omitted++
			continue
		}
		one, err := c.get(ctx, digestOf(r, child.Digest))
		got.Requests++
		if err != nil {
			return fmt.Errorf("manifest %s: %w", child.Digest, err)
		}
		if !one.MediaType.IsImage() {
			return fmt.Errorf("manifest %s is a %s, the index says it is a %s", child.Digest, one.MediaType, child.MediaType)
		}
		if err := describeImage(one, m.Annotations, got); err != nil {
			return err
		}
	}
	return nil
}

// describeImage adds a manifest's platform. What the index is annotated with counts where the manifest says nothing.
func describeImage(d *remote.Descriptor, above map[string]string, got *Description) error {
	img, err := checkedImage(d)
	if err != nil {
		return err
	}
	m, err := img.Manifest()
	if err != nil {
		return fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if !m.Config.MediaType.IsConfig() {
		got.Artifact = string(m.Config.MediaType)
		return nil
	}
	cfg, err := img.ConfigFile()
	got.Requests++
	if err != nil {
		return fmt.Errorf("manifest %s: its configuration: %w", d.Digest, err)
	}
	if len(cfg.RootFS.DiffIDs) != len(m.Layers) {
		return fmt.Errorf("manifest %s has %d layers, its configuration %d diff ids", d.Digest, len(m.Layers), len(cfg.RootFS.DiffIDs))
	}
	if cfg.OS == "" || cfg.Architecture == "" {
		return errors.New("manifest " + d.Digest.String() + ": its configuration names no platform")
	}
	annotation := func(key string) string {
		return cut(or(m.Annotations[key], above[key]))
	}
	got.Platforms = append(got.Platforms, PlatformDescription{
		Platform: normal(v1.Platform{OS: cfg.OS, Architecture: cfg.Architecture, Variant: cfg.Variant}).String(),
		Manifest: d.Digest, DiffIDs: cfg.RootFS.DiffIDs,
		BaseName: annotation("org.opencontainers.image.base.name"), BaseDigest: annotation("org.opencontainers.image.base.digest"),
	})
	return nil
}

func cut(s string) string { return s[:min(len(s), maxAnnotation)] }
