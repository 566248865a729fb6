package api

import (
	"slices"
	"time"
)

// States of watchers.
const (
	WatcherOK     = "ok"
	WatcherFailed = "failed" // it ran, and it did not work
	WatcherLate   = "late"   // it did not run when it should have
)

const (
	leastLate = time.Minute // a look takes a while
	firstLate = time.Hour   // of what never ran: nobody knows its interval
)

// judged adds how a watcher is by the reader's clock, so that one whose daemon is dead shows. It is late when it is overdue
// by its own interval: twice the interval after its last run.
func (w Watcher) judged(now time.Time) Watcher {
	w.State = WatcherOK
	switch {
	case !w.NextRun.IsZero() && !now.Before(w.NextRun.Add(w.interval())):
		w.State, w.Since = WatcherLate, w.NextRun
	case w.Problem != "":
		w.State, w.Since = WatcherFailed, w.LastOK
	default:
		return w
	}
	w.Who = "who runs the daemon"
	if w.Name == "refresh" && w.State == WatcherFailed {
		w.Who = "who keeps the recipes"
	}
	return w
}

func (w Watcher) interval() time.Duration {
	if w.LastRun.IsZero() {
		return firstLate
	}
	return max(w.NextRun.Sub(w.LastRun), leastLate)
}

// failing says that a watcher failed for as long as makes another one late. Once is no reason to call anybody.
func (w Watcher) failing(now time.Time) bool {
	return w.State == WatcherFailed && (w.LastOK.IsZero() || !now.Before(w.LastOK.Add(2*w.interval())))
}

// beatsWith are the watchers whose hearts beat with the loop's: when that is late, they are.
var beatsWith = []string{"upstreams", "packages", "forge", "advisories", "refresh"}

// stopped lists the watchers that somebody must look after.
func stopped(s Status) (out []Need) {
	loop := slices.ContainsFunc(s.Watchers, func(w Watcher) bool { return w.Name == "reconcile" && w.State == WatcherLate })
	for _, w := range s.Watchers {
		n := Need{What: w.Name, State: w.State, Since: w.Since, Next: w.NextRun, Who: w.Who}
		switch {
		case w.State == WatcherLate && loop && slices.Contains(beatsWith, w.Name):
			continue
		case w.State == WatcherLate:
			n.Next = time.Time{}
			n.Reason = "this watcher stopped: it did not run when it was due" + after(w.Problem)
		case w.failing(s.Now) && (w.Name != "reconcile" || s.Problem == ""):
			n.Reason = "this watcher fails: " + w.Problem
			if w.LastOK.IsZero() {
				n.Reason = "this watcher never worked: " + w.Problem
			}
		default:
			continue
		}
		out = append(out, n)
	}
	return out
}

func after(problem string) string {
	if problem == "" {
		return ""
	}
	return "; its last run failed: " + problem
}
