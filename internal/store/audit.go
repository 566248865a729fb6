package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Kinds of actors in the audit log.
const (
	Human      = "human"
	Automation = "automation"
)

// Event is one line of the audit log: who did what to which object, and under which rule.
type Event struct {
	ID     string `json:"id"`             // made by Audit when empty; sorts in the order of writing
	At     int64  `json:"at"`             // epoch milliseconds UTC; made by Audit when 0
	Actor  string `json:"actor"`          // a person, or "rebuilder"
	Kind   string `json:"kind"`           // Human or Automation
	Rule   string `json:"rule,omitempty"` // why automation acted: "watch", "refresh", ..
	Action string `json:"action"`         // "promote", "start rollout", ..
	Object string `json:"object"`         // an image, a rollout, an application
	Detail string `json:"detail,omitempty"`
}

// Audit appends to the audit log, and to the outbox of those who subscribe to it. It belongs in the transaction that makes
// the change it tells of.
func Audit(ctx context.Context, q Querier, e Event) error {
	if e.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("audit %s %s: %w", e.Action, e.Object, err)
		}
		e.ID = id.String()
	}
	if e.At == 0 {
		e.At = time.Now().UnixMilli()
	}
	_, err := q.Exec(ctx, `INSERT INTO audit(id, at, actor, kind, rule, action, object, detail) VALUES($1,$2,$3,$4,$5,$6,$7,$8)`,
		e.ID, e.At, e.Actor, e.Kind, e.Rule, e.Action, e.Object, bounded(e.Detail))
	if err != nil {
		return fmt.Errorf("audit %s %s: %w", e.Action, e.Object, err)
	}
	if _, err := q.Exec(ctx, `INSERT INTO outbox(id) VALUES($1)`, e.ID); err != nil {
		return fmt.Errorf("audit %s %s: %w", e.Action, e.Object, err)
	}
	return nil
}

// AuditFilter narrows the audit log. Its zero value asks for the newest events of all.
type AuditFilter struct {
	Actor, Kind, Rule, Action, Object string // exact; empty: any

	Since, Until int64  // epoch milliseconds: Since <= at < Until; 0: open
	Before       string // only events written before the one with this id: the next page
	Limit        int    // 0: 100; at most 1000
}

// AuditLog returns the events that match, the last written first.
func AuditLog(ctx context.Context, q Querier, f AuditFilter) ([]Event, error) {
	var where []string
	var args []any
	and := func(condition string, value any, set bool) {
		if set {
			args = append(args, value)
			where = append(where, fmt.Sprintf(condition, len(args)))
		}
	}
	and("actor=$%d", f.Actor, f.Actor != "")
	and("kind=$%d", f.Kind, f.Kind != "")
	and("rule=$%d", f.Rule, f.Rule != "")
	and("action=$%d", f.Action, f.Action != "")
	and("object=$%d", f.Object, f.Object != "")
	and("at>=$%d", f.Since, f.Since != 0)
	and("at<$%d", f.Until, f.Until != 0)
	and("id<$%d", f.Before, f.Before != "")
	query := `SELECT id, at, actor, kind, rule, action, object, detail FROM audit`
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	query += fmt.Sprintf(" ORDER BY id DESC LIMIT %d", limit(f.Limit))
	return Collect(ctx, q, scanEvent, query, args...)
}

// GetEvent returns one event; ErrNoRows when there is none.
func GetEvent(ctx context.Context, q Querier, id string) (Event, error) {
	e, err := scanEvent(q.QueryRow(ctx, `SELECT id, at, actor, kind, rule, action, object, detail FROM audit WHERE id=$1`, id))
	if err != nil {
		return e, fmt.Errorf("event %s: %w", id, err)
	}
	return e, nil
}

func scanEvent(row interface{ Scan(...any) error }) (e Event, err error) {
	err = row.Scan(&e.ID, &e.At, &e.Actor, &e.Kind, &e.Rule, &e.Action, &e.Object, &e.Detail)
	return e, err
}

// limit bounds how many rows a listing returns.
func limit(n int) int {
	if n <= 0 {
		return 100
	}
	return min(n, 1000)
}
