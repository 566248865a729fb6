package api

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"rebuilder/internal/notify"
)

func TestAsked(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	empty := "Words.\n" + notify.Box(notify.Rebase, "", " Rebase") + "\n" + notify.Box(notify.OpenNow, "web", " Open")
	ticked := "Words.\n- [x] <!-- rebuilder:rebase --> Rebase\n- [X] <!-- rebuilder:open web --> Open"
	doc := func(v map[string]any) []byte {
		if _, ok := v["sender"]; !ok {
			v["sender"] = map[string]any{"login": "ada", "type": "User"}
		}
		v["repository"] = map[string]any{"full_name": "acme/web"}
		data, _ := json.Marshal(v)
		return data
	}
	type m = map[string]any
	for name, c := range map[string]struct {
		event string
		body  []byte
		want  string
	}{
		"a command":              {"issue_comment", doc(m{"action": "created", "issue": m{"number": 3}, "comment": m{"id": 9, "body": "/rebuilder rebase"}}), "d/0 acme/web#3 rebase  by ada 0 9 ;"},
		"two commands":           {"issue_comment", doc(m{"action": "created", "issue": m{"number": 3}, "comment": m{"id": 9, "body": "/rebuilder skip\n/rebuilder wait 2h"}}), "d/0 acme/web#3 skip  by ada 0 9 ;d/1 acme/web#3 wait  by ada 8200000 9 ;"},
		"an edited comment":      {"issue_comment", doc(m{"action": "edited", "issue": m{"number": 3}, "comment": m{"id": 9, "body": "/rebuilder rebase"}}), ""},
		"a robot":                {"issue_comment", doc(m{"action": "created", "issue": m{"number": 3}, "comment": m{"id": 9, "body": "/rebuilder rebase"}, "sender": m{"login": "x[bot]", "type": "Bot"}}), ""},
		"boxes":                  {"pull_request", doc(m{"action": "edited", "pull_request": m{"number": 3, "body": ticked}, "changes": m{"body": m{"from": empty}}}), "d/0 acme/web#3 rebase  by ada 0 0 ;d/1 acme/web#3 open web by ada 0 0 ;"},
		"boxes that were ticked": {"pull_request", doc(m{"action": "edited", "pull_request": m{"number": 3, "body": ticked}, "changes": m{"body": m{"from": ticked}}}), ""},
		"unticked":               {"pull_request", doc(m{"action": "edited", "pull_request": m{"number": 3, "body": empty}, "changes": m{"body": m{"from": ticked}}}), ""},
		"another title":          {"pull_request", doc(m{"action": "edited", "pull_request": m{"number": 3, "body": ticked}, "changes": m{"title": m{"from": "x"}}}), ""},
		"a dashboard":            {"issues", doc(m{"action": "edited", "issue": m{"number": 4, "body": ticked}, "changes": m{"body": m{"from": empty}}}), "d/0 acme/web#4 rebase  by ada 0 0 ;d/1 acme/web#4 open web by ada 0 0 ;"},
		"a label":                {"pull_request", doc(m{"action": "labeled", "pull_request": m{"number": 3}, "label": m{"name": "rebuilder:never"}}), "d/0 acme/web#3 never  by ada 0 0 rebuilder:never;"},
		"another label":          {"pull_request", doc(m{"action": "labeled", "pull_request": m{"number": 3}, "label": m{"name": "bug"}}), ""},
		"another event":          {"push", doc(m{"action": "created", "comment": m{"body": "/rebuilder rebase"}}), ""},
		"no JSON":                {"issue_comment", []byte("{"), ""},
		"other JSON":             {"issue_comment", []byte(`{"action":5}`), ""},
	} {
		got := ""
		for _, c := range wishes(c.event, "d", c.body, now) {
			got += fmt.Sprintf("%s %s#%d %s %s by %s %d %d %s;", c.ID, c.Repository, c.Number, c.Action, c.Application, c.Actor, c.Until, c.Comment, c.Label)
		}
		if got != c.want {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
	}
}

// Whatever is delivered, no more is asked than ten things, by one person.
func FuzzAsked(f *testing.F) {
	f.Add("issue_comment", `{"action":"created","comment":{"body":"/rebuilder skip"},"issue":{"number":1},"sender":{"login":"a"}}`)
	f.Fuzz(func(t *testing.T, event, body string) {
		if n := len(wishes(event, "d", []byte(body), time.UnixMilli(1))); n > 10 {
			t.Errorf("%d things", n)
		}
	})
}
