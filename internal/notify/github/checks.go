package github

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"rebuilder/internal/notify"

	"github.com/google/go-github/v57/github"
)

// maxChecks bounds what is read of one commit's checks: five pages.
const maxChecks = 500

// Checks implements notify.Forge. A name that is both a status and a check run is green when both are.
func (c *Client) Checks(ctx context.Context, repo, commit string) (notify.Checks, error) {
	t, err := parseRepo(repo)
	if err != nil {
		return notify.Checks{}, err
	}
	what := fmt.Sprintf("checks of %s@%s", t, commit)
	outcomes := map[string]notify.CheckState{}
	if err := c.statuses(ctx, t, commit, outcomes); err != nil {
		return notify.Checks{}, explain(what, err)
	}
	if err := c.checkRuns(ctx, t, commit, outcomes); err != nil {
		return notify.Checks{}, explain(what, err)
	}
	return combined(outcomes), nil
}

// note keeps the worse of two outcomes of a name.
func note(outcomes map[string]notify.CheckState, name string, state notify.CheckState) {
	worse := map[notify.CheckState]int{notify.Green: 1, notify.Pending: 2, notify.Red: 3}
	if worse[state] > worse[outcomes[name]] {
		outcomes[name] = state
	}
}

func combined(outcomes map[string]notify.CheckState) notify.Checks {
	out := notify.Checks{State: notify.NoChecks, Total: len(outcomes)}
	for name, state := range outcomes {
		switch state {
		case notify.Red:
			out.Failed = append(out.Failed, name)
		case notify.Pending:
			out.Pending = append(out.Pending, name)
		}
	}
	slices.Sort(out.Failed)
	slices.Sort(out.Pending)
	switch {
	case len(out.Failed) > 0:
		out.State = notify.Red
	case len(out.Pending) > 0:
		out.State = notify.Pending
	case out.Total > 0:
		out.State = notify.Green
	}
	return out
}

// statuses reads the newest of each context. A commit without any is "pending" to GitHub, which says nothing.
func (c *Client) statuses(ctx context.Context, t target, commit string, outcomes map[string]notify.CheckState) error {
	options := &github.ListOptions{PerPage: listPage}
	for read := 0; read < maxChecks; read += listPage {
		all, resp, err := c.api.Repositories.GetCombinedStatus(ctx, t.owner, t.name, commit, options)
		if err != nil {
			return err
		}
		for _, s := range all.Statuses {
			note(outcomes, s.GetContext(), ofStatus(s.GetState()))
		}
		if options.Page = resp.NextPage; options.Page == 0 {
			return nil
		}
	}
	return nil
}

func ofStatus(state string) notify.CheckState {
	switch state {
	case "success":
		return notify.Green
	case "failure", "error":
		return notify.Red
	}
	return notify.Pending
}

// checkRuns reads the newest of each name. A token that may not see them has only the statuses to go by.
func (c *Client) checkRuns(ctx context.Context, t target, commit string, outcomes map[string]notify.CheckState) error {
	options := &github.ListCheckRunsOptions{ListOptions: github.ListOptions{PerPage: listPage}}
	for read := 0; read < maxChecks; read += listPage {
		all, resp, err := c.api.Checks.ListCheckRunsForRef(ctx, t.owner, t.name, commit, options)
		if status(err) == http.StatusForbidden {
			return fmt.Errorf("the token needs the permission checks: read: %w", err)
		}
		if err != nil {
			return err
		}
		for _, run := range all.CheckRuns {
			note(outcomes, run.GetName(), ofRun(run))
		}
		if options.Page = resp.NextPage; options.Page == 0 {
			return nil
		}
	}
	return nil
}

func ofRun(run *github.CheckRun) notify.CheckState {
	if run.GetStatus() != "completed" {
		return notify.Pending
	}
	switch run.GetConclusion() {
	case "success", "neutral", "skipped":
		return notify.Green
	}
	return notify.Red // failure, cancelled, timed_out, action_required, stale, startup_failure
}
