package forge

import (
	"encoding/base64"
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
	return reply{status: http.StatusOK, body: j, raw: content}
}

// putContents makes a commit of one file on a branch. The file's mode stays; a new file is no script.
func putContents(c *call) reply {
	var in struct {
		Message, Content, SHA, Branch string
		Author, Committer             *person
	}
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	if in.Branch == "" {
		in.Branch = c.repo.Default
	}
	path, parent := c.r.PathValue("path"), c.git.head(c.ctx, in.Branch)
	content, err := base64.StdEncoding.DecodeString(in.Content)
	switch {
	case err != nil:
		return invalid("content is not valid Base64")
	case parent == "":
		return fail(http.StatusNotFound, "Branch "+in.Branch+" not found")
	}
	if why := c.refusePush(in.Branch); why != "" {
		return fail(http.StatusConflict, why)
	}
	old, _ := c.git.tree(c.ctx, parent, false, path)
	mode := "100644"
	switch {
	case len(old) == 1 && in.SHA == "":
		return invalid("Invalid request.\n\n\"sha\" wasn't supplied.")
	case len(old) == 1 && in.SHA != old[0].SHA, len(old) == 0 && in.SHA != "":
		return fail(http.StatusConflict, path+" does not match "+in.SHA)
	case len(old) == 1:
		mode = old[0].Mode
	}
	made := commit{Message: in.Message, Parents: []string{parent}, Author: c.f.identity(c.who)}
	if in.Author != nil {
		made.Author = c.dated(*in.Author)
	}
	made.Committer = made.Author
	if in.Committer != nil {
		made.Committer = c.dated(*in.Committer)
	}
	return c.commitFile(in.Branch, path, mode, content, made, len(old) == 1)
}

func (c *call) commitFile(branch, path, mode string, content []byte, made commit, replaced bool) reply {
	parent := made.Parents[0]
	blob, err := c.git.writeBlob(c.ctx, content)
	if err == nil {
		made.Tree, err = c.git.writeTree(c.ctx, parent+"^{tree}", []entry{{Mode: mode, SHA: blob, Path: path}})
	}
	var sha string
	if err == nil {
		sha, err = c.git.writeCommit(c.ctx, made)
	}
	if err == nil {
		err = c.git.moveRef(c.ctx, "refs/heads/"+branch, sha, parent)
	}
	if err != nil {
		return invalid(err.Error())
	}
	made.SHA = sha
	c.f.moved(c.ctx, c.repo, move{ref: "refs/heads/" + branch, from: parent, to: sha, who: c.who})
	shown := c.content(entry{Mode: mode, Type: "blob", SHA: blob, Path: path, Size: len(content)}, branch)
	out := created(object{"content": shown, "commit": c.f.gitCommit(c.repo, made)})
	if replaced {
		out.status = http.StatusOK
	}
	return out
}
