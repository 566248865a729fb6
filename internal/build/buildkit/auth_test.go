package buildkit_test

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"rebuilder/internal/build"
	"rebuilder/internal/build/buildkit"
)

// Registries that want a password, in the two ways that there are, for pulls and pushes alike.
func TestCredentials(t *testing.T) {
	w := openWorld(t)
	for kind, start := range map[string]func(*testing.T) string{"basic": basicRegistry, "token": tokenRegistry} {
		t.Run(kind, func(t *testing.T) {
			host := start(t)
			keys := keychain{host}
			ref, err := name.ParseReference(host + "/base/busybox:1")
			if err != nil {
				t.Fatal(err)
			}
			if err := remote.Write(ref, rootfs(t, nil), remote.WithAuthFromKeychain(keys)); err != nil {
				t.Fatal(err)
			}
			r := build.Request{Image: "app", Dir: t.TempDir(), Platform: platform, Repository: host + "/out"}
			write(t, r.Dir, "Dockerfile", "FROM "+host+"/base/busybox:1\nRUN echo "+kind+" >/f\n")

			e, err := buildkit.Open(t.Context(), buildkit.Config{Address: w.engine.Address()})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if _, err := e.Build(t.Context(), r); err == nil || strings.Contains(err.Error(), password) {
				t.Errorf("without credentials: %v", err)
			}
			e, err = buildkit.Open(t.Context(), buildkit.Config{Address: w.engine.Address(), Keychain: keys})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			var l buffer
			r.Log = &l
			res, err := e.Build(t.Context(), r)
			if err != nil {
				t.Fatalf("%v\n%s", err, l.String())
			}
			if strings.Contains(l.String(), password) {
				t.Errorf("the log has the password:\n%s", l.String())
			}
			pushed, err := name.NewDigest(r.Repository + "@" + res.Digest.String())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := remote.Head(pushed, remote.WithAuthFromKeychain(keys)); err != nil {
				t.Error(err)
			}
		})
	}
}

const (
	user     = "robot"
	password = "s3cr3t-of-the-test"
)

// keychain knows one registry.
type keychain struct{ host string }

func (k keychain) Resolve(r authn.Resource) (authn.Authenticator, error) {
	if r.RegistryStr() != k.host {
		return authn.Anonymous, nil
	}
	return &authn.Basic{Username: user, Password: password}, nil
}

func known(r *http.Request) bool {
	u, p, _ := r.BasicAuth()
	return u == user && p == password
}

func basicRegistry(t *testing.T) string {
	return guarded(t, func(string) string { return `Basic realm="test"` }, known)
}

// tokenRegistry hands out a token for the password, as most registries do.
func tokenRegistry(t *testing.T) string {
	return guarded(t, func(host string) string {
		return `Bearer realm="http://` + host + `/token",service="test",scope="repository:base/busybox:pull,push repository:out:pull,push"`
	}, func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer "+token })
}

const token = "a-token"

// guarded is a registry that answers only those who may.
func guarded(t *testing.T, challenge func(host string) string, may func(*http.Request) bool) string {
	reg := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			giveToken(w, r)
		case may(r):
			reg.ServeHTTP(w, r)
		default:
			w.Header().Set("WWW-Authenticate", challenge(r.Host))
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func giveToken(w http.ResponseWriter, r *http.Request) {
	if !known(r) && (r.FormValue("username") != user || r.FormValue("password") != password) {
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "access_token": token, "expires_in": 300})
}
