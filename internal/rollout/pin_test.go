package rollout_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

// TestWhatRunsIsPinnedAlong: a file that says what runs is pinned in the same commit, and the application is not done before
// it names the new digest.
func TestWhatRunsIsPinnedAlong(t *testing.T) {
	t.Parallel()
	l := newLab(t, storetest.SQLite(t))
	l.write("catalog.toml", strings.Replace(l.read("catalog.toml"), `strategy = "pull-request"`, `files = ["values.yaml"]
proposals = { one_per_repository = true }`, 1))
	l.settle()
	from := fmt.Sprintf("FROM %s/base/python:stable\n", l.host)
	l.forge.add("acme/batch", from, "apps/batch:main")
	l.forge.add("acme/web", from, "apps/web:main")
	values := fmt.Sprintf("proxy: # in front\n  image: {repository: %s/base/debian, tag: stable}\n", l.host)
	l.forge.set(func(f *forge) { f.repos["acme/web"].values = []string{values} })
	l.until(l.forge.open) // its tag is no pin
	for range 3 {
		if err := l.loop.Once(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if _, nodes := l.last(); nodes["web"].State != store.Telling {
		t.Errorf("before the merge: %s: %s", nodes["web"].State, nodes["web"].Reason)
	}
	l.settle()
	l.publish("1.1")
	l.settle()
	if ro, nodes := l.last(); ro.State != store.Finished || nodes["web"].State != store.Done || !nodes["web"].Detail.Proven {
		t.Errorf("%s: web: %s: %s\n%s", ro.State, nodes["web"].State, nodes["web"].Reason, l.describe())
	}
	l.forge.set(func(f *forge) {
		r := f.repos["acme/web"]
		want := fmt.Sprintf("proxy: # in front\n  image: {repository: %s/base/debian, tag: stable@%s}\n", l.host, l.digest("base/debian:stable"))
		if got := r.values[len(r.values)-1]; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if len(r.pulls) != 2 {
			t.Errorf("%d pull requests, want 2: one for the tag, one for both files", len(r.pulls))
		}
	})
	was := l.rollouts()
	for range 3 {
		l.settle()
	}
	if now := l.rollouts(); now != was {
		t.Errorf("%d rollouts, were %d: it loops", now, was)
	}
}
