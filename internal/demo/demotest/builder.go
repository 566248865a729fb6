package demotest

import (
	"context"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"rebuilder/internal/build"
)

// Builder is a scripted builder: it pushes an image of random bytes with the request's labels, by digest, and remembers the
// request. It may be used by several goroutines.
type Builder struct {
	// Fail is asked before each build; a non-nil error is the build's result. May be nil.
	Fail func(build.Request) error

	mu       sync.Mutex
	requests []build.Request
}

// Requests returns what was asked for, in order.
func (b *Builder) Requests() []build.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]build.Request(nil), b.requests...)
}

// Build implements build.Builder.
func (b *Builder) Build(ctx context.Context, r build.Request) (*build.Result, error) {
	b.mu.Lock()
	b.requests = append(b.requests, r)
	b.mu.Unlock()
	if b.Fail != nil {
		if err := b.Fail(r); err != nil {
			return nil, err
		}
	}
	img, err := random.Image(256, 1)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Config.Labels = r.Labels
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return nil, err
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	repo, err := name.NewRepository(r.Repository)
	if err != nil {
		return nil, err
	}
	if err := remote.Write(repo.Digest(digest.String()), img, remote.WithContext(ctx)); err != nil {
		return nil, err
	}
	return &build.Result{Digest: digest}, nil
}
