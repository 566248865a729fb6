package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The three-method surface of both databases. The types are the workflow engine's, because a Go interface is satisfied
// only by identical result types and its transactions must satisfy this one.
type (
	// Querier runs SQL, in a transaction or outside of one.
	Querier = dbos.Querier
	// Result says how many rows a write touched.
	Result = dbos.Result
	// Rows is a cursor; it must be closed.
	Rows = dbos.Rows
	// Row is one row; its Scan returns ErrNoRows when there is none.
	Row = dbos.Row
)

// ErrNoRows is what Row.Scan returns, on both databases, when nothing matched.
var ErrNoRows = dbos.ErrNoRows

// Collect runs a query and scans each row. It returns an empty slice, not nil, when nothing matched.
func Collect[T any](ctx context.Context, q Querier, scan func(interface{ Scan(...any) error }) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []T{}
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// In gives domain code a transaction that belongs to somebody else, the workflow engine: without Commit and Rollback,
// and with text made storable as everywhere in this package.
func In(tx Querier) Querier { return storable{tx} }

// storable passes on what both databases take as text. PostgreSQL refuses NUL and broken UTF-8, which a build's log or
// a server's error may hold, and such a write would fail again at each repetition.
type storable struct{ q Querier }

func (s storable) Exec(ctx context.Context, query string, args ...any) (Result, error) {
	return s.q.Exec(ctx, query, clean(args)...)
}

func (s storable) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	return s.q.Query(ctx, query, clean(args)...)
}

func (s storable) QueryRow(ctx context.Context, query string, args ...any) Row {
	return s.q.QueryRow(ctx, query, clean(args)...)
}

func clean(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		if s, ok := a.(string); ok {
			a = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
		}
		out[i] = a
	}
	return out
}

// sqlQuerier is *sql.DB or *sql.Tx as a Querier.
type sqlQuerier struct {
	db interface {
		ExecContext(context.Context, string, ...any) (sql.Result, error)
		QueryContext(context.Context, string, ...any) (*sql.Rows, error)
		QueryRowContext(context.Context, string, ...any) *sql.Row
	}
}

func (q sqlQuerier) Exec(ctx context.Context, query string, args ...any) (Result, error) {
	res, err := q.db.ExecContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return res, nil
}

func (q sqlQuerier) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	rows, err := q.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (q sqlQuerier) QueryRow(ctx context.Context, query string, args ...any) Row {
	return sqlRow{q.db.QueryRowContext(ctx, query, args...)}
}

type sqlRow struct{ row *sql.Row }

func (r sqlRow) Scan(dest ...any) error {
	err := r.row.Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNoRows
	}
	return err
}

// pgQuerier is *pgxpool.Pool, *pgxpool.Conn or pgx.Tx as a Querier.
type pgQuerier struct {
	db interface {
		Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
		Query(context.Context, string, ...any) (pgx.Rows, error)
		QueryRow(context.Context, string, ...any) pgx.Row
	}
}

func (q pgQuerier) Exec(ctx context.Context, query string, args ...any) (Result, error) {
	tag, err := q.db.Exec(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgResult(tag.RowsAffected()), nil
}

func (q pgQuerier) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	rows, err := q.db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgRows{rows}, nil
}

func (q pgQuerier) QueryRow(ctx context.Context, query string, args ...any) Row {
	return q.db.QueryRow(ctx, query, args...)
}

type pgResult int64

func (r pgResult) RowsAffected() (int64, error) { return int64(r), nil }

// pgRows gives Close the error that database/sql's has.
type pgRows struct{ pgx.Rows }

func (r pgRows) Close() error {
	r.Rows.Close()
	return nil
}
