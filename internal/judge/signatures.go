package judge

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/plan"
	"rebuilder/internal/registry"
	"rebuilder/internal/sign"
	"rebuilder/internal/store"
)

// Signatures looks for the signatures that images must have before they are built upon, as the catalog says it: those of
// upstreams by a key of their own, those of other bases by ours.
type Signatures struct {
	Registry SignedRegistry
	Catalog  func() *catalog.Catalog
	Ours     *sign.PublicKey // nil: there is no [signing]
}

// SignedRegistry is where images and their signatures are.
type SignedRegistry interface {
	sign.Registry
	Resolve(ctx context.Context, ref, platform string) (registry.Resolved, error)
}

// Verify returns the signature of an image that is to be built upon; nil when none is asked for. refused says why it must not
// be. A file that is no key is refused, too: the error is the registry's.
func (s Signatures) Verify(ctx context.Context, p plan.Pinned, platform string) (found *store.Signature, refused string, err error) {
	key, asked, err := s.key(p.Name)
	switch {
	case err != nil:
		return nil, "the signature that is asked for cannot be looked for: " + err.Error(), nil
	case !asked:
		return nil, "", nil
	}
	refs, err := s.references(ctx, p, platform)
	if err != nil {
		return nil, "", err
	}
	got, err := sign.Verify(ctx, s.Registry, key, refs...)
	var missing *sign.Unsigned
	if errors.As(err, &missing) {
		return nil, missing.Error(), nil
	}
	if err != nil {
		return nil, "", err
	}
	return &store.Signature{Image: p.Name, Reference: got.Reference, Key: got.Key, Place: string(got.Place)}, "", nil
}

// key is the key that an image must be signed with.
func (s Signatures) key(image string) (key *sign.PublicKey, asked bool, err error) {
	c := s.Catalog()
	for _, u := range c.Upstreams {
		if u.Name == image && u.Verify.Key != "" {
			key, err = sign.ReadPublicKey(u.Verify.Key)
			return key, true, err
		}
	}
	for _, b := range c.Bases {
		if b.Name == image && c.Signing.Verify {
			if s.Ours == nil {
				return nil, true, errors.New("the key of [signing] counts from the next start of the daemon")
			}
			return s.Ours, true, nil
		}
	}
	return nil, false, nil
}

// references are what may be signed: the manifest that is built upon, and the index that it was taken from.
func (s Signatures) references(ctx context.Context, p plan.Pinned, platform string) ([]string, error) {
	r, err := name.ParseReference(p.Reference)
	if err != nil {
		return nil, fmt.Errorf("image reference %q: %w", p.Reference, err)
	}
	if p.Platform != "" {
		platform = p.Platform
	}
	refs := []string{r.Context().Digest(p.Digest.String()).String()}
	now, err := s.Registry.Resolve(ctx, p.Reference, platform)
	if errors.Is(err, registry.ErrNotFound) {
		return refs, nil // its tag has moved on
	}
	if err == nil && now.Manifest == p.Digest && now.Index != (v1.Hash{}) {
		refs = append(refs, r.Context().Digest(now.Index.String()).String())
	}
	return refs, err
}
