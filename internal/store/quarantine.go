package store

import (
	"context"
	"errors"
	"fmt"
)

// Quarantine is a digest of an image that is never promoted, proposed or built upon until a person clears it.
type Quarantine struct {
	Image, Digest string
	// Because is the quarantined digest that this one is like or is made from; empty: a person named it.
	Because    string
	Reason     string
	Actor      string // who put it there
	Kind       string // Human or Automation
	At         int64
	ClearedAt  int64 // 0: it stands
	ClearedBy  string
	ClearedWhy string
}

// Stands says that nobody cleared it.
func (z Quarantine) Stands() bool { return z.ClearedAt == 0 }

const quarantineColumns = `image, digest, because, reason, actor, kind, at, cleared_at, cleared_by, cleared_why`

func scanQuarantine(row interface{ Scan(...any) error }) (z Quarantine, err error) {
	err = row.Scan(&z.Image, &z.Digest, &z.Because, &z.Reason, &z.Actor, &z.Kind, &z.At, &z.ClearedAt, &z.ClearedBy, &z.ClearedWhy)
	return z, err
}

// AddQuarantine puts a digest into quarantine, with its audit row; the caller gives the transaction. One that stands already
// stays as it is: created is false. rule says under which rule.
func AddQuarantine(ctx context.Context, q Querier, z Quarantine, rule string) (created bool, err error) {
	if z.Image == "" || z.Digest == "" || z.Reason == "" || z.Actor == "" {
		return false, refuse("a quarantine needs an image, a digest, a reason and who asks for it")
	}
	z.Reason = bounded(z.Reason)
	res, err := q.Exec(ctx, `INSERT INTO quarantine(`+quarantineColumns+`) VALUES($1,$2,$3,$4,$5,$6,$7,0,'','')
		ON CONFLICT(image, digest) DO UPDATE SET because=excluded.because, reason=excluded.reason, actor=excluded.actor, kind=excluded.kind, at=excluded.at,
		cleared_at=0, cleared_by='', cleared_why='' WHERE quarantine.cleared_at<>0`,
		z.Image, z.Digest, z.Because, z.Reason, z.Actor, z.Kind, z.At)
	if err != nil {
		return false, fmt.Errorf("quarantine %s@%s: %w", z.Image, z.Digest, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	return true, Audit(ctx, q, Event{At: z.At, Actor: z.Actor, Kind: z.Kind, Rule: rule, Action: "quarantine", Object: z.Image, Detail: z.Digest + ": " + z.Reason})
}

// ClearQuarantine ends the quarantine of a digest and of all that is there because of it, with an audit row each; the caller
// gives the transaction. It returns what it cleared, the named one first: nothing when nothing stood.
func ClearQuarantine(ctx context.Context, q Querier, image, digest, by, why string, at int64) ([]Quarantine, error) {
	if by == "" || why == "" {
		return nil, refuse("to clear a quarantine takes a person and a reason")
	}
	z, stands, err := GetQuarantine(ctx, q, image, digest)
	if err != nil || !stands {
		return nil, err
	}
	cleared := []Quarantine{}
	for todo, seen := []Quarantine{z}, map[Quarantine]bool{z: true}; len(todo) > 0; todo = todo[1:] {
		z := todo[0]
		after, err := clearOne(ctx, q, z, by, why, at)
		if err != nil {
			return nil, err
		}
		cleared = append(cleared, after)
		more, err := Collect(ctx, q, scanQuarantine, `SELECT `+quarantineColumns+` FROM quarantine WHERE because=$1 AND cleared_at=0 ORDER BY image, digest`, z.Digest)
		if err != nil {
			return nil, err
		}
		for _, m := range more {
			if !seen[m] {
				seen[m], todo = true, append(todo, m)
			}
		}
	}
	return cleared, nil
}

func clearOne(ctx context.Context, q Querier, z Quarantine, by, why string, at int64) (Quarantine, error) {
	z.ClearedAt, z.ClearedBy, z.ClearedWhy = at, by, bounded(why)
	if _, err := q.Exec(ctx, `UPDATE quarantine SET cleared_at=$3, cleared_by=$4, cleared_why=$5 WHERE image=$1 AND digest=$2`,
		z.Image, z.Digest, z.ClearedAt, z.ClearedBy, z.ClearedWhy); err != nil {
		return z, fmt.Errorf("clear quarantine %s@%s: %w", z.Image, z.Digest, err)
	}
	return z, Audit(ctx, q, Event{At: at, Actor: by, Kind: Human, Rule: "manual", Action: "clear quarantine", Object: z.Image, Detail: z.Digest + ": " + z.ClearedWhy})
}

// GetQuarantine returns the quarantine of a digest; stands is false when there is none, or it was cleared.
func GetQuarantine(ctx context.Context, q Querier, image, digest string) (z Quarantine, stands bool, err error) {
	z, err = scanQuarantine(q.QueryRow(ctx, `SELECT `+quarantineColumns+` FROM quarantine WHERE image=$1 AND digest=$2`, image, digest))
	if errors.Is(err, ErrNoRows) {
		return z, false, nil
	}
	return z, err == nil && z.Stands(), err
}

// Quarantines returns those of an image that stand, of all images when it is empty, the newest first.
func Quarantines(ctx context.Context, q Querier, image string) ([]Quarantine, error) {
	return Collect(ctx, q, scanQuarantine, `SELECT `+quarantineColumns+` FROM quarantine WHERE cleared_at=0 AND ($1='' OR image=$1) ORDER BY at DESC, image, digest`, image)
}

// QuarantineHistory returns the newest quarantines, whether they stand or not, of one image when it is not empty.
func QuarantineHistory(ctx context.Context, q Querier, image string, most int) ([]Quarantine, error) {
	return Collect(ctx, q, scanQuarantine, `SELECT `+quarantineColumns+` FROM quarantine WHERE ($1='' OR image=$1) ORDER BY at DESC, image, digest LIMIT $2`, image, limit(most))
}
