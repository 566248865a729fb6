package store

import "fmt"

// NodeState is where one image is in one rollout. The picture is in docs/operations.md.
type NodeState string

const (
	Waiting     NodeState = "waiting"     // for a parent, a window, a person: always with a reason
	Building    NodeState = "building"    // BuildKit is at it
	Testing     NodeState = "testing"     // the image's own tests
	Scanning    NodeState = "scanning"    // inventory, assertion, fingerprint
	Promoting   NodeState = "promoting"   // moving the channel
	Telling     NodeState = "telling"     // told; waiting for the application's own image
	Done        NodeState = "done"        // promoted, or proven
	Unchanged   NodeState = "unchanged"   // rebuilt, same content: nothing promoted, nothing told
	Blocked     NodeState = "blocked"     // policy or a human's change says no
	NotTaken    NodeState = "not-taken"   // rebuilt, but the patch is not inside
	Failed      NodeState = "failed"      // with the reason
	Skipped     NodeState = "skipped"     // not needed any more, or a parent did not make it
	Quarantined NodeState = "quarantined" // its digest must not be used
)

// next lists what may follow what. Everything else is a bug, and refused.
var next = map[NodeState][]NodeState{
	Waiting:   {Building, Telling, Skipped, Failed, Unchanged, Blocked, Done, Quarantined},
	Building:  {Waiting, Testing, Scanning, Failed, Skipped, Blocked, Unchanged, NotTaken, Quarantined},
	Testing:   {Waiting, Scanning, Promoting, Failed, Skipped, Blocked, Quarantined},
	Scanning:  {Waiting, Testing, Promoting, Failed, Skipped, Blocked, Unchanged, NotTaken, Quarantined},
	Promoting: {Waiting, Done, Failed, Skipped, Blocked, Quarantined},
	Telling:   {Waiting, Done, Failed, Skipped, Blocked, Quarantined},
	Failed:    {Waiting},
	NotTaken:  {Waiting},
	Blocked:   {Waiting, Skipped},
	Done:      {Quarantined},
}

// Ended says that nothing more happens to the node by itself.
func (s NodeState) Ended() bool {
	switch s {
	case Waiting, Building, Testing, Scanning, Promoting, Telling:
		return false
	}
	return true
}

// Good says that an ended node is as it should be.
func (s NodeState) Good() bool { return s == Done || s == Unchanged || s == Skipped }

// CanMove returns an error when to may not follow s. Staying is always allowed.
func (s NodeState) CanMove(to NodeState) error {
	if s == to {
		return nil
	}
	for _, n := range next[s] {
		if n == to {
			return nil
		}
	}
	return fmt.Errorf("a node cannot go from %s to %s", s, to)
}

// RolloutState is where a rollout is.
type RolloutState string

const (
	Planned   RolloutState = "planned"
	Running   RolloutState = "running"
	Paused    RolloutState = "paused"
	Halted    RolloutState = "halted"
	Finished  RolloutState = "done"
	Broken    RolloutState = "failed"
	Cancelled RolloutState = "cancelled"
)

// Ended says that nothing more happens to the rollout.
func (s RolloutState) Ended() bool { return s == Finished || s == Broken || s == Cancelled }

// ProposalState is how far an application has come since it was told.
type ProposalState string

const (
	ProposalPlanned    ProposalState = "planned" // about to be told
	ProposalOpen       ProposalState = "open"    // pull request open, or CI dispatched
	ProposalMerged     ProposalState = "merged"
	ProposalBuilt      ProposalState = "built" // its image stands on the wanted base; the nodes say whether layers prove it
	ProposalClosed     ProposalState = "closed"
	ProposalSuperseded ProposalState = "superseded"
)
