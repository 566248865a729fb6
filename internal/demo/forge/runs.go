package forge

import (
	"slices"
	"time"
)

// run is a run of a workflow that a dispatch started. Nothing runs: the CI of the demo does the work and tells nobody here.
type run struct {
	ID                   int64
	Event, Title, Branch string
	SHA, Workflow        string
	Created              time.Time
}

// runs keeps only the newest.
const maxRuns = 1000

// started records a run. Its title is what GitHub shows when the workflow says nothing of run-name.
func (c *call) started(event, title, branch, sha, workflow string) *run {
	r := &run{ID: c.f.state.nextID(), Event: event, Title: title, Branch: branch, SHA: sha, Workflow: workflow, Created: c.f.now()}
	c.repo.Runs = append(c.repo.Runs, r)
	c.repo.Runs = c.repo.Runs[max(0, len(c.repo.Runs)-maxRuns):]
	return r
}

func listRuns(c *call) reply {
	query := c.r.URL.Query()
	var all []*run
	for _, r := range slices.Backward(c.repo.Runs) {
		if is(query.Get("event"), r.Event) && is(query.Get("branch"), r.Branch) && is(c.r.PathValue("workflow"), r.Workflow) {
			all = append(all, r)
		}
	}
	shown := []object{}
	for _, r := range all[:min(100, len(all))] {
		shown = append(shown, c.run(r))
	}
	return ok(object{"total_count": len(all), "workflow_runs": shown})
}

// is says that what was asked for, if anything, is what there is.
func is(asked, have string) bool { return asked == "" || asked == have }

func (c *call) run(r *run) object {
	self := c.f.repoAPI(c.repo, "/actions/runs/%d", r.ID)
	head, _ := c.git.commits(c.ctx, "-1", r.SHA, "--")
	o := object{
		"id": r.ID, "node_id": nodeID("WorkflowRun", r.ID), "name": r.Workflow, "head_branch": r.Branch, "head_sha": r.SHA, "path": ".github/workflows/" + r.Workflow,
		"run_number": r.ID, "run_attempt": 1, "event": r.Event, "display_title": r.Title, "status": "completed", "conclusion": "success", "workflow_id": 1,
		"url": self, "html_url": c.f.repoWeb(c.repo, "/actions/runs/%d", r.ID), "pull_requests": []object{}, "created_at": stamp(r.Created), "updated_at": stamp(r.Created),
		"run_started_at": stamp(r.Created), "jobs_url": self + "/jobs", "logs_url": self + "/logs", "check_suite_url": c.f.repoAPI(c.repo, "/check-suites/%d", r.ID),
		"artifacts_url": self + "/artifacts", "cancel_url": self + "/cancel", "rerun_url": self + "/rerun", "workflow_url": c.f.repoAPI(c.repo, "/actions/workflows/1"),
		"head_commit": nil, "repository": c.f.minimalRepository(c.repo), "head_repository": c.f.minimalRepository(c.repo),
	}
	if len(head) == 1 {
		by := func(p person) object { return object{"name": p.Name, "email": p.Email} }
		o["head_commit"] = object{"id": r.SHA, "tree_id": head[0].Tree, "message": head[0].Message, "timestamp": stamp(head[0].Committer.Date), "author": by(head[0].Author), "committer": by(head[0].Committer)}
	}
	return o
}
