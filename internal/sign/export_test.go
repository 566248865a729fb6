package sign

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// Form is one form in which a signature is stored.
type Form struct {
	Name  string
	Body  []byte
	Check func(body []byte) error
	// Same says that what was changed is no part of what is signed: how JSON is spaced, fields that nobody reads.
	Same func(body []byte) bool
}

// Stored are all forms of the signature of an image by key.
func Stored(t *testing.T, reg Registry, key *PublicKey, ref string) []Form {
	t.Helper()
	d, err := digestOf(ref)
	must(t, err)
	digest := reader{of: d}.digest()
	m, err := reg.Companion(t.Context(), ref, ".sig")
	must(t, err)
	payload, err := reg.Document(t.Context(), ref, m.Layers[0])
	must(t, err)
	sig := []byte(m.Layers[0].Annotations[signatureAnnotation])
	all, err := reg.Attached(t.Context(), ref)
	must(t, err)
	sealed, err := reader{reg, d, key}.attachedDocument(t.Context(), all[0].Digest, bundleType)
	must(t, err)
	e, err := unbundle(sealed)
	must(t, err)
	envelope, err := json.Marshal(e)
	must(t, err)
	checkOpen := func(e *dsse.Envelope, err error) error {
		if err == nil {
			_, _, err = open(key, digest, e)
		}
		return err
	}
	parse := func(b []byte) (*dsse.Envelope, error) {
		var e dsse.Envelope
		return &e, json.Unmarshal(b, &e)
	}
	return []Form{
		{"payload", payload, func(b []byte) error {
			return checkImage(key, digest, b, map[string]string{signatureAnnotation: string(sig)})
		}, func([]byte) bool { return false }},
		{"signature", sig, func(b []byte) error {
			return checkImage(key, digest, payload, map[string]string{signatureAnnotation: string(b)})
		}, func(b []byte) bool {
			// The last letter of base64 may have bits that are dropped, and line ends are skipped.
			was, _ := base64.StdEncoding.DecodeString(string(sig))
			is, err := base64.StdEncoding.DecodeString(string(b))
			return err == nil && bytes.Equal(was, is)
		}},
		{"envelope", envelope, func(b []byte) error { return checkOpen(parse(b)) }, func(b []byte) bool { is, err := parse(b); return err == nil && same(e, is) }},
		{"bundle", sealed, func(b []byte) error { return checkOpen(unbundle(b)) }, func(b []byte) bool { is, err := unbundle(b); return err == nil && same(e, is) }},
	}
}

// same says that two envelopes hold the same, however it is written.
func same(a, b *dsse.Envelope) bool {
	plain := func(e *dsse.Envelope) (out [][]byte) {
		for _, s := range append([]dsse.Signature{{Sig: e.Payload}}, e.Signatures...) {
			body, _ := base64.StdEncoding.DecodeString(s.Sig)
			out = append(out, body)
		}
		return out
	}
	return a.PayloadType == b.PayloadType && reflect.DeepEqual(plain(a), plain(b))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// FuzzStored reads what anybody may have put into a registry.
func FuzzStored(f *testing.F) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	key, err := newPublicKey(private.Public())
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"AAAA"}]}`))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AAAA"}]}}`))
	f.Add([]byte(`{"critical":{"identity":{"docker-reference":"a"},"image":{"docker-manifest-digest":"sha256:00"},"type":"cosign container image signature"},"optional":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := unbundle(b); err == nil {
			if _, _, err := open(key, v1.Hash{Algorithm: "sha256", Hex: "00"}, e); err == nil {
				t.Error("it verifies")
			}
		}
		if checkImage(key, v1.Hash{Algorithm: "sha256", Hex: "00"}, b, map[string]string{signatureAnnotation: string(b)}) == nil {
			t.Error("it verifies")
		}
	})
}
