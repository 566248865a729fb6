package inventory

import (
	"cmp"
	"fmt"
	"io"
	"sync/atomic"
)

// Limits bound what is read of an image. A field that is zero has the default; what exceeds a limit is an error.
type Limits struct {
	Unpacked int64 // bytes of all layers, decompressed, and of all files, sparse ones at full length: 64 GiB
	Files    int   // files and directories of all layers: 2,000,000
}

// WithLimits reads an image within other limits than the default ones.
func WithLimits(l Limits) Option {
	return func(o *options) {
		o.limits = Limits{Unpacked: cmp.Or(l.Unpacked, o.limits.Unpacked), Files: cmp.Or(l.Files, o.limits.Files)}
	}
}

func defaultLimits() Limits { return Limits{Unpacked: 64 << 30, Files: 2_000_000} }

// Further bounds of what is read from an image. They are far above honest images; what exceeds them is an error.
const (
	maxRatio      = 100         // bytes that one compressed byte may become, behind the first freeBytes
	freeBytes     = 1 << 30     // bytes that any image may unpack to, however small it is
	maxSteps      = 250_000_000 // directories on the way to all files: symbolic links make such ways long
	maxNames      = 512 << 20   // bytes of all paths and of all links' targets
	maxPath       = 4096        // bytes of one path
	maxCapability = 64          // bytes of security.capability, which has 24
	maxLayers     = 1000
	maxConfig     = 4 << 20   // bytes of the configuration
	maxDatabase   = 256 << 20 // bytes of a package database: an rpm one has the files of every package
	maxDatabases  = 1 << 30   // bytes of all package databases of all layers
	maxParsed     = 8 << 30   // bytes of package databases that are read: after each layer that changed one, all of it
	maxFile       = 1 << 20   // bytes of any other file whose content is kept
	maxKept       = 32 << 20  // bytes of all those other files
)

// size counts what an image unpacks to. Layers are decompressed in one goroutine and taken apart in another.
type size struct {
	most     int64
	free     int64        // bytes that are no bomb yet
	packed   atomic.Int64 // bytes read of compressed layers
	unpacked int64        // bytes of layers
	files    int64        // bytes of files
}

// check says whether so many bytes are too many. Some thousand zeros, compressed, become millions: what an image may
// unpack to depends on what was read of it, not on what it says of itself.
func (s *size) check(bytes int64) error {
	if bytes > s.most {
		return fmt.Errorf("the image unpacks to more than %d bytes", s.most)
	}
	if bytes > s.free && (bytes-s.free)/maxRatio > s.packed.Load() {
		return fmt.Errorf("the image unpacks to more than %d times its size: it is a bomb, or has long files of nothing but zeros", maxRatio)
	}
	return nil
}

func (s *size) addFile(bytes int64) error {
	if bytes < 0 || bytes > s.most {
		return s.check(s.most + 1)
	}
	s.files += bytes
	return s.check(s.files)
}

// FetchError says that an image was not to be had whole from where it is, which says nothing of what is in it. What else is
// wrong with an image is wrong with it the next time, too.
type FetchError struct{ Err error }

// Error implements error.
func (e *FetchError) Error() string { return e.Err.Error() }

// Unwrap returns what went wrong.
func (e *FetchError) Unwrap() error { return e.Err }

// packedReader counts the bytes of a compressed layer.
type packedReader struct {
	r    io.Reader
	size *size
}

// Read implements io.Reader.
func (p *packedReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.size.packed.Add(int64(n))
	if err != nil && err != io.EOF { // as it is: readers compare
		err = &FetchError{err}
	}
	return n, err
}

// plainReader counts what becomes of them.
type plainReader struct {
	r    io.Reader
	size *size
}

// Read implements io.Reader.
func (u *plainReader) Read(b []byte) (int, error) {
	n, err := u.r.Read(b)
	u.size.unpacked += int64(n)
	if over := u.size.check(u.size.unpacked); over != nil {
		return 0, over
	}
	return n, err
}
