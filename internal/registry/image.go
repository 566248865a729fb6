package registry

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

const (
	maxConfig = 8 << 20   // bytes of an image configuration
	maxLayer  = 32 << 30  // bytes of one compressed layer
	maxTotal  = 128 << 30 // bytes of all layers together
	maxLayers = 1000
)

// Image returns the image of a platform behind a tag or digest. Layers are read from the registry when they are asked
// for, under ctx; what is read is checked against its digest and size. Errors are those of Resolve.
func (c *Client) Image(ctx context.Context, ref, platform string) (v1.Image, error) {
	got, err := c.Resolve(ctx, ref, platform)
	if err != nil {
		return nil, err
	}
	if got.Manifest == (v1.Hash{}) {
		return nil, fmt.Errorf("read %s: it is an index of several platforms: name one", ref)
	}
	r, err := c.reference(ref)
	if err != nil {
		return nil, err
	}
	d, err := c.get(ctx, digestOf(r, got.Manifest))
	if err != nil {
		return nil, explain("read", ref, err)
	}
	img, err := checkedImage(d)
	return img, explain("read", ref, err)
}

// checkedImage refuses images that claim to be too large before anything of them is read.
func checkedImage(d *remote.Descriptor) (v1.Image, error) {
	img, err := d.Image()
	if err != nil {
		return nil, err
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if m.Config.Size > maxConfig {
		return nil, fmt.Errorf("manifest %s: its configuration has %d bytes, more than %d", d.Digest, m.Config.Size, maxConfig)
	}
	if len(m.Layers) > maxLayers {
		return nil, fmt.Errorf("manifest %s: it has %d layers, more than %d", d.Digest, len(m.Layers), maxLayers)
	}
	var total int64
	for _, l := range m.Layers {
		if l.Size < 0 || l.Size > maxLayer {
			return nil, fmt.Errorf("manifest %s: layer %s has %d bytes, more than %d", d.Digest, l.Digest, l.Size, int64(maxLayer))
		}
		total += l.Size
	}
	if total > maxTotal {
		return nil, fmt.Errorf("manifest %s: its layers have %d bytes, more than %d", d.Digest, total, int64(maxTotal))
	}
	return img, nil
}
