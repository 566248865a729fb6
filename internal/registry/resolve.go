package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Resolved is what a reference stands for now.
type Resolved struct {
	// Index is the digest of the image index behind the reference; zero when a plain manifest is behind it.
	Index v1.Hash
	// Manifest is the digest of the platform's manifest. This is the digest to pin: an index gets a new one with
	// each attestation. It is zero when no platform was asked for and an index is behind the reference.
	Manifest v1.Hash
	// Platforms are all there are, sorted; empty when no platform was asked for.
	Platforms []string
	// Manifests are the digests of all platforms' manifests; empty when no platform was asked for. Of several for one
	// platform, as for versions of Windows, it is the index's first.
	Manifests map[string]v1.Hash
	// Size and MediaType are those of the document named by Manifest, or by Index when Manifest is zero.
	Size      int64
	MediaType string
}

// Digest is what the reference itself points to: the index if there is one.
func (r Resolved) Digest() v1.Hash {
	if r.Index != (v1.Hash{}) {
		return r.Index
	}
	for _, only := range r.Manifests {
		return only
	}
	return r.Manifest
}

// Has says that there is an image for a platform ("linux/amd64").
func (r Resolved) Has(platform string) bool {
	want, err := parsePlatform(platform)
	return err == nil && slices.ContainsFunc(r.Platforms, func(s string) bool {
		p, err := v1.ParsePlatform(s)
		return err == nil && p.Satisfies(want)
	})
}

// Digest returns what a tag or digest points to now, index or manifest, by one HEAD request. The zero hash, and no
// error, means that nothing is there.
func (c *Client) Digest(ctx context.Context, ref string) (v1.Hash, error) {
	r, err := c.reference(ref)
	if err != nil {
		return v1.Hash{}, err
	}
	d, err := c.head(ctx, r)
	switch {
	case err == nil:
		return d.Digest, nil
	case status(err) == http.StatusNotFound:
		return v1.Hash{}, nil
	}
	return v1.Hash{}, explain("look up", ref, err)
}

// Resolve finds the manifest of a platform ("linux/amd64") behind a tag or a digest. With an empty platform only the
// reference itself is looked up. The answer to a digest seen before costs one HEAD request.
//
// errors.Is(err, ErrNotFound) when the repository, the tag or the platform is missing; where only the platform is, the
// answer has the others.
func (c *Client) Resolve(ctx context.Context, ref, platform string) (Resolved, error) {
	r, err := c.reference(ref)
	if err != nil {
		return Resolved{}, err
	}
	want, err := parsePlatform(platform)
	if err != nil {
		return Resolved{}, fmt.Errorf("resolve %s: %w", ref, err)
	}
	head, err := c.head(ctx, r)
	if err != nil {
		return Resolved{}, explain("resolve", ref, err)
	}
	if platform == "" {
		return unselected(head), nil
	}
	key := resolvedKey{head.Digest, platform}
	if got, ok := c.resolved.get(key); ok {
		return got, nil
	}
	got, err := c.selectPlatform(ctx, digestOf(r, head.Digest), want)
	if err != nil {
		return got, explain("resolve", ref, err)
	}
	c.resolved.put(key, got)
	return got, nil
}

// head asks for the descriptor only; registries that cannot answer that are asked for the whole manifest.
func (c *Client) head(ctx context.Context, r name.Reference) (d *v1.Descriptor, err error) {
	err = c.do(func(p *remote.Puller, _ *remote.Pusher) error {
		if d, err = p.Head(ctx, r); err == nil || !headless(err) {
			return err
		}
		whole, err := p.Get(ctx, r)
		if err == nil {
			d = &whole.Descriptor
		}
		return err
	})
	return d, err
}

// headless says that a registry answers HEAD not at all, or without the headers that matter.
func headless(err error) bool {
	var failed *url.Error
	switch status(err) {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	case 0:
		return !errors.As(err, &failed) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
	}
	return false
}

func (c *Client) get(ctx context.Context, r name.Reference) (d *remote.Descriptor, err error) {
	err = c.do(func(p *remote.Puller, _ *remote.Pusher) error {
		d, err = p.Get(ctx, r)
		return err
	})
	return d, err
}

func unselected(d *v1.Descriptor) Resolved {
	got := Resolved{Size: d.Size, MediaType: string(d.MediaType)}
	if d.MediaType.IsIndex() {
		got.Index = d.Digest
	} else {
		got.Manifest = d.Digest
	}
	return got
}

func (c *Client) selectPlatform(ctx context.Context, r name.Digest, want v1.Platform) (Resolved, error) {
	d, err := c.get(ctx, r)
	if err != nil {
		return Resolved{}, err
	}
	switch {
	case d.MediaType.IsIndex():
		return fromIndex(r, d, want)
	case d.MediaType.IsImage():
		return fromManifest(r, d, want)
	case d.MediaType == types.DockerManifestSchema1, d.MediaType == types.DockerManifestSchema1Signed:
		return Resolved{}, fmt.Errorf("%s is a schema 1 manifest, which has no layers by digest: push the image again with a present-day tool", r)
	}
	return Resolved{}, fmt.Errorf("%s is a %s, not an image", r, d.MediaType)
}

func fromIndex(r name.Digest, d *remote.Descriptor, want v1.Platform) (Resolved, error) {
	idx, err := d.ImageIndex()
	if err != nil {
		return Resolved{}, err
	}
	m, err := idx.IndexManifest()
	if err != nil {
		return Resolved{}, fmt.Errorf("index %s: %w", r, err)
	}
	got := Resolved{Index: d.Digest, Manifests: map[string]v1.Hash{}}
	for _, child := range platformsOf(m) {
		p := normal(*child.Platform)
		if _, twice := got.Manifests[p.String()]; !twice {
			got.Manifests[p.String()] = child.Digest
		}
		got.Platforms = append(got.Platforms, p.String())
		if got.Manifest == (v1.Hash{}) && p.Satisfies(want) {
			got.Manifest, got.Size, got.MediaType = child.Digest, child.Size, string(child.MediaType)
		}
	}
	slices.Sort(got.Platforms)
	if got.Manifest == (v1.Hash{}) {
		return got, noPlatform(r, want, got.Platforms)
	}
	return got, nil
}

// platformsOf are the images of an index: no attestations and no artifacts.
func platformsOf(m *v1.IndexManifest) []v1.Descriptor {
	return slices.DeleteFunc(slices.Clone(m.Manifests), func(d v1.Descriptor) bool {
		return d.Platform == nil || !d.MediaType.IsImage() || d.Platform.OS == "unknown"
	})
}

// fromManifest trusts the image's own configuration: BuildKit builds on a manifest of another platform without a word.
func fromManifest(r name.Digest, d *remote.Descriptor, want v1.Platform) (Resolved, error) {
	img, err := checkedImage(d)
	if err != nil {
		return Resolved{}, err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return Resolved{}, err
	}
	p := v1.Platform{OS: cfg.OS, Architecture: cfg.Architecture, Variant: cfg.Variant}
	p = normal(p)
	got := Resolved{Platforms: []string{p.String()}, Manifests: map[string]v1.Hash{p.String(): d.Digest}, Size: d.Size, MediaType: string(d.MediaType)}
	if !p.Satisfies(want) {
		return got, noPlatform(r, want, got.Platforms)
	}
	got.Manifest = d.Digest
	return got, nil
}

func noPlatform(r name.Digest, want v1.Platform, have []string) error {
	return &NotFound{
		Reference: fmt.Sprintf("%s for %s", r, want),
		Why:       "the image has " + or(strings.Join(have, ", "), "no platform at all"),
	}
}

func parsePlatform(s string) (v1.Platform, error) {
	if s == "" {
		return v1.Platform{}, nil
	}
	p, err := v1.ParsePlatform(s)
	if err != nil {
		return v1.Platform{}, err
	}
	if p.OS == "" || p.Architecture == "" {
		return v1.Platform{}, fmt.Errorf("platform %q: write it as \"linux/amd64\"", s)
	}
	return normal(*p), nil
}

// normal drops the variant that arm64 always has.
func normal(p v1.Platform) v1.Platform {
	if p.Architecture == "arm64" && p.Variant == "v8" {
		p.Variant = ""
	}
	p.OSVersion, p.OSFeatures, p.Features = "", nil, nil
	return p
}

// resolvedCache remembers what digests hold; that never changes.
type resolvedCache struct {
	mu    sync.Mutex
	known map[resolvedKey]Resolved
}

type resolvedKey struct {
	digest   v1.Hash
	platform string
}

const maxResolved = 10_000

func (c *resolvedCache) get(k resolvedKey) (Resolved, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.known[k]
	r.Platforms, r.Manifests = slices.Clone(r.Platforms), maps.Clone(r.Manifests)
	return r, ok
}

func (c *resolvedCache) put(k resolvedKey, r Resolved) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxResolved {
		clear(c.known)
	}
	r.Platforms, r.Manifests = slices.Clone(r.Platforms), maps.Clone(r.Manifests)
	c.known[k] = r
}
