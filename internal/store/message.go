package store

import (
	"context"
	"encoding/json"
	"fmt"
)

// States of messages.
const (
	MessageOpen = "open" // to be sent; with tries: perhaps sent already
	MessageSent = "sent"
	MessageLost = "lost" // it could not be sent for a day
)

// Message is one thing that is said of a rollout in a chat.
type Message struct {
	Chat      string
	Rollout   string
	Part      string // "rollout", "tier 0", "needs 1", "end"
	State     string
	About     []string // what it is about
	Remote    string   // what the chat calls it
	Hash      string   // of what it says there
	Tries     int
	CreatedAt int64
	SentAt    int64 // or edited
}

const messageColumns = `chat, rollout, part, state, about, remote, hash, tries, created_at, sent_at`

func scanMessage(row interface{ Scan(...any) error }) (m Message, err error) {
	var about string
	if err := row.Scan(&m.Chat, &m.Rollout, &m.Part, &m.State, &about, &m.Remote, &m.Hash, &m.Tries, &m.CreatedAt, &m.SentAt); err != nil {
		return m, err
	}
	return m, json.Unmarshal([]byte(about), &m.About)
}

// Messages returns what was said of a rollout in a chat, in the order in which that was decided.
func Messages(ctx context.Context, q Querier, chat, rollout string) ([]Message, error) {
	return Collect(ctx, q, scanMessage, `SELECT `+messageColumns+` FROM message WHERE chat=$1 AND rollout=$2 ORDER BY created_at, part`, chat, rollout)
}

// SaveMessage writes or replaces a message.
func SaveMessage(ctx context.Context, q Querier, m Message) error {
	about, err := json.Marshal(m.About)
	if err != nil {
		return err
	}
	_, err = q.Exec(ctx, `INSERT INTO message(`+messageColumns+`) VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)
		ON CONFLICT(chat, rollout, part) DO UPDATE SET state=excluded.state, about=excluded.about, remote=excluded.remote, hash=excluded.hash,
		tries=excluded.tries, sent_at=excluded.sent_at`,
		m.Chat, m.Rollout, m.Part, m.State, string(about), m.Remote, m.Hash, m.Tries, m.CreatedAt, m.SentAt)
	if err != nil {
		return fmt.Errorf("message %q of %s in %s: %w", m.Part, m.Rollout, m.Chat, err)
	}
	return nil
}

// Untold returns the rollouts of which a chat is not told everything yet, oldest first: those that run, and those that ended
// after it was first seen and after the given time, and have no message of the given part.
func Untold(ctx context.Context, q Querier, chat, part string, ended int64) ([]Rollout, error) {
	return Collect(ctx, q, scanRollout, `SELECT `+rolloutColumns+` FROM rollout
		WHERE (ended_at=0 OR ended_at>=$3 AND ended_at>=coalesce((SELECT since FROM outlet WHERE kind='chat' AND name=$1),0))
		AND NOT EXISTS (SELECT 1 FROM message WHERE message.chat=$1 AND message.rollout=rollout.id AND message.part=$2)
		ORDER BY created_at, id`, chat, part, ended)
}
