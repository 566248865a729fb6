package forge

import (
	"fmt"
	"net/http"
)

type userJSON struct {
	Login             string `json:"login"`
	ID                int64  `json:"id"`
	NodeID            string `json:"node_id"`
	AvatarURL         string `json:"avatar_url"`
	GravatarID        string `json:"gravatar_id"`
	URL               string `json:"url"`
	HTMLURL           string `json:"html_url"`
	FollowersURL      string `json:"followers_url"`
	FollowingURL      string `json:"following_url"`
	GistsURL          string `json:"gists_url"`
	StarredURL        string `json:"starred_url"`
	SubscriptionsURL  string `json:"subscriptions_url"`
	OrganizationsURL  string `json:"organizations_url"`
	ReposURL          string `json:"repos_url"`
	EventsURL         string `json:"events_url"`
	ReceivedEventsURL string `json:"received_events_url"`
	Type              string `json:"type"`
	SiteAdmin         bool   `json:"site_admin"`
}

// user returns nil for somebody unknown, which is null in JSON.
func (f *Forge) user(login string) *userJSON {
	u := f.state.Users[login]
	if u == nil {
		return nil
	}
	self := f.api("/users/" + login)
	return &userJSON{
		Login: login, ID: u.ID, NodeID: nodeID("User", u.ID), Type: u.Type,
		AvatarURL: f.cfg.BaseURL + "/avatars/" + login, HTMLURL: f.cfg.BaseURL + "/" + login, URL: self,
		FollowersURL: self + "/followers", FollowingURL: self + "/following{/other_user}",
		GistsURL: self + "/gists{/gist_id}", StarredURL: self + "/starred{/owner}{/repo}",
		SubscriptionsURL: self + "/subscriptions", OrganizationsURL: self + "/orgs", ReposURL: self + "/repos",
		EventsURL: self + "/events{/privacy}", ReceivedEventsURL: self + "/received_events",
	}
}

func (f *Forge) users(logins []string) []*userJSON {
	out := []*userJSON{}
	for _, login := range logins {
		out = append(out, f.user(login))
	}
	return out
}

type publicUserJSON struct {
	*userJSON
	ViewType    string  `json:"user_view_type"`
	Name        string  `json:"name"`
	Company     *string `json:"company"`
	Blog        *string `json:"blog"`
	Location    *string `json:"location"`
	Email       *string `json:"email"`
	Hireable    *bool   `json:"hireable"`
	Bio         *string `json:"bio"`
	PublicRepos int     `json:"public_repos"`
	PublicGists int     `json:"public_gists"`
	Followers   int     `json:"followers"`
	Following   int     `json:"following"`
	CreatedAt   string  `json:"created_at"`
	UpdatedAt   string  `json:"updated_at"`
}

func currentUser(c *call) reply {
	now := stamp(c.f.now())
	return reply{status: http.StatusOK, body: publicUserJSON{
		userJSON: c.f.user(c.who), ViewType: "public", Name: c.who, CreatedAt: now, UpdatedAt: now,
	}}
}

// email is the address that GitHub gives each user for commits made through it.
func (f *Forge) email(u *user) string {
	return fmt.Sprintf("%d+%s@users.noreply.github.com", u.ID, u.Login)
}

// identity is who a commit is by when its maker says nothing.
func (f *Forge) identity(login string) person {
	p := person{Name: login, Email: login + "@users.noreply.github.com", Date: f.now()}
	if u := f.state.Users[login]; u != nil {
		p.Email = f.email(u)
	}
	return p
}

// userOf returns the user whose address a commit bears, nil when nobody has it.
func (f *Forge) userOf(p person) *userJSON {
	for login, u := range f.state.Users {
		if p.Email == f.email(u) {
			return f.user(login)
		}
	}
	return nil
}

// organization is an owner as webhooks show it.
func (f *Forge) organization(login string) object {
	self := f.api("/orgs/" + login)
	u := f.state.Users[login]
	return object{
		"login": login, "id": u.ID, "node_id": nodeID("Organization", u.ID), "url": self, "description": "",
		"repos_url": self + "/repos", "events_url": self + "/events", "hooks_url": self + "/hooks",
		"issues_url": self + "/issues", "members_url": self + "/members{/member}",
		"public_members_url": self + "/public_members{/member}", "avatar_url": f.cfg.BaseURL + "/avatars/" + login,
	}
}
