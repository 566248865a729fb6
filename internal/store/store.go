package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

// Dialect names the database behind a Store.
type Dialect string

// The two databases.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// Store is the open database. It is safe for concurrent use.
type Store struct {
	db  database
	log *slog.Logger
	now func() time.Time
}

// database is what differs between the two.
type database interface {
	Querier
	dialect() Dialect
	// tx runs fn in one transaction.
	tx(ctx context.Context, fn func(Querier) error) error
	// conflict says that a transaction lost against another one and may be run again.
	conflict(err error) bool
	// exclusive runs fn while no other process runs one with the same key; wait says whether to wait for its turn or
	// to return false at once.
	exclusive(ctx context.Context, key int64, wait bool, log *slog.Logger, fn func(context.Context) error) (bool, error)
	// claim takes the lock of a name for as long as the process lives.
	claim(ctx context.Context, name string) (*Claim, error)
	// migrator opens the migrations as the tool wants them.
	migrator(files fs.FS, options ...goose.ProviderOption) (*goose.Provider, error)
	close() error
}

// Keys of advisory locks. They are part of the protocol between replicas and never change.
const (
	startupLock int64 = 0x7265_6275_0001
	guardLock   int64 = 0x7265_6275_0002
)

//go:embed migrations/*.sql
var migrations embed.FS

// Open opens the database and brings its tables up to date. The dsn is "sqlite:" and a path, or a PostgreSQL URL:
//
//	sqlite:/var/lib/rebuilder/rebuilder.db
//	postgres://rebuilder@db.example.com/rebuilder?sslmode=verify-full
//
// A SQLite file belongs to one process: Open fails when another one has it. On PostgreSQL any number of replicas may open
// the same database, also at the same moment while it is still empty; a pooler before it must pool sessions, to which
// locks and notifications belong. A database that a newer version has migrated is
// refused. log may be nil.
func Open(ctx context.Context, dsn string, log *slog.Logger) (*Store, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	db, err := open(ctx, dsn)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, log: log, now: time.Now}
	if err := s.Startup(ctx, s.migrate); err != nil {
		_ = db.close()
		return nil, err
	}
	return s, nil
}

func open(ctx context.Context, dsn string) (database, error) {
	switch scheme, rest, _ := strings.Cut(dsn, ":"); scheme {
	case "sqlite":
		return openSQLite(ctx, rest)
	case "postgres", "postgresql":
		return openPostgres(ctx, dsn)
	default:
		// The dsn is not repeated: it may hold a password.
		return nil, fmt.Errorf(`database: want "sqlite:/path/to/file.db" or "postgres://user@host/name", not a %q address`, scheme)
	}
}

// WithClock returns the same store with another clock. Close one of them only.
func (s *Store) WithClock(now func() time.Time) *Store {
	t := *s
	t.now = now
	return &t
}

// Now is the store's clock in epoch milliseconds UTC, the unit of every time in the tables.
func (s *Store) Now() int64 { return s.now().UnixMilli() }

// Dialect says which database this is.
func (s *Store) Dialect() Dialect { return s.db.dialect() }

// Q runs single statements, each in a transaction of its own. Inside of Tx use what Tx hands out: on SQLite a write
// through Q would wait for the transaction that waits for it.
func (s *Store) Q() Querier { return storable{s.db} }

// Tx runs fn in one transaction: READ COMMITTED on PostgreSQL, the only writer on SQLite. It commits when fn returns
// nil. Where the transaction lost against another one it is run again, so fn must do nothing but SQL through q.
func (s *Store) Tx(ctx context.Context, fn func(ctx context.Context, q Querier) error) error {
	const attempts = 5
	for i := 1; ; i++ {
		err := s.db.tx(ctx, func(q Querier) error { return fn(ctx, storable{q}) })
		if err == nil || i == attempts || !s.db.conflict(err) {
			return err
		}
		s.log.Debug("transaction lost against another one", "attempt", i, "error", err)
		if err := sleep(ctx, time.Duration(i)*10*time.Millisecond+rand.N(10*time.Millisecond)); err != nil { // #nosec G404
			return err
		}
	}
}

// Startup runs fn, which may create or change tables, while no other replica of the same database does. It waits for
// its turn until ctx ends.
func (s *Store) Startup(ctx context.Context, fn func(context.Context) error) error {
	_, err := s.db.exclusive(ctx, startupLock, true, s.log, fn)
	return err
}

// Guard runs fn unless another replica is in its Guard at this moment; ran says whether it did.
func (s *Store) Guard(ctx context.Context, fn func(context.Context) error) (ran bool, err error) {
	return s.db.exclusive(ctx, guardLock, false, s.log, fn)
}

// Claim takes a name, such as a replica's, for this process alone among those that share the database. It waits a few
// seconds, in which the server may notice that a predecessor is dead, and fails when a living one has the name.
func (s *Store) Claim(ctx context.Context, name string) (*Claim, error) { return s.db.claim(ctx, name) }

// SQLite returns the pool of a SQLite store, nil otherwise. It is for the workflow engine, which shares it.
func (s *Store) SQLite() *sql.DB {
	if db, ok := s.db.(*sqlite); ok {
		return db.pool
	}
	return nil
}

// Postgres returns the pool of a PostgreSQL store, nil otherwise. It is for the workflow engine, which shares it.
func (s *Store) Postgres() *pgxpool.Pool {
	if db, ok := s.db.(*postgres); ok {
		return db.pool
	}
	return nil
}

// Close closes the database and gives up the SQLite file. It is safe twice.
func (s *Store) Close() error { return s.db.close() }

func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := s.db.migrator(files, goose.WithTableName("schema_version"), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("database migrations: %w", err)
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("database migrations: %w", err)
	}
	known := p.ListSources()
	if newest := known[len(known)-1].Version; have > newest {
		return fmt.Errorf("database is at schema %d and this rebuilder knows %d: run the newer version that migrated it, or restore a backup", have, newest)
	}
	done, err := p.Up(ctx)
	if err != nil {
		return fmt.Errorf("database migrations: %w", err)
	}
	for _, m := range done {
		s.log.Info("database migrated", "schema", m.Source.Version, "took", m.Duration)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
