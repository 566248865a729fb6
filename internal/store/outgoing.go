package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// States of outgoing events.
const (
	OutgoingPending   = "pending"
	OutgoingDelivered = "delivered"
	OutgoingParked    = "parked" // tried for a day; a person sends it again
)

// OutgoingStates lists all states.
func OutgoingStates() []string { return []string{OutgoingPending, OutgoingDelivered, OutgoingParked} }

// Outgoing is one event on its way to one subscriber.
type Outgoing struct {
	Subscriber string `json:"subscriber"`
	Event      string `json:"event"` // the id of its row in the audit log
	Type       string `json:"type"`
	Subject    string `json:"subject,omitempty"`
	State      string `json:"state"`
	Tries      int    `json:"tries"`
	QueuedAt   int64  `json:"queued_at"`
	NextAt     int64  `json:"next_at,omitempty"` // not before
	EndedAt    int64  `json:"ended_at,omitempty"`
	Last       Try    `json:"last,omitzero"`
}

// Try is one attempt to deliver an event.
type Try struct {
	At     int64  `json:"at"`
	Status int    `json:"status,omitempty"` // of HTTP; 0: there was no answer
	Took   int64  `json:"took_ms"`
	Error  string `json:"error,omitempty"`
}

const outgoingColumns = `o.subscriber, o.event, o.type, o.subject, o.state, o.tries, o.queued_at, o.next_at, o.ended_at,
	coalesce(t.at,0), coalesce(t.status,0), coalesce(t.took,0), coalesce(t.error,'')`

const outgoingTables = `outgoing o LEFT JOIN outgoing_try t ON t.subscriber=o.subscriber AND t.event=o.event AND t.try=o.tries`

func scanOutgoing(row interface{ Scan(...any) error }) (o Outgoing, err error) {
	return o, row.Scan(&o.Subscriber, &o.Event, &o.Type, &o.Subject, &o.State, &o.Tries, &o.QueuedAt, &o.NextAt, &o.EndedAt,
		&o.Last.At, &o.Last.Status, &o.Last.Took, &o.Last.Error)
}

// HandOut takes the oldest rows of the audit log that were not yet handed out, limit at most, asks to whom each goes, and
// writes that down, in one transaction: each row is handed out once, whatever is killed. It returns how many rows it took.
func HandOut(ctx context.Context, st *Store, limit int, to func(Event) []Outgoing) (n int, err error) {
	err = st.Tx(ctx, func(ctx context.Context, q Querier) error {
		rows, err := Collect(ctx, q, scanEvent, `SELECT a.id, a.at, a.actor, a.kind, a.rule, a.action, a.object, a.detail
			FROM outbox JOIN audit a ON a.id=outbox.id ORDER BY a.id LIMIT $1`, limit)
		if err != nil {
			return err
		}
		n = len(rows)
		for _, e := range rows {
			if err := handOut(ctx, q, e.ID, to(e)); err != nil {
				return fmt.Errorf("hand out event %s: %w", e.ID, err)
			}
		}
		return nil
	})
	return n, err
}

func handOut(ctx context.Context, q Querier, id string, to []Outgoing) error {
	res, err := q.Exec(ctx, `DELETE FROM outbox WHERE id=$1`, id)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err // another replica did
	}
	for _, o := range to {
		if _, err := q.Exec(ctx, `INSERT INTO outgoing(subscriber, event, type, subject, state, queued_at, next_at) VALUES($1,$2,$3,$4,'pending',$5,$5)
			ON CONFLICT(subscriber, event) DO NOTHING`, o.Subscriber, id, o.Type, o.Subject, o.QueuedAt); err != nil {
			return err
		}
	}
	return nil
}

// DueOutgoing returns the events that are to be tried now for a subscriber, in the order of the audit log.
func DueOutgoing(ctx context.Context, q Querier, subscriber string, now int64, limit int) ([]Outgoing, error) {
	return Collect(ctx, q, scanOutgoing, `SELECT `+outgoingColumns+` FROM `+outgoingTables+`
		WHERE o.subscriber=$1 AND o.state='pending' AND o.next_at<=$2 ORDER BY o.event LIMIT $3`, subscriber, now, limit)
}

// NextOutgoing is when the next event is to be tried for any subscriber; 0 when none is.
func NextOutgoing(ctx context.Context, q Querier) (at int64, err error) {
	return at, q.QueryRow(ctx, `SELECT coalesce(min(next_at),0) FROM outgoing WHERE state='pending'`).Scan(&at)
}

// TriedOutgoing writes a try into the log, with what o has become by it.
func TriedOutgoing(ctx context.Context, q Querier, o Outgoing, t Try) error {
	o.Tries++
	if _, err := q.Exec(ctx, `INSERT INTO outgoing_try(subscriber, event, try, at, status, took, error) VALUES($1,$2,$3,$4,$5,$6,$7)
		ON CONFLICT(subscriber, event, try) DO NOTHING`, o.Subscriber, o.Event, o.Tries, t.At, t.Status, t.Took, bounded(t.Error)); err != nil {
		return err
	}
	_, err := q.Exec(ctx, `UPDATE outgoing SET state=$3, tries=$4, next_at=$5, ended_at=$6 WHERE subscriber=$1 AND event=$2 AND state='pending'`,
		o.Subscriber, o.Event, o.State, o.Tries, o.NextAt, o.EndedAt)
	return err
}

// OutgoingFilter narrows a listing. Its zero value asks for the newest of all.
type OutgoingFilter struct {
	Subscriber, State, Event string // exact; empty: any
	Limit                    int    // 0: 100; at most 1000
}

// OutgoingEvents returns the events that match, the newest first, each with its last try.
func OutgoingEvents(ctx context.Context, q Querier, f OutgoingFilter) ([]Outgoing, error) {
	return Collect(ctx, q, scanOutgoing, `SELECT `+outgoingColumns+` FROM `+outgoingTables+`
		WHERE ($1='' OR o.subscriber=$1) AND ($2='' OR o.state=$2) AND ($3='' OR o.event=$3) ORDER BY o.event DESC, o.subscriber LIMIT $4`,
		f.Subscriber, f.State, f.Event, limit(f.Limit))
}

// Tries returns every try of an event, the first first.
func Tries(ctx context.Context, q Querier, subscriber, event string) ([]Try, error) {
	return Collect(ctx, q, func(row interface{ Scan(...any) error }) (t Try, err error) {
		return t, row.Scan(&t.At, &t.Status, &t.Took, &t.Error)
	}, `SELECT at, status, took, error FROM outgoing_try WHERE subscriber=$1 AND event=$2 ORDER BY try LIMIT 1000`, subscriber, event)
}

// CountOutgoing counts the events of each subscriber by state.
func CountOutgoing(ctx context.Context, q Querier) (map[string]map[string]int, error) {
	type row struct {
		subscriber, state string
		n                 int
	}
	rows, err := Collect(ctx, q, func(s interface{ Scan(...any) error }) (r row, err error) {
		return r, s.Scan(&r.subscriber, &r.state, &r.n)
	}, `SELECT subscriber, state, count(*) FROM outgoing GROUP BY subscriber, state`)
	out := map[string]map[string]int{}
	for _, r := range rows {
		if out[r.subscriber] == nil {
			out[r.subscriber] = map[string]int{}
		}
		out[r.subscriber][r.state] = r.n
	}
	return out, err
}

// RetryOutgoing has events sent again that were parked, and those that wait for their next try sent now: all of a
// subscriber, or only one. It returns how many, and writes down who asked for it. A subscriber that is left alone for a
// while because it failed is asked at once.
func RetryOutgoing(ctx context.Context, q Querier, subscriber, event, by string, now int64) (n int, err error) {
	res, err := q.Exec(ctx, `UPDATE outgoing SET state='pending', queued_at=CASE WHEN state='parked' THEN $3 ELSE queued_at END, next_at=$3, ended_at=0
		WHERE subscriber=$1 AND ($2='' OR event=$2) AND state IN ('parked','pending')`, subscriber, event, now)
	if err != nil {
		return 0, err
	}
	affected, err := res.RowsAffected()
	if err != nil || affected == 0 {
		return 0, err
	}
	if _, err := q.Exec(ctx, `UPDATE outlet SET next_at=0 WHERE kind='subscriber' AND name=$1`, subscriber); err != nil {
		return 0, err
	}
	detail := fmt.Sprintf("%d events", affected)
	if event != "" {
		detail = "event " + event
	}
	return int(affected), Audit(ctx, q, Event{At: now, Actor: by, Kind: Human, Rule: "manual", Action: "retry deliveries", Object: subscriber, Detail: detail})
}

// outgoingAge is how long what was delivered or parked is remembered.
const outgoingAge = 30 * 24 * time.Hour

// ForgetOutgoing removes what ended too long ago, of subscribers that are not in the catalog whatever waits for them, and
// messages of rollouts that are no more.
func ForgetOutgoing(ctx context.Context, q Querier, now int64, subscribers []string) error {
	gone, args := "true", []any{now - outgoingAge.Milliseconds()}
	if len(subscribers) > 0 {
		for _, s := range subscribers {
			args = append(args, s)
		}
		gone = "subscriber NOT IN (" + numbered(2, len(subscribers)) + ")"
	}
	for _, statement := range []string{
		`DELETE FROM outgoing WHERE ended_at>0 AND ended_at<$1 OR ended_at=0 AND queued_at<$1 AND ` + gone,
		`DELETE FROM outgoing_try WHERE at<$1 AND NOT EXISTS (SELECT 1 FROM outgoing o WHERE o.subscriber=outgoing_try.subscriber AND o.event=outgoing_try.event)`,
		`DELETE FROM message WHERE created_at<$1 AND NOT EXISTS (SELECT 1 FROM rollout WHERE rollout.id=message.rollout)`,
	} {
		use := args
		if !strings.Contains(statement, "$2") {
			use = args[:1]
		}
		if _, err := q.Exec(ctx, statement, use...); err != nil {
			return fmt.Errorf("remove old deliveries: %w", err)
		}
	}
	return nil
}
