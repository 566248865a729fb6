package rollout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"rebuilder/internal/build"
	"rebuilder/internal/catalog"
	"rebuilder/internal/imagetest"
	"rebuilder/internal/store"
)

// Judge says what the policy makes of a digest.
type Judge interface {
	// Candidate judges a digest of a base that is to take the place of before, which is empty when there is none.
	Candidate(ctx context.Context, b catalog.Base, digest, before string) (*store.Verdict, error)
}

// Documents are put beside a digest in its registry.
type Documents interface {
	// Attach attaches what there is to say of a digest: what is inside, how it was made. It is safe to repeat.
	Attach(ctx context.Context, b catalog.Base, digest string, provenance []byte) error
}

// Gates are what a candidate passes before it is promoted. What is nil is not asked.
type Gates struct {
	Judge     Judge
	Tester    imagetest.Tester
	Documents Documents
	Rebaser   Rebaser // nil: nothing can be rebased
	Signer    Signer
	Verifier  Verifier
	// Token returns the forge's token for the repository of a trial; nil: they need none.
	Token func(ctx context.Context, repository string) (string, error)
	// Secret returns the value of a build's secret.
	Secret func(s catalog.BuildSecret) ([]byte, error)
}

// judge is the first gate. What fails and is in the image that is replaced as well forbids nothing: it would keep the
// worse one in place.
func (r *Runner) judge(ctx context.Context, t Turn, in inputs, digest string) (*store.Verdict, error) {
	if r.cfg.Gates.Judge == nil {
		return nil, nil
	}
	b, f := r.base(t.Image)
	if f != nil {
		return nil, f
	}
	b.Platform = in.Platform
	v, err := r.cfg.Gates.Judge.Candidate(ctx, b, digest, in.Before)
	if err != nil {
		return nil, err
	}
	if len(v.Blocking) > 0 {
		return v, &failure{State: store.Blocked, Reason: blocked(v), Who: "who keeps its recipe, or who approves exceptions"}
	}
	return v, nil
}

func blocked(v *store.Verdict) string {
	const told = 3
	s := "the policy does not allow " + strings.Join(v.Blocking[:min(told, len(v.Blocking))], ", ")
	if n := max(v.BlockingCount, len(v.Blocking)) - told; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	if v.Compared != nil {
		s += ", which the image that it replaces does not have"
	}
	return s
}

// test is the second gate: what the catalog says is tried inside the image.
func (r *Runner) test(ctx context.Context, t Turn, in inputs, digest string) (*store.Tests, error) {
	b, f := r.base(t.Image)
	if f != nil {
		return nil, f
	}
	if len(b.Tests) == 0 {
		return nil, nil
	}
	if r.cfg.Gates.Tester == nil {
		return nil, fail("the builder cannot run tests inside images")
	}
	suites, err := suitesOf(b)
	if err != nil {
		return nil, &failure{State: store.Failed, Reason: err.Error(), Who: "who keeps its tests"}
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout(b))
	defer cancel()
	stop := r.watchCancel(ctx, t, cancel)
	defer stop()
	limits := r.limits(b)
	log, err := r.openLog(testID(t))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	rep, err := r.cfg.Gates.Tester.Test(ctx, imagetest.Request{
		ID: fmt.Sprintf("%s-%d", testID(t), r.cfg.Now().UnixMilli()), Image: b.Name, Reference: b.Image + "@" + digest, Platform: in.Platform,
		Suites: suites, Memory: limits.Memory, CPUs: limits.CPUs, Affinity: affinity(in.Inputs), Log: log,
	})
	if err != nil {
		return nil, r.untested(err, b)
	}
	got := &store.Tests{Total: len(rep.Results), Took: rep.Ended.Sub(rep.Started).Milliseconds(), Log: testID(t)}
	for _, res := range rep.Failed() {
		got.Failed = append(got.Failed, fmt.Sprintf("%s: %s: %s", res.Suite, res.Name, strings.Join(res.Problems, "; ")))
	}
	got.Passed = got.Total - len(got.Failed)
	if !rep.Passed() {
		return got, &failure{State: store.Failed, Reason: testsFailed(got), Who: "who keeps its recipe"}
	}
	return got, nil
}

func testsFailed(t *store.Tests) string {
	if t.Total == 0 {
		return "its test files hold no test"
	}
	s := fmt.Sprintf("%d of %d tests failed: %s", len(t.Failed), t.Total, t.Failed[0])
	if n := len(t.Failed) - 1; n > 0 {
		s += fmt.Sprintf("; and %d more", n)
	}
	return s
}

// untested says what an error of the tester means.
func (r *Runner) untested(err error, b catalog.Base) error {
	if errors.Is(err, context.Canceled) {
		return fail("its tests were cancelled")
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fail(fmt.Sprintf("its tests took longer than %s ([builder] timeout)", r.timeout(b)))
	}
	if be := new(build.Error); errors.As(err, &be) && !be.Lost {
		return fail("its tests could not be run: " + be.Reason)
	}
	return err
}

func suitesOf(b catalog.Base) ([]imagetest.Suite, error) {
	var out []imagetest.Suite
	for _, file := range b.Tests {
		data, err := readBounded(file, 1<<20)
		if err != nil {
			return nil, fmt.Errorf("test file: %w", err)
		}
		s, err := imagetest.Parse(filepath.Base(file), data)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func readBounded(file string, most int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", file, most)
	}
	return data, err
}

// testID names the tests of a turn, for `rebuilder logs`.
func testID(t Turn) string { return jobID("t", t, t.Image) }

// attach puts the documents beside the digest, and signs it, before the channel moves to it.
func (r *Runner) attach(ctx context.Context, t Turn, in inputs, made made, ev store.Evidence) (bool, error) {
	b, f := r.base(t.Image)
	if f != nil {
		return false, f
	}
	b.Platform = in.Platform
	if r.cfg.Gates.Documents != nil {
		if err := r.document(ctx, b, made); err != nil {
			return false, err
		}
	}
	return true, r.sign(ctx, b, made.Digest, ev)
}

func (r *Runner) document(ctx context.Context, b catalog.Base, made made) error {
	var provenance []byte
	if made.Build != "" {
		var err error
		if provenance, err = store.GetProvenance(ctx, r.store.Q(), made.Build); err != nil {
			return err
		}
	}
	return r.cfg.Gates.Documents.Attach(ctx, b, made.Digest, provenance)
}

// gates takes a candidate from what is inside it to the point where only its channel is left to move.
func (r *Runner) gates(ctx dbos.Context, t Turn, in inputs, made made) (ev store.Evidence, f *failure, err error) {
	gate := store.GatePolicy
	ev.Signatures = in.Verified
	defer func() {
		if f != nil {
			f.Gate, f.Digest = gate, made.Digest
		}
	}()
	note := func(to store.NodeState, reason, rule string) error {
		return r.move(ctx, t, store.Move{To: to, Reason: reason, Rule: rule, Detail: func(d *store.NodeDetail) { d.Evidence = ev }})
	}
	if ev.Verdict, f, err = step(r, ctx, "judge", func(ctx context.Context) (*store.Verdict, error) { return r.judge(ctx, t, in, made.Digest) }); err != nil {
		return ev, nil, err
	}
	if f != nil {
		return ev, f, note(store.Scanning, f.Reason, "judge")
	}
	gate = store.GateTests
	if err := note(store.Testing, "runs its tests", "test"); err != nil {
		return ev, nil, err
	}
	if ev.Tests, f, err = step(r, ctx, "test", func(ctx context.Context) (*store.Tests, error) { return r.test(ctx, t, in, made.Digest) }); err != nil {
		return ev, nil, err
	}
	if f != nil {
		return ev, f, note(store.Testing, f.Reason, "test")
	}
	gate = store.GateTrials
	if ev.Trials, f, err = r.trials(ctx, t, made.Digest, ev); err != nil {
		return ev, nil, err
	}
	if f != nil || len(ev.Trials) > 0 {
		reason := "its trials passed"
		if f != nil {
			reason = f.Reason
		}
		if err := note(store.Testing, reason, "trial"); err != nil || f != nil {
			return ev, f, err
		}
	}
	if r.cfg.Gates.Documents == nil && r.cfg.Gates.Signer == nil {
		return ev, nil, nil
	}
	gate = store.GateDocuments
	_, f, err = step(r, ctx, "attach", func(ctx context.Context) (bool, error) { return r.attach(ctx, t, in, made, ev) })
	if f != nil && f.Who == "" {
		f.Who = "who keeps the registry, or the signing key"
	}
	return ev, f, err
}
