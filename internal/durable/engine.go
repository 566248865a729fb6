package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite" // lets the engine read SQLite's error codes

	"rebuilder/internal/store"
)

const (
	application = "rebuilder"
	// version never changes with a release: the engine runs only workflows of its own version.
	version = "1"
	// poll is how often a queue is looked at. Measured: 1 s, the engine's own, makes a graph of images 20 times slower,
	// and two queues at 50 ms cost 2 % of a core at rest.
	poll = 50 * time.Millisecond
)

// Config holds what an Engine can do without.
type Config struct {
	// ExecutorID names this replica: stable over restarts, and another one for each live replica.
	// "": "local" on SQLite, the host's name on PostgreSQL.
	ExecutorID string
	// Heartbeat is how often the replica shows that it lives, and looks after the others. 0: 10 s.
	Heartbeat time.Duration
	// Lapse is how long a heartbeat must stand still before the others take over; at least three heartbeats. 0: 60 s.
	Lapse time.Duration
	// Log gets what an operator wants to know; of the engine itself only warnings. nil: nothing.
	Log *slog.Logger
}

func (c Config) withDefaults(d store.Dialect) (Config, error) {
	if c.Heartbeat == 0 {
		c.Heartbeat = 10 * time.Second
	}
	if c.Lapse == 0 {
		c.Lapse = 60 * time.Second
	}
	if c.Heartbeat < 0 || c.Lapse < 3*c.Heartbeat {
		return c, fmt.Errorf("durable: a lapse of %s is too short for a heartbeat each %s: want three of them at least", c.Lapse, c.Heartbeat)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.ExecutorID != "" {
		return c, nil
	}
	if d == store.SQLite {
		c.ExecutorID = "local" // the file's lock keeps a second one out
		return c, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return c, fmt.Errorf("durable: name this replica: %w", err)
	}
	c.ExecutorID = host
	return c, nil
}

// Engine runs workflows.
type Engine struct {
	dbos  dbos.Context
	ds    *dbos.DataSource
	store *store.Store
	claim *store.Claim
	guard *guard
	cfg   Config

	closing atomic.Bool

	mu   sync.Mutex
	stop func() // of the guard; nil before Launch
	done chan struct{}
}

// Open makes the engine's tables and the engine, which runs nothing before Launch. Workflows and queues are registered
// in between. It fails when a live replica has the same executor id.
//
// The engine shares the store's pool of connections, and Close closes that.
func Open(ctx context.Context, st *store.Store, cfg Config) (*Engine, error) {
	cfg, err := cfg.withDefaults(st.Dialect())
	if err != nil {
		return nil, err
	}
	if err := environment(); err != nil {
		return nil, err
	}
	claim, err := st.Claim(ctx, "replica "+cfg.ExecutorID)
	if err != nil {
		return nil, fmt.Errorf("durable: %w: stop that one, or give this one another name", err)
	}
	e := &Engine{store: st, claim: claim, cfg: cfg}
	if err := st.Startup(ctx, e.open); err != nil {
		claim.Release()
		return nil, fmt.Errorf("durable: %w", err)
	}
	e.guard = newGuard(e)
	return e, nil
}

// environment refuses variables by which the engine would overrule its configuration.
func environment() error {
	for _, name := range []string{"DBOS__APPVERSION", "DBOS__VMID", "DBOS__CLOUD"} {
		if os.Getenv(name) != "" {
			return fmt.Errorf("durable: the environment variable %s would change which work this replica takes up: unset it", name)
		}
	}
	return nil
}

func (e *Engine) open(ctx context.Context) error {
	// The engine must not end with ctx: it takes the end of its context for a request to cancel every running workflow
	// for good. Close is the way to stop it.
	life, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })()
	var err error
	e.dbos, err = dbos.NewContext(life, dbos.Config{
		AppName:            application,
		ApplicationVersion: version,
		EnablePatching:     true,
		ExecutorID:         e.cfg.ExecutorID,
		SQLiteSystemDB:     e.store.SQLite(),
		SystemDBPool:       e.store.Postgres(),
		Logger:             slog.New(quiet{e.cfg.Log.Handler(), &e.closing}),
	})
	if err != nil {
		return err
	}
	if db := e.store.SQLite(); db != nil {
		e.ds, err = dbos.NewDataSource(e.dbos, db)
	} else {
		e.ds, err = dbos.NewDataSource(e.dbos, e.store.Postgres())
	}
	return err
}

// within makes a call to the engine end with ctx; by itself it repeats a call until the database is back.
func within(ctx context.Context, engine dbos.Context) dbos.Context { return dbos.From(engine, ctx) }

// DBOS is the engine's own context, for registering, starting and listing workflows.
func (e *Engine) DBOS() dbos.Context { return e.dbos }

// DataSource is the store's database as the engine knows it; Transaction uses it.
func (e *Engine) DataSource() *dbos.DataSource { return e.ds }

// ExecutorID is this replica's name.
func (e *Engine) ExecutorID() string { return e.cfg.ExecutorID }

// RegisterQueue makes the queue, or gives it the options of this process when it exists. It is looked at each 50 ms
// unless an option says otherwise.
func (e *Engine) RegisterQueue(name string, options ...dbos.QueueOption) (dbos.Queue, error) {
	q, err := dbos.RegisterQueue(e.dbos, name, append([]dbos.QueueOption{dbos.WithQueueBasePollingInterval(poll)}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("durable: queue %s: %w", name, err)
	}
	return q, nil
}

// Track tells the guard that this process runs the workflow. It is the first line of every workflow:
//
//	defer e.Track(ctx)()
//
// The guard starts a workflow that is not tracked a second time, after a lapse.
func (e *Engine) Track(ctx dbos.Context) func() {
	id, err := dbos.GetWorkflowID(ctx)
	if err != nil {
		return func() {} // not in a workflow
	}
	return e.guard.active.add(id)
}

// Launch takes up the work that this replica left, starts the queues and the guard. It can be called once.
func (e *Engine) Launch(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stop != nil {
		return errors.New("durable: launched already")
	}
	// Before the first claim of work, so that nobody finds work of a replica that was never seen.
	if err := e.guard.beat(ctx); err != nil {
		return fmt.Errorf("durable: first heartbeat: %w", err)
	}
	if err := dbos.Launch(e.dbos); err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	e.stop, e.done = stop, make(chan struct{})
	go func() {
		defer close(e.done)
		e.guard.run(life)
	}()
	return nil
}

// Close stops everything and closes the store's pool. Running steps see their context end; their workflows go on at the
// next Launch, or in another replica. The error names what did not stop within the timeout, which each part has for
// itself. Close is safe twice and without Launch.
func (e *Engine) Close(timeout time.Duration) error {
	e.closing.Store(true)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stop != nil {
		e.stop()
		<-e.done
	}
	err := dbos.Shutdown(e.dbos, timeout)
	e.claim.Release()
	if err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	return nil
}
