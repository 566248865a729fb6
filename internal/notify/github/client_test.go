package github_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/demo/forge"
	"rebuilder/internal/notify"
	ours "rebuilder/internal/notify/github"
)

func TestNewChecksItsConfiguration(t *testing.T) {
	token := func(context.Context) (string, error) { return secret, nil }
	for base, fine := range map[string]bool{
		"https://api.github.com": true, "https://ghe.example.com/api/v3": true, "http://127.0.0.1:3000": true,
		"http://127.0.0.1:3000/api/v3/": true, "": false, "api.github.com": false, "ftp://x": false,
		"https://user:" + secret + "@ghe.example.com": false, "https://x/?token=y": false, "https://x y/": false,
	} {
		_, err := ours.New(ours.Config{BaseURL: base, Token: token})
		if (err == nil) != fine {
			t.Errorf("%q: %v", base, err)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%q: the error shows a secret", base)
		}
	}
	if _, err := ours.New(ours.Config{BaseURL: "https://api.github.com"}); err == nil {
		t.Error("no token, no error")
	}
}

func TestReading(t *testing.T) {
	w := start(t)
	head, err := w.client.Head(t.Context(), "acme/web", "main")
	if err != nil || head != w.head("main") {
		t.Fatalf("head %s, %v", head, err)
	}
	content, err := w.client.ReadFile(t.Context(), "acme/web", head, "Dockerfile")
	if err != nil || string(content) != dockerOld {
		t.Errorf("got %q, %v", content, err)
	}
	for name, call := range map[string]func() error{
		"repository": func() error { _, err := w.client.Head(t.Context(), "acme/none", "main"); return err },
		"branch":     func() error { _, err := w.client.Head(t.Context(), "acme/web", "none"); return err },
		"file":       func() error { _, err := w.client.ReadFile(t.Context(), "acme/web", head, "none"); return err },
		"commit":     func() error { _, err := w.client.ReadFile(t.Context(), "acme/web", "none", "Dockerfile"); return err },
		"pull":       func() error { _, err := w.client.PullRequest(t.Context(), "acme/web", 7); return err },
	} {
		if err := call(); !errors.Is(err, notify.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.client.ReadFile(t.Context(), "acme/web", head, "deploy/images"); err == nil || errors.Is(err, notify.ErrNotFound) {
		t.Errorf("a directory: %v", err)
	}
}

func TestApiAtTheRoot(t *testing.T) {
	w := start(t)
	root := w.connect(func(c *ours.Config) { c.BaseURL = w.base })
	if head, err := root.Head(t.Context(), "acme/web", "main"); err != nil || head != w.head("main") {
		t.Errorf("head %s, %v", head, err)
	}
}

func TestUnchangedAnswersAreNotSentAgain(t *testing.T) {
	w := start(t)
	ask := func(want string) {
		t.Helper()
		if got, err := w.client.Head(t.Context(), "acme/web", "main"); err != nil || got != want {
			t.Fatalf("got %s, %v; want %s", got, err, want)
		}
	}
	old := w.head("main")
	ask(old)
	w.wire.fail(fault{on: "GET", status: 304}) // only a client that sent the tag can make sense of it
	ask(old)
	w.wire.healed(t)
	ask(w.personCommits("main", "a", "a\n"))
}

func TestClose(t *testing.T) {
	w := start(t)
	pr := w.propose(w.proposal(), 3)
	w.wire.fail(fault{on: "PATCH .*/pulls/1"})
	if err := w.client.ClosePullRequest(t.Context(), "acme/web", pr.Number, "Superseded by #2."); err == nil {
		t.Fatal("no error although the connection was cut")
	}
	for range 2 {
		w.must(w.client.ClosePullRequest(t.Context(), "acme/web", pr.Number, "Superseded by #2."))
	}
	got, err := w.client.PullRequest(t.Context(), "acme/web", pr.Number)
	w.must(err)
	if got.State != notify.Closed || got.HeadCommit != pr.HeadCommit {
		t.Errorf("got %+v", got)
	}
	said, _, err := w.human.Issues.ListComments(t.Context(), "acme", "web", pr.Number, nil)
	w.must(err)
	if len(said) != 1 || !strings.HasPrefix(said[0].GetBody(), "Superseded by #2.\n") {
		t.Errorf("comments: %v", said)
	}
}

func TestMergedPullRequest(t *testing.T) {
	w := start(t)
	pr := w.propose(w.proposal(), 3)
	w.merge(pr.Number)
	got, err := w.client.PullRequest(t.Context(), "acme/web", pr.Number)
	w.must(err)
	if got.State != notify.Merged || got.MergeCommit != w.head("main") {
		t.Errorf("got %+v", got)
	}
	w.must(w.client.ClosePullRequest(t.Context(), "acme/web", pr.Number, "late"))
}

func TestDispatch(t *testing.T) {
	w := start(t)
	seen := make(chan forge.Dispatched, 1)
	w.onDispatch = func(d forge.Dispatched) { seen <- d }
	w.must(w.client.Dispatch(t.Context(), notify.Dispatch{
		Key: "k1", Repo: "acme/web", Event: "base-image", Payload: map[string]string{"digest": "sha256:1"},
	}))
	if d := <-seen; d.Event != "base-image" || d.Payload["key"] != "k1" || d.Payload["digest"] != "sha256:1" {
		t.Errorf("got %+v", d)
	}
	w.must(w.client.Dispatch(t.Context(), notify.Dispatch{Key: "k2", Repo: "acme/web", Event: "e", Workflow: "base.yml", Ref: "main"}))
	if d := <-seen; d.Workflow != "base.yml" || d.Ref != "main" || d.Payload["key"] != "k2" {
		t.Errorf("got %+v", d)
	}
	many := map[string]string{}
	for _, name := range strings.Split("abcdefghij", "") {
		many[name] = ""
	}
	for name, bad := range map[string]notify.Dispatch{
		"too much":         {Repo: "acme/web", Event: "e", Payload: many},
		"no event":         {Repo: "acme/web"},
		"workflow, no ref": {Repo: "acme/web", Workflow: "base.yml"},
	} {
		before := w.wire.requests()
		if err := w.client.Dispatch(t.Context(), bad); err == nil || w.wire.requests() != before {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := w.client.Dispatch(t.Context(), notify.Dispatch{Repo: "acme/web", Workflow: "none.yml", Ref: "main"})
	if !errors.Is(err, notify.ErrNotFound) {
		t.Errorf("a workflow that is not there: %v", err)
	}
}

// TestDispatched: a dispatch whose answer was lost is found among the runs that are young enough.
func TestDispatched(t *testing.T) {
	w := start(t)
	event := notify.Dispatch{Key: "k1", Repo: "acme/web", Event: "base-image"}
	workflow := notify.Dispatch{Key: "k2", Repo: "acme/web", Workflow: "base.yml", Ref: "main"}
	started := func(d notify.Dispatch, since time.Time) bool {
		t.Helper()
		there, err := w.client.Dispatched(t.Context(), d, since)
		w.must(err)
		return there
	}
	since := time.Now()
	for _, d := range []notify.Dispatch{event, workflow} {
		if started(d, since) {
			t.Errorf("%s: it is there before it was sent", d.Key)
		}
		w.must(w.client.Dispatch(t.Context(), d))
		if !started(d, since) {
			t.Errorf("%s: it is not there", d.Key)
		}
		if started(d, since.Add(time.Hour)) {
			t.Errorf("%s: one of long ago is taken for it", d.Key)
		}
	}
	if _, err := w.client.Dispatched(t.Context(), notify.Dispatch{Repo: "acme/none", Event: "e"}, since); !errors.Is(err, notify.ErrNotFound) {
		t.Errorf("a repository that is not there: %v", err)
	}
}

func TestSecretsAreNotLogged(t *testing.T) {
	w := start(t)
	var out bytes.Buffer
	level := &slog.HandlerOptions{Level: slog.LevelDebug}
	client := w.connect(func(c *ours.Config) { c.Log = slog.New(slog.NewTextHandler(&out, level)) })
	_, err := client.Propose(t.Context(), w.proposal())
	w.must(err)
	if !strings.Contains(out.String(), "/pulls") || strings.Contains(out.String(), secret) {
		t.Errorf("log:\n%s", out.String())
	}
	wrong := w.connect(func(c *ours.Config) {
		c.Token = func(context.Context) (string, error) { return "ghp_wrong", nil }
	})
	_, err = wrong.Head(t.Context(), "acme/web", "main")
	if err == nil || !strings.Contains(err.Error(), "refuses the token") || strings.Contains(err.Error(), "ghp_wrong") {
		t.Errorf("got %v", err)
	}
}
