package forge

import (
	"context"
	"encoding/base64"
	"sort"
	"strings"
)

type refJSON struct {
	Ref    string        `json:"ref"`
	NodeID string        `json:"node_id"`
	URL    string        `json:"url"`
	Object refTargetJSON `json:"object"`
}

type refTargetJSON struct {
	SHA  string `json:"sha"`
	Type string `json:"type"`
	URL  string `json:"url"`
}

func (c *call) ref(ref, sha string) refJSON {
	target := refTargetJSON{SHA: sha, Type: "commit", URL: c.f.repoAPI(c.repo, "/git/commits/%s", sha)}
	return refJSON{Ref: ref, NodeID: nodeID("Ref", ref), URL: c.f.repoAPI(c.repo, "/git/%s", ref), Object: target}
}

func getRef(c *call) reply {
	ref := "refs/" + c.r.PathValue("ref")
	if sha := c.git.rev(c.ctx, ref); sha != "" {
		return ok(c.ref(ref, sha))
	}
	return notFound()
}

func matchingRefs(c *call) reply {
	refs, err := c.git.refs(c.ctx)
	if err != nil {
		return invalid(err.Error())
	}
	matching := []refJSON{}
	for ref, sha := range refs {
		if strings.HasPrefix(ref, "refs/"+c.r.PathValue("ref")) {
			matching = append(matching, c.ref(ref, sha))
		}
	}
	sort.Slice(matching, func(i, j int) bool { return matching[i].Ref < matching[j].Ref })
	return ok(matching)
}

func createRef(c *call) reply {
	var in struct{ Ref, SHA string }
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	switch {
	case !strings.HasPrefix(in.Ref, "refs/") || strings.Count(in.Ref, "/") < 2:
		return invalid("Reference name is not valid")
	case c.git.rev(c.ctx, in.Ref) != "":
		return invalid("Reference already exists")
	case c.git.rev(c.ctx, in.SHA+"^{commit}") == "":
		return invalid("Object does not exist")
	}
	if err := c.git.moveRef(c.ctx, in.Ref, in.SHA, ""); err != nil {
		return invalid(err.Error())
	}
	c.f.moved(c.ctx, c.repo, move{ref: in.Ref, to: in.SHA, who: c.who})
	made := created(c.ref(in.Ref, in.SHA))
	made.header = location(c.f.repoAPI(c.repo, "/git/%s", in.Ref))
	return made
}

func updateRef(c *call) reply {
	var in struct {
		SHA   string
		Force bool
	}
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	ref := "refs/" + c.r.PathValue("ref")
	old := c.git.rev(c.ctx, ref)
	switch {
	case old == "":
		return invalid("Reference does not exist")
	case c.git.rev(c.ctx, in.SHA+"^{commit}") == "":
		return invalid("Object does not exist")
	case !in.Force && !c.git.isAncestor(c.ctx, old, in.SHA):
		return invalid("Update is not a fast forward")
	}
	if why := c.refusePush(strings.TrimPrefix(ref, "refs/heads/")); why != "" {
		return invalid(why)
	}
	if old != in.SHA {
		if err := c.git.moveRef(c.ctx, ref, in.SHA, old); err != nil {
			return invalid(err.Error())
		}
		c.f.moved(c.ctx, c.repo, move{ref: ref, from: old, to: in.SHA, who: c.who})
	}
	return ok(c.ref(ref, in.SHA))
}

func deleteRef(c *call) reply {
	ref := "refs/" + c.r.PathValue("ref")
	old := c.git.rev(c.ctx, ref)
	if old == "" {
		return invalid("Reference does not exist")
	}
	if why := c.refusePush(strings.TrimPrefix(ref, "refs/heads/")); why != "" {
		return invalid(why)
	}
	if err := c.git.moveRef(c.ctx, ref, "", old); err != nil {
		return invalid(err.Error())
	}
	c.f.moved(c.ctx, c.repo, move{ref: ref, from: old, who: c.who})
	return noContent()
}

func getGitCommit(c *call) reply {
	found, err := c.git.commit(c.ctx, c.r.PathValue("sha"))
	if err != nil {
		return notFound()
	}
	return ok(c.f.gitCommit(c.repo, found))
}

func createCommit(c *call) reply {
	var in struct {
		Message, Tree     string
		Parents           []string
		Author, Committer *person
	}
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	made := commit{Tree: in.Tree, Message: in.Message, Parents: in.Parents, Author: c.f.identity(c.who)}
	if in.Author != nil {
		made.Author = c.dated(*in.Author)
	}
	made.Committer = made.Author
	if in.Committer != nil {
		made.Committer = c.dated(*in.Committer)
	}
	sha, err := c.git.writeCommit(c.ctx, made)
	if err != nil {
		return invalid("Tree SHA does not exist")
	}
	found, err := c.git.commit(c.ctx, sha)
	if err != nil {
		return notFound()
	}
	return created(c.f.gitCommit(c.repo, found))
}

func (c *call) dated(p person) person {
	if p.Date.IsZero() {
		p.Date = c.f.now()
	}
	return p
}

type treeJSON struct {
	SHA       string          `json:"sha"`
	URL       string          `json:"url"`
	Tree      []treeEntryJSON `json:"tree"`
	Truncated bool            `json:"truncated"`
}

type treeEntryJSON struct {
	Path string `json:"path"`
	Mode string `json:"mode"`
	Type string `json:"type"`
	SHA  string `json:"sha"`
	Size *int   `json:"size,omitempty"`
	URL  string `json:"url"`
}

func (f *Forge) tree(ctx context.Context, r *repository, sha string, recursive bool) (treeJSON, error) {
	entries, err := f.git(r).tree(ctx, sha, recursive)
	if err != nil {
		return treeJSON{}, err
	}
	out := treeJSON{SHA: sha, URL: f.repoAPI(r, "/git/trees/%s", sha), Tree: []treeEntryJSON{}}
	for _, e := range entries {
		j := treeEntryJSON{
			Path: e.Path, Mode: e.Mode, Type: e.Type, SHA: e.SHA, URL: f.repoAPI(r, "/git/%ss/%s", e.Type, e.SHA),
		}
		if e.Type == "blob" {
			j.Size = &e.Size
		}
		out.Tree = append(out.Tree, j)
	}
	return out, nil
}

func getTree(c *call) reply {
	name := c.r.PathValue("sha")
	sha := c.git.rev(c.ctx, name+"^{tree}")
	if commit := c.git.head(c.ctx, name); sha == "" && commit != "" {
		sha = c.git.rev(c.ctx, commit+"^{tree}")
	}
	if sha == "" {
		return notFound()
	}
	out, err := c.f.tree(c.ctx, c.repo, sha, c.r.URL.Query().Has("recursive"))
	if err != nil {
		return notFound()
	}
	return ok(out)
}

// newEntry is a line of a tree to be made: content or sha, or sha null to remove the path.
type newEntry struct {
	Path, Mode, Type string
	SHA, Content     *string
}

func createTree(c *call) reply {
	var in struct {
		BaseTree string `json:"base_tree"`
		Tree     []newEntry
	}
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	if in.BaseTree != "" && c.git.rev(c.ctx, in.BaseTree+"^{tree}") == "" {
		return notFound()
	}
	var entries []entry
	for _, e := range in.Tree {
		made := entry{Mode: e.Mode, Path: e.Path}
		switch {
		case e.Content != nil:
			sha, err := c.git.writeBlob(c.ctx, []byte(*e.Content))
			if err != nil {
				return invalid(err.Error())
			}
			made.SHA = sha
		case e.SHA != nil:
			if c.git.rev(c.ctx, *e.SHA) == "" {
				return invalid("tree.sha " + *e.SHA + " is not a valid blob")
			}
			made.SHA = *e.SHA
		}
		entries = append(entries, made)
	}
	sha, err := c.git.writeTree(c.ctx, in.BaseTree, entries)
	if err != nil {
		return invalid(err.Error())
	}
	out, err := c.f.tree(c.ctx, c.repo, sha, false)
	if err != nil {
		return notFound()
	}
	return created(out)
}

type blobJSON struct {
	SHA      string `json:"sha"`
	NodeID   string `json:"node_id"`
	Size     int    `json:"size"`
	URL      string `json:"url"`
	Content  string `json:"content"`
	Encoding string `json:"encoding"`
}

func getBlob(c *call) reply {
	sha := c.r.PathValue("sha")
	content, err := c.git.blob(c.ctx, sha)
	if err != nil {
		return notFound()
	}
	return ok(blobJSON{
		SHA: sha, NodeID: nodeID("Blob", sha), Size: len(content), URL: c.f.repoAPI(c.repo, "/git/blobs/%s", sha),
		Content: base64Lines(content), Encoding: "base64",
	})
}

func createBlob(c *call) reply {
	var in struct{ Content, Encoding string }
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	content := []byte(in.Content)
	if in.Encoding == "base64" {
		var err error
		if content, err = base64.StdEncoding.DecodeString(in.Content); err != nil {
			return invalid("content is not valid Base64")
		}
	}
	sha, err := c.git.writeBlob(c.ctx, content)
	if err != nil {
		return invalid(err.Error())
	}
	return created(linkJSON{SHA: sha, URL: c.f.repoAPI(c.repo, "/git/blobs/%s", sha)})
}

// base64Lines breaks lines after 60 columns, as GitHub does.
func base64Lines(content []byte) string {
	text := base64.StdEncoding.EncodeToString(content)
	var b strings.Builder
	for len(text) > 60 {
		b.WriteString(text[:60] + "\n")
		text = text[60:]
	}
	return b.String() + text + "\n"
}
