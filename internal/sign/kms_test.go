package sign_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"rebuilder/internal/sign"
)

// vault is as much of Vault's transit engine as a key for signatures takes.
type vault struct {
	key    *ecdsa.PrivateKey
	signed int
}

func newVault(t *testing.T) *vault {
	t.Helper()
	v := &vault{}
	v.rotate(t)
	srv := httptest.NewServer(v)
	t.Cleanup(srv.Close)
	t.Setenv("VAULT_ADDR", srv.URL)
	t.Setenv("VAULT_TOKEN", "hvs.test")
	return v
}

func (v *vault) rotate(t *testing.T) {
	t.Helper()
	var err error
	v.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
}

func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := v.answer(r)
	if err != nil || r.Header.Get("X-Vault-Token") != "hvs.test" {
		http.Error(w, fmt.Sprintf(`{"errors":["%v"]}`, err), http.StatusForbidden)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": answer})
}

func (v *vault) answer(r *http.Request) (any, error) {
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/v1/transit/keys/release":
		public, err := cryptoutils.MarshalPublicKeyToPEM(v.key.Public())
		return map[string]any{"latest_version": 1, "keys": map[string]any{"1": map[string]any{"name": "P-256", "public_key": string(public)}}}, err
	case strings.HasPrefix(r.URL.Path, "/v1/transit/sign/release"):
		var in struct {
			Input     []byte `json:"input"`
			Prehashed bool   `json:"prehashed"`
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return nil, err
		}
		if len(in.Input) != 32 || !in.Prehashed {
			return nil, fmt.Errorf("want a hash, got %d bytes", len(in.Input))
		}
		v.signed++
		sig, err := ecdsa.SignASN1(rand.Reader, v.key, in.Input)
		return map[string]any{"signature": "vault:v1:" + base64.StdEncoding.EncodeToString(sig)}, err
	}
	return nil, fmt.Errorf("no such path: %s", r.URL.Path)
}

func TestKMS(t *testing.T) {
	v, s := newVault(t), newShelf(t, ggcr.WithReferrersSupport(true))
	key, err := sign.OpenKey(t.Context(), sign.KeyConfig{KMS: "hashivault://release"})
	must(t, err)
	signer := sign.New(key, s.client)
	for range 2 {
		must(t, signer.Sign(t.Context(), s.image))
		must(t, signer.Attest(t.Context(), s.image, verdict, []byte(`{}`)))
	}
	if v.signed != 3 {
		t.Errorf("asked for %d signatures, want those of the image's two forms and of the statement", v.signed)
	}
	if _, err := sign.Verify(t.Context(), s.client, key.Public(), s.image); err != nil {
		t.Error(err)
	}
	// Another key under the same name signs nothing for the one that was published.
	v.rotate(t)
	s.wrote()
	if err := signer.Attest(t.Context(), s.image, verdict, []byte(`{"new": true}`)); err == nil || !strings.Contains(err.Error(), "not that key's") {
		t.Errorf("a replaced key: %v", err)
	}
	if wrote := s.wrote(); len(wrote) != 0 {
		t.Errorf("wrote %v", wrote)
	}
}

func TestKMSAway(t *testing.T) {
	t.Setenv("VAULT_ADDR", "http://127.0.0.1:1")
	t.Setenv("VAULT_TOKEN", "hvs.test")
	t.Setenv("VAULT_MAX_RETRIES", "0")
	if _, err := sign.OpenKey(t.Context(), sign.KeyConfig{KMS: "hashivault://release"}); err == nil || !strings.Contains(err.Error(), "hashivault://release") {
		t.Errorf("got %v", err)
	}
}
