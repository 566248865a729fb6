package diskregistry

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// entry is one accepted manifest request.
type entry struct {
	Method      string `json:"method"`
	Path        string `json:"path"`
	ContentType string `json:"content_type,omitempty"`
	Body        []byte `json:"body,omitempty"`
}

// journal is a file of entries, one a line, only ever appended to.
type journal struct{ file *os.File }

// openJournal reads what is there and opens it for appending. A last line cut off by a kill was never confirmed to a
// client, so it is dropped; a broken line before the last is an error.
func openJournal(path string) (*journal, []entry, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, nil, err
	}
	entries, good, err := readEntries(f)
	if err == nil {
		err = f.Truncate(good)
	}
	if err == nil {
		_, err = f.Seek(good, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, fmt.Errorf("read %s: %w", path, err)
	}
	return &journal{file: f}, entries, nil
}

// readEntries returns the entries and the offset behind the last whole one.
func readEntries(r io.Reader) ([]entry, int64, error) {
	var (
		entries []entry
		good    int64
	)
	br := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := br.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return entries, good, nil
		}
		if err != nil {
			return nil, 0, err
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, 0, fmt.Errorf("line %d: %w", n, err)
		}
		entries = append(entries, e)
		good += int64(len(line))
	}
}

func (j *journal) append(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = j.file.Write(append(line, '\n'))
	return err
}

func (j *journal) close() error {
	err := j.file.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
