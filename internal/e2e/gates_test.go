package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/api"
	"rebuilder/internal/store"
)

const passing = `schemaVersion: 2.0.0
commandTests:
- name: apt works
  command: apt-get
  args: [--version]
  expectedOutput: ['^apt \d']
`

const failing = passing + `- name: it has what reports need
  command: python3
  args: [-c, import matplotlib]
`

// serious is a policy that cannot say pass while something is not known.
const serious = `
[[policy]]
name = "serious"
vulnerabilities = "enforce"
severity = "critical"
`

// private has a repository of the forge be read only by those who have a token.
func (s *setup) private(repository string) {
	f := func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/"+repository+".git/") {
			return false
		}
		if _, token, ok := r.BasicAuth(); ok && token == s.Token {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="GitHub"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	s.writes.forge.Store(&f)
}

// A candidate passes its tests, its trials and its verdict before its channel moves, all on real parts. What holds it back
// says so in words, and lets it through when it is repaired.
func TestGates(t *testing.T) {
	s := newSetup(t)
	s.beside("tests/debian.yaml", passing, 0o644)
	s.beside("tests/python.yaml", failing, 0o644)
	// One scanner dies, the other does not answer.
	killed := s.beside("scanner/killed", "#!/bin/sh\nkill -9 $$\n", 0o755)
	hanging := s.beside("scanner/hanging", "#!/bin/sh\nsleep 1000 & wait\n", 0o755)
	s.beside("scanner/db/db/trivy.db", "", 0o644)
	s.beside("scanner/db/6/vulnerability.db", "", 0o644)
	s.changeCatalog(serious+"\n[[scanner]]\nname = \"trivy\"\ncommand = \""+killed+"\"\ndatabase = \"scanner/db\"\n"+
		"\n[[scanner]]\nname = \"grype\"\ncommand = \""+hanging+"\"\ndatabase = \"scanner/db\"\ntimeout = \"1s\"\n",
		`retry_after = "1m"`, `retry_after = "2s"`,
		`context = "bases/debian"`, `context = "bases/debian"`+"\ntests = [\"tests/debian.yaml\"]\ntrial = [\"batch\"]",
		`context = "bases/python"`, `context = "bases/python"`+"\ntests = [\"tests/python.yaml\"]\ntrial = 1")
	s.start()
	ctx := s.within(4 * time.Minute)
	s.settled(ctx)

	// An application that builds only on what is there now, and one that does not build at all. Neither is given the token.
	sane := "RUN chmod 0755 /usr/local/bin/nightly"
	breaks := "RUN ! dpkg-query -W -f '${Package}_${Version}_${Architecture}.deb\\n' | grep -xF " + s.patched()
	s.commit(ctx, "demo/batch", "Dockerfile", sane, breaks+"\nRUN --mount=type=secret,id=GIT_AUTH_TOKEN test ! -s /run/secrets/GIT_AUTH_TOKEN\n"+sane)
	s.commit(ctx, "demo/orders", "Dockerfile", "USER nobody", "RUN exit 3\nUSER nobody")
	s.private("demo/batch")
	was := s.digest(ctx, "base/debian:stable")
	p, err := s.Publish(ctx)
	if err != nil {
		t.Fatal(err)
	}

	n := s.await(ctx, "base/debian", "blocked", p.At)
	if !strings.Contains(n.Sentence, "batch does not build on it: RUN ! dpkg-query") || !strings.Contains(n.Sentence, "exited with 1") {
		t.Errorf("what the trial said is not told: %s", n.Sentence)
	}
	if now := s.digest(ctx, "base/debian:stable"); now != was {
		t.Errorf("the channel moved to %s all the same", now)
	}
	s.triedAndFailed(s.trials(ctx, "batch", "base/debian"), breaks, n)
	if log := s.logOf(strings.Replace(n.Build, "b-", "t-", 1)); !strings.Contains(log, "apt works") {
		t.Errorf("the log of the tests:\n%s", log)
	}

	s.commit(ctx, "demo/batch", "Dockerfile", breaks, "RUN true")
	debian := s.await(ctx, "base/debian", "done", p.At)
	if tried := s.trials(ctx, "batch", "base/debian"); tried[0].State != "done" || tried[0].Digest != "" || tried[0].Parents["base/debian"] != debian.After {
		t.Errorf("the trial that let it through: %+v", tried[0])
	}
	if got := s.attached(ctx, "base/debian", debian.After); !slices.Equal(got, documents) {
		t.Errorf("attached to base/debian: %q", got)
	}

	n = s.await(ctx, "base/python", "failed", p.At)
	if !strings.Contains(n.Sentence, "1 of 2 tests failed: python.yaml: it has what reports need: ") {
		t.Errorf("what the tests said is not told: %s", n.Sentence)
	}
	if log := s.logOf(strings.Replace(n.Build, "b-", "t-", 1)); !strings.Contains(log, "No module named 'matplotlib'") {
		t.Errorf("the log of the tests:\n%s", log)
	}
	s.beside("tests/python.yaml", passing, 0o644)
	python := s.await(ctx, "base/python", "done", p.At)
	if tried := s.trials(ctx, "orders", "base/python"); len(tried) != 2 || tried[0].State != "failed" || tried[1].State != "failed" {
		t.Errorf("what is broken anyway was tried: %+v", tried)
	}

	// Somebody removes the channel: the same digest is promoted again, and has what it has.
	removed := time.Now()
	s.removeTag(ctx, "base/debian", "stable")
	again := s.await(ctx, "base/debian", "done", removed)
	if again.After != debian.After {
		t.Errorf("%s is promoted, %s was", again.After, debian.After)
	}
	if got := s.attached(ctx, "base/debian", debian.After); !slices.Equal(got, documents) {
		t.Errorf("attached to base/debian after its second promotion: %q", got)
	}

	s.daemon.stop()
	st := s.memory()
	s.evidence(st, debian, store.TrialPassed)
	s.evidence(st, python, store.TrialBroken)
	if at, err := holds(s.StateDirectory, s.Token); at != "" || err != nil {
		t.Errorf("the forge's token is in %s (%v)", at, err)
	}
}

// triedAndFailed checks the records of a trial that failed, newest first: on the candidate, and that it went well before.
func (s *setup) triedAndFailed(tried []api.Build, line string, n api.Node) {
	s.t.Helper()
	if len(tried) != 3 {
		s.t.Fatalf("%d trials, want two on the candidate and between them one on the base of before: %+v", len(tried), tried)
	}
	on, before := tried[0], tried[1]
	if before.State != "done" || before.Parents["base/debian"] != n.Before {
		s.t.Errorf("the build on the base of before: %+v", before)
	}
	if on.State != "failed" || on.Parents["base/debian"] != n.After || !strings.HasPrefix(on.Source, "demo/batch@") {
		s.t.Errorf("the build on the candidate: %+v", on)
	}
	if !slices.ContainsFunc(on.Lines, func(l string) bool { return strings.HasPrefix(l, "Dockerfile:") && strings.HasSuffix(l, line) }) {
		s.t.Errorf("lines of the Dockerfile: %q", on.Lines)
	}
	if log := s.logOf(on.ID); !strings.Contains(log, s.patched()) {
		s.t.Errorf("the log of the trial:\n%s", log)
	}
}

// evidence checks what is kept with a promotion.
func (s *setup) evidence(st *store.Store, n api.Node, trial store.TrialOutcome) {
	s.t.Helper()
	kept, err := store.GetNode(s.t.Context(), st.Q(), n.Rollout, n.Image)
	if err != nil {
		s.t.Fatal(err)
	}
	d := kept.Detail
	if d.Tests == nil || d.Tests.Passed != 1 || d.Tests.Total != 1 {
		s.t.Errorf("tests of %s: %+v", n.Image, d.Tests)
	}
	if len(d.Trials) != 1 || d.Trials[0].Outcome != trial || d.Trials[0].Commit == "" {
		s.t.Errorf("trials of %s: %+v", n.Image, d.Trials)
	}
	if d.Verdict == nil || d.Verdict.Outcome != "unknown" {
		s.t.Fatalf("verdict on %s: %+v", n.Image, d.Verdict)
	}
	for _, want := range []string{"not looked at by trivy: trivy: it was ended by a signal (killed)", "not looked at by grype: grype: it took more than 1s"} {
		if !slices.ContainsFunc(d.Verdict.Unknown, func(u string) bool { return strings.Contains(u, want) }) {
			s.t.Errorf("the verdict on %s does not say %q: %q", n.Image, want, d.Verdict.Unknown)
		}
	}
}
