package forge

import "strings"

// Limits from GitHub's description of the two operations.
const (
	maxEventType     = 100
	maxClientPayload = 10 // top-level members
	maxInputs        = 25
)

func repositoryDispatch(c *call) reply {
	var in struct {
		EventType     string         `json:"event_type"`
		ClientPayload map[string]any `json:"client_payload"`
	}
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	switch {
	case in.EventType == "" || len(in.EventType) > maxEventType:
		return invalid("Invalid request.\n\nevent_type must have 1 to 100 characters.")
	case len(in.ClientPayload) > maxClientPayload:
		return invalid("No more than 10 properties are allowed; client_payload has more.")
	}
	c.started("repository_dispatch", in.EventType, c.repo.Default, c.git.resolve(c.ctx, c.repo.Default), "ci.yml")
	c.dispatched(Dispatched{Event: in.EventType, Payload: in.ClientPayload})
	return noContent()
}

func workflowDispatch(c *call) reply {
	var in struct {
		Ref    string
		Inputs map[string]any
	}
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	workflow := c.r.PathValue("workflow")
	sha := c.git.resolve(c.ctx, in.Ref)
	switch {
	case c.git.rev(c.ctx, "refs/heads/"+c.repo.Default+":.github/workflows/"+workflow) == "":
		return notFound()
	case sha == "":
		return invalid("No ref found for: " + in.Ref)
	case len(in.Inputs) > maxInputs:
		return invalid("you may only define up to 25 `inputs` for a `workflow_dispatch` event")
	}
	run := c.started("workflow_dispatch", workflow, strings.TrimPrefix(in.Ref, "refs/heads/"), sha, workflow).ID
	c.dispatched(Dispatched{Workflow: workflow, Ref: in.Ref, Payload: in.Inputs})
	if c.r.Header.Get("X-GitHub-Api-Version") == nextVersion {
		return ok(object{
			"workflow_run_id": run, "run_url": c.f.repoAPI(c.repo, "/actions/runs/%d", run), "html_url": c.f.repoWeb(c.repo, "/actions/runs/%d", run),
		})
	}
	return noContent()
}

func (c *call) dispatched(d Dispatched) {
	d.Owner, d.Repo = c.repo.Owner, c.repo.Name
	if c.f.cfg.OnDispatch != nil {
		c.f.calls.Go(func() { c.f.cfg.OnDispatch(d) })
	}
}
