package inventory

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/google/osv-scalibr/extractor/filesystem/language/java/archive"
)

// The files of an archive that describe libraries.
const (
	pomProperties = "pom.properties"
	manifestName  = "META-INF/MANIFEST.MF"
)

// Bounds of archives.
const (
	maxNesting   = 4        // archives in archives
	maxInflated  = 4 << 30  // bytes of all that is read of archives, of an image
	maxDirectory = 16 << 20 // bytes of an archive's list of files
	maxDescribed = 2000     // files of one archive that describe libraries
	maxZipName   = 4096     // bytes
)

// errEnough is what ends the reading of an archive.
var (
	errEnough    = errors.New("no more of it is read")
	errInflated  = fmt.Errorf("the archives of the image unpack to more than %d bytes: %w", int64(maxInflated), errEnough)
	errDescribed = fmt.Errorf("it has more than %d libraries: %w", maxDescribed, errEnough)
)

// archive reads the libraries of an archive, and of those in it.
//
// scalibr knows what a description of a library says, in all the ways that archives have of saying it. It was not written for
// hostile ones: it unpacks what is in an archive into memory, and reads lines and headers of any length. So it is given
// an archive of its own that holds nothing but the descriptions, each of a sensible size.
func (l *librarian) archive(f form, at string, content *io.SectionReader, depth int) (found []library, problem error) {
	directory := &bounded{r: content, left: maxDirectory}
	z, err := zip.NewReader(directory, content.Size())
	if err != nil {
		return nil, err
	}
	directory.left = -1
	t := newThin()
	for _, entry := range z.File {
		if l.ctx.Err() != nil {
			return nil, l.ctx.Err()
		}
		more, err := l.entry(t, f, at, entry, depth)
		found = append(found, more...)
		if err != nil && problem == nil {
			problem = err
		}
		if errors.Is(err, errEnough) {
			break
		}
	}
	if err := t.zip.Close(); err != nil {
		return nil, err
	}
	e := l.java
	if f == pythonArchive {
		e = l.python
	}
	own, err := l.extract(e, at, t.content.Bytes())
	if err != nil && problem == nil {
		problem = err
	}
	if f == javaArchive && t.poms > 0 && !namesItself(at, own) {
		own = append(own, l.manifested(t.manifest.Bytes())...)
	}
	return append(own, found...), problem
}

// namesItself says that a Java archive is among what it describes. What others were put into may describe only those.
func namesItself(at string, own []library) bool {
	file := pypiName(path.Base(at))
	return slices.ContainsFunc(own, func(b library) bool {
		_, artifact, _ := strings.Cut(b.name, ":")
		return strings.HasPrefix(file, pypiName(artifact))
	})
}

// manifested is the library of a manifest alone, which scalibr reads only where nothing else is.
func (l *librarian) manifested(manifest []byte) []library {
	t := newThin()
	if w, err := t.zip.Create(manifestName); err == nil {
		_, _ = w.Write(manifest)
	}
	_ = t.zip.Close()
	found, _ := l.extract(l.java, "/", t.content.Bytes()) // a path that says nothing
	return found
}

// thin is the archive that holds nothing but descriptions.
type thin struct {
	content  bytes.Buffer
	zip      *zip.Writer
	files    int
	poms     int // of files, those of Maven
	manifest bytes.Buffer
}

func newThin() *thin {
	t := new(thin)
	t.zip = zip.NewWriter(&t.content)
	// One without any file would be passed over, whatever its own name says.
	_, _ = t.zip.Create("META-INF/")
	return t
}

// entry takes one file of an archive: a description is copied, an archive is read.
func (l *librarian) entry(t *thin, f form, at string, entry *zip.File, depth int) ([]library, error) {
	switch {
	case l.isDescription(f, entry):
		if t.files++; t.files > maxDescribed {
			return nil, errDescribed
		}
		var w io.Writer
		w, err := t.zip.CreateHeader(&zip.FileHeader{Name: entry.Name})
		if err != nil {
			return nil, err
		}
		switch {
		case path.Base(entry.Name) == pomProperties:
			t.poms++
		case strings.EqualFold(entry.Name, manifestName) && t.manifest.Len() == 0:
			w = io.MultiWriter(w, &t.manifest)
		}
		return nil, l.inflate(w, entry, maxMetadata)
	case f == javaArchive && archive.IsArchive(entry.Name):
		return l.nestedArchive(f, at, entry, depth)
	}
	return nil, nil
}

// isDescription says that a file in an archive describes a library.
func (l *librarian) isDescription(f form, entry *zip.File) bool {
	if len(entry.Name) > maxZipName || entry.UncompressedSize64 > maxMetadata || strings.HasSuffix(entry.Name, "/") {
		return false
	}
	if f == pythonArchive {
		return strings.HasSuffix(entry.Name, "/METADATA") || strings.HasSuffix(entry.Name, "/PKG-INFO")
	}
	base := path.Base(entry.Name)
	return base == pomProperties || strings.EqualFold(base, path.Base(manifestName))
}

// inflate reads a file of an archive.
func (l *librarian) inflate(w io.Writer, entry *zip.File, most int64) error {
	r, err := entry.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(w, io.LimitReader(r, min(most, l.inflateLeft)+1))
	if l.inflateLeft -= n; l.inflateLeft < 0 {
		return errInflated
	}
	if n > most {
		return fmt.Errorf("%s in it is too large", shown(entry.Name))
	}
	if err != nil {
		return fmt.Errorf("%s in it: %w", shown(entry.Name), err)
	}
	return nil
}

// nestedArchive reads an archive that is in another.
func (l *librarian) nestedArchive(f form, at string, entry *zip.File, depth int) ([]library, error) {
	if depth == maxNesting {
		return nil, fmt.Errorf("archives in it are nested more than %d deep", maxNesting)
	}
	s := &l.nested[depth]
	s.reset(spoolMemory)
	if err := l.inflate(s, entry, maxLookedInto); err != nil {
		return nil, err
	}
	if s.size == 0 {
		return nil, nil
	}
	found, err := l.archive(f, at+"/"+entry.Name, s.content(), depth+1)
	if err != nil && !errors.Is(err, errInflated) {
		err = fmt.Errorf("%s in it: %v", shown(entry.Name), err) // which may have been enough of that one
	}
	return found, err
}

// bounded ends a read from a place that takes too many bytes; a negative bound is none.
type bounded struct {
	r    io.ReaderAt
	left int64
}

var errBounded = errors.New("its list of files is too long")

// ReadAt implements io.ReaderAt.
func (b *bounded) ReadAt(p []byte, at int64) (int, error) {
	n, err := b.r.ReadAt(p, at)
	if b.left < 0 {
		return n, err
	}
	if b.left -= int64(n); b.left < 0 {
		b.left = 0
		return 0, errBounded
	}
	return n, err
}
