package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/util/bklog"
	"github.com/sirupsen/logrus"

	"rebuilder/internal/build"
)

// compatibility fixes what decides digests, so that an upgrade of the engine does not change every image.
const compatibility = 30

// Build implements build.Builder. It pushes r's image by digest.
//
// A Dockerfile of which no package step can be recognised has all its RUN steps run again when the repository state
// changes. A git context names a full commit. A package manager that went on without an index fails the build.
func (e *Engine) Build(ctx context.Context, r build.Request) (*build.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, r.Timeout)
		defer stop()
	}
	if r.ID == "" {
		r.ID = identity.NewID()
	}
	solveCtx, cancel := context.WithCancelCause(bklog.WithLogger(ctx, silent()))
	defer cancel(nil)
	id, ok := e.enter(cancel)
	if !ok {
		return nil, &build.Error{Image: r.Image, Reason: errClosed.Error(), Lost: true, Cause: errClosed}
	}
	defer e.leave(id)

	secrets := newRedactor(r)
	a := &attempt{engine: e, request: r, redactor: secrets, progress: newProgress(r.Progress, cancel, secrets)}
	res, err := a.run(solveCtx)
	if err != nil || a.progress.half != nil {
		err = a.failure(ctx, err)
		a.makeRoom(ctx, err)
		return nil, secrets.error(err)
	}
	return res, nil
}

// attempt is one call of Build.
type attempt struct {
	engine   *Engine
	request  build.Request
	redactor *redactor
	progress *progress
	doubt    string
	lives    int // of a managed engine, when the attempt began
}

func (a *attempt) run(ctx context.Context) (*build.Result, error) {
	if err := check(a.request); err != nil {
		return nil, &build.Error{Reason: err.Error(), Cause: err}
	}
	lives, err := a.engine.ready(ctx)
	if err != nil {
		return nil, &build.Error{Reason: err.Error(), Lost: true, Cause: err}
	}
	a.lives = lives
	res := &build.Result{Started: time.Now()}
	response, err := a.solve(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.read(ctx, res, response[exptypes.ExporterImageDigestKey]); err != nil {
		return nil, err
	}
	if err := a.verify(ctx, res); err != nil {
		return nil, err
	}
	res.Doubt, res.Warnings = a.doubt, a.progress.warnings
	res.Steps, res.Ended = a.progress.steps(), time.Now()
	return res, nil
}

// read fills in what the engine says of the build.
func (a *attempt) read(ctx context.Context, res *build.Result, digest string) (err error) {
	if !a.request.Discard {
		if res.Digest, err = v1.NewHash(digest); err != nil {
			return fmt.Errorf("the engine returned no digest: %w", err)
		}
	}
	predicate, err := provenance(ctx, a.engine.client, a.request.ID)
	if err != nil {
		return err
	}
	res.Provenance = a.redactor.bytes(predicate)
	p, err := parseProvenance(res.Provenance)
	if err != nil {
		return err
	}
	res.Materials, res.Fetched = p.materials()
	return nil
}

// verify makes sure that what was made is what was asked for.
func (a *attempt) verify(ctx context.Context, res *build.Result) error {
	r := a.request
	if pin := unusedPin(r.Pins, res.Materials); pin != nil {
		return fmt.Errorf("the build did not use the pin of %s to %s: the Dockerfile does not need that image", pin.Reference, pin.Digest)
	}
	if err := checkPlatforms(ctx, a.engine.client, res.Materials); err != nil {
		return err
	}
	if r.Discard {
		return nil
	}
	if r.Platform != "" {
		if err := checkResult(ctx, a.engine.client, res.Digest, r.Platform, res.Materials); err != nil {
			return err
		}
	}
	if r.Reproducible {
		return checkTimes(ctx, a.engine.client, res.Digest, r.SourceDateEpoch, res.Materials)
	}
	return nil
}

func (a *attempt) solve(ctx context.Context) (map[string]string, error) {
	opt, err := a.options(ctx)
	if err != nil {
		return nil, err
	}
	updates := make(chan *client.SolveStatus)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		a.progress.follow(updates, a.request.Log)
	}()
	res, err := a.engine.client.Solve(ctx, nil, *opt, updates)
	<-followed
	if err != nil {
		return nil, err
	}
	return res.ExporterResponse, nil
}

func (a *attempt) options(ctx context.Context) (*client.SolveOpt, error) {
	r := a.request
	src, err := a.engine.open(ctx, r)
	if err != nil {
		return nil, err
	}
	secrets := maps.Clone(r.Secrets)
	if secrets == nil {
		secrets = map[string][]byte{}
	}
	a.progress.places = newPlaces(src.dockerfile)
	if a.doubt, err = setState(src, r, secrets); err != nil {
		return nil, err
	}
	pol, err := policy(r.Pins)
	if err != nil {
		return nil, err
	}
	maps.Copy(src.attrs, frontendAttrs(r))
	opt := &client.SolveOpt{
		Ref:                  r.ID,
		CompatibilityVersion: compatibility,
		// BuildKit compares the files of one key by size and time; two contexts under one key could be mixed up.
		SharedKey:     identity.NewID(),
		Frontend:      "dockerfile.v0",
		FrontendAttrs: src.attrs,
		LocalMounts:   src.mounts,
		SourcePolicy:  pol,
		ProxyNetwork:  r.RecordNetwork,
		// Of the attachables of a kind, a session has one.
		Session: append([]session.Attachable{secretsprovider.FromMap(secrets)}, a.engine.auth()...),
	}
	if !r.Discard {
		opt.Exports = []client.ExportEntry{{Type: client.ExporterImage, Attrs: a.engine.exportAttrs(r)}}
	}
	a.engine.share(opt, r)
	return opt, nil
}

// setState mounts the repository state into the package steps, and what a fresh build is known by into all, in memory. It
// adds to secrets what the steps are to be given, and returns why more steps than those that install packages were marked.
func setState(src *source, r build.Request, secrets map[string][]byte) (doubt string, err error) {
	if r.RepositoryState == "" && r.Fresh == "" {
		return "", nil
	}
	lines, doubt, err := flags(src.dockerfile, r.RepositoryState != "", r.Fresh != "")
	if err != nil {
		return "", dockerfileError(r, src.dockerfile, err)
	}
	if len(lines) == 0 {
		return "", nil
	}
	marked, err := markSteps(src.dockerfile, lines)
	if err != nil {
		return "", dockerfileError(r, src.dockerfile, err)
	}
	src.give(r, marked)

	state := memory{
		"state": []byte(r.RepositoryState),
		// Or apt uses an old index when a new one cannot be had, and exits with 0.
		aptConfig: []byte("APT::Update::Error-Mode \"any\";\n"),
	}
	src.mounts[stateContext] = state
	src.attrs["context:"+stateContext] = "local:" + stateContext
	if r.Fresh != "" {
		state["fresh"] = []byte(r.Fresh)
		src.mounts[freshContext] = memory{"fresh": []byte(r.Fresh)}
		src.attrs["context:"+freshContext] = "local:" + freshContext
	}
	secrets[aptSecret] = []byte(stateTarget + "/" + aptConfig)
	return doubt, nil
}

// dockerfileError is the parser's error, with the line it is about.
func dockerfileError(r build.Request, dockerfile []byte, err error) error {
	e := &build.Error{Reason: err.Error(), Cause: err}
	var at *parser.LocationError
	if errors.As(err, &at) {
		for _, ranges := range at.Locations {
			for _, l := range ranges {
				e.Lines = appendLines(e.Lines, dockerfileName(r), string(dockerfile), l.Start.Line, l.End.Line)
			}
		}
	}
	return e
}

func frontendAttrs(r build.Request) map[string]string {
	attrs := map[string]string{
		"filename": dockerfileName(r),
		"cmdline":  "rebuilder", // any value: `# syntax=` is not fetched, the engine's own frontend reads the file
	}
	for k, v := range r.Args {
		attrs["build-arg:"+k] = v
	}
	for k, v := range r.Labels {
		attrs["label:"+k] = v
	}
	if r.Target != "" {
		attrs["target"] = r.Target
	}
	if r.Platform != "" {
		attrs["platform"] = r.Platform
	}
	if r.Uncached {
		attrs["no-cache"] = "" // of all stages: of one it would ship stale images
	}
	if !r.SourceDateEpoch.IsZero() {
		attrs["build-arg:SOURCE_DATE_EPOCH"] = strconv.FormatInt(r.SourceDateEpoch.Unix(), 10)
	}
	if r.Network != build.NetworkEngine {
		attrs["force-network-mode"] = string(r.Network)
	}
	limit(attrs, r.Limits)
	return attrs
}

// limit bounds what each RUN step may take.
func limit(attrs map[string]string, l build.Limits) {
	const period = 100_000 // microseconds; the kernel's own
	if l.Memory > 0 {
		attrs["memory"] = strconv.FormatInt(l.Memory, 10)
	}
	if l.CPUs > 0 {
		attrs["cpuperiod"] = strconv.Itoa(period)
		attrs["cpuquota"] = strconv.FormatInt(int64(math.Ceil(l.CPUs*period)), 10)
	}
}

func (e *Engine) exportAttrs(r build.Request) map[string]string {
	attrs := map[string]string{
		"name":           r.Repository,
		"name-canonical": "true",
		"push":           "true",
		"push-by-digest": "true",
		"oci-mediatypes": "true",
	}
	if r.Reproducible {
		attrs["rewrite-timestamp"] = "true" // of what this build adds; layers of the parents stay as they are
	}
	e.plain(attrs, r.Repository)
	return attrs
}

// share has the build take what others have left at r.Cache, and leave there what it made. What was taken is known to the
// engine for this build only: it is asked for in each. A cache that cannot be read or written costs time, no build.
func (e *Engine) share(opt *client.SolveOpt, r build.Request) {
	if r.Cache == "" {
		return
	}
	from := map[string]string{"ref": r.Cache}
	e.plain(from, r.Cache)
	opt.CacheImports = []client.CacheOptionsEntry{{Type: "registry", Attrs: from}}
	if r.Discard {
		return
	}
	to := map[string]string{"mode": "max", "image-manifest": "true", "oci-mediatypes": "true", "ignore-error": "true"}
	maps.Copy(to, from)
	opt.CacheExports = []client.CacheOptionsEntry{{Type: "registry", Attrs: to}}
}

// plain adds that the registry of ref is spoken to over plain http, when it is one of those.
func (e *Engine) plain(attrs map[string]string, ref string) {
	host, _, _ := strings.Cut(ref, "/")
	if slices.Contains(e.config.Insecure, host) {
		attrs["registry.insecure"] = "true"
	}
}

// silent keeps BuildKit's client from writing to the process's standard error; its errors are returned anyway.
func silent() *logrus.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}
