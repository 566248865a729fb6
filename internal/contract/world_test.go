package contract

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"rebuilder/internal/demo/forge"
	"rebuilder/internal/githubspec"
	ours "rebuilder/internal/notify/github"

	"github.com/google/go-github/v57/github"
)

const (
	ourToken    = "ghp_ours"
	personToken = "ghp_person"
	hookSecret  = "between us"
)

// needed leaves a test out when what it needs is not installed; `make contract` installs all, and then it fails.
func needed(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("REBUILDER_CONTRACT") != "" {
		t.Fatalf("%s is not there: scripts/contract should have installed it", what)
	}
	t.Skipf("%s is not there: make contract installs it", what)
}

// world is the demo's forge on a port, judged on both sides of the wire.
type world struct {
	forge  *forge.Forge
	app    *ours.App // installed at the organization
	record *githubspec.Record
	hooks  *githubspec.Record // webhooks have today's form in any case: nobody asks for them
	base   string
	dir    string
}

// twist is what stands between the record and the forge; nil is nothing.
type twist func(http.Handler) http.Handler

// open starts a world whose requests ask for a version of the API ("" for today's).
func open(t *testing.T, version string, broken twist) *world {
	t.Helper()
	w := &world{dir: t.TempDir()}
	var err error
	if w.record, err = recordOf(version); err != nil {
		t.Fatal(err)
	}
	if w.hooks, err = recordOf(""); err != nil {
		t.Fatal(err)
	}
	hooks := httptest.NewServer(http.HandlerFunc(w.receive))
	t.Cleanup(hooks.Close)
	server := httptest.NewUnstartedServer(nil)
	w.base = "http://" + server.Listener.Addr().String()
	w.forge, err = forge.New(forge.Config{
		Dir: w.dir, BaseURL: w.base, WebhookURL: hooks.URL, WebhookSecret: hookSecret, Asynchronous: true, Ephemeral: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.forge.AddUser("rebuilder-bot", ourToken)
	w.forge.AddUser("person", personToken)
	w.app = w.install(t)
	content := map[string][]byte{}
	for path, text := range files {
		content[path] = []byte(text)
	}
	if err := w.forge.AddRepository(organization, "web", content); err != nil {
		t.Fatal(err)
	}
	handler := http.Handler(w.forge)
	if broken != nil {
		handler = broken(handler)
	}
	server.Config.Handler = w.record.Handler(versioned(version, handler))
	server.Start()
	t.Cleanup(func() {
		server.Close()
		_ = w.forge.Close()
	})
	return w
}

// install makes an App that has the permissions that ours asks for, and no more.
func (w *world) install(t *testing.T) *ours.App {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	permissions := map[string]string{}
	for _, p := range ours.Permissions() {
		permissions[p.Name] = p.Access
	}
	const id = 7
	if err := w.forge.AddApp(forge.App{ID: id, Slug: "acme-rebuilder", Key: &key.PublicKey, Permissions: permissions}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.forge.Install(forge.Installation{App: id, Account: organization}); err != nil {
		t.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return &ours.App{ID: id, Key: func() ([]byte, error) { return private, nil }}
}

// versioned asks the forge for a version in the client's place; the client itself says which one it was made for.
func versioned(version string, next http.Handler) http.Handler {
	if version == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-GitHub-Api-Version", version)
		next.ServeHTTP(w, r)
	})
}

func recordOf(version string) (*githubspec.Record, error) {
	if version == githubspec.NextVersion {
		next, err := githubspec.Next()
		return githubspec.NewRecord(next), err
	}
	cloud, err := githubspec.GitHub()
	if err != nil {
		return nil, err
	}
	enterprise, err := githubspec.GHES()
	return githubspec.NewRecord(cloud, enterprise), err
}

// receive takes webhooks as the daemon does, and judges them.
func (w *world) receive(_ http.ResponseWriter, r *http.Request) {
	body, err := github.ValidatePayload(r, []byte(hookSecret))
	if err != nil {
		body = []byte("not signed")
	}
	w.hooks.AddWebhook(r.Header.Get("X-GitHub-Event"), body)
}

// play runs the scenario to its end as an App, or by a token if that is nil, webhooks included, and returns all that is wrong.
func (w *world) play(ctx context.Context, as *ours.App) (wrong []string, err error) {
	s, err := newStage(w.base+"/api/v3", http.DefaultTransport, as)
	if err != nil {
		return nil, err
	}
	for name, problem := range play(ctx, s, scenario()) {
		wrong = append(wrong, name+": "+problem.Error())
	}
	_ = w.forge.Close()
	for _, f := range append(w.record.Findings(), w.hooks.Findings()...) {
		wrong = append(wrong, f.String())
	}
	return wrong, nil
}
