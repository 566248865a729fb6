package inventory

import "bytes"

// spool holds the content of one file while it is looked at.
type spool struct{ bytes.Buffer }

const maxSpooled = 32 << 20 // bytes that are kept for the next file

func (s *spool) reset() {
	if s.Cap() > maxSpooled {
		s.Buffer = bytes.Buffer{}
	}
	s.Reset()
}
