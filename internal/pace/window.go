package pace

import (
	"path"
	"slices"
	"time"

	"rebuilder/internal/schedule"
)

// Window is a time in which some applications are not told. Bases are built all the same.
type Window struct {
	Name   string
	Reason string
	// Images are patterns as of path.Match over the names of applications and of their images; none: all. Match are labels
	// that an application must have; none: any.
	Images []string
	Match  map[string]string
	// Once: from From on, until To.
	From, To time.Time
	// Again and again: each slot of Schedule begins one that lasts For.
	Schedule *schedule.Spec
	For      time.Duration
	// Spread is how long after its end those that it held are told, one here and one there.
	Spread time.Duration
}

// last is the newest window that has begun; both are zero when none has.
func (w Window) last(now time.Time) (from, to time.Time) {
	if w.Schedule == nil {
		if now.Before(w.From) {
			return time.Time{}, time.Time{}
		}
		return w.From, w.To
	}
	_, slot, _ := w.Schedule.Due(now, now)
	if slot.IsZero() {
		return slot, slot
	}
	return slot, slot.Add(w.For)
}

// covers says that a window is for an application.
func (w Window) covers(i Item) bool {
	for k, v := range w.Match {
		if i.Labels[k] != v {
			return false
		}
	}
	if len(w.Images) == 0 {
		return true
	}
	names := append([]string{i.Name}, i.Images...)
	return slices.ContainsFunc(w.Images, func(pattern string) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			ok, err := path.Match(pattern, name)
			return ok && err == nil
		})
	})
}

// Frozen says whether a window holds an application now, and until when: until its end, and after that for a while of its own
// in which those that it held are spread. ready is since when it could have been told otherwise.
func (w Window) Frozen(i Item, ready, now time.Time) (since, until time.Time, frozen bool) {
	if !w.covers(i) {
		return since, until, false
	}
	from, to := w.last(now)
	return w.frozen(i, from, to, ready, now)
}

// frozen is Frozen of an application that the window is for, by the newest one that has begun.
func (w Window) frozen(i Item, from, to, ready, now time.Time) (since, until time.Time, frozen bool) {
	if from.IsZero() || !to.After(from) {
		return since, until, false
	}
	until = to.Add(jitter(w.Spread, i.Name, w.Name, stamp(to)))
	if now.Before(to) {
		return from, until, true
	}
	return from, until, now.Before(until) && ready.Before(to)
}
