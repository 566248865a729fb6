package inventory

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"chainguard.dev/apko/pkg/apk/apk"
)

// APKRecord is what one record of an apk database or index says of a package.
type APKRecord struct {
	Name, Version, Architecture string
	Origin                      string    // the source package; empty when it does not say
	Built                       time.Time // zero when it does not say
	// Tag is, in a database of what is installed, the one of the repositories that it came from; empty for those without.
	Tag string
}

// Bounds of what is read from an apk database. A line of a field that is not read may be of any length.
const (
	maxAPKLine   = 4 << 10  // bytes of a line of a field that is read
	maxAPKRecord = 16 << 10 // bytes of those of one record
	apkBatch     = 64 << 10 // bytes that are given to the parser at once
)

// ReadAPK reads the records of an apk database, the one of what is installed or an unpacked index, and stops at the
// first error. Its input is untrusted. It keeps no more of it than some records at a time.
func ReadAPK(r io.Reader, add func(APKRecord) error) error {
	b := apkBatcher{r: bufio.NewReaderSize(r, maxAPKLine), add: add}
	for {
		err := b.line()
		if errors.Is(err, io.EOF) {
			if err := b.end(); err != nil {
				return err
			}
			return b.flush()
		}
		if err != nil {
			return err
		}
	}
}

// apkBatcher gives the fields that are read to the library's parser, some whole records at a time. The parser itself
// would keep every field of every package, and leave out without a word a record that has no name, or that nothing
// follows.
type apkBatcher struct {
	r      *bufio.Reader
	add    func(APKRecord) error
	batch  bytes.Buffer
	number int // of the line
	began  int // where the record's lines begin in batch
	inside bool
	tag    string   // of the record
	tags   []string // of the records in batch that have ended: the parser does not know this field
}

// line takes one line. Its error is io.EOF when there is none.
func (b *apkBatcher) line() error {
	line, long, err := b.r.ReadLine()
	if err != nil {
		return err
	}
	b.number++
	switch {
	case len(line) == 0:
		return b.end()
	case len(line) < 2 || line[1] != ':':
		return fmt.Errorf("line %d: a letter and a colon expected, not %.40q", b.number, line)
	}
	b.inside = true
	if line[0] == 's' && !long {
		b.tag = string(line[2:])
		return nil
	}
	if !apkFieldRead(line[0]) {
		return b.skip(long)
	}
	if long {
		return fmt.Errorf("line %d: more than %d bytes", b.number, maxAPKLine)
	}
	b.batch.Write(line)
	b.batch.WriteByte('\n')
	if b.batch.Len()-b.began > maxAPKRecord {
		return fmt.Errorf("line %d: a record of more than %d bytes", b.number, maxAPKRecord)
	}
	return nil
}

// apkFieldRead says whether a field is one that the parser is to read.
func apkFieldRead(letter byte) bool {
	switch letter {
	case 'P', 'V', 'A', 'o', 't':
		return true
	}
	return false
}

// skip passes over the rest of a line.
func (b *apkBatcher) skip(long bool) (err error) {
	for long && err == nil {
		_, long, err = b.r.ReadLine()
	}
	if errors.Is(err, io.EOF) {
		return nil // the next line will find it
	}
	return err
}

// end ends a record, if one began.
func (b *apkBatcher) end() error {
	if !b.inside {
		return nil
	}
	b.batch.WriteByte('\n')
	b.tags = append(b.tags, b.tag)
	b.inside, b.began, b.tag = false, b.batch.Len(), ""
	if b.batch.Len() < apkBatch {
		return nil
	}
	return b.flush()
}

// flush parses the batch.
func (b *apkBatcher) flush() error {
	packages, err := apk.ParsePackageIndex(bytes.NewReader(b.batch.Bytes()))
	if err != nil {
		return fmt.Errorf("above line %d: %.200w", b.number, err)
	}
	if len(packages) != len(b.tags) {
		return fmt.Errorf("above line %d: a record without a package name", b.number)
	}
	for i, p := range packages {
		if p.Version == "" {
			return fmt.Errorf("above line %d: package %.100q has no version", b.number, p.Name)
		}
		r := APKRecord{Name: p.Name, Version: p.Version, Architecture: p.Arch, Origin: p.Origin, Built: p.BuildTime, Tag: b.tags[i]}
		if err := b.add(r); err != nil {
			return err
		}
	}
	b.batch.Reset()
	b.began, b.tags = 0, b.tags[:0]
	return nil
}
