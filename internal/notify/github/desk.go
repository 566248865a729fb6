package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"

	"rebuilder/internal/notify"

	"github.com/google/go-github/v57/github"
)

var (
	_ notify.Desk = (*Client)(nil)

	loginName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$`)
)

// MayWrite implements notify.Desk. Robots may not ask for anything.
func (c *Client) MayWrite(ctx context.Context, repo, login string) (bool, error) {
	t, err := parseRepo(repo)
	if err != nil {
		return false, err
	}
	if !loginName.MatchString(login) {
		return false, fmt.Errorf("%q is no person's login: %w", login, notify.ErrNotFound)
	}
	level, _, err := c.api.Repositories.GetPermissionLevel(ctx, t.owner, t.name, login)
	if err != nil {
		return false, explain(fmt.Sprintf("permission of %s in %s", login, t), err)
	}
	return level.GetPermission() == "admin" || level.GetPermission() == "write", nil
}

// desk writes in its turn.
func (c *Client) desk(ctx context.Context, repo, what string, write func(ctx context.Context, t target) error) error {
	t, err := parseRepo(repo)
	if err != nil {
		return err
	}
	what += " in " + t.String()
	return explain(what, c.inTurn(ctx, t, what, func(ctx context.Context) error { return write(ctx, t) }))
}

// React implements notify.Desk. GitHub keeps one reaction of each kind a person.
func (c *Client) React(ctx context.Context, repo string, comment int64, yes bool) error {
	content := "-1"
	if yes {
		content = "+1"
	}
	return c.desk(ctx, repo, fmt.Sprintf("react to comment %d", comment), func(ctx context.Context, t target) error {
		return c.write(ctx, func() error {
			_, _, err := c.api.Reactions.CreateIssueCommentReaction(ctx, t.owner, t.name, comment, content)
			return err
		})
	})
}

// Reply implements notify.Desk.
func (c *Client) Reply(ctx context.Context, repo string, number int, id, text string) error {
	return c.desk(ctx, repo, fmt.Sprintf("comment on #%d", number), func(ctx context.Context, t target) error {
		return c.sayOnce(ctx, c.write, t, number, "<!-- rebuilder:reply "+hash(id)+" -->", text)
	})
}

// Untick implements notify.Desk.
func (c *Client) Untick(ctx context.Context, repo string, number int) error {
	return c.desk(ctx, repo, fmt.Sprintf("empty the boxes of #%d", number), func(ctx context.Context, t target) error {
		issue, _, err := c.api.Issues.Get(ctx, t.owner, t.name, number)
		if err != nil {
			return err
		}
		body := notify.Untick(issue.GetBody())
		if body == issue.GetBody() {
			return nil
		}
		return c.write(ctx, func() error {
			_, _, err := c.api.Issues.Edit(ctx, t.owner, t.name, number, &github.IssueRequest{Body: &body})
			return err
		})
	})
}

// Label implements notify.Desk.
func (c *Client) Label(ctx context.Context, repo string, number int, label string) error {
	return c.desk(ctx, repo, fmt.Sprintf("label #%d", number), func(ctx context.Context, t target) error {
		return c.addLabels(ctx, c.write, t, number, []string{label})
	})
}

// Unlabel implements notify.Desk.
func (c *Client) Unlabel(ctx context.Context, repo string, number int, label string) error {
	return c.desk(ctx, repo, fmt.Sprintf("take the label off #%d", number), func(ctx context.Context, t target) error {
		err := c.write(ctx, func() error {
			_, err := c.api.Issues.RemoveLabelForIssue(ctx, t.owner, t.name, number, url.PathEscape(label))
			return err
		})
		if status(err) == http.StatusNotFound {
			return nil
		}
		return err
	})
}

// dashboardMark ends the body of our issue.
const dashboardMark = "<!-- rebuilder:dashboard -->"

// Dashboard implements notify.Desk.
func (c *Client) Dashboard(ctx context.Context, repo string, number int, title, body string) (now int, open bool, err error) {
	err = c.desk(ctx, repo, "dashboard", func(ctx context.Context, t target) error {
		issue, err := c.dashboard(ctx, t, number)
		if err != nil {
			return err
		}
		text := framed(body, maxWhole) + "\n\n" + dashboardMark
		request := &github.IssueRequest{Title: &title, Body: &text}
		switch {
		case issue == nil:
			return c.write(ctx, func() error {
				made, _, err := c.api.Issues.Create(ctx, t.owner, t.name, request)
				now, open = made.GetNumber(), true
				return err
			})
		case issue.GetState() != "open":
			now = issue.GetNumber()
			return nil
		}
		now, open = issue.GetNumber(), true
		if issue.GetTitle() == title && issue.GetBody() == text {
			return nil
		}
		return c.write(ctx, func() error {
			_, _, err := c.api.Issues.Edit(ctx, t.owner, t.name, now, request)
			return err
		})
	})
	return now, open, err
}

// dashboard finds our issue by its number, or among those that we made; nil when there is none.
func (c *Client) dashboard(ctx context.Context, t target, number int) (*github.Issue, error) {
	if number > 0 {
		issue, _, err := c.api.Issues.Get(ctx, t.owner, t.name, number)
		if code := status(err); code != http.StatusNotFound && code != http.StatusGone {
			return issue, err
		}
	}
	us, err := c.whoAmI(ctx)
	if err != nil {
		return nil, err
	}
	options := &github.IssueListByRepoOptions{State: "all", Creator: us, ListOptions: github.ListOptions{PerPage: 100}}
	for range 10 {
		some, resp, err := c.api.Issues.ListByRepo(ctx, t.owner, t.name, options)
		if err != nil {
			return nil, err
		}
		for _, one := range some {
			if !one.IsPullRequest() && dashboardBody.MatchString(one.GetBody()) {
				return one, nil
			}
		}
		if options.Page = resp.NextPage; resp.NextPage == 0 {
			return nil, nil
		}
	}
	return nil, errors.New("it is not among the thousand newest issues")
}

var dashboardBody = regexp.MustCompile(dashboardMark + `\s*$`)
