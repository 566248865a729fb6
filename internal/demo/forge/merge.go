package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

type mergedJSON struct {
	SHA     string `json:"sha"`
	Merged  bool   `json:"merged"`
	Message string `json:"message"`
}

// mergeRequest says how a pull request is to be merged. With a SHA, only if that is its head.
type mergeRequest struct {
	SHA     string
	Method  string `json:"merge_method"`
	Title   string `json:"commit_title"`
	Message string `json:"commit_message"`
}

// noMerge says why a merge is refused; the zero value says that it is not.
type noMerge struct {
	status  int
	message string
}

func (n noMerge) err() error {
	if n.status == 0 {
		return nil
	}
	return errors.New(n.message)
}

func mergePull(c *call, p *pull) reply {
	var how mergeRequest
	if len(c.in) > 0 {
		if bad, fine := c.decode(&how); !fine {
			return bad
		}
	}
	sha, why := c.f.merge(c.ctx, c.repo, p, how, c.who)
	if why.status != 0 {
		return fail(why.status, why.message)
	}
	return ok(mergedJSON{SHA: sha, Merged: true, Message: "Pull Request successfully merged"})
}

// merge merges by a merge commit, or squashes; a rebase is made as a squash here, since robots' pull requests have one
// commit.
func (f *Forge) merge(ctx context.Context, r *repository, p *pull, how mergeRequest, who string) (string, noMerge) {
	git := f.git(r)
	head, base := f.heads(ctx, r, p)
	if why := f.refuseMerge(ctx, r, p, how.SHA); why.status != 0 {
		return "", why
	}
	tree, clean := git.mergeTree(ctx, base, head)
	if !clean {
		return "", noMerge{http.StatusMethodNotAllowed, "Pull Request is not mergeable"}
	}
	made := how.commit(r, p)
	made.Tree, made.Parents, made.Author, made.Committer = tree, []string{base}, f.identity(who), f.identity(who)
	made.Committer.Name, made.Committer.Email = "GitHub", "noreply@github.com"
	if how.merges() {
		made.Parents = append(made.Parents, head)
	}
	sha, err := git.writeCommit(ctx, made)
	if err == nil {
		err = git.moveRef(ctx, "refs/heads/"+p.Base, sha, base)
	}
	if err != nil {
		return "", noMerge{http.StatusMethodNotAllowed, err.Error()}
	}
	p.HeadSHA, p.BaseSHA, p.MergeSHA, p.MergedBy, p.Auto = head, base, sha, who, nil
	f.closePull(ctx, r, p, who, true)
	f.moved(ctx, r, move{ref: "refs/heads/" + p.Base, from: base, to: sha, who: who})
	return sha, noMerge{}
}

func (how mergeRequest) merges() bool { return how.Method == "" || how.Method == "merge" }

// commit is the merge's commit, as far as it is words.
func (how mergeRequest) commit(r *repository, p *pull) commit {
	switch {
	case how.Title != "":
		return commit{Message: how.Title + "\n\n" + how.Message}
	case how.merges():
		return commit{Message: fmt.Sprintf("Merge pull request #%d from %s/%s\n\n%s", p.Number, r.Owner, p.Head, p.Title)}
	}
	return commit{Message: fmt.Sprintf("%s (#%d)", p.Title, p.Number)}
}

// refuseMerge holds a pull request against its state and its branch's protection.
func (f *Forge) refuseMerge(ctx context.Context, r *repository, p *pull, sha string) noMerge {
	not := func(why string) noMerge { return noMerge{http.StatusMethodNotAllowed, why} }
	head, base := f.heads(ctx, r, p)
	switch {
	case p.State != "open":
		return not("Pull Request is not mergeable")
	case sha != "" && sha != head:
		return noMerge{http.StatusConflict, "Head branch was modified. Review and try the merge again."}
	case p.Draft:
		return not("Pull Request is still a draft")
	}
	protection := r.Protected[p.Base]
	if protection == nil {
		return noMerge{}
	}
	if why := protection.missing(r, p, head); why != "" {
		return not(why)
	}
	if protection.UpToDate && !f.git(r).isAncestor(ctx, base, head) {
		return not("Head branch is out of date. Review and try the merge again.")
	}
	return noMerge{}
}
