package store

import (
	"context"
	"fmt"
)

// Effect is one act on the outside, known by its idempotency key: a push, a promotion, a pull request. Workflows are
// repeated after a crash, so an act may be done twice; the ledger tells a repetition what is known of the first time.
type Effect struct {
	Key       string `json:"key"`
	Kind      string `json:"kind"`
	Object    string `json:"object"`
	StartedAt int64  `json:"started_at"` // epoch milliseconds UTC
	DoneAt    int64  `json:"done_at"`    // 0: begun, and nothing more is known
	Result    string `json:"result,omitempty"`
}

// Ledger records effects. Get one from Store.Ledger.
type Ledger struct {
	q   Querier
	now func() int64
}

// Ledger returns the ledger of effects, each call in a transaction of its own.
func (s *Store) Ledger() Ledger { return Ledger{s.Q(), s.Now} }

// In returns the same ledger inside of a transaction.
func (l Ledger) In(q Querier) Ledger { return Ledger{q, l.now} }

// Begin records that the effect is about to happen and returns what is known of it.
//
//   - done: it happened; prior.Result is what the outside answered. Do not repeat it.
//   - not done, prior.StartedAt before now: somebody began, and may have finished on the outside without coming to tell.
//     Look there before acting.
//
// Any number of calls with one key leave one row, also at the same moment; kind and object of the first one stay.
func (l Ledger) Begin(ctx context.Context, key, kind, object string) (prior Effect, done bool, err error) {
	_, err = l.q.Exec(ctx, `INSERT INTO effect(key, kind, object, started_at, done_at, result) VALUES($1,$2,$3,$4,0,'') ON CONFLICT(key) DO NOTHING`,
		key, kind, object, l.now())
	if err != nil {
		return Effect{}, false, fmt.Errorf("begin effect %s: %w", key, err)
	}
	prior, err = scanEffect(l.q.QueryRow(ctx, `SELECT `+effectColumns+` FROM effect WHERE key=$1`, key))
	if err != nil {
		return Effect{}, false, fmt.Errorf("begin effect %s: %w", key, err)
	}
	return prior, prior.DoneAt != 0, nil
}

// Done records that the effect happened, with the outside's answer. The first answer stays: a second call changes
// nothing. An effect that was not begun is an error.
func (l Ledger) Done(ctx context.Context, key, result string) error {
	res, err := l.q.Exec(ctx, `UPDATE effect SET done_at=CASE WHEN done_at=0 THEN $2 ELSE done_at END,
		result=CASE WHEN done_at=0 THEN $3 ELSE result END WHERE key=$1`, key, l.now(), result)
	if err != nil {
		return fmt.Errorf("end effect %s: %w", key, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return fmt.Errorf("end effect %s: it was not begun", key)
}

// EffectFilter narrows a listing of effects. Its zero value asks for the newest of all.
type EffectFilter struct {
	Kind, Object string // exact; empty: any
	Open         bool   // only those that are begun and not done
	Limit        int    // 0: 100; at most 1000
}

// Effects returns the effects that match, the last begun first.
func (l Ledger) Effects(ctx context.Context, f EffectFilter) ([]Effect, error) {
	return Collect(ctx, l.q, scanEffect, `SELECT `+effectColumns+` FROM effect
		WHERE ($1='' OR kind=$1) AND ($2='' OR object=$2) AND (done_at=0 OR NOT $3)
		ORDER BY started_at DESC, key LIMIT $4`, f.Kind, f.Object, f.Open, limit(f.Limit))
}

// EffectTimes returns when the effects of a kind on an object were begun after a moment, the oldest first.
func EffectTimes(ctx context.Context, q Querier, kind, object string, after int64) ([]int64, error) {
	return Collect(ctx, q, func(row interface{ Scan(...any) error }) (at int64, err error) { return at, row.Scan(&at) },
		`SELECT started_at FROM effect WHERE kind=$1 AND object=$2 AND started_at>$3 ORDER BY started_at`, kind, object, after)
}

const effectColumns = `key, kind, object, started_at, done_at, result`

func scanEffect(row interface{ Scan(...any) error }) (e Effect, err error) {
	err = row.Scan(&e.Key, &e.Kind, &e.Object, &e.StartedAt, &e.DoneAt, &e.Result)
	return e, err
}
