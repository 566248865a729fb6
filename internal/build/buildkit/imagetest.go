package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/platforms"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/util/bklog"
	"github.com/moby/buildkit/util/grpcerrors"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc/codes"

	"rebuilder/internal/build"
	"rebuilder/internal/imagetest"
)

const (
	defaultTestTimeout = time.Minute
	maxTestLog         = 1 << 20 // bytes of one test in the log
	maxTestOutput      = 4 << 10 // bytes in its result
)

// Test implements imagetest.Tester by containers that the engine runs for this call: nothing is exported, and nothing
// that a test does stays. Files and configuration are read without running anything.
//
// BuildKit bounds neither the memory nor the CPUs of such containers: Memory and CPUs of the request have no effect, and
// what holds the engine holds its tests. Bounded are the time, what a command may print (4 MiB to each of its outputs)
// and how much of a file is read (4 MiB). A network, when asked for, is the engine's: of a managed one, the machine's own.
//
// Setup, services and ports take two small programs into the container, below /.rebuilder. They need linux/amd64 or
// linux/arm64, and all commands need an engine that runs the image's platform: where that is not so, these tests fail and
// say so.
func (e *Engine) Test(ctx context.Context, r imagetest.Request) (*imagetest.Report, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.ID == "" {
		r.ID = identity.NewID()
	}
	testCtx, cancel := context.WithCancelCause(bklog.WithLogger(ctx, silent()))
	defer cancel(nil)
	id, ok := e.enter(cancel)
	if !ok {
		return nil, &build.Error{Image: r.Image, Reason: errClosed.Error(), Lost: true, Cause: errClosed}
	}
	defer e.leave(id)

	a := &attempt{engine: e, request: build.Request{ID: r.ID, Image: r.Image}, progress: newProgress(nil, cancel, nil)}
	report, err := a.test(testCtx, r)
	if err != nil {
		return nil, a.failure(ctx, err)
	}
	return report, nil
}

func (a *attempt) test(ctx context.Context, r imagetest.Request) (*imagetest.Report, error) {
	lives, err := a.engine.ready(ctx)
	if err != nil {
		return nil, &build.Error{Reason: err.Error(), Lost: true, Cause: err}
	}
	a.lives = lives
	report := &imagetest.Report{Started: time.Now()}
	var failed error
	_, err = a.engine.client.Build(ctx, client.SolveOpt{
		Ref:           r.ID,
		Internal:      true, // no entry in the history
		FrontendAttrs: map[string]string{},
		Session:       a.engine.auth(),
	}, "rebuilder", func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		go a.watch(ctx, cancel)
		t := &tester{attempt: a, request: r, gw: gw, session: ctx}
		if failed = t.open(ctx); failed == nil {
			failed = t.all(ctx)
		}
		report.Results = t.results
		return gateway.NewResult(), failed
	}, nil)
	if err != nil && failed != nil && a.lost(err) == "" {
		err = failed // as it was before it went through the engine
	}
	report.Ended = time.Now()
	return report, err
}

// watch cancels a call that the engine no longer knows of. BuildKit's client does not tell who waits for a process that
// the engine is gone, even if it has long come back.
func (a *attempt) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	updates, err := a.engine.client.ControlClient().Status(ctx, &controlapi.StatusRequest{Ref: a.request.ID})
	for err == nil {
		_, err = updates.Recv()
	}
	cancel(fmt.Errorf("the tests were cut off: %w", err))
}

// tester is one call of Test, while it is connected to the engine.
type tester struct {
	attempt  *attempt
	request  imagetest.Request
	gw       gateway.Client
	platform ocispecs.Platform
	image    gateway.Reference
	config   ocispecs.ImageConfig
	results  []imagetest.Result
	session  context.Context // of the call: containers outlive the contexts of their tests, until they are ended
}

// open has the engine pull the image.
func (t *tester) open(ctx context.Context) error {
	var err error
	if t.platform, err = platforms.Parse(t.request.Platform); err != nil {
		return fmt.Errorf("test %s: platform %q: %w", t.request.Reference, t.request.Platform, err)
	}
	name, _, config, err := t.gw.ResolveImageConfig(ctx, t.request.Reference, sourceresolver.Opt{
		ImageOpt: &sourceresolver.ResolveImageOpt{Platform: &t.platform},
	})
	if err != nil {
		return fmt.Errorf("test %s: %w", t.request.Reference, err)
	}
	if err := t.readConfig(config); err != nil {
		return err
	}
	if t.image, err = solveState(ctx, t.gw, llb.Image(name), t.platform); err != nil {
		return fmt.Errorf("test %s: %w", t.request.Reference, err)
	}
	if !slices.ContainsFunc(t.request.Suites, readsFiles) {
		return nil
	}
	// The engine fetches layers when they are first needed: here, not in the time of the first test.
	if _, err := t.image.StatFile(ctx, gateway.StatRequest{Path: "/"}); err != nil {
		return fmt.Errorf("test %s: %w", t.request.Reference, err)
	}
	return nil
}

func readsFiles(s imagetest.Suite) bool {
	return len(s.Commands)+len(s.Contents)+len(s.Files)+len(s.Licenses)+len(s.Ports) > 0
}

// readConfig also compares the platform: BuildKit takes an image of another one without a word.
func (t *tester) readConfig(config []byte) error {
	var image ocispecs.Image
	if err := json.Unmarshal(config, &image); err != nil {
		return fmt.Errorf("test %s: read its configuration: %w", t.request.Reference, err)
	}
	t.config = image.Config
	if have := platforms.Normalize(image.Platform); !platforms.Only(t.platform).Match(have) {
		return fmt.Errorf("test %s: it is an image for %s, not for %s", t.request.Reference, platforms.Format(have), t.request.Platform)
	}
	return nil
}

func solveState(ctx context.Context, gw gateway.Client, st llb.State, p ocispecs.Platform) (gateway.Reference, error) {
	def, err := st.Marshal(ctx, llb.Platform(p))
	if err != nil {
		return nil, err
	}
	res, err := gw.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
	if err != nil {
		return nil, err
	}
	return res.SingleRef()
}

func (t *tester) all(ctx context.Context) error {
	for _, s := range t.request.Suites {
		run := &suiteRun{tester: t, suite: s, env: imagetest.Environment(t.config.Env, s.Env, true)}
		if err := run.all(ctx); err != nil {
			return err
		}
	}
	return nil
}

// suiteRun is one suite while it runs.
type suiteRun struct {
	*tester
	suite  imagetest.Suite
	env    []string // the image's, with the suite's set
	probes gateway.Reference
}

// all runs the tests in container-structure-test's order, then the ports.
func (s *suiteRun) all(ctx context.Context) error {
	var tests []test
	for _, c := range s.suite.Commands {
		tests = append(tests, test{imagetest.KindCommand, c.Name, c.Timeout, func(ctx context.Context, o *findings) error { return s.command(ctx, o, c) }})
	}
	for _, f := range s.suite.Contents {
		tests = append(tests, test{imagetest.KindContent, f.Name, 0, func(ctx context.Context, o *findings) error { return s.content(ctx, o, f) }})
	}
	for _, f := range s.suite.Files {
		tests = append(tests, test{imagetest.KindFile, f.Name, 0, func(ctx context.Context, o *findings) error { return s.existence(ctx, o, f) }})
	}
	for _, l := range s.suite.Licenses {
		tests = append(tests, test{imagetest.KindLicense, "licenses", 0, func(ctx context.Context, o *findings) error { return s.license(ctx, o, l) }})
	}
	if m := s.suite.Metadata; m != nil {
		tests = append(tests, test{imagetest.KindMetadata, "metadata", 0, func(_ context.Context, o *findings) error {
			o.wrong(m.Problems(s.config)...)
			return nil
		}})
	}
	for i, p := range s.suite.Ports {
		tests = append(tests, test{imagetest.KindPort, p.Name, p.Timeout, func(ctx context.Context, o *findings) error { return s.port(ctx, o, i, p) }})
	}
	for _, one := range tests {
		if err := s.one(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

// test is one test of a suite. Its run notes in the findings what is wrong with the image; its error is why that could
// not be told.
type test struct {
	kind, name string
	timeout    time.Duration
	run        func(context.Context, *findings) error
}

// one runs a test. Its error says that the engine is lost, or that the call has ended.
func (s *suiteRun) one(ctx context.Context, t test) error {
	o := &findings{log: &limitedLog{to: s.request.Log, left: maxTestLog}}
	timeout := t.timeout
	for _, d := range []time.Duration{s.suite.Timeout, s.request.Timeout, defaultTestTimeout} {
		if timeout == 0 {
			timeout = d
		}
	}
	logf(s.request.Log, "%s: %s: %s\n", s.suite.Name, t.kind, t.name)
	began := time.Now()
	limited, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it took longer than %s", timeout))
	defer cancel()
	if err := t.run(limited, o); err != nil {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case limited.Err() != nil:
			o.wrong(context.Cause(limited).Error())
		case s.engineLost(err):
			return err
		default:
			o.wrong(firstLine(err))
		}
	}
	result := imagetest.Result{Suite: s.suite.Name, Name: t.name, Kind: t.kind, Passed: len(o.problems) == 0,
		Problems: o.problems, Output: strings.ToValidUTF8(o.tail.String(), "\uFFFD"), Took: time.Since(began)}
	s.results = append(s.results, result)
	o.log.end()
	if !result.Passed {
		logf(s.request.Log, "%s: failed: %s\n", t.name, strings.Join(result.Problems, "; "))
	}
	return nil
}

// engineLost tells an engine that went away from a container that did: both may be a cancelled call.
func (s *suiteRun) engineLost(err error) bool {
	return s.attempt.engine.isClosed() || s.attempt.engine.lives() != s.attempt.lives ||
		errors.Is(err, errEngineStuck) || grpcerrors.Code(err) == codes.Unavailable
}

// findings are what came of a test so far.
type findings struct {
	problems []string
	tail     tail
	log      *limitedLog
}

func (o *findings) wrong(problems ...string) { o.problems = append(o.problems, problems...) }

func logf(w io.Writer, format string, args ...any) {
	if w != nil {
		fmt.Fprintf(w, format, args...)
	}
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
