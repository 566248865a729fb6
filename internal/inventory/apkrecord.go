package inventory

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/google/osv-scalibr/extractor/filesystem/os/apk/apkutil"
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
			return b.flush()
		}
		if err != nil {
			return err
		}
	}
}

// apkBatcher gives the fields that are read to the library's parser, some whole records at a time. The parser itself
// would keep all lines of a record, however many, and has none of a length that some indexes have.
type apkBatcher struct {
	r      *bufio.Reader
	add    func(APKRecord) error
	batch  bytes.Buffer
	number int // of the line
	began  int // where the record's lines begin in batch
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
	case !apkFieldRead(line[0]):
		// One for all: a record of such fields alone is still seen to have no name.
		if b.batch.Len() == b.began {
			b.batch.WriteString("F:\n")
		}
		return b.skip(long)
	case long:
		return fmt.Errorf("line %d: more than %d bytes", b.number, maxAPKLine)
	}
	b.batch.Write(line)
	b.batch.WriteByte('\n')
	if b.batch.Len()-b.began > maxAPKRecord {
		return fmt.Errorf("line %d: a record of more than %d bytes", b.number, maxAPKRecord)
	}
	return nil
}

// apkFieldRead says whether a field is one of those in APKRecord.
func apkFieldRead(letter byte) bool {
	switch letter {
	case 'P', 'V', 'A', 'o', 't', 's':
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

// end ends a record.
func (b *apkBatcher) end() error {
	b.batch.WriteByte('\n')
	if b.began = b.batch.Len(); b.began < apkBatch {
		return nil
	}
	return b.flush()
}

// flush parses the batch.
func (b *apkBatcher) flush() error {
	records := apkutil.NewScanner(&b.batch)
	for records.Scan() {
		r, err := apkRecord(records.Record())
		if err != nil {
			return fmt.Errorf("above line %d: %w", b.number+1, err)
		}
		if err := b.add(r); err != nil {
			return err
		}
	}
	b.batch.Reset()
	b.began = 0
	return records.Err()
}

func apkRecord(fields map[string]string) (APKRecord, error) {
	r := APKRecord{Name: fields["P"], Version: fields["V"], Architecture: fields["A"], Origin: fields["o"], Tag: fields["s"]}
	if r.Name == "" || r.Version == "" {
		return r, fmt.Errorf("a record without package or version (package %.100q, version %.100q)", r.Name, r.Version)
	}
	if built, ok := fields["t"]; ok {
		seconds, err := strconv.ParseInt(built, 10, 64)
		if err != nil {
			return r, fmt.Errorf("package %.100q: built at %.40q: seconds since 1970 expected", r.Name, built)
		}
		r.Built = time.Unix(seconds, 0).UTC()
	}
	return r, nil
}
