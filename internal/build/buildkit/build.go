package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
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

	a := &attempt{engine: e, request: r, progress: newProgress(r.Progress, cancel)}
	res, err := a.run(solveCtx)
	if err != nil || a.progress.half != nil {
		return nil, a.failure(ctx, err)
	}
	return res, nil
}

// attempt is one call of Build.
type attempt struct {
	engine   *Engine
	request  build.Request
	progress *progress
	lives    int // of a managed engine, when the attempt began
}

func (a *attempt) run(ctx context.Context) (*build.Result, error) {
	r := a.request
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
	if res.Digest, err = v1.NewHash(response[exptypes.ExporterImageDigestKey]); err != nil {
		return nil, fmt.Errorf("the engine returned no digest: %w", err)
	}
	if res.Provenance, res.Materials, err = provenance(ctx, a.engine.client, r.ID); err != nil {
		return nil, err
	}
	if pin := unusedPin(r.Pins, res.Materials); pin != nil {
		return nil, fmt.Errorf("the build did not use the pin of %s to %s: the Dockerfile does not need that image", pin.Reference, pin.Digest)
	}
	if err := checkPlatforms(ctx, a.engine.client, res.Materials); err != nil {
		return nil, err
	}
	res.Steps, res.Ended = a.progress.steps(), time.Now()
	return res, nil
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
	attached, err := setState(src, r)
	if err != nil {
		return nil, err
	}
	pol, err := policy(r.Pins)
	if err != nil {
		return nil, err
	}
	maps.Copy(src.attrs, frontendAttrs(r))
	return &client.SolveOpt{
		Ref:                  r.ID,
		CompatibilityVersion: compatibility,
		// BuildKit compares the files of one key by size and time; two contexts under one key could be mixed up.
		SharedKey:     identity.NewID(),
		Frontend:      "dockerfile.v0",
		FrontendAttrs: src.attrs,
		LocalMounts:   src.mounts,
		Exports:       []client.ExportEntry{{Type: client.ExporterImage, Attrs: a.engine.exportAttrs(r)}},
		SourcePolicy:  pol,
		Session:       append(attached, a.engine.auth()...),
	}, nil
}

// setState mounts the repository state into the package steps, and what a fresh build is known by into all, in memory.
func setState(src *source, r build.Request) ([]session.Attachable, error) {
	if r.RepositoryState == "" && r.Fresh == "" {
		return nil, nil
	}
	lines, err := flags(src.dockerfile, r.RepositoryState != "", r.Fresh != "")
	if err != nil {
		return nil, dockerfileError(r, src.dockerfile, err)
	}
	if len(lines) == 0 {
		return nil, nil
	}
	marked, err := markSteps(src.dockerfile, lines)
	if err != nil {
		return nil, dockerfileError(r, src.dockerfile, err)
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
	return []session.Attachable{secretsprovider.FromMap(map[string][]byte{aptSecret: []byte(stateTarget + "/" + aptConfig)})}, nil
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
	if !r.SourceDateEpoch.IsZero() {
		attrs["build-arg:SOURCE_DATE_EPOCH"] = strconv.FormatInt(r.SourceDateEpoch.Unix(), 10)
	}
	return attrs
}

func (e *Engine) exportAttrs(r build.Request) map[string]string {
	attrs := map[string]string{
		"name":           r.Repository,
		"name-canonical": "true",
		"push":           "true",
		"push-by-digest": "true",
		"oci-mediatypes": "true",
	}
	host, _, _ := strings.Cut(r.Repository, "/")
	for _, insecure := range e.config.Insecure {
		if host == insecure {
			attrs["registry.insecure"] = "true"
		}
	}
	return attrs
}

// silent keeps BuildKit's client from writing to the process's standard error; its errors are returned anyway.
func silent() *logrus.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}
