package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"rebuilder/internal/policy"
)

// Judgement is the last verdict on a digest.
type Judgement struct {
	Digest  string
	Image   string // as which it was judged, in the graph or a reference
	Outcome string // pass, fail, unknown
	Basis   string // a hash of what it rests on besides the digest
	At      int64  // when it was made
	Since   int64  // since when the outcome is this one
	Next    int64  // when it may change by itself; 0: it does not
	Tally   []Tally
	Uses    []ExceptionUse
	Body    string // the verdict in JSON
}

// ExceptionUse says what an exception does to the findings of a digest.
type ExceptionUse struct {
	Exception string `json:"exception"`         // its id
	Excuses   int    `json:"excuses,omitempty"` // findings
	Would     int    `json:"would,omitempty"`   // findings that it would excuse, were it approved and not expired
}

// Tally counts findings of one verdict that are alike.
type Tally struct {
	Kind     policy.Kind     `json:"kind"`
	Severity policy.Severity `json:"severity"`
	Outcome  policy.Outcome  `json:"outcome"`
	Fixable  bool            `json:"fixable,omitempty"`
	Count    int             `json:"count"`
}

const (
	judgedColumns   = `digest, image, outcome, basis, at, since, next, tally, uses`
	wholeJudgements = `SELECT ` + judgedColumns + `, body FROM judgement JOIN verdict USING (digest)`
)

func scanJudged(row interface{ Scan(...any) error }, more ...any) (j Judgement, err error) {
	var tally, uses string
	if err := row.Scan(append([]any{&j.Digest, &j.Image, &j.Outcome, &j.Basis, &j.At, &j.Since, &j.Next, &tally, &uses}, more...)...); err != nil {
		return j, err
	}
	return j, errors.Join(counted(j.Digest, tally, &j.Tally), counted(j.Digest, uses, &j.Uses))
}

// counted reads what was counted of a verdict; empty text: nothing was.
func counted(digest, text string, into any) error {
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("what was counted of %s: %w", digest, err)
	}
	return nil
}

func scanJudgement(row interface{ Scan(...any) error }) (Judgement, error) {
	var body string
	j, err := scanJudged(row, &body)
	j.Body = body
	return j, err
}

// SaveJudgement replaces the verdict on a digest. Since is kept as long as the outcome is the same. It returns the outcome
// before; empty when there was none.
func SaveJudgement(ctx context.Context, q Querier, j Judgement) (before string, err error) {
	tally, err := json.Marshal(j.Tally)
	if err != nil {
		return "", err
	}
	uses, err := json.Marshal(j.Uses)
	if err != nil {
		return "", err
	}
	err = whole(ctx, q, func(q Querier) error {
		old, found, err := GetJudgement(ctx, q, j.Digest)
		if err != nil {
			return err
		}
		j.Since = j.At
		if found && old.Outcome == j.Outcome {
			j.Since = old.Since
		}
		before = old.Outcome
		_, err = q.Exec(ctx, `INSERT INTO judgement(`+judgedColumns+`) VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9)
			ON CONFLICT(digest) DO UPDATE SET image=excluded.image, outcome=excluded.outcome, basis=excluded.basis, at=excluded.at,
			since=excluded.since, next=excluded.next, tally=excluded.tally, uses=excluded.uses`,
			j.Digest, j.Image, j.Outcome, j.Basis, j.At, j.Since, j.Next, string(tally), string(uses))
		if err != nil {
			return err
		}
		_, err = q.Exec(ctx, `INSERT INTO verdict(digest, body) VALUES($1,$2) ON CONFLICT(digest) DO UPDATE SET body=excluded.body`, j.Digest, j.Body)
		return err
	})
	return before, err
}

// GetJudgement returns the last verdict on a digest; found is false when it was never judged.
func GetJudgement(ctx context.Context, q Querier, digest string) (j Judgement, found bool, err error) {
	j, err = scanJudgement(q.QueryRow(ctx, wholeJudgements+` WHERE digest=$1`, digest))
	if errors.Is(err, ErrNoRows) {
		return j, false, nil
	}
	return j, err == nil, err
}

// Judged returns the last verdict on each digest, by digest, without its body.
func Judged(ctx context.Context, q Querier) (map[string]Judgement, error) {
	all, err := Collect(ctx, q, func(row interface{ Scan(...any) error }) (Judgement, error) { return scanJudged(row) }, `SELECT `+judgedColumns+` FROM judgement`)
	out := make(map[string]Judgement, len(all))
	for _, j := range all {
		out[j.Digest] = j
	}
	return out, err
}

// JudgedOf is Judged of some digests. Those that were never judged are left out.
func JudgedOf(ctx context.Context, q Querier, digests []string) (map[string]Judgement, error) {
	out := make(map[string]Judgement, len(digests))
	for part := range slices.Chunk(digests, rowsPerWrite) {
		args := make([]any, len(part))
		for i, d := range part {
			args[i] = d
		}
		some, err := Collect(ctx, q, func(row interface{ Scan(...any) error }) (Judgement, error) { return scanJudged(row) },
			`SELECT `+judgedColumns+` FROM judgement WHERE digest IN (`+numbered(1, len(part))+`)`, args...)
		if err != nil {
			return nil, err
		}
		for _, j := range some {
			out[j.Digest] = j
		}
	}
	return out, nil
}

// JudgementBefore returns the last verdict on another digest of an image; found is false when there is none.
func JudgementBefore(ctx context.Context, q Querier, image, digest string) (j Judgement, found bool, err error) {
	j, err = scanJudgement(q.QueryRow(ctx, wholeJudgements+` WHERE image=$1 AND digest<>$2 ORDER BY at DESC, digest LIMIT 1`, image, digest))
	if errors.Is(err, ErrNoRows) {
		return j, false, nil
	}
	return j, err == nil, err
}

// Scanned is what another scanner said of a digest.
type Scanned struct {
	Digest  string
	Scanner string
	At      int64
	Error   string // why it could say nothing; empty: Body is its report
	Body    string // JSON
}

// SaveScanned replaces what a scanner said of a digest.
func SaveScanned(ctx context.Context, q Querier, s Scanned) error {
	_, err := q.Exec(ctx, `INSERT INTO scanned(digest, scanner, at, error, body) VALUES($1,$2,$3,$4,$5)
		ON CONFLICT(digest, scanner) DO UPDATE SET at=excluded.at, error=excluded.error, body=excluded.body`, s.Digest, s.Scanner, s.At, bounded(s.Error), s.Body)
	return err
}

// ScannedOf returns what other scanners said of a digest, by their names.
func ScannedOf(ctx context.Context, q Querier, digest string) ([]Scanned, error) {
	return Collect(ctx, q, func(row interface{ Scan(...any) error }) (s Scanned, err error) {
		return s, row.Scan(&s.Digest, &s.Scanner, &s.At, &s.Error, &s.Body)
	}, `SELECT digest, scanner, at, error, body FROM scanned WHERE digest=$1 ORDER BY scanner`, digest)
}

// JudgedBase is what a verdict rests on, and when it may change by itself.
type JudgedBase struct {
	Basis string
	Next  int64
}

// JudgedOn returns what the last verdict on each digest rests on, by digest.
func JudgedOn(ctx context.Context, q Querier) (map[string]JudgedBase, error) {
	all, err := Collect(ctx, q, func(row interface{ Scan(...any) error }) (j Judgement, err error) {
		return j, row.Scan(&j.Digest, &j.Basis, &j.Next)
	}, `SELECT digest, basis, next FROM judgement`)
	out := make(map[string]JudgedBase, len(all))
	for _, j := range all {
		out[j.Digest] = JudgedBase{j.Basis, j.Next}
	}
	return out, err
}
