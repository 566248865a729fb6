package sign

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore/pkg/signature/payload"
	"google.golang.org/protobuf/encoding/protojson"
)

// What a signature and an attestation are made of, as cosign calls it.
const (
	simpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json"
	envelopeType  = "application/vnd.dsse.envelope.v1+json"
	bundleType    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	signatureType = "application/vnd.dev.cosign.artifact.sig.v1+json" // of a referrer that holds simple signings
	statementType = "application/vnd.in-toto+json"

	signatureAnnotation = "dev.cosignproject.cosign/signature"
	predicateAnnotation = "dev.sigstore.bundle.predicateType"
)

// signed is the predicate type of the statement that a bundle's signature is: "this digest", and nothing more.
const signed = "https://sigstore.dev/cosign/sign/v1"

// imagePayload is what a signature is over. The same digest in the same repository gives the same bytes.
func imagePayload(d name.Digest) ([]byte, error) { return json.Marshal(payload.Cosign{Image: d}) }

// checkImage verifies a simple signing: that key signed it, and that it is about digest.
func checkImage(key *PublicKey, digest v1.Hash, body []byte, annotations map[string]string) error {
	sig, err := base64.StdEncoding.DecodeString(annotations[signatureAnnotation])
	if err != nil {
		return fmt.Errorf("its signature is not base64: %w", err)
	}
	if err := key.verify(body, sig); err != nil {
		return err
	}
	var about payload.SimpleContainerImage
	if err := json.Unmarshal(body, &about); err != nil {
		return err
	}
	if about.Critical.Type != payload.CosignSignatureType {
		return fmt.Errorf("it is a %q, not a signature of an image", about.Critical.Type)
	}
	if got := about.Critical.Image.DockerManifestDigest; got != digest.String() {
		return fmt.Errorf("it is about %s", shown(got))
	}
	return nil
}

// Statement is an in-toto statement about one image.
type Statement struct {
	PredicateType string
	Predicate     json.RawMessage
}

type inToto struct {
	Type          string          `json:"_type"`
	Subject       []subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// The statement's own versions; both have the same fields.
const (
	statementV1  = "https://in-toto.io/Statement/v1"
	statementV01 = "https://in-toto.io/Statement/v0.1"
)

// statement is what an attestation is over. The same predicate gives the same bytes.
func statement(d name.Digest, predicateType string, predicate []byte) ([]byte, error) {
	algorithm, hex, _ := strings.Cut(d.DigestStr(), ":")
	body, err := json.Marshal(inToto{statementV1, []subject{{d.Context().Name(), map[string]string{algorithm: hex}}}, predicateType, predicate})
	if err != nil {
		return nil, fmt.Errorf("predicate %s: %w", predicateType, err)
	}
	return body, nil
}

// seal puts a statement into an envelope and signs it.
func seal(ctx context.Context, key *Key, statement []byte) (*dsse.Envelope, error) {
	sig, err := key.sign(ctx, dsse.PAE(statementType, statement))
	if err != nil {
		return nil, err
	}
	return &dsse.Envelope{
		PayloadType: statementType,
		Payload:     base64.StdEncoding.EncodeToString(statement),
		Signatures:  []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(sig)}},
	}, nil
}

const maxSignatures = 16 // of one envelope that are tried

// open verifies an envelope, that its statement is about digest, and returns both forms of it.
func open(key *PublicKey, digest v1.Hash, e *dsse.Envelope) (*Statement, []byte, error) {
	if e.PayloadType != statementType {
		return nil, nil, fmt.Errorf("its payload is a %q, not a statement", shown(e.PayloadType))
	}
	body, err := base64.StdEncoding.DecodeString(e.Payload)
	if err != nil {
		return nil, nil, fmt.Errorf("its payload is not base64: %w", err)
	}
	if err := checkEnvelope(key, e, body); err != nil {
		return nil, nil, err
	}
	var s inToto
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, nil, fmt.Errorf("its statement: %w", err)
	}
	if s.Type != statementV1 && s.Type != statementV01 {
		return nil, nil, fmt.Errorf("its payload is a %q, not a statement", shown(s.Type))
	}
	for _, about := range s.Subject {
		if got := about.Digest[digest.Algorithm]; got != "" && got == digest.Hex {
			return &Statement{s.PredicateType, s.Predicate}, body, nil
		}
	}
	return nil, nil, errors.New("it is about another image")
}

func checkEnvelope(key *PublicKey, e *dsse.Envelope, body []byte) error {
	if len(e.Signatures) == 0 {
		return errors.New("its envelope has no signature")
	}
	over := dsse.PAE(e.PayloadType, body)
	var last error
	for _, s := range e.Signatures[:min(len(e.Signatures), maxSignatures)] {
		sig, err := base64.StdEncoding.DecodeString(s.Sig)
		if err == nil {
			err = key.verify(over, sig)
		}
		if err == nil {
			return nil
		}
		last = err
	}
	return last
}

// bundle puts an envelope into what newer versions of cosign read; the key is named, and not included.
func bundle(key *PublicKey, e *dsse.Envelope) ([]byte, error) {
	body, err := base64.StdEncoding.DecodeString(e.Payload)
	if err != nil {
		return nil, err
	}
	sig, err := base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
	if err != nil {
		return nil, err
	}
	id, err := hex.DecodeString(strings.TrimPrefix(key.ID, "sha256:"))
	if err != nil {
		return nil, err
	}
	return protojson.Marshal(&protobundle.Bundle{
		MediaType: bundleType,
		VerificationMaterial: &protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_PublicKey{
			PublicKey: &protocommon.PublicKeyIdentifier{Hint: base64.StdEncoding.EncodeToString(id)},
		}},
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: body, PayloadType: e.PayloadType, Signatures: []*protodsse.Signature{{Sig: sig}},
		}},
	})
}

// unbundle returns the envelope in a bundle. What else is in it, a log's entry or a certificate, proves nothing about a key.
func unbundle(text []byte) (*dsse.Envelope, error) {
	var b protobundle.Bundle
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: 64}).Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	in := b.GetDsseEnvelope()
	if in == nil {
		return nil, errors.New("its bundle has no envelope")
	}
	e := &dsse.Envelope{PayloadType: in.PayloadType, Payload: base64.StdEncoding.EncodeToString(in.Payload)}
	for _, s := range in.Signatures {
		e.Signatures = append(e.Signatures, dsse.Signature{Sig: base64.StdEncoding.EncodeToString(s.GetSig())})
	}
	return e, nil
}

// shown is a word of somebody else's, short enough for a message.
func shown(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
