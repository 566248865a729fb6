// Package sign signs image digests and statements about them, and verifies what others signed, so that cosign and this
// program accept each other's work: by key, without a transparency log, online or not.
//
// What is signed is kept in the registry twice, for there are two ways in which it is looked for:
//
//	tags       sha256-<hex>.sig, sha256-<hex>.att beside the image   cosign 2, and all that understand it
//	referrers  a sigstore bundle attached to the digest              cosign 3, and cosign 2 with --new-bundle-format
//
// Signing twice adds nothing: signatures of one key over the same bytes need not be the same bytes, so what is there is
// looked for by what it says and whose it is.
package sign

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// Registry is where signatures are kept: beside the images that they are of.
type Registry interface {
	// Companion returns the manifest below the tag that is made of a digest and a suffix, "sha256-<hex>.sig"; nil when there
	// is none.
	Companion(ctx context.Context, ref, suffix string) (*v1.Manifest, error)
	// AddToCompanion adds a layer to that manifest, which it makes if there is none.
	AddToCompanion(ctx context.Context, ref, suffix string, body []byte, mediaType string, annotations map[string]string) error
	// Attached lists the manifests that refer to a digest.
	Attached(ctx context.Context, ref string) ([]v1.Descriptor, error)
	// Attach attaches a document to a digest as a manifest of one layer.
	Attach(ctx context.Context, ref, artifactType string, annotations map[string]string, body []byte, mediaType string) (v1.Hash, error)
	// Manifest returns a manifest of the repository of ref; nil when it is not there, though something names it.
	Manifest(ctx context.Context, ref string, digest v1.Hash) (*v1.Manifest, error)
	// Document reads a blob of the repository of ref, whose digest it checks.
	Document(ctx context.Context, ref string, d v1.Descriptor) ([]byte, error)
}

// Signer signs with one key. It is safe for concurrent use.
type Signer struct {
	key      *Key
	registry Registry
}

// New returns a signer that keeps what it signs in reg.
func New(key *Key, reg Registry) *Signer { return &Signer{key, reg} }

// Key is the public half of the key that it signs with.
func (s *Signer) Key() *PublicKey { return s.key.public }

// Sign signs a digest ("host/repo@sha256:.."), once. It is safe to repeat: what was begun and not finished is finished.
func (s *Signer) Sign(ctx context.Context, ref string) error {
	d, err := digestOf(ref)
	if err != nil {
		return err
	}
	if err := s.signTag(ctx, d); err != nil {
		return fmt.Errorf("sign %s: %w", ref, err)
	}
	a, err := s.about(ctx, d, signed, []byte("{}"))
	if err == nil {
		err = s.attachBundle(ctx, a)
	}
	if err != nil {
		return fmt.Errorf("sign %s: %w", ref, err)
	}
	return nil
}

// Attest signs a statement about a digest and attaches it, once for each predicate: JSON, of the type that predicateType
// names. It is safe to repeat.
func (s *Signer) Attest(ctx context.Context, ref, predicateType string, predicate []byte) error {
	d, err := digestOf(ref)
	if err != nil {
		return err
	}
	a, err := s.about(ctx, d, predicateType, predicate)
	if err == nil {
		err = s.attachTag(ctx, a)
	}
	if err == nil {
		err = s.attachBundle(ctx, a)
	}
	if err != nil {
		return fmt.Errorf("attest %s of %s: %w", predicateType, ref, err)
	}
	return nil
}

func (s *Signer) signTag(ctx context.Context, d name.Digest) error {
	body, err := imagePayload(d)
	if err != nil {
		return err
	}
	look := reader{s.registry, d, s.key.public}
	return until(func() (bool, error) { _, found, err := look.tagSignature(ctx); return found, err }, func() error {
		sig, err := s.key.sign(ctx, body)
		if err != nil {
			return err
		}
		return s.registry.AddToCompanion(ctx, d.String(), ".sig", body, simpleSigning, map[string]string{signatureAnnotation: base64.StdEncoding.EncodeToString(sig)})
	})
}

// attestation is a statement on its way to the registry.
type attestation struct {
	of            name.Digest
	predicateType string
	statement     []byte
	seal          func() (*dsse.Envelope, error) // signs it, the first time that it is asked
}

func (s *Signer) about(ctx context.Context, d name.Digest, predicateType string, predicate []byte) (*attestation, error) {
	body, err := statement(d, predicateType, predicate)
	return &attestation{d, predicateType, body, sync.OnceValues(func() (*dsse.Envelope, error) { return seal(ctx, s.key, body) })}, err
}

func (s *Signer) attachTag(ctx context.Context, a *attestation) error {
	look := reader{s.registry, a.of, s.key.public}
	return until(func() (bool, error) { return look.tagStatement(ctx, a.predicateType, a.statement) }, func() error {
		e, err := a.seal()
		if err != nil {
			return err
		}
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		return s.registry.AddToCompanion(ctx, a.of.String(), ".att", text, envelopeType, map[string]string{signatureAnnotation: "", "predicateType": a.predicateType})
	})
}

func (s *Signer) attachBundle(ctx context.Context, a *attestation) error {
	there, err := s.bundled(ctx, a)
	if err != nil || there {
		return err
	}
	e, err := a.seal()
	if err != nil {
		return err
	}
	text, err := bundle(s.key.public, e)
	if err != nil {
		return err
	}
	_, err = s.registry.Attach(ctx, a.of.String(), bundleType, map[string]string{"dev.sigstore.bundle.content": "dsse-envelope", predicateAnnotation: a.predicateType}, text, bundleType)
	return err
}

func (s *Signer) bundled(ctx context.Context, a *attestation) (there bool, err error) {
	look := reader{s.registry, a.of, s.key.public}
	err = look.bundles(ctx, a.predicateType, func(e *dsse.Envelope) bool {
		_, got, err := open(s.key.public, look.digest(), e)
		there = err == nil && bytes.Equal(got, a.statement)
		return !there
	})
	return there, err
}

const attempts = 3

// until adds what is not there and looks again: of two who write one tag at once, one undoes what the other wrote.
func until(there func() (bool, error), add func() error) error {
	for range attempts {
		if found, err := there(); err != nil || found {
			return err
		}
		if err := add(); err != nil {
			return err
		}
	}
	found, err := there()
	if err == nil && !found {
		err = errors.New("the registry took it and does not have it: somebody else writes there, too")
	}
	return err
}

func digestOf(ref string) (name.Digest, error) {
	d, err := name.NewDigest(ref)
	if err != nil {
		return d, fmt.Errorf("%q has no digest, and only digests are signed: %w", ref, err)
	}
	return d, nil
}

// reader looks for what one key signed of one digest.
type reader struct {
	registry Registry
	of       name.Digest
	key      *PublicKey
}

func (r reader) digest() v1.Hash {
	algorithm, hex, _ := strings.Cut(r.of.DigestStr(), ":")
	return v1.Hash{Algorithm: algorithm, Hex: hex}
}

const (
	maxLayers  = 256      // of one tag, and attached manifests, that are looked at
	maxPayload = 64 << 10 // bytes of a simple signing
	maxSealed  = 48 << 20 // bytes of an envelope or a bundle: bills of materials are large, and base64
)

// tagSignature looks for a signature below the digest's tag. seen counts those that do not verify.
func (r reader) tagSignature(ctx context.Context) (seen int, found bool, err error) {
	m, err := r.registry.Companion(ctx, r.of.String(), ".sig")
	if err != nil || m == nil {
		return 0, false, err
	}
	return r.simple(ctx, m)
}

// simple looks through the simple signings of a manifest.
func (r reader) simple(ctx context.Context, m *v1.Manifest) (seen int, found bool, err error) {
	for _, l := range m.Layers[:min(len(m.Layers), maxLayers)] {
		if l.MediaType != simpleSigning || l.Size > maxPayload {
			continue
		}
		body, err := r.registry.Document(ctx, r.of.String(), l)
		if err != nil {
			return seen, false, err
		}
		if checkImage(r.key, r.digest(), body, l.Annotations) == nil {
			return seen, true, nil
		}
		seen++
	}
	return seen, false, nil
}

// tagStatement looks for a statement, to the byte, below the digest's tag.
func (r reader) tagStatement(ctx context.Context, predicateType string, body []byte) (bool, error) {
	m, err := r.registry.Companion(ctx, r.of.String(), ".att")
	if err != nil || m == nil {
		return false, err
	}
	for _, l := range m.Layers[:min(len(m.Layers), maxLayers)] {
		if l.MediaType != envelopeType || l.Size > maxSealed || l.Annotations["predicateType"] != predicateType {
			continue
		}
		text, err := r.registry.Document(ctx, r.of.String(), l)
		if err != nil {
			return false, err
		}
		var e dsse.Envelope
		if json.Unmarshal(text, &e) != nil {
			continue
		}
		if _, got, err := open(r.key, r.digest(), &e); err == nil && bytes.Equal(got, body) {
			return true, nil
		}
	}
	return false, nil
}

// bundles hands the envelopes of all attached bundles that may be of a predicate type to each, until that says no.
func (r reader) bundles(ctx context.Context, predicateType string, each func(*dsse.Envelope) bool) error {
	all, err := r.attached(ctx, bundleType)
	if err != nil {
		return err
	}
	for _, d := range all {
		if is := d.Annotations[predicateAnnotation]; is != "" && is != predicateType {
			continue
		}
		text, err := r.attachedDocument(ctx, d.Digest, bundleType)
		if err != nil {
			return err
		}
		if e, err := unbundle(text); err == nil && !each(e) {
			return nil
		}
	}
	return nil
}

// attached are the manifests that refer to the digest and may be of an artifact type: registries of before version 1.1 of the
// specification list the type of the configuration in its place.
func (r reader) attached(ctx context.Context, artifactType string) (out []v1.Descriptor, err error) {
	all, err := r.registry.Attached(ctx, r.of.String())
	for _, d := range all {
		if is := d.ArtifactType; len(out) < maxLayers && (is == artifactType || is == "" || is == "application/vnd.oci.empty.v1+json") {
			out = append(out, d)
		}
	}
	return out, err
}

// attachedDocument reads the one layer of an attached manifest; nothing when it is something else.
func (r reader) attachedDocument(ctx context.Context, manifest v1.Hash, mediaType types.MediaType) ([]byte, error) {
	m, err := r.registry.Manifest(ctx, r.of.String(), manifest)
	if err != nil || m == nil || len(m.Layers) != 1 || m.Layers[0].MediaType != mediaType || m.Layers[0].Size > maxSealed {
		return nil, err
	}
	return r.registry.Document(ctx, r.of.String(), m.Layers[0])
}
