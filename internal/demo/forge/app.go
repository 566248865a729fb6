package forge

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// tokenLife is how long an installation's token is good for.
const tokenLife = time.Hour

// App is a GitHub App: what signs its requests, and what it asks of those who install it ("contents": "write").
type App struct {
	ID          int64
	Slug        string
	Key         *rsa.PublicKey
	Permissions map[string]string
}

// Installation is where an App may work. Without Permissions it has all that the App asks for, without Repositories
// (names below Account) all of the account's.
type Installation struct {
	App          int64
	Account      string
	Permissions  map[string]string
	Repositories []string
}

// app is an App as it is stored.
type app struct {
	ID            int64
	Slug, Key     string // PEM
	Permissions   map[string]string
	Created       time.Time
	Installations []*installation
}

type installation struct {
	ID           int64
	Account      string
	Permissions  map[string]string
	Repositories []string `json:",omitempty"`
	Suspended    bool     `json:",omitempty"`
	Created      time.Time
}

// grant is an installation's token: never more than the installation itself.
type grant struct {
	App, Installation int64
	Permissions       map[string]string
	Repositories      []int64 `json:",omitempty"` // nil for all of the installation
	Expires           time.Time
}

// AddApp makes an App. One with the same number is replaced; its installations stay.
func (f *Forge) AddApp(a App) error {
	if a.Key == nil || a.ID == 0 || a.Slug == "" {
		return errors.New("add app: number, slug and key are needed")
	}
	der, err := x509.MarshalPKIXPublicKey(a.Key)
	if err != nil {
		return fmt.Errorf("add app %s: %w", a.Slug, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	stored := &app{
		ID: a.ID, Slug: a.Slug, Permissions: a.Permissions, Created: f.now(),
		Key: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	}
	if old := f.state.Apps[a.ID]; old != nil {
		stored.Installations = old.Installations
	}
	if f.state.Apps == nil {
		f.state.Apps = map[int64]*app{}
	}
	f.state.Apps[a.ID] = stored
	f.state.ensureUser(a.Slug+"[bot]", "Bot")
	return f.save()
}

// Install lets an App work at an account and returns the installation's number.
func (f *Forge) Install(i Installation) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.state.Apps[i.App]
	if a == nil {
		return 0, fmt.Errorf("install: there is no app %d", i.App)
	}
	if i.Permissions == nil {
		i.Permissions = a.Permissions
	}
	f.state.ensureUser(i.Account, "Organization")
	made := &installation{
		ID: f.state.nextID(), Account: i.Account, Permissions: i.Permissions, Repositories: i.Repositories, Created: f.now(),
	}
	a.Installations = append(a.Installations, made)
	return made.ID, f.save()
}

// ExpireTokens ends all tokens of installations at once, as if an hour had passed.
func (f *Forge) ExpireTokens() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state.Grants = nil
	f.save()
}

// appOf returns the App that signed a request: RS256, not for longer than ten minutes, on the machine's clock.
func (f *Forge) appOf(token string) (*app, string) {
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) {
		id, _ := strconv.ParseInt(claims.Issuer, 10, 64)
		a := f.state.Apps[id]
		if a == nil {
			return nil, errors.New("no such app")
		}
		return jwt.ParseRSAPublicKeyFromPEM([]byte(a.Key))
	}, jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuedAt(), jwt.WithExpirationRequired(), jwt.WithLeeway(time.Minute))
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return nil, "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires"
	case err != nil:
		return nil, "A JSON web token could not be decoded"
	case time.Until(claims.ExpiresAt.Time) > 10*time.Minute+time.Minute:
		return nil, "'Expiration time' claim ('exp') is too far in the future"
	}
	id, _ := strconv.ParseInt(claims.Issuer, 10, 64)
	return f.state.Apps[id], ""
}

// installationAt returns the App's installation at an account.
func (a *app) installationAt(account string) *installation {
	for _, i := range a.Installations {
		if i.Account == account {
			return i
		}
	}
	return nil
}

// has says whether a repository is among the installation's.
func (i *installation) has(r *repository) bool {
	return i.Account == r.Owner && (i.Repositories == nil || slices.Contains(i.Repositories, r.Name))
}

func (f *Forge) appRoutes(on func(string, handler)) {
	on("GET /app", asApp(func(c *call) reply { return ok(c.f.appJSON(c.app)) }))
	on("GET /app/installations", asApp(listInstallations))
	on("GET /app/installations/{installation_id}", asApp(onInstallation(func(c *call, i *installation) reply {
		return ok(c.f.installationJSON(c.app, i))
	})))
	on("POST /app/installations/{installation_id}/access_tokens", asApp(onInstallation(createToken)))
	on("GET /orgs/{org}/installation", asApp(func(c *call) reply { return c.installationOf(c.r.PathValue("org"), nil) }))
	on("GET /repos/{owner}/{repo}/installation", asApp(func(c *call) reply { return c.installationOf(c.repo.Owner, c.repo) }))
	on("GET /installation/repositories", listInstalledRepositories)
}

// asApp is for what only an App itself may ask.
func asApp(h handler) handler {
	return func(c *call) reply {
		if c.app == nil {
			return fail(http.StatusUnauthorized, "A JSON web token could not be decoded")
		}
		return h(c)
	}
}

func onInstallation(h func(*call, *installation) reply) handler {
	return func(c *call) reply {
		for _, i := range c.app.Installations {
			if strconv.FormatInt(i.ID, 10) == c.r.PathValue("installation_id") {
				return h(c, i)
			}
		}
		return notFound()
	}
}

func (c *call) installationOf(account string, r *repository) reply {
	i := c.app.installationAt(account)
	if i == nil || r != nil && !i.has(r) {
		return notFound()
	}
	return ok(c.f.installationJSON(c.app, i))
}

func listInstallations(c *call) reply {
	all := []object{}
	for _, i := range c.app.Installations {
		all = append(all, c.f.installationJSON(c.app, i))
	}
	return page(c, all)
}

// createToken gives an installation's token: all of its permissions and repositories, or those of them that are asked for.
func createToken(c *call, i *installation) reply {
	var in struct {
		Repositories  []string
		RepositoryIDs []int64 `json:"repository_ids"`
		Permissions   map[string]string
	}
	if len(c.in) > 0 {
		if bad, fine := c.decode(&in); !fine {
			return bad
		}
	}
	if i.Suspended {
		return fail(http.StatusForbidden, "This installation has been suspended")
	}
	g := &grant{App: c.app.ID, Installation: i.ID, Permissions: i.Permissions, Expires: time.Now().Add(tokenLife)}
	if in.Permissions != nil {
		for name, level := range in.Permissions {
			if !covers(i.Permissions[name], level) {
				return invalid("The permissions requested are not granted to this installation.")
			}
		}
		g.Permissions = maps.Clone(in.Permissions)
	}
	var chosen []*repository
	for _, r := range c.f.repositoriesOf(i) {
		if slices.Contains(in.Repositories, r.Name) || slices.Contains(in.RepositoryIDs, r.ID) {
			chosen = append(chosen, r)
			g.Repositories = append(g.Repositories, r.ID)
		}
	}
	if len(chosen) < max(len(in.Repositories), len(in.RepositoryIDs)) {
		return invalid("There is at least one repository that does not exist or is not accessible to the parent installation.")
	}
	return created(c.grantJSON(i, g, chosen))
}

func (c *call) grantJSON(i *installation, g *grant, chosen []*repository) object {
	token := "ghs_" + rand.Text()
	if c.f.state.Grants == nil {
		c.f.state.Grants = map[string]*grant{}
	}
	maps.DeleteFunc(c.f.state.Grants, func(_ string, g *grant) bool { return time.Now().After(g.Expires) })
	c.f.state.Grants[token] = g
	out := object{
		"token": token, "expires_at": stamp(g.Expires), "permissions": withMetadata(g.Permissions),
		"repository_selection": selection(i.Repositories != nil || chosen != nil),
	}
	if chosen != nil {
		shown := []object{}
		for _, r := range chosen {
			shown = append(shown, c.f.repository(r))
		}
		out["repositories"] = shown
	}
	return out
}

func selection(some bool) string {
	if some {
		return "selected"
	}
	return "all"
}

// withMetadata adds what every App may do.
func withMetadata(permissions map[string]string) map[string]string {
	all := maps.Clone(permissions)
	if all == nil {
		all = map[string]string{}
	}
	all["metadata"] = "read"
	return all
}

// repositoriesOf lists the repositories of an installation by age.
func (f *Forge) repositoriesOf(i *installation) []*repository {
	var all []*repository
	for _, r := range f.state.Repositories {
		if i.has(r) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *repository) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

func listInstalledRepositories(c *call) reply {
	if c.grant == nil {
		return fail(http.StatusForbidden, "You must authenticate with an installation access token in order to list repositories for an installation.")
	}
	shown := []object{}
	i := c.f.installation(c.grant)
	for _, r := range c.f.repositoriesOf(i) {
		if c.grant.covers(r) {
			shown = append(shown, c.f.repository(r))
		}
	}
	listed := page(c, shown)
	part, _ := listed.body.([]object)
	listed.body = object{"total_count": len(shown), "repository_selection": selection(i.Repositories != nil), "repositories": part}
	return listed
}

// installation returns whose token it is; nil when the App was uninstalled since.
func (f *Forge) installation(g *grant) *installation {
	if a := f.state.Apps[g.App]; a != nil {
		for _, i := range a.Installations {
			if i.ID == g.Installation {
				return i
			}
		}
	}
	return nil
}

// covers says whether the token is for the repository, as far as it names repositories itself.
func (g *grant) covers(r *repository) bool {
	return g.Repositories == nil || slices.Contains(g.Repositories, r.ID)
}

func (f *Forge) appJSON(a *app) object {
	owner := f.user(a.Slug + "[bot]")
	return object{
		"id": a.ID, "slug": a.Slug, "node_id": nodeID("App", a.ID), "client_id": fmt.Sprintf("Iv1.%d", a.ID), "owner": owner,
		"name": a.Slug, "description": nil, "external_url": f.cfg.BaseURL, "html_url": f.cfg.BaseURL + "/apps/" + a.Slug,
		"created_at": stamp(a.Created), "updated_at": stamp(a.Created), "permissions": withMetadata(a.Permissions),
		"events": []string{"push"}, "installations_count": len(a.Installations),
	}
}

func (f *Forge) installationJSON(a *app, i *installation) object {
	self := f.api("/app/installations/" + strconv.FormatInt(i.ID, 10))
	out := object{
		"id": i.ID, "account": f.user(i.Account), "access_tokens_url": self + "/access_tokens",
		"repositories_url": f.api("/installation/repositories"), "html_url": fmt.Sprintf("%s/organizations/%s/settings/installations/%d", f.cfg.BaseURL, i.Account, i.ID),
		"app_id": a.ID, "app_slug": a.Slug, "target_id": f.state.Users[i.Account].ID, "target_type": "Organization",
		"permissions": withMetadata(i.Permissions), "events": []string{"push"}, "repository_selection": selection(i.Repositories != nil),
		"created_at": stamp(i.Created), "updated_at": stamp(i.Created), "single_file_name": nil, "suspended_at": nil, "suspended_by": nil,
	}
	if i.Suspended {
		out["suspended_at"] = stamp(i.Created)
	}
	return out
}

// SuspendInstallation stops an installation, or lets it go on: its tokens are refused meanwhile.
func (f *Forge) SuspendInstallation(id int64, suspended bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.state.Apps {
		for _, i := range a.Installations {
			if i.ID == id {
				i.Suspended = suspended
				return f.save()
			}
		}
	}
	return fmt.Errorf("installation %d: there is none", id)
}
