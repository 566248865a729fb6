package github

import (
	"context"
	"errors"
	"fmt"

	"rebuilder/internal/notify"

	"github.com/google/go-github/v57/github"
)

// ClosePullRequest implements notify.Forge. The reason is a comment, made once however often this is called. The pull request
// remembers that nobody declined it; its branch is deleted when nobody else has committed to it.
func (c *Client) ClosePullRequest(ctx context.Context, repo string, number int, reason string) error {
	return c.close(ctx, repo, number, reason, true)
}

// Decline closes a pull request as a person does who does not want it: what it pins is not proposed again. Its branch stays,
// so that it can be opened again.
func (c *Client) Decline(ctx context.Context, repo string, number int, reason string) error {
	return c.close(ctx, repo, number, reason, false)
}

func (c *Client) close(ctx context.Context, repo string, number int, reason string, gone bool) error {
	t, err := parseRepo(repo)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("close pull request %s#%d", t, number)
	return explain(what, c.inTurn(ctx, t, what, func(ctx context.Context) error { return c.closeNow(ctx, t, number, reason, gone) }))
}

func (c *Client) closeNow(ctx context.Context, t target, number int, reason string, gone bool) error {
	pr, _, err := c.api.PullRequests.Get(ctx, t.owner, t.name, number)
	if err != nil {
		return err
	}
	mark, _ := findMarker(pr.GetBody())
	if pr.GetState() == "open" {
		if err := c.sayOnce(ctx, c.write, t, number, closedMark, reason); err != nil {
			return err
		}
		if err := c.shut(ctx, t, pr, &mark, gone); err != nil {
			return err
		}
	}
	if !gone || !mark.Gone {
		return nil
	}
	return c.deleteBranch(ctx, t, pr, mark)
}

// shut closes, and remembers in the same write whether nobody declined it.
func (c *Client) shut(ctx context.Context, t target, pr *github.PullRequest, mark *marker, gone bool) error {
	closed := "closed"
	edit := &github.PullRequest{State: &closed}
	if mark.Gone = gone; gone {
		body := withMarker(pr.GetBody(), *mark)
		edit.Body = &body
	}
	return c.write(ctx, func() error {
		_, _, err := c.api.PullRequests.Edit(ctx, t.owner, t.name, pr.GetNumber(), edit)
		return err
	})
}

// deleteBranch deletes the branch of a closed pull request unless somebody else has committed to it. One that is gone is
// success.
func (c *Client) deleteBranch(ctx context.Context, t target, pr *github.PullRequest, mark marker) error {
	branch := pr.GetHead().GetRef()
	head, err := c.Head(ctx, t.String(), branch)
	if errors.Is(err, notify.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	commit, _, err := c.api.Repositories.GetCommit(ctx, t.owner, t.name, head, nil)
	if err != nil {
		return err
	}
	ours, err := c.isOurs(ctx, commit, pr, mark)
	if err != nil || !ours {
		return err
	}
	return c.write(ctx, func() error {
		_, err := c.api.Git.DeleteRef(ctx, t.owner, t.name, "heads/"+branch)
		return err
	})
}
