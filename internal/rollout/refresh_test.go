package rollout_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

// refresh wants both bases built fresh, as a slot of the schedule does.
func (l *lab) refresh(wanted string) {
	l.t.Helper()
	if err := store.WantRefresh(context.Background(), l.store.Q(), store.Refresh{Wanted: wanted, Cause: "refresh", Reason: "everything is built fresh", Since: 1}, []string{"base/debian", "base/python"}); err != nil {
		l.t.Fatal(err)
	}
}

// fresh says which fresh build the last build of each base was, and whether another is wanted.
func (l *lab) fresh(want string, due bool) {
	l.t.Helper()
	for _, base := range []string{"base/debian", "base/python"} {
		got := ""
		l.builder.set(func(s *scripted) { got = s.fresh[base] })
		r, err := store.GetRefresh(context.Background(), l.store.Q(), base)
		if err != nil || got != want || r.Due() != due {
			l.t.Errorf("%s was built for %q, want %q; %+v, want due %v (%v)", base, got, want, r, due, err)
		}
	}
}

func TestAFreshBuildOfTheSameContentIsNotPromoted(t *testing.T) {
	t.Parallel()
	l := applied(t)
	tags := l.tags.Load()
	l.refresh("slot 1")
	l.settle()
	ro, nodes := l.last()
	if ro.Cause != "refresh" || nodes["base/debian"].State != store.Unchanged || nodes["base/python"].State != store.Unchanged || nodes["web"].State != store.Skipped {
		t.Error(l.describe())
	}
	l.fresh("slot 1", false)
	if l.tags.Load() != tags {
		t.Errorf("%d tags were written", l.tags.Load()-tags)
	}
	builds, rollouts := l.builder.count("base/debian"), l.rollouts()
	l.refresh("slot 1") // the same slot once more
	for range 5 {
		l.settle()
	}
	if l.builder.count("base/debian") != builds || l.rollouts() != rollouts {
		t.Error("built again: " + l.describe())
	}
	l.publish("1.1") // what is built later goes on from there
	l.settle()
	l.right()
	l.fresh("slot 1", false)
}

func TestAFreshBuildOfOtherContentIsPromoted(t *testing.T) {
	t.Parallel()
	storetest.EachDSN(t, func(t *testing.T, dsn string) {
		l := appliedOn(t, dsn)
		l.builder.set(func(s *scripted) { s.salt = "2" }) // what a RUN downloads is another thing now: no watcher sees that
		l.settle()
		l.refresh("slot 1")
		l.settle()
		l.right()
		l.fresh("slot 1", false)
	})
}

// A slot is built once, wherever the process ends on the way.
func TestAFreshBuildIsKilledOnTheWay(t *testing.T) {
	t.Parallel()
	for _, at := range []int{1, 2, 3, 4, 6, 7} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			l := applied(t)
			l.builder.set(func(s *scripted) { s.salt = "2" })
			l.cut.arm(at)
			l.refresh("slot 1")
			l.settle()
			if l.cut.where() == "" {
				t.Fatalf("there is no effect %d to cut at", at)
			}
			l.right()
			l.fresh("slot 1", false)
			if n := l.rollouts(); n > 3 {
				t.Errorf("%d rollouts", n)
			}
		})
	}
}

// A download that is gone is said, and holds up no patch.
func TestAFreshBuildThatFailsHoldsUpNoPatch(t *testing.T) {
	t.Parallel()
	l := applied(t)
	l.builder.set(func(s *scripted) { s.dead = "slot 1" })
	l.refresh("slot 1")
	l.settle()
	if n := l.newest("base/debian"); n.State != store.Failed { // base/python goes on by itself, later or in the meantime
		t.Error(l.describe())
	}
	said := ""
	for _, n := range l.plan().NotDone {
		said += n.Reason + "\n"
	}
	if !strings.Contains(said, "its fresh build failed once: RUN apt-get exited with 100") {
		t.Errorf("the plan does not say it: %s", said)
	}
	l.publish("1.1")
	l.settle()
	if n := l.newest("base/debian"); n.State != store.Done {
		t.Error(l.describe())
	}
	if r, err := store.GetRefresh(t.Context(), l.store.Q(), "base/debian"); err != nil || !r.Due() {
		t.Errorf("%+v %v: it was not built fresh", r, err)
	}
	l.builder.set(func(s *scripted) { s.dead = "" })
	l.refresh("slot 2") // the next slot need not wait
	l.settle()
	l.fresh("slot 2", false)
}
