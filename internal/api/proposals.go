package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/store"
)

// Proposals are pull requests and dispatches of all rollouts: those that wait for somebody first, then the newest.
type Proposals struct {
	Now       time.Time  `json:"now"`
	AsOf      time.Time  `json:"as_of"`
	Total     int        `json:"total"`   // how many there are
	Waiting   int        `json:"waiting"` // of Total
	Proposals []Followed `json:"proposals"`
}

// Followed is a proposal and what it waits for.
type Followed struct {
	Rollout string `json:"rollout"`
	Proposal
	Sentence string    `json:"sentence"`      // what it waits for, or how it ended
	Since    time.Time `json:"since"`         // since when that is so
	Who      string    `json:"who,omitempty"` // who can act; empty: nobody needs to
	Next     time.Time `json:"next,omitzero"` // when something is tried again by itself
	Waits    bool      `json:"waits"`
}

const (
	usualProposals = 100
	maxProposals   = 1000
)

// Proposals lists what applications were told, at most limit of them. With waiting only what is not over yet.
func (r *Reader) Proposals(ctx context.Context, waiting bool, limit int) (Proposals, error) {
	now := r.Now().UTC()
	out := Proposals{Now: now, AsOf: now, Proposals: []Followed{}}
	nodes, err := store.LiveNodes(ctx, r.Store.Q())
	if err != nil {
		return out, err
	}
	byKey := map[string]store.Node{}
	for _, n := range nodes {
		byKey[n.Detail.Key] = n
	}
	live, err := store.LiveProposals(ctx, r.Store.Q())
	if err != nil {
		return out, err
	}
	for _, p := range live {
		out.Proposals = append(out.Proposals, followedOf(p, byKey[p.Key]))
	}
	out.Waiting = len(live)
	if !waiting {
		newest, err := store.NewestProposals(ctx, r.Store.Q(), limit)
		if err != nil {
			return out, err
		}
		for _, p := range newest {
			if !waits(p) {
				out.Proposals = append(out.Proposals, followedOf(p, store.Node{}))
			}
		}
	}
	counts, err := store.CountByState(ctx, r.Store.Q(), "proposal")
	for _, n := range counts {
		out.Total += n
	}
	out.Proposals = out.Proposals[:min(limit, len(out.Proposals))]
	return out, err
}

// waits says that a proposal has not come to its end.
func waits(p store.Proposal) bool {
	return p.State == store.ProposalPlanned || p.State == store.ProposalOpen || p.State == store.ProposalMerged
}

// followedOf says what a proposal waits for. The node of a rollout that is under way knows best.
func followedOf(p store.Proposal, n store.Node) Followed {
	f := Followed{Rollout: p.Rollout, Proposal: proposalOf(p), Waits: waits(p), Since: at(max(p.CreatedAt, p.OpenedAt, p.MergedAt, p.BuiltAt, p.EndedAt))}
	switch p.State {
	case store.ProposalPlanned:
		f.Sentence = "is about to be told"
	case store.ProposalOpen:
		f.Sentence, f.Who = fmt.Sprintf("pull request #%d waits to be merged", p.Number), "owner of "+p.Repository
		if p.Strategy == string(catalog.Dispatch) {
			f.Sentence, f.Who = "its CI was dispatched; waits for its next image", "CI of "+p.Repository
		}
	case store.ProposalMerged:
		f.Sentence, f.Who = "is merged; waits for its next image", "CI of "+p.Repository
	default:
		f.Sentence = p.Reason
	}
	if n.Reason != "" && f.Waits {
		f.Sentence, f.Next = n.Reason, at(n.Next)
		if n.Who != "" {
			f.Who = n.Who
		}
	}
	return f
}

func (s *Server) getProposals(r *http.Request) (any, error) {
	limit, err := number(r, "limit", usualProposals, maxProposals)
	if err != nil {
		return nil, err
	}
	return s.Proposals(r.Context(), r.URL.Query().Get("waiting") == "1", limit)
}

// Proposals lists what applications were told.
func (c *Client) Proposals(ctx context.Context, waiting bool, limit int) (p Proposals, err error) {
	q := url.Values{"limit": {fmt.Sprint(limit)}}
	if waiting {
		q["waiting"] = []string{"1"}
	}
	return p, c.get(ctx, &p, q, "proposals")
}
