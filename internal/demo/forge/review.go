package forge

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

type reviewJSON struct {
	ID                int64               `json:"id"`
	NodeID            string              `json:"node_id"`
	User              *userJSON           `json:"user"`
	Body              string              `json:"body"`
	State             string              `json:"state"`
	HTMLURL           string              `json:"html_url"`
	PullRequestURL    string              `json:"pull_request_url"`
	Links             map[string]hrefJSON `json:"_links"`
	SubmittedAt       string              `json:"submitted_at"`
	CommitID          string              `json:"commit_id"`
	AuthorAssociation string              `json:"author_association"`
}

func (f *Forge) review(r *repository, p *pull, v *review) reviewJSON {
	web := f.repoWeb(r, "/pull/%d#pullrequestreview-%d", p.Number, v.ID)
	pull := f.repoAPI(r, "/pulls/%d", p.Number)
	return reviewJSON{
		ID: v.ID, NodeID: nodeID("PullRequestReview", v.ID), User: f.user(v.Author), Body: v.Body, State: v.State,
		HTMLURL: web, PullRequestURL: pull, Links: map[string]hrefJSON{"html": {web}, "pull_request": {pull}},
		SubmittedAt: stamp(v.Submitted), CommitID: v.SHA, AuthorAssociation: "MEMBER",
	}
}

func (f *Forge) reviewEvent(ctx context.Context, r *repository, p *pull, v *review, action, who string) object {
	shown := f.review(r, p, v)
	shown.State = strings.ToLower(v.State)
	return object{
		"action": action, "review": shown, "pull_request": f.pull(ctx, r, p), "repository": f.repository(r),
		"organization": f.organization(r.Owner), "sender": f.user(who),
	}
}

// reviewStates are what the events of a review make of it.
var reviewStates = map[string]string{"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}

func createReview(c *call, p *pull) reply {
	var in struct {
		Event, Body string
		CommitID    string `json:"commit_id"`
	}
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	state, known := reviewStates[in.Event]
	head, _ := c.f.heads(c.ctx, c.repo, p)
	switch {
	case !known:
		return invalid("Unprocessable Entity")
	case p.Author == c.who && state != "COMMENTED":
		return invalid("Unprocessable Entity: Can not approve your own pull request")
	}
	if in.CommitID == "" {
		in.CommitID = head
	}
	v := &review{ID: c.f.state.nextID(), Author: c.who, State: state, Body: in.Body, SHA: in.CommitID, Submitted: c.f.now()}
	p.Reviews = append(p.Reviews, v)
	p.Requested = slices.DeleteFunc(p.Requested, func(login string) bool { return login == c.who })
	p.Updated = v.Submitted
	c.f.hook(c.repo, "pull_request_review", func() any { return c.f.reviewEvent(c.ctx, c.repo, p, v, "submitted", c.who) })
	c.f.mergeWaiting(c.ctx, c.repo)
	return ok(c.f.review(c.repo, p, v))
}

func listReviews(c *call, p *pull) reply {
	all := []reviewJSON{}
	for _, v := range p.Reviews {
		all = append(all, c.f.review(c.repo, p, v))
	}
	return page(c, all)
}

type reviewers struct{ Reviewers, TeamReviewers []string }

func requestReviewers(c *call, p *pull) reply {
	var in reviewers
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	for _, login := range in.Reviewers {
		switch {
		case login == p.Author:
			return invalid("Review cannot be requested from pull request author.")
		case c.f.state.Users[login] == nil || c.f.role(c.repo, login) == "none":
			return invalid(fmt.Sprintf("Reviews may only be requested from collaborators. One or more of the users or teams you specified is not a collaborator of the %s/%s repository.", c.repo.Owner, c.repo.Name))
		}
	}
	for _, login := range in.Reviewers {
		if !slices.Contains(p.Requested, login) {
			p.Requested = append(p.Requested, login)
		}
	}
	return created(c.f.pull(c.ctx, c.repo, p))
}

func removeReviewers(c *call, p *pull) reply {
	var in reviewers
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	p.Requested = slices.DeleteFunc(p.Requested, func(login string) bool { return slices.Contains(in.Reviewers, login) })
	return ok(c.f.pull(c.ctx, c.repo, p))
}

func listRequested(c *call, p *pull) reply {
	return ok(object{"users": c.f.users(p.Requested), "teams": []object{}})
}

// getPermission says what a user may do, in the old four words and in the role's own.
func getPermission(c *call) reply {
	login := c.r.PathValue("username")
	if c.f.state.Users[login] == nil {
		return fail(http.StatusNotFound, login+" is not a user")
	}
	role := c.f.role(c.repo, login)
	old := role
	switch role {
	case "triage":
		old = "read"
	case "maintain":
		old = "write"
	}
	u := c.f.user(login)
	return ok(object{"permission": old, "role_name": role, "user": struct {
		*userJSON
		Permissions object `json:"permissions"`
		RoleName    string `json:"role_name"`
	}{u, roleJSON(role), role}})
}
