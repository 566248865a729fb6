package line_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"rebuilder/internal/line"
	"rebuilder/internal/notify"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

// clock goes on when somebody sleeps, and only then. One writes at a time, so that one sleeps at a time.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_700_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return ctx.Err()
}

func (c *clock) line(st *store.Store, limits line.Limits) *line.Line {
	return line.New(st, line.Config{Limits: limits, Now: c.Now, Sleep: c.Sleep})
}

const us = "app/1/installation/2"

// write takes a turn with some writes.
func write(t *testing.T, l *line.Line, ticket string, w notify.Writer, n int) {
	t.Helper()
	turn, err := l.Enter(t.Context(), us, ticket, w)
	if err != nil {
		t.Error(err)
		return
	}
	defer turn.Leave()
	for range n {
		if err := turn.Write(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// inLine waits until so many stand in the line.
func inLine(t *testing.T, st *store.Store, n int) {
	t.Helper()
	for {
		all, err := store.Lines(t.Context(), st.Q(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == n {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// TestOrder: the urgent first, then by rollout; and what was begun is ended first. Two replicas keep one order.
func TestOrder(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		c := newClock()
		lines := []*line.Line{c.line(st, line.Limits{}), c.line(st, line.Limits{})}
		first, err := lines[0].Enter(t.Context(), us, "first", notify.Writer{Order: 9})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []string
		var all sync.WaitGroup
		for i, w := range []notify.Writer{{Order: 5}, {Order: 3}, {Order: 4}, {Order: 7, Urgent: true}, {Order: 6, Urgent: true}} {
			w.Still = func(context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, fmt.Sprintf("%d %v", w.Order, w.Urgent))
				return nil
			}
			all.Go(func() { write(t, lines[i%2], fmt.Sprint("ticket ", i), w, 1) })
		}
		inLine(t, st, 6)
		if err := first.Write(t.Context()); err != nil {
			t.Fatal(err)
		}
		first.Leave()
		all.Wait()
		if want := []string{"6 true", "7 true", "3 false", "4 false", "5 false"}; !slices.Equal(order, want) {
			t.Errorf("%v, want %v", order, want)
		}
		inLine(t, st, 0)
	})
}

// TestRestart: writes of the last hour count after a restart, and who was killed in its turn goes on before all others.
func TestRestart(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		c := newClock()
		began := c.Now()
		before := c.line(st, line.Limits{PerHour: 3})
		killed, err := before.Enter(t.Context(), us, "half done", notify.Writer{Order: 2})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := killed.Write(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		// Its successor, while nothing was seen of it for long.
		_ = c.Sleep(t.Context(), time.Minute)
		now := c.line(st, line.Limits{PerHour: 3})
		var order []string
		var mu sync.Mutex
		var all sync.WaitGroup
		blocker, err := now.Enter(t.Context(), us, "somebody", notify.Writer{Order: 0})
		if err != nil {
			t.Fatal(err)
		}
		enter := func(w notify.Writer) {
			w.Still = func(context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, w.Object)
				return nil
			}
			write(t, now, w.Object, w, 1)
		}
		all.Go(func() { enter(notify.Writer{Object: "urgent", Urgent: true}) })
		inLine(t, st, 3)
		enter(notify.Writer{Object: "half done", Order: 2})
		blocker.Leave()
		all.Wait()
		if want := []string{"half done", "urgent"}; !slices.Equal(order, want) {
			t.Errorf("%v, want %v", order, want)
		}
		if took := c.Now().Sub(began); took < time.Hour {
			t.Errorf("four writes of at most three an hour took %v", took)
		}
		if err := killed.Write(t.Context()); err == nil {
			t.Error("the dead one has its turn still")
		}
		killed.Leave()
	})
}

// TestHold: nobody writes while the forge refuses, and whoever waits hears why.
func TestHold(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		c := newClock()
		l := c.line(st, line.Limits{})
		until := c.Now().Add(17 * time.Minute)
		if err := l.Hold(t.Context(), us, until, "the forge refuses: secondary rate limit"); err != nil {
			t.Fatal(err)
		}
		if err := l.Hold(t.Context(), us, c.Now().Add(time.Minute), "sooner"); err != nil {
			t.Fatal(err)
		}
		var heard []notify.Waiting
		write(t, l, "one", notify.Writer{Waits: func(w notify.Waiting) { heard = append(heard, w) }}, 1)
		if c.Now().Before(until) {
			t.Errorf("written %v before it might be", until.Sub(c.Now()))
		}
		want := notify.Waiting{Place: 1, Of: 1, Until: until, Why: "the forge refuses: secondary rate limit"}
		if len(heard) != 1 || !heard[0].Until.Equal(until) || heard[0].Why != want.Why || heard[0].Place != 1 || heard[0].Of != 1 {
			t.Errorf("heard %v, want %v", heard, want)
		}
	})
}

// TestGone: who gives up, or has nothing to write any more, leaves the line to others.
func TestGone(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		c := newClock()
		l := c.line(st, line.Limits{})
		first, err := l.Enter(t.Context(), us, "first", notify.Writer{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Enter(t.Context(), us, "first", notify.Writer{}); err == nil {
			t.Error("one ticket was used twice at once")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := l.Enter(ctx, us, "gives up", notify.Writer{})
			done <- err
		}()
		inLine(t, st, 2)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		over := errors.New("superseded")
		go func() {
			_, err := l.Enter(t.Context(), us, "superseded", notify.Writer{Still: func(context.Context) error { return over }})
			done <- err
		}()
		inLine(t, st, 2)
		first.Leave()
		first.Leave()
		if err := <-done; !errors.Is(err, over) {
			t.Error(err)
		}
		inLine(t, st, 0)
	})
}
