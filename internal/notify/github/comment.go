package github

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-github/v57/github"
)

// What our comments end with, hidden, so that each is made once and found again.
const (
	closedMark   = "<!-- rebuilder:closed -->"   // why it was closed
	humanMark    = "<!-- rebuilder:human -->"    // why it is left alone
	approvalMark = "<!-- rebuilder:approval -->" // why approvals were outdated
)

const maxComments = 1000 // that are looked through for ours

// writer makes one content-creating call in its turn.
type writer func(ctx context.Context, call func() error) error

// sayOnce makes the comment that ends with mark say text: it is made when missing, edited when it says something else.
func (c *Client) sayOnce(ctx context.Context, write writer, t target, number int, mark, text string) error {
	body := text + "\n\n" + mark
	old, err := c.said(ctx, t, number, mark)
	if err != nil || old != nil && old.GetBody() == body {
		return err
	}
	comment := &github.IssueComment{Body: &body}
	return write(ctx, func() (err error) {
		if old != nil {
			_, _, err = c.api.Issues.EditComment(ctx, t.owner, t.name, old.GetID(), comment)
			return err
		}
		_, _, err = c.api.Issues.CreateComment(ctx, t.owner, t.name, number, comment)
		return err
	})
}

// said finds the comment of ours that ends with mark; nil when there is none.
func (c *Client) said(ctx context.Context, t target, number int, mark string) (*github.IssueComment, error) {
	us, err := c.whoAmI(ctx)
	if err != nil {
		return nil, err
	}
	options := &github.IssueListCommentsOptions{ListOptions: github.ListOptions{PerPage: 100}}
	for range maxComments / 100 {
		some, resp, err := c.api.Issues.ListComments(ctx, t.owner, t.name, number, options)
		if err != nil {
			return nil, err
		}
		for _, one := range some {
			if strings.HasSuffix(strings.TrimSpace(one.GetBody()), mark) && (us == "" || one.GetUser().GetLogin() == us) {
				return one, nil
			}
		}
		if options.Page = resp.NextPage; resp.NextPage == 0 {
			break
		}
	}
	return nil, nil
}

// refusedOutright says that GitHub will not do this, however often it is asked.
func refusedOutright(err error) bool {
	if _, limited := limitedUntil(err, time.Now()); limited {
		return false
	}
	switch status(err) {
	case http.StatusUnprocessableEntity, http.StatusForbidden, http.StatusNotFound:
		return true
	}
	return false
}

// code is a text as code in Markdown, on one line.
func code(text string) string {
	return "`" + strings.Join(strings.Fields(strings.ReplaceAll(text, "`", "'")), " ") + "`"
}
