package buildkit

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/opencontainers/go-digest"

	"rebuilder/internal/build"
)

const (
	tailLines = 15
	lineBytes = 4 << 10
)

// halfFetched are the words of a package manager that could not read an index and went on with what it had.
var halfFetched = regexp.MustCompile(`^(` + strings.Join([]string{
	`[WE]: (Failed to fetch|Some index files failed to download)`,                  // apt
	`WARNING: (Ignoring|fetching|opening|updating and opening) (https?:|/etc/apk)`, // apk
	`Ignoring repositories: `, // dnf
	`(Warning: )?Skipping repository '.*' because of the above error`, // zypper
}, "|") + `)`)

// progress follows one solve: steps, the end of each step's log, and the first line that halfFetched matches.
type progress struct {
	report  func(build.Step)        // may be nil
	onHalf  context.CancelCauseFunc // ends the solve when a package manager went on without an index
	half    *build.Error
	order   []digest.Digest
	watched map[digest.Digest]*step

	redactor *redactor
	streams  map[streamID]*stream
	places   places
	warnings []build.Warning
}

// streamID is one output of one step.
type streamID struct {
	vertex digest.Digest
	number int
}

// step is a vertex. BuildKit may start and complete one several times; its time is the sum.
type step struct {
	build.Step
	took map[time.Time]time.Duration // by start
	tail []string
	rest []byte // an unfinished line
}

func newProgress(report func(build.Step), onHalf context.CancelCauseFunc, secrets *redactor) *progress {
	return &progress{report: report, onHalf: onHalf, watched: map[digest.Digest]*step{}, redactor: secrets, streams: map[streamID]*stream{}}
}

// follow reads until updates is closed, whatever happens to w: a status channel nobody reads stops the solve.
func (p *progress) follow(updates <-chan *client.SolveStatus, w io.Writer) {
	shown := make(chan *client.SolveStatus)
	done := make(chan struct{})
	go func() {
		defer close(done)
		display(shown, w)
	}()
	for s := range updates {
		p.update(s)
		shown <- s
	}
	shown <- p.end()
	close(shown)
	<-done
}

// display writes the human log. A writer that fails ends the log, not the build.
func display(shown chan *client.SolveStatus, w io.Writer) {
	if w != nil {
		if d, err := progressui.NewDisplay(w, progressui.PlainMode); err == nil {
			_, _ = d.UpdateFrom(context.Background(), shown)
		}
	}
	for range shown {
	}
}

// update takes in s, and takes out of it what nobody is to read.
func (p *progress) update(s *client.SolveStatus) {
	for _, v := range s.Vertexes {
		v.Name, v.Error = p.redactor.string(unmark(v.Name)), p.redactor.string(v.Error)
		p.vertex(v)
	}
	for _, st := range s.Statuses {
		st.ID, st.Name = p.redactor.string(st.ID), p.redactor.string(st.Name)
	}
	for _, l := range s.Logs {
		l.Data = p.stream(l).next(l.Data)
		p.log(l)
	}
	for _, w := range s.Warnings {
		p.warn(w)
	}
}

func (p *progress) stream(l *client.VertexLog) *stream {
	id := streamID{l.Vertex, l.Stream}
	if p.streams[id] == nil {
		p.streams[id] = &stream{redactor: p.redactor}
	}
	return p.streams[id]
}

// end is what was held back of the logs.
func (p *progress) end() *client.SolveStatus {
	s := &client.SolveStatus{}
	for id, held := range p.streams {
		if rest := held.rest(); len(rest) > 0 {
			l := &client.VertexLog{Vertex: id.vertex, Stream: id.number, Data: rest, Timestamp: time.Now()}
			s.Logs = append(s.Logs, l)
			p.log(l)
		}
	}
	return s
}

func (p *progress) step(d digest.Digest) *step {
	st, ok := p.watched[d]
	if !ok {
		st = &step{took: map[time.Time]time.Duration{}}
		p.watched[d] = st
		p.order = append(p.order, d)
	}
	return st
}

func (p *progress) vertex(v *client.Vertex) {
	st := p.step(v.Digest)
	before := st.Step
	st.Name, st.Error, st.Line = v.Name, v.Error, p.places.line(v.Name)
	st.Cached = st.Cached || v.Cached
	st.Running = v.Started != nil && v.Completed == nil
	if v.Started != nil && v.Completed != nil {
		st.took[*v.Started] = v.Completed.Sub(*v.Started)
	}
	st.Took = 0
	for _, d := range st.took {
		st.Took += d
	}
	if p.report != nil && v.Started != nil && st.Step != before {
		p.report(st.Step)
	}
}

func (p *progress) log(l *client.VertexLog) {
	st := p.step(l.Vertex)
	st.rest = append(st.rest, l.Data...)
	for {
		line, rest, ok := bytes.Cut(st.rest, []byte("\n"))
		if !ok {
			break
		}
		st.rest = rest
		p.line(st, line)
	}
	if len(st.rest) > lineBytes {
		p.line(st, st.rest)
		st.rest = nil
	}
}

func (p *progress) line(st *step, b []byte) {
	line := strings.TrimRight(string(b[:min(len(b), lineBytes)]), "\r")
	st.tail = append(st.tail, line)
	if n := len(st.tail); n > tailLines {
		st.tail = append([]string(nil), st.tail[n-tailLines:]...)
	}
	if p.half == nil && isRun(st.Name) && halfFetched.MatchString(line) {
		p.half = &build.Error{
			Reason: instruction(st.Name) + " did not get every package index: " + line,
			Log:    st.tail,
		}
		p.onHalf(p.half)
	}
}

// lastLines is the end of a step's log, an unfinished line included.
func (p *progress) lastLines(d digest.Digest) []string {
	st, ok := p.watched[d]
	if !ok {
		return nil
	}
	if len(st.rest) > 0 {
		p.line(st, st.rest)
		st.rest = nil
	}
	return st.tail
}

func (p *progress) steps() []build.Step {
	out := make([]build.Step, len(p.order))
	for i, d := range p.order {
		out[i] = p.watched[d].Step
	}
	return out
}

func isRun(name string) bool { return strings.HasPrefix(instruction(name), "RUN ") }

// instruction is a step's name without its place, "[stage-1 2/3] RUN make" -> "RUN make", on one line.
func instruction(name string) string {
	if strings.HasPrefix(name, "[") {
		if _, after, ok := strings.Cut(name, "] "); ok {
			name = after
		}
	}
	name, _, cut := strings.Cut(name, "\n")
	if len(name) > 160 {
		name, cut = name[:160], true
	}
	if cut {
		name += " ..."
	}
	return name
}
