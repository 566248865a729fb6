package main

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/inventory"
	"rebuilder/internal/registry"
)

// rebaser puts layers on another base, in a registry.
type rebaser struct{ *registry.Client }

func (r rebaser) Rebase(ctx context.Context, image, old, new, platform, repository string) (string, error) {
	var read [3]v1.Image
	for i, ref := range []string{image, old, new} {
		var err error
		if read[i], err = r.Image(ctx, ref, platform); err != nil {
			return "", err
		}
	}
	img, err := inventory.Rebase(ctx, read[0], read[1], read[2], platform)
	if err != nil {
		return "", err
	}
	digest, err := r.Write(ctx, repository, img)
	return digest.String(), err
}
