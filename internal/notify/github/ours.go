package github

import (
	"context"
	"net/http"
	"time"

	"github.com/google/go-github/v57/github"
)

// webFlow is who GitHub commits as on behalf of an App.
const webFlow = "web-flow"

// isOurs tells whether we made a commit, so that replacing it takes nobody's work away. It has to bear our trailer or
// be the one the pull request remembers, and author and committer have to be us. pr may be nil.
func (c *Client) isOurs(
	ctx context.Context, commit *github.RepositoryCommit, pr *github.PullRequest, m marker,
) (bool, error) {
	remembered := m.Commit != "" && m.Commit == commit.GetSHA()
	marked := remembered || proposalOf(commit.GetCommit().GetMessage()) != ""
	if !marked {
		return false, nil
	}
	us, err := c.whoAmI(ctx)
	if err != nil {
		return false, err
	}
	if us == "" {
		us = pr.GetUser().GetLogin()
	}
	author, committer := commit.GetAuthor().GetLogin(), commit.GetCommitter().GetLogin()
	switch {
	case us == "":
		return marked, nil
	case author == "" && committer == "": // an address that GitHub knows nobody by
		return remembered, nil
	}
	return author == us && (committer == us || committer == webFlow), nil
}

// whoAmI returns our login, "" when GitHub does not tell: an App's token may not ask.
func (c *Client) whoAmI(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked {
		return c.login, nil
	}
	if c.apps != nil {
		login, err := c.apps.whoAmI(ctx)
		c.login, c.asked = login, err == nil
		return login, err
	}
	user, _, err := c.api.Users.Get(ctx, "")
	_, limited := limitedUntil(err, time.Now())
	if code := status(err); !limited && (code == http.StatusForbidden || code == http.StatusNotFound) {
		err = nil
	}
	if err != nil {
		return "", err
	}
	c.login, c.asked = user.GetLogin(), true
	return c.login, nil
}
