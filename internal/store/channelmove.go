package store

import (
	"context"
	"errors"
	"fmt"
)

// ChannelMove is a channel that a person moves. It is written before anything is done, so that a daemon that dies on the way
// finishes it when it starts again.
type ChannelMove struct {
	ID       string
	Verb     MoveVerb
	Image    string
	Channel  string
	Expected string // what the channel itself pointed to when it was decided, index or manifest; empty: nothing
	From     string // the image there, by the digest of its manifest
	To       string
	Release  string // the immutable tag of To; empty: none is made
	Reason   string
	Actor    string
	Override bool // of what spoke against it
	State    MoveState
	Problem  string // why it is not further, or failed
	AskedAt  int64
	MovedAt  int64
	EndedAt  int64
}

// MoveVerb is what a person asked for.
type MoveVerb string

const (
	MoveRollback MoveVerb = "rollback" // back, with what was there in quarantine
	MovePromote  MoveVerb = "promote"
)

// MoveState is how far a move has come.
type MoveState string

const (
	MoveBegun       MoveState = "moving"      // the channel is to be moved
	MoveWithdrawing MoveState = "withdrawing" // it is; what was proposed of the digest before is being taken back
	MoveDone        MoveState = "done"
	MoveFailed      MoveState = "failed" // with Problem; the channel was not moved
)

// Ended says that nothing more is to be done.
func (s MoveState) Ended() bool { return s == MoveDone || s == MoveFailed }

// Key is the move's key in the ledger and among the promotions.
func (m ChannelMove) Key() string { return string(m.Verb) + " " + m.ID }

const moveColumns = `id, verb, image, channel, expected, from_digest, to_digest, release, reason, actor, override, state, problem, asked_at, moved_at, ended_at`

func scanMove(row interface{ Scan(...any) error }) (m ChannelMove, err error) {
	var override int
	err = row.Scan(&m.ID, &m.Verb, &m.Image, &m.Channel, &m.Expected, &m.From, &m.To, &m.Release, &m.Reason, &m.Actor, &override, &m.State, &m.Problem, &m.AskedAt, &m.MovedAt, &m.EndedAt)
	m.Override = override == 1
	return m, err
}

// BeginChannelMove writes the intent with its audit row and the ledger's; the caller gives the transaction. The same id once
// more changes nothing: created is false.
func (l Ledger) BeginChannelMove(ctx context.Context, m ChannelMove) (created bool, err error) {
	if m.Reason == "" || m.Actor == "" {
		return false, refuse("to move a channel by hand takes a person and a reason")
	}
	m.Reason, m.State = bounded(m.Reason), MoveBegun
	override := 0
	if m.Override {
		override = 1
	}
	res, err := l.q.Exec(ctx, `INSERT INTO channel_move(`+moveColumns+`) VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,'',$13,0,0) ON CONFLICT(id) DO NOTHING`,
		m.ID, m.Verb, m.Image, m.Channel, m.Expected, m.From, m.To, m.Release, m.Reason, m.Actor, override, m.State, m.AskedAt)
	if err != nil {
		return false, fmt.Errorf("%s %s: %w", m.Verb, m.Image, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	if _, _, err := l.Begin(ctx, m.Key(), string(m.Verb), m.Image); err != nil {
		return false, err
	}
	action := string(m.Verb)
	if m.Override {
		action += " with override"
	}
	return true, Audit(ctx, l.q, Event{At: m.AskedAt, Actor: m.Actor, Kind: Human, Rule: "manual", Action: action, Object: m.Image,
		Detail: fmt.Sprintf("from %s to %s: %s", orNothing(m.From), m.To, m.Reason)})
}

func orNothing(digest string) string {
	if digest == "" {
		return "nothing"
	}
	return digest
}

// SaveChannelMove writes how far a move has come. The caller gives the transaction in which that is so.
func SaveChannelMove(ctx context.Context, q Querier, m ChannelMove) error {
	_, err := q.Exec(ctx, `UPDATE channel_move SET state=$2, problem=$3, moved_at=$4, ended_at=$5 WHERE id=$1`, m.ID, m.State, bounded(m.Problem), m.MovedAt, m.EndedAt)
	if err != nil {
		return fmt.Errorf("%s %s: %w", m.Verb, m.Image, err)
	}
	return nil
}

// GetChannelMove returns one; found is false when there is none.
func GetChannelMove(ctx context.Context, q Querier, id string) (m ChannelMove, found bool, err error) {
	m, err = scanMove(q.QueryRow(ctx, `SELECT `+moveColumns+` FROM channel_move WHERE id=$1`, id))
	if errors.Is(err, ErrNoRows) {
		return m, false, nil
	}
	return m, err == nil, err
}

// OpenChannelMoves returns those that have not come to their end, the oldest first.
func OpenChannelMoves(ctx context.Context, q Querier) ([]ChannelMove, error) {
	return Collect(ctx, q, scanMove, `SELECT `+moveColumns+` FROM channel_move WHERE state IN ('moving','withdrawing') ORDER BY asked_at, id`)
}

// ChannelMoves returns the newest moves by hand, of one image when it is not empty.
func ChannelMoves(ctx context.Context, q Querier, image string, most int) ([]ChannelMove, error) {
	return Collect(ctx, q, scanMove, `SELECT `+moveColumns+` FROM channel_move WHERE ($1='' OR image=$1) ORDER BY asked_at DESC, id DESC LIMIT $2`, image, limit(most))
}

// CountChannelMoves counts the moves of one verb that moved a channel.
func CountChannelMoves(ctx context.Context, q Querier, verb MoveVerb) (n int, err error) {
	return n, q.QueryRow(ctx, `SELECT count(*) FROM channel_move WHERE verb=$1 AND moved_at>0`, verb).Scan(&n)
}
