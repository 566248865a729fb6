package line

import (
	"fmt"
	"time"
)

// Limits are how much may be written to one installation. The zero value is what suits github.com.
type Limits struct {
	PerMinute int // 0: 60; GitHub allows 80
	PerHour   int // 0: 400; GitHub allows 500
}

const (
	reserve   = 20          // one of so many writes an hour is for the urgent alone
	leastGap  = time.Second // between two writes: GitHub asks for it
	writesOne = 3           // that a pull request takes, for guesses of how long others wait
)

func (l Limits) orUsual() Limits {
	if l.PerMinute == 0 {
		l.PerMinute = 60
	}
	if l.PerHour == 0 {
		l.PerHour = 400
	}
	return l
}

// hourly is how many of an hour's writes one may use up.
func (l Limits) hourly(urgent bool) int {
	if urgent {
		return l.PerHour
	}
	return max(l.PerHour-l.PerHour/reserve, 1)
}

// next is when one more write is allowed after those of the last hour, the oldest first, and what it waits for: no minute
// and no hour, wherever it begins, has more than the limit.
func (l Limits) next(wrote []time.Time, urgent bool) (at time.Time, why string) {
	later := func(t time.Time, reason string) {
		if t.After(at) {
			at, why = t, reason
		}
	}
	n := len(wrote)
	if n > 0 {
		later(wrote[n-1].Add(min(leastGap, time.Minute/time.Duration(l.PerMinute))), "")
	}
	if n >= l.PerMinute {
		later(wrote[n-l.PerMinute].Add(time.Minute), fmt.Sprintf("the forge's limit of %d writes a minute", l.PerMinute))
	}
	if most := l.hourly(urgent); n >= most {
		later(wrote[n-most].Add(time.Hour), fmt.Sprintf("the forge's limit of %d writes an hour", most))
	}
	return at, why
}

// forecast guesses when the turns of tickets come, in their order.
func (l Limits) forecast(now time.Time, wrote []time.Time, urgent []bool) []time.Time {
	wrote = append([]time.Time(nil), wrote...)
	out := make([]time.Time, 0, len(urgent))
	for _, u := range urgent {
		for i := range writesOne {
			at, _ := l.next(wrote, u)
			if at.Before(now) {
				at = now
			}
			wrote, now = append(wrote, at), at
			if i == 0 {
				out = append(out, at)
			}
		}
	}
	return out
}
