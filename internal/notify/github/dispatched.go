package github

import (
	"context"
	"strings"
	"time"

	"rebuilder/internal/notify"

	"github.com/google/go-github/v57/github"
)

// skew is how far GitHub's clock may be behind ours.
const skew = 5 * time.Second

// Dispatched implements notify.Forge. A workflow that has the key in its run-name, as
//
//	run-name: base image ${{ github.event.client_payload.key }}
//
// is known by it. Of any other, a run of the event that is young enough is taken for ours: what it builds is the same.
func (c *Client) Dispatched(ctx context.Context, d notify.Dispatch, since time.Time) (bool, error) {
	t, err := parseRepo(d.Repo)
	if err != nil {
		return false, err
	}
	options := &github.ListWorkflowRunsOptions{Event: "repository_dispatch", ListOptions: github.ListOptions{PerPage: 100}} // the newest come first
	var runs *github.WorkflowRuns
	if d.Workflow == "" {
		runs, _, err = c.api.Actions.ListRepositoryWorkflowRuns(ctx, t.owner, t.name, options)
	} else {
		options.Event, options.Branch = "workflow_dispatch", strings.TrimPrefix(d.Ref, "refs/heads/")
		runs, _, err = c.api.Actions.ListWorkflowRunsByFileName(ctx, t.owner, t.name, d.Workflow, options)
	}
	if err != nil {
		return false, explain("look for runs in "+t.String(), err)
	}
	any := false
	for _, r := range runs.WorkflowRuns {
		if r.GetCreatedAt().Before(since.Add(-skew)) {
			break
		}
		if strings.Contains(r.GetDisplayTitle(), d.Key) {
			return true, nil
		}
		any = true
	}
	return any, nil
}
