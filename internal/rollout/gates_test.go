package rollout_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"rebuilder/internal/build"
	"rebuilder/internal/catalog"
	"rebuilder/internal/imagetest"
	"rebuilder/internal/rollout"
	"rebuilder/internal/store"
)

// judge gives each digest the verdict that it is told to.
type judge struct {
	mu       sync.Mutex
	blocking []string
	asked    []string           // "base/debian after sha256:..."
	during   func(image string) // is called while an image is judged; may be nil
}

func (j *judge) Candidate(_ context.Context, b catalog.Base, digest, before string) (*store.Verdict, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked = append(j.asked, b.Name+" after "+before)
	if j.during != nil {
		j.during(b.Name)
	}
	v := &store.Verdict{Outcome: "pass"}
	if before != "" {
		v.Compared = &store.Compared{Fixed: 1, Before: before}
	}
	if len(j.blocking) > 0 {
		v.Outcome, v.Blocking = "fail", j.blocking
	}
	return v, nil
}

func (j *judge) set(blocking ...string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.blocking = blocking
}

// tester lets the tests of an image pass or fail.
type tester struct {
	mu     sync.Mutex
	fails  map[string]string // image -> problem
	tested []string
}

func (f *tester) Test(_ context.Context, r imagetest.Request) (*imagetest.Report, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tested = append(f.tested, r.Reference)
	res := imagetest.Result{Suite: r.Suites[0].Name, Name: "it runs", Passed: true}
	if p := f.fails[r.Image]; p != "" {
		res.Passed, res.Problems = false, []string{p}
	}
	return &imagetest.Report{Results: []imagetest.Result{res}}, nil
}

// gated is a lab whose bases are judged, tested and tried before they are promoted.
func gated(t *testing.T) (*lab, *judge, *tester) {
	j, f := &judge{}, &tester{fails: map[string]string{}}
	l := unstarted(t)
	l.gates = rollout.Gates{Judge: j, Tester: f}
	l.write("tests/base.yaml", "schemaVersion: 2.0.0\ncommandTests:\n- name: it runs\n  command: /bin/true\n")
	c := strings.Replace(l.read("catalog.toml"), `context = "debian"`, `context = "debian"`+"\n"+`tests = ["tests/base.yaml"]`, 1)
	l.write("catalog.toml", strings.Replace(c, `context = "python"`, `context = "python"`+"\ntrial = 1", 1))
	l.start()
	t.Cleanup(func() { l.stop() })
	return inUse(l), j, f
}

func TestCandidatesPassTheirGates(t *testing.T) {
	t.Parallel()
	l, j, f := gated(t)
	l.publish("1.1")
	l.settle()
	l.right()
	_, nodes := l.last()
	debian, python := nodes["base/debian"].Detail, nodes["base/python"].Detail
	if debian.Verdict == nil || debian.Verdict.Outcome != "pass" || debian.Verdict.Compared.Before != nodes["base/debian"].Before {
		t.Errorf("verdict of base/debian: %+v", debian.Verdict)
	}
	if debian.Tests == nil || debian.Tests.Passed != 1 || debian.Tests.Total != 1 || python.Tests != nil {
		t.Errorf("tests: %+v, %+v", debian.Tests, python.Tests)
	}
	if want := l.host + "/base/debian@" + nodes["base/debian"].After; f.tested[len(f.tested)-1] != want {
		t.Errorf("tested %s, want %s", f.tested[len(f.tested)-1], want)
	}
	if len(python.Trials) != 1 || python.Trials[0].Outcome != store.TrialPassed || python.Trials[0].Image != "batch" || python.Trials[0].Commit == "" {
		t.Fatalf("trials of base/python: %+v", python.Trials)
	}
	tried := l.builder.last("batch")
	if !tried.Discard || len(tried.Pins) != 1 || tried.Pins[0].Digest.String() != nodes["base/python"].After || !strings.HasSuffix(tried.Git, "#"+python.Trials[0].Commit) {
		t.Errorf("the trial's build: %+v", tried)
	}
	b, err := store.GetBuild(t.Context(), l.store.Q(), python.Trials[0].Build)
	if err != nil || b.State != "done" || b.Image != "batch" || b.Detail.Trial != "base/python" || b.Digest != "" {
		t.Errorf("the trial's record: %+v, %v", b, err)
	}
	if len(j.asked) == 0 {
		t.Error("nobody was judged")
	}
}

func TestGatesHold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		arm    func(*lab, *judge, *tester)
		image  string
		state  store.NodeState
		reason string
	}{
		"a verdict": {
			arm:   func(_ *lab, j *judge, _ *tester) { j.blocking = []string{"CVE-2026-1 in libfoo"} },
			image: "base/debian", state: store.Blocked,
			reason: "the policy does not allow CVE-2026-1 in libfoo, which the image that it replaces does not have",
		},
		"a test": {
			arm:   func(_ *lab, _ *judge, f *tester) { f.fails["base/debian"] = "exit code 1, expected 0" },
			image: "base/debian", state: store.Failed,
			reason: "1 of 1 tests failed: base.yaml: it runs: exit code 1, expected 0",
		},
		"a trial": {
			arm: func(l *lab, _ *judge, _ *tester) {
				l.builder.set(func(b *scripted) {
					b.trial = func(r build.Request) bool { return which(r) != "before" }
				})
			},
			image: "base/python", state: store.Blocked,
			reason: "batch does not build on it: RUN make exited with 2",
		},
		"a trial that does not end": {
			arm: func(l *lab, _ *judge, _ *tester) {
				l.builder.set(func(b *scripted) {
					b.slow, b.trial = true, func(r build.Request) bool { return which(r) != "before" }
				})
			},
			image: "base/python", state: store.Blocked,
			reason: "batch does not build on it: it took longer than 1h0m0s ([builder] timeout)",
		},
		"a trial whose repository cannot be read": {
			arm: func(l *lab, _ *judge, _ *tester) {
				l.builder.set(func(b *scripted) { b.unfetched = "fetch http://127.0.0.1:9/acme/batch.git: no" })
			},
			image: "base/python", state: store.Failed,
			reason: "none of its trials could be made: batch: fetch http://127.0.0.1:9/acme/batch.git: no",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, j, f := gated(t)
			c.arm(l, j, f)
			l.publish("1.1")
			before := l.channel(c.image)
			l.until(func() bool { n := l.newest(c.image); return n.State.Ended() && n.State != store.Done })
			n := l.newest(c.image)
			if n.State != c.state || n.Reason != c.reason || n.Who == "" {
				t.Errorf("%s: %s (who: %s)", n.State, n.Reason, n.Who)
			}
			if l.channel(c.image) != before {
				t.Errorf("the channel of %s moved", c.image)
			}
		})
	}
}

// What does not build on the base of now either is no reason to hold a fix back.
func TestTrialsOfWhatIsBrokenAnyway(t *testing.T) {
	t.Parallel()
	l, _, _ := gated(t)
	l.builder.set(func(b *scripted) { b.trial = func(build.Request) bool { return true } })
	l.publish("1.1")
	l.settle()
	l.right()
	_, nodes := l.last()
	trials := nodes["base/python"].Detail.Trials
	if len(trials) != 1 || trials[0].Outcome != store.TrialBroken || trials[0].Reason != "RUN make exited with 2" {
		t.Errorf("%+v", trials)
	}
	if got := l.builder.count("batch"); got != 2 {
		t.Errorf("%d builds of the dependent, want one on the candidate and one on the base of now", got)
	}
}

// A dependent that cannot be tried holds nothing back while another can.
func TestTrialsOfAnotherDependent(t *testing.T) {
	t.Parallel()
	l, j, _ := gated(t)
	j.during = func(image string) {
		if image != "base/python" {
			return
		}
		l.forge.mu.Lock()
		defer l.forge.mu.Unlock()
		r := l.forge.repos["acme/batch"]
		r.commits = append(r.commits, "FROM scratch\n")
	}
	l.publish("1.1")
	l.until(func() bool {
		return l.newest("base/python").State.Ended() && len(l.newest("base/python").Detail.Trials) > 0
	})
	n := l.newest("base/python")
	if trials := n.Detail.Trials; n.State != store.Done || len(trials) != 1 || trials[0].Image != "web" || trials[0].Outcome != store.TrialPassed {
		t.Errorf("%s: %s; trials %+v", n.State, n.Reason, trials)
	}
}

// which trial a build is: "first", on the base of "before", "again".
func which(r build.Request) string {
	id := r.ID[:strings.LastIndex(r.ID, "-")] // without its time
	for _, w := range []string{"before", "again"} {
		if strings.HasSuffix(id, "-"+w) {
			return w
		}
	}
	return "first"
}

// What a step fetches comes and goes: one failure is no proof.
func TestTrialsThatFailOnce(t *testing.T) {
	t.Parallel()
	l, _, _ := gated(t)
	l.builder.set(func(b *scripted) { b.trial = func(r build.Request) bool { return which(r) == "first" } })
	l.publish("1.1")
	l.settle()
	l.right()
	_, nodes := l.last()
	trials := nodes["base/python"].Detail.Trials
	if len(trials) != 1 || trials[0].Outcome != store.TrialPassed || trials[0].Reason != "" || !strings.HasSuffix(trials[0].Build, "-again") {
		t.Errorf("%+v", trials)
	}
}

// A process that is killed while a candidate passes its gates goes on where it was.
func TestGatesSurviveAKill(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"before trial", "after trial"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			l, _, _ := gated(t)
			l.cut.armAt(at)
			l.publish("1.1")
			l.settle()
			l.right()
			if got := l.cut.where(); got != at {
				t.Fatalf("cut at %q", got)
			}
			if got := l.builder.count("base/python"); got != 2 {
				t.Errorf("base/python was built %d times, want the first time and this one", got)
			}
		})
	}
}

func (l *lab) channel(image string) string {
	l.t.Helper()
	d, err := l.pull(image + ":stable").Digest()
	if err != nil {
		l.t.Fatal(err)
	}
	return fmt.Sprint(d)
}

// Who approves an exception waits for no back-off, and nothing is built again for its sake.
func TestBlockedCandidatesAreAskedAgain(t *testing.T) {
	t.Parallel()
	l, j, _ := gated(t)
	j.set("CVE-2026-1 in libfoo")
	l.publish("1.1")
	l.until(func() bool { return l.newest("base/debian").State == store.Blocked })
	builds := l.builder.count("base/debian")
	for range 5 { // its back-off is long
		if err := l.loop.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := l.newest("base/debian"); n.State != store.Blocked {
		t.Fatalf("%s: %s", n.State, n.Reason)
	}
	j.set()
	if n, err := store.AskAgain(t.Context(), l.store.Q(), store.GatePolicy, time.Now().UnixMilli()); err != nil || n != 1 {
		t.Fatalf("%d due, %v", n, err)
	}
	l.until(func() bool { return l.newest("base/debian").State == store.Done })
	if got := l.builder.count("base/debian"); got != builds {
		t.Errorf("it was built %d times more", got-builds)
	}
	if n, err := store.AskAgain(t.Context(), l.store.Q(), store.GatePolicy, time.Now().UnixMilli()); err != nil || n != 0 {
		t.Errorf("%d due after it passed, %v", n, err)
	}
}
