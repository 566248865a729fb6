package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
)

// tokens is a registry that wants a token for each scope, and takes the last one it gave only.
func (w *world) tokens(t *testing.T) (asked func() []string) {
	t.Helper()
	var scopes []string
	current := map[string]string{}
	var given atomic.Int64
	w.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if r.URL.Path == "/token" {
			scope := r.URL.Query().Get("scope")
			scopes = append(scopes, scope)
			current[scope] = fmt.Sprintf("token-%d", given.Add(1))
			if err := json.NewEncoder(rw).Encode(map[string]string{"token": current[scope]}); err != nil {
				t.Error(err)
			}
			return true
		}
		for _, token := range current {
			if r.Header.Get("Authorization") == "Bearer "+token {
				return false
			}
		}
		rw.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="test"`, w.host))
		rw.WriteHeader(http.StatusUnauthorized)
		return true
	})
	return func() []string {
		w.mu.Lock()
		defer w.mu.Unlock()
		got := scopes
		scopes = nil
		return got
	}
}

// A list asks for the scope that it needs, once.
func TestListsLogIn(t *testing.T) {
	w := newWorld(t)
	w.push(t, "a:1", imageFor(t, "linux/amd64"))
	asked := w.tokens(t)
	c := newClient(t, Config{})
	for range 3 {
		names, _, err := c.Repositories(t.Context(), w.host, "")
		if err != nil || len(names) != 1 {
			t.Fatalf("%q, %v", names, err)
		}
		if tags, _, err := c.Tags(t.Context(), w.host+"/a", ""); err != nil || len(tags) != 1 {
			t.Fatalf("%q, %v", tags, err)
		}
	}
	if got := strings.Join(asked(), " "); got != "registry:catalog:* repository:a:pull" {
		t.Errorf("asked for %q", got)
	}
}

// rotating gives other credentials each time it is asked.
type rotating struct{ n atomic.Int64 }

func (r *rotating) Resolve(authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: "u", Password: fmt.Sprint(r.n.Add(1))}, nil
}

// Credentials that ended are looked up anew, as those of cloud registries do.
func TestListsLogInAgain(t *testing.T) {
	w := newWorld(t)
	w.push(t, "a:1", imageFor(t, "linux/amd64"))
	right := "1"
	w.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if _, password, _ := r.BasicAuth(); password == right {
			return false
		}
		rw.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		rw.WriteHeader(http.StatusUnauthorized)
		return true
	})
	c := newClient(t, Config{Keychain: &rotating{}})
	for _, right = range []string{"1", "2", "3"} {
		if _, _, err := c.Repositories(t.Context(), w.host, ""); err != nil {
			t.Errorf("password %s: %v", right, err)
		}
	}
}

func TestLoginsAreBounded(t *testing.T) {
	c := newClient(t, Config{})
	for i := range 2*maxLogins + 1 {
		host, err := c.registry("127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		if full := c.lists.put(host, fmt.Sprint(i), http.DefaultTransport); full != (i > 0 && i%maxLogins == 0) {
			t.Errorf("%d: full %v", i, full)
		}
	}
	if n := len(c.lists.known); n > maxLogins {
		t.Errorf("%d are held", n)
	}
}
