package api

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"rebuilder/internal/notify"
	"rebuilder/internal/store"
)

// delivered is what is read of a delivery in which a person may ask for something at a pull request or a dashboard.
type delivered struct {
	Action  string `json:"action"`
	Comment struct {
		ID   int64  `json:"id"`
		Body string `json:"body"`
	} `json:"comment"`
	Issue       thread `json:"issue"`
	PullRequest thread `json:"pull_request"`
	Label       struct {
		Name string `json:"name"`
	} `json:"label"`
	Changes struct {
		Body struct {
			From *string `json:"from"`
		} `json:"body"`
	} `json:"changes"`
	Repository struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
	Sender struct {
		Login string `json:"login"`
		Type  string `json:"type"`
	} `json:"sender"`
}

type thread struct {
	Number int    `json:"number"`
	Body   string `json:"body"`
}

// wishes are what a person asks for in a delivery of GitHub. Nothing in it is believed: whether that person may is asked of
// the forge before anything is done, and what concerns no pull request of ours is not kept.
func wishes(event, id string, body []byte, now time.Time) []store.Control {
	var d delivered
	if json.Unmarshal(body, &d) != nil || d.Sender.Type == "Bot" || len(d.Sender.Login) > 100 || len(d.Repository.FullName) > 200 {
		return nil
	}
	c := store.Control{Repository: d.Repository.FullName, Number: d.Issue.Number, Actor: d.Sender.Login, At: now.UnixMilli()}
	var all []notify.Asked
	switch {
	case event == "issue_comment" && d.Action == "created":
		all, c.Comment = notify.Commands(d.Comment.Body), d.Comment.ID
	case event == "issues" && d.Action == "edited":
		all = ticked(d.Changes.Body.From, d.Issue.Body)
	case event == "pull_request" && d.Action == "edited":
		all, c.Number = ticked(d.Changes.Body.From, d.PullRequest.Body), d.PullRequest.Number
	case event == "pull_request" && d.Action == "labeled":
		if a, ok := notify.Labelled(d.Label.Name); ok {
			all, c.Number, c.Label = []notify.Asked{a}, d.PullRequest.Number, d.Label.Name
		}
	}
	var out []store.Control
	for i, a := range all {
		one := c
		one.ID, one.Action, one.Application = fmt.Sprintf("%s/%d", id, i), string(a.Action), a.Line
		if a.For > 0 {
			one.Until = now.Add(a.For).UnixMilli()
		}
		out = append(out, one)
	}
	return out
}

// ticked returns what boxes ask for that were empty before. Without what was before nothing is known to be new.
func ticked(before *string, now string) (out []notify.Asked) {
	if before == nil {
		return nil
	}
	was := map[string]bool{}
	for _, a := range notify.Ticked(*before) {
		was[string(a.Action)+" "+a.Line] = true
	}
	for _, a := range notify.Ticked(now) {
		if !was[string(a.Action)+" "+a.Line] {
			out = append(out, a)
		}
	}
	return out
}

// hear keeps what a person asks for in a delivery, for the next look. It says whether there is something.
func (s *Server) hear(ctx context.Context, event, id string, body []byte) bool {
	if id == "" || len(id) > longestDelivery {
		id = hashed(string(body))
	}
	kept := false
	for _, c := range wishes(event, id, body, s.d.Now()) {
		err := s.d.Store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
			ours, err := store.Ours(ctx, q, c.Repository, c.Number)
			if err != nil || !ours {
				return err
			}
			added, err := store.AddControl(ctx, q, c)
			kept = kept || added
			return err
		})
		if err != nil {
			s.d.Log.Error("what a person asked for is lost", "repository", c.Repository, "number", c.Number, "actor", c.Actor, "action", c.Action, "error", err)
		}
	}
	return kept
}
