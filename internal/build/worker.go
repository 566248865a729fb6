package build

import "time"

// WorkerState is what a worker of a pool is doing.
type WorkerState struct {
	Name      string    `json:"name"`
	Address   string    `json:"address"`             // where other clients reach it
	State     string    `json:"state"`               // "ready", "full", "draining", "lost"
	Since     time.Time `json:"since,omitzero"`      // of being ready or full, draining, or lost
	Why       string    `json:"why,omitempty"`       // of draining and lost
	Platforms []string  `json:"platforms,omitempty"` // that it builds for, once known
	Parallel  int       `json:"parallel"`
	InFlight  int       `json:"in_flight"`
	// Waiting builds could run here; each counts for every worker that could take it.
	Waiting int `json:"waiting"`
	Others  int `json:"others,omitempty"` // builds of others there, when last looked at
}
