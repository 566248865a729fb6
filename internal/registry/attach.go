package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Referrer is something that is attached to an image: a signature, a bill of materials.
type Referrer struct {
	Digest       v1.Hash
	MediaType    string
	ArtifactType string // what it is: "application/spdx+json"
	Size         int64
	Annotations  map[string]string
}

// Referrers lists what is attached to a digest ("host/repo@sha256:..."), in the order that the registry has. Registries that
// cannot list keep an index below a tag, which is read in its place. What is not there has nothing attached.
func (c *Client) Referrers(ctx context.Context, ref string) ([]Referrer, error) {
	d, err := c.digestReference(ref)
	if err != nil {
		return nil, err
	}
	all, err := c.referrers(ctx, d)
	return all, explain("list what is attached to", ref, err)
}

func (c *Client) referrers(ctx context.Context, to name.Digest) ([]Referrer, error) {
	var m *v1.IndexManifest
	err := c.do(func(p *remote.Puller, _ *remote.Pusher) error {
		idx, err := remote.Referrers(to, remote.Reuse(p), remote.WithContext(ctx))
		if err != nil {
			return err
		}
		m, err = idx.IndexManifest()
		return err
	})
	if err != nil {
		return nil, err
	}
	var all []Referrer
	for _, d := range m.Manifests {
		all = append(all, Referrer{Digest: d.Digest, MediaType: string(d.MediaType), ArtifactType: d.ArtifactType, Size: d.Size, Annotations: d.Annotations})
	}
	return all, nil
}

// digestReference takes references by digest only: a tag may be another image the next moment.
func (c *Client) digestReference(ref string) (name.Digest, error) {
	r, err := c.reference(ref)
	if err != nil {
		return name.Digest{}, err
	}
	d, ok := r.(name.Digest)
	if !ok {
		return d, fmt.Errorf("%s has no digest: name one, things are attached to digests", ref)
	}
	return d, nil
}

const attachAttempts = 3

// Attach attaches a document to the image or index that subject names by digest, as OCI artifact of one layer, and returns the
// artifact's digest. The same document is attached once: Attach looks first, and repeats what was begun and not finished.
// It looks at the end, too: of two who attach at once to an image in a registry that keeps no list of its own, one may undo
// the other's entry.
//
// errors.Is(err, ErrNotFound) when the subject is not in the repository.
func (c *Client) Attach(ctx context.Context, subject, artifactType string, annotations map[string]string, body []byte, mediaType string) (v1.Hash, error) {
	d, err := c.digestReference(subject)
	if err != nil {
		return v1.Hash{}, err
	}
	digest, err := c.attach(ctx, d, artifactType, annotations, static.NewLayer(body, types.MediaType(mediaType)))
	return digest, explain("attach "+artifactType+" to", subject, err)
}

func (c *Client) attach(ctx context.Context, to name.Digest, artifactType string, annotations map[string]string, layer v1.Layer) (v1.Hash, error) {
	subject, err := c.head(ctx, to)
	if err != nil {
		return v1.Hash{}, err
	}
	a, err := newArtifact(*subject, artifactType, annotations, layer)
	if err != nil {
		return v1.Hash{}, err
	}
	for range attachAttempts {
		all, err := c.referrers(ctx, to)
		if err != nil || slices.ContainsFunc(all, func(r Referrer) bool { return r.Digest == a.digest }) {
			return a.digest, err
		}
		if err := c.pushArtifact(ctx, to, a); err != nil {
			return a.digest, err
		}
	}
	all, err := c.referrers(ctx, to)
	if err == nil && !slices.ContainsFunc(all, func(r Referrer) bool { return r.Digest == a.digest }) {
		err = errors.New("the registry took it and does not list it")
	}
	return a.digest, err
}

func (c *Client) pushArtifact(ctx context.Context, to name.Digest, a *artifact) error {
	return c.do(func(_ *remote.Puller, p *remote.Pusher) error {
		for _, l := range []v1.Layer{a.config, a.layer} {
			if err := p.Upload(ctx, to.Context(), l); err != nil {
				return err
			}
		}
		return p.Put(ctx, to.Context().Digest(a.digest.String()), a)
	})
}

// artifact is an OCI artifact's manifest with what it names.
type artifact struct {
	config, layer v1.Layer
	manifest      []byte
	digest        v1.Hash
}

// newArtifact says what it is twice: registries of before version 1.1 of the specification look at the configuration.
func newArtifact(subject v1.Descriptor, artifactType string, annotations map[string]string, layer v1.Layer) (*artifact, error) {
	a := &artifact{config: static.NewLayer([]byte("{}"), types.MediaType(artifactType)), layer: layer}
	m := v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		ArtifactType:  artifactType,
		Subject:       &v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size},
		Annotations:   annotations,
	}
	config, err := describeLayer(a.config)
	if err != nil {
		return nil, err
	}
	content, err := describeLayer(a.layer)
	if err != nil {
		return nil, err
	}
	m.Config, m.Layers = config, []v1.Descriptor{content}
	if a.manifest, err = json.Marshal(m); err != nil {
		return nil, err
	}
	a.digest, _, err = v1.SHA256(bytes.NewReader(a.manifest))
	return a, err
}

func describeLayer(l v1.Layer) (d v1.Descriptor, err error) {
	if d.Digest, err = l.Digest(); err != nil {
		return d, err
	}
	if d.Size, err = l.Size(); err != nil {
		return d, err
	}
	d.MediaType, err = l.MediaType()
	return d, err
}

// RawManifest and MediaType are what is pushed.
func (a *artifact) RawManifest() ([]byte, error)        { return a.manifest, nil }
func (a *artifact) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
