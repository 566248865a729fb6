package sign_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"rebuilder/internal/registry"
	"rebuilder/internal/sign"
)

// shelf is a registry with one image, and a place for faults.
type shelf struct {
	image  string // with digest
	client *registry.Client

	mu     sync.Mutex
	writes []string
	fault  func(w http.ResponseWriter, r *http.Request, next http.Handler) bool
}

func newShelf(t testing.TB, options ...ggcr.Option) *shelf {
	t.Helper()
	s := &shelf{}
	inner := ggcr.New(append(options, ggcr.Logger(log.New(io.Discard, "", 0)))...)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		fault := s.fault
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			s.writes = append(s.writes, r.Method+" "+r.URL.Path)
		}
		s.mu.Unlock()
		if fault == nil || !fault(w, r, inner) {
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	s.image = strings.TrimPrefix(srv.URL, "http://") + "/base/debian@" + digest.String()
	ref, err := name.NewDigest(s.image)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	if s.client, err = registry.New(registry.Config{Backoff: time.Microsecond}); err != nil {
		t.Fatal(err)
	}
	s.wrote()
	return s
}

func (s *shelf) wrote() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.writes
	s.writes = nil
	return got
}

func (s *shelf) breakWith(f func(w http.ResponseWriter, r *http.Request, next http.Handler) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

const password = "correct horse"

// keyFiles are the forms that private keys come in.
func keyFiles(t testing.TB) map[string]string {
	t.Helper()
	dir := t.TempDir()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	ec384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	out := map[string]string{}
	put := func(kind, block string, der []byte, err error) {
		must(t, err)
		out[kind] = filepath.Join(dir, strings.ReplaceAll(kind, " ", "-")+".pem")
		must(t, os.WriteFile(out[kind], pem.EncodeToMemory(&pem.Block{Type: block, Bytes: der}), 0o600))
	}
	der, err := x509.MarshalECPrivateKey(ec)
	put("SEC 1", "EC PRIVATE KEY", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(ec384)
	put("PKCS 8 P-384", "PRIVATE KEY", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(ed)
	put("ed25519", "PRIVATE KEY", der, err)
	put("PKCS 1", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(large), nil)
	der, err = cryptoutils.MarshalPrivateKeyToEncryptedDER(ec, cryptoutils.StaticPasswordFunc([]byte(password)))
	put("cosign", "ENCRYPTED SIGSTORE PRIVATE KEY", der, err)
	put("old cosign", "ENCRYPTED COSIGN PRIVATE KEY", der, nil)
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func asked(s string) func() ([]byte, error) { return func() ([]byte, error) { return []byte(s), nil } }

func newKey(t testing.TB) *sign.Key {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.MarshalECPrivateKey(ec)
	must(t, err)
	file := filepath.Join(t.TempDir(), "key.pem")
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600))
	k, err := sign.OpenKey(t.Context(), sign.KeyConfig{File: file})
	must(t, err)
	return k
}

func TestKeys(t *testing.T) {
	s := newShelf(t, ggcr.WithReferrersSupport(true))
	for kind, file := range keyFiles(t) {
		t.Run(kind, func(t *testing.T) {
			key, err := sign.OpenKey(t.Context(), sign.KeyConfig{File: file, Password: asked(password)})
			must(t, err)
			must(t, sign.New(key, s.client).Sign(t.Context(), s.image))
			public, err := sign.ParsePublicKey(key.Public().PEM)
			must(t, err)
			if got, err := sign.Verify(t.Context(), s.client, public, s.image); err != nil || got.Key != key.Public().ID {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestWhatIsNoKey(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		return filepath.Join(dir, name)
	}
	files := keyFiles(t)
	for _, c := range []struct {
		name string
		sign.KeyConfig
		want string
	}{
		{"no file", sign.KeyConfig{File: filepath.Join(dir, "none")}, "no such file"},
		{"not PEM", sign.KeyConfig{File: put("text", "hello")}, "want a private key in PEM"},
		{"a public key", sign.KeyConfig{File: put("pub", string(newKey(t).Public().PEM))}, "want a private key in PEM"},
		{"no password", sign.KeyConfig{File: files["cosign"]}, "no password is given"},
		{"another password", sign.KeyConfig{File: files["cosign"], Password: asked("x")}, "its password is another"},
		{"too large", sign.KeyConfig{File: put("large", strings.Repeat("a", 1<<20))}, "this is no key"},
		{"unknown KMS", sign.KeyConfig{KMS: "nowhere://key"}, "sigstore-kms-nowhere in PATH"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := sign.OpenKey(t.Context(), c.KeyConfig); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to have %q", err, c.want)
			}
		})
	}
	if _, err := sign.ReadPublicKey(files["SEC 1"]); err == nil || !strings.Contains(err.Error(), "want a public key") {
		t.Errorf("a private key for a public one: %v", err)
	}
}

const verdict = "urn:example:verdict:v1"

func TestSignedOnce(t *testing.T) {
	for kind, options := range map[string][]ggcr.Option{"with referrers": {ggcr.WithReferrersSupport(true)}, "without": nil} {
		t.Run(kind, func(t *testing.T) {
			s := newShelf(t, options...)
			signer, other := sign.New(newKey(t), s.client), sign.New(newKey(t), s.client)
			for range 2 {
				must(t, signer.Sign(t.Context(), s.image))
				must(t, signer.Attest(t.Context(), s.image, verdict, []byte(`{"outcome": "pass"}`)))
			}
			if s.wrote(); len(s.wrote()) != 0 {
				t.Error("it is signed, and was written again")
			}
			must(t, signer.Attest(t.Context(), s.image, verdict, []byte(`{"outcome": "fail"}`)))
			must(t, other.Sign(t.Context(), s.image))
			must(t, signer.Sign(t.Context(), s.image))
			for _, k := range []*sign.PublicKey{signer.Key(), other.Key()} {
				if _, err := sign.Verify(t.Context(), s.client, k, s.image); err != nil {
					t.Error(err)
				}
			}
			m, err := s.client.Companion(t.Context(), s.image, ".sig")
			if err != nil || len(m.Layers) != 2 {
				t.Errorf("%d signatures of two keys, %v", len(m.Layers), err)
			}
			got, err := sign.Statements(t.Context(), s.client, signer.Key(), s.image, verdict)
			if err != nil || len(got) != 2 {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
}

func TestUnsigned(t *testing.T) {
	s := newShelf(t, ggcr.WithReferrersSupport(true))
	key, other := newKey(t), newKey(t)
	_, err := sign.Verify(t.Context(), s.client, key.Public(), s.image)
	var missing *sign.Unsigned
	if !errors.As(err, &missing) || missing.Seen != 0 || !strings.Contains(err.Error(), "is not signed") {
		t.Errorf("nothing there: %v", err)
	}
	must(t, sign.New(other, s.client).Sign(t.Context(), s.image))
	if _, err = sign.Verify(t.Context(), s.client, key.Public(), s.image); !errors.As(err, &missing) || missing.Seen != 2 {
		t.Errorf("another key's: %v", err)
	}
	// An attestation is no signature: it says something of the image, and not that it may be used.
	must(t, sign.New(key, s.client).Attest(t.Context(), s.image, verdict, []byte(`{}`)))
	if _, err = sign.Verify(t.Context(), s.client, key.Public(), s.image); !errors.As(err, &missing) {
		t.Errorf("only attested: %v", err)
	}
	if err := sign.New(key, s.client).Sign(t.Context(), strings.Split(s.image, "@")[0]+":stable"); err == nil {
		t.Error("a tag was signed")
	}
}

// What signs an image signs no other one, wherever its signature is put.
func TestSignatureOfAnother(t *testing.T) {
	s := newShelf(t, ggcr.WithReferrersSupport(true))
	signer := sign.New(newKey(t), s.client)
	must(t, signer.Sign(t.Context(), s.image))
	img, err := random.Image(100, 1)
	must(t, err)
	digest, err := img.Digest()
	must(t, err)
	repo := strings.Split(s.image, "@")[0]
	victim, err := name.NewDigest(repo + "@" + digest.String())
	must(t, err)
	must(t, remote.Write(victim, img))
	for _, suffix := range []string{".sig"} {
		m, err := s.client.Companion(t.Context(), s.image, suffix)
		must(t, err)
		body, err := s.client.Document(t.Context(), s.image, m.Layers[0])
		must(t, err)
		must(t, s.client.AddToCompanion(t.Context(), victim.String(), suffix, body, string(m.Layers[0].MediaType), m.Layers[0].Annotations))
	}
	all, err := s.client.Referrers(t.Context(), s.image)
	must(t, err)
	for _, r := range all {
		m, err := s.client.Manifest(t.Context(), s.image, r.Digest)
		must(t, err)
		body, err := s.client.Document(t.Context(), s.image, m.Layers[0])
		must(t, err)
		_, err = s.client.Attach(t.Context(), victim.String(), r.ArtifactType, r.Annotations, body, string(m.Layers[0].MediaType))
		must(t, err)
	}
	var missing *sign.Unsigned
	if _, err := sign.Verify(t.Context(), s.client, signer.Key(), victim.String()); !errors.As(err, &missing) || missing.Seen != 2 {
		t.Errorf("moved signatures verify: %v", err)
	}
	if got, err := sign.Verify(t.Context(), s.client, signer.Key(), victim.String(), s.image); err != nil || got.Reference != s.image {
		t.Errorf("one of two: %+v, %v", got, err)
	}
}

// Whoever was cut off anywhere ends with one of each.
func TestCutOff(t *testing.T) {
	for cut := 0; ; cut++ {
		s := newShelf(t, ggcr.WithReferrersSupport(true))
		signer := sign.New(newKey(t), s.client)
		n, did := 0, false
		s.breakWith(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
			s.mu.Lock()
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				n++
			}
			mine := n == cut+1 && !did
			did = did || mine
			s.mu.Unlock()
			if mine {
				next.ServeHTTP(httptest.NewRecorder(), r) // served, and the answer is lost
				panic(http.ErrAbortHandler)
			}
			return false
		})
		all := func() error {
			return errors.Join(signer.Sign(t.Context(), s.image), signer.Attest(t.Context(), s.image, verdict, []byte(`{}`)))
		}
		_ = all()
		if err := all(); err != nil {
			t.Fatalf("cut at write %d: %v", cut, err)
		}
		for suffix, want := range map[string]int{".sig": 1, ".att": 1} {
			if m, err := s.client.Companion(t.Context(), s.image, suffix); err != nil || len(m.Layers) != want {
				t.Errorf("cut at write %d: %s has %d layers, %v", cut, suffix, len(m.Layers), err)
			}
		}
		if !did {
			return
		}
	}
}

// A registry that cannot be asked is an error, and not an answer.
func TestNotAsked(t *testing.T) {
	s := newShelf(t, ggcr.WithReferrersSupport(true))
	key := newKey(t)
	s.breakWith(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	_, err := sign.Verify(t.Context(), s.client, key.Public(), s.image)
	var missing *sign.Unsigned
	if err == nil || errors.As(err, &missing) {
		t.Errorf("got %v", err)
	}
}

// Any byte of what is stored may be another: what verifies then still says the same.
func TestChangedByte(t *testing.T) {
	s := newShelf(t, ggcr.WithReferrersSupport(true))
	key := newKey(t)
	must(t, sign.New(key, s.client).Sign(t.Context(), s.image))
	for _, form := range sign.Stored(t, s.client, key.Public(), s.image) {
		must(t, form.Check(form.Body))
		for i := range form.Body {
			for _, bit := range []byte{1, 0x80} {
				changed := bytes.Clone(form.Body)
				changed[i] ^= bit
				if err := form.Check(changed); err == nil && !form.Same(changed) {
					t.Fatalf("%s: byte %d may be %q: %s", form.Name, i, changed[i], fmt.Sprintf("%.400q", changed))
				}
			}
		}
	}
}
