package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// claimPatience is how long a claim waits for a dead predecessor's connection to be noticed.
const claimPatience = 5 * time.Second

// ErrClaimed is what Claim returns when another process has the name.
var ErrClaimed = errors.New("a living process has it")

// Claim is a name that this process holds. Its zero value is granted for ever.
type Claim struct {
	pool   *pgxpool.Pool
	name   string
	key    int64
	forget func() // tells the store that it is not held any more

	mu       sync.Mutex
	conn     *pgx.Conn // holds the lock; not the pool's, which could not close otherwise
	released bool
}

// Keep makes sure that the name is still held, and takes it again after the connection was lost. It fails when another
// process took it meanwhile.
func (c *Claim) Keep(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pool == nil || c.released || c.conn != nil && c.conn.Ping(ctx) == nil {
		return nil
	}
	return c.take(ctx)
}

// Release gives the name back. It is safe twice.
func (c *Claim) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.released {
		return
	}
	c.released = true
	c.drop()
	if c.forget != nil {
		c.forget()
	}
}

// take tries once. The caller holds mu.
func (c *Claim) take(ctx context.Context) error {
	c.drop()
	pooled, err := c.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	c.conn = pooled.Hijack()
	var ours bool
	if err := c.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, c.key).Scan(&ours); err != nil {
		c.drop()
		return fmt.Errorf("database lock: %w", err)
	}
	if !ours {
		c.drop()
		return fmt.Errorf("%s on this database: %w", c.name, ErrClaimed)
	}
	return nil
}

// drop ends the connection, with which the server gives the lock back.
func (c *Claim) drop() {
	if c.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.conn.Close(ctx)
	c.conn = nil
}
