package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/notify"
	"rebuilder/internal/rollout"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

// back rolls base/debian back as ada does.
func (l *lab) back(h rollout.ByHand) (rollout.Moved, error) {
	l.t.Helper()
	if h.Base == "" {
		h.Base = "base/debian"
	}
	h.Reason, h.By = "TLS is broken", "ada"
	return l.runner.Rollback(context.Background(), h)
}

func (l *lab) mustBack(h rollout.ByHand) rollout.Moved {
	l.t.Helper()
	m, err := l.back(h)
	if err != nil {
		l.t.Fatal(err)
	}
	return m
}

// libfoo is the version of libfoo that is in an image.
func (l *lab) libfoo(ref string) string {
	l.t.Helper()
	img := l.pull(ref)
	d, err := img.Digest()
	if err != nil {
		l.t.Fatal(err)
	}
	inv, found, err := store.GetInventory(context.Background(), l.store.Q(), d.String())
	if err != nil || !found {
		l.t.Fatalf("%s was not read: %v", ref, err)
	}
	p, _ := inv.Installed("libfoo", "amd64")
	return p.Version
}

// isBack checks that all four images have libfoo 1.0 again, and that nothing is to be done.
func (l *lab) isBack() {
	l.t.Helper()
	for _, ref := range []string{"base/debian:stable", "base/python:stable", "apps/web:main", "apps/batch:main"} {
		if v := l.libfoo(ref); v != "1.0" {
			l.t.Errorf("%s has libfoo %s\n%s", ref, v, l.describe())
		}
	}
	said := ""
	for _, n := range l.plan().NotDone {
		said += n.Reason + "\n"
	}
	if !strings.Contains(said, "stays as it is: what is built of it now") || !strings.Contains(said, "TLS is broken; not done: libfoo 1.0 -> 1.1") {
		l.t.Errorf("the plan does not say why nothing is done: %s", said)
	}
}

func TestRollback(t *testing.T) {
	t.Parallel()
	storetest.EachDSN(t, func(t *testing.T, dsn string) {
		l := appliedOn(t, dsn)
		before := l.digest("base/debian:stable")
		l.publish("1.1")
		l.settle()
		l.right()
		bad, python := l.digest("base/debian:stable"), l.digest("base/python:stable")
		m := l.mustBack(rollout.ByHand{})
		if got := l.digest("base/debian:stable"); got != before || m.To != before || m.From != bad || m.Again {
			t.Errorf("%+v: the channel is at %s, want %s", m, got, before)
		}
		if len(m.Quarantined) != 2 || m.Quarantined[0].Digest != bad || m.Quarantined[1].Digest != python || m.Quarantined[1].Because != bad {
			t.Errorf("in quarantine: %+v", m.Quarantined)
		}
		l.settle()
		ro, nodes := l.last()
		if ro.Cause != "rollback" || !strings.Contains(ro.Title, "which is in quarantine") || nodes["web"].State != store.Done || nodes["batch"].State != store.Done {
			t.Errorf("the way back: %+v\n%s", ro, l.describe())
		}
		l.isBack()
		builds, tags := l.builder.count("base/debian"), l.tags.Load()
		l.refresh("slot 1") // every step again: the same digest, or another of the same content
		for range 5 {
			l.settle()
		}
		l.isBack()
		if l.tags.Load() != tags {
			t.Errorf("%d tags were written", l.tags.Load()-tags)
		}
		if got := l.builder.count("base/debian"); got > builds+1 {
			t.Errorf("it was built %d times more", got-builds)
		}
		again := l.mustBack(rollout.ByHand{})
		if !again.Again || again.ID != m.ID || l.digest("base/debian:stable") != before {
			t.Errorf("rolled back twice: %+v", again)
		}
		if _, err := l.runner.ClearQuarantine(context.Background(), rollout.ByHand{Base: "base/debian", To: bad, By: "bob", Reason: "it was the proxy"}); err != nil {
			t.Fatal(err)
		}
		l.settle()
		for _, ref := range []string{"base/debian:stable", "base/python:stable", "apps/web:main", "apps/batch:main"} {
			if v := l.libfoo(ref); v != "1.1" {
				t.Errorf("cleared, and %s has libfoo %s\n%s", ref, v, l.describe())
			}
		}
	})
}

// What is newer than what was bad is taken for a fix, and goes through the gates as any other.
func TestAFixTakesThePlaceOfTheDigestThatWasRolledBackTo(t *testing.T) {
	t.Parallel()
	l := applied(t)
	l.publish("1.1")
	l.settle()
	l.mustBack(rollout.ByHand{})
	l.settle()
	l.isBack()
	l.builder.set(func(s *scripted) { s.salt = "2" }) // another content, with the same libfoo
	l.refresh("slot 1")
	l.settle()
	l.isBack()
	if n := l.newest("base/debian"); n.State != store.Quarantined || !strings.Contains(n.Reason, "it has libfoo 1.1, as has ") {
		t.Errorf("base/debian: %s: %s", n.State, n.Reason)
	}
	l.publish("1.2")
	l.settle()
	for _, ref := range []string{"base/debian:stable", "base/python:stable", "apps/web:main", "apps/batch:main"} {
		if v := l.libfoo(ref); v != "1.2" {
			t.Errorf("%s has libfoo %s\n%s", ref, v, l.describe())
		}
	}
}

func TestRollbackDuringARollout(t *testing.T) {
	t.Parallel()
	t.Run("while a pull request is open", func(t *testing.T) {
		l := applied(t)
		l.publish("1.1")
		l.until(l.forge.open)
		m := l.mustBack(rollout.ByHand{})
		if err := l.runner.Finish(context.Background()); err != nil {
			t.Fatal(err)
		}
		var pr pull
		l.forge.set(func(f *forge) { pr = *f.repos["acme/web"].pulls[0] })
		if pr.State != notify.Closed || strings.Count(pr.closed, "\n") != 0 || !strings.Contains(pr.closed, "withdrawn: ") || !strings.HasSuffix(pr.closed, "in quarantine, by ada: made from base/debian@"+short(m.From)+": TLS is broken") {
			t.Errorf("%s: %q", pr.State, pr.closed)
		}
		_, nodes := l.last()
		for _, name := range []string{"base/debian", "base/python", "web"} {
			if n := nodes[name]; n.State != store.Quarantined || !strings.Contains(n.Reason, "TLS is broken") {
				t.Errorf("%s: %s: %s", name, n.State, n.Reason)
			}
		}
		got, found, err := store.GetChannelMove(context.Background(), l.store.Q(), m.ID)
		if err != nil || !found || got.State != store.MoveDone {
			t.Errorf("%+v, %v", got, err)
		}
		l.settle()
		l.isBack()
		if pulls, _, _ := l.forge.counts(); pulls != 1 {
			t.Errorf("%d pull requests: web stood on what is there again all the time", pulls)
		}
	})
	t.Run("while what stands on it is built", func(t *testing.T) {
		l := applied(t)
		gate := make(chan struct{})
		l.publish("1.1")
		l.builder.set(func(s *scripted) { s.gate = gate })
		l.until(func() bool { return l.builder.count("base/debian") == 2 })
		held := make(chan struct{})
		l.builder.set(func(s *scripted) { s.gate = held })
		close(gate)
		l.until(func() bool { return l.builder.count("base/python") == 2 })
		l.mustBack(rollout.ByHand{})
		if n := l.newest("base/python"); n.State != store.Quarantined || !strings.Contains(n.Reason, "stands on what is not to be used") {
			t.Errorf("base/python: %s: %s", n.State, n.Reason)
		}
		close(held)
		l.builder.set(func(s *scripted) { s.gate = nil })
		l.settle()
		l.isBack()
		if pulls, _, _ := l.forge.counts(); pulls != 0 {
			t.Errorf("%d pull requests", pulls)
		}
	})
	t.Run("while another candidate is at its gates", func(t *testing.T) {
		l, j, _ := gated(t)
		l.publish("1.1")
		l.settle()
		before, bad := l.newest("base/debian").Before, l.newest("base/debian").After
		tags := int64(0)
		j.during = func(image string) {
			if image != "base/debian" || tags > 0 {
				return
			}
			l.mustBack(rollout.ByHand{})
			tags = l.tags.Load()
		}
		l.publish("1.2")
		var stopped store.Node
		l.until(func() bool {
			all, err := store.LastNodes(context.Background(), l.store.Q(), "base/debian", 10)
			for _, n := range all {
				if n.State == store.Skipped && strings.Contains(n.Reason, "moved by a person meanwhile") {
					stopped = n
				}
			}
			return err == nil && stopped.Image != ""
		})
		ps, err := store.Promotions(context.Background(), l.store.Q(), "base/debian", 10)
		if err != nil || !slices.ContainsFunc(ps, func(p store.Promotion) bool { return p.To == before && p.From == bad && p.Rollout == "" }) ||
			slices.ContainsFunc(ps, func(p store.Promotion) bool { return p.Rollout == stopped.Rollout }) {
			t.Errorf("the candidate was promoted after the rollback: %+v, %v", ps, err)
		}
		l.settle() // it is a fix: it has nothing of what was bad
		if v := l.libfoo("apps/web:main"); v != "1.2" {
			t.Errorf("web has libfoo %s\n%s", v, l.describe())
		}
	})
	t.Run("twice", func(t *testing.T) {
		l := applied(t)
		first := l.digest("base/debian:stable")
		l.publish("1.1")
		l.settle()
		l.publish("1.2")
		l.until(l.forge.open)
		l.mustBack(rollout.ByHand{})
		if again := l.mustBack(rollout.ByHand{}); !again.Again {
			t.Errorf("%+v", again)
		}
		m := l.mustBack(rollout.ByHand{To: first[7:15]})
		if m.Again || m.To != first || l.digest("base/debian:stable") != first {
			t.Errorf("%+v", m)
		}
		l.settle()
		for _, ref := range []string{"base/debian:stable", "base/python:stable", "apps/web:main", "apps/batch:main"} {
			if v := l.libfoo(ref); v != "1.0" {
				t.Errorf("%s has libfoo %s\n%s", ref, v, l.describe())
			}
		}
		if z, err := store.Quarantines(context.Background(), l.store.Q(), "base/debian"); err != nil || len(z) != 2 {
			t.Errorf("%+v, %v", z, err)
		}
	})
}

func TestAChannelThatWasMovedByHand(t *testing.T) {
	t.Parallel()
	l := applied(t)
	first := l.digest("base/debian:stable")
	l.publish("1.1")
	l.settle()
	second := l.digest("base/debian:stable")
	other := l.push(l.layer(l.pull("upstream/debian:12"), map[string]string{"theirs": "x"}), "base/debian:stable").String()
	l.publish("1.2") // there would be something to do
	l.until(func() bool { return true })
	said := ""
	for _, n := range l.plan().NotDone {
		said += n.Reason + ": " + n.Who + "\n"
	}
	if !strings.Contains(said, "was moved by somebody else from "+short(second)+" to "+short(other)) || !strings.Contains(said, "--accept") {
		t.Errorf("it is not said: %s", said)
	}
	if got := l.digest("base/debian:stable"); got != other {
		t.Fatalf("it was overwritten with %s", got)
	}
	var refused *rollout.Refused
	if _, err := l.back(rollout.ByHand{}); !errors.As(err, &refused) || !strings.Contains(refused.Hint, "--override") || !strings.Contains(refused.Reason, "moved by somebody else") {
		t.Fatalf("rolled back without override: %v", err)
	}
	m := l.mustBack(rollout.ByHand{Override: true})
	if m.To != second || m.From != other || l.digest("base/debian:stable") != second {
		t.Errorf("%+v; first %s, second %s", m, first, second)
	}
	l.settle()
	if v := l.libfoo("base/debian:stable"); v != "1.2" {
		t.Errorf("it does not go on: libfoo %s\n%s", v, l.describe())
	}
	events, err := store.AuditLog(context.Background(), l.store.Q(), store.AuditFilter{Object: "base/debian", Action: "rollback with override"})
	if err != nil || len(events) != 1 || events[0].Kind != store.Human || events[0].Actor != "ada" {
		t.Errorf("%+v, %v", events, err)
	}
}

func TestAChannelThatWasMovedByHandIsAccepted(t *testing.T) {
	t.Parallel()
	l := applied(t)
	other := l.push(l.layer(l.pull("base/debian:stable"), map[string]string{"theirs": "x"}), "base/debian:stable").String()
	h := rollout.ByHand{Base: "base/debian", Reason: "it was urgent", By: "ada"}
	m, err := l.runner.Accept(context.Background(), h)
	if err != nil || m.To != other || m.Again {
		t.Fatalf("%+v, %v", m, err)
	}
	if again, err := l.runner.Accept(context.Background(), h); err != nil || !again.Again {
		t.Errorf("%+v, %v", again, err)
	}
	l.until(func() bool {
		for _, n := range l.plan().NotDone {
			if strings.Contains(n.Reason, "moved by somebody else") {
				return false
			}
		}
		return true
	})
}

// backEffects is how many moments of a rollback with one open pull request can be cut at: before and after the tag and the closing.
const backEffects = 4

// The process ends before and after each outside effect of a rollback, and a new one finishes it, though nobody asks again.
func TestARollbackIsKilledOnTheWay(t *testing.T) {
	t.Parallel()
	storetest.EachDSN(t, func(t *testing.T, _ string) {
		for at := range backEffects {
			t.Run(fmt.Sprint(at+1), func(t *testing.T) {
				t.Parallel()
				dsn := storetest.SQLite(t)
				if strings.Contains(t.Name(), "/postgres/") {
					dsn = storetest.Postgres(t)
				}
				l := appliedOn(t, dsn)
				before := l.digest("base/debian:stable")
				l.publish("1.1")
				l.until(l.forge.open)
				l.cut.arm(at + 1)
				asked := make(chan error, 1)
				go func() {
					_, err := l.back(rollout.ByHand{ID: "mine"})
					asked <- errors.Join(err, l.runner.Finish(context.Background()))
				}()
				for !l.cut.happened() {
					select {
					case err := <-asked:
						t.Fatalf("there is no effect %d to cut at: %v", at+1, err)
					case <-time.After(5 * time.Millisecond):
					}
				}
				t.Log("cut", l.cut.where())
				l.stop()
				l.start()
				if err := l.runner.Finish(context.Background()); err != nil {
					t.Fatal(err)
				}
				if m := l.mustBack(rollout.ByHand{ID: "mine"}); !m.Again || m.State != store.MoveDone || m.To != before {
					t.Errorf("%+v", m)
				}
				if got := l.digest("base/debian:stable"); got != before {
					t.Errorf("the channel is at %s, want %s", got, before)
				}
				l.settle()
				l.isBack()
				ps, err := store.Promotions(context.Background(), l.store.Q(), "base/debian", 10)
				if err != nil || len(ps) != 3 {
					t.Errorf("%d moves of the channel, want 3: %v", len(ps), err)
				}
				withdrawn, err := store.AuditLog(context.Background(), l.store.Q(), store.AuditFilter{Action: "withdraw"})
				if err != nil || len(withdrawn) != 1 {
					t.Errorf("withdrawn %d times: %v", len(withdrawn), err)
				}
				if pulls, _, _ := l.forge.counts(); pulls != 1 {
					t.Errorf("%d pull requests\n%s", pulls, l.describe())
				}
			})
		}
	})
}

func TestPromoteByHand(t *testing.T) {
	t.Parallel()
	l, j, f := gated(t)
	l.publish("1.1")
	j.set("CVE-2026-1 in libfoo 1.1")
	l.until(func() bool { return l.newest("base/debian").State == store.Blocked })
	h := rollout.ByHand{Base: "base/debian", To: rollout.Candidate, Reason: "we need it today", By: "ada"}
	var refused *rollout.Refused
	if _, err := l.runner.PromoteByHand(context.Background(), h); !errors.As(err, &refused) || !strings.Contains(refused.Reason, "CVE-2026-1") || !strings.Contains(refused.Reason, "its tests were not run") {
		t.Fatalf("promoted past its gates: %v", err)
	}
	h.Override = true
	m, err := l.runner.PromoteByHand(context.Background(), h)
	if err != nil || m.To != l.newest("base/debian").After || m.Release == "" || l.digest("base/debian:"+m.Release) != m.To || l.digest("base/debian:stable") != m.To {
		t.Fatalf("%+v, %v", m, err)
	}
	j.set()
	l.settle()
	if v := l.libfoo("apps/web:main"); v != "1.1" {
		t.Errorf("what is promoted by hand is told as well: web has libfoo %s\n%s", v, l.describe())
	}
	h = rollout.ByHand{Base: "base/debian", To: m.From, Reason: "back", By: "ada"}
	if _, err := l.runner.PromoteByHand(context.Background(), h); !errors.As(err, &refused) || !strings.Contains(refused.Reason, "rebuilder rollback base/debian --to") {
		t.Errorf("promoted to what was there before: %v", err)
	}
	_ = f
}

func TestADigestIsKeptFromBeingUsed(t *testing.T) {
	t.Parallel()
	l := applied(t)
	l.publish("1.1")
	l.until(l.forge.open)
	bad := l.digest("base/python:stable")
	h := rollout.ByHand{Base: "base/python", To: bad, Reason: "it does not start", By: "ada"}
	for range 2 {
		if zs, err := l.runner.Quarantine(context.Background(), h); err != nil || len(zs) != 1 {
			t.Fatalf("%+v, %v", zs, err)
		}
	}
	l.until(func() bool { return !l.forge.open() })
	for range 5 {
		if err := l.loop.Once(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if pulls, _, _ := l.forge.counts(); pulls != 1 {
		t.Errorf("it was proposed again: %d pull requests", pulls)
	}
	said := ""
	for _, n := range l.plan().NotDone {
		said += n.Reason + "\n"
	}
	if !strings.Contains(said, "base/python:stable points to "+short(bad)+", which is in quarantine") {
		t.Errorf("it is not said: %s", said)
	}
}

func TestWhatCannotBeRolledBack(t *testing.T) {
	t.Parallel()
	l := applied(t)
	var refused *rollout.Refused
	for _, c := range []struct {
		name string
		h    rollout.ByHand
		want string
	}{
		{"there was nothing before", rollout.ByHand{}, "there is nothing to move"},
		{"no base", rollout.ByHand{Base: "web"}, `no base "web"`},
		{"not in the registry", rollout.ByHand{To: "sha256:" + strings.Repeat("1", 64)}, "is not in the registry"},
		{"not known", rollout.ByHand{To: "ffffffffff"}, "no digest of base/debian begins with"},
	} {
		if _, err := l.back(c.h); !errors.As(err, &refused) || !strings.Contains(refused.Reason, c.want) || refused.Hint == "" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := l.runner.Rollback(context.Background(), rollout.ByHand{Base: "base/debian", By: "ada"}); !errors.As(err, &refused) {
		t.Errorf("without a reason: %v", err)
	}
}

func short(digest string) string { return strings.TrimPrefix(digest, "sha256:")[:12] }
