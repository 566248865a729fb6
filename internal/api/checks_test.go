package api

import (
	"strings"
	"testing"

	"rebuilder/internal/store"
)

func TestChecks(t *testing.T) {
	ev := store.Evidence{
		Verdict: &store.Verdict{Outcome: "pass", Findings: 13, Compared: &store.Compared{Fixed: 2, Remaining: 11}, Unknown: []string{"no source has advisories for npm", "x"}},
		Tests:   &store.Tests{Passed: 8, Total: 9},
		Trials: []store.Trial{
			{Image: "web", Commit: strings.Repeat("c", 40), Outcome: store.TrialPassed},
			{Image: "site", Outcome: store.TrialBroken, Reason: "RUN make exited with 2"},
			{Image: "crm", Outcome: store.TrialNotTried, Reason: "no access to its Dockerfile"},
			{Image: "shop", Commit: "abc", Outcome: store.TrialFailed, Reason: "RUN make exited with 1"},
		},
	}
	want := `verdict pass, 13 findings; of vulnerabilities 2 fixed, 0 new, 11 remain; not known: no source has advisories for npm and 1 more
8 of 9 tests passed
web at cccccccccccc builds on it
site builds neither on it nor on the base of now: RUN make exited with 2
crm was not tried: no access to its Dockerfile
shop at abc does not build on it: RUN make exited with 1`
	if got := strings.Join(checks(ev), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := checks(store.Evidence{}); len(got) != 0 {
		t.Errorf("of nothing: %q", got)
	}
}
