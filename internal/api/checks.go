package api

import (
	"fmt"

	"rebuilder/internal/store"
)

// checks says what came of judging, testing and trying a candidate, a sentence each.
func checks(ev store.Evidence) (out []string) {
	if v := ev.Verdict; v != nil {
		out = append(out, verdict(v))
	}
	if t := ev.Tests; t != nil {
		out = append(out, fmt.Sprintf("%d of %s passed", t.Passed, Count(t.Total, "test")))
	}
	for _, t := range ev.Trials {
		out = append(out, trial(t))
	}
	return out
}

func verdict(v *store.Verdict) string {
	s := fmt.Sprintf("verdict %s, %s", v.Outcome, Count(v.Findings, "finding"))
	if c := v.Compared; c != nil {
		s += fmt.Sprintf("; of vulnerabilities %d fixed, %d new, %d remain", c.Fixed, c.New, c.Remaining)
	}
	if len(v.Unknown) > 0 {
		s += "; not known: " + v.Unknown[0]
	}
	if n := len(v.Unknown) - 1; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s
}

func trial(t store.Trial) string {
	at := ""
	if t.Commit != "" {
		at = " at " + t.Commit[:min(12, len(t.Commit))]
	}
	switch t.Outcome {
	case store.TrialPassed:
		return fmt.Sprintf("%s%s builds on it", t.Image, at)
	case store.TrialFailed:
		return fmt.Sprintf("%s%s does not build on it: %s", t.Image, at, t.Reason)
	case store.TrialBroken:
		return fmt.Sprintf("%s%s builds neither on it nor on the base of now: %s", t.Image, at, t.Reason)
	}
	return fmt.Sprintf("%s was not tried: %s", t.Image, t.Reason)
}
