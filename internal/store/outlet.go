package store

import (
	"context"
	"fmt"
)

// Kinds of outlets.
const (
	ChatOutlet       = "chat"
	SubscriberOutlet = "subscriber"
)

// Outlet is where people or programs are told something, and how that goes.
type Outlet struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	Since    int64  `json:"since"`              // when it was first seen: nothing older is told
	NextAt   int64  `json:"next_at,omitempty"`  // not before: it failed, or asked for patience
	Failures int    `json:"failures,omitempty"` // one after the other
	Failing  int64  `json:"failing,omitempty"`  // since when; 0: it works
	Error    string `json:"error,omitempty"`
	WorkedAt int64  `json:"worked_at,omitempty"` // when it last took something
}

const outletColumns = `kind, name, since, next_at, failures, failing, error, worked_at`

func scanOutlet(row interface{ Scan(...any) error }) (o Outlet, err error) {
	return o, row.Scan(&o.Kind, &o.Name, &o.Since, &o.NextAt, &o.Failures, &o.Failing, &o.Error, &o.WorkedAt)
}

// HoldOutlet takes an outlet until the given time, for the only one who works for it; held is false when somebody else has
// it, or when it is to be left alone until later. An outlet that was never seen is made.
func HoldOutlet(ctx context.Context, q Querier, kind, name string, now, until int64) (o Outlet, held bool, err error) {
	if _, err := q.Exec(ctx, `INSERT INTO outlet(kind, name, since) VALUES($1,$2,$3) ON CONFLICT(kind, name) DO NOTHING`, kind, name, now); err != nil {
		return o, false, err
	}
	all, err := Collect(ctx, q, scanOutlet, `UPDATE outlet SET held_until=$4 WHERE kind=$1 AND name=$2 AND held_until<=$3 AND next_at<=$3 RETURNING `+outletColumns,
		kind, name, now, until)
	if err != nil || len(all) == 0 {
		return o, false, err
	}
	return all[0], true, nil
}

// SaveOutlet writes down how an outlet does, and gives it up for the next one.
func SaveOutlet(ctx context.Context, q Querier, o Outlet) error {
	_, err := q.Exec(ctx, `UPDATE outlet SET held_until=0, next_at=$3, failures=$4, failing=$5, error=$6, worked_at=$7 WHERE kind=$1 AND name=$2`,
		o.Kind, o.Name, o.NextAt, o.Failures, o.Failing, bounded(o.Error), o.WorkedAt)
	if err != nil {
		return fmt.Errorf("%s %s: %w", o.Kind, o.Name, err)
	}
	return nil
}

// Outlets returns all that were ever seen, by kind and name.
func Outlets(ctx context.Context, q Querier) ([]Outlet, error) {
	return Collect(ctx, q, scanOutlet, `SELECT `+outletColumns+` FROM outlet ORDER BY kind, name`)
}
