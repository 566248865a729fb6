package buildkit

import (
	"bytes"
	"io"
	"regexp"
	"slices"
	"sync"
)

const (
	maxStream = 4 << 20  // bytes of one output of a command
	maxLine   = 64 << 10 // bytes of one line of a service that is waited for
)

// sink takes what a process prints. It never fails and never blocks: an engine whose output is not taken in stops
// answering for all containers of the call.
type sink struct {
	mu      sync.Mutex
	limit   int
	kept    []byte
	over    bool
	full    chan struct{} // closed when there was more than limit
	watches []*lineWatch
	tail    *tail
	log     io.Writer
}

func newSink(o *findings) *sink {
	return &sink{limit: maxStream, full: make(chan struct{}), tail: &o.tail, log: o.log}
}

// Write implements io.Writer.
func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := s.limit - len(s.kept)
	s.kept = append(s.kept, p[:min(len(p), room)]...)
	if len(p) > room && !s.over {
		s.over = true
		close(s.full)
	}
	for _, w := range s.watches {
		w.write(p)
	}
	_, _ = s.tail.Write(p)
	_, _ = s.log.Write(p)
	return len(p), nil
}

// Close implements io.Closer.
func (*sink) Close() error { return nil }

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.kept)
}

// lineWatch looks for patterns in the lines that pass by.
type lineWatch struct {
	mu      sync.Mutex
	pending []*regexp.Regexp
	line    []byte
	found   chan struct{} // closed when all were found
}

func watchLines(patterns []*regexp.Regexp) *lineWatch {
	w := &lineWatch{pending: slices.Clone(patterns), found: make(chan struct{})}
	if len(patterns) == 0 {
		close(w.found)
	}
	return w
}

func (w *lineWatch) write(p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(p) > 0 && len(w.pending) > 0 {
		line, rest, complete := bytes.Cut(p, []byte("\n"))
		w.line = append(w.line, line[:min(len(line), maxLine-len(w.line))]...)
		if complete {
			w.look()
			w.line = w.line[:0]
		}
		p = rest
	}
}

func (w *lineWatch) look() {
	w.pending = slices.DeleteFunc(w.pending, func(re *regexp.Regexp) bool { return re.Match(w.line) })
	if len(w.pending) == 0 {
		close(w.found)
	}
}

// tail keeps the last bytes written.
type tail struct {
	mu sync.Mutex
	b  []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p[max(0, len(p)-maxTestOutput):]...)
	if over := len(t.b) - maxTestOutput; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}

// limitedLog is the part of a log that one test may fill.
type limitedLog struct {
	mu      sync.Mutex
	to      io.Writer // may be nil
	left    int
	partial bool // the last line has no end yet
}

// Write implements io.Writer.
func (l *limitedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to == nil || l.left == 0 || len(p) == 0 {
		return len(p), nil
	}
	some := p[:min(len(p), l.left)]
	l.left -= len(some)
	l.partial = some[len(some)-1] != '\n'
	_, _ = l.to.Write(some) // a log that cannot be written is no reason to stop
	if l.left == 0 {
		_, _ = io.WriteString(l.to, "\n(more is not kept)")
		l.partial = true
	}
	return len(p), nil
}

// end ends the last line.
func (l *limitedLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to != nil && l.partial {
		_, _ = io.WriteString(l.to, "\n")
		l.partial = false
	}
}
