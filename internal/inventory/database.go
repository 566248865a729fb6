package inventory

import (
	"archive/tar"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxPackages = 200_000 // of one image
	maxWord     = 1 << 10 // bytes of a package's name or version
)

// database says how one package family keeps what is installed.
type database struct {
	family string
	// files names the files that may hold it in a tree; those that are not there are passed over.
	files func(t *tree) []string
	// read reads the packages of one file. What it reads is untrusted.
	read func(data []byte, add func(Package) error) error
	// together reads all files at once, in place of read, where one cannot be read without the others. Its errors name
	// the file.
	together func(files []databaseFile, add func(Package) error) error
}

// readFiles reads the packages of all files; errors name the file.
func (d database) readFiles(files []databaseFile, add func(Package) error) error {
	if d.together != nil {
		return d.together(files, add)
	}
	for _, f := range files {
		if err := d.read(f.data, add); err != nil {
			return fmt.Errorf("%s: %w", f.at, err)
		}
	}
	return nil
}

// databases are all that are looked for. An image may have several.
func databases() []database { return []database{dpkg, apkDB, rpm} }

// isDatabase says that the content of a file is a package database, wherever it lies: var, or lib, may be a link.
func isDatabase(at string) bool {
	return strings.HasSuffix(at, "/dpkg/status") || strings.HasSuffix(at, "/apk/db/installed") || isRPMDatabase(at)
}

type packageKey struct{ name, arch, version, typ, path string }

func keyOf(p Package) packageKey {
	key := packageKey{name: p.Name, arch: p.Architecture, version: p.Version}
	if p.Library() {
		key.typ, key.path = p.Type, p.Path
	}
	return key
}

// history follows one package database through the layers.
type history struct {
	database
	state    string // identifies the content of the database that packages were read from
	packages map[packageKey]Package
}

// after reads the database as it is after a layer, if that layer changed it. Packages whose version was not there
// before belong to that layer.
func (h *history) after(t *tree, layer int) error {
	files, state, err := h.filesIn(t)
	if err != nil {
		return fmt.Errorf("layer %d: %w", layer, err)
	}
	if state == h.state {
		return nil
	}
	for _, f := range files {
		t.parsedLeft -= int64(len(f.data))
	}
	if t.parsedLeft < 0 {
		return fmt.Errorf("layer %d: the package databases of all layers, and of all names of them, have more than %d bytes", layer, int64(maxParsed))
	}
	now := map[packageKey]Package{}
	err = h.readFiles(files, func(p Package) error {
		if !p.plain() {
			return fmt.Errorf("package %.100q, version %.100q: names of letters are expected, of some length", p.Name, p.Version)
		}
		if len(now) >= maxPackages {
			return fmt.Errorf("more than %d packages", maxPackages)
		}
		key := keyOf(p)
		p.Layer = layer
		if old, ok := h.packages[key]; ok {
			p.Layer = old.Layer
		}
		now[key] = p
		return nil
	})
	if err != nil {
		return fmt.Errorf("layer %d: %w", layer, err)
	}
	h.state, h.packages = state, now
	return nil
}

// plain says that a package's words are such as a package manager writes.
func (p Package) plain() bool {
	for _, s := range []string{p.Name, p.Version, p.Architecture, p.Source, p.SourceVersion} {
		if len(s) > maxWord || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
			return false
		}
	}
	return true
}

type databaseFile struct {
	at   string
	data []byte
}

// filesIn returns the files of the database, and a text that differs when any of them does.
func (h *history) filesIn(t *tree) ([]databaseFile, string, error) {
	var files []databaseFile
	var state strings.Builder
	for _, p := range h.files(t) {
		n, real := t.lookup(p, true)
		if n == nil || n.typ != tar.TypeReg {
			continue
		}
		data := n.more().data
		if data == nil {
			return nil, "", fmt.Errorf("%s is a link to %s, where no package database is read from", p, real)
		}
		files = append(files, databaseFile{p, data})
		fmt.Fprintf(&state, "%s %x\n", p, n.sum)
	}
	return files, state.String(), nil
}

// histories follows all databases.
type histories []*history

func newHistories() histories {
	var all histories
	for _, d := range databases() {
		all = append(all, &history{database: d})
	}
	return all
}

func (all histories) after(t *tree, layer int) error {
	for _, h := range all {
		if err := h.after(t, layer); err != nil {
			return err
		}
	}
	return nil
}

// packages are those of all databases, by name, then architecture, then version.
func (all histories) packages() []Package {
	var out []Package
	for _, h := range all {
		out = slices.AppendSeq(out, maps.Values(h.packages))
	}
	slices.SortFunc(out, comparePackages)
	return out
}

// comparePackages orders packages by name. What a distribution installed comes before libraries of the same name.
func comparePackages(a, b Package) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), compareBools(a.Library(), b.Library()), cmp.Compare(a.Architecture, b.Architecture),
		cmp.Compare(a.Type, b.Type), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Layer, b.Layer))
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
