package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// postgres is a pool of connections to a server that other replicas use too.
type postgres struct {
	pgQuerier
	pool *pgxpool.Pool

	mu     sync.Mutex
	claims map[*Claim]bool // those that are held
}

func openPostgres(ctx context.Context, dsn string) (*postgres, error) {
	cfg, err := postgresConfig(dsn)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("database %s at %s: %w", cfg.ConnConfig.Database, cfg.ConnConfig.Host, err)
	}
	return &postgres{pgQuerier: pgQuerier{pool}, pool: pool, claims: map[*Claim]bool{}}, nil
}

// postgresConfig is the dsn with our defaults; what the dsn sets itself is kept.
func postgresConfig(dsn string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(dsn) // its errors leave the password out
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if u, err := url.Parse(dsn); err == nil && !u.Query().Has("pool_max_conns") {
		cfg.MaxConns = 20
	}
	for name, value := range map[string]string{
		"application_name": "rebuilder",
		// A replica that hangs in a transaction, or is cut off, must not keep its row locks from the others.
		"idle_in_transaction_session_timeout": "60000",
		"tcp_keepalives_idle":                 "15",
		"tcp_keepalives_interval":             "5",
		"tcp_keepalives_count":                "3",
	} {
		if _, set := cfg.ConnConfig.RuntimeParams[name]; !set {
			cfg.ConnConfig.RuntimeParams[name] = value
		}
	}
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return lostConn{c}, nil
	}
	return cfg, nil
}

// lostConn reports a server that went away as a net.Error. pgx makes an unexpected EOF of an EOF, and the workflow engine
// (v1.2.0) retries the one but not the other: a hard restart of the server would end running workflows in ERROR.
type lostConn struct{ net.Conn }

func (c lostConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == io.EOF { //nolint:errorlint // net.Conn returns it bare
		err = &net.OpError{Op: "read", Net: c.RemoteAddr().Network(), Addr: c.RemoteAddr(), Err: errors.New("connection closed by the database")}
	}
	return n, err
}

func (*postgres) dialect() Dialect { return Postgres }

func (p *postgres) tx(ctx context.Context, fn func(Querier) error) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error { return fn(pgQuerier{tx}) })
}

func (*postgres) conflict(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01") // serialization failure, deadlock
}

// exclusive polls for a session lock. A blocking pg_advisory_lock would keep a snapshot while it waits, for which the
// lock's holder waits in CREATE INDEX CONCURRENTLY: a deadlock that the server does not see.
func (p *postgres) exclusive(ctx context.Context, key int64, wait bool, log *slog.Logger, fn func(context.Context) error) (bool, error) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return false, fmt.Errorf("database: %w", err)
	}
	defer conn.Release()
	for started, warned := time.Now(), false; ; {
		var ours bool
		if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, key).Scan(&ours); err != nil {
			return false, fmt.Errorf("database lock: %w", err)
		}
		if ours {
			break
		}
		if !wait {
			return false, nil
		}
		if !warned && time.Since(started) > 5*time.Second {
			warned = true
			log.Info("waiting for another replica that is changing the tables")
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return false, fmt.Errorf("database: another replica is still changing the tables: %w", err)
		}
	}
	defer unlock(ctx, conn, key)
	return true, fn(ctx)
}

// unlock gives the lock back also when ctx has ended. A connection that cannot unlock is closed, which unlocks.
func unlock(ctx context.Context, conn *pgxpool.Conn, key int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_unlock($1)`, key); err != nil {
		_ = conn.Conn().Close(ctx)
	}
}

func (p *postgres) claim(ctx context.Context, name string) (*Claim, error) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	c := &Claim{pool: p.pool, name: name, key: int64(h.Sum64())} // #nosec G115 -- any 64 bits will do
	c.forget = func() { p.held(c, false) }
	ctx, cancel := context.WithTimeout(ctx, claimPatience)
	defer cancel()
	var taken error
	for {
		err := c.take(ctx)
		switch {
		case err == nil:
			p.held(c, true)
			return c, nil
		case errors.Is(err, ErrClaimed):
			taken = err
		case taken != nil && ctx.Err() != nil: // our patience ended in the middle of a try
			return nil, taken
		default:
			return nil, err
		}
		if sleep(ctx, 100*time.Millisecond) != nil {
			return nil, taken
		}
	}
}

func (p *postgres) migrator(files fs.FS, options ...goose.ProviderOption) (*goose.Provider, error) {
	return goose.NewProvider(goose.DialectPostgres, stdlib.OpenDBFromPool(p.pool), files, options...)
}

func (p *postgres) held(c *Claim, is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if is {
		p.claims[c] = true
	} else {
		delete(p.claims, c)
	}
}

// close gives up the claims, too: whoever holds one may hang.
func (p *postgres) close() error {
	p.mu.Lock()
	held := maps.Clone(p.claims)
	p.mu.Unlock()
	for c := range held {
		c.Release()
	}
	p.pool.Close()
	return nil
}
