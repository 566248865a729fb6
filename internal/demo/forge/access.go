package forge

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// levels in rising order: of an App's permissions, and of a collaborator's roles.
var (
	levels = []string{"", "read", "write", "admin"}
	roles  = []string{"none", "read", "triage", "write", "maintain", "admin"}
)

// covers says whether a permission is at least as much as another.
func covers(have, want string) bool { return slices.Index(levels, have) >= slices.Index(levels, want) }

// SetRole says what a user may do in a repository: none, read, triage, write, maintain or admin. Users without a role
// who have a token are its administrators, others have none.
func (f *Forge) SetRole(owner, name, login, role string) error {
	if !slices.Contains(roles, role) {
		return fmt.Errorf("role %q: want one of %s", role, strings.Join(roles, ", "))
	}
	return f.change(owner, name, func(r *repository) error {
		f.state.ensureUser(login, "User")
		if r.Roles == nil {
			r.Roles = map[string]string{}
		}
		r.Roles[login] = role
		return nil
	})
}

// role is what somebody may do in a repository.
func (f *Forge) role(r *repository, login string) string {
	if role := r.Roles[login]; role != "" {
		return role
	}
	for _, owner := range f.state.Tokens {
		if owner == login {
			return "admin"
		}
	}
	return "none"
}

func mayWrite(role string) bool { return slices.Index(roles, role) >= slices.Index(roles, "write") }

// permission is what an App needs for a route; several are alternatives.
type permission struct {
	names []string
	level string
}

// permissionFor reads it off the route: the part after the repository says what, the method how much.
func permissionFor(pattern, asked string) permission {
	method, path, _ := strings.Cut(pattern, " ")
	level := "write"
	if method == http.MethodGet {
		level = "read"
	}
	_, below, ok := strings.Cut(path, "{repo}")
	part, _, _ := strings.Cut(strings.TrimPrefix(below, "/"), "/")
	if ok && part == "" && level == "write" {
		return permission{names: []string{"administration"}, level: level}
	}
	if !ok || part == "" || part == "installation" {
		return permission{names: []string{"metadata"}, level: "read"}
	}
	switch {
	case part == "branches" && strings.HasSuffix(asked, "/protection"):
		part = "administration"
	case part == "commits" && strings.HasSuffix(asked, "/check-runs"), part == "commits" && strings.HasSuffix(asked, "/check-suites"):
		part = "checks"
	case part == "commits" && (strings.HasSuffix(asked, "/status") || strings.HasSuffix(asked, "/statuses")):
		part = "statuses"
	case strings.HasSuffix(below, "/merge"), slices.Contains([]string{"branches", "commits", "compare", "dispatches", "git", "rules"}, part):
		part = "contents"
	case part == "pulls":
		part = "pull_requests"
	case part == "check-runs", part == "check-suites":
		part = "checks"
	case part == "collaborators":
		part = "metadata"
	case part == "issues", part == "labels", "/"+part == commentPath:
		return permission{names: []string{"issues", "pull_requests"}, level: level}
	}
	return permission{names: []string{part}, level: level}
}

// identify finds out who calls, or says why nobody may.
func (c *call) identify() (reply, bool) {
	token := bearer(c.r)
	if c.who = c.f.state.Tokens[token]; c.who != "" {
		return reply{}, true
	}
	if g := c.f.state.Grants[token]; g != nil && time.Now().Before(g.Expires) {
		i := c.f.installation(g)
		if i == nil || i.Suspended {
			return fail(http.StatusForbidden, "This installation has been suspended"), false
		}
		c.grant, c.who = g, c.f.state.Apps[g.App].Slug+"[bot]"
		return reply{}, true
	}
	if strings.Count(token, ".") == 2 {
		a, why := c.f.appOf(token)
		if a == nil {
			return fail(http.StatusUnauthorized, why), false
		}
		c.app, c.who = a, a.Slug+"[bot]"
		return reply{}, true
	}
	return fail(http.StatusUnauthorized, "Bad credentials"), false
}

// admit says whether the caller may do in the repository what the route does. What one may not see does not exist.
func (c *call) admit(pattern string) (reply, bool) {
	want := permissionFor(pattern, c.r.URL.Path)
	switch {
	case c.app != nil:
		return fail(http.StatusForbidden, "Resource not accessible by integration"), strings.HasSuffix(pattern, "/installation")
	case c.grant != nil:
		return c.admitGrant(want)
	}
	role := c.f.role(c.repo, c.who)
	switch {
	case role == "none":
		return notFound(), false
	case want.level != "read" && !mayWrite(role):
		return fail(http.StatusForbidden, "Must have write access to the repository."), false
	}
	return reply{}, true
}

func (c *call) admitGrant(want permission) (reply, bool) {
	if i := c.f.installation(c.grant); !i.has(c.repo) || !c.grant.covers(c.repo) {
		return notFound(), false
	}
	for _, name := range want.names {
		if covers(withMetadata(c.grant.Permissions)[name], want.level) {
			return reply{}, true
		}
	}
	return fail(http.StatusForbidden, "Resource not accessible by integration"), false
}

// closed answers for a repository that takes no writes, or nothing at all.
func (c *call) closed() (reply, bool) {
	switch {
	case c.repo.Disabled:
		return fail(http.StatusForbidden, "Repository access blocked"), true
	case c.repo.Archived && c.r.Method != http.MethodGet && c.r.Method != http.MethodHead:
		return fail(http.StatusForbidden, "Repository was archived so is read-only."), true
	}
	return reply{}, false
}
