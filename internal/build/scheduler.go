package build

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrNoWorker is returned by Scheduler.Acquire when no worker there is would ever take the build.
var ErrNoWorker = errors.New("no builder takes the build")

// headStart is how much earlier a build is taken to have come, for its priority. With 1, a long wait weighs as much as a
// long chain, and a thousand builds on 32 workers take up to 1.28 times as long as they could; with 16 it is 1.05, and
// beyond that nothing is won that is worth the wait of the others (BenchmarkMakespan).
const headStart = 16

// Standing is whether a worker gets builds.
type Standing int

const (
	Open   Standing = iota // gets builds
	Paused                 // gets none, and builds wait for it: it is expected back
	Closed                 // gets none, and none waits for it
)

// Want is a build that asks for a place.
type Want struct {
	Platform string // as in Worker.Platforms
	Affinity string // as Request.Affinity
	Priority time.Duration
	// Tried are the workers that it is not to go to again. With any, it waits for no paused one either.
	Tried []*Member
	// Waits is called when it has to wait; may be nil.
	Waits func()
}

// Scheduler decides which build runs on which worker, and when: as soon as a worker that suits it has a free place, and
// then the one whose turn it is. The turn is that of arrival, with a head start for Priority: a build is overtaken only by
// those that come within some time of it, in proportion to the difference of their priorities, so that none waits for
// ever. A build for which no worker is free holds up none for which one is. The zero value has no workers. It is safe for
// concurrent use.
type Scheduler struct {
	now func() time.Time // nil: time.Now

	mu      sync.Mutex
	members []*Member
	line    []*ticket // by turn
}

// Member is a worker of a Scheduler.
type Member struct {
	scheduler *Scheduler

	// The scheduler's lock guards these.
	worker   Worker
	standing Standing
	left     chan struct{} // closed when it has left and its last build has; nil before it leaves
}

// ticket is a build in the line.
type ticket struct {
	want Want
	turn time.Time
	done chan struct{} // closed when it has been served
	got  *Member       // nil after done: refused
}

func (t *ticket) served() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// Join adds a worker. The scheduler counts its builds in flight itself.
func (s *Scheduler) Join(w Worker, at Standing) *Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.InFlight = 0
	m := &Member{scheduler: s, worker: w, standing: at}
	s.members = append(s.members, m)
	s.changed()
	return m
}

// Set changes what the scheduler is told of a worker. Builds in flight stay.
func (m *Member) Set(w Worker, at Standing) {
	m.scheduler.mu.Lock()
	defer m.scheduler.mu.Unlock()
	w.InFlight = m.worker.InFlight
	m.worker, m.standing = w, at
	m.scheduler.changed()
}

// Leave takes the worker out: it gets no more builds. The channel is closed when its last build has ended.
func (m *Member) Leave() <-chan struct{} {
	s := m.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.left != nil {
		return m.left
	}
	m.left = make(chan struct{})
	if m.worker.InFlight == 0 {
		close(m.left)
	}
	s.members = slices.DeleteFunc(s.members, func(o *Member) bool { return o == m })
	s.changed()
	return m.left
}

// Load is how many builds run there, and how many wait that could.
func (m *Member) Load() (inFlight, waiting int) {
	m.scheduler.mu.Lock()
	defer m.scheduler.mu.Unlock()
	for _, t := range m.scheduler.line {
		if m.left == nil && m.suits(t.want) {
			waiting++
		}
	}
	return m.worker.InFlight, waiting
}

// Acquire waits for a place and returns the worker that has it; Release gives it back. It returns ErrNoWorker as soon as
// no worker that suits is there or expected back, and ctx's error when ctx ends first.
func (s *Scheduler) Acquire(ctx context.Context, w Want) (*Member, error) {
	t := s.enter(w)
	if w.Waits != nil && !t.served() {
		w.Waits()
	}
	select {
	case <-t.done:
	case <-ctx.Done():
		s.withdraw(t)
		return nil, ctx.Err()
	}
	if t.got == nil {
		return nil, ErrNoWorker
	}
	return t.got, nil
}

// Release gives a place back.
func (m *Member) Release() {
	m.scheduler.mu.Lock()
	defer m.scheduler.mu.Unlock()
	m.release()
}

func (m *Member) release() {
	m.worker.InFlight--
	if m.left != nil && m.worker.InFlight == 0 {
		close(m.left)
	}
	m.scheduler.serve()
}

func (s *Scheduler) enter(w Want) *ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now
	if s.now != nil {
		now = s.now
	}
	t := &ticket{want: w, turn: now().Add(-headStart * w.Priority), done: make(chan struct{})}
	later := func(o *ticket) bool { return o.turn.After(t.turn) }
	at := slices.IndexFunc(s.line, later)
	if at < 0 {
		at = len(s.line)
	}
	s.line = slices.Insert(s.line, at, t)
	s.changed()
	return t
}

// withdraw takes a ticket back, also one that was served in the meantime.
func (s *Scheduler) withdraw(t *ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.got != nil {
		t.got.release()
		return
	}
	s.line = slices.DeleteFunc(s.line, func(o *ticket) bool { return o == t })
}

// changed is called when a worker has joined, left or changed, or a build has come.
func (s *Scheduler) changed() {
	s.serve()
	s.line = slices.DeleteFunc(s.line, func(t *ticket) bool {
		hopeless := !slices.ContainsFunc(s.members, func(m *Member) bool { return m.suits(t.want) })
		if hopeless {
			close(t.done)
		}
		return hopeless
	})
}

// serve gives free places to those whose turn it is.
func (s *Scheduler) serve() {
	for i := 0; i < len(s.line) && slices.ContainsFunc(s.members, (*Member).free); {
		t := s.line[i]
		if t.got = s.choose(t.want); t.got == nil {
			i++
			continue
		}
		t.got.worker.InFlight++
		close(t.done)
		s.line = slices.Delete(s.line, i, i+1)
	}
}

// choose returns the worker that takes a build now, if any.
func (s *Scheduler) choose(w Want) *Member {
	var free []Worker
	var who []*Member
	for _, m := range s.members {
		if m.free() && m.suits(w) {
			free, who = append(free, m.worker), append(who, m)
		}
	}
	if i := Pick(free, w.Platform, w.Affinity); i >= 0 {
		return who[i]
	}
	return nil
}

func (m *Member) free() bool { return m.standing == Open && !m.worker.Full() }

// suits says whether a build may wait for the worker.
func (m *Member) suits(w Want) bool {
	if m.standing == Closed || m.standing == Paused && len(w.Tried) > 0 || slices.Contains(w.Tried, m) {
		return false
	}
	return m.worker.Builds(w.Platform)
}
