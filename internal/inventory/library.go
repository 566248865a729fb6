package inventory

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/google/osv-scalibr/binary/proto/config_go_proto"
	"github.com/google/osv-scalibr/extractor/filesystem"
	"github.com/google/osv-scalibr/extractor/filesystem/language/java/archive"
	"github.com/google/osv-scalibr/extractor/filesystem/language/javascript/packagejson"
	"github.com/google/osv-scalibr/extractor/filesystem/language/python/wheelegg"
	"github.com/google/osv-scalibr/log"
)

// Bounds of the libraries that are read. What exceeds them is said, not refused.
const (
	maxLibraries   = 100_000 // of an image
	maxLibraryName = 300     // bytes
	maxLookedInto  = 1 << 30 // bytes of a program or an archive
	maxMetadata    = 1 << 20 // bytes of a file that describes one library
)

// Library says that a package is a library found in a file, not one that a distribution's package manager installed.
func (p Package) Library() bool {
	switch p.Type {
	case Golang, Maven, NPM, PyPI:
		return true
	}
	return false
}

// library is one library in a file.
type library struct {
	kind, name, version string
	layer               int // in which the file first had it
}

// contents is what a file says of what is in it.
type contents struct {
	libraries []library
	program   bool   // an executable in ELF
	golang    string // "Go 1.22.1": what built a program that does not list its modules
	problem   string // why not all is known
}

// librarian looks into the files of an image.
type librarian struct {
	ctx               context.Context
	java, npm, python filesystem.Extractor
	left              int   // libraries
	inflateLeft       int64 // bytes of what is in archives
	nested            [maxNesting]spool
}

// quiet keeps scalibr from writing to the standard error what hostile files say.
var quiet = sync.OnceFunc(func() { log.SetLogger(silence{}) })

type silence struct{}

func (silence) Errorf(string, ...any) {}
func (silence) Error(...any)          {}
func (silence) Warnf(string, ...any)  {}
func (silence) Warn(...any)           {}
func (silence) Infof(string, ...any)  {}
func (silence) Info(...any)           {}
func (silence) Debugf(string, ...any) {}
func (silence) Debug(...any)          {}

func newLibrarian(ctx context.Context) (*librarian, error) {
	quiet()
	l := &librarian{ctx: ctx, left: maxLibraries, inflateLeft: maxInflated}
	// An archive that nothing else is known of is nameless: its hash is of no use here.
	plain := &config_go_proto.PluginConfig{PluginSpecific: []*config_go_proto.PluginSpecificConfig{{
		Config: &config_go_proto.PluginSpecificConfig_JavaArchive{JavaArchive: &config_go_proto.JavaArchiveConfig{HashJars: new(bool)}},
	}}}
	var err, errNPM, errPython error
	l.java, err = archive.New(plain)
	l.npm, errNPM = packagejson.New(&config_go_proto.PluginConfig{})
	l.python, errPython = wheelegg.New(&config_go_proto.PluginConfig{})
	return l, errors.Join(err, errNPM, errPython)
}

func (l *librarian) close() {
	for i := range l.nested {
		l.nested[i].close()
	}
}

// form is how a file holds libraries.
type form int

const (
	none form = iota
	program
	javaArchive
	pythonArchive
	npmPackage
	pythonPackage
)

// candidate is a file as scalibr asks for it.
type candidate struct {
	at string
	h  *tar.Header
}

// Path implements filesystem.FileAPI.
func (c candidate) Path() string { return c.at }

// Stat implements filesystem.FileAPI.
func (c candidate) Stat() (fs.FileInfo, error) { return c.h.FileInfo(), nil }

// formOf tells by the name and the permissions of a file whether it is to be looked into.
func (l *librarian) formOf(at string, h *tar.Header) form {
	if l == nil || h.Size == 0 || l.left <= 0 {
		return none
	}
	switch api := (candidate{at, h}); {
	case l.java.FileRequired(api):
		return javaArchive
	case l.npm.FileRequired(api):
		return npmPackage
	case l.python.FileRequired(api):
		if ext := path.Ext(at); ext == ".egg" || ext == ".whl" {
			return pythonArchive
		}
		return pythonPackage
	case h.Mode&modeRuns != 0:
		return program
	}
	return none
}

// look looks into a file. A nil result says that there is nothing in it. The error is the context's.
func (l *librarian) look(f form, at string, layer int, content *io.SectionReader) (*contents, error) {
	c := l.lookInto(f, at, content)
	if err := l.ctx.Err(); err != nil {
		return nil, err
	}
	c.libraries = slices.DeleteFunc(c.libraries, func(b library) bool { return !b.sound() })
	if len(c.libraries) > l.left {
		c.libraries, c.problem = c.libraries[:l.left], fmt.Sprintf("the image has more than %d libraries", maxLibraries)
	}
	l.left -= len(c.libraries)
	for i := range c.libraries {
		c.libraries[i].layer = layer
	}
	if len(c.libraries) == 0 && !c.program && c.problem == "" {
		return nil, nil
	}
	return &c, nil
}

func (l *librarian) lookInto(f form, at string, content *io.SectionReader) (c contents) {
	defer func() {
		if r := recover(); r != nil {
			c = contents{program: f == program, problem: "the parser failed"}
		}
	}()
	switch f {
	case program:
		return lookIntoProgram(content)
	case javaArchive, pythonArchive:
		found, err := l.archive(f, at, content, 0)
		c = contents{libraries: found}
		if err != nil {
			c.problem = fmt.Sprintf("%.200v", err)
		}
	case npmPackage:
		c.libraries, _ = l.describes(l.npm, at, content) // npm itself takes one that is malformed for none
	case pythonPackage:
		c.libraries, _ = l.describes(l.python, at, content)
	}
	return c
}

// describes reads a file that describes libraries.
func (l *librarian) describes(e filesystem.Extractor, at string, content *io.SectionReader) ([]library, error) {
	data, err := io.ReadAll(io.LimitReader(content, maxMetadata))
	if err != nil {
		return nil, err
	}
	return l.extract(e, at, data)
}

// extract has scalibr read libraries.
func (l *librarian) extract(e filesystem.Extractor, at string, data []byte) ([]library, error) {
	info := (&tar.Header{Name: path.Base(at), Size: int64(len(data))}).FileInfo()
	found, err := e.Extract(l.ctx, &filesystem.ScanInput{Path: at, Info: info, Reader: bytes.NewReader(data)})
	var all []library
	for _, p := range found.Packages {
		b := library{kind: p.PURLType, name: p.Name, version: p.Version}
		if b.kind == PyPI {
			b.name = pypiName(b.name)
		}
		all = append(all, b)
	}
	return all, err
}

var pypiSeparators = regexp.MustCompile(`[-_.]+`)

// pypiName is the one of all spellings of a name that package URLs and advisories have.
func pypiName(s string) string { return strings.ToLower(pypiSeparators.ReplaceAllString(s, "-")) }

// sound says that name and version are such as a library may have. A version that a build did not fill in is none.
func (b library) sound() bool {
	return soundWord(b.name) && soundWord(b.version) && !strings.Contains(b.version, "${")
}

func soundWord(s string) bool {
	odd := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }
	return s != "" && len(s) <= maxLibraryName && utf8.ValidString(s) && !strings.ContainsFunc(s, odd)
}

// inherit keeps, of libraries that a file had before it was written again, the layer that brought them.
func (c *contents) inherit(before *contents) {
	if c == nil || before == nil {
		return
	}
	was := map[library]int{}
	for _, b := range before.libraries {
		layer := b.layer
		b.layer = 0
		was[b] = layer
	}
	for i, b := range c.libraries {
		b.layer = 0
		if layer, ok := was[b]; ok {
			c.libraries[i].layer = layer
		}
	}
}

// libraries are those of the merged file system. What could not be looked into is said.
func libraries(t *tree) (all []Package, unknown []string) {
	var problems []string
	cut := 0
	t.root.each("", func(at string, n *node) {
		in := n.more().contents
		if in == nil {
			return
		}
		if in.problem != "" {
			problems = append(problems, shown(at)+": "+in.problem)
		}
		for _, b := range in.libraries {
			if len(all) == maxLibraries { // hard links have them, too
				cut++
				continue
			}
			all = append(all, Package{Type: b.kind, Name: b.name, Version: b.version, Layer: b.layer, Path: at})
		}
	})
	if n := len(problems); n > 0 {
		unknown = append(unknown, fmt.Sprintf("not all libraries are known, as %d %s could not be read (%s)", n, plural(n, "file", "files"), strings.Join(problems[:min(n, named)], "; ")))
	}
	if cut > 0 {
		unknown = append(unknown, fmt.Sprintf("of %d libraries only %d are listed", maxLibraries+cut, maxLibraries))
	}
	slices.SortFunc(all, comparePackages)
	return slices.Compact(all), unknown
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
