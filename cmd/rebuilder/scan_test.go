package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/api"
	"rebuilder/internal/policy"
)

// A thousand findings stay readable: all that fail, some of each other kind, and how many there are.
func TestScanIsReadable(t *testing.T) {
	v := policy.Verdict{Outcome: policy.Fail, Outcomes: map[policy.Outcome]int{policy.Fails: 3, policy.Observed: 600, policy.Below: 397}}
	for _, o := range policy.Outcomes() {
		for i := range v.Outcomes[o] {
			v.Findings = append(v.Findings, policy.Judged{Outcome: o, Finding: policy.Finding{Kind: policy.Vulnerability, ID: fmt.Sprintf("CVE-%s-%d", o, i), Package: strings.Repeat("long", 100)}})
		}
	}
	var b strings.Builder
	p := &printer{w: &b, now: time.Unix(0, 0)}
	p.scan(api.Sheet{Name: "base/debian", Digest: "sha256:aa", Verdict: v}, false)
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) > 35 {
		t.Errorf("%d lines", len(lines))
	}
	for _, l := range lines {
		if n := len([]rune(l)); n > 250 {
			t.Errorf("a line of %d characters: %.80s", n, l)
		}
	}
	for _, want := range []string{"CVE-fails-2", "… 580 more: --all lists them", "1,000 findings: 3 failing · 600 observed · 397 below what counts"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("nobody says %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "CVE-below") {
		t.Error("what does not count is listed unasked")
	}
	b.Reset()
	if p.scan(api.Sheet{Verdict: v}, true); strings.Count(b.String(), "CVE-") != 1000 {
		t.Errorf("all are %d", strings.Count(b.String(), "CVE-"))
	}
}

func TestIsReference(t *testing.T) {
	for s, want := range map[string]bool{
		"base/debian": false, "debian": false, "sha256:1f0c2d": false, "shop/api": false,
		"debian:12": true, "debian@sha256:1f0c2d": true, "library/debian:12": true, "registry.example.com/debian": true, "localhost/debian": true, "127.0.0.1:5000/debian": true,
	} {
		if got := isReference(s); got != want {
			t.Errorf("%s: %v", s, got)
		}
	}
}

// Who could not look for everything says so, and what is as bad as before does not fail.
func TestVerifyAgainst(t *testing.T) {
	bad, unknown := []policy.Judged{{}}, []string{"no advisories"}
	for name, c := range map[string]struct {
		d    api.Difference
		want policy.VerdictOutcome
	}{
		"as bad as before":                {api.Difference{After: api.Side{Outcome: policy.Fail}}, policy.Pass},
		"worse":                           {api.Difference{After: api.Side{Outcome: policy.Fail}, Failing: bad}, policy.Fail},
		"worse, and not all is known":     {api.Difference{After: api.Side{Outcome: policy.Fail, Unknown: unknown}, Failing: bad}, policy.Fail},
		"as bad, and not all is known":    {api.Difference{After: api.Side{Outcome: policy.Fail, Unknown: unknown}}, policy.Undecided},
		"undecided":                       {api.Difference{After: api.Side{Outcome: policy.Undecided, Unknown: unknown}}, policy.Undecided},
		"passes, and nothing asks for it": {api.Difference{After: api.Side{Outcome: policy.Pass, Unknown: unknown}}, policy.Pass},
	} {
		if got := outcomeAgainst(c.d); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
