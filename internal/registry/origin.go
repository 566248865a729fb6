package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Origin is what one platform of an image shows and says of what it was made from.
type Origin struct {
	Platform string
	Manifest v1.Hash
	DiffIDs  []v1.Hash // its layers, uncompressed, the lowest first
	Claims   []Claim
	// Problems are what might hold more claims and could not be read, a sentence each.
	Problems []string
}

const (
	maxAttested  = 32 // attestations read of one image, attached or inside its index
	maxReferrers = 256
)

// Origins reads the manifests, configurations and attestations behind a reference, of all platforms; at most 16 of them.
// No layer is pulled. Everything that it finds besides the layers' names is a claim of whoever could push there.
//
// Errors are those of Resolve, and of images that are malformed; an attestation that cannot be read is a problem of its
// platform and no error.
func (c *Client) Origins(ctx context.Context, ref string) ([]Origin, error) {
	r, err := c.reference(ref)
	if err != nil {
		return nil, err
	}
	d, err := c.get(ctx, r)
	if err != nil {
		return nil, explain("read", ref, err)
	}
	o := originReader{c: c, repo: r, left: maxAttested}
	switch {
	case d.MediaType.IsIndex():
		err = o.index(ctx, d)
	case d.MediaType.IsImage():
		err = o.image(ctx, d, nil)
	default:
		err = fmt.Errorf("%s is a %s, not an image", r, d.MediaType)
	}
	return o.found, explain("read", ref, err)
}

// originReader reads one reference.
type originReader struct {
	c     *Client
	repo  name.Reference
	above v1.Hash // the index, if there is one
	found []Origin
	left  int // attestations that may still be read
}

func (o *originReader) index(ctx context.Context, d *remote.Descriptor) error {
	idx, err := d.ImageIndex()
	if err != nil {
		return err
	}
	m, err := idx.IndexManifest()
	if err != nil {
		return fmt.Errorf("index %s: %w", d.Digest, err)
	}
	o.above = d.Digest
	for _, child := range platformsOf(m) {
		if len(o.found) >= maxPlatforms {
			break
		}
		one, err := o.c.get(ctx, digestOf(o.repo, child.Digest))
		if err != nil {
			return err
		}
		if err := o.image(ctx, one, m.Annotations); err != nil {
			return err
		}
	}
	for _, child := range m.Manifests {
		if child.Annotations["vnd.docker.reference.type"] != "attestation-manifest" {
			continue
		}
		for i := range o.found {
			if child.Annotations["vnd.docker.reference.digest"] == o.found[i].Manifest.String() {
				o.attested(ctx, &o.found[i], child.Digest)
			}
		}
	}
	return o.referrers(ctx, d.Digest)
}

// image adds one platform, with what its own annotations and labels claim and what refers to it.
func (o *originReader) image(ctx context.Context, d *remote.Descriptor, above map[string]string) error {
	img, err := checkedImage(d)
	if err != nil {
		return err
	}
	m, err := img.Manifest()
	if err != nil {
		return fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return fmt.Errorf("manifest %s: its configuration: %w", d.Digest, err)
	}
	if len(cfg.RootFS.DiffIDs) != len(m.Layers) {
		return fmt.Errorf("manifest %s has %d layers, its configuration %d diff ids", d.Digest, len(m.Layers), len(cfg.RootFS.DiffIDs))
	}
	one := Origin{Platform: normal(v1.Platform{OS: cfg.OS, Architecture: cfg.Architecture, Variant: cfg.Variant}).String(), Manifest: d.Digest, DiffIDs: cfg.RootFS.DiffIDs}
	if claim, ok := annotated(one.Platform, m.Annotations, above, cfg.Config.Labels); ok {
		one.Claims = append(one.Claims, claim)
	}
	o.found = append(o.found, one)
	return o.referrers(ctx, d.Digest)
}

// referrers reads the attestations that are attached to a digest. Those of the index are about each of its platforms.
// Registries that have no such list are taken at their word; the error is ctx's.
func (o *originReader) referrers(ctx context.Context, to v1.Hash) error {
	var m *v1.IndexManifest
	err := o.c.do(func(p *remote.Puller, _ *remote.Pusher) error {
		idx, err := remote.Referrers(digestOf(o.repo, to), remote.Reuse(p), remote.WithContext(ctx))
		if err != nil {
			return err
		}
		m, err = idx.IndexManifest()
		return err
	})
	about := o.about(to)
	if err != nil {
		for _, one := range about {
			one.problem("what refers to it", err)
		}
		return ctx.Err()
	}
	for _, d := range m.Manifests[:min(len(m.Manifests), maxReferrers)] {
		if about := d.Annotations["dev.sigstore.bundle.predicateType"]; !attests(d.ArtifactType) || about != "" && !strings.HasPrefix(about, provenancePrefix) {
			continue
		}
		for _, one := range about {
			o.attested(ctx, one, d.Digest)
		}
	}
	return ctx.Err()
}

// about are the platforms that an attestation of a digest is about.
func (o *originReader) about(digest v1.Hash) (all []*Origin) {
	for i := range o.found {
		if o.found[i].Manifest == digest || o.above == digest {
			all = append(all, &o.found[i])
		}
	}
	return all
}

// attests says that something of this media type may hold statements.
func attests(mediaType string) bool {
	return slices.ContainsFunc([]string{"in-toto", "dsse", "sigstore.bundle", "docker.attestation"}, func(s string) bool { return strings.Contains(mediaType, s) })
}

// attested adds what the statements in one manifest claim of a platform.
func (o *originReader) attested(ctx context.Context, one *Origin, manifest v1.Hash) {
	what := "attestation " + manifest.String()
	if o.left--; o.left < 0 {
		one.problem(what, fmt.Errorf("more than %d are not read", maxAttested))
		return
	}
	d, err := o.c.get(ctx, digestOf(o.repo, manifest))
	if err != nil {
		one.problem(what, err)
		return
	}
	img, err := checkedImage(d)
	if err != nil {
		one.problem(what, err)
		return
	}
	m, err := img.Manifest()
	if err != nil {
		one.problem(what, err)
		return
	}
	for _, l := range m.Layers {
		if predicate := l.Annotations["in-toto.io/predicate-type"]; !attests(string(l.MediaType)) || predicate != "" && !strings.HasPrefix(predicate, provenancePrefix) {
			continue
		}
		doc, err := readStatement(img, l)
		var claims []Claim
		if err == nil {
			claims, err = claimsOf(doc, one.Manifest, o.above)
		}
		if err != nil {
			one.problem(what, err)
			continue
		}
		one.add(claims)
	}
}

func readStatement(img v1.Image, d v1.Descriptor) ([]byte, error) {
	if d.Size > maxStatement {
		return nil, fmt.Errorf("it has %d bytes, more than %d", d.Size, maxStatement)
	}
	l, err := img.LayerByDigest(d.Digest)
	if err != nil {
		return nil, err
	}
	body, err := l.Compressed() // checked against its size and digest
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, maxStatement))
}

// add adds what is not claimed already; a parent without a platform was asked for that of the image.
func (o *Origin) add(claims []Claim) {
	for _, c := range claims {
		c.Platform = or(c.Platform, o.Platform)
		if !slices.Contains(o.Claims, c) && len(o.Claims) < maxClaims {
			o.Claims = append(o.Claims, c)
		}
	}
}

// problem notes what could not be read, once.
func (o *Origin) problem(what string, err error) {
	if errors.Is(err, context.Canceled) {
		return // nobody waits for the answer any more
	}
	s := fmt.Sprintf("%s: %s", what, err)
	if !slices.Contains(o.Problems, s) && len(o.Problems) < maxAttested {
		o.Problems = append(o.Problems, s[:min(len(s), maxName)])
	}
}
