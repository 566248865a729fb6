package github

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"reflect"
	"strings"

	"rebuilder/internal/notify"

	"github.com/google/go-github/v57/github"
)

// maxTaken is how many branches in a row may be somebody else's before Propose gives up.
const maxTaken = 10

// Propose implements notify.Forge. A change that is on the branch already needs no pull request: the answer is Merged
// with number 0. An error may come after some of the writes; calling again goes on from there.
func (c *Client) Propose(ctx context.Context, p notify.Proposal) (notify.PullRequest, error) {
	t, err := parseRepo(p.Repo)
	if err == nil {
		err = checkProposal(p)
	}
	if err != nil {
		return notify.PullRequest{}, fmt.Errorf("propose: %w", err)
	}
	var pr notify.PullRequest
	err = c.inTurn(ctx, t, "propose "+p.Key, func(ctx context.Context) (err error) {
		j := &job{c: c, t: t, p: p, digest: digest(p), change: changeDigest(p), pins: pinsDigest(p)}
		if err := j.there(ctx); err != nil {
			return err
		}
		pr, err = j.run(ctx)
		pr.Wrote, pr.Pushed, pr.Notes = j.wrote, j.pushes > 0, j.notes
		return err
	})
	if err != nil {
		return notify.PullRequest{}, explain("propose to "+t.String(), err)
	}
	return pr, nil
}

// there looks at the repository before anything is done to it: one that was renamed is gone on with by its new name, since
// pull requests are not found by their branch's old owner, and one that takes no changes is left in peace.
func (j *job) there(ctx context.Context) error {
	repo, _, err := j.c.api.Repositories.Get(ctx, j.t.owner, j.t.name)
	if err != nil {
		return err
	}
	why := ""
	switch {
	case repo.GetArchived():
		why = "is archived"
	case repo.GetDisabled():
		why = "is disabled"
	}
	if why != "" {
		return &notify.Refused{Reason: fmt.Sprintf("%s %s and takes no changes: remove it from the catalog, or take that back", j.t, why), Who: "owner of " + j.t.String()}
	}
	now, err := parseRepo(repo.GetFullName())
	if err != nil || strings.EqualFold(now.String(), j.t.String()) {
		return err
	}
	j.note("%s is called %s now: change it in the catalog", j.t, now)
	j.t = now
	return nil
}

// Proposed implements notify.Forge.
func (c *Client) Proposed(ctx context.Context, p notify.Proposal) (notify.PullRequest, error) {
	t, err := parseRepo(p.Repo)
	if err != nil {
		return notify.PullRequest{}, fmt.Errorf("proposed: %w", err)
	}
	j := &job{c: c, t: t, p: p}
	pr, err := j.madeFrom(ctx)
	if err != nil {
		return notify.PullRequest{}, explain("look for the pull request from "+p.Base+" in "+t.String(), err)
	}
	return pr, nil
}

// madeFrom finds the pull request, on the newest branch, whose commit was made on the base commit.
func (j *job) madeFrom(ctx context.Context) (notify.PullRequest, error) {
	g, err := j.newest(ctx)
	if err != nil {
		return notify.PullRequest{}, err
	}
	candidates := g.closed
	if g.open != nil {
		candidates = []*github.PullRequest{g.open}
	}
	for _, pr := range candidates {
		head, _, err := j.c.api.Git.GetCommit(ctx, j.t.owner, j.t.name, pr.GetHead().GetSHA())
		if err != nil {
			return notify.PullRequest{}, err
		}
		if len(head.Parents) == 1 && head.Parents[0].GetSHA() == j.p.Base {
			return pullRequest(j.t, pr), nil
		}
	}
	return notify.PullRequest{}, notify.ErrNotFound
}

func checkProposal(p notify.Proposal) error {
	switch {
	case p.Key == "" || p.Title == "":
		return fmt.Errorf("%s: key and title are needed", p.Repo)
	case p.Branch == "" || p.Base == "":
		return fmt.Errorf("%s: the branch and the commit that the files were made from are needed", p.Repo)
	case len(p.Files) == 0:
		return fmt.Errorf("%s: no files", p.Repo)
	}
	for path := range p.Files {
		if !fs.ValidPath(path) || path == "." {
			return fmt.Errorf("%s: %q is not a path in a repository", p.Repo, path)
		}
	}
	return nil
}

// job is one call of Propose.
type job struct {
	c        *Client
	t        target
	p        notify.Proposal
	digest   string // of the files,
	change   string // of what changes in them,
	pins     string // and of what is pinned
	declined []declined
	asked    string
	notes    []string
	wrote    int
	pushes   int
}

// generation is one of a key's branches and the pull requests from it. Closed ones are only looked for when none is
// open.
type generation struct {
	number int
	branch string
	open   *github.PullRequest
	closed []*github.PullRequest // newest first
}

func (g generation) used() bool { return g.open != nil || len(g.closed) > 0 }

// write makes one counted call.
func (j *job) write(ctx context.Context, call func() error) error {
	return j.c.write(ctx, func() error {
		j.wrote++
		return call()
	})
}

// errNext says that a branch is no place for this proposal: its pull request is over, or it is somebody else's.
var errNext = errors.New("not on this branch")

func (j *job) run(ctx context.Context) (notify.PullRequest, error) {
	g, err := j.newest(ctx)
	for range maxTaken {
		if err != nil {
			return notify.PullRequest{}, err
		}
		pr, err := j.at(ctx, g)
		if !errors.Is(err, errNext) {
			return pr, err
		}
		if g, err = j.generation(ctx, g.number+1); err != nil {
			return notify.PullRequest{}, err
		}
	}
	return notify.PullRequest{}, fmt.Errorf("branches %s to -%d are taken by others", branchName(j.p, 1), g.number-1)
}

// at decides what is to be done about one branch.
func (j *job) at(ctx context.Context, g generation) (notify.PullRequest, error) {
	if g.open != nil {
		return j.update(ctx, g)
	}
	if !g.used() {
		return j.create(ctx, g)
	}
	for _, pr := range g.closed {
		if j.answeredBy(pr) {
			return pullRequest(j.t, pr), nil
		}
	}
	j.remember(g.closed)
	for _, no := range j.declined {
		if no.Pins == j.pins {
			return j.c.PullRequest(ctx, j.t.String(), no.Number)
		}
	}
	if err := j.tooSoon(g.closed[0]); err != nil {
		return notify.PullRequest{}, err
	}
	return notify.PullRequest{}, errNext
}

// answeredBy says that a pull request that is over is the answer to the proposal: its very files were merged, a person closed
// what pins the same, or wants none at all.
func (j *job) answeredBy(pr *github.PullRequest) bool {
	mark, ok := findMarker(pr.GetBody())
	switch {
	case pr.MergedAt != nil:
		return ok && mark.Proposal == j.digest
	case hasLabel(pr, neverLabel):
		return true
	}
	return ok && !mark.Gone && mark.Pins == j.pins
}

// tooSoon says that a person closed the last one not long ago.
func (j *job) tooSoon(last *github.PullRequest) error {
	mark, _ := findMarker(last.GetBody())
	until := last.GetClosedAt().Add(j.p.CoolDown)
	if last.MergedAt != nil || mark.Gone || !until.After(j.c.cfg.Now()) {
		return nil
	}
	return &notify.Held{
		Until: until, Who: "owner of " + j.t.String(),
		Reason: fmt.Sprintf("pull request #%d was closed on %s: the next digest is proposed after a cool-down", last.GetNumber(), last.GetClosedAt().UTC().Format("2 January")),
	}
}

// remember collects what was closed unmerged, from the pull requests at hand and from what they remember.
func (j *job) remember(closed []*github.PullRequest) {
	for _, pr := range closed {
		mark, ok := findMarker(pr.GetBody())
		if !ok {
			continue
		}
		if pr.MergedAt == nil && !mark.Gone {
			j.declined = append(j.declined, declined{Pins: mark.Pins, Number: pr.GetNumber()})
		}
		j.declined = append(j.declined, mark.Declined...)
	}
	if len(j.declined) > maxDeclined {
		j.declined = j.declined[:maxDeclined]
	}
}

// newest finds the last branch that a pull request was made from, the first one when there is none. Numbers have no
// gaps, so it takes a number of requests that grows with the logarithm.
func (j *job) newest(ctx context.Context) (generation, error) {
	last, err := j.generation(ctx, 1)
	if err != nil || last.open != nil || !last.used() {
		return last, err
	}
	unused := 0
	for next := 2; unused == 0 || unused-last.number > 1; {
		g, err := j.generation(ctx, next)
		if err != nil || g.open != nil {
			return g, err
		}
		if g.used() {
			last = g
		} else {
			unused = next
		}
		if next = last.number * 2; unused > 0 {
			next = (last.number + unused) / 2
		}
	}
	return last, nil
}

func (j *job) generation(ctx context.Context, number int) (generation, error) {
	g := generation{number: number, branch: branchName(j.p, number)}
	open, err := j.list(ctx, g.branch, "open")
	if err != nil {
		return g, err
	}
	if len(open) > 0 {
		g.open = open[0]
		return g, nil
	}
	g.closed, err = j.list(ctx, g.branch, "closed")
	return g, err
}

// list asks for one state at a time: GitHub fails on "all" in large repositories.
func (j *job) list(ctx context.Context, branch, state string) ([]*github.PullRequest, error) {
	all, _, err := j.c.api.PullRequests.List(ctx, j.t.owner, j.t.name, &github.PullRequestListOptions{
		State: state, Head: j.t.owner + ":" + branch, Base: j.p.Branch,
		ListOptions: github.ListOptions{PerPage: 100},
	})
	return all, err
}

// create makes what is missing of commit, branch and pull request.
func (j *job) create(ctx context.Context, g generation) (notify.PullRequest, error) {
	if j.p.NoOpen != nil {
		return notify.PullRequest{}, j.p.NoOpen
	}
	commit, err := j.branch(ctx, g.branch)
	if errors.Is(err, errNothing) {
		return notify.PullRequest{Repo: j.t.String(), State: notify.Merged}, nil
	}
	if err != nil {
		return notify.PullRequest{}, err
	}
	pr, err := j.open(ctx, g, commit)
	if err != nil {
		return notify.PullRequest{}, err
	}
	mark, _ := findMarker(pr.GetBody())
	if err := j.dress(ctx, pr, mark, commit); err != nil {
		return notify.PullRequest{}, err
	}
	return pullRequest(j.t, pr), nil
}

// branch brings a branch without pull request to a commit of ours. One that we left there before a kill is used.
func (j *job) branch(ctx context.Context, branch string) (string, error) {
	head, err := j.c.Head(ctx, j.t.String(), branch)
	if errors.Is(err, notify.ErrNotFound) {
		if j.p.NoPush != nil {
			return "", j.p.NoPush
		}
		return j.first(ctx, branch)
	}
	if err != nil {
		return "", err
	}
	if head == j.p.Base {
		return j.resume(ctx, branch, head)
	}
	there, _, err := j.c.api.Repositories.GetCommit(ctx, j.t.owner, j.t.name, head, nil)
	if err != nil {
		return "", err
	}
	ours, err := j.c.isOurs(ctx, there, nil, marker{})
	switch {
	case err != nil:
		return "", err
	case !ours:
		return j.resume(ctx, branch, head)
	case proposalOf(there.GetCommit().GetMessage()) == j.digest:
		return head, nil
	case j.p.NoPush != nil:
		return "", j.p.NoPush
	}
	return j.replace(ctx, branch, head)
}

// open makes the pull request. When the answer is lost, or says that there is one, it is looked up.
func (j *job) open(ctx context.Context, g generation, commit string) (*github.PullRequest, error) {
	body := newBody(j.p.Body, j.marker(commit))
	request := &github.NewPullRequest{Title: &j.p.Title, Head: &g.branch, Base: &j.p.Branch, Body: &body}
	if j.p.Draft {
		request.Draft = &j.p.Draft
	}
	pr, err := j.opened(ctx, request)
	if j.p.Draft && status(err) == http.StatusUnprocessableEntity && says(err, "Draft pull requests are not supported") {
		j.note("it should be a draft, which this repository does not have")
		request.Draft = nil
		pr, err = j.opened(ctx, request)
	}
	if !unsure(ctx, err) {
		return pr, err
	}
	made, lookErr := j.list(ctx, g.branch, "open")
	if lookErr != nil || len(made) == 0 {
		return nil, err
	}
	return made[0], nil
}

func (j *job) opened(ctx context.Context, request *github.NewPullRequest) (pr *github.PullRequest, err error) {
	err = j.write(ctx, func() (err error) {
		pr, _, err = j.c.api.PullRequests.Create(ctx, j.t.owner, j.t.name, request)
		return err
	})
	return pr, err
}

func (j *job) marker(commit string) marker {
	return marker{
		Proposal: j.digest, Pins: j.pins, Commit: commit, Text: textDigest(j.p), Title: hash(j.p.Title), Asked: j.asked, Declined: j.declined,
	}
}

// same says that nothing is different but what was declined before, which does not change while it is open.
func (m marker) same(o marker) bool {
	m.Declined, o.Declined = nil, nil
	return reflect.DeepEqual(m, o)
}
