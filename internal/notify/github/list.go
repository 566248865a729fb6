package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"rebuilder/internal/notify"

	"github.com/google/go-github/v57/github"
)

// The lists are for discovery. They only read, and never wait for the turn to write: a pull request is not held up by them.

const listPage = 100 // the most that GitHub gives

// Repositories returns a page of an organization's repositories, the oldest first, and the cursor of the next page: "" before
// the first and after the last. ErrNotFound when there is no such organization, or it is a person's account.
func (c *Client) Repositories(ctx context.Context, org, cursor string) (repos []notify.Listed, next string, rate notify.Rate, err error) {
	what := "repositories of " + org
	page, err := pageOf(org, cursor)
	if err != nil {
		return nil, "", rate, fmt.Errorf("%s: %w", what, err)
	}
	options := &github.RepositoryListByOrgOptions{Type: "all", Sort: "created", Direction: "asc", ListOptions: page}
	all, resp, err := c.api.Repositories.ListByOrg(ctx, org, options)
	if err != nil {
		return nil, "", rate, explain(what, err)
	}
	for _, r := range all {
		repos = append(repos, listed(r))
	}
	return repos, nextPage(resp), rateOf(resp), nil
}

// Repository looks at one repository by name. One that was renamed is found by its old name too, and says the new one.
func (c *Client) Repository(ctx context.Context, repo string) (notify.Listed, error) {
	t, err := parseRepo(repo)
	if err != nil {
		return notify.Listed{}, err
	}
	r, _, err := c.api.Repositories.Get(ctx, t.owner, t.name)
	if err != nil {
		return notify.Listed{}, explain("repository "+repo, err)
	}
	return listed(r), nil
}

func listed(r *github.Repository) notify.Listed {
	return notify.Listed{
		ID: r.GetID(), Name: r.GetFullName(), Branch: r.GetDefaultBranch(), PushedAt: r.GetPushedAt().Time,
		Archived: r.GetArchived(), Disabled: r.GetDisabled(), Fork: r.GetFork(),
	}
}

// Packages returns a page of the names of an organization's container packages as Repositories does: "web" is the image
// repository HOST/ORG/web of the forge's own registry.
func (c *Client) Packages(ctx context.Context, org, cursor string) (names []string, next string, rate notify.Rate, err error) {
	what := "container packages of " + org
	page, err := pageOf(org, cursor)
	if err != nil {
		return nil, "", rate, fmt.Errorf("%s: %w", what, err)
	}
	kind := "container"
	all, resp, err := c.api.Organizations.ListPackages(ctx, org, &github.PackageListOptions{PackageType: &kind, ListOptions: page})
	if status(err) == http.StatusForbidden {
		if _, limited := limitedUntil(err, time.Now()); !limited {
			return nil, "", rate, fmt.Errorf("%s: the forge forbids it: give the token the scope read:packages: %w", what, err)
		}
	}
	if err != nil {
		return nil, "", rate, explain(what, err)
	}
	for _, p := range all {
		names = append(names, p.GetName())
	}
	return names, nextPage(resp), rateOf(resp), nil
}

// Tree lists what a commit or a tree holds, with all that is below it when recursive. ErrNotFound when there is none, and
// when the repository is empty.
func (c *Client) Tree(ctx context.Context, repo, sha string, recursive bool) (notify.Tree, error) {
	t, err := parseRepo(repo)
	if err != nil {
		return notify.Tree{}, err
	}
	what := fmt.Sprintf("tree %s of %s", sha, t)
	tree, resp, err := c.api.Git.GetTree(ctx, t.owner, t.name, url.PathEscape(sha), recursive)
	if status(err) == http.StatusConflict { // "Git Repository is empty."
		return notify.Tree{}, fmt.Errorf("%s: the repository is empty: %w", what, notify.ErrNotFound)
	}
	if err != nil {
		return notify.Tree{}, explain(what, err)
	}
	out := notify.Tree{Truncated: tree.GetTruncated(), Rate: rateOf(resp)}
	for _, e := range tree.Entries {
		out.Entries = append(out.Entries, notify.TreeEntry{Path: e.GetPath(), Kind: kindOf(e), SHA: e.GetSHA(), Size: e.GetSize()})
	}
	return out, nil
}

func kindOf(e *github.TreeEntry) notify.EntryKind {
	switch e.GetMode() {
	case "100644", "100755", "100664":
		return notify.RegularFile
	case "040000":
		return notify.Directory
	}
	return notify.Other
}

// Blob returns the bytes of a file by its SHA.
func (c *Client) Blob(ctx context.Context, repo, sha string) ([]byte, error) {
	t, err := parseRepo(repo)
	if err != nil {
		return nil, err
	}
	return c.readBlob(ctx, t, fmt.Sprintf("file %s of %s", sha, t), sha)
}

// pageOf reads a cursor of ours.
func pageOf(org, cursor string) (github.ListOptions, error) {
	if org == "" || strings.ContainsAny(org, "/?#%") {
		return github.ListOptions{}, errors.New("that is no organization's name")
	}
	page := 1
	if cursor != "" {
		var err error
		if page, err = strconv.Atoi(cursor); err != nil || page < 1 {
			return github.ListOptions{}, fmt.Errorf("page %q: want a number", cursor)
		}
	}
	return github.ListOptions{PerPage: listPage, Page: page}, nil
}

func nextPage(resp *github.Response) string {
	if resp.NextPage == 0 {
		return ""
	}
	return strconv.Itoa(resp.NextPage)
}

func rateOf(resp *github.Response) notify.Rate {
	return notify.Rate{Limit: resp.Rate.Limit, Remaining: resp.Rate.Remaining, Reset: resp.Rate.Reset.Time}
}

// Passing says that an error may be gone the next time: GitHub is away or has troubles of its own. Others stay as long as
// nobody changes something; rate limits are *notify.RateLimited and neither.
func (c *Client) Passing(err error) bool {
	var lost *url.Error
	return status(err) >= http.StatusInternalServerError || status(err) == 0 && errors.As(err, &lost) && !errors.Is(err, errElsewhere)
}
