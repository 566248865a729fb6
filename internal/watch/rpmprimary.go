package watch

import (
	"compress/bzip2"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"

	"rebuilder/internal/inventory"
)

const (
	maxXMLToken = 1 << 20  // bytes of one tag or text of primary.xml
	maxXMLText  = 4 << 10  // bytes of one text that is kept, of which comments make pieces
	maxWindow   = 64 << 20 // bytes that zstd may look back
)

// rpmDecompress opens a file by the extension of its name. Reading more than limit bytes is ErrTooLarge. done must be
// called.
func rpmDecompress(name string, r io.Reader, limit int64) (plain io.Reader, done func(), err error) {
	switch path.Ext(name) {
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w: %w", name, ErrMalformed, err)
		}
		return &atMost{r: z, left: limit, name: "decompressed"}, z.Close, nil
	case ".bz2":
		return &atMost{r: bzip2.NewReader(r), left: limit, name: "decompressed"}, func() {}, nil
	}
	plain, err = decompress(name, r, limit)
	return plain, func() {}, err
}

// primaryReader reads primary.xml token by token: of Fedora's 200 MB no more than one is in memory.
type primaryReader struct {
	tokens *xml.Decoder
	input  *perToken
}

// perToken bounds what one token may take.
type perToken struct {
	r    io.Reader
	left int64
}

func (p *perToken) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if p.left -= int64(n); p.left < 0 {
		return 0, fmt.Errorf("a single tag or text: %w", ErrTooLarge)
	}
	return n, err
}

// readPrimary reads the packages of a primary.xml. Source packages are left out.
func readPrimary(r io.Reader, wanted func(string) bool, add func(string, offer)) error {
	input := &perToken{r: r}
	p := &primaryReader{tokens: xml.NewDecoder(input), input: input}
	root, open := false, 0
	for {
		t, err := p.next()
		if errors.Is(err, io.EOF) && root && open == 0 {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("primary.xml: %w: it is cut off, or none", ErrMalformed)
		}
		if err != nil {
			return fmt.Errorf("primary.xml: %w", rpmMalformed(err))
		}
		switch t := t.(type) {
		case xml.StartElement:
			switch {
			case open == 0 && (root || t.Name.Local != "metadata"):
				return fmt.Errorf("primary.xml: %w: <metadata> expected, not <%.40s>", ErrMalformed, t.Name.Local)
			case open == 0:
				root = true
			case t.Name.Local == "package":
				if err := p.readPackage(wanted, add); err != nil {
					return fmt.Errorf("primary.xml: %w", rpmMalformed(err))
				}
				continue
			}
			open++
		case xml.EndElement:
			if open--; open < 0 {
				return fmt.Errorf("primary.xml: %w: </%.40s> without its beginning", ErrMalformed, t.Name.Local)
			}
		}
	}
}

func (p *primaryReader) next() (xml.Token, error) {
	p.input.left = maxXMLToken
	return p.tokens.RawToken()
}

// rpmPackage is what is read of one <package>.
type rpmPackage struct{ name, arch, version, source string }

// readPackage reads up to </package>. The names of what is wanted lie directly in it, the source in <format>.
func (p *primaryReader) readPackage(wanted func(string) bool, add func(string, offer)) error {
	var found rpmPackage
	var text *string
	for path := []string{}; ; {
		t, err := p.next()
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if len(path) >= 100 {
				return fmt.Errorf("%w: tags too deep in one another", ErrMalformed)
			}
			path = append(path, t.Name.Local)
			text = found.field(path)
			if len(path) == 1 && t.Name.Local == "version" {
				found.version = versionOf(t.Attr)
			}
		case xml.CharData:
			if text == nil {
				continue
			}
			if len(*text)+len(t) > maxXMLText {
				return fmt.Errorf("a <%.40s> of more than %d bytes: %w", path[len(path)-1], maxXMLText, ErrTooLarge)
			}
			*text += string(t)
		case xml.EndElement:
			text = nil
			if len(path) > 0 {
				path = path[:len(path)-1]
				continue
			}
			return found.offer(wanted, add)
		}
	}
}

// field is where the text of an element belongs, nil when it is of no interest.
func (f *rpmPackage) field(path []string) *string {
	switch {
	case len(path) == 1 && path[0] == "name":
		return &f.name
	case len(path) == 1 && path[0] == "arch":
		return &f.arch
	case len(path) == 2 && path[0] == "format" && path[1] == "sourcerpm":
		return &f.source
	}
	return nil
}

// versionOf writes "[epoch:]version-release", empty when one of the two is missing.
func versionOf(attrs []xml.Attr) string {
	var epoch, version, release string
	for _, a := range attrs {
		switch a.Name.Local {
		case "epoch":
			epoch = a.Value
		case "ver":
			version = a.Value
		case "rel":
			release = a.Value
		}
	}
	if version == "" || release == "" {
		return ""
	}
	return joinEVR(epoch, version, release)
}

// joinEVR leaves out the epoch 0, as rpm does.
func joinEVR(epoch, version, release string) string {
	if epoch == "" || epoch == "0" {
		return version + "-" + release
	}
	return epoch + ":" + version + "-" + release
}

func (f rpmPackage) offer(wanted func(string) bool, add func(string, offer)) error {
	if f.name == "" || f.version == "" || f.arch == "" || strings.ContainsAny(f.name, " \t\n") {
		return fmt.Errorf("%w: a package without name, version or architecture (name %.100q)", ErrMalformed, f.name)
	}
	if f.arch == "src" || f.arch == "nosrc" || !wanted(f.name) {
		return nil
	}
	o := offer{version: f.version, arch: f.arch}
	o.source, o.sourceVersion = inventory.RPMSource(f.source, f.name, f.version)
	add(f.name, o)
	return nil
}
