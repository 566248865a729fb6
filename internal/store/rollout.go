package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"rebuilder/internal/plan"
)

// Rollout is one cause and all its consequences.
type Rollout struct {
	ID          string       `json:"id"`
	Plan        string       `json:"plan"`
	Cause       string       `json:"cause"`
	Title       string       `json:"title"`
	State       RolloutState `json:"state"`
	Reason      string       `json:"reason,omitempty"`
	CreatedAt   int64        `json:"created_at"`
	StartedAt   int64        `json:"started_at"`
	EndedAt     int64        `json:"ended_at,omitempty"`
	PublishedAt int64        `json:"published_at,omitempty"` // when the distribution published the patch
	NoticedAt   int64        `json:"noticed_at,omitempty"`   // when we saw it first
	Pace        RolloutPace  `json:"pace"`
}

// Node is one image in one rollout.
type Node struct {
	Rollout string     `json:"rollout"`
	Image   string     `json:"image"`
	Kind    string     `json:"kind"`
	Tier    int        `json:"tier"`
	Waiting int        `json:"waiting"` // parents that are not finished
	State   NodeState  `json:"state"`
	Reason  string     `json:"reason,omitempty"`
	Since   int64      `json:"since"`          // of State
	Next    int64      `json:"next,omitempty"` // when something is tried again by itself
	Who     string     `json:"who,omitempty"`  // who can act
	Attempt int        `json:"attempt"`
	Before  string     `json:"before,omitempty"`
	After   string     `json:"after,omitempty"`
	Detail  NodeDetail `json:"detail"`
}

// NodeDetail is what a node's pages show and no query asks for.
type NodeDetail struct {
	Step    plan.Step `json:"step"`
	Build   string    `json:"build,omitempty"`   // id, for `rebuilder logs`
	Key     string    `json:"key,omitempty"`     // of the proposal
	Changes []Change  `json:"changes,omitempty"` // packages that differ from Before
	Missing []string  `json:"missing,omitempty"` // patches that the rebuild did not take, each with the reason
	Proven  bool      `json:"proven,omitempty"`  // stands on its parent, by layers
	Seen    string    `json:"seen,omitempty"`    // the application's image when it was told, or last before the merge
	URL     string    `json:"url,omitempty"`     // pull request
	Number  int       `json:"number,omitempty"`
	ReadyAt int64     `json:"ready_at,omitempty"` // when its last parent was finished
	// HeldUntil is until when it is left alone although its turn has come: a cool-down, a person's wish.
	HeldUntil int64 `json:"held_until,omitempty"`
	Chain     int64 `json:"chain_ms,omitempty"` // about how long it and what waits for it take
	Evidence
}

// Change is one package that differs between two digests.
type Change struct {
	Package string `json:"package"`
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
}

const rolloutColumns = `id, plan, cause, title, state, reason, created_at, started_at, ended_at, published_at, noticed_at, detail`

func scanRollout(row interface{ Scan(...any) error }) (r Rollout, err error) {
	var detail string
	err = row.Scan(&r.ID, &r.Plan, &r.Cause, &r.Title, &r.State, &r.Reason, &r.CreatedAt, &r.StartedAt, &r.EndedAt, &r.PublishedAt, &r.NoticedAt, &detail)
	if err != nil || detail == "" {
		return r, err
	}
	return r, json.Unmarshal([]byte(detail), &r.Pace)
}

// CreateRollout writes a rollout with its nodes and edges. A rollout that exists is left as it is: created is false. A
// node that waits for one that is not in the rollout is an error.
func CreateRollout(ctx context.Context, q Querier, r Rollout, nodes []Node) (created bool, err error) {
	detail, err := json.Marshal(r.Pace)
	if err != nil {
		return false, err
	}
	res, err := q.Exec(ctx, `INSERT INTO rollout(`+rolloutColumns+`) VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12) ON CONFLICT(id) DO NOTHING`,
		r.ID, r.Plan, r.Cause, r.Title, r.State, r.Reason, r.CreatedAt, r.StartedAt, r.EndedAt, r.PublishedAt, r.NoticedAt, string(detail))
	if err != nil {
		return false, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	known := make(map[string]bool, len(nodes))
	for _, n := range nodes {
		known[n.Image] = true
	}
	for _, n := range nodes {
		if err := insertNode(ctx, q, n); err != nil {
			return false, fmt.Errorf("rollout %s, %s: %w", r.ID, n.Image, err)
		}
		for _, p := range n.Detail.Step.Parents {
			if !known[p] { // it would wait for ever
				return false, fmt.Errorf("rollout %s: %s waits for %s, which is not in it", r.ID, n.Image, p)
			}
			if _, err := q.Exec(ctx, `INSERT INTO rollout_edge(rollout, parent, child) VALUES($1,$2,$3)`, r.ID, p, n.Image); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

func insertNode(ctx context.Context, q Querier, n Node) error {
	d, err := json.Marshal(n.Detail)
	if err != nil {
		return err
	}
	_, err = q.Exec(ctx, `INSERT INTO rollout_node(rollout, image, kind, tier, waiting, state, reason, since, next, who, attempt, before_digest, after_digest, detail)
		VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14)`,
		n.Rollout, n.Image, n.Kind, n.Tier, n.Waiting, n.State, n.Reason, n.Since, n.Next, n.Who, n.Attempt, n.Before, n.After, string(d))
	return err
}

// GetRollout returns one rollout; ErrNoRows when there is none.
func GetRollout(ctx context.Context, q Querier, id string) (Rollout, error) {
	r, err := scanRollout(q.QueryRow(ctx, `SELECT `+rolloutColumns+` FROM rollout WHERE id=$1`, id))
	if err != nil {
		return r, fmt.Errorf("rollout %s: %w", id, err)
	}
	return r, nil
}

// LockRollout returns one rollout and keeps every other transaction from changing it and its nodes until this one ends.
// Whatever reads a rollout or its nodes to change them begins with it: otherwise, on PostgreSQL, two nodes that end
// together would each see the other one at work, and nobody would end the rollout. Further calls in a transaction are free.
func LockRollout(ctx context.Context, q Querier, id string) (Rollout, error) {
	r, err := scanRollout(q.QueryRow(ctx, `UPDATE rollout SET state=state WHERE id=$1 RETURNING `+rolloutColumns, id))
	if err != nil {
		return r, fmt.Errorf("rollout %s: %w", id, err)
	}
	return r, nil
}

// Rollouts returns the newest rollouts, newest first.
func Rollouts(ctx context.Context, q Querier, limit int) ([]Rollout, error) {
	return Collect(ctx, q, scanRollout, `SELECT `+rolloutColumns+` FROM rollout ORDER BY created_at DESC, id DESC LIMIT $1`, limit)
}

// RunningRollouts returns those that have not ended, oldest first.
func RunningRollouts(ctx context.Context, q Querier) ([]Rollout, error) {
	return Collect(ctx, q, scanRollout, `SELECT `+rolloutColumns+` FROM rollout WHERE state IN ('planned','running','paused','halted') ORDER BY created_at, id`)
}

// RolloutsOfPlan counts how often a plan was applied.
func RolloutsOfPlan(ctx context.Context, q Querier, plan string) (n int, err error) {
	err = q.QueryRow(ctx, `SELECT count(*) FROM rollout WHERE plan=$1`, plan).Scan(&n)
	return n, err
}

const nodeColumns = `rollout, image, kind, tier, waiting, state, reason, since, next, who, attempt, before_digest, after_digest, detail`

func scanNode(row interface{ Scan(...any) error }) (n Node, err error) {
	var detail string
	if err := row.Scan(&n.Rollout, &n.Image, &n.Kind, &n.Tier, &n.Waiting, &n.State, &n.Reason, &n.Since, &n.Next, &n.Who, &n.Attempt, &n.Before, &n.After, &detail); err != nil {
		return n, err
	}
	return n, json.Unmarshal([]byte(detail), &n.Detail)
}

// Nodes returns a rollout's nodes by tier and name.
func Nodes(ctx context.Context, q Querier, rollout string) ([]Node, error) {
	return Collect(ctx, q, scanNode, `SELECT `+nodeColumns+` FROM rollout_node WHERE rollout=$1 ORDER BY tier, image`, rollout)
}

// GetNode returns one node; ErrNoRows when there is none.
func GetNode(ctx context.Context, q Querier, rollout, image string) (Node, error) {
	n, err := scanNode(q.QueryRow(ctx, `SELECT `+nodeColumns+` FROM rollout_node WHERE rollout=$1 AND image=$2`, rollout, image))
	if err != nil {
		return n, fmt.Errorf("%s in rollout %s: %w", image, rollout, err)
	}
	return n, nil
}

// liveStates are those that have not ended, as the partial index has them.
const liveStates = `'waiting','building','testing','scanning','promoting','telling'`

// LiveNodes returns the nodes of running rollouts that have not ended.
func LiveNodes(ctx context.Context, q Querier) ([]Node, error) {
	return Collect(ctx, q, scanNode, `SELECT `+nodeColumns+` FROM rollout_node WHERE state IN (`+liveStates+`)
		AND rollout IN (SELECT id FROM rollout WHERE state IN ('planned','running','paused','halted')) ORDER BY rollout, tier, image`)
}

// LastNodes returns the newest nodes of an image, newest first.
func LastNodes(ctx context.Context, q Querier, image string, limit int) ([]Node, error) {
	return Collect(ctx, q, scanNode, `SELECT `+nodeColumns+` FROM rollout_node WHERE image=$1 ORDER BY since DESC LIMIT $2`, image, limit)
}

// Move is a change of one node's state.
type Move struct {
	Rollout, Image string
	To             NodeState
	Reason         string
	Next           int64
	Who            string
	After          string            // set when not empty
	Detail         func(*NodeDetail) // may be nil
	At             int64
	Rule           string // which rule acted
	Actor          string // the person who did it; empty: the automation
}

// MoveNode changes a node's state and writes the audit row; the caller gives the transaction, in which the rollout is
// locked from here on. A node that is already in that state for that reason gets no second audit row, so that a repeated
// step says nothing twice. A move that may not be is an error. Reasons are cut at 2,000 bytes.
func MoveNode(ctx context.Context, q Querier, m Move) (Node, error) {
	if _, err := LockRollout(ctx, q, m.Rollout); err != nil {
		return Node{}, err
	}
	m.Reason = bounded(m.Reason)
	n, err := GetNode(ctx, q, m.Rollout, m.Image)
	if err != nil {
		return n, err
	}
	if err := n.State.CanMove(m.To); err != nil {
		return n, fmt.Errorf("%s in rollout %s: %w", m.Image, m.Rollout, err)
	}
	same := n.State == m.To && n.Reason == m.Reason
	if n.State != m.To {
		n.Since = m.At
	}
	n.State, n.Reason, n.Next, n.Who = m.To, m.Reason, m.Next, m.Who
	if m.After != "" {
		n.After = m.After
	}
	if m.Detail != nil {
		m.Detail(&n.Detail)
	}
	d, err := json.Marshal(n.Detail)
	if err != nil {
		return n, err
	}
	if _, err := q.Exec(ctx, `UPDATE rollout_node SET state=$3, reason=$4, since=$5, next=$6, who=$7, after_digest=$8, detail=$9 WHERE rollout=$1 AND image=$2`,
		n.Rollout, n.Image, n.State, n.Reason, n.Since, n.Next, n.Who, n.After, string(d)); err != nil {
		return n, err
	}
	if same {
		return n, nil
	}
	e := Event{At: m.At, Actor: "rebuilder", Kind: Automation, Rule: m.Rule, Action: string(m.To), Object: m.Image, Detail: join(m.Rollout, m.Reason)}
	if m.Actor != "" {
		e.Actor, e.Kind = m.Actor, Human
	}
	return n, Audit(ctx, q, e)
}

func join(rollout, reason string) string {
	if reason == "" {
		return rollout
	}
	return rollout + ": " + reason
}

// NextAttempt gives a node that waits another turn, and returns its number: the turn before ended without an answer.
func NextAttempt(ctx context.Context, q Querier, rollout, image string) (attempt int, err error) {
	err = q.QueryRow(ctx, `UPDATE rollout_node SET attempt=attempt+1 WHERE rollout=$1 AND image=$2 AND state='waiting' RETURNING attempt`, rollout, image).Scan(&attempt)
	if err != nil {
		return 0, fmt.Errorf("%s in rollout %s: another turn: %w", image, rollout, err)
	}
	return attempt, nil
}

// Release tells the children of an ended node that it ended. It returns those that wait for nobody any more, to be
// started when the rollout is running. It must run once for each node, in the transaction that ends it.
func Release(ctx context.Context, q Querier, rollout, image string, at int64) (ready []string, err error) {
	children, err := Collect(ctx, q, scanString, `SELECT child FROM rollout_edge WHERE rollout=$1 AND parent=$2 ORDER BY child`, rollout, image)
	if err != nil {
		return nil, err
	}
	for _, c := range children { // in a fixed order: two parents that end together must not deadlock
		var w int
		if err := q.QueryRow(ctx, `UPDATE rollout_node SET waiting=waiting-1 WHERE rollout=$1 AND image=$2 RETURNING waiting`, rollout, c).Scan(&w); err != nil {
			return nil, fmt.Errorf("release %s after %s: %w", c, image, err)
		}
		n, err := GetNode(ctx, q, rollout, c)
		if err != nil {
			return nil, err
		}
		if n.State != Waiting {
			continue
		}
		reason := fmt.Sprintf("waits for %d of its parents", w)
		if w == 0 {
			ready, reason = append(ready, c), "its parents are finished; its turn comes next"
		}
		if _, err := MoveNode(ctx, q, Move{Rollout: rollout, Image: c, To: Waiting, Reason: reason, At: at, Rule: "order",
			Detail: func(d *NodeDetail) { d.ReadyAt = at }}); err != nil {
			return nil, err
		}
	}
	return ready, nil
}

func scanString(row interface{ Scan(...any) error }) (s string, err error) { return s, row.Scan(&s) }

// Finish ends a rollout when all its nodes have ended: well when all of them are as they should be, otherwise as failed,
// with the first that is not. It does nothing while one is at work, and to a rollout that has ended.
func Finish(ctx context.Context, q Querier, rollout string, at int64) error {
	r, err := LockRollout(ctx, q, rollout)
	if err != nil || r.State.Ended() {
		return err
	}
	var live int
	if err := q.QueryRow(ctx, `SELECT count(*) FROM rollout_node WHERE rollout=$1 AND state IN (`+liveStates+`)`, rollout).Scan(&live); err != nil || live > 0 {
		return err
	}
	bad, err := Collect(ctx, q, scanNode, `SELECT `+nodeColumns+` FROM rollout_node WHERE rollout=$1 AND state NOT IN ('done','unchanged','skipped')
		ORDER BY tier, image LIMIT 1`, rollout)
	if err != nil {
		return err
	}
	state, reason := Finished, ""
	for _, n := range bad {
		state, reason = Broken, fmt.Sprintf("%s: %s: %s", n.Image, n.State, n.Reason)
	}
	return SetRollout(ctx, q, rollout, state, reason, at, "order")
}

// SetRollout changes a rollout's state, with its audit row. Setting it to what it is does nothing; one that has ended
// stays as it is, which is an error.
func SetRollout(ctx context.Context, q Querier, id string, to RolloutState, reason string, at int64, rule string) error {
	r, err := LockRollout(ctx, q, id)
	if err != nil || r.State == to {
		return err
	}
	_, err = Steer(ctx, q, Steering{Rollout: id, To: to, Reason: reason, At: at, Rule: rule, Actor: "rebuilder", Kind: Automation, Action: "rollout " + string(to)})
	return err
}

// Steering is a change of a rollout as a whole.
type Steering struct {
	Rollout string
	To      RolloutState
	Reason  string
	Pace    func(*RolloutPace) // may be nil
	At      int64
	// Who did what, under which rule.
	Actor, Kind, Rule, Action string
	Detail                    string // for the audit log; empty: Reason
}

// Steer changes a rollout's state and what it goes by, with one audit row; the caller gives the transaction. One that has
// ended stays as it is, which is an error.
func Steer(ctx context.Context, q Querier, s Steering) (Rollout, error) {
	r, err := LockRollout(ctx, q, s.Rollout)
	if err != nil {
		return r, err
	}
	if r.State.Ended() {
		return r, fmt.Errorf("rollout %s has ended as %s and cannot become %s", s.Rollout, r.State, s.To)
	}
	if r.State != s.To {
		r.Pace.Since = 0
	}
	switch {
	case r.State == s.To:
	case s.To == Running:
		r.StartedAt = max(r.StartedAt, s.At)
	case s.To.Ended():
		r.EndedAt = s.At
	default:
		r.Pace.Since = s.At
	}
	r.State, r.Reason = s.To, bounded(s.Reason)
	if s.Pace != nil {
		s.Pace(&r.Pace)
	}
	detail, err := json.Marshal(r.Pace)
	if err != nil {
		return r, err
	}
	if _, err := q.Exec(ctx, `UPDATE rollout SET state=$2, reason=$3, started_at=$4, ended_at=$5, detail=$6 WHERE id=$1`, r.ID, r.State, r.Reason, r.StartedAt, r.EndedAt, string(detail)); err != nil {
		return r, err
	}
	return r, Audit(ctx, q, Event{At: s.At, Actor: s.Actor, Kind: s.Kind, Rule: s.Rule, Action: s.Action, Object: r.ID, Detail: cmp.Or(s.Detail, r.Reason)})
}
