package main

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/inventory"
	"rebuilder/internal/judge"
	"rebuilder/internal/promote"
	"rebuilder/internal/registry"
	"rebuilder/internal/secret"
)

// gate does with a new image what the daemon does between its build and its promotion, by the same functions and without
// what makes it durable: it is what gates cost at least, to whomever.
type gate struct {
	registry *registry.Client
	secrets  *secret.Finder
}

func newGate() (*gate, error) {
	client, err := registry.New(registry.Config{})
	if err != nil {
		return nil, err
	}
	finder, err := secret.New()
	return &gate{client, finder}, err
}

// pass looks inside the image, attaches its bills of materials and moves a channel to it.
func (g *gate) pass(ctx context.Context, repository, digest string) error {
	img, err := g.registry.Image(ctx, repository+"@"+digest, "")
	if err != nil {
		return err
	}
	inv, err := inventory.Read(ctx, img, "", inventory.WithSecrets(g.secrets.Find))
	if err != nil {
		return err
	}
	documents := judge.Documents{Registry: g.registry, Inventory: func(context.Context, string, string, string) (*inventory.Inventory, error) { return inv, nil }}
	if err := documents.Attach(ctx, catalog.Base{Image: repository}, digest, nil); err != nil {
		return err
	}
	to, err := v1.NewHash(digest)
	if err != nil {
		return err
	}
	const channel = "stable"
	was, err := g.registry.Digest(ctx, repository+":"+channel)
	if err != nil {
		return err
	}
	_, err = promote.Promote(ctx, g.registry, promote.Request{Repository: repository, Channel: channel, Digest: to, Expect: was, Release: to.Hex[:12]})
	return err
}
