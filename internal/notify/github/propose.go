package github

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
		j := &job{c: c, t: t, p: p, digest: digest(p)}
		pr, err = j.run(ctx)
		pr.Wrote = j.wrote
		return err
	})
	if err != nil {
		return notify.PullRequest{}, explain("propose to "+t.String(), err)
	}
	return pr, nil
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
	digest   string
	declined []declined
	wrote    int
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
		if mark, ok := findMarker(pr.GetBody()); ok && mark.Proposal == j.digest {
			return pullRequest(j.t, pr), nil
		}
	}
	j.remember(g.closed)
	for _, no := range j.declined {
		if no.Proposal == j.digest {
			return j.c.PullRequest(ctx, j.t.String(), no.Number)
		}
	}
	return notify.PullRequest{}, errNext
}

// remember collects what was closed unmerged, from the pull requests at hand and from what they remember.
func (j *job) remember(closed []*github.PullRequest) {
	for _, pr := range closed {
		mark, ok := findMarker(pr.GetBody())
		if !ok {
			continue
		}
		if pr.MergedAt == nil {
			j.declined = append(j.declined, declined{Proposal: mark.Proposal, Number: pr.GetNumber()})
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
	if err := j.label(ctx, pr); err != nil {
		return notify.PullRequest{}, err
	}
	return pullRequest(j.t, pr), nil
}

// branch brings a branch without pull request to a commit of ours. One that we left there before a kill is used.
func (j *job) branch(ctx context.Context, branch string) (string, error) {
	head, err := j.c.Head(ctx, j.t.String(), branch)
	if errors.Is(err, notify.ErrNotFound) {
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
	}
	return j.replace(ctx, branch, head)
}

// open makes the pull request. When the answer is lost, or says that there is one, it is looked up.
func (j *job) open(ctx context.Context, g generation, commit string) (*github.PullRequest, error) {
	body := bodyWith(j.p.Body, j.marker(commit))
	var pr *github.PullRequest
	err := j.write(ctx, func() (err error) {
		pr, _, err = j.c.api.PullRequests.Create(ctx, j.t.owner, j.t.name, &github.NewPullRequest{
			Title: &j.p.Title, Head: &g.branch, Base: &j.p.Branch, Body: &body,
		})
		return err
	})
	if !unsure(ctx, err) {
		return pr, err
	}
	made, lookErr := j.list(ctx, g.branch, "open")
	if lookErr != nil || len(made) == 0 {
		return nil, err
	}
	return made[0], nil
}

func (j *job) marker(commit string) marker {
	return marker{Proposal: j.digest, Commit: commit, Text: textDigest(j.p), Declined: j.declined}
}

// update brings an open pull request to the proposal, unless somebody else works on it.
func (j *job) update(ctx context.Context, g generation) (notify.PullRequest, error) {
	pr := g.open
	mark, _ := findMarker(pr.GetBody())
	head, _, err := j.c.api.Repositories.GetCommit(ctx, j.t.owner, j.t.name, pr.GetHead().GetSHA(), nil)
	if err != nil {
		return notify.PullRequest{}, err
	}
	ours, err := j.c.isOurs(ctx, head, pr, mark)
	if err != nil {
		return notify.PullRequest{}, err
	}
	if !ours {
		out := pullRequest(j.t, pr)
		out.Human = true
		return out, nil
	}
	commit, err := j.refresh(ctx, pr, head)
	if err != nil {
		return notify.PullRequest{}, err
	}
	j.declined = mark.Declined
	if err := j.edit(ctx, pr, mark, commit); err != nil {
		return notify.PullRequest{}, err
	}
	if err := j.label(ctx, pr); err != nil {
		return notify.PullRequest{}, err
	}
	out := pullRequest(j.t, pr)
	out.HeadCommit = commit
	return out, nil
}

// refresh replaces our commit when the files changed, or when the old one no longer merges. A base that merely moved
// is no reason: it would cost the repository a run of its CI, and its approvals.
func (j *job) refresh(ctx context.Context, pr *github.PullRequest, head *github.RepositoryCommit) (string, error) {
	same := proposalOf(head.GetCommit().GetMessage()) == j.digest
	onBase := len(head.Parents) == 1 && head.Parents[0].GetSHA() == j.p.Base
	if same && !onBase {
		whole, _, err := j.c.api.PullRequests.Get(ctx, j.t.owner, j.t.name, pr.GetNumber())
		if err != nil {
			return "", err
		}
		same = whole.GetMergeableState() != "dirty"
	}
	if same {
		return head.GetSHA(), nil
	}
	commit, err := j.replace(ctx, pr.GetHead().GetRef(), head.GetSHA())
	if errors.Is(err, errNothing) { // the base has it by now; the pull request will show no difference
		return head.GetSHA(), nil
	}
	return commit, err
}

// edit writes title and body when ours changed since we wrote them last, so that a person's edits stay until there is
// something new to say.
func (j *job) edit(ctx context.Context, pr *github.PullRequest, mark marker, commit string) error {
	want := j.marker(commit)
	if mark.Proposal == want.Proposal && mark.Commit == want.Commit && mark.Text == want.Text {
		return nil
	}
	title, body := j.p.Title, bodyWith(j.p.Body, want)
	if mark.Text == want.Text { // only the commit is another: keep the words that are there
		title, body = pr.GetTitle(), markerPattern.ReplaceAllLiteralString(pr.GetBody(), want.String())
	}
	return j.write(ctx, func() error {
		edit := &github.PullRequest{Title: &title, Body: &body}
		_, _, err := j.c.api.PullRequests.Edit(ctx, j.t.owner, j.t.name, pr.GetNumber(), edit)
		return err
	})
}

// label adds the labels that are missing. It sends them as an object, as GitHub's description has it: go-github's own
// call sends a bare list.
func (j *job) label(ctx context.Context, pr *github.PullRequest) error {
	have := map[string]bool{}
	for _, label := range pr.Labels {
		have[strings.ToLower(label.GetName())] = true
	}
	var missing []string
	for _, name := range j.p.Labels {
		if !have[strings.ToLower(name)] {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	path := fmt.Sprintf("repos/%s/%s/issues/%d/labels", j.t.owner, j.t.name, pr.GetNumber())
	return j.write(ctx, func() error {
		req, err := j.c.api.NewRequest("POST", path, map[string][]string{"labels": missing})
		if err != nil {
			return err
		}
		_, err = j.c.api.Do(ctx, req, nil)
		return err
	})
}
