package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/identity"

	"rebuilder/internal/build"
	"rebuilder/internal/imagetest"
)

// PoolConfig says which engines a pool has. The zero value is one managed engine.
type PoolConfig struct {
	// Workers by name. None: one engine as Engine says, called "builder".
	Workers []WorkerConfig
	// Parallel is how many builds a worker has at once that does not say so itself. Default 2.
	Parallel int
	// Engine is what the workers have in common: registries, credentials, log; and for managed ones the rest.
	Engine Config
}

// WorkerConfig is one engine of a pool.
type WorkerConfig struct {
	Name    string
	Address string // as Config.Address; empty: managed
	// Root is a managed engine's state directory. Default Config.Root.
	Root      string
	Platforms []string // that it builds for; none: what it says itself
	Parallel  int      // builds at once, and its weight; default PoolConfig.Parallel
	TLS       TLS      // of a tcp address
	Drain     bool     // gets no new builds; those that no other worker takes wait
}

const (
	soleWorker    = "builder"
	defaultBuilds = 2
)

const (
	lookInterval = 10 * time.Second // between two looks at a worker that answers
	firstLook    = 100 * time.Millisecond
	lastLook     = 15 * time.Second // between two looks at one that does not
	patience     = 20 * time.Second // for a lost worker; then builds that no other takes end as lost

	stateReady    = "ready"
	stateFull     = "full"
	stateDraining = "draining"
	stateLost     = "lost"

	whyDrain   = "the catalog says so"
	whyLeaving = "it is no longer in the catalog"
)

// Pool builds on several engines, each build on the one that suits it best (build.Pick), in the order of
// build.Scheduler. A worker that is lost in the middle of a build gets no more until it answers again, and the build
// goes on elsewhere, once on each of the others at most. It is safe for concurrent use.
type Pool struct {
	config    PoolConfig
	open      func(context.Context, Config) (engine, error)
	scheduler build.Scheduler

	mu      sync.Mutex
	workers map[string]*member // that are wanted
	leaving []*member          // that are not, and still build
	closed  bool
	gone    sync.WaitGroup // workers that have not been closed
}

// engine is what a pool needs of an Engine.
type engine interface {
	build.Builder
	imagetest.Tester
	Ping(ctx context.Context) error
	// platforms that it builds for, normalised.
	platforms(ctx context.Context) ([]string, error)
	// builds are the ids of all that it builds now, for whomever.
	builds(ctx context.Context) ([]string, error)
	Address() string
	Close() error
}

// OpenPool connects to all workers and returns when a build can start on one of them. It fails when none answers: the
// error says why of each. Close it.
func OpenPool(ctx context.Context, cfg PoolConfig) (*Pool, error) {
	return openPool(ctx, cfg, func(ctx context.Context, c Config) (engine, error) { return newEngine(ctx, c) })
}

func openPool(ctx context.Context, cfg PoolConfig, open func(context.Context, Config) (engine, error)) (*Pool, error) {
	p := &Pool{config: cfg, open: open, workers: map[string]*member{}}
	err := p.SetWorkers(ctx, cfg.Workers)
	if err == nil {
		err = p.anyone()
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// anyone is nil when one worker has been reached.
func (p *Pool) anyone() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []error
	for _, name := range slices.Sorted(maps.Keys(p.workers)) {
		err := p.workers[name].trouble()
		if err == nil {
			return nil
		}
		all = append(all, fmt.Errorf("builder %s: %w", name, err))
	}
	return errors.Join(all...)
}

// SetWorkers makes the pool have these workers. New ones join, once they answer; those that are missing get no more builds
// and are closed when their last one has ended; so are those whose connection changes, and join anew. It returns when all
// new ones have been reached or not; one that was not is tried again. A mistake in the list leaves the pool as it is.
func (p *Pool) SetWorkers(ctx context.Context, list []WorkerConfig) error {
	list, err := p.complete(list)
	if err != nil {
		return err
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return errClosed
	}
	wanted := map[string]*member{}
	var joined []*member
	for _, c := range list {
		m := p.workers[c.Name]
		if m == nil || !m.update(c) {
			m = p.join(c)
			joined = append(joined, m)
		}
		wanted[c.Name] = m
	}
	for _, m := range p.workers {
		if wanted[m.name] != m {
			p.dismiss(m)
		}
	}
	p.workers = wanted
	p.mu.Unlock()

	for _, m := range joined {
		select {
		case <-m.looked:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// complete checks a list of workers and fills in the defaults.
func (p *Pool) complete(list []WorkerConfig) ([]WorkerConfig, error) {
	if len(list) == 0 {
		sole := p.config.Engine
		list = []WorkerConfig{{Name: soleWorker, Address: sole.Address, TLS: sole.TLS}}
	}
	list = slices.Clone(list)
	seen := map[string]bool{}
	for i := range list {
		c := &list[i]
		if c.Name == "" || seen[c.Name] {
			return nil, fmt.Errorf("builder %q: each needs a name of its own", c.Name)
		}
		seen[c.Name] = true
		if c.Parallel < 1 {
			c.Parallel = p.config.Parallel
		}
		if c.Parallel < 1 {
			c.Parallel = defaultBuilds
		}
		if c.Root == "" {
			c.Root = p.config.Engine.Root
		}
		known, err := normalise(c.Platforms)
		if err != nil {
			return nil, fmt.Errorf("builder %s: %w", c.Name, err)
		}
		c.Platforms = known
		if c.Address == "" {
			continue
		}
		if err := checkAddress(c.Address, c.TLS); err != nil {
			return nil, fmt.Errorf("builder %s: %w", c.Name, err)
		}
	}
	return list, nil
}

// join starts a worker's life. The lock is held.
func (p *Pool) join(c WorkerConfig) *member {
	m := newMember(p, c)
	p.gone.Go(m.live)
	return m
}

// dismiss lets a worker end its builds and go. The lock is held.
func (p *Pool) dismiss(m *member) {
	p.leaving = append(p.leaving, m)
	ended := m.leave()
	p.gone.Go(func() {
		select {
		case <-ended:
		case <-m.life.Done(): // the pool was closed
		}
		m.end()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.leaving = slices.DeleteFunc(p.leaving, func(o *member) bool { return o == m })
	})
}

// Close ends all builds, which return a lost build.Error, and closes all engines. It is safe to call twice.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	all := append(slices.Collect(maps.Values(p.workers)), p.leaving...)
	p.mu.Unlock()
	for _, m := range all {
		m.leave()
		m.end()
	}
	p.gone.Wait()
	return nil
}

func (p *Pool) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// Ping returns nil when a worker answers.
func (p *Pool) Ping(ctx context.Context) error {
	var all []error
	for _, m := range p.all() {
		err := m.ping(ctx)
		if err == nil {
			return nil
		}
		all = append(all, fmt.Errorf("builder %s: %w", m.name, err))
	}
	return errors.Join(all...)
}

// all workers, by name; those that leave come last.
func (p *Pool) all() []*member {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*member
	for _, name := range slices.Sorted(maps.Keys(p.workers)) {
		out = append(out, p.workers[name])
	}
	return append(out, p.leaving...)
}

// State says what each worker is doing, by name; those that are no longer wanted come last.
func (p *Pool) State() []build.WorkerState {
	var out []build.WorkerState
	for _, m := range p.all() {
		out = append(out, m.state())
	}
	return out
}

// Address is where other clients reach the workers, as Config.Address, by the workers' names.
func (p *Pool) Address() string {
	var all []string
	for _, w := range p.State() {
		all = append(all, w.Address)
	}
	return strings.Join(all, ", ")
}

// Build implements build.Builder.
func (p *Pool) Build(ctx context.Context, r build.Request) (*build.Result, error) {
	if r.ID == "" {
		r.ID = identity.NewID()
	}
	var res *build.Result
	j := job{id: r.ID, image: r.Image, platform: r.Platform, affinity: r.Affinity, priority: r.Priority, log: r.Log, turn: r.Turn}
	err := p.run(ctx, j, func(worker string, e engine) (err error) {
		if res, err = e.Build(ctx, r); err == nil {
			res.Worker = worker
		}
		return err
	})
	return res, err
}

// Test implements imagetest.Tester: tests take places as builds do.
func (p *Pool) Test(ctx context.Context, r imagetest.Request) (*imagetest.Report, error) {
	if r.ID == "" {
		r.ID = identity.NewID()
	}
	var report *imagetest.Report
	j := job{id: r.ID, image: r.Image, platform: r.Platform, affinity: r.Affinity, priority: r.Priority, log: r.Log}
	err := p.run(ctx, j, func(_ string, e engine) (err error) {
		report, err = e.Test(ctx, r)
		return err
	})
	return report, err
}

// job is what a build and a test have in common.
type job struct {
	id, image          string
	platform, affinity string
	priority           time.Duration
	log                io.Writer
	turn               func(waits bool) // may be nil
}

// run does a job on a worker, and again on others when one is lost.
func (p *Pool) run(ctx context.Context, j job, do func(worker string, e engine) error) error {
	want := build.Want{Affinity: j.affinity, Priority: j.priority, Waits: j.waits}
	if j.platform != "" {
		known, err := normalise([]string{j.platform})
		if err != nil {
			return &build.Error{Image: j.image, Reason: err.Error(), Cause: err}
		}
		want.Platform = known[0]
	}
	var lost error
	for {
		m, err := p.acquire(ctx, want)
		switch {
		case errors.Is(err, build.ErrNoWorker) && lost != nil:
			return lost
		case errors.Is(err, build.ErrNoWorker):
			return p.refusal(j.image, want.Platform)
		case err != nil:
			return fmt.Errorf("%s: wait for a free builder: %w", j.image, err)
		}
		if j.turn != nil {
			j.turn(false)
		}
		err = do(m.name, m.enter(j.id))
		gone := lostHere(err) && !p.isClosed()
		if gone {
			m.lose(err)
		}
		m.release(j.id)
		if !gone {
			return err
		}
		lost = err
		want.Tried = append(want.Tried, m.place)
		j.say("builder %s was lost: %v\n", m.name, err)
	}
}

// waits says that all builders that would take the job are busy.
func (j job) waits() {
	j.say("waiting for a free builder\n")
	if j.turn != nil {
		j.turn(true)
	}
}

func (j job) say(format string, args ...any) {
	if j.log != nil {
		fmt.Fprintf(j.log, format, args...)
	}
}

func lostHere(err error) bool {
	var e *build.Error
	return errors.As(err, &e) && e.Lost
}

// acquire waits for a place, and returns the worker that has it.
func (p *Pool) acquire(ctx context.Context, want build.Want) (*member, error) {
	place, err := p.scheduler.Acquire(ctx, want)
	if err != nil {
		return nil, err
	}
	all := p.all()
	return all[slices.IndexFunc(all, func(m *member) bool { return m.place == place })], nil
}

// refusal says why nobody takes a build.
func (p *Pool) refusal(image, platform string) error {
	e := &build.Error{Image: image, Cause: build.ErrNoWorker}
	if p.isClosed() {
		e.Reason, e.Lost, e.Cause = errClosed.Error(), true, errClosed
		return e
	}
	var others, lost []string
	suits := false
	for _, w := range p.State() {
		if !(build.Worker{Platforms: w.Platforms}).Builds(platform) {
			others = append(others, fmt.Sprintf("%s builds for %s", w.Name, strings.Join(w.Platforms, ", ")))
			continue
		}
		suits = true
		if w.State == stateLost {
			lost = append(lost, fmt.Sprintf("%s since %s: %s", w.Name, w.Since.Format(time.TimeOnly), w.Why))
		}
	}
	if !suits {
		e.Reason = fmt.Sprintf("no builder builds for %s: %s", platform, strings.Join(others, "; "))
		return e
	}
	e.Reason, e.Lost = strings.TrimSuffix("no builder answers: "+strings.Join(lost, "; "), ": "), true
	return e
}

// normalise writes platforms in one way: "linux/arm64/v8" is "linux/arm64".
func normalise(list []string) ([]string, error) {
	var out []string
	for _, s := range list {
		p, err := platforms.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("platform %q: %w", s, err)
		}
		out = append(out, platforms.Format(platforms.Normalize(p)))
	}
	return out, nil
}
