package api_test

import (
	"strings"
	"testing"

	"rebuilder/internal/api"
	"rebuilder/internal/api/apitest"
	"rebuilder/internal/store"
)

// A person pauses a rollout and lets it go on; each is written down once, and both show at once.
func TestARolloutIsPausedAndResumed(t *testing.T) {
	w := world(t, apitest.Running)
	c := api.NewClient(serve(t, w).URL, "")
	for i := range 2 {
		r, err := c.Control(t.Context(), apitest.RolloutID, "pause", api.ControlRequest{By: "ada", Reason: "the release is tonight"})
		if err != nil || r.Changed != (i == 0) || r.State != "paused" || len(r.AtWork) != 1 || r.AtWork[0] != "base/python" {
			t.Errorf("%+v %v", r, err)
		}
	}
	s, err := c.Status(t.Context())
	if err != nil || len(s.Running) != 1 || !s.Running[0].HeldSince.Equal(apitest.Now()) || s.Running[0].Reason != "by ada: the release is tonight" {
		t.Fatalf("%+v %v", s.Running, err)
	}
	found := false
	for _, n := range s.Needs {
		found = found || n.What == apitest.RolloutID && n.State == "paused" && n.Command == "rebuilder resume "+apitest.RolloutID
	}
	if !found {
		t.Errorf("nobody is told that it needs a person: %+v", s.Needs)
	}
	if r, err := c.Control(t.Context(), apitest.RolloutID, "resume", api.ControlRequest{By: "ada"}); err != nil || !r.Changed || r.State != "running" {
		t.Errorf("%+v %v", r, err)
	}
	events, err := store.AuditLog(t.Context(), w.Store.Q(), store.AuditFilter{Object: apitest.RolloutID, Actor: "ada"})
	if err != nil || len(events) != 2 || events[1].Action != "pause" || events[1].Kind != store.Human {
		t.Errorf("%+v %v", events, err)
	}
}

func TestWhatCannotBeAskedOfARollout(t *testing.T) {
	c := api.NewClient(serve(t, world(t, apitest.Running)).URL, "")
	for says, q := range map[string]struct {
		id, verb string
		api.ControlRequest
	}{
		"there is no rollout":     {id: "r-404", verb: "pause"},
		"nothing that can be":     {id: apitest.RolloutID, verb: "explode"},
		"they are counted from 1": {id: apitest.RolloutID, verb: "stop"},
		"say why rollout":         {id: apitest.RolloutID, verb: "critical"},
		"has ended as done":       {id: "r-0d9a51b37c20-1", verb: "pause"},
		"is not in rollout":       {id: apitest.RolloutID, verb: "retry", ControlRequest: api.ControlRequest{Images: []string{"nope"}}},
		"only what failed can":    {id: apitest.RolloutID, verb: "retry", ControlRequest: api.ControlRequest{Images: []string{"base/debian"}}},
		"more than 1000":          {id: apitest.RolloutID, verb: "retry", ControlRequest: api.ControlRequest{Images: make([]string, 1001)}},
	} {
		if _, err := c.Control(t.Context(), q.id, q.verb, q.ControlRequest); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s %s: %v, want %q", q.verb, q.id, err, says)
		}
	}
}
