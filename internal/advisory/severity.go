package advisory

import (
	"strings"

	gocvss20 "github.com/pandatix/go-cvss/20"
	gocvss30 "github.com/pandatix/go-cvss/30"
	gocvss31 "github.com/pandatix/go-cvss/31"
	gocvss40 "github.com/pandatix/go-cvss/40"

	"rebuilder/internal/policy"
)

// scored is how bad something is.
type scored struct {
	severity policy.Severity
	vector   string // CVSS
	score    float64
	version  int // of CVSS, times ten
}

// base is the base score of a CVSS vector; ok is false for what is none.
func base(vector string) (s scored, ok bool) {
	const most = 1000
	if len(vector) > most {
		return s, false
	}
	var err error
	switch {
	case strings.HasPrefix(vector, "CVSS:4.0/"):
		var v *gocvss40.CVSS40
		if v, err = gocvss40.ParseVector(vector); err == nil {
			s.score, s.version = v.Score(), 40
		}
	case strings.HasPrefix(vector, "CVSS:3.1/"):
		var v *gocvss31.CVSS31
		if v, err = gocvss31.ParseVector(vector); err == nil {
			s.score, s.version = v.BaseScore(), 31
		}
	case strings.HasPrefix(vector, "CVSS:3.0/"):
		var v *gocvss30.CVSS30
		if v, err = gocvss30.ParseVector(vector); err == nil {
			s.score, s.version = v.BaseScore(), 30
		}
	default:
		var v *gocvss20.CVSS20
		if v, err = gocvss20.ParseVector(strings.Trim(vector, "()")); err == nil {
			s.score, s.version = v.BaseScore(), 20
		}
	}
	s.vector, s.severity = vector, rated(s.version, s.score)
	return s, err == nil
}

// rated is the rating of a score; version 2 has no critical ones.
func rated(version int, score float64) policy.Severity {
	switch {
	case score >= 9 && version > 20:
		return policy.SeverityCritical
	case score >= 7:
		return policy.SeverityHigh
	case score >= 4:
		return policy.SeverityMedium
	case score > 0:
		return policy.SeverityLow
	}
	return policy.SeverityNegligible
}

// words are those that distributions and databases have for severities.
var words = map[string]policy.Severity{
	"critical": policy.SeverityCritical,
	"high":     policy.SeverityHigh, "important": policy.SeverityHigh,
	"medium": policy.SeverityMedium, "moderate": policy.SeverityMedium,
	"low": policy.SeverityLow, "minor": policy.SeverityLow,
	"negligible": policy.SeverityNegligible, "unimportant": policy.SeverityNegligible, "none": policy.SeverityNegligible,
}

// word is a severity in somebody's words: "Important", "medium**", "not yet assigned".
func word(s string) policy.Severity {
	if w, ok := words[strings.ToLower(strings.Trim(s, " *"))]; ok {
		return w
	}
	return policy.SeverityUnknown
}

// titled is the severity that the title of an advisory of Red Hat's family begins with: "Important: dnsmasq security update".
func titled(summary string) policy.Severity {
	before, _, ok := strings.Cut(summary, ":")
	if !ok {
		return policy.SeverityUnknown
	}
	return word(before)
}

// ranks order severities.
var ranks = map[policy.Severity]int{policy.SeverityUnknown: 0, policy.SeverityNegligible: 1, policy.SeverityLow: 2, policy.SeverityMedium: 3, policy.SeverityHigh: 4, policy.SeverityCritical: 5}

// worse says that s weighs more than o: what is by CVSS before what is in words, then the higher.
func (s scored) worse(o scored) bool {
	if (s.vector == "") != (o.vector == "") {
		return s.vector != ""
	}
	if s.score != o.score {
		return s.score > o.score
	}
	return ranks[s.severity] > ranks[o.severity]
}
