// Package events tells programs what changed: CloudEvents 1.0 in structured JSON by HTTP, signed as Standard Webhooks says.
// Each row of the audit log is one event, whose id is the row's. This package makes an event, signs it and posts it once;
// what goes to whom, and again, is internal/announce's.
package events

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"
)

// Record is what an event tells of: a row of the audit log.
type Record struct {
	ID     string // sorts in the order of writing
	At     time.Time
	Actor  string
	Kind   string // "human" or "automation"
	Rule   string
	Action string
	Object string
	Detail string
}

// Data is the body of an event. Its keys are part of the API.
type Data struct {
	Actor   string `json:"actor"`
	Kind    string `json:"kind"` // "human" or "automation"
	Rule    string `json:"rule,omitempty"`
	Action  string `json:"action"`            // as in the audit log
	Object  string `json:"object"`            // an image, a rollout, an application, ..
	Rollout string `json:"rollout,omitempty"` // in which it happened
	State   string `json:"state,omitempty"`   // of the object from now on
	Detail  string `json:"detail,omitempty"`  // for people
}

// Event is one change.
type Event struct {
	Type    string
	Subject string // the object
	Data    Data
	record  Record
}

// Types of events. Those that end in a star have a state behind the dot.
const (
	RolloutStarted    = "rebuilder.rollout.started"
	rollout           = "rebuilder.rollout."        // + its state: done, failed, paused, halted, cancelled, running
	RolloutChanged    = "rebuilder.rollout.changed" // by what is none of its states: somebody skipped a wait, ..
	NodeChanged       = "rebuilder.node.changed"
	Promoted          = "rebuilder.promoted"
	RolledBack        = "rebuilder.rolledback"
	proposal          = "rebuilder.proposal." // + its state: open, merged, built, closed, superseded
	VerdictChanged    = "rebuilder.verdict.changed"
	ExceptionChange   = "rebuilder.exception.changed"
	QuarantineChanged = "rebuilder.quarantine.changed"
	Recorded          = "rebuilder.recorded" // everything else in the audit log
)

// nodes are the states that a node goes to, which are its actions.
var nodes = map[string]bool{"waiting": true, "building": true, "testing": true, "scanning": true, "promoting": true, "telling": true, "done": true,
	"unchanged": true, "blocked": true, "not-taken": true, "failed": true, "skipped": true, "quarantined": true}

var (
	rolloutID     = regexp.MustCompile(`^r-[0-9a-f]+-[0-9]+`) // at the beginning of a detail
	proposalState = regexp.MustCompile(`^[a-z]+$`)
)

// Of is the event of a record.
func Of(r Record) Event {
	e := Event{Subject: r.Object, record: r, Type: Recorded,
		Data: Data{Actor: r.Actor, Kind: r.Kind, Rule: r.Rule, Action: r.Action, Object: r.Object, Detail: r.Detail}}
	what, rest, _ := strings.Cut(r.Action, " ")
	switch {
	case r.Action == "start rollout":
		e.Type, e.Data.Rollout, e.Data.State = RolloutStarted, r.Object, "running"
	case what == "rollout" && proposalState.MatchString(rest):
		e.Type, e.Data.Rollout, e.Data.State = rollout+rest, r.Object, rest
	case rolloutID.FindString(r.Object) == r.Object && r.Object != "":
		e.Type, e.Data.Rollout = RolloutChanged, r.Object
	case nodes[r.Action]:
		e.Type, e.Data.State = NodeChanged, r.Action
		if e.Data.Rollout = rolloutID.FindString(r.Detail); e.Data.Rollout != "" {
			e.Data.Detail = strings.TrimPrefix(strings.TrimPrefix(r.Detail, e.Data.Rollout), ": ")
		}
	case r.Action == "promote" && r.Rule == "rollback":
		e.Type = RolledBack
	case r.Action == "promote":
		e.Type = Promoted
	case r.Action == "quarantine":
		e.Type, e.Data.State = QuarantineChanged, "quarantined"
	case r.Action == "clear quarantine":
		e.Type, e.Data.State = QuarantineChanged, "cleared"
	case what == "proposal" && proposalState.MatchString(rest):
		e.Type, e.Data.State = proposal+rest, rest
		if e.Data.Rollout = rolloutID.FindString(r.Detail); e.Data.Rollout != "" {
			e.Data.Detail = strings.TrimPrefix(strings.TrimPrefix(r.Detail, e.Data.Rollout), ": ")
		}
	case what == "verdict":
		e.Type, e.Data.State = VerdictChanged, rest
	case strings.HasSuffix(r.Action, "exception"):
		e.Type = ExceptionChange
	}
	return e
}

// ID is the event's id, the same at each delivery.
func (e Event) ID() string { return e.record.ID }

// envelope is CloudEvents 1.0 in structured JSON, https://github.com/cloudevents/spec. It is nine attributes: a test holds it
// to what the specification's own library reads.
type envelope struct {
	SpecVersion string `json:"specversion"`
	ID          string `json:"id"`
	Source      string `json:"source"`
	Type        string `json:"type"`
	Subject     string `json:"subject,omitempty"`
	Time        string `json:"time"`
	ContentType string `json:"datacontenttype"`
	Sequence    string `json:"sequence"` // the extension of that name: sorts as things happened
	Data        Data   `json:"data"`
}

// Encode writes an event, always as the same bytes. source says which daemon it is from, as a URI.
func (e Event) Encode(source string) ([]byte, error) {
	return json.Marshal(envelope{"1.0", e.record.ID, source, e.Type, e.Subject, e.record.At.UTC().Format(time.RFC3339Nano), "application/json", e.record.ID, e.Data})
}
