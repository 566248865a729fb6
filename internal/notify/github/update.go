package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"rebuilder/internal/notify"

	"github.com/google/go-github/v57/github"
)

// update brings an open pull request to the proposal, unless somebody else works on it.
func (j *job) update(ctx context.Context, g generation) (notify.PullRequest, error) {
	pr := g.open
	mark, _ := findMarker(pr.GetBody())
	if hasLabel(pr, neverLabel) {
		return pullRequest(j.t, pr), nil
	}
	head, _, err := j.c.api.Repositories.GetCommit(ctx, j.t.owner, j.t.name, pr.GetHead().GetSHA(), nil)
	if err != nil {
		return notify.PullRequest{}, err
	}
	ours, err := j.c.isOurs(ctx, head, pr, mark)
	if err != nil {
		return notify.PullRequest{}, err
	}
	if !ours && !j.p.TakeOver {
		return j.handsOff(ctx, pr, mark)
	}
	commit, err := j.refresh(ctx, pr, head, ours)
	if err != nil {
		return notify.PullRequest{}, err
	}
	if kept := proposalOf(head.GetCommit().GetMessage()); commit == head.GetSHA() && kept != "" {
		j.digest = kept // the same change, made when the files were otherwise
	}
	j.declined, j.asked = mark.Declined, mark.Asked
	if err := j.dress(ctx, pr, mark, commit); err != nil {
		return notify.PullRequest{}, err
	}
	out := pullRequest(j.t, pr)
	out.HeadCommit = commit
	return out, nil
}

// handsOff leaves a pull request that others have committed to as it is. When something newer is wanted it says so, in one
// comment that is edited from then on.
func (j *job) handsOff(ctx context.Context, pr *github.PullRequest, mark marker) (notify.PullRequest, error) {
	out := pullRequest(j.t, pr)
	out.Human, out.Current = true, mark.Pins == j.pins
	if out.Current {
		return out, nil
	}
	text := "Somebody else has committed to this branch, so it is left alone. Wanted now: " + code(j.p.Title) + ".\n\n" +
		"To have these commits replaced, comment `/rebuilder take over` or add the label `" + notify.LabelPrefix + string(notify.TakeOver) + "`; " +
		"to have a new pull request, merge or close this one."
	return out, j.say(ctx, pr, humanMark, text)
}

func (j *job) say(ctx context.Context, pr *github.PullRequest, mark, text string) error {
	return j.c.sayOnce(ctx, j.write, j.t, pr.GetNumber(), mark, text)
}

// Why our commit is made again.
const (
	newContent = "content"  // something else is proposed
	conflict   = "conflict" // it cannot be merged any more
	behind     = "behind"   // the branch must be in it, and has moved
	asked      = "asked"    // a person wants it
)

// refresh replaces our commit when something else is proposed, when the old one cannot be merged any more, or when a person
// asks. A base that merely moved is no reason: it would cost the repository a run of its CI, and its approvals.
func (j *job) refresh(ctx context.Context, pr *github.PullRequest, head *github.RepositoryCommit, ours bool) (string, error) {
	why, err := j.reason(ctx, pr, head, ours)
	if err != nil || why == "" {
		return head.GetSHA(), err
	}
	if j.p.NoPush != nil && why != asked {
		return "", j.p.NoPush
	}
	approved, err := j.approvedBy(ctx, pr)
	if err != nil {
		return "", err
	}
	switch {
	case approved == "":
	case why == behind: // the same change again is not worth anybody's approval
		j.note("#%d is behind %s and was approved: it is left so that the approval stays; update its branch on the forge", pr.GetNumber(), j.p.Branch)
		return head.GetSHA(), nil
	case why != asked:
		text := "The approval by " + code(approved) + " was for an earlier commit. The new one is " + code(j.p.Title) + because(why, j.p.Branch) + "."
		if err := j.say(ctx, pr, approvalMark, text); err != nil {
			return "", err
		}
	}
	commit, err := j.replace(ctx, pr.GetHead().GetRef(), head.GetSHA())
	if errors.Is(err, errNothing) { // the base has it by now; the pull request will show no difference
		return head.GetSHA(), nil
	}
	return commit, err
}

func because(why, branch string) string {
	if why == conflict {
		return ", made again because the earlier one conflicts with " + code(branch)
	}
	return ""
}

// reason says why the commit at the head is not what should be there; empty when it is.
func (j *job) reason(ctx context.Context, pr *github.PullRequest, head *github.RepositoryCommit, ours bool) (string, error) {
	message := head.GetCommit().GetMessage()
	onBase := len(head.Parents) == 1 && head.Parents[0].GetSHA() == j.p.Base
	switch {
	case !ours:
		return asked, nil // to be taken over
	case onBase && proposalOf(message) == j.digest:
		return "", nil
	case onBase || trailerOf(message, changeTrailer) != j.change:
		return newContent, nil
	case j.p.Rebase:
		return asked, nil
	}
	whole, _, err := j.c.api.PullRequests.Get(ctx, j.t.owner, j.t.name, pr.GetNumber())
	if err != nil {
		return "", err
	}
	switch whole.GetMergeableState() {
	case "dirty":
		return conflict, nil
	case "behind": // GitHub says so only where a rule wants it to be up to date
		return behind, nil
	}
	return "", nil
}

// outdated says in words why an open pull request cannot be merged as it is.
func outdated(pr *github.PullRequest) string {
	base := pr.GetBase().GetRef()
	switch {
	case pr.GetState() != "open":
		return ""
	case pr.GetMergeableState() == "dirty":
		return "conflicts with " + base
	case pr.GetMergeableState() == "behind":
		return "is behind " + base + ", which has to be in it"
	}
	return ""
}

// approvedBy returns who approves the pull request now; empty when nobody does.
func (j *job) approvedBy(ctx context.Context, pr *github.PullRequest) (string, error) {
	reviews, _, err := j.c.api.PullRequests.ListReviews(ctx, j.t.owner, j.t.name, pr.GetNumber(), &github.ListOptions{PerPage: 100})
	if err != nil {
		return "", fmt.Errorf("reviews: %w", err)
	}
	last := map[string]string{} // what each person said last; oldest first
	for _, r := range reviews {
		if s := r.GetState(); s == "APPROVED" || s == "CHANGES_REQUESTED" || s == "DISMISSED" {
			last[r.GetUser().GetLogin()] = s
		}
	}
	for _, r := range reviews {
		if who := r.GetUser().GetLogin(); last[who] == "APPROVED" {
			return who, nil
		}
	}
	return "", nil
}

// dress adds to an open pull request what is missing around its commit: labels, reviewers, our words.
func (j *job) dress(ctx context.Context, pr *github.PullRequest, mark marker, commit string) error {
	if err := j.label(ctx, pr); err != nil {
		return err
	}
	if err := j.ask(ctx, pr); err != nil {
		return err
	}
	if pr.GetDraft() && !j.p.Draft {
		j.note("#%d is a draft and need not be one any more: mark it as ready for review", pr.GetNumber())
	}
	return j.edit(ctx, pr, mark, commit)
}

// edit writes our part of title and body when it changed since we wrote it last. What a person wrote stays.
func (j *job) edit(ctx context.Context, pr *github.PullRequest, mark marker, commit string) error {
	want := j.marker(commit)
	title := pr.GetTitle()
	theirs := mark.Title != hash(title)
	if theirs {
		want.Title = mark.Title
	} else {
		title = j.p.Title
	}
	if mark.same(want) {
		return nil
	}
	body := pr.GetBody()
	if mark.Text != want.Text { // otherwise only the commit is another: the words that are there stay
		body = withText(body, j.p.Body)
	}
	body = withMarker(body, want)
	return j.write(ctx, func() error {
		edit := &github.PullRequest{Title: &title, Body: &body}
		_, _, err := j.c.api.PullRequests.Edit(ctx, j.t.owner, j.t.name, pr.GetNumber(), edit)
		return err
	})
}

// neverLabel on a pull request says that its line is not to be proposed again.
const neverLabel = notify.LabelPrefix + string(notify.Never)

func hasLabel(pr *github.PullRequest, name string) bool {
	for _, l := range pr.Labels {
		if strings.EqualFold(l.GetName(), name) {
			return true
		}
	}
	return false
}

// label adds the labels that are missing.
func (j *job) label(ctx context.Context, pr *github.PullRequest) error {
	var missing []string
	for _, name := range j.p.Labels {
		if !hasLabel(pr, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return j.c.addLabels(ctx, j.write, j.t, pr.GetNumber(), missing)
}

// addLabels sends labels as an object, as GitHub's description has it: go-github's own call sends a bare list.
func (c *Client) addLabels(ctx context.Context, write writer, t target, number int, labels []string) error {
	path := fmt.Sprintf("repos/%s/%s/issues/%d/labels", t.owner, t.name, number)
	return write(ctx, func() error {
		req, err := c.api.NewRequest(http.MethodPost, path, map[string][]string{"labels": labels})
		if err != nil {
			return err
		}
		_, err = c.api.Do(ctx, req, nil)
		return err
	})
}

// ask asks the reviewers for their review, once. The marker remembers it: who has reviewed, or was taken off by a person, is
// not in GitHub's list any more.
func (j *job) ask(ctx context.Context, pr *github.PullRequest) error {
	want := hash(j.p.Reviewers...)
	if len(j.p.Reviewers) == 0 || j.asked == want {
		return nil
	}
	var request github.ReviewersRequest
	for _, r := range j.p.Reviewers {
		if _, team, ok := strings.Cut(r, "/"); ok {
			request.TeamReviewers = append(request.TeamReviewers, team)
		} else if !strings.EqualFold(r, pr.GetUser().GetLogin()) { // GitHub refuses the author
			request.Reviewers = append(request.Reviewers, r)
		}
	}
	err := j.write(ctx, func() error {
		_, _, err := j.c.api.PullRequests.RequestReviewers(ctx, j.t.owner, j.t.name, pr.GetNumber(), request)
		return err
	})
	if err != nil && !refusedOutright(err) {
		return fmt.Errorf("ask reviewers: %w", err)
	}
	if err != nil {
		j.note("reviewers %s could not be asked: the forge refuses them (are they collaborators?)", strings.Join(j.p.Reviewers, ", "))
	}
	j.asked = want
	return nil
}

func (j *job) note(format string, args ...any) {
	j.notes = append(j.notes, fmt.Sprintf(format, args...))
}
