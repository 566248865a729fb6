// Package promote moves a channel (a registry tag such as "stable") to a digest that passed its gates, and keeps an
// immutable release tag for each digest that ever was there.
//
// Nothing is written before looking. What belongs to the digest is there first, with its signatures and attestations; then
// comes the release, and the channel last. Each step is safe to repeat: a promotion that died anywhere is finished by
// running it again.
package promote

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Registry is what a promotion needs of an OCI registry.
type Registry interface {
	// Digest returns what a reference points to itself, index or manifest; the zero hash when nothing is there.
	Digest(ctx context.Context, ref string) (v1.Hash, error)
	// Tag points repo:tag at a digest that is in the repository. It is idempotent and moves no blob.
	Tag(ctx context.Context, repo string, digest v1.Hash, tag string) error
	// Whole says that a digest is in the repository and, of an index, all that it names.
	Whole(ctx context.Context, repo string, digest v1.Hash) error
	// Copy puts a digest into another repository, with all that it names and all that refers to it. It is idempotent, and moves
	// no blob inside one registry.
	Copy(ctx context.Context, from string, digest v1.Hash, to string) error
}

// Request is one promotion.
type Request struct {
	Repository string // without tag: "registry.example.com/base/debian"
	Channel    string // the tag to move: "stable"
	// Digest is the manifest or index to promote.
	Digest v1.Hash
	// From is the repository where Digest is, when that is another one: it may be in another registry.
	From string
	// Expect is what the channel pointed to when the promotion was decided; the zero hash means that there was none.
	Expect v1.Hash
	// Release is the immutable tag of this digest: "20261121-1a2b3c4d". None is made when empty.
	Release string
	// Attest puts beside the digest what is to be there before anything points to it; nil: nothing. It is called once the
	// channel was found where it was expected and is still to be moved, and must be safe to repeat.
	Attest func(ctx context.Context) error
}

// Result is what a promotion did.
type Result struct {
	Moved    bool    // this call moved the channel; false when it was there already
	Released bool    // this call made the release tag
	Previous v1.Hash // what the channel pointed to when this call looked; zero when there was none
}

// Moved says that the channel was moved by somebody else. Nothing was overwritten.
type Moved struct {
	Channel               string // "registry.example.com/base/debian:stable"
	Expected, Found, Want v1.Hash
}

func (e *Moved) Error() string {
	return fmt.Sprintf("%s was moved by somebody else: it points to %s, expected %s; %s was not promoted: plan again",
		e.Channel, shown(e.Found), shown(e.Expected), e.Want)
}

// Temporary says no: trying again does not help.
func (e *Moved) Temporary() bool { return false }

// ReleaseTaken says that the release tag stands for another digest. Release tags are never moved.
type ReleaseTaken struct {
	Release     string // "registry.example.com/base/debian:20261121-1a2b3c4d"
	Found, Want v1.Hash
}

func (e *ReleaseTaken) Error() string {
	return fmt.Sprintf("release %s is %s already and is never moved: name another release for %s", e.Release, e.Found, e.Want)
}

// Temporary says no: trying again does not help.
func (e *ReleaseTaken) Temporary() bool { return false }

// Promote makes the release tag and then moves the channel, each only when that is still to be done. A channel that
// points to r.Digest already is success. It returns *Moved when the channel points to neither r.Expect nor r.Digest
// and *ReleaseTaken when the release tag stands for another digest; in both cases nothing was written.
//
// Registries know no compare-and-set: what is moved between our look and our write, one round trip, is overwritten.
func Promote(ctx context.Context, reg Registry, r Request) (Result, error) {
	if err := r.check(); err != nil {
		return Result{}, err
	}
	found, err := reg.Digest(ctx, r.Repository+":"+r.Channel)
	if err != nil {
		return Result{}, err
	}
	if found != r.Digest && found != r.Expect {
		return Result{Previous: found}, &Moved{Channel: r.Repository + ":" + r.Channel, Expected: r.Expect, Found: found, Want: r.Digest}
	}
	if found != r.Digest {
		if err := prepare(ctx, reg, r); err != nil {
			return Result{Previous: found}, err
		}
	}
	released, err := release(ctx, reg, r)
	if err != nil {
		return Result{Previous: found}, err
	}
	if found == r.Digest {
		return Result{Previous: found, Released: released}, nil
	}
	if err := reg.Tag(ctx, r.Repository, r.Digest, r.Channel); err != nil {
		return Result{Previous: found, Released: released}, err
	}
	return Result{Previous: found, Released: released, Moved: true}, nil
}

// prepare makes sure that all is there before anything points to it: the digest, what it names, what refers to it.
func prepare(ctx context.Context, reg Registry, r Request) error {
	if r.From != "" && r.From != r.Repository {
		if err := reg.Copy(ctx, r.From, r.Digest, r.Repository); err != nil {
			return err
		}
	} else if err := reg.Whole(ctx, r.Repository, r.Digest); err != nil {
		return err
	}
	if r.Attest == nil {
		return nil
	}
	return r.Attest(ctx)
}

func release(ctx context.Context, reg Registry, r Request) (made bool, err error) {
	if r.Release == "" {
		return false, nil
	}
	ref := r.Repository + ":" + r.Release
	found, err := reg.Digest(ctx, ref)
	if err != nil {
		return false, err
	}
	switch found {
	case r.Digest:
		return false, nil
	case v1.Hash{}:
		err := reg.Tag(ctx, r.Repository, r.Digest, r.Release)
		return err == nil, err
	}
	return false, &ReleaseTaken{Release: ref, Found: found, Want: r.Digest}
}

func (r Request) check() error {
	switch {
	case r.Repository == "" || r.Channel == "":
		return fmt.Errorf("promote %s: repository %q and channel %q must be named", r.Digest, r.Repository, r.Channel)
	case r.Digest == (v1.Hash{}):
		return fmt.Errorf("promote %s:%s: no digest given", r.Repository, r.Channel)
	case r.Release == r.Channel:
		return fmt.Errorf("promote %s:%s: the release tag must differ from the channel, which moves", r.Repository, r.Channel)
	}
	return nil
}

func shown(h v1.Hash) string {
	if h == (v1.Hash{}) {
		return "nothing"
	}
	return h.String()
}
