package buildkit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"

	"rebuilder/internal/build"
)

const (
	redacted = "***" // stands where the value of a secret was
	// Shorter values are no secrets, and would leave nothing of a log; nor are the short lines of a long one.
	minSecret     = 4
	minSecretLine = 8
)

// redactor takes the values of a build's secrets out of what is kept of it and what people read: BuildKit writes down
// whatever a RUN prints. It knows a value as it is, by its lines, and as JSON and URLs have it. A nil one knows none.
type redactor struct {
	values [][]byte // the longest first
	first  [256]bool
}

func newRedactor(r build.Request) *redactor {
	all := map[string]bool{}
	add := func(s string) {
		quoted, _ := json.Marshal(s) // a string can always be written
		for _, form := range []string{s, string(quoted[1 : len(quoted)-1]), url.QueryEscape(s), url.PathEscape(s)} {
			all[form] = true
		}
	}
	for _, v := range append(slices.Collect(maps.Values(r.Secrets)), []byte(r.GitToken)) {
		whole := strings.TrimSpace(string(v))
		if len(whole) < minSecret {
			continue
		}
		add(whole)
		for line := range strings.Lines(whole) {
			if line = strings.TrimSpace(line); len(line) >= minSecretLine {
				add(line)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	d := &redactor{}
	for v := range all {
		d.values = append(d.values, []byte(v))
		d.first[v[0]] = true
	}
	slices.SortFunc(d.values, func(a, b []byte) int { return cmp.Or(len(b)-len(a), bytes.Compare(a, b)) })
	return d
}

// scan redacts b. Unless b is the end, what may be the beginning of a value that goes on behind it is held back.
func (d *redactor) scan(b []byte, end bool) (out, held []byte) {
	for i := 0; i < len(b); {
		n, begins := d.at(b[i:])
		switch {
		case begins && !end:
			return out, b[i:]
		case n > 0:
			out = append(out, redacted...)
			i += n
		default:
			out = append(out, b[i])
			i++
		}
	}
	return out, nil
}

// at is the length of the longest value that b begins with, 0 when there is none. begins says that a longer one may be
// there, of which b ends too early.
func (d *redactor) at(b []byte) (n int, begins bool) {
	if !d.first[b[0]] {
		return 0, false
	}
	for _, v := range d.values {
		switch {
		case bytes.HasPrefix(b, v):
			return len(v), begins
		case bytes.HasPrefix(v, b):
			begins = true
		}
	}
	return 0, begins
}

func (d *redactor) bytes(b []byte) []byte {
	if d == nil {
		return b
	}
	out, _ := d.scan(b, true)
	return out
}

func (d *redactor) string(s string) string {
	if d == nil {
		return s
	}
	return string(d.bytes([]byte(s)))
}

// error is e without values; its cause keeps its type only when that holds none either.
func (d *redactor) error(err error) error {
	e := new(build.Error)
	if d == nil || !errors.As(err, &e) {
		return err
	}
	e.Reason = d.string(e.Reason)
	for _, text := range [][]string{e.Lines, e.Log} {
		for i := range text {
			text[i] = d.string(text[i])
		}
	}
	if e.Cause != nil {
		if s := d.string(e.Cause.Error()); s != e.Cause.Error() {
			e.Cause = errors.New(s)
		}
	}
	return e
}

// stream redacts what comes in pieces: a value may begin in one and end in another.
type stream struct {
	redactor *redactor
	held     []byte
}

// next is what can be shown now that p has come.
func (s *stream) next(p []byte) []byte {
	if s.redactor == nil {
		return p
	}
	out, held := s.redactor.scan(append(s.held, p...), false)
	s.held = bytes.Clone(held)
	return out
}

// rest is what was held back, when nothing more comes.
func (s *stream) rest() []byte {
	out := s.redactor.bytes(s.held)
	s.held = nil
	return out
}
