package judge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
	"rebuilder/internal/registry"
	"rebuilder/internal/store"
)

// ErrUnknown is returned for an image that nobody knows: errors.Is.
var ErrUnknown = errors.New("no such image")

// ErrNotRead is returned for an image whose content has not been read.
var ErrNotRead = errors.New("its content has not been read yet")

// ErrSeveral is returned for the beginning of several digests.
var ErrSeveral = errors.New("it is the beginning of several digests")

// Resolver says what a reference points to.
type Resolver interface {
	Resolve(ctx context.Context, ref, platform string) (registry.Resolved, error)
}

// Image judges an image of the last look by its name in the graph. It returns ErrUnknown when there is none, and
// ErrNotRead when there is one and nothing is known of its content.
func (j *Judge) Image(ctx context.Context, name string) (*Sheet, error) {
	w := j.world()
	if w == nil {
		return nil, fmt.Errorf("%s: %w: the first look at the world is not over", name, ErrNotRead)
	}
	all := current(w)
	i := slices.IndexFunc(all, func(n named) bool { return n.name == name })
	if i < 0 {
		if _, ok := w.Graph.Node(name); ok {
			return nil, fmt.Errorf("%s: %w", name, ErrNotRead)
		}
		return nil, fmt.Errorf("%s: %w", name, ErrUnknown)
	}
	inv, read, err := store.GetInventory(ctx, j.Store.Q(), all[i].Digest.String())
	if err != nil {
		return nil, err
	}
	if !read {
		return nil, fmt.Errorf("%s: %w", name, ErrNotRead)
	}
	return j.Sheet(ctx, policy.Subject{Image: name, Kind: all[i].kind}, all[i].at(), inv)
}

// Reference judges what a reference points to now. One that an image of the last look has is that image; any other is read
// from its registry, once a digest.
func (j *Judge) Reference(ctx context.Context, r Resolver, ref, platform string) (*Sheet, error) {
	res, err := r.Resolve(ctx, ref, platform)
	if err != nil {
		return nil, err
	}
	if res.Manifest == (registry.Resolved{}).Manifest {
		return nil, fmt.Errorf("%s: %w", ref, ErrUnknown)
	}
	at := repositoryOf(ref) + "@" + res.Manifest.String()
	subject := policy.Subject{Image: ref}
	if w := j.world(); w != nil {
		for _, n := range current(w) {
			if n.Reference == ref || n.Digest == res.Manifest && repositoryOf(n.Reference) == repositoryOf(ref) {
				subject.Image, subject.Kind = n.name, n.kind
				break
			}
		}
	}
	inv, err := j.Inventory(ctx, subject.Image, at, platform)
	if err != nil {
		return nil, err
	}
	return j.Sheet(ctx, subject, at, inv)
}

// Digest judges a digest that has been read before, by "sha256:" and at least the first six of its digits. It returns
// ErrUnknown when none was, and ErrSeveral when several were.
func (j *Judge) Digest(ctx context.Context, digest string) (*Sheet, error) {
	found, err := store.ReadDigests(ctx, j.Store.Q(), digest, 2)
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, fmt.Errorf("%s: %w", digest, ErrUnknown)
	case len(found) > 1 && len(strings.TrimPrefix(digest, "sha256:")) < 64:
		return nil, fmt.Errorf("%s: %w", digest, ErrSeveral)
	}
	inv, read, err := store.GetInventory(ctx, j.Store.Q(), found[0].Digest)
	if err != nil {
		return nil, err
	}
	if !read {
		return nil, fmt.Errorf("%s: %w", digest, ErrNotRead)
	}
	return j.Sheet(ctx, policy.Subject{Image: found[0].Image}, "", inv)
}

// Difference is what is another from one image to the next.
type Difference struct {
	Before   *Sheet              `json:"before"`
	After    *Sheet              `json:"after"`
	Packages []inventory.Change  `json:"packages"`
	Findings policy.Comparison   `json:"findings"`
	Settings []inventory.Setting `json:"settings"`
	// Same says that the two do the same thing: their fingerprints are equal.
	Same bool `json:"same"`
}

// Differ compares two images.
func Differ(before, after *Sheet) Difference {
	a, b := before.Inventory, after.Inventory
	return Difference{Before: before, After: after, Packages: inventory.Diff(a, b), Findings: policy.Compare(before.Findings(), after.Findings()),
		Settings: inventory.Settings(a, b), Same: a.Fingerprint == b.Fingerprint}
}
