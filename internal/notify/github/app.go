package github

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"rebuilder/internal/notify"

	"github.com/bradleyfalzon/ghinstallation/v2"
	"github.com/google/go-github/v57/github"
)

// App is a GitHub App, as whom pull requests are made in place of a person. Both members are needed.
type App struct {
	ID int64
	// Key is asked for the App's private key in PEM when the first token is needed, and after one was refused.
	Key func() ([]byte, error)
}

// Permission is what an App needs, and what for.
type Permission struct {
	Name, Access, For string
	Option            bool // only who uses what it is for needs it
}

// Permissions are the least that all of it works with. A token asks for these and nothing else, as far as the
// installation grants them.
func Permissions() []Permission {
	return []Permission{
		{Name: "metadata", Access: "read", For: "to find repositories"},
		{Name: "contents", Access: "write", For: "to read Dockerfiles, to push the branches of pull requests, and for repository_dispatch"},
		{Name: "pull_requests", Access: "write", For: "to open, label and close pull requests"},
		{Name: "checks", Access: "read", For: "to follow the checks of pull requests"},
		{Name: "statuses", Access: "read", For: "to follow the statuses of pull requests"},
		{Name: "actions", Access: "write", For: "for workflow_dispatch, and to see the runs of a dispatch", Option: true},
		{Name: "packages", Access: "read", For: "to discover images in the forge's registry", Option: true},
	}
}

// installation is an App in one account.
type installation struct {
	app, id   int64
	account   string
	granted   map[string]string // permission: access
	suspended bool
	tokens    *ghinstallation.Transport
}

func (i *installation) String() string { return fmt.Sprintf("app/%d/installation/%d", i.app, i.id) }

// missing are the permissions that the account's owner has not granted.
func (i *installation) missing() (all []Permission) {
	for _, p := range Permissions() {
		if has := i.granted[p.Name]; has != p.Access && has != "write" && has != "admin" {
			all = append(all, p)
		}
	}
	return all
}

// apps finds the installation for each account, and its tokens.
type apps struct {
	app  App
	base string // without trailing slash
	wire http.RoundTripper

	mu     sync.Mutex
	key    []byte
	signer *ghinstallation.AppsTransport // nil: the key is to be read
	known  map[string]*installation      // by account, in small letters
	login  string
}

func newApps(app App, base *url.URL, wire http.RoundTripper) *apps {
	return &apps{app: app, base: strings.TrimSuffix(base.String(), "/"), wire: repeats{wire}, known: map[string]*installation{}}
}

// repeats marks requests of an App as safe to repeat, a second token does no harm; and it closes the answers that the
// library leaves open when it does not like them.
type repeats struct{ next http.RoundTripper }

func (t repeats) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req.WithContext(context.WithValue(req.Context(), repeatKey{}, true)))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxSmall))
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(data))
	return resp, err
}

// maxSmall bounds what GitHub tells an App of itself, in bytes.
const maxSmall = 1 << 20

// of returns the installation for an account; repo may be empty for an organization itself. ErrNotFound says that the App
// is not installed there, or not for this repository.
func (a *apps) of(ctx context.Context, account, repo string) (*installation, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := a.known[strings.ToLower(account)]; i != nil {
		return i, nil
	}
	path := "/orgs/" + account + "/installation"
	if repo != "" {
		path = "/repos/" + account + "/" + repo + "/installation"
	}
	var got github.Installation
	err := a.ask(ctx, path, &got)
	if errors.Is(err, notify.ErrNotFound) {
		return nil, fmt.Errorf("the App %d is not installed for %s: %w", a.app.ID, strings.Trim(account+"/"+repo, "/"), err)
	}
	if err != nil {
		return nil, err
	}
	i := &installation{app: a.app.ID, id: got.GetID(), account: account, granted: granted(got.Permissions), suspended: got.SuspendedAt != nil}
	if i.suspended {
		return nil, fmt.Errorf("the App %d is suspended for %s: an owner of %s has to unsuspend it", a.app.ID, account, account)
	}
	// Each has a signer of its own: the library writes to it at each refresh.
	if i.tokens, err = ghinstallation.New(a.wire, a.app.ID, i.id, a.key); err != nil {
		return nil, err
	}
	i.tokens.BaseURL = a.base
	i.tokens.InstallationTokenOptions = &github.InstallationTokenOptions{Permissions: i.least()}
	a.known[strings.ToLower(account)] = i
	return i, nil
}

// forget has the installation of an account looked up anew: it was removed, or its token is refused.
func (a *apps) forget(account string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.known, strings.ToLower(account))
	a.signer = nil // the key may be another one by now
}

// token returns a token for an account's repositories that is good for a minute at least.
func (a *apps) token(ctx context.Context, account, repo string) (i *installation, token string, err error) {
	for again := false; ; again = true {
		if i, err = a.of(ctx, account, repo); err != nil {
			return nil, "", err
		}
		// Not the library's own words: they have an address, and no way out.
		token, err = i.tokens.Token(ctx)
		var refused *ghinstallation.HTTPError
		switch {
		case err == nil:
			return i, token, nil
		case !errors.As(err, &refused) || refused.Response == nil:
			return nil, "", fmt.Errorf("token of the App %d for %s: %w", a.app.ID, account, err)
		case !again && refused.Response.StatusCode == http.StatusNotFound: // it was installed anew
			a.forget(account)
			continue
		}
		a.forget(account)
		return nil, "", a.refusal(refused.Response, "token of the App for "+account)
	}
}

// ask makes a request as the App itself. The lock is held.
func (a *apps) ask(ctx context.Context, path string, into any) error {
	if err := a.sign(); err != nil {
		return fmt.Errorf("private key of the App %d: %w", a.app.ID, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-GitHub-Api-Version", apiVersion)
	resp, err := a.signer.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("github: %s: %w", path, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized {
		a.signer = nil
	}
	if resp.StatusCode != http.StatusOK {
		return a.refusal(resp, path)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// sign reads the key when it is needed. The library's errors are not passed on: they might quote it.
func (a *apps) sign() (err error) {
	if a.signer != nil {
		return nil
	}
	if a.key, err = a.app.Key(); err != nil {
		return err
	}
	if a.signer, err = ghinstallation.NewAppsTransport(a.wire, a.app.ID, a.key); err != nil {
		return errors.New("not an RSA key in PEM, as GitHub gives it")
	}
	a.signer.BaseURL = a.base
	return nil
}

// refusal explains what GitHub answered to the App itself.
func (a *apps) refusal(resp *http.Response, what string) error {
	err := github.CheckResponse(resp)
	if resp.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("%s: the forge refuses the App's signature (is %d its id, is the key its own, is the clock right?): %w", what, a.app.ID, err)
	}
	return explain(what, err)
}

// whoAmI is the login that the App's commits have.
func (a *apps) whoAmI(ctx context.Context) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.login != "" {
		return a.login, nil
	}
	var got github.App
	if err := a.ask(ctx, "/app", &got); err != nil {
		return "", err
	}
	a.login = got.GetSlug() + "[bot]"
	return a.login, nil
}

// granted reads permissions by the names that GitHub has for them.
func granted(p *github.InstallationPermissions) map[string]string {
	out := map[string]string{}
	if data, err := json.Marshal(p); err == nil {
		_ = json.Unmarshal(data, &out)
	}
	return out
}

// least are the permissions that tokens ask for: GitHub refuses one that asks for more than the installation has.
func (i *installation) least() *github.InstallationPermissions {
	want := map[string]string{}
	for _, p := range Permissions() {
		switch has := i.granted[p.Name]; has {
		case "":
		case "read":
			want[p.Name] = has
		default:
			want[p.Name] = p.Access
		}
	}
	out := new(github.InstallationPermissions)
	if data, err := json.Marshal(want); err == nil {
		_ = json.Unmarshal(data, out)
	}
	return out
}

// owner finds whose repository or organization a request is about: "" for neither.
func owner(req *http.Request) (account, repo string) {
	if t, ok := req.Context().Value(targetKey{}).(target); ok {
		return t.owner, t.name
	}
	parts := strings.Split(req.URL.Path, "/")
	for i, part := range parts {
		switch {
		case part == "repos" && i+2 < len(parts):
			return parts[i+1], parts[i+2]
		case part == "orgs" && i+1 < len(parts):
			return parts[i+1], ""
		}
	}
	return "", ""
}

// targetKey marks requests whose path does not say what they are about.
type targetKey struct{}

// apiVersion is GitHub's version of the API, which go-github names by itself.
const apiVersion = "2022-11-28"

// Token returns what git over HTTP takes as the password for a repository. It is good for a minute at least.
func (c *Client) Token(ctx context.Context, repo string) (string, error) {
	t, err := parseRepo(repo)
	if err != nil {
		return "", err
	}
	if c.apps == nil {
		return c.cfg.Token(ctx)
	}
	_, token, err := c.apps.token(ctx, t.owner, t.name)
	return token, err
}

// Lack is something that is missing at a repository, with the way out.
type Lack struct {
	What, Hint string
	Option     bool // only who uses what it is for needs it
}

// Check says what is missing for a repository; nothing when all is well. It only reads.
func (c *Client) Check(ctx context.Context, repo string) (all []Lack, err error) {
	t, err := parseRepo(repo)
	if err != nil {
		return nil, err
	}
	if c.apps != nil {
		i, err := c.apps.of(ctx, t.owner, t.name)
		if errors.Is(err, notify.ErrNotFound) {
			return []Lack{{What: fmt.Sprintf("the App %d is not installed for %s", c.cfg.App.ID, t), Hint: "have an owner of " + t.owner + " install it, and choose this repository"}}, nil
		}
		if err != nil {
			return nil, err
		}
		for _, p := range i.missing() {
			all = append(all, Lack{What: fmt.Sprintf("the App lacks %s: %s, %s", p.Name, p.Access, p.For),
				Hint: "add it on the App's page, and have an owner of " + t.owner + " accept it", Option: p.Option})
		}
	}
	r, _, err := c.api.Repositories.Get(ctx, t.owner, t.name)
	if err := explain("repository "+repo, err); err != nil {
		if errors.Is(err, notify.ErrNotFound) {
			return append(all, Lack{What: "it is not there, or may not be seen", Hint: "is the name right, may the token read it?"}), nil
		}
		return nil, err
	}
	switch may := r.GetPermissions(); {
	case r.GetArchived():
		all = append(all, Lack{What: "it is archived, and nothing can be pushed to it", Hint: `strategy = "observe", or unarchive it`})
	case r.GetDisabled():
		all = append(all, Lack{What: "the forge has disabled it", Hint: "ask who runs the forge"})
	case c.apps == nil && len(may) > 0 && !may["push"]:
		all = append(all, Lack{What: "the token may not push to it", Hint: "a classic token needs the scope repo, its user write access"})
	}
	return all, nil
}
