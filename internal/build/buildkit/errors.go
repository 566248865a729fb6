package buildkit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/moby/buildkit/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/util/bklog"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/opencontainers/go-digest"
	"google.golang.org/grpc/codes"

	"rebuilder/internal/build"
)

const pruneTimeout = 10 * time.Second

// errClosed ends the builds in flight when the engine is closed.
var errClosed = errors.New("the build engine was closed")

// failure says what a solve's error means. ctx is the caller's.
func (a *attempt) failure(ctx context.Context, err error) error {
	if a.progress.half != nil { // it ended the solve itself
		a.progress.half.Image = a.request.Image
		return a.progress.half
	}
	if ctx.Err() != nil { // a cancelled call is a gRPC status, not context.Canceled
		return ctx.Err()
	}
	if e := new(build.Error); errors.As(err, &e) {
		e.Image = a.request.Image
		return e
	}
	if reason := a.lost(err); reason != "" {
		return &build.Error{Image: a.request.Image, Reason: reason, Lost: true, Cause: err}
	}
	return a.recipeFailure(err)
}

// lost says why the engine, not the recipe, is to blame for err; empty when it is not.
func (a *attempt) lost(err error) string {
	code := grpcerrors.Code(err)
	switch {
	case errors.Is(err, errClosed), a.engine.isClosed():
		return errClosed.Error()
	case a.engine.lives() != a.lives:
		return "the build engine died during the build" + a.engine.lastWords()
	case code == codes.Unavailable, code == codes.Canceled: // we did not cancel, so the engine is going down
		return "the build engine cannot be reached: " + firstLine(err)
	}
	return ""
}

func (a *attempt) recipeFailure(err error) *build.Error {
	e := &build.Error{Image: a.request.Image, Reason: firstLine(err), Lines: sourceLines(err), Cause: err}
	var vertex *errdefs.VertexError
	if errors.As(err, &vertex) {
		e.Log = a.progress.lastLines(digest.Digest(vertex.Digest))
	}
	var fetch *fetchError
	e.Unfetched = errors.As(err, &fetch)
	var exit *gwpb.ExitError
	if errors.As(err, &exit) {
		e.ExitCode = int(exit.ExitCode)
		if vertex != nil {
			if st, ok := a.progress.watched[digest.Digest(vertex.Digest)]; ok {
				e.Reason = fmt.Sprintf("%s exited with %d", instruction(st.Name), exit.ExitCode) + a.outOfMemory(err, e.ExitCode)
			}
		}
	}
	return e
}

// outOfMemory says that a step was killed for what it took; empty when it was not. With one hierarchy of control groups the
// kernel's count of that is in the error, with many there is only the exit code.
func (a *attempt) outOfMemory(err error, exitCode int) string {
	const killed = 128 + int(syscall.SIGKILL)
	limit := a.request.Limits.Memory
	if limit == 0 || exitCode != killed && !strings.Contains(err.Error(), syscall.ENOMEM.Error()) {
		return ""
	}
	return fmt.Sprintf(": it was killed, as what takes more memory than a step's limit is (%s; raise memory in the catalog)", humanize.IBytes(uint64(limit)))
}

// makeRoom has an engine whose disk a build has filled throw away at once what nobody uses any more: by itself it does so
// once a minute, and fails every build until then.
func (a *attempt) makeRoom(ctx context.Context, err error) {
	e := new(build.Error)
	if !errors.As(err, &e) || !strings.Contains(strings.ToLower(e.Reason+strings.Join(e.Log, "\n")), syscall.ENOSPC.Error()) {
		return
	}
	ctx, cancel := context.WithTimeout(bklog.WithLogger(context.WithoutCancel(ctx), silent()), pruneTimeout)
	defer cancel()
	_ = a.engine.client.Prune(ctx, nil, client.WithFilter([]string{"id==none"})) // of the cache nothing; the build has failed anyway
}

// firstLine is the first line of an error, and what it announces: "git stderr:" says nothing without the next one.
func firstLine(err error) string {
	s, rest, _ := strings.Cut(strings.TrimPrefix(err.Error(), "failed to solve: "), "\n")
	if strings.HasSuffix(s, ":") {
		next, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
		s = strings.TrimSpace(s + " " + next)
	}
	return unmark(s)
}

// maxSourceLines bounds how much of a long RUN is repeated in an error.
const maxSourceLines = 10

// sourceLines are the lines of the Dockerfile that an error points at, as the author wrote them.
func sourceLines(err error) []string {
	var out []string
	for _, s := range errdefs.Sources(err) {
		for _, r := range s.Ranges {
			out = appendLines(out, s.Info.GetFilename(), string(s.Info.GetData()), int(r.Start.GetLine()), int(r.End.GetLine()))
		}
	}
	return out
}

// appendLines adds text's lines first to last, counted from 1, that are not there yet.
func appendLines(out []string, file, text string, first, last int) []string {
	lines := strings.Split(text, "\n")
	for n := max(first, 1); n <= min(max(first, last), len(lines)); n++ {
		l := fmt.Sprintf("%s:%d: %s", file, n, strings.TrimSpace(unmark(lines[n-1])))
		if len(out) < maxSourceLines && !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	return out
}
