// Package policy says what is made of what was found in an image: findings, exceptions and now go in, a verdict comes out.
// It is pure; who finds is internal/advisory, internal/scan, internal/hygiene, who joins them is internal/judge.
//
//	findings := policy.Merge(ours, trivys, grypes) // one of each, with who found it
//	v := policy.Judge(policy.Input{Subject: s, Findings: findings, Policies: policies, Exceptions: exceptions, Now: now})
//	c := policy.Compare(before, findings) // against the image that it replaces
//
// Nothing fails that no policy enforces, and what nobody could look at never counts as passed.
package policy

import (
	"slices"
	"time"
)

// Kind says what sort of thing was found.
type Kind string

const (
	Vulnerability Kind = "vulnerability" // an advisory hits a package
	Secret        Kind = "secret"        // a key or a password in a layer
	Hygiene       Kind = "hygiene"       // how the image is made: runs as root, too large, a shell where none belongs
)

// Severity orders how bad a finding is. Unknown is below all, and never counted as one of them.
type Severity string

const (
	SeverityUnknown    Severity = "unknown"
	SeverityNegligible Severity = "negligible"
	SeverityLow        Severity = "low"
	SeverityMedium     Severity = "medium"
	SeverityHigh       Severity = "high"
	SeverityCritical   Severity = "critical"
)

// Severities are all, the worst first.
func Severities() []Severity {
	return []Severity{SeverityCritical, SeverityHigh, SeverityMedium, SeverityLow, SeverityNegligible, SeverityUnknown}
}

// rank orders severities; what is none is unknown.
func (s Severity) rank() int {
	if i := slices.Index(Severities(), s); i >= 0 {
		return len(Severities()) - 1 - i
	}
	return 0
}

// known is s, or unknown when it is no severity.
func (s Severity) known() Severity { return Severities()[len(Severities())-1-s.rank()] }

// AtLeast says that s is as bad as bar or worse. Everything is at least unknown, and so is what is no severity.
func (s Severity) AtLeast(bar Severity) bool { return s.rank() >= bar.rank() }

// Finding is one thing found in one image digest.
type Finding struct {
	Kind Kind `json:"kind"`
	// ID is the advisory by the name that people know best, its CVE where it has one ("CVE-2026-1234"), or the rule's:
	// "root-user", "private-key".
	ID      string   `json:"id"`
	Aliases []string `json:"aliases,omitempty"` // other names of the same advisory: "DSA-5999-1", "GHSA-..."
	Title   string   `json:"title,omitempty"`   // one line, untrusted text

	// Of a vulnerability: the package as installed.
	Type    string `json:"type,omitempty"` // as in package URLs: "deb", "golang"
	Package string `json:"package,omitempty"`
	Version string `json:"version,omitempty"`
	Source  string `json:"source,omitempty"` // the source package, where it is another
	PURL    string `json:"purl,omitempty"`
	// FixedIn is the first version with the fix; empty: no patch yet.
	FixedIn string `json:"fixed_in,omitempty"`
	// FixKnown is since when FixedIn is known, epoch milliseconds; 0: that is not known.
	FixKnown int64 `json:"fix_known_at,omitempty"`

	Severity  Severity `json:"severity"`
	Score     float64  `json:"score,omitempty"`  // CVSS base score, 0 when none is known
	Vector    string   `json:"vector,omitempty"` // CVSS
	Exploited bool     `json:"exploited,omitempty"`
	EPSS      *float64 `json:"epss,omitempty"` // probability of exploitation in 30 days, 0 to 1; nil: not known
	Published int64    `json:"published_at,omitempty"`

	// Of a secret or of hygiene: where.
	Path    string `json:"path,omitempty"`
	Line    int    `json:"line,omitempty"`
	Deleted bool   `json:"deleted,omitempty"` // a later layer hides it; who has the image has it still

	Layer     int    `json:"layer"`               // index in the image's layers; -1: not of a layer
	Inherited string `json:"inherited,omitempty"` // the base that brought it in; empty: this image did
	// FoundBy are who found it: "rebuilder", "trivy", "grype".
	FoundBy []string `json:"found_by"`
	Why     string   `json:"why,omitempty"` // why it matters, one sentence
	Do      string   `json:"do,omitempty"`  // what to do about it, one sentence
}

// Subject is the image that is judged, as far as rules look at it.
type Subject struct {
	Image    string            `json:"image"` // in the graph, or a reference
	Kind     string            `json:"kind"`  // upstream, base, application, observed; empty: of nobody
	Digest   string            `json:"digest"`
	Platform string            `json:"platform,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"` // of the catalog: what policies are scoped by
	Created  time.Time         `json:"created,omitzero"`
}
