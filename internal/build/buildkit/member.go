package buildkit

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"rebuilder/internal/build"
)

// member is a worker of a pool: an engine, looked at now and then, and its place in the scheduler.
type member struct {
	pool   *Pool
	name   string
	place  *build.Member
	log    *slog.Logger
	life   context.Context // ends when it is closed
	cancel context.CancelFunc
	looked chan struct{} // closed after the first look
	again  chan struct{} // has it looked at now
	lived  chan struct{} // closed after the last look
	end    func()        // closes it; may be called often

	mu        sync.Mutex
	config    WorkerConfig
	engine    engine              // nil until it could be opened
	says      []string            // platforms, as it says itself
	mine      map[string]struct{} // ids of our builds there
	others    int
	err       error // why it is lost; nil: it answers
	leaving   bool
	since     time.Time // of the state that it is in
	lostSince time.Time
}

var errNotReached = errors.New("it was not reached yet")

func newMember(p *Pool, c WorkerConfig) *member {
	log := p.config.Engine.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	m := &member{
		pool: p, name: c.Name, config: c, log: log.With("builder", c.Name),
		looked: make(chan struct{}), again: make(chan struct{}, 1), lived: make(chan struct{}),
		mine: map[string]struct{}{}, err: errNotReached, since: time.Now(), lostSince: time.Now(),
	}
	m.life, m.cancel = context.WithCancel(context.Background())
	m.end = sync.OnceFunc(m.close)
	m.place = p.scheduler.Join(m.facts(), m.standing())
	return m
}

// live looks at the engine until it is closed.
func (m *member) live() {
	defer close(m.lived)
	first := sync.OnceFunc(func() { close(m.looked) })
	defer first()
	for pause := firstLook; ; {
		wait := lookInterval
		if err := m.look(m.life); m.life.Err() != nil {
			return
		} else if m.note(err); err != nil {
			wait, pause = pause, min(2*pause, lastLook)
		} else {
			pause = firstLook
		}
		first()
		select {
		case <-m.life.Done():
			return
		case <-m.again:
		case <-time.After(wait):
		}
	}
}

// look opens the engine if that is still to be done, and asks whether it is there, what it builds for, and what it builds.
func (m *member) look(ctx context.Context) error {
	e, err := m.opened(ctx)
	if err != nil {
		return err
	}
	if err := e.Ping(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	var says []string
	if m.trouble() != nil { // another may be there now
		if says, err = e.platforms(ctx); err != nil {
			return err
		}
	}
	ids, _ := e.builds(ctx) // it is for the choice only; old engines keep no history
	m.mu.Lock()
	defer m.mu.Unlock()
	if says != nil {
		m.says = says
	}
	m.others = 0
	for _, id := range ids {
		if _, ok := m.mine[id]; !ok {
			m.others++
		}
	}
	return nil
}

func (m *member) opened(ctx context.Context) (engine, error) {
	m.mu.Lock()
	e, c := m.engine, m.config
	m.mu.Unlock()
	if e != nil {
		return e, nil
	}
	cfg := m.pool.config.Engine
	cfg.Address, cfg.TLS, cfg.Root = c.Address, c.TLS, c.Root
	e, err := m.pool.open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.engine = e
	return e, nil
}

// note writes down what a look has found.
func (m *member) note(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if (m.err == nil) != (err == nil) {
		m.since = time.Now()
		if err == nil {
			m.log.Info("builder answers", "platforms", m.says)
		} else {
			m.lostSince = m.since
			m.log.Warn("builder is lost, it gets no builds until it answers", "error", err)
		}
	}
	m.err = err
	m.tell()
}

// lose writes down that a build was lost there, and has it looked at now.
func (m *member) lose(err error) {
	m.note(err)
	select {
	case m.again <- struct{}{}:
	default:
	}
}

// tell the scheduler. The lock is held.
func (m *member) tell() { m.place.Set(m.facts(), m.standing()) }

func (m *member) facts() build.Worker {
	return build.Worker{Name: m.name, Platforms: m.platforms(), Parallel: m.config.Parallel, Others: m.others}
}

func (m *member) platforms() []string {
	if len(m.config.Platforms) > 0 {
		return m.config.Platforms
	}
	return m.says
}

func (m *member) standing() build.Standing {
	switch {
	case m.config.Drain:
		return build.Paused
	case m.err == nil:
		return build.Open
	case time.Since(m.lostSince) < patience:
		return build.Paused
	}
	return build.Closed
}

// update changes what can be changed of a worker that goes on, and says whether it can.
func (m *member) update(c WorkerConfig) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.Address != m.config.Address || c.TLS != m.config.TLS || c.Root != m.config.Root {
		return false
	}
	if c.Drain != m.config.Drain {
		m.since = time.Now()
	}
	m.config = c
	m.tell()
	return true
}

// enter notes a build.
func (m *member) enter(id string) engine {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mine[id] = struct{}{}
	return m.engine
}

func (m *member) release(id string) {
	m.mu.Lock()
	delete(m.mine, id)
	m.mu.Unlock()
	m.place.Release()
}

// leave takes it out of the choice. The channel is closed when its last build has ended.
func (m *member) leave() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.leaving {
		m.leaving, m.since = true, time.Now()
	}
	return m.place.Leave()
}

func (m *member) close() {
	m.cancel()
	<-m.lived
	if m.engine == nil {
		return
	}
	if err := m.engine.Close(); err != nil {
		m.log.Warn("close builder", "error", err)
	}
}

// trouble is why it is lost; nil when it answers.
func (m *member) trouble() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *member) ping(ctx context.Context) error {
	m.mu.Lock()
	e, err := m.engine, m.err
	m.mu.Unlock()
	if e == nil {
		return err
	}
	return e.Ping(ctx)
}

func (m *member) state() build.WorkerState {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := build.WorkerState{
		Name: m.name, Address: m.config.Address, State: stateReady, Since: m.since,
		Platforms: slices.Clone(m.platforms()), Parallel: m.config.Parallel, Others: m.others,
	}
	if m.engine != nil {
		s.Address = m.engine.Address() // a managed one's socket
	}
	s.InFlight, s.Waiting = m.place.Load()
	switch {
	case m.leaving:
		s.State, s.Why = stateDraining, whyLeaving
	case m.config.Drain:
		s.State, s.Why = stateDraining, whyDrain
	case m.err != nil:
		s.State, s.Why = stateLost, m.err.Error()
	case s.InFlight >= s.Parallel:
		s.State = stateFull
	}
	return s
}
