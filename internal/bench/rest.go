package main

import (
	"context"
	"errors"
	"time"
)

// restLooks is how many of its looks a daemon at rest is watched for; the demo's are two seconds apart.
const restLooks = 8

const megabyte = 1e6

// measureRest watches a daemon that has nothing to do: its memory, its requests, its processor time.
func measureRest(ctx context.Context, s *scene) ([]Measure, error) {
	if err := s.awaitLooks(ctx, 1); err != nil { // to the end of a look: what follows is whole ones
		return nil, err
	}
	requests, began := s.traffic.now(), time.Now()
	busy, err := processorTime(s.daemon.pid())
	if err != nil {
		return nil, err
	}
	if err := s.awaitLooks(ctx, restLooks); err != nil {
		return nil, err
	}
	seen := s.traffic.now().since(requests)
	after, err := processorTime(s.daemon.pid())
	if err != nil {
		return nil, err
	}
	watched := time.Since(began)
	memory, err := measureMemory(s)
	if err != nil {
		return nil, err
	}
	return append(memory,
		atMost(0, "writes to registry, forge and packages at rest", float64(seen.writes), "requests"),
		known("requests to the registry a look at rest", float64(seen.registry)/restLooks, "requests"),
		known("requests to the forge a look at rest", float64(seen.forge)/restLooks, "requests"),
		known("requests to the package repository a look at rest", float64(seen.packages)/restLooks, "requests"),
		known("processor at rest, looking every two seconds", 100*float64(after-busy)/float64(watched), "% of a core"),
	), nil
}

func measureMemory(s *scene) ([]Measure, error) {
	daemon, err := memoryOf(s.daemon.pid())
	if err != nil {
		return nil, err
	}
	children, err := descendants(s.daemon.pid())
	if err != nil {
		return nil, err
	}
	if len(children) == 0 {
		return nil, errors.New("the daemon has no managed buildkitd")
	}
	var engine int64
	for _, pid := range children {
		m, err := memoryOf(pid)
		if err != nil {
			return nil, err
		}
		engine += m.resident
	}
	return []Measure{
		atMost(100, "daemon at rest, resident", float64(daemon.resident)/megabyte, "MB"),
		known("of that, the program itself and other files", float64(daemon.files)/megabyte, "MB"),
		known("daemon at its peak, resident", float64(daemon.peak)/megabyte, "MB"),
		known("managed buildkitd at rest, resident", float64(engine)/megabyte, "MB"),
	}, nil
}

// awaitLooks waits for the ends of n further looks of the daemon.
func (s *scene) awaitLooks(ctx context.Context, n int) error {
	const pause = 500 * time.Millisecond // asking costs the daemon time, too; a look ends well before the next begins
	last, err := s.lastLook(ctx)
	for n > 0 && err == nil {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		var now time.Time
		if now, err = s.lastLook(ctx); now.After(last) {
			last, n = now, n-1
		}
	}
	return s.explained(err)
}

// lastLook is when the daemon's last look ended.
func (s *scene) lastLook(ctx context.Context) (time.Time, error) {
	st, err := s.client().Status(ctx)
	if err != nil {
		return time.Time{}, err
	}
	for _, w := range st.Watchers {
		if w.Name == "reconcile" {
			return w.LastRun, nil
		}
	}
	return time.Time{}, nil // before the first
}

const starts = 5

// measureReady starts the daemon again and again on what it knows already.
func measureReady(ctx context.Context, s *scene) ([]Measure, error) {
	var took []float64
	for range starts {
		if err := s.stop(); err != nil {
			return nil, s.explained(err)
		}
		t, err := s.start(ctx)
		if err != nil {
			return nil, err
		}
		took = append(took, t.Seconds())
	}
	return []Measure{atMost(2, "start to ready, managed buildkitd included", median(took), "s")}, nil
}
