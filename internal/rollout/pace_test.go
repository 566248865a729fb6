package rollout_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/notify"
	"rebuilder/internal/pace"
	"rebuilder/internal/rollout"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

var fleetOf = []string{"a1", "a2", "a3", "b1", "b2", "b3"}

// pacedLab is a lab of six applications on base/python, one of which is named as a canary, and what [rollout] says besides.
func pacedLab(t *testing.T, dsn, pacing string) *lab {
	t.Helper()
	l := unstartedOn(t, dsn)
	c := l.read("catalog.toml")
	c = c[:strings.Index(c, "[[application]]")] + pacing
	for _, name := range fleetOf {
		c += fmt.Sprintf("[[application]]\nname = %q\nrepository = \"acme/%s\"\nimage = \"%s/apps/%s:main\"\n", name, name, l.host, name)
	}
	l.write("catalog.toml", c)
	l.start()
	t.Cleanup(func() { l.stop() })
	l.settle()
	for _, name := range fleetOf {
		l.forge.add("acme/"+name, fmt.Sprintf("FROM %s/base/python:stable\nCOPY . /\n", l.host), "apps/"+name+":main")
	}
	l.settle()
	return l
}

const canaryThenAll = "[rollout]\nwaves = [\"canary\", \"100%\"]\ncanaries = [\"a1\"]\n"

// told are the applications that were proposed to.
func (l *lab) told() (out []string) {
	l.forge.set(func(f *forge) {
		for name, r := range f.repos {
			if len(r.pulls) > 0 {
				out = append(out, strings.TrimPrefix(name, "acme/"))
			}
		}
	})
	slices.Sort(out)
	return out
}

func (l *lab) look(times int) {
	l.t.Helper()
	for range times {
		if err := l.loop.Once(context.Background()); err != nil {
			l.t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (l *lab) control(o rollout.Order) rollout.Obeyed {
	l.t.Helper()
	ro, _ := l.last()
	o.By = "ada"
	out, err := l.runner.Control(context.Background(), ro.ID, o)
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

func (l *lab) waits(image string) pace.Hold {
	l.t.Helper()
	w, err := rollout.WaitsOf(context.Background(), l.store.Q(), l.loop.Catalog(), time.Now())
	if err != nil {
		l.t.Fatal(err)
	}
	ro, _ := l.last()
	return w.Holds[pace.Ref{Rollout: ro.ID, Name: image}]
}

func TestWaves(t *testing.T) {
	t.Parallel()
	storetest.EachDSN(t, func(t *testing.T, dsn string) {
		l := pacedLab(t, dsn, canaryThenAll)
		l.publish("1.1")
		l.until(func() bool { return len(l.told()) > 0 })
		l.look(5)
		if told := l.told(); !slices.Equal(told, []string{"a1"}) {
			t.Fatalf("told are %v, want the canary alone", told)
		}
		if h := l.waits("b1"); !strings.Contains(h.Reason, "1 of 1 told and waited for") || h.Who == "" || h.Since.IsZero() {
			t.Errorf("b1 waits for %+v", h)
		}
		l.stop()
		l.start() // a restart loses nothing, and lets nobody go
		l.look(5)
		if told := l.told(); len(told) != 1 {
			t.Fatalf("told are %v after a restart", told)
		}
		l.settle()
		if told := l.told(); !slices.Equal(told, fleetOf) {
			t.Errorf("told are %v, want all", told)
		}
		ro, _ := l.last()
		events, err := store.AuditLog(context.Background(), l.store.Q(), store.AuditFilter{Action: string(store.Telling), Object: "a1"})
		if err != nil || len(events) == 0 || !slices.ContainsFunc(events, func(e store.Event) bool { return e.Rule == "wave 1 of 2 (canary)" }) {
			t.Errorf("%s: under which rule the canary was told is not written down: %+v %v", ro.ID, events, err)
		}
	})
}

// What is told soaks from when it was proven; what is critical does not wait for that.
func TestSoak(t *testing.T) {
	t.Parallel()
	l := pacedLab(t, storetest.SQLite(t), canaryThenAll+"soak = \"1h\"\n")
	l.publish("1.1")
	l.until(func() bool { return len(l.told()) > 0 })
	l.forge.merge()
	l.until(func() bool { return l.newest("a1").State == store.Done })
	l.look(5)
	if h := l.waits("b1"); len(l.told()) != 1 || !strings.Contains(h.Reason, "to soak for 1h") || h.Until.Sub(h.Since) != time.Hour {
		t.Errorf("told are %v, b1 waits for %+v", l.told(), h)
	}

	if o := l.control(rollout.Order{Verb: rollout.Hurry, Reason: "exploited"}); !o.Changed {
		t.Error("nothing changed")
	}
	l.settle()
	if told := l.told(); !slices.Equal(told, fleetOf) {
		t.Errorf("told are %v, want all", told)
	}
}

func TestAFailingCanaryHaltsTheRollout(t *testing.T) {
	t.Parallel()
	storetest.EachDSN(t, func(t *testing.T, dsn string) {
		l := pacedLab(t, dsn, canaryThenAll)
		l.publish("1.1")
		l.until(func() bool { return len(l.told()) > 0 })
		l.forge.set(func(f *forge) { f.repos["acme/a1"].pulls[0].State = notify.Closed })
		l.until(func() bool { ro, _ := l.last(); return ro.State == store.Halted })
		ro, _ := l.last()
		if !strings.Contains(ro.Reason, "1 of 1 told failed; the budget is 10%: a1: pull request #1 was closed") || ro.Pace.Since == 0 {
			t.Errorf("%q since %d", ro.Reason, ro.Pace.Since)
		}
		l.look(5)
		if told := l.told(); len(told) != 1 {
			t.Errorf("told are %v though it is halted", told)
		}
		if _, err := l.runner.Control(context.Background(), ro.ID, rollout.Order{Verb: rollout.Continue, By: "ada"}); err == nil {
			t.Error("it goes on without a reason")
		}
		for i := range 2 {
			if o := l.control(rollout.Order{Verb: rollout.Continue, Reason: "a1 was red before"}); o.Changed != (i == 0) {
				t.Errorf("asked %d times before: changed %v", i, o.Changed)
			}
		}
		l.settle()
		if told := l.told(); !slices.Equal(told, fleetOf) {
			t.Errorf("told are %v, want all", told)
		}
		events, err := store.AuditLog(context.Background(), l.store.Q(), store.AuditFilter{Object: ro.ID, Kind: store.Human})
		if err != nil || len(events) != 1 || events[0].Actor != "ada" || events[0].Action != "resume" || events[0].Detail != "a1 was red before" {
			t.Errorf("%+v %v", events, err)
		}
	})
}

func TestPauseWhileABuildRuns(t *testing.T) {
	t.Parallel()
	l := pacedLab(t, storetest.SQLite(t), "")
	slow := make(chan struct{})
	l.builder.set(func(b *scripted) { b.gate = slow })
	l.publish("1.1")
	l.until(func() bool { _, nodes := l.last(); return nodes["base/debian"].State == store.Building })
	o := l.control(rollout.Order{Verb: rollout.Pause, Reason: "the release is tonight"})
	if !o.Changed || !slices.Equal(o.AtWork, []string{"base/debian"}) {
		t.Errorf("%+v", o)
	}
	close(slow)
	l.until(func() bool { _, nodes := l.last(); return nodes["base/debian"].State == store.Done })
	l.look(5)
	_, nodes := l.last()
	if n := nodes["base/python"]; n.State != store.Waiting || len(l.told()) != 0 {
		t.Errorf("base/python is %s, told are %v", n.State, l.told())
	}
	if h := l.waits("base/python"); !strings.Contains(h.Reason, "paused by ada: the release is tonight") || h.Since.IsZero() {
		t.Errorf("%+v", h)
	}
	l.control(rollout.Order{Verb: rollout.Continue})
	l.settle()
	if told := l.told(); !slices.Equal(told, fleetOf) {
		t.Errorf("told are %v, want all", told)
	}
}

func TestStopAtATier(t *testing.T) {
	t.Parallel()
	l := pacedLab(t, storetest.SQLite(t), "")
	slow := make(chan struct{})
	l.builder.set(func(b *scripted) { b.gate = slow })
	l.publish("1.1")
	l.until(func() bool { _, nodes := l.last(); return nodes["base/debian"].State == store.Building })
	l.control(rollout.Order{Verb: rollout.Stop, Tier: 2, Reason: "look first"})
	close(slow)
	l.until(func() bool { _, nodes := l.last(); return nodes["base/python"].State == store.Done })
	l.look(5)
	if h := l.waits("b2"); len(l.told()) != 0 || !strings.Contains(h.Reason, "stops at tier 2 by ada: look first") {
		t.Errorf("told are %v, b2 waits for %+v", l.told(), h)
	}
	l.control(rollout.Order{Verb: rollout.Continue})
	l.settle()
	if told := l.told(); !slices.Equal(told, fleetOf) {
		t.Errorf("told are %v, want all", told)
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	l := pacedLab(t, storetest.SQLite(t), "[rollout]\nwaves = [\"canary\", \"100%\"]\ncanaries = [\"a1\"]\nfailure_budget = 1\n[budget]\nopen = 3\nreserved = \"0%\"\n")
	l.forge.set(func(f *forge) { f.refuse = true })
	l.publish("1.1")
	l.until(func() bool { _, nodes := l.last(); return nodes["a1"].State == store.Failed })
	l.forge.set(func(f *forge) { f.refuse = false })
	if o := l.control(rollout.Order{Verb: rollout.Retry, Images: []string{"a1"}}); !o.Changed || !slices.Equal(o.Again, []string{"a1"}) {
		t.Errorf("%+v", o)
	}
	most := 0
	for range 100 {
		l.look(1)
		open := 0
		l.forge.set(func(f *forge) {
			for _, r := range f.repos {
				open += len(slices.DeleteFunc(slices.Clone(r.pulls), func(p *pull) bool { return p.State != notify.Open }))
			}
		})
		most = max(most, open)
		if open == 3 || len(l.told()) == len(fleetOf) {
			l.forge.merge()
		}
		if ro, _ := l.last(); ro.State.Ended() {
			break
		}
	}
	l.settle()
	if told := l.told(); !slices.Equal(told, fleetOf) || most > 3 {
		t.Errorf("told are %v, %d open at once", told, most)
	}
}

// A newer base takes over those who only wait for their turn.
func TestANewerRolloutTakesOverWhoWaits(t *testing.T) {
	t.Parallel()
	l := pacedLab(t, storetest.SQLite(t), canaryThenAll)
	l.publish("1.1")
	l.until(func() bool { return len(l.told()) > 0 })
	l.look(3)
	first, _ := l.last()
	l.publish("1.2")
	l.until(func() bool { ro, _ := l.last(); return ro.ID != first.ID })
	_, nodes := l.last()
	if len(nodes) != 8 {
		t.Errorf("the second rollout has %d images, want all: %s", len(nodes), l.describe())
	}
	old, err := store.Nodes(context.Background(), l.store.Q(), first.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range old {
		if n.Kind == "application" && n.State != store.Skipped {
			t.Errorf("%s is still %s in the first one", n.Image, n.State)
		}
	}
	l.settle()
	if told := l.told(); !slices.Equal(told, fleetOf) {
		t.Errorf("told are %v, want all", told)
	}
	for _, name := range fleetOf[1:] { // that of the canary was open, and may have been merged first
		if n := len(l.forge.repos["acme/"+name].pulls); n != 1 {
			t.Errorf("%s got %d pull requests", name, n)
		}
	}
}

func TestAFreezeHoldsWhoIsToldAndNoBuild(t *testing.T) {
	t.Parallel()
	from, to := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	l := pacedLab(t, storetest.SQLite(t), fmt.Sprintf("[[freeze]]\nname = \"release\"\nfrom = %q\nto = %q\nimages = [\"b*\"]\n", from, to))
	l.publish("1.1")
	l.until(func() bool { return len(l.told()) == 3 })
	l.look(5)
	if told := l.told(); !slices.Equal(told, []string{"a1", "a2", "a3"}) {
		t.Errorf("told are %v", told)
	}
	if h := l.waits("b1"); !strings.Contains(h.Reason, `freeze "release"`) || h.Until.Before(time.Now()) {
		t.Errorf("%+v", h)
	}
}

// Two replicas that decide at the same time let nobody go twice, and not more than the limit.
func TestReplicasAgree(t *testing.T) {
	t.Parallel()
	storetest.EachDSN(t, func(t *testing.T, dsn string) {
		l := pacedLab(t, dsn, "[budget]\nopen = 2\nreserved = \"0%\"\n")
		l.publish("1.1")
		l.until(func() bool { _, nodes := l.last(); return nodes["base/python"].State == store.Done })
		done := make(chan error, 8)
		for range cap(done) {
			go func() { done <- l.runner.Resume(context.Background()) }()
		}
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		l.until(func() bool { return len(l.told()) == 2 })
		l.look(5)
		if told := l.told(); len(told) != 2 {
			t.Errorf("told are %v, the limit is 2", told)
		}
	})
}
