package store

import "context"

// NewestProposals returns the last proposals of all rollouts, the newest first.
func NewestProposals(ctx context.Context, q Querier, limit int) ([]Proposal, error) {
	return Collect(ctx, q, scanProposal, `SELECT `+proposalColumns+` FROM proposal ORDER BY created_at DESC, key LIMIT $1`, limit)
}
