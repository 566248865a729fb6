package line

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestWindows writes as fast as it may, with pauses and urgent ones between, and looks at every minute and hour there is.
func TestWindows(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 5))
		l := Limits{PerMinute: 1 + r.IntN(80), PerHour: 1 + r.IntN(500)}
		now := time.Unix(0, 0)
		var all, routine []time.Time
		for range 1500 {
			urgent := r.IntN(4) == 0
			lastHour := after(all, now.Add(-time.Hour))
			if at, _ := l.next(lastHour, urgent); at.After(now) {
				now = at
			}
			all = append(all, now)
			if !urgent {
				routine = append(routine, now)
			}
			now = now.Add(time.Duration(r.IntN(3000)) * time.Millisecond)
		}
		for _, window := range []struct {
			what  string
			times []time.Time
			span  time.Duration
			most  int
		}{{"a minute", all, time.Minute, l.PerMinute}, {"an hour", all, time.Hour, l.PerHour}, {"an hour's routine", routine, time.Hour, l.hourly(false)}, {"a second", all, time.Second, 1}} {
			if n := busiest(window.times, window.span); n > window.most && !(window.span == time.Second && l.PerMinute > 60) {
				t.Errorf("seed %d: %d writes in %s, at most %d are allowed", seed, n, window.what, window.most)
			}
		}
	}
}

// after are the times behind one, which the store keeps.
func after(all []time.Time, at time.Time) []time.Time {
	i := slices.IndexFunc(all, func(t time.Time) bool { return t.After(at) })
	if i < 0 {
		return nil
	}
	return all[i:]
}

// busiest counts the most that are within a span, its end left out.
func busiest(all []time.Time, span time.Duration) (most int) {
	first := 0
	for i, at := range all {
		for at.Sub(all[first]) >= span {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

func TestNextSaysWhy(t *testing.T) {
	start := time.Unix(1000, 0)
	each := func(n int, gap time.Duration) (all []time.Time) {
		for i := range n {
			all = append(all, start.Add(time.Duration(i)*gap))
		}
		return all
	}
	for _, c := range []struct {
		name   string
		wrote  []time.Time
		urgent bool
		at     time.Time
		why    string
	}{
		{"nobody wrote", nil, false, time.Time{}, ""},
		{"a moment ago", each(1, 0), false, start.Add(time.Second), ""},
		{"a minute is full", each(60, time.Millisecond), false, start.Add(time.Minute), "the forge's limit of 60 writes a minute"},
		{"the hour of routine is full", each(380, time.Second), false, start.Add(time.Hour), "the forge's limit of 380 writes an hour"},
		{"which leaves the urgent their share", each(380, time.Second), true, start.Add(380 * time.Second), ""},
		{"the whole hour is full", each(400, time.Second), true, start.Add(time.Hour), "the forge's limit of 400 writes an hour"},
	} {
		at, why := Limits{}.orUsual().next(c.wrote, c.urgent)
		if !at.Equal(c.at) && !(c.at.IsZero() && at.IsZero()) || why != c.why {
			t.Errorf("%s: %v for %q, want %v for %q", c.name, at, why, c.at, c.why)
		}
	}
}

func TestForecast(t *testing.T) {
	now := time.Unix(5000, 0)
	got := Limits{PerMinute: 60, PerHour: 400}.forecast(now, nil, make([]bool, 200))
	for place, want := range map[int]time.Duration{0: 0, 1: 3 * time.Second, 126: 378 * time.Second, 127: time.Hour + time.Second} {
		if d := got[place].Sub(now); d != want {
			t.Errorf("place %d: in %v, want %v", place+1, d, want)
		}
	}
}
