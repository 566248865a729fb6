package inventory

import (
	"bytes"
	"io"
	"os"
)

// spool holds the content of one file after another while it is looked at: in memory, and what is longer in a file.
type spool struct {
	memory bytes.Buffer
	most   int // bytes in memory
	file   *os.File
	size   int64 // of what is held
}

const (
	spoolMemory = 8 << 20
	maxSpooled  = 32 << 20 // bytes that are kept for the next file
)

// reset forgets what is held. The next content is in memory up to so many bytes.
func (s *spool) reset(most int) {
	if s.memory.Cap() > maxSpooled {
		s.memory = bytes.Buffer{}
	}
	s.memory.Reset()
	s.most, s.size = most, 0
}

// Write implements io.Writer.
func (s *spool) Write(p []byte) (n int, err error) {
	if s.size == int64(s.memory.Len()) && s.size+int64(len(p)) <= int64(s.most) {
		n, err = s.memory.Write(p)
	} else if err = s.spill(); err == nil {
		n, err = s.file.WriteAt(p, s.size)
	}
	s.size += int64(n)
	return n, err
}

// spill moves what is in memory to the file. The file has no name: it is gone with the process, whatever happens.
func (s *spool) spill() (err error) {
	if s.file == nil {
		if s.file, err = os.CreateTemp("", "rebuilder-inventory-"); err != nil {
			return err
		}
		if err := os.Remove(s.file.Name()); err != nil {
			return err
		}
	}
	if s.size != int64(s.memory.Len()) || s.size == 0 {
		return nil
	}
	_, err = s.file.WriteAt(s.memory.Bytes(), 0)
	s.memory.Reset()
	return err
}

// bytes is what is held in memory; nothing when it is in the file.
func (s *spool) bytes() []byte { return s.memory.Bytes() }

// content reads what is held.
func (s *spool) content() *io.SectionReader {
	if s.size == int64(s.memory.Len()) {
		return io.NewSectionReader(bytes.NewReader(s.memory.Bytes()), 0, s.size)
	}
	return io.NewSectionReader(s.file, 0, s.size)
}

func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close()
	}
}
