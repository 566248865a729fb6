package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"rebuilder/internal/notify"

	"github.com/google/go-github/v57/github"
)

const (
	mergeQuery = `query($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) {
    autoMergeAllowed mergeCommitAllowed squashMergeAllowed rebaseMergeAllowed
    pullRequest(number: $number) { id state isDraft headRefOid mergeStateStatus autoMergeRequest { enabledAt } }
  }
}`
	mergeMutation = `mutation($id: ID!, $head: GitObjectID!, $method: PullRequestMergeMethod!) {
  enablePullRequestAutoMerge(input: {pullRequestId: $id, expectedHeadOid: $head, mergeMethod: $method}) { pullRequest { state } }
}`
	maxUnknown = 4 // looks while GitHub computes whether a pull request merges
)

// mergeable is what GitHub says of a pull request that is to be merged.
type mergeable struct {
	AutoMergeAllowed, MergeCommitAllowed, SquashMergeAllowed, RebaseMergeAllowed bool

	PullRequest struct {
		ID, State, HeadRefOid, MergeStateStatus string
		IsDraft                                 bool
		AutoMergeRequest                        *struct{ EnabledAt time.Time }
	}
}

// method is one that the repository allows: a squash first, since there is one commit.
func (m mergeable) method() string {
	switch {
	case m.SquashMergeAllowed:
		return "squash"
	case m.MergeCommitAllowed:
		return "merge"
	}
	return "rebase"
}

// AutoMerge implements notify.Merging.
func (c *Client) AutoMerge(ctx context.Context, repo string, number int, commit string, unchecked bool) (notify.Merge, error) {
	t, err := parseRepo(repo)
	if err != nil {
		return notify.Merge{}, err
	}
	what := fmt.Sprintf("merge pull request %s#%d", t, number)
	m := &merger{c: c, t: t, number: number, commit: commit, unchecked: unchecked}
	// It looks first, outside of the line: most wait for checks, and for nobody's turn.
	done, write, err := m.look(ctx)
	if err == nil && write {
		err = c.inTurn(ctx, t, what, func(ctx context.Context) error {
			if done, write, err = m.look(ctx); err == nil && write {
				done, err = m.act(ctx)
			}
			return err
		})
	}
	return done, explain(what, err)
}

// merger is one call of AutoMerge.
type merger struct {
	c         *Client
	t         target
	number    int
	commit    string
	unchecked bool

	now    mergeable
	checks notify.Checks
}

func waits(format string, args ...any) notify.Merge {
	return notify.Merge{State: notify.MergeWaits, Why: fmt.Sprintf(format, args...)}
}

// look decides whether there is something to do now.
func (m *merger) look(ctx context.Context) (done notify.Merge, act bool, err error) {
	if err := m.ask(ctx); err != nil {
		return done, false, err
	}
	switch pr := m.now.PullRequest; {
	case pr.State == "MERGED":
		return notify.Merge{State: notify.MergeDone}, false, nil
	case pr.State != "OPEN":
		return waits("the pull request is closed"), false, nil
	case pr.HeadRefOid != m.commit:
		return waits("its head is %.7s, which is not the commit that was to be merged", pr.HeadRefOid), false, nil
	case pr.AutoMergeRequest != nil:
		return notify.Merge{State: notify.MergeEnabled}, false, nil
	case pr.IsDraft:
		return waits("it is a draft"), false, nil
	case pr.MergeStateStatus == "DIRTY":
		return waits("it conflicts with its branch"), false, nil
	case pr.MergeStateStatus == "UNKNOWN":
		return waits("the forge does not say yet whether it merges"), false, nil
	}
	if m.checks, err = m.c.Checks(ctx, m.t.String(), m.commit); err != nil {
		return done, false, err
	}
	switch {
	case m.checks.State == notify.Red:
		return waits("red: %s", strings.Join(m.checks.Failed, ", ")), false, nil
	case m.checks.State == notify.NoChecks && !m.unchecked:
		return waits("it has no check, and nothing unchecked is merged"), false, nil
	case m.byForge(), m.green() && m.clean():
		return done, true, nil
	case !m.green():
		return waits("checks run: %s", strings.Join(m.checks.Pending, ", ")), false, nil
	case m.now.PullRequest.MergeStateStatus == "BEHIND":
		return waits("its branch has to be brought up to date, and the repository does not allow auto-merge"), false, nil
	}
	return waits("the branch's protection asks for more, such as a review, and the repository does not allow auto-merge"), false, nil
}

func (m *merger) green() bool {
	return m.checks.State == notify.Green || m.checks.State == notify.NoChecks && m.unchecked
}

// clean says that GitHub would merge it at once.
func (m *merger) clean() bool {
	switch m.now.PullRequest.MergeStateStatus {
	case "CLEAN", "UNSTABLE", "HAS_HOOKS":
		return true
	}
	return false
}

// byForge says that GitHub has something to wait for and may do so itself.
func (m *merger) byForge() bool { return m.now.AutoMergeAllowed && !m.clean() }

// ask looks again while GitHub does not know: it computes it because it was asked.
func (m *merger) ask(ctx context.Context) error {
	wait := m.c.cfg.RetryWait
	for n := 1; ; n++ {
		var out struct{ Repository mergeable }
		err := m.c.graphQL(ctx, m.t, mergeQuery, map[string]any{"owner": m.t.owner, "name": m.t.name, "number": m.number}, &out)
		if m.now = out.Repository; err != nil || n == maxUnknown || m.now.PullRequest.MergeStateStatus != "UNKNOWN" || m.now.PullRequest.State != "OPEN" {
			return err
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		wait *= 2
	}
}

// act has it merged, by GitHub where that has something to wait for.
func (m *merger) act(ctx context.Context) (notify.Merge, error) {
	if !m.byForge() {
		return m.merge(ctx)
	}
	err := m.c.write(ctx, func() error {
		variables := map[string]any{"id": m.now.PullRequest.ID, "head": m.commit, "method": strings.ToUpper(m.now.method())}
		return m.c.graphQL(ctx, m.t, mergeMutation, variables, nil)
	})
	var refused *graphError
	if err == nil {
		return notify.Merge{State: notify.MergeEnabled, Wrote: true}, nil
	}
	if !errors.As(err, &refused) {
		return m.after(ctx, err)
	}
	switch words := strings.ToLower(refused.Error()); {
	case strings.Contains(words, "clean status") || strings.Contains(words, "unstable status"), // there is nothing to wait for any more
		strings.Contains(words, "protected branch rules not configured"): // nor ever was
		if m.green() {
			return m.merge(ctx)
		}
		return waits("checks run: %s", strings.Join(m.checks.Pending, ", ")), nil
	case strings.Contains(words, "not allowed"):
		return waits("the repository does not allow auto-merge"), nil
	case strings.Contains(words, "head"):
		return waits("its head moved meanwhile"), nil
	}
	return notify.Merge{}, err
}

// merge merges at once. The commit is GitHub's compare-and-set.
func (m *merger) merge(ctx context.Context) (notify.Merge, error) {
	err := m.c.write(ctx, func() error {
		options := &github.PullRequestOptions{SHA: m.commit, MergeMethod: m.now.method()}
		_, _, err := m.c.api.PullRequests.Merge(ctx, m.t.owner, m.t.name, m.number, "", options)
		return err
	})
	switch status(err) {
	case http.StatusMethodNotAllowed:
		return waits("the forge does not merge it: %s", message(err)), nil
	case http.StatusConflict:
		return waits("its head or its branch moved meanwhile"), nil
	}
	if err != nil {
		return m.after(ctx, err)
	}
	return notify.Merge{State: notify.MergeDone, Wrote: true}, nil
}

// after looks what became of a write whose answer was lost.
func (m *merger) after(ctx context.Context, err error) (notify.Merge, error) {
	if !unsure(ctx, err) || m.ask(ctx) != nil {
		return notify.Merge{}, err
	}
	switch pr := m.now.PullRequest; {
	case pr.State == "MERGED":
		return notify.Merge{State: notify.MergeDone, Wrote: true}, nil
	case pr.AutoMergeRequest != nil:
		return notify.Merge{State: notify.MergeEnabled, Wrote: true}, nil
	}
	return notify.Merge{}, err
}

// message is what GitHub says, without the address.
func message(err error) string {
	var answer *github.ErrorResponse
	if errors.As(err, &answer) {
		return answer.Message
	}
	return err.Error()
}
