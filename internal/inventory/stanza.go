package inventory

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// shortLine is how short the lines of a stanza may be on average, in bytes, once it has many.
const shortLine = 64

// Stanzas passes on what r has of some fields, in Debian's format of control files, for the library that parses it. Names
// of fields are compared without their case. A stanza without any of them stays one.
//
// The library takes time by the square of a field's lines, and as much memory as a stanza has: a package database of one
// megabyte may take minutes. So a stanza whose passed fields have more than limit bytes, or that many short lines, is an
// error; fields that are not passed on may be of any length.
func Stanzas(r io.Reader, limit int, fields ...string) io.Reader {
	return &stanzas{r: bufio.NewReaderSize(r, 64<<10), limit: limit, fields: fields}
}

type stanzas struct {
	r      *bufio.Reader
	limit  int
	fields []string

	out    bytes.Buffer
	err    error // after out
	number int   // of the line
	size   int   // of the stanza in out, or read of it
	lines  int   // of the stanza
	passes bool  // the present field
}

// Read implements io.Reader.
func (s *stanzas) Read(p []byte) (int, error) {
	for s.out.Len() == 0 && s.err == nil {
		s.err = s.line()
	}
	if s.out.Len() > 0 {
		return s.out.Read(p)
	}
	return 0, s.err
}

// piece reads a line, or a piece of one that is long. A last line without an end gets one, as the library gives it.
func (s *stanzas) piece() (line []byte, long bool, err error) {
	line, err = s.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return line, true, nil
	case errors.Is(err, io.EOF) && len(line) > 0:
		return append(bytes.Clone(line), '\n'), false, nil
	}
	return line, false, err
}

// line takes one line. Its error is io.EOF when there is none.
func (s *stanzas) line() error {
	line, long, err := s.piece()
	if err != nil {
		return err
	}
	s.number++
	switch first := line[0]; {
	case string(line) == "\n" || string(line) == "\r\n":
		s.size, s.lines, s.passes = 0, 0, false
		s.out.Write(line)
		return nil
	case first == '#':
		return s.rest(long, false)
	case first != ' ' && first != '\t':
		if err := s.begin(line); err != nil {
			return err
		}
	}
	if s.passes {
		err = s.pass(line)
	}
	if err != nil {
		return err
	}
	return s.rest(long, s.passes)
}

// begin begins a field.
func (s *stanzas) begin(line []byte) error {
	name, _, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return fmt.Errorf("line %d: a field such as \"Package: name\" expected, not %.40q", s.number, line)
	}
	is := func(field string) bool { return strings.EqualFold(field, string(bytes.TrimSpace(name))) }
	if s.passes = slices.ContainsFunc(s.fields, is); !s.passes && s.size == 0 {
		s.size++
		s.out.WriteString("Other:\n") // one for all
	}
	return nil
}

// pass passes a line, or a piece of one, on.
func (s *stanzas) pass(line []byte) error {
	s.size, s.lines = s.size+len(line), s.lines+1
	if s.size > s.limit || s.lines > 1+s.limit/shortLine {
		return fmt.Errorf("line %d: a stanza of more than %d bytes or %d lines", s.number, s.limit, 1+s.limit/shortLine)
	}
	s.out.Write(line)
	return nil
}

// rest goes on to the end of a long line.
func (s *stanzas) rest(long, pass bool) error {
	for long {
		var line []byte
		var err error
		if line, long, err = s.piece(); errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && pass {
			err = s.pass(line)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
