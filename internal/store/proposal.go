package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"rebuilder/internal/plan"
)

// SavePlan stores a plan as it was shown. The same plan is stored once, as it was shown first; created_at is when it was
// shown last, so that Prune removes none that a person may have before him.
func SavePlan(ctx context.Context, q Querier, p *plan.Plan) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = q.Exec(ctx, `INSERT INTO plan(id, inputs, body, created_at, applied_at, rollout) VALUES($1,'',$2,$3,0,'')
		ON CONFLICT(id) DO UPDATE SET created_at=excluded.created_at`, p.ID, string(body), p.MadeAt.UnixMilli())
	return err
}

// GetPlan returns a stored plan; ErrNoRows when there is none.
func GetPlan(ctx context.Context, q Querier, id string) (*plan.Plan, error) {
	var body string
	if err := q.QueryRow(ctx, `SELECT body FROM plan WHERE id=$1`, id).Scan(&body); err != nil {
		return nil, fmt.Errorf("plan %s: %w", id, err)
	}
	p := new(plan.Plan)
	return p, json.Unmarshal([]byte(body), p)
}

// PlanApplied records which rollout a plan became.
func PlanApplied(ctx context.Context, q Querier, id, rollout string, at int64) error {
	_, err := q.Exec(ctx, `UPDATE plan SET applied_at=$2, rollout=$3 WHERE id=$1`, id, at, rollout)
	return err
}

// Promotion is one move of a channel.
type Promotion struct {
	Key                     string
	Rollout, Image, Channel string
	From, To, Release       string
	At                      int64
}

// SavePromotion records a promotion once; created is false when it was recorded before.
func SavePromotion(ctx context.Context, q Querier, p Promotion) (created bool, err error) {
	res, err := q.Exec(ctx, `INSERT INTO promotion(key, rollout, image, channel, from_digest, to_digest, release, at) VALUES($1,$2,$3,$4,$5,$6,$7,$8) ON CONFLICT(key) DO NOTHING`,
		p.Key, p.Rollout, p.Image, p.Channel, p.From, p.To, p.Release, p.At)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// Promotions returns how a channel moved, newest first.
func Promotions(ctx context.Context, q Querier, image string, limit int) ([]Promotion, error) {
	return Collect(ctx, q, func(row interface{ Scan(...any) error }) (p Promotion, err error) {
		return p, row.Scan(&p.Key, &p.Rollout, &p.Image, &p.Channel, &p.From, &p.To, &p.Release, &p.At)
	}, `SELECT key, rollout, image, channel, from_digest, to_digest, release, at FROM promotion WHERE image=$1 ORDER BY at DESC LIMIT $2`, image, limit)
}

// Proposal is what an application was told, and how far it has come since.
type Proposal struct {
	Key         string            `json:"key"` // rollout and application
	Rollout     string            `json:"rollout"`
	Application string            `json:"application"`
	Repository  string            `json:"repository"`
	Branch      string            `json:"branch"`
	Strategy    string            `json:"strategy"`
	State       ProposalState     `json:"state"`
	Number      int               `json:"number,omitempty"`
	URL         string            `json:"url,omitempty"`
	Head        string            `json:"head,omitempty"`
	BaseCommit  string            `json:"base_commit,omitempty"`
	Wants       map[string]string `json:"wants"` // base -> digest
	Reason      string            `json:"reason,omitempty"`
	CreatedAt   int64             `json:"created_at"`
	OpenedAt    int64             `json:"opened_at,omitempty"`
	MergedAt    int64             `json:"merged_at,omitempty"`
	BuiltAt     int64             `json:"built_at,omitempty"`
	EndedAt     int64             `json:"ended_at,omitempty"`
	// Line is what the forge knows it by: repository, branch and base line, or repository and branch for all of them.
	Line string `json:"line,omitempty"`
	// WithdrawnAt is when its pull request was closed because nobody wants it any more.
	WithdrawnAt int64 `json:"withdrawn_at,omitempty"`
}

const proposalColumns = `key, rollout, application, repository, branch, strategy, state, number, url, head, base_commit, wants, reason, created_at, opened_at, merged_at, built_at, ended_at, line, withdrawn_at`

func scanProposal(row interface{ Scan(...any) error }) (p Proposal, err error) {
	var wants string
	if err := row.Scan(&p.Key, &p.Rollout, &p.Application, &p.Repository, &p.Branch, &p.Strategy, &p.State, &p.Number, &p.URL, &p.Head, &p.BaseCommit,
		&wants, &p.Reason, &p.CreatedAt, &p.OpenedAt, &p.MergedAt, &p.BuiltAt, &p.EndedAt, &p.Line, &p.WithdrawnAt); err != nil {
		return p, err
	}
	return p, json.Unmarshal([]byte(wants), &p.Wants)
}

// SaveProposal writes or replaces a proposal.
func SaveProposal(ctx context.Context, q Querier, p Proposal) error {
	wants, err := json.Marshal(p.Wants)
	if err != nil {
		return err
	}
	_, err = q.Exec(ctx, `INSERT INTO proposal(`+proposalColumns+`) VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20)
		ON CONFLICT(key) DO UPDATE SET state=excluded.state, number=excluded.number, url=excluded.url, head=excluded.head, base_commit=excluded.base_commit,
		wants=excluded.wants, reason=excluded.reason, opened_at=excluded.opened_at, merged_at=excluded.merged_at, built_at=excluded.built_at, ended_at=excluded.ended_at,
		line=excluded.line, withdrawn_at=excluded.withdrawn_at`,
		p.Key, p.Rollout, p.Application, p.Repository, p.Branch, p.Strategy, p.State, p.Number, p.URL, p.Head, p.BaseCommit, string(wants), bounded(p.Reason),
		p.CreatedAt, p.OpenedAt, p.MergedAt, p.BuiltAt, p.EndedAt, p.Line, p.WithdrawnAt)
	return err
}

// GetProposal returns one proposal; found is false when there is none.
func GetProposal(ctx context.Context, q Querier, key string) (p Proposal, found bool, err error) {
	p, err = scanProposal(q.QueryRow(ctx, `SELECT `+proposalColumns+` FROM proposal WHERE key=$1`, key))
	if errors.Is(err, ErrNoRows) {
		return p, false, nil
	}
	return p, err == nil, err
}

// LiveProposals returns those that have not come to an end, oldest first.
func LiveProposals(ctx context.Context, q Querier) ([]Proposal, error) {
	return Collect(ctx, q, scanProposal, `SELECT `+proposalColumns+` FROM proposal WHERE state IN ('planned','open','merged') ORDER BY created_at, key`)
}

// Abandoned returns proposals that ended before their pull request did, newest first: nobody waits for it any more, as no
// other proposal that is live, or was closed by a person, has the same one.
func Abandoned(ctx context.Context, q Querier) ([]Proposal, error) {
	return Collect(ctx, q, scanProposal, `SELECT `+proposalColumns+` FROM proposal p WHERE state IN ('superseded','built') AND number>0 AND merged_at=0 AND withdrawn_at=0
		AND NOT EXISTS (SELECT 1 FROM proposal o WHERE o.repository=p.repository AND o.number=p.number AND o.key<>p.key AND (o.state IN ('planned','open','merged','closed') OR o.created_at>p.created_at))
		ORDER BY created_at DESC, key`)
}

// OpenProposal returns the live proposal that a pull request belongs to; found is false when there is none.
func OpenProposal(ctx context.Context, q Querier, repository string, number int) (p Proposal, found bool, err error) {
	p, err = scanProposal(q.QueryRow(ctx, `SELECT `+proposalColumns+` FROM proposal WHERE lower(repository)=lower($1) AND number=$2 AND state IN ('planned','open')
		ORDER BY created_at DESC LIMIT 1`, repository, number))
	if errors.Is(err, ErrNoRows) {
		return p, false, nil
	}
	return p, err == nil, err
}

// Proposals returns those of one rollout.
func Proposals(ctx context.Context, q Querier, rollout string) ([]Proposal, error) {
	return Collect(ctx, q, scanProposal, `SELECT `+proposalColumns+` FROM proposal WHERE rollout=$1 ORDER BY created_at, key`, rollout)
}

// LastProposals returns the proposals of each application's newest rollout that told it, by application, the oldest first.
func LastProposals(ctx context.Context, q Querier) (map[string][]Proposal, error) {
	all, err := Collect(ctx, q, scanProposal, `SELECT `+proposalColumns+` FROM proposal p
		WHERE rollout=(SELECT rollout FROM proposal WHERE application=p.application ORDER BY created_at DESC, key DESC LIMIT 1) ORDER BY created_at, key`)
	if err != nil {
		return nil, err
	}
	last := map[string][]Proposal{}
	for _, p := range all {
		last[p.Application] = append(last[p.Application], p)
	}
	return last, nil
}
