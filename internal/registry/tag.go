package registry

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Tag points repo:tag at a digest that is in the repository already, index or manifest, by one PUT of its manifest. No
// blob moves. It does not look at where the tag points now; doing it twice leaves the same state.
// errors.Is(err, ErrNotFound) when the digest is not in the repository.
func (c *Client) Tag(ctx context.Context, repo string, digest v1.Hash, tag string) error {
	what := repo + ":" + tag
	r, err := c.reference(repo + "@" + digest.String())
	if err != nil {
		return err
	}
	if _, err := name.NewTag(what); err != nil {
		return fmt.Errorf("tag %q: %w", what, err)
	}
	d, err := c.get(ctx, r)
	if err != nil {
		return explain("tag", what, err)
	}
	err = c.do(func(_ *remote.Puller, p *remote.Pusher) error {
		return p.Put(ctx, r.Context().Tag(tag), d)
	})
	return explain("tag", what, err)
}
