package registry

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const maxBlob = 64 << 20 // bytes of a blob that is read whole into memory

// companionTag is the tag that is made of a digest: "sha256-1a2b...sig".
func companionTag(d name.Digest, suffix string) name.Tag {
	return d.Context().Tag(strings.Replace(d.DigestStr(), ":", "-", 1) + suffix)
}

// Companion returns the manifest below the tag that is made of a digest ("host/repo@sha256:...") and a suffix: signatures and
// attestations are kept there since before registries knew referrers. It is nil when there is none.
func (c *Client) Companion(ctx context.Context, ref, suffix string) (*v1.Manifest, error) {
	d, err := c.digestReference(ref)
	if err != nil {
		return nil, err
	}
	m, err := c.manifest(ctx, companionTag(d, suffix))
	return m, explain("read "+suffix+" of", ref, err)
}

// Manifest returns a manifest of the repository that ref names; nil when it is not there.
func (c *Client) Manifest(ctx context.Context, ref string, digest v1.Hash) (*v1.Manifest, error) {
	r, err := c.reference(ref)
	if err != nil {
		return nil, err
	}
	at := digestOf(r, digest)
	m, err := c.manifest(ctx, at)
	return m, explain("read", at.String(), err)
}

func (c *Client) manifest(ctx context.Context, r name.Reference) (*v1.Manifest, error) {
	d, err := c.get(ctx, r)
	if status(err) == 404 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	img, err := checkedImage(d)
	if err != nil {
		return nil, err
	}
	return img.Manifest()
}

// Document reads a blob of the repository that ref names, whole, and checks its digest.
func (c *Client) Document(ctx context.Context, ref string, d v1.Descriptor) ([]byte, error) {
	r, err := c.reference(ref)
	if err != nil {
		return nil, err
	}
	at := digestOf(r, d.Digest)
	if d.Size < 0 || d.Size > maxBlob {
		return nil, fmt.Errorf("read %s: it has %d bytes, more than %d", at, d.Size, maxBlob)
	}
	body, err := c.document(ctx, at, d.Size)
	return body, explain("read", at.String(), err)
}

func (c *Client) document(ctx context.Context, at name.Digest, size int64) (body []byte, err error) {
	err = c.do(func(p *remote.Puller, _ *remote.Pusher) error {
		l, err := p.Layer(ctx, at)
		if err != nil {
			return err
		}
		r, err := l.Compressed() // checked against its digest
		if err != nil {
			return err
		}
		defer r.Close()
		body, err = io.ReadAll(io.LimitReader(r, size+1))
		if err == nil && int64(len(body)) != size {
			err = fmt.Errorf("it has %d bytes or more, not %d", len(body), size)
		}
		return err
	})
	return body, err
}

// AddToCompanion adds a layer to the manifest that Companion reads, and makes it if there is none. What is there stays. It
// does not look whether the layer is there already; of two who add at once, one may undo what the other did: look again.
//
// errors.Is(err, ErrNotFound) when the image itself is not in the repository.
func (c *Client) AddToCompanion(ctx context.Context, ref, suffix string, body []byte, mediaType string, annotations map[string]string) error {
	d, err := c.digestReference(ref)
	if err != nil {
		return err
	}
	if _, err := c.head(ctx, d); err != nil {
		return explain("add "+suffix+" to", ref, err)
	}
	return explain("add "+suffix+" to", ref, c.addToCompanion(ctx, companionTag(d, suffix), addendum(body, mediaType, annotations)))
}

func addendum(body []byte, mediaType string, annotations map[string]string) mutate.Addendum {
	return mutate.Addendum{Layer: static.NewLayer(body, types.MediaType(mediaType)), MediaType: types.MediaType(mediaType), Annotations: annotations}
}

func (c *Client) addToCompanion(ctx context.Context, tag name.Tag, layer mutate.Addendum) error {
	base, err := c.companion(ctx, tag)
	if err != nil {
		return err
	}
	made, err := mutate.Append(base, layer)
	if err != nil {
		return err
	}
	return c.do(func(_ *remote.Puller, p *remote.Pusher) error { return p.Push(ctx, tag, made) })
}

// companion is what there is below a tag, to add to: an empty image when there is nothing.
func (c *Client) companion(ctx context.Context, tag name.Tag) (v1.Image, error) {
	d, err := c.get(ctx, tag)
	if status(err) == 404 {
		return mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), nil
	}
	if err != nil {
		return nil, err
	}
	return checkedImage(d)
}

// Attached is Referrers in the terms of the specification.
func (c *Client) Attached(ctx context.Context, ref string) ([]v1.Descriptor, error) {
	all, err := c.Referrers(ctx, ref)
	var out []v1.Descriptor
	for _, r := range all {
		out = append(out, v1.Descriptor{Digest: r.Digest, MediaType: types.MediaType(r.MediaType), ArtifactType: r.ArtifactType, Size: r.Size, Annotations: r.Annotations})
	}
	return out, err
}
