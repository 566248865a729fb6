package forge

import (
	"net/http"
	"strings"
)

type contentJSON struct {
	Type        string            `json:"type"`
	Encoding    string            `json:"encoding,omitempty"`
	Size        int               `json:"size"`
	Name        string            `json:"name"`
	Path        string            `json:"path"`
	Content     *string           `json:"content,omitempty"`
	SHA         string            `json:"sha"`
	URL         string            `json:"url"`
	GitURL      string            `json:"git_url"`
	HTMLURL     string            `json:"html_url"`
	DownloadURL *string           `json:"download_url"`
	Links       map[string]string `json:"_links"`
}

func (c *call) content(e entry, ref string) contentJSON {
	path := escapePath(e.Path)
	j := contentJSON{
		Type: "file", Size: e.Size, Name: e.Path[strings.LastIndex(e.Path, "/")+1:], Path: e.Path, SHA: e.SHA,
		URL:         c.f.repoAPI(c.repo, "/contents/%s?ref=%s", path, ref),
		GitURL:      c.f.repoAPI(c.repo, "/git/%ss/%s", e.Type, e.SHA),
		HTMLURL:     c.f.repoWeb(c.repo, "/blob/%s/%s", ref, path),
		DownloadURL: orNull(c.f.repoWeb(c.repo, "/raw/%s/%s", ref, path)),
	}
	switch {
	case e.Mode == "120000":
		j.Type = "symlink"
	case e.Type == "commit":
		j.Type = "submodule"
	case e.Type == "tree":
		j.Type, j.Size, j.DownloadURL = "dir", 0, nil
		j.HTMLURL = c.f.repoWeb(c.repo, "/tree/%s/%s", ref, path)
	}
	j.Links = map[string]string{"self": j.URL, "git": j.GitURL, "html": j.HTMLURL}
	return j
}

func getContents(c *call) reply {
	ref := c.r.URL.Query().Get("ref")
	if ref == "" {
		ref = c.repo.Default
	}
	sha := c.git.resolve(c.ctx, ref)
	if sha == "" {
		return fail(http.StatusNotFound, "No commit found for the ref "+ref)
	}
	path := strings.Trim(c.r.PathValue("path"), "/")
	if path == "" {
		return c.directory(sha, ref)
	}
	found, err := c.git.tree(c.ctx, sha, false, path)
	if err != nil || len(found) != 1 {
		return notFound()
	}
	if found[0].Type == "tree" {
		return c.directory(sha, ref, path+"/")
	}
	return c.file(found[0], ref)
}

func (c *call) directory(sha, ref string, below ...string) reply {
	entries, err := c.git.tree(c.ctx, sha, false, below...)
	if err != nil {
		return notFound()
	}
	all := []contentJSON{}
	for _, e := range entries {
		all = append(all, c.content(e, ref))
	}
	return ok(all)
}

func (c *call) file(e entry, ref string) reply {
	j := c.content(e, ref)
	content, err := c.git.blob(c.ctx, e.SHA)
	if err != nil {
		return notFound()
	}
	text := base64Lines(content)
	j.Content, j.Encoding = &text, "base64"
	return ok(j)
}
