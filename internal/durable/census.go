package durable

import (
	"sync"
	"time"
)

// census tells who stood still. It watches numbers change instead of reading clocks out of them, so that replicas whose
// clocks differ do not declare each other dead.
type census struct {
	lapse time.Duration
	last  time.Time // of the last observation
	seen  map[string]sighting
}

type sighting struct {
	beat  int64
	since time.Time // first seen with this beat
}

// observe takes what is there now and returns who has not changed for a lapse of continuous observation. An observer
// that was away itself (frozen, or without its database) starts anew: it cannot know what it missed.
func (c *census) observe(now time.Time, beats map[string]int64) (still map[string]bool) {
	if now.Sub(c.last) > c.lapse/2 {
		c.seen = nil
	}
	c.last = now
	next := make(map[string]sighting, len(beats))
	still = map[string]bool{}
	for id, beat := range beats {
		s, known := c.seen[id]
		if !known || s.beat != beat {
			s = sighting{beat, now}
		}
		next[id] = s
		if now.Sub(s.since) >= c.lapse {
			still[id] = true
		}
	}
	c.seen = next
	return still
}

// active counts the runs of each workflow in this process. Two runs of one workflow are possible: one that another
// replica took over and gave back has its first run parked beside it.
type active struct {
	mu   sync.Mutex
	runs map[string]int
}

// add counts a run until the returned function is called.
func (a *active) add(id string) (end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.runs == nil {
		a.runs = map[string]int{}
	}
	a.runs[id]++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.runs[id]--; a.runs[id] == 0 {
			delete(a.runs, id)
		}
	}
}

func (a *active) has(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.runs[id] > 0
}
