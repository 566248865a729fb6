package main

import (
	"context"
	"time"

	"rebuilder/internal/api"
)

// rollbackGoal is how long a channel may take to be where it was, in seconds.
const rollbackGoal = 30

// measureRollback moves the lowest base back when everything stands on the new one. It comes last: what stands on it goes back as well.
func measureRollback(ctx context.Context, s *scene) ([]Measure, error) {
	requests, began := s.traffic.now(), time.Now()
	m, err := s.client().Rollback(ctx, api.MoveRequest{Image: "base/debian", Reason: "it is measured how long that takes", By: "bench"})
	if err != nil {
		return nil, s.explained(err)
	}
	took := time.Since(began)
	seen := s.traffic.now().since(requests)
	return []Measure{
		atMost(rollbackGoal, "rollback, asked to channel moved", m.MovedAt.Sub(m.AskedAt).Seconds(), "s"),
		known("rollback, asked to answered, pull requests withdrawn", took.Seconds(), "s"),
		known("requests to the registry meanwhile", float64(seen.registry), "requests"),
		known("images that stood on what was rolled back", float64(len(m.Dependents)), "images"),
	}, nil
}
