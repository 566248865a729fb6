package forge

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// containerPackage is a name in the forge's own container registry. What is in it is the registry's to say.
type containerPackage struct {
	ID      int64
	Name    string
	Created time.Time
}

// AddPackage adds a name to an organization's list of container packages, once.
func (f *Forge) AddPackage(owner, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state.ensureUser(owner, "Organization")
	if f.state.Packages == nil {
		f.state.Packages = map[string][]containerPackage{}
	}
	if slices.ContainsFunc(f.state.Packages[owner], func(p containerPackage) bool { return p.Name == name }) {
		return nil
	}
	f.state.Packages[owner] = append(f.state.Packages[owner], containerPackage{ID: f.state.nextID(), Name: name, Created: f.now()})
	return f.save()
}

// RenameRepository gives a repository another name; its number stays, and the old name leads on to it.
func (f *Forge) RenameRepository(owner, name, to string) error {
	return f.change(owner, name, func(r *repository) error { return f.rename(r, to) })
}

func (f *Forge) rename(r *repository, to string) error {
	if !repositoryName.MatchString(to) || f.state.Repositories[r.Owner+"/"+to] != nil {
		return fmt.Errorf("%s is no name for it", to)
	}
	was, old := f.git(r).dir, r.Owner+"/"+r.Name
	delete(f.state.Repositories, old)
	r.Name = to
	f.state.Repositories[r.Owner+"/"+to] = r
	if f.state.Renamed == nil {
		f.state.Renamed = map[string]int64{}
	}
	f.state.Renamed[old] = r.ID
	return os.Rename(was, f.git(r).dir)
}

func editRepository(c *call) reply {
	var in struct {
		Name           string
		Description    *string
		AllowAutoMerge *bool `json:"allow_auto_merge"`
		Archived       *bool
	}
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	if in.Name != "" && in.Name != c.repo.Name {
		if err := c.f.rename(c.repo, in.Name); err != nil {
			return invalid("Validation Failed", fault{Resource: "Repository", Field: "name", Code: "custom", Message: err.Error()})
		}
	}
	if in.Description != nil {
		c.repo.Description = in.Description
	}
	if in.AllowAutoMerge != nil {
		c.repo.AllowAutoMerge = *in.AllowAutoMerge
	}
	if in.Archived != nil {
		c.repo.Archived = *in.Archived
	}
	return getRepository(c)
}

// RemoveRepository deletes a repository with all that is in it.
func (f *Forge) RemoveRepository(owner, name string) error {
	return f.change(owner, name, func(r *repository) error {
		delete(f.state.Repositories, owner+"/"+name)
		return os.RemoveAll(f.git(r).dir)
	})
}

// ArchiveRepository makes a repository read-only.
func (f *Forge) ArchiveRepository(owner, name string) error {
	return f.change(owner, name, func(r *repository) error { r.Archived = true; return nil })
}

// DisableRepository blocks a repository, as GitHub does where it must.
func (f *Forge) DisableRepository(owner, name string) error {
	return f.change(owner, name, func(r *repository) error { r.Disabled = true; return nil })
}

func (f *Forge) change(owner, name string, do func(*repository) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.state.Repositories[owner+"/"+name]
	if r == nil {
		return fmt.Errorf("repository %s/%s: there is none", owner, name)
	}
	if err := do(r); err != nil {
		return fmt.Errorf("repository %s/%s: %w", owner, name, err)
	}
	return f.save()
}

func (f *Forge) organizationRoutes(on func(string, handler)) {
	on("GET /orgs/{org}/repos", listRepositories)
	on("GET /orgs/{org}/packages", listPackages)
}

// listRepositories lists by age: the oldest first with direction=asc, as sort=created does, and the newest first without.
func listRepositories(c *call) reply {
	org := c.r.PathValue("org")
	if u := c.f.state.Users[org]; u == nil || u.Type != "Organization" {
		return notFound()
	}
	var all []*repository
	for _, r := range c.f.state.Repositories {
		if r.Owner == org {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *repository) int { return cmp.Compare(a.ID, b.ID) })
	if c.r.URL.Query().Get("direction") != "asc" {
		slices.Reverse(all)
	}
	shown := []object{}
	for _, r := range all {
		shown = append(shown, c.f.listedRepository(r))
	}
	return page(c, shown)
}

// listedRepository is the shape in lists: smaller than the whole one.
func (f *Forge) listedRepository(r *repository) object {
	o := f.repository(r)
	for _, not := range []string{"master_branch", "license"} {
		delete(o, not)
	}
	return o
}

func listPackages(c *call) reply {
	org, kind := c.r.PathValue("org"), c.r.URL.Query().Get("package_type")
	if u := c.f.state.Users[org]; u == nil || u.Type != "Organization" {
		return notFound()
	}
	shown := []object{}
	for _, p := range c.f.state.Packages[org] {
		if kind == "container" {
			shown = append(shown, c.f.containerPackage(org, p))
		}
	}
	return page(c, shown)
}

func (f *Forge) containerPackage(org string, p containerPackage) object {
	path := "/packages/container/" + strings.ReplaceAll(p.Name, "/", "%2F")
	return object{
		"id": p.ID, "name": p.Name, "package_type": "container", "visibility": "private", "version_count": 1,
		"url": f.api("/orgs/" + org + path), "html_url": f.cfg.BaseURL + "/orgs/" + org + path,
		"owner": f.user(org), "created_at": stamp(p.Created), "updated_at": stamp(p.Created),
	}
}
