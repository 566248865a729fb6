package store

import (
	"context"

	"rebuilder/internal/pace"
)

// RolloutPace is what a rollout goes by besides its state.
type RolloutPace struct {
	Waves []pace.Wave `json:"waves,omitempty"` // as they were when it started; none: one
	// Critical is why it waits for no wave, soak and freeze; empty: it does.
	Critical string `json:"critical,omitempty"`
	// StopAt is the last tier that is begun, counted from 1; 0: all are.
	StopAt  int    `json:"stop_at,omitempty"`
	StopWhy string `json:"stop_why,omitempty"` // who said so, and why
	// Forgiven is how many failures a person has gone on in spite of.
	Forgiven int `json:"forgiven,omitempty"`
	// Since is since when it is paused or halted.
	Since int64 `json:"since,omitempty"`
}

// Told is that an application was let go in a rollout: it is told, or about to be.
type Told struct {
	Rollout, Application, Repository string
	Lane                             pace.Lane
	Rule                             string // under which: "wave 1 of 3 (canary)"
	At                               int64
}

// LockPace keeps every other transaction from deciding who is told next until this one ends. It comes before any rollout is
// locked.
func LockPace(ctx context.Context, q Querier) error {
	_, err := q.Exec(ctx, `UPDATE pace SET at=at WHERE id=1`)
	return err
}

// SaveTold writes that an application was let go.
func SaveTold(ctx context.Context, q Querier, t Told) error {
	_, err := q.Exec(ctx, `INSERT INTO told(rollout, application, repository, lane, rule, at) VALUES($1,$2,$3,$4,$5,$6)
		ON CONFLICT(rollout, application) DO UPDATE SET repository=excluded.repository, lane=excluded.lane, rule=excluded.rule, at=excluded.at`,
		t.Rollout, t.Application, t.Repository, t.Lane, t.Rule, t.At)
	return err
}

// LetGo returns those of running rollouts and, of all others, those since a moment, the oldest first.
func LetGo(ctx context.Context, q Querier, since int64) ([]Told, error) {
	return Collect(ctx, q, func(row interface{ Scan(...any) error }) (t Told, err error) {
		return t, row.Scan(&t.Rollout, &t.Application, &t.Repository, &t.Lane, &t.Rule, &t.At)
	}, `SELECT rollout, application, repository, lane, rule, at FROM told WHERE at>$1
		OR rollout IN (SELECT id FROM rollout WHERE state IN ('planned','running','paused','halted')) ORDER BY at, rollout, application`, since)
}

// GetTold returns the rule under which an application was let go; found is false when it was not.
func GetTold(ctx context.Context, q Querier, rollout, application string) (rule string, found bool, err error) {
	rules, err := Collect(ctx, q, scanString, `SELECT rule FROM told WHERE rollout=$1 AND application=$2`, rollout, application)
	if err != nil || len(rules) == 0 {
		return "", false, err
	}
	return rules[0], true, nil
}

// Untell takes back that an application was let go, so that it gets its turn once more.
func Untell(ctx context.Context, q Querier, rollout, application string) error {
	_, err := q.Exec(ctx, `DELETE FROM told WHERE rollout=$1 AND application=$2`, rollout, application)
	return err
}

// NodesOfRunning returns all nodes of the rollouts that have not ended, those that have ended included.
func NodesOfRunning(ctx context.Context, q Querier) ([]Node, error) {
	return Collect(ctx, q, scanNode, `SELECT `+nodeColumns+` FROM rollout_node
		WHERE rollout IN (SELECT id FROM rollout WHERE state IN ('planned','running','paused','halted')) ORDER BY rollout, tier, image`)
}

// ProposalsOfRunning returns the proposals of the rollouts that have not ended.
func ProposalsOfRunning(ctx context.Context, q Querier) ([]Proposal, error) {
	return Collect(ctx, q, scanProposal, `SELECT `+proposalColumns+` FROM proposal
		WHERE rollout IN (SELECT id FROM rollout WHERE state IN ('planned','running','paused','halted')) ORDER BY created_at, key`)
}

// ForgetBackoff lets what failed for an image be tried again with the next look; forgot says that there was something to wait
// for.
func ForgetBackoff(ctx context.Context, q Querier, image string) (forgot bool, err error) {
	res, err := q.Exec(ctx, `UPDATE attempt SET next_at=0 WHERE image=$1 AND outcome='failed' AND next_at>0`, image)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}
