package store

import "rebuilder/internal/policy"

// Evidence is what was found out about a candidate before it was promoted. It is kept with the node, and told in pull
// requests and on pages.
type Evidence struct {
	Verdict *Verdict `json:"verdict,omitempty"` // nil: it was not judged
	Tests   *Tests   `json:"tests,omitempty"`   // nil: there are none
	Trials  []Trial  `json:"trials,omitempty"`
	// Signatures are those of what it stands on, where they were asked for.
	Signatures []Signature `json:"signatures,omitempty"`
}

// Signature is a signature of an image that verified.
type Signature struct {
	Image     string `json:"image"`     // in the graph
	Reference string `json:"reference"` // with the digest that it is about
	Key       string `json:"key"`       // the SHA-256 of the public key
	Place     string `json:"place"`     // where it was found: tag, bundle, referrers
}

// Verdict is what the policy makes of a digest, in the numbers and sentences that are kept of it.
type Verdict struct {
	Outcome  string   `json:"outcome"` // pass, fail, unknown
	At       int64    `json:"at"`
	Policies []string `json:"policies,omitempty"` // that applied, by name
	// Findings counts all; the others are parts of it.
	Findings int `json:"findings"`
	Failing  int `json:"failing"`
	Excepted int `json:"excepted,omitempty"` // by an exception or a statement that it is not affected
	// Compared with the digest that it replaces; nil when it replaces none, or that one could not be judged.
	Compared *Compared `json:"compared,omitempty"`
	// Blocking are failing findings that the digest it replaces does not have, in words, the first twenty of BlockingCount:
	// they forbid its promotion.
	Blocking      []string `json:"blocking,omitempty"`
	BlockingCount int      `json:"blocking_count,omitempty"`
	Unknown       []string `json:"unknown,omitempty"` // what could not be told, a sentence each; twenty at most
}

// Compared counts vulnerabilities against those of the digest before.
type Compared struct {
	Fixed     int      `json:"fixed"`
	New       int      `json:"new"`
	Remaining int      `json:"remaining"`
	FixedIDs  []string `json:"fixed_ids,omitempty"` // the first twenty, the worst first
	Before    string   `json:"before"`              // digest
	// Severities of what was fixed, by policy.Severity.
	Severities map[policy.Severity]int `json:"severities,omitempty"`
}

// Tests is what came of the tests inside a candidate.
type Tests struct {
	Passed int      `json:"passed"`
	Total  int      `json:"total"`
	Failed []string `json:"failed,omitempty"` // "tests/base.yaml: java runs: exit code 127, expected 0"
	Took   int64    `json:"took_ms"`
	Log    string   `json:"log,omitempty"` // id, for `rebuilder logs`
}

// Trial is a build of a dependent's own repository on a candidate.
type Trial struct {
	Image      string       `json:"image"`
	Repository string       `json:"repository"`
	Commit     string       `json:"commit,omitempty"`
	Outcome    TrialOutcome `json:"outcome"`
	Reason     string       `json:"reason,omitempty"`
	Build      string       `json:"build,omitempty"` // id, for `rebuilder logs`
	Took       int64        `json:"took_ms,omitempty"`
}

// TrialOutcome says what came of a trial.
type TrialOutcome string

const (
	TrialPassed TrialOutcome = "passed"
	TrialFailed TrialOutcome = "failed" // on the candidate, though it builds on the base that is there now
	// TrialBroken builds on neither: that is no fault of the candidate's.
	TrialBroken   TrialOutcome = "broken-before"
	TrialNotTried TrialOutcome = "not-tried" // with the reason
)
