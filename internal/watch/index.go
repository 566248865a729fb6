package watch

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/ulikunitz/xz"
	"pault.ag/go/debian/control"

	"rebuilder/internal/inventory"
)

// Index is what a package repository offers, as far as it is of interest. It is immutable.
type Index struct {
	Repository inventory.Repository
	Origin     string // of its release file, as the following: "Debian"
	Label      string // "Debian-Security"
	Suite      string // "oldstable-security"
	Codename   string // "bookworm-security"
	Version    string // "12.15"
	Date       time.Time
	ValidUntil time.Time // zero when it does not say
	// Hash identifies the packages offered: it changes when a Packages file does, and not when the release file is
	// signed anew.
	Hash string
	// NotAutomatic and ButAutomaticUpgrades are the release's: experimental has the first, backports both.
	NotAutomatic, ButAutomaticUpgrades bool
	// Unsigned says that nobody signed it, and that the image's package manager does not ask for it.
	Unsigned bool
	// Stale says why this is older knowledge: the repository was unreachable, or its state was refused. nil when it
	// was confirmed or read just now.
	Stale error

	packages map[string][]offer
}

// Name is what people know the repository by: "http://host/debian bookworm main".
func (ix *Index) Name() string { return repositoryName(ix.Repository) }

// Versions returns the versions of a package that the index offers, in its order. Packages that nobody wanted when it
// was read are not in it.
func (ix *Index) Versions(name string) []string {
	var all []string
	for _, o := range ix.packages[name] {
		all = append(all, o.version)
	}
	return all
}

// StateHash identifies what a set of repositories offers, whatever their order: the package steps of a build that was
// made at the same hash need not run again.
func StateHash(indexes []*Index) string {
	lines := make([]string, 0, len(indexes))
	for _, ix := range indexes {
		lines = append(lines, fmt.Sprintf("%q %q %q %q %s", cmp.Or(ix.Repository.URI, ix.Repository.Mirrors), ix.Repository.Suite, ix.Repository.Components, ix.Repository.Architectures, ix.Hash))
	}
	slices.Sort(lines)
	return hashLines(slices.Compact(lines))
}

func hashLines(lines []string) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(strings.Join(lines, "\n"))))
}

const maxStanza = 4 << 10 // bytes of what is read of one package

type packageStanza struct {
	Package, Version, Architecture, Source string
}

// readPackages reads a decompressed Packages file. wanted is asked for each name.
func readPackages(r io.Reader, component string, wanted func(string) bool, add func(string, offer)) error {
	dec, err := control.NewDecoder(inventory.Stanzas(r, maxStanza, "Package", "Version", "Architecture", "Source"), nil)
	if err != nil {
		return err
	}
	for {
		var s packageStanza
		err := dec.Decode(&s)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, ErrTooLarge) {
			return err
		}
		if err != nil {
			return fmt.Errorf("%w: %.200w", ErrMalformed, err)
		}
		if s.Package == "" || s.Version == "" {
			return fmt.Errorf("%w: a stanza without package or version (package %.100q)", ErrMalformed, s.Package)
		}
		if !wanted(s.Package) {
			continue
		}
		o := offer{version: s.Version, arch: s.Architecture, component: component}
		o.source, o.sourceVersion = inventory.DebianSource(s.Source, s.Package, s.Version)
		add(strings.Clone(s.Package), o)
	}
}

// decompress opens a Packages file by the extension of its name. Reading more than limit bytes is ErrTooLarge.
func decompress(name string, r io.Reader, limit int64) (io.Reader, error) {
	var err error
	switch path.Ext(name) {
	case ".gz":
		r, err = gzip.NewReader(r)
	case ".xz":
		r, err = xz.NewReader(r)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, ErrMalformed, err)
	}
	return &atMost{r: r, left: limit, name: "decompressed"}, nil
}

// atMost fails when there is more than it allows, where io.LimitReader would cut off in silence.
type atMost struct {
	r    io.Reader
	left int64
	name string
}

func (a *atMost) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if a.left -= int64(n); a.left < 0 {
		return 0, fmt.Errorf("%s: %w", a.name, ErrTooLarge)
	}
	return n, err
}
