package forge

import (
	"slices"
	"strings"
)

// repositoryLinks are a repository's URLs, "forks" standing for "forks_url".
func repositoryLinks() map[string]string {
	return map[string]string{
		"archive": "/{archive_format}{/ref}", "assignees": "/assignees{/user}", "blobs": "/git/blobs{/sha}",
		"branches": "/branches{/branch}", "collaborators": "/collaborators{/collaborator}",
		"comments": "/comments{/number}", "commits": "/commits{/sha}", "compare": "/compare/{base}...{head}",
		"contents": "/contents/{+path}", "contributors": "/contributors", "deployments": "/deployments",
		"downloads": "/downloads", "events": "/events", "forks": "/forks", "git_commits": "/git/commits{/sha}",
		"git_refs": "/git/refs{/sha}", "git_tags": "/git/tags{/sha}", "hooks": "/hooks",
		"issue_comment": "/issues/comments{/number}", "issue_events": "/issues/events{/number}",
		"issues": "/issues{/number}", "keys": "/keys{/key_id}", "labels": "/labels{/name}",
		"languages": "/languages", "merges": "/merges", "milestones": "/milestones{/number}",
		"notifications": "/notifications{?since,all,participating}", "pulls": "/pulls{/number}",
		"releases": "/releases{/id}", "stargazers": "/stargazers", "statuses": "/statuses/{sha}",
		"subscribers": "/subscribers", "subscription": "/subscription", "tags": "/tags", "teams": "/teams",
		"trees": "/git/trees{/sha}",
	}
}

// minimalRepository is the shape used inside other documents.
func (f *Forge) minimalRepository(r *repository) object {
	o := object{
		"id": r.ID, "node_id": nodeID("Repository", r.ID), "name": r.Name, "full_name": r.Owner + "/" + r.Name,
		"private": false, "owner": f.user(r.Owner), "html_url": f.repoWeb(r, ""), "description": r.Description,
		"fork": false, "url": f.repoAPI(r, ""),
	}
	for name, path := range repositoryLinks() {
		o[name+"_url"] = f.repoAPI(r, "%s", path)
	}
	return o
}

// repository is the shape used in lists, pull requests and webhooks.
func (f *Forge) repository(r *repository) object {
	open := 0
	for _, p := range r.Pulls {
		if p.State == "open" {
			open++
		}
	}
	_, host, _ := strings.Cut(f.cfg.BaseURL, "://")
	return f.minimalRepository(r).with(object{
		"created_at": stamp(r.Created), "updated_at": stamp(r.Created), "pushed_at": stamp(r.Pushed),
		"git_url": "git://" + host + "/" + r.Owner + "/" + r.Name + ".git", "clone_url": f.repoWeb(r, ".git"),
		"ssh_url": "git@" + host + ":" + r.Owner + "/" + r.Name + ".git", "svn_url": f.repoWeb(r, ""),
		"homepage": nil, "language": nil, "mirror_url": nil, "license": nil, "topics": []string{},
		"has_issues": true, "has_projects": false, "has_downloads": true, "has_wiki": false, "has_pages": false,
		"has_discussions": false, "archived": r.Archived, "disabled": r.Disabled, "allow_forking": true,
		"is_template": false, "web_commit_signoff_required": false, "visibility": "public",
		"size": 1, "stargazers_count": 0, "watchers_count": 0, "watchers": 0, "forks_count": 0, "forks": 0,
		"open_issues_count": open, "open_issues": open, "default_branch": r.Default,
	})
}

func getRepository(c *call) reply {
	return ok(c.f.repository(c.repo).with(object{
		"permissions":        roleJSON(c.viewerRole(c.repo)),
		"allow_rebase_merge": true, "allow_squash_merge": true, "allow_merge_commit": true,
		"allow_auto_merge": c.repo.AllowAutoMerge, "allow_update_branch": true, "delete_branch_on_merge": false,
		"network_count": 0, "subscribers_count": 0, "organization": c.f.user(c.repo.Owner),
	}))
}

func roleJSON(role string) object {
	at := slices.Index(roles, role)
	has := func(want string) bool { return at >= slices.Index(roles, want) }
	return object{
		"admin": has("admin"), "maintain": has("maintain"), "push": has("write"), "triage": has("triage"), "pull": has("read"),
	}
}
