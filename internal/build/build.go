// Package build says what a build is: what goes in, what comes out, and which errors mean what.
// The one engine is internal/build/buildkit; everything else uses the Builder interface.
package build

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Builder builds images and pushes them by digest, without a tag.
type Builder interface {
	// Build is safe to repeat with the same Request: it pushes by digest only. It returns *Error for
	// everything that the engine or the recipe did, ctx's error when ctx ended, and context.DeadlineExceeded when
	// Request.Timeout did.
	Build(ctx context.Context, r Request) (*Result, error)
}

// Request is one build of one platform.
type Request struct {
	ID    string // unique per attempt; names the build in the engine's history
	Image string // the image's name, for logs

	// Exactly one of Dir and Git. Git is a BuildKit git reference: "http://host/acme/web.git#<commit>".
	Dir string
	Git string
	// Dockerfile is the path inside the context; "Dockerfile" when empty.
	Dockerfile string
	Target     string
	Args       map[string]string
	Platform   string // "linux/amd64"

	// Pins replace image references by digests, in FROM, COPY --from, RUN --mount and ONBUILD, without
	// touching the Dockerfile. After the build the provenance is checked: a pin that was not used is an error.
	Pins []Pin
	// RepositoryState is the hash of the package repositories' state. When set it is mounted into exactly the
	// RUN steps that install packages, so that those are not answered from an old cache.
	RepositoryState string
	// Fresh is what a fresh build is known by. When set it is mounted into every RUN step, so that none is answered from the
	// cache of a build with another one; a build that was cut off goes on from what it did. Later builds keep it, or they
	// would go back to what was there before.
	Fresh string

	// Uncached takes no step from a cache: for recipes whose steps are not all in their text, where they could be keyed.
	Uncached bool

	Repository string // where to push, without tag: "127.0.0.1:5000/base/debian"
	// SourceDateEpoch makes timestamps reproducible; zero leaves them.
	SourceDateEpoch time.Time
	Labels          map[string]string
	// GitToken is given to the engine by session for this build only.
	GitToken string
	// Secrets are mounted by RUN --mount=type=secret, by id. They are given by session for this build only, and are in no
	// cache key, log or record but by their names: where a step prints one, as it is, its lines, or as JSON and URLs have
	// it, stars are written. A value of less than four bytes is not looked for.
	Secrets map[string][]byte

	// Limits bound each step; zero values do not.
	Limits Limits
	// Timeout bounds the build from when it has a place: the wait for one does not count. 0: no bound.
	Timeout time.Duration
	// Network of RUN steps; the engine's own when empty.
	Network Network
	// RecordNetwork has RUN steps fetch through a proxy of the engine's that notes what they fetch: Result.Fetched. What
	// is not HTTP does not get through, nor what is on a loopback address of the engine's machine.
	RecordNetwork bool
	// Reproducible makes two builds of the same inputs the same, bit for bit, as far as the recipe allows: times in layers
	// are bounded by SourceDateEpoch, which must be set.
	Reproducible bool
	// Cache is where builders share their caches: a reference in a registry, without digest. Empty: nowhere.
	Cache string
	// Affinity is what builds that have much in common have in common: the same one goes to the same builder where that is
	// as good as another.
	Affinity string
	// Priority is about how long what waits for this build takes, itself included: its longest chain. Of builds that wait
	// for a place, one with more goes before those that have not waited so much longer.
	Priority time.Duration
	// Discard builds and pushes nothing, neither image nor cache: Result.Digest is zero. It is for trials.
	Discard bool

	// Turn is called with true when all builders that would take the build are busy, and with false when it begins; it may
	// begin more than once, where a builder is lost. May be nil.
	Turn func(waits bool)

	Log      io.Writer  // the human log, plain; may be nil
	Progress func(Step) // called for each step that starts or ends; may be nil
}

// Pin says that Reference, as written in the Dockerfile after ARG resolution, means Digest.
// Digest is a platform manifest's digest, never an index's (its cache key would change with each attestation).
type Pin struct {
	Reference string  `json:"reference"`
	Digest    v1.Hash `json:"digest"`
	// Optional pins need not be used: a build of one target may not reach them.
	Optional bool `json:"optional,omitempty"`
}

// Limits bound what each step of a build may take.
type Limits struct {
	Memory int64   `json:"memory,omitempty"` // bytes
	CPUs   float64 `json:"cpus,omitempty"`   // 1.5 is one and a half
}

// Network is what the RUN steps of a build can reach.
type Network string

const (
	NetworkEngine Network = ""     // what the engine gives
	NetworkNone   Network = "none" // nothing
)

// Result is what a build made.
type Result struct {
	Digest     v1.Hash    `json:"digest"` // platform manifest, pushed to Request.Repository
	Steps      []Step     `json:"steps"`
	Provenance []byte     `json:"-"` // SLSA v1 predicate, JSON
	Materials  []Material `json:"materials"`
	Started    time.Time  `json:"started"`
	Ended      time.Time  `json:"ended"`
	// Warnings are what the engine says of the Dockerfile.
	Warnings []Warning `json:"warnings,omitempty"`
	// Fetched is what RUN steps fetched over HTTP, when that was recorded. Of steps from the cache it is not known, and a
	// step that was run without a record is one of those: what a key fetched is in the record of its first build.
	Fetched []Material `json:"fetched,omitempty"`
	// Doubt says why more RUN steps were keyed by the repositories' state than those that install packages: one that runs
	// a script may, and when none is known to install any, they all may. Empty when only those were.
	Doubt  string `json:"doubt,omitempty"`
	Worker string `json:"worker,omitempty"` // the builder that did it, by its name
}

// Warning is one remark of the engine on a Dockerfile.
type Warning struct {
	Text  string   `json:"text"`
	Lines []string `json:"lines,omitempty"` // "Dockerfile:3: RUN ..."
	URL   string   `json:"url,omitempty"`   // where it is explained
}

// Step is one vertex of the build.
type Step struct {
	Name    string        `json:"name"`
	Cached  bool          `json:"cached"`
	Running bool          `json:"running,omitempty"`
	Took    time.Duration `json:"took"`
	Error   string        `json:"error,omitempty"`
	// Line is where the Dockerfile has it, counted from 1; 0 where it has not, or it is not known.
	Line int `json:"line,omitempty"`
}

// Material is one resolved input of a build, from its provenance.
type Material struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

// Error is a failed build.
type Error struct {
	Image    string
	Reason   string   // one line: "RUN apt-get update exited with 100"
	Lines    []string // the Dockerfile lines that failed, "Dockerfile:3: RUN ..."
	Log      []string // the last lines of the step's log
	ExitCode int
	// Lost says that the engine went away; the same build may succeed on another worker or later.
	Lost bool
	// Unfetched says that the git repository could not be read, so that nothing was built.
	Unfetched bool
	Cause     error
}

func (e *Error) Error() string {
	s := fmt.Sprintf("build %s: %s", e.Image, e.Reason)
	if len(e.Lines) > 0 {
		s += " (" + strings.Join(e.Lines, "; ") + ")"
	}
	return s
}

func (e *Error) Unwrap() error   { return e.Cause }
func (e *Error) Temporary() bool { return e.Lost }
