package events_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"rebuilder/internal/golden"
	"rebuilder/internal/notify/events"
)

var when = time.Date(2026, 11, 21, 12, 0, 0, 123e6, time.UTC)

func record(action, object, detail string) events.Record {
	return events.Record{ID: "0193a1b2-0000-7000-8000-000000000001", At: when, Actor: "rebuilder", Kind: "automation", Rule: "watch", Action: action, Object: object, Detail: detail}
}

func TestTypes(t *testing.T) {
	back := record("promote", "registry.example.com/base/debian:stable", "sha256:ab")
	back.Rule = "rollback"
	if e := events.Of(back); e.Type != events.RolledBack {
		t.Errorf("%+v", e)
	}
	for _, c := range []struct{ action, object, detail, kind, rollout, state, said string }{
		{"start rollout", "r-12ab-1", "libssl3", events.RolloutStarted, "r-12ab-1", "running", "libssl3"},
		{"rollout done", "r-12ab-1", "", "rebuilder.rollout.done", "r-12ab-1", "done", ""},
		{"rollout halted", "r-12ab-1", "too many failed", "rebuilder.rollout.halted", "r-12ab-1", "halted", "too many failed"},
		{"resume", "r-12ab-1", "all is well", events.RolloutChanged, "r-12ab-1", "", "all is well"},
		{"building", "base/debian", "r-12ab-1: its turn", events.NodeChanged, "r-12ab-1", "building", "its turn"},
		{"not-taken", "base/debian", "r-12ab-1", events.NodeChanged, "r-12ab-1", "not-taken", ""},
		{"telling", "web", "nobody's rollout", events.NodeChanged, "", "telling", "nobody's rollout"},
		{"promote", "registry.example.com/base/debian:stable", "sha256:ab", events.Promoted, "", "", "sha256:ab"},
		{"rollback", "base/debian", "bad", events.Recorded, "", "", "bad"}, // it is asked for, not done
		{"rollback failed", "base/debian", "bad", events.Recorded, "", "", "bad"},
		{"quarantine", "base/debian", "sha256:ab: bad", events.QuarantineChanged, "", "quarantined", "sha256:ab: bad"},
		{"clear quarantine", "base/debian", "sha256:ab", events.QuarantineChanged, "", "cleared", "sha256:ab"},
		{"proposal merged", "web", "r-12ab-2: pull request #3", "rebuilder.proposal.merged", "r-12ab-2", "merged", "pull request #3"},
		{"verdict fail", "base/debian", "sha256:ab", events.VerdictChanged, "", "fail", "sha256:ab"},
		{"approve exception", "EX-1", "", events.ExceptionChange, "", "", ""},
		{"refresh", "base/debian", "why", events.Recorded, "", "", "why"},
		{"rollout <b>", "x", "", events.Recorded, "", "", ""},
		{"", "", "", events.Recorded, "", "", ""},
	} {
		e := events.Of(record(c.action, c.object, c.detail))
		if e.Type != c.kind || e.Subject != c.object || e.Data.Rollout != c.rollout || e.Data.State != c.state || e.Data.Detail != c.said || e.Data.Action != c.action {
			t.Errorf("%s: %+v", c.action, e)
		}
	}
}

// The specification's own library reads what is sent, and finds nothing wrong with it.
func TestEnvelope(t *testing.T) {
	var all []string
	for _, source := range []string{"https://rebuilder.example.com", "/rebuilder/Acme%20Ltd"} {
		b, err := events.Of(record("building", "base/debian", "r-12ab-1: its \"turn\" <b>")).Encode(source)
		if err != nil {
			t.Fatal(err)
		}
		var e cloudevents.Event
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatal(err)
		}
		if err := e.Validate(); err != nil {
			t.Errorf("%s: %v", b, err)
		}
		var d events.Data
		if err := e.DataAs(&d); err != nil || d.State != "building" || d.Rollout != "r-12ab-1" {
			t.Errorf("%+v %v", d, err)
		}
		if e.ID() != "0193a1b2-0000-7000-8000-000000000001" || e.Source() != source || e.Type() != events.NodeChanged || !e.Time().Equal(when) || e.Extensions()["sequence"] != e.ID() {
			t.Errorf("%v", e)
		}
		all = append(all, string(b))
	}
	golden.Compare(t, "testdata/event.json", strings.Join(all, "\n")+"\n")
}

const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="

// The signature is what the reference library of Standard Webhooks accepts, and no other.
func TestSignature(t *testing.T) {
	for name, s := range map[string]string{"base64": secret, "text": "0123456789abcdef"} {
		var verified, other error
		srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			wh, _ := standardwebhooks.NewWebhook(secret) // the same key in both forms
			verified = wh.Verify(body, r.Header)
			other = wh.Verify(append(body, ' '), r.Header)
			if got := r.Header.Get("Content-Type"); got != "application/cloudevents+json; charset=utf-8" {
				t.Errorf("content type %q", got)
			}
		}))
		r := events.Poster{}.Post(t.Context(), srv.URL, s, events.Of(record("promote", "x", "")), "/rebuilder/")
		srv.Close()
		if r.Error != "" || r.Status != 200 || verified != nil || other == nil {
			t.Errorf("%s: %+v, %v, of a changed body %v", name, r, verified, other)
		}
	}
}

func TestAnswers(t *testing.T) {
	asked := 0
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   events.Result
	}{
		"taken":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, events.Result{Status: 204}},
		"broken":   {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no\n\x1b[31mdatabase", 500) }, events.Result{Status: 500, Error: "500 Internal Server Error: no [31mdatabase"}},
		"a page":   {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) }, events.Result{Status: 502, Error: "502 Bad Gateway"}},
		"patience": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "90"); w.WriteHeader(429) }, events.Result{Status: 429, Error: "429 Too Many Requests", After: 90 * time.Second}},
		"long patience": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "99999999999999")
			w.WriteHeader(503)
		}, events.Result{Status: 503, Error: "503 Service Unavailable", After: time.Hour}},
		"gone": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) }, events.Result{Status: 410, Error: "410 Gone", Gone: true}},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			fmt.Fprint(w, strings.Repeat("x", 1<<20))
		}, events.Result{Status: 400, Error: "400 Bad Request: " + strings.Repeat("x", 299) + "…"}},
		"cut": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, events.Result{Error: "EOF"}},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			asked++
			http.Redirect(w, r, "/again", http.StatusTemporaryRedirect)
		},
			events.Result{Status: 307, Error: "307 Temporary Redirect: it answers with a redirect, which is not followed"}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(c.answer)
			defer srv.Close()
			r := events.Poster{}.Post(t.Context(), srv.URL, secret, events.Of(record("promote", "x", "")), "/rebuilder/")
			r.Took = 0
			if r != c.want {
				t.Errorf("got  %+v\nwant %+v", r, c.want)
			}
		})
	}
	if asked != 1 {
		t.Errorf("a redirect was followed: %d requests", asked)
	}
	for s, want := range map[string]string{"": "less than 16", "short": "less than 16", "whsec_!": "not base64"} {
		if r := (events.Poster{}).Post(t.Context(), "http://127.0.0.1:1", s, events.Of(record("promote", "x", "")), "/"); !strings.Contains(r.Error, want) || s != "" && strings.Contains(r.Error, s+" ") {
			t.Errorf("%q: %+v", s, r)
		}
	}
}
