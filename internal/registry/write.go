package registry

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Write pushes an image by its digest, without a tag. Layers that the repository has are not sent again; those of another
// repository of the same registry are mounted from there. It is idempotent.
func (c *Client) Write(ctx context.Context, repo string, img v1.Image) (v1.Hash, error) {
	digest, err := img.Digest()
	if err != nil {
		return v1.Hash{}, err
	}
	r, err := c.reference(repo + "@" + digest.String())
	if err != nil {
		return v1.Hash{}, err
	}
	to, ok := r.(name.Digest)
	if !ok {
		return v1.Hash{}, fmt.Errorf("write %s: no digest", r)
	}
	return digest, explain("write", to.String(), c.do(func(_ *remote.Puller, p *remote.Pusher) error { return p.Push(ctx, to, img) }))
}
