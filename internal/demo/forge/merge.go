package forge

import (
	"fmt"
	"net/http"
)

type mergedJSON struct {
	SHA     string `json:"sha"`
	Merged  bool   `json:"merged"`
	Message string `json:"message"`
}

// mergePull merges by a merge commit, or squashes; a rebase is made as a squash here, since robots' pull requests have
// one commit.
func mergePull(c *call, p *pull) reply {
	var in struct {
		SHA           string
		MergeMethod   string `json:"merge_method"`
		CommitTitle   string `json:"commit_title"`
		CommitMessage string `json:"commit_message"`
	}
	if len(c.in) > 0 {
		if bad, fine := c.decode(&in); !fine {
			return bad
		}
	}
	if p.State != "open" {
		return fail(http.StatusMethodNotAllowed, "Pull Request is not mergeable")
	}
	head, base := c.f.heads(c.ctx, c.repo, p)
	if in.SHA != "" && in.SHA != head {
		return fail(http.StatusConflict, "Head branch was modified. Review and try the merge again.")
	}
	tree, clean := c.git.mergeTree(c.ctx, base, head)
	if !clean {
		return fail(http.StatusMethodNotAllowed, "Pull Request is not mergeable")
	}
	made := commit{Tree: tree, Parents: []string{base}, Author: c.f.identity(c.who), Committer: c.f.identity(c.who)}
	made.Committer.Name, made.Committer.Email = "GitHub", "noreply@github.com"
	made.Message = fmt.Sprintf("%s (#%d)", p.Title, p.Number)
	if in.MergeMethod == "" || in.MergeMethod == "merge" {
		made.Parents = append(made.Parents, head)
		made.Message = fmt.Sprintf("Merge pull request #%d from %s/%s\n\n%s", p.Number, c.repo.Owner, p.Head, p.Title)
	}
	if in.CommitTitle != "" {
		made.Message = in.CommitTitle + "\n\n" + in.CommitMessage
	}
	sha, err := c.git.writeCommit(c.ctx, made)
	if err == nil {
		err = c.git.moveRef(c.ctx, "refs/heads/"+p.Base, sha, base)
	}
	if err != nil {
		return fail(http.StatusMethodNotAllowed, err.Error())
	}
	p.HeadSHA, p.BaseSHA, p.MergeSHA, p.MergedBy = head, base, sha, c.who
	c.f.closePull(c.ctx, c.repo, p, c.who, true)
	c.f.moved(c.ctx, c.repo, move{ref: "refs/heads/" + p.Base, from: base, to: sha, who: c.who})
	return ok(mergedJSON{SHA: sha, Merged: true, Message: "Pull Request successfully merged"})
}
