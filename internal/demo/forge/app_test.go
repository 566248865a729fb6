package forge_test

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/demo/forge"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-github/v57/github"
)

const appID = 7

// addApp makes an App that is installed at acme, and returns the App's key and the installation's number.
func (w *world) addApp(i forge.Installation) (*rsa.PrivateKey, int64) {
	w.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	w.must(err)
	w.must(w.forge.AddApp(forge.App{
		ID: appID, Slug: "acme-rebuilder", Key: &key.PublicKey,
		Permissions: map[string]string{"contents": "write", "pull_requests": "write", "checks": "read"},
	}))
	i.App, i.Account = appID, "acme"
	id, err := w.forge.Install(i)
	w.must(err)
	return key, id
}

func signed(t *testing.T, key *rsa.PrivateKey, life time.Duration) string {
	t.Helper()
	now := time.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
		Issuer: strconv.Itoa(appID), IssuedAt: jwt.NewNumericDate(now.Add(-30 * time.Second)), ExpiresAt: jwt.NewNumericDate(now.Add(life)),
	}).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// asApp uses what only an App has.
func (w *world) asApp() {
	ctx := w.t.Context()
	key, id := w.addApp(forge.Installation{})
	app := w.as(signed(w.t, key, 5*time.Minute))
	get := func(client *github.Client, path string) {
		w.t.Helper()
		w.callBy(client, "GET", path, nil)
	}
	get(app, "//app")
	get(app, "//app/installations")
	get(app, "//app/installations/"+strconv.FormatInt(id, 10))
	get(app, "//orgs/acme/installation")
	get(app, "/installation")
	token, _, err := app.Apps.CreateInstallationToken(ctx, id, &github.InstallationTokenOptions{
		Repositories: []string{"web"}, Permissions: &github.InstallationPermissions{Contents: github.String("read")},
	})
	w.must(err)
	get(w.as(token.GetToken()), "//installation/repositories")
}

func TestAnAppHasWhatItsInstallationHas(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	w.must(w.forge.AddRepository("acme", "hidden", nil))
	key, id := w.addApp(forge.Installation{Repositories: []string{"web"}})
	ask := func(token, method, path, body string) int {
		req := httptest.NewRequest(method, path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+token)
		answer := httptest.NewRecorder()
		w.forge.ServeHTTP(answer, req)
		return answer.Code
	}
	app := w.as(signed(t, key, 5*time.Minute))
	token, _, err := app.Apps.CreateInstallationToken(t.Context(), id, &github.InstallationTokenOptions{})
	w.must(err)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	w.must(err)
	for _, c := range []struct {
		name, token, method, path, body string
		want                            int
	}{
		{"what it may read", token.GetToken(), "GET", "/repos/acme/web/contents/Dockerfile", "", 200},
		{"what it may write", token.GetToken(), "POST", "/repos/acme/web/git/blobs", `{"content":"a"}`, 201},
		{"what it may only read", token.GetToken(), "POST", "/repos/acme/web/check-runs", `{"name":"x"}`, 403},
		{"checks of a commit", token.GetToken(), "GET", "/repos/acme/web/commits/main/check-runs", "", 200},
		{"statuses without that permission", token.GetToken(), "GET", "/repos/acme/web/commits/main/status", "", 403},
		{"a permission it has not", token.GetToken(), "GET", "/repos/acme/web/branches/main/protection", "", 403},
		{"a repository that is not selected", token.GetToken(), "GET", "/repos/acme/hidden", "", 404},
		{"the App itself in a repository", signed(t, key, time.Minute), "GET", "/repos/acme/web", "", 403},
		{"a token where the App's signature belongs", token.GetToken(), "GET", "/app", "", 401},
		{"somebody else's signature", signed(t, stranger, time.Minute), "GET", "/app", "", 401},
		{"a signature that is over", signed(t, key, -2*time.Minute), "GET", "/app", "", 401},
		{"a signature for too long", signed(t, key, time.Hour), "GET", "/app", "", 401},
	} {
		if got := ask(c.token, c.method, c.path, c.body); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if _, err := w.forge.Install(forge.Installation{App: 99, Account: "acme"}); err == nil {
		t.Error("an App that is not there was installed")
	}
	w.forge.ExpireTokens()
	if got := ask(token.GetToken(), "GET", "/repos/acme/web", ""); got != 401 {
		t.Errorf("an expired token: %d", got)
	}
}

func TestAnAppsTokenPushesAndClones(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	key, id := w.addApp(forge.Installation{})
	app := w.as(signed(t, key, 5*time.Minute))
	token := func(level string) string {
		made, _, err := app.Apps.CreateInstallationToken(t.Context(), id, &github.InstallationTokenOptions{
			Permissions: &github.InstallationPermissions{Contents: &level},
		})
		w.must(err)
		return made.GetToken()
	}
	tree := w.clone()
	w.commitFile(tree, "topic", "a.txt", []byte("a\n"))
	if out, err := w.git(tree, "push", "-q", w.pushURL(token("read")), "topic"); err == nil {
		t.Errorf("a token that may read pushed: %s", out)
	}
	w.mustGit(tree, "push", "-q", w.pushURL(token("write")), "topic")
}
