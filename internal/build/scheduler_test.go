package build_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rebuilder/internal/build"
)

// line plays builds that wait in a scheduler; order is how they got their places: "name@worker".
type line struct {
	*build.Scheduler
	t     *testing.T
	names map[*build.Member]string

	mu    sync.Mutex
	order []string
}

func newLine(t *testing.T) *line {
	return &line{Scheduler: &build.Scheduler{}, t: t, names: map[*build.Member]string{}}
}

func (l *line) join(w build.Worker, at build.Standing) *build.Member {
	m := l.Join(w, at)
	l.names[m] = w.Name
	return m
}

// ask has a build wait in the background and returns once it does, or has been served.
func (l *line) ask(name string, w build.Want) (cancel func()) {
	ctx, cancel := context.WithCancel(l.t.Context())
	go func() {
		m, err := l.Acquire(ctx, w)
		got := l.names[m]
		if err != nil {
			got = err.Error()
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.order = append(l.order, name+"@"+got)
	}()
	synctest.Wait()
	return cancel
}

// want checks who has been served, in order, since the last time.
func (l *line) want(order ...string) {
	l.t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.order, order) {
		l.t.Errorf("served %s, want %s", strings.Join(l.order, ", "), strings.Join(order, ", "))
	}
	l.order = nil
}

func scheduler(t *testing.T, f func(t *testing.T, l *line)) {
	synctest.Test(t, func(t *testing.T) { f(t, newLine(t)) })
}

func TestTurns(t *testing.T) {
	scheduler(t, func(t *testing.T, l *line) {
		m := l.join(build.Worker{Name: "a", Parallel: 2}, build.Open)
		for _, n := range []string{"1", "2", "3", "4", "5"} {
			l.ask(n, build.Want{})
		}
		l.want("1@a", "2@a")
		if inFlight, waiting := m.Load(); inFlight != 2 || waiting != 3 {
			t.Errorf("%d in flight, %d wait", inFlight, waiting)
		}
		m.Release()
		l.want("3@a")
		m.Release()
		l.want("4@a")
		m.Release()
		l.want("5@a")
	})
}

func TestPriority(t *testing.T) {
	scheduler(t, func(t *testing.T, l *line) {
		m := l.join(build.Worker{Name: "a"}, build.Open)
		l.ask("running", build.Want{})
		l.ask("short", build.Want{Priority: time.Minute})
		l.ask("long", build.Want{Priority: 10 * time.Minute})
		time.Sleep(24 * time.Hour)
		l.ask("long, a day later", build.Want{Priority: 10 * time.Minute})
		for range 3 {
			m.Release()
			synctest.Wait()
		}
		l.want("running@a", "long@a", "short@a", "long, a day later@a")
	})
}

func TestPlatformsDoNotHoldUpEachOther(t *testing.T) {
	scheduler(t, func(t *testing.T, l *line) {
		amd := l.join(build.Worker{Name: "amd", Platforms: []string{"linux/amd64"}}, build.Open)
		arm := l.join(build.Worker{Name: "arm", Platforms: []string{"linux/arm64"}}, build.Open)
		for _, n := range []string{"1", "2"} {
			l.ask(n, build.Want{Platform: "linux/amd64"})
		}
		l.ask("3", build.Want{Platform: "linux/arm64"})
		l.want("1@amd", "3@arm")
		l.ask("4", build.Want{Platform: "linux/s390x"})
		l.want("4@" + build.ErrNoWorker.Error())
		arm.Release()
		l.want()
		if _, waiting := arm.Load(); waiting != 0 {
			t.Errorf("%d wait for arm", waiting)
		}
		amd.Release()
		l.want("2@amd")
	})
}

func TestCancelledWait(t *testing.T) {
	scheduler(t, func(t *testing.T, l *line) {
		m := l.join(build.Worker{Name: "a"}, build.Open)
		l.ask("1", build.Want{})
		cancel := l.ask("2", build.Want{})
		l.ask("3", build.Want{})
		cancel()
		l.want("1@a", "2@context canceled")
		m.Release()
		l.want("3@a")
		m.Release()

		ended, stop := context.WithCancel(t.Context())
		stop()
		for range 100 { // served and cancelled at once: whoever is first, no place is lost
			if m, err := l.Acquire(ended, build.Want{}); err == nil {
				m.Release()
			} else if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		if inFlight, waiting := m.Load(); inFlight != 0 || waiting != 0 {
			t.Errorf("%d in flight, %d wait; want none", inFlight, waiting)
		}
	})
}

func TestStandings(t *testing.T) {
	scheduler(t, func(t *testing.T, l *line) {
		none := "@" + build.ErrNoWorker.Error()
		a := build.Worker{Name: "a"}
		m := l.join(a, build.Closed)
		l.ask("while closed", build.Want{})
		l.want("while closed" + none)

		m.Set(a, build.Paused)
		l.ask("while paused", build.Want{})
		l.want()
		l.ask("again, while paused", build.Want{Tried: []*build.Member{{}}})
		l.want("again, while paused" + none)

		m.Set(a, build.Open)
		l.want("while paused@a")
		l.ask("tried there", build.Want{Tried: []*build.Member{m}})
		l.want("tried there" + none)
		l.ask("again, while full", build.Want{Tried: []*build.Member{{}}})
		l.ask("while full", build.Want{})
		l.want()

		m.Set(a, build.Paused)
		l.want("again, while full" + none)
		m.Set(a, build.Closed)
		l.want("while full" + none)
		if inFlight, _ := m.Load(); inFlight != 1 {
			t.Errorf("%d in flight, want the one that was", inFlight)
		}
	})
}

func TestLeave(t *testing.T) {
	scheduler(t, func(t *testing.T, l *line) {
		m := l.join(build.Worker{Name: "a"}, build.Open)
		l.ask("1", build.Want{})
		l.ask("2", build.Want{})
		left := m.Leave()
		l.want("1@a", "2@"+build.ErrNoWorker.Error())
		select {
		case <-left:
			t.Error("it has left with a build in flight")
		default:
		}
		b := l.join(build.Worker{Name: "b"}, build.Open)
		m.Release()
		select {
		case <-left:
		default:
			t.Error("it has not left after its last build")
		}
		l.ask("3", build.Want{})
		l.want("3@b")
		if m.Leave() != left {
			t.Error("it leaves twice")
		}
		b.Release()
		<-b.Leave()
	})
}
