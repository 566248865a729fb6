package github_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"rebuilder/internal/notify"
	ours "rebuilder/internal/notify/github"
)

var appKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func inPEM(key *rsa.PrivateKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}

// hub answers an App as GitHub does, and refuses what it would refuse.
type hub struct {
	t *testing.T

	mu        sync.Mutex
	ids       map[string]int64 // installations by account
	granted   map[string]string
	tokens    map[string]string // account by token
	asked     []string
	bodies    []string
	faults    map[string][]int // statuses to answer first, by "METHOD /path"
	suspended bool
}

func newHub(t *testing.T) (*hub, *httptest.Server) {
	h := &hub{t: t, ids: map[string]int64{"acme": 7, "shop": 8}, tokens: map[string]string{}, faults: map[string][]int{},
		granted: map[string]string{"contents": "write", "pull_requests": "write", "metadata": "read", "administration": "write"}}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return h, server
}

func (h *hub) client(base string, tune func(*ours.Config)) *ours.Client {
	h.t.Helper()
	cfg := ours.Config{BaseURL: base, App: &ours.App{ID: 42, Key: func() ([]byte, error) { return inPEM(appKey()), nil }}, RetryWait: time.Millisecond}
	if tune != nil {
		tune(&cfg)
	}
	c, err := ours.New(cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func (h *hub) count(what string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.asked {
		if strings.HasPrefix(a, what) {
			n++
		}
	}
	return n
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/api/v3")
	what := r.Method + " " + path
	h.asked = append(h.asked, what)
	if f := h.faults[what]; len(f) > 0 {
		h.faults[what] = f[1:]
		if f[0] == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "60")
		}
		http.Error(w, `{"message":"fault"}`, f[0])
		return
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case parts[len(parts)-1] == "installation":
		h.installation(w, r, parts[1])
	case parts[len(parts)-1] == "access_tokens":
		h.token(w, r, parts[2])
	case path == "/app":
		h.answer(w, h.byApp(r), http.StatusOK, map[string]any{"slug": "acme-rebuilder"})
	default:
		account := h.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		h.answer(w, account == parts[1], http.StatusOK, map[string]any{"ref": "refs/heads/main", "object": map[string]string{"sha": "abc", "type": "commit"}})
	}
}

func (h *hub) answer(w http.ResponseWriter, ok bool, status int, body any) {
	if !ok {
		status, body = http.StatusUnauthorized, map[string]string{"message": "Bad credentials"}
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (h *hub) installation(w http.ResponseWriter, r *http.Request, account string) {
	id, ok := h.ids[account]
	if !ok {
		h.answer(w, h.byApp(r), http.StatusNotFound, map[string]string{"message": "Not Found"})
		return
	}
	body := map[string]any{"id": id, "permissions": h.granted}
	if h.suspended {
		body["suspended_at"] = time.Now().Format(time.RFC3339)
	}
	h.answer(w, h.byApp(r), http.StatusOK, body)
}

func (h *hub) token(w http.ResponseWriter, r *http.Request, id string) {
	var in struct{ Permissions map[string]string }
	err := json.NewDecoder(r.Body).Decode(&in)
	data, _ := json.Marshal(in.Permissions)
	h.bodies = append(h.bodies, string(data))
	for name, access := range in.Permissions {
		if has := h.granted[name]; err != nil || has != access && has != "write" {
			h.answer(w, true, http.StatusUnprocessableEntity, map[string]string{"message": "The permissions requested are not granted to this installation."})
			return
		}
	}
	for account, known := range h.ids {
		if fmt.Sprint(known) == id {
			token := fmt.Sprintf("ghs_%s%d", account, len(h.tokens))
			h.tokens[token] = account
			h.answer(w, h.byApp(r), http.StatusCreated, map[string]any{"token": token, "expires_at": time.Now().Add(time.Hour).Format(time.RFC3339)})
			return
		}
	}
	h.answer(w, true, http.StatusNotFound, map[string]string{"message": "Not Found"})
}

// byApp checks the signature, and that it is not good for longer than GitHub takes.
func (h *hub) byApp(r *http.Request) bool {
	signed := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	parts := strings.Split(signed, ".")
	if len(parts) != 3 {
		return false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || rsa.VerifyPKCS1v15(&appKey().PublicKey, crypto.SHA256, sum[:], signature) != nil {
		return false
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	var in struct {
		Iss      string
		Iat, Exp int64
	}
	return err == nil && json.Unmarshal(claims, &in) == nil && in.Iss == "42" && in.Exp-in.Iat <= 600 && in.Exp > time.Now().Unix()
}

func TestApp(t *testing.T) {
	h, server := newHub(t)
	for _, base := range []string{server.URL, server.URL + "/", server.URL + "/api/v3", server.URL + "/api/v3/"} {
		c := h.client(base, nil)
		for range 3 {
			for _, repo := range []string{"acme/web", "acme/api", "shop/web"} {
				if _, err := c.Head(t.Context(), repo, "main"); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if n := h.count("POST /app/installations/"); n != 8 {
		t.Errorf("%d tokens were made for two accounts of four clients", n)
	}
	for _, body := range h.bodies {
		if want := `{"contents":"write","metadata":"read","pull_requests":"write"}`; body != want {
			t.Errorf("a token asked for %s, want the least that is granted: %s", body, want)
		}
	}
}

// TestAppGoesOn through what comes to pass: a gateway's error, a token that was revoked, an App that was installed anew.
func TestAppGoesOn(t *testing.T) {
	h, server := newHub(t)
	c := h.client(server.URL, nil)
	head := func() {
		t.Helper()
		if _, err := c.Head(t.Context(), "acme/web", "main"); err != nil {
			t.Fatal(err)
		}
	}
	h.faults["GET /repos/acme/web/installation"] = []int{502, 503}
	h.faults["POST /app/installations/7/access_tokens"] = []int{502, 500}
	head()
	clear(h.tokens)
	head()
	if n := h.count("POST /app/installations/7/access_tokens"); n != 4 {
		t.Errorf("a token was asked for %d times, want twice more than the first two", n)
	}
	clear(h.tokens)
	h.ids["acme"] = 9
	head()
	if n := h.count("POST /app/installations/9/access_tokens"); n != 1 {
		t.Errorf("%d tokens of the new installation, want 1", n)
	}
}

func TestAppRefused(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, repo string
		change     func(*hub, *ours.Config)
		want       string
	}{
		{"not installed", "other/web", nil, "branch main of other/web: "},
		{"not installed", "other/web", nil, "the App 42 is not installed for other/web"},
		{"suspended", "acme/web", func(h *hub, _ *ours.Config) { h.suspended = true }, "the App 42 is suspended for acme: an owner of acme has to unsuspend it"},
		{"another key", "acme/web", func(_ *hub, c *ours.Config) { c.App.Key = func() ([]byte, error) { return inPEM(other), nil } }, "is 42 its id, is the key its own, is the clock right?"},
		{"no key", "acme/web", func(_ *hub, c *ours.Config) {
			c.App.Key = func() ([]byte, error) { return []byte("-----BEGIN SECRET"), nil }
		}, "not an RSA key in PEM"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, server := newHub(t)
			client := h.client(server.URL, func(cfg *ours.Config) {
				if c.change != nil {
					c.change(h, cfg)
				}
			})
			_, err := client.Head(t.Context(), c.repo, "main")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
			if c.name == "not installed" && !errors.Is(err, notify.ErrNotFound) {
				t.Errorf("error %v is not ErrNotFound", err)
			}
			for _, secret := range []string{"BEGIN", "ghs_", "eyJ"} {
				if err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("the error has a secret: %v", err)
				}
			}
		})
	}
}

// held remembers who was held.
type held struct {
	mu  sync.Mutex
	all []string
}

func (l *held) Hold(_ context.Context, installation string, _ time.Time, _ string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, installation)
	return nil
}

func (l *held) Enter(context.Context, string, string, notify.Writer) (notify.Turn, error) {
	return nil, errors.New("nobody writes here")
}

// TestAppLimits: an installation that is refused holds nobody but itself.
func TestAppLimits(t *testing.T) {
	h, server := newHub(t)
	l := new(held)
	c := h.client(server.URL, func(cfg *ours.Config) { cfg.Line = l })
	h.faults["GET /repos/acme/web/git/ref/heads/main"] = []int{429}
	var limited *notify.RateLimited
	if _, err := c.Head(t.Context(), "acme/web", "main"); !errors.As(err, &limited) {
		t.Errorf("error %v, want a rate limit", err)
	}
	if _, err := c.Head(t.Context(), "shop/web", "main"); err != nil {
		t.Error(err)
	}
	if len(l.all) != 1 || l.all[0] != "app/42/installation/7" {
		t.Errorf("held %v", l.all)
	}
}

func TestCheck(t *testing.T) {
	h, server := newHub(t)
	c := h.client(server.URL, nil)
	all, err := c.Check(t.Context(), "acme/web")
	if err != nil || len(all) != 4 || all[0].What != "the App lacks checks: read, to follow the checks of pull requests" || all[0].Option || !all[2].Option {
		t.Errorf("%+v, %v", all, err)
	}
	all, err = c.Check(t.Context(), "other/web")
	if err != nil || len(all) != 1 || all[0].What != "the App 42 is not installed for other/web" {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestCheckByToken(t *testing.T) {
	w := start(t)
	all, err := w.client.Check(t.Context(), "acme/web")
	if err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	all, err = w.client.Check(t.Context(), "acme/none")
	if err != nil || len(all) != 1 || all[0].What != "it is not there, or may not be seen" {
		t.Errorf("%+v, %v", all, err)
	}
}
