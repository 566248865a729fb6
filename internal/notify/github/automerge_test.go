package github_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"rebuilder/internal/demo/forge"
	"rebuilder/internal/notify"

	"github.com/google/go-github/v57/github"
)

// say gives a commit a status.
func (w *world) say(commit, name, state string) {
	w.t.Helper()
	_, _, err := w.human.Repositories.CreateStatus(w.t.Context(), "acme", "web", commit, &github.RepoStatus{State: &state, Context: &name})
	w.must(err)
}

// run gives a commit a check run; an empty conclusion goes on.
func (w *world) run(commit, name, conclusion string) {
	w.t.Helper()
	options := github.CreateCheckRunOptions{Name: name, HeadSHA: commit}
	if conclusion != "" {
		options.Status, options.Conclusion = github.String("completed"), &conclusion
	}
	_, _, err := w.human.Checks.CreateCheckRun(w.t.Context(), "acme", "web", options)
	w.must(err)
}

func (w *world) checks(commit string) notify.Checks {
	w.t.Helper()
	c, err := w.client.Checks(w.t.Context(), "acme/web", commit)
	w.must(err)
	return c
}

func TestChecks(t *testing.T) {
	w := start(t)
	head := w.head("main")
	steps := []struct {
		do      func()
		state   notify.CheckState
		total   int
		failed  string
		pending string
	}{
		{func() {}, notify.NoChecks, 0, "", ""},
		{func() { w.run(head, "build", "") }, notify.Pending, 1, "", "build"},
		{func() { w.run(head, "build", "success") }, notify.Green, 1, "", ""},
		{func() { w.run(head, "lint", "skipped") }, notify.Green, 2, "", ""},
		{func() { w.say(head, "ci/test", "pending") }, notify.Pending, 3, "", "ci/test"},
		{func() { w.say(head, "ci/test", "error") }, notify.Red, 3, "ci/test", ""},
		{func() { w.run(head, "build", "timed_out") }, notify.Red, 3, "build ci/test", ""},
		{func() { w.say(head, "ci/test", "success"); w.say(head, "build", "success") }, notify.Red, 3, "build", ""},
		{func() { w.run(head, "build", "neutral") }, notify.Green, 3, "", ""},
	}
	for i, s := range steps {
		s.do()
		c := w.checks(head)
		if c.State != s.state || c.Total != s.total || strings.Join(c.Failed, " ") != s.failed || strings.Join(c.Pending, " ") != s.pending {
			t.Errorf("step %d: %+v, want %+v", i, c, s)
		}
	}
	if c := w.checks("main"); c.State != notify.Green {
		t.Errorf("by the branch's name: %+v", c)
	}
}

func TestAlsoRed(t *testing.T) {
	c := notify.Checks{Failed: []string{"build", "lint"}}
	if also := c.AlsoRed(notify.Checks{Failed: []string{"flaky", "lint"}}); !slices.Equal(also, []string{"lint"}) {
		t.Error(also)
	}
}

// TestRule15AutoMerge: only when asked for, only with checks, only that commit; by the forge itself where it can.
func TestRule15AutoMerge(t *testing.T) {
	required := &forge.Protection{Checks: []string{"build"}}
	for _, c := range []struct {
		name      string
		allow     bool
		protect   *forge.Protection
		prepare   func(w *world, head string)
		unchecked bool
		state     notify.MergeState
		why       string
		writes    int
		finally   notify.PullState
	}{
		{name: "the forge waits for the check", allow: true, protect: required, prepare: func(w *world, head string) { w.run(head, "build", "") }, state: notify.MergeEnabled, writes: 1, finally: notify.Merged},
		{name: "the forge does not, and the check runs", protect: required, prepare: func(w *world, head string) { w.run(head, "build", "") }, state: notify.MergeWaits, why: "checks run: build", finally: notify.Open},
		{name: "green already", allow: true, protect: required, prepare: func(w *world, head string) { w.run(head, "build", "success") }, state: notify.MergeDone, writes: 1, finally: notify.Merged},
		{name: "green without protection", prepare: func(w *world, head string) { w.say(head, "ci", "success") }, state: notify.MergeDone, writes: 1, finally: notify.Merged},
		{name: "not protected, allowed, and it runs", allow: true, prepare: func(w *world, head string) { w.say(head, "ci", "pending") }, state: notify.MergeWaits, why: "checks run: ci", finally: notify.Open},
		{name: "unstable: red though not required", allow: true, protect: required, prepare: func(w *world, head string) {
			w.run(head, "build", "success")
			w.run(head, "lint", "failure")
		}, state: notify.MergeWaits, why: "red: lint", finally: notify.Open},
		{name: "no check", allow: true, state: notify.MergeWaits, why: "it has no check, and nothing unchecked is merged", finally: notify.Open},
		{name: "no check, and that is fine", unchecked: true, state: notify.MergeDone, writes: 1, finally: notify.Merged},
		{name: "a review is missing", protect: &forge.Protection{Reviews: 1}, prepare: func(w *world, head string) { w.run(head, "build", "success") }, state: notify.MergeWaits,
			why: "the branch's protection asks for more, such as a review, and the repository does not allow auto-merge", finally: notify.Open},
		{name: "another head", prepare: func(*world, string) {}, state: notify.MergeWaits, why: "which is not the commit that was to be merged", finally: notify.Open},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t)
			pr := w.propose(w.proposal(), 3)
			w.must(w.hub.Protect("acme", "web", "main", c.protect))
			w.must(w.hub.AllowAutoMerge("acme", "web", c.allow))
			if c.prepare != nil {
				if c.name == "another head" {
					w.personCommits(pr.Head, "x", "y")
				} else {
					c.prepare(w, pr.HeadCommit)
				}
			}
			merge := func() notify.Merge {
				t.Helper()
				m, err := w.client.AutoMerge(t.Context(), "acme/web", pr.Number, pr.HeadCommit, c.unchecked)
				w.must(err)
				return m
			}
			m := merge()
			if m.State != c.state || !strings.Contains(m.Why, c.why) || c.why == "" && m.Why != "" || m.Wrote != (c.writes > 0) {
				t.Fatalf("got %+v, want %s %q", m, c.state, c.why)
			}
			if again := merge(); again.Wrote || again.State != m.State {
				t.Errorf("the second time: %+v", again)
			}
			if m.State == notify.MergeEnabled {
				w.run(pr.HeadCommit, "build", "success")
			}
			if now, err := w.client.PullRequest(t.Context(), "acme/web", pr.Number); err != nil || now.State != c.finally {
				t.Errorf("in the end %s, want %s: %v", now.State, c.finally, err)
			}
			for _, d := range w.hub.Documents() {
				if err := forge.CheckDocument(d.Query); err != nil {
					t.Errorf("%v: %s", err, d.Query)
				}
			}
			if unknown := w.hub.Unresolved(); len(unknown) > 0 {
				t.Errorf("the stand-in does not know %v", unknown)
			}
		})
	}
}

// TestAutoMergeSurvivesLostAnswers: what was done is seen, and is not done again.
func TestAutoMergeSurvivesLostAnswers(t *testing.T) {
	for _, on := range []string{"PUT .*/merge$", "POST .*/graphql$"} {
		for _, lost := range []fault{{status: http.StatusBadGateway, effect: true}, {effect: true}, {status: http.StatusBadGateway}} {
			w := start(t)
			pr := w.propose(w.proposal(), 3)
			w.say(pr.HeadCommit, "ci", "success")
			if strings.HasPrefix(on, "POST") {
				w.must(w.hub.Protect("acme", "web", "main", &forge.Protection{Checks: []string{"build"}}))
				w.must(w.hub.AllowAutoMerge("acme", "web", true))
				lost.nth = 2 // after the two looks
			}
			lost.on = on
			w.wire.fail(lost)
			m, err := w.client.AutoMerge(t.Context(), "acme/web", pr.Number, pr.HeadCommit, false)
			w.wire.healed(t)
			if err != nil {
				m, err = w.client.AutoMerge(t.Context(), "acme/web", pr.Number, pr.HeadCommit, false)
			}
			w.must(err)
			if m.State == notify.MergeWaits {
				t.Errorf("%s: %+v", on, m)
			}
		}
	}
}
