package store

import (
	"context"
	"fmt"
)

// Ticket is one that stands in the line of an installation. Times are epoch milliseconds UTC.
type Ticket struct {
	Installation string
	Ticket       string // what is to be written
	Owner        string // the process that waits
	Object       string // for what, as people know it
	Urgent       bool
	Place        int64 // among those that are as urgent the lower goes first
	Since        int64
	BegunAt      int64 // 0: its turn has not come yet
}

// Held says until when nobody writes to an installation, because the forge refused.
type Held struct {
	Until int64
	Why   string
}

// LockLine waits until the transaction is the only one at the line of an installation, and returns what holds it.
func LockLine(ctx context.Context, q Querier, installation string, now int64) (h Held, err error) {
	err = q.QueryRow(ctx, `INSERT INTO line(installation, seen_at) VALUES($1,$2)
		ON CONFLICT(installation) DO UPDATE SET seen_at=excluded.seen_at RETURNING held_until, held_why`, installation, now).Scan(&h.Until, &h.Why)
	if err != nil {
		return h, fmt.Errorf("line of %s: %w", installation, err)
	}
	return h, nil
}

// HoldLine has nobody write to an installation before a time. An earlier one than what holds changes nothing.
func HoldLine(ctx context.Context, q Querier, installation string, h Held, now int64) error {
	_, err := q.Exec(ctx, `INSERT INTO line(installation, held_until, held_why, seen_at) VALUES($1,$2,$3,$4)
		ON CONFLICT(installation) DO UPDATE SET held_until=excluded.held_until, held_why=excluded.held_why, seen_at=excluded.seen_at
		WHERE excluded.held_until>line.held_until`, installation, h.Until, bounded(h.Why), now)
	return err
}

// EnterLine puts a ticket into the line. One that is there already keeps its time and, when its turn had come, its turn:
// it changes hands.
func EnterLine(ctx context.Context, q Querier, t Ticket) error {
	_, err := q.Exec(ctx, `INSERT INTO line_ticket(installation, ticket, owner, object, urgent, place, since, seen_at) VALUES($1,$2,$3,$4,$5,$6,$7,$7)
		ON CONFLICT(installation, ticket) DO UPDATE SET owner=excluded.owner, object=excluded.object, urgent=excluded.urgent, place=excluded.place, seen_at=excluded.seen_at`,
		t.Installation, t.Ticket, t.Owner, t.Object, bit(t.Urgent), t.Place, t.Since)
	return err
}

// LeaveLine takes an owner's ticket out of the line.
func LeaveLine(ctx context.Context, q Querier, installation, ticket, owner string) error {
	_, err := q.Exec(ctx, `DELETE FROM line_ticket WHERE installation=$1 AND ticket=$2 AND owner=$3`, installation, ticket, owner)
	return err
}

// InLine says that an owner is alive, and returns the tickets of all owners that have been seen since a time: the one
// whose turn it is first. Tickets of others stay for a day, so that who comes back gets its turn again.
func InLine(ctx context.Context, q Querier, installation, owner string, now, alive int64) ([]Ticket, error) {
	const day = 86_400_000
	if _, err := q.Exec(ctx, `UPDATE line_ticket SET seen_at=$3 WHERE installation=$1 AND owner=$2`, installation, owner, now); err != nil {
		return nil, err
	}
	if _, err := q.Exec(ctx, `DELETE FROM line_ticket WHERE installation=$1 AND seen_at<$2`, installation, now-day); err != nil {
		return nil, err
	}
	return Collect(ctx, q, scanTicket, `SELECT `+ticketColumns+` FROM line_ticket WHERE installation=$1 AND seen_at>=$2
		ORDER BY CASE WHEN begun_at>0 THEN 0 ELSE 1 END, begun_at, urgent DESC, place, since, ticket`, installation, alive)
}

// Lines returns all tickets whose owners have been seen since a time, for people to look at.
func Lines(ctx context.Context, q Querier, alive int64) ([]Ticket, error) {
	return Collect(ctx, q, scanTicket, `SELECT `+ticketColumns+` FROM line_ticket WHERE seen_at>=$1
		ORDER BY installation, CASE WHEN begun_at>0 THEN 0 ELSE 1 END, begun_at, urgent DESC, place, since, ticket LIMIT 1000`, alive)
}

// BeginTurn writes down that a ticket's turn has come.
func BeginTurn(ctx context.Context, q Querier, installation, ticket string, now int64) error {
	_, err := q.Exec(ctx, `UPDATE line_ticket SET begun_at=$3 WHERE installation=$1 AND ticket=$2 AND begun_at=0`, installation, ticket, now)
	return err
}

// Writes returns when an installation was written to since a time, the oldest first, and forgets what was before.
func Writes(ctx context.Context, q Querier, installation string, since int64) ([]int64, error) {
	if _, err := q.Exec(ctx, `DELETE FROM line_write WHERE installation=$1 AND at<=$2`, installation, since); err != nil {
		return nil, err
	}
	return Collect(ctx, q, func(s interface{ Scan(...any) error }) (at int64, err error) { return at, s.Scan(&at) },
		`SELECT at FROM line_write WHERE installation=$1 ORDER BY at`, installation)
}

// Wrote counts a write.
func Wrote(ctx context.Context, q Querier, installation, ticket string, at int64) error {
	_, err := q.Exec(ctx, `INSERT INTO line_write(installation, at, ticket) VALUES($1,$2,$3)`, installation, at, ticket)
	return err
}

// SayWaiting writes what a node that tells waits for, and until about when.
func SayWaiting(ctx context.Context, q Querier, rollout, image, reason string, until int64) error {
	_, err := q.Exec(ctx, `UPDATE rollout_node SET reason=$3, next=$4 WHERE rollout=$1 AND image=$2 AND state='telling'`, rollout, image, bounded(reason), until)
	return err
}

const ticketColumns = `installation, ticket, owner, object, urgent, place, since, begun_at`

func scanTicket(row interface{ Scan(...any) error }) (t Ticket, err error) {
	var urgent int
	err = row.Scan(&t.Installation, &t.Ticket, &t.Owner, &t.Object, &urgent, &t.Place, &t.Since, &t.BegunAt)
	t.Urgent = urgent != 0
	return t, err
}
