package sign

import (
	"context"
	"fmt"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// Signature is a signature of an image that verifies.
type Signature struct {
	Reference string `json:"reference"` // with the digest that it is about
	Key       string `json:"key"`       // PublicKey.ID
	Place     Place  `json:"place"`
}

// Place is where a signature was found.
type Place string

// The places, in the order in which they are looked at.
const (
	Tag       Place = "tag"       // sha256-<hex>.sig, beside the image
	Bundle    Place = "bundle"    // a sigstore bundle that refers to it
	Artifacts Place = "referrers" // a manifest of simple signings that refers to it, as of cosign sign --registry-referrers-mode
)

// Unsigned says that no signature of an image verifies.
type Unsigned struct {
	References []string // that a signature of any would have been enough
	Keys       []string // ids
	Seen       int      // signatures that there are, and that do not verify
}

func (e *Unsigned) Error() string {
	what := strings.Join(e.References, " or ")
	keys := strings.Join(e.Keys, " or ")
	if e.Seen == 0 {
		return fmt.Sprintf("%s is not signed, and a signature of key %s is asked for", what, keys)
	}
	return fmt.Sprintf("none of the %d signatures of %s is one of key %s", e.Seen, what, keys)
}

// Temporary says no: trying again does not help.
func (e *Unsigned) Temporary() bool { return false }

// Verify finds a signature of one of the references by key. All are digests ("host/repo@sha256:.."): an image is signed when
// its own manifest is, or the index that it was taken from, which whoever calls vouches for. The error is *Unsigned when
// there is none.
func Verify(ctx context.Context, reg Registry, key *PublicKey, refs ...string) (Signature, error) {
	missing := &Unsigned{References: refs, Keys: []string{key.ID}}
	for _, ref := range refs {
		d, err := digestOf(ref)
		if err != nil {
			return Signature{}, err
		}
		place, seen, err := reader{reg, d, key}.signature(ctx)
		if err != nil {
			return Signature{}, fmt.Errorf("verify %s: %w", ref, err)
		}
		if place != "" {
			return Signature{Reference: ref, Key: key.ID, Place: place}, nil
		}
		missing.Seen += seen
	}
	return Signature{}, missing
}

// signature looks for a signature in all places.
func (r reader) signature(ctx context.Context) (at Place, seen int, err error) {
	seen, found, err := r.tagSignature(ctx)
	if err != nil || found {
		return Tag, seen, err
	}
	if err := r.bundles(ctx, signed, func(e *dsse.Envelope) bool {
		s, _, err := open(r.key, r.digest(), e)
		found = err == nil && s.PredicateType == signed
		if !found {
			seen++
		}
		return !found
	}); err != nil || found {
		return Bundle, seen, err
	}
	more, found, err := r.artifacts(ctx)
	if err != nil || found {
		return Artifacts, seen, err
	}
	return "", seen + more, nil
}

func (r reader) artifacts(ctx context.Context) (seen int, found bool, err error) {
	all, err := r.attached(ctx, signatureType)
	if err != nil {
		return 0, false, err
	}
	for _, d := range all {
		m, err := r.registry.Manifest(ctx, r.of.String(), d.Digest)
		if err != nil {
			return seen, false, err
		}
		if m == nil {
			continue
		}
		n, found, err := r.simple(ctx, m)
		if err != nil || found {
			return seen, found, err
		}
		seen += n
	}
	return seen, false, nil
}

// Statements returns the predicates of one type that key attested of a digest, as they are attached to it.
func Statements(ctx context.Context, reg Registry, key *PublicKey, ref, predicateType string) ([]Statement, error) {
	d, err := digestOf(ref)
	if err != nil {
		return nil, err
	}
	var out []Statement
	err = reader{reg, d, key}.bundles(ctx, predicateType, func(e *dsse.Envelope) bool {
		if s, _, err := open(key, reader{of: d}.digest(), e); err == nil && s.PredicateType == predicateType {
			out = append(out, *s)
		}
		return true
	})
	return out, err
}
