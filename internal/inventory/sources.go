package inventory

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"pault.ag/go/debian/control"
)

const (
	sourcesList = "/etc/apt/sources.list"
	sourcesDir  = "/etc/apt/sources.list.d"
	maxSources  = 1000 // repositories of one image

	maxSourceStanza = 256 << 10 // bytes of one stanza: it may have keys in it
)

// source is one repository as a sources file names it, its keys not yet looked up.
type source struct {
	Repository
	signedBy []string // paths and fingerprints
	inline   string   // an armoured key; wins
}

// repositories are those of all package managers of an image.
func repositories(t *tree, platform string) ([]Repository, error) {
	var all []Repository
	for _, read := range []func(*tree, string) ([]Repository, error){aptRepositories, apkRepositories} {
		found, err := read(t, platform)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// aptRepositories reads the image's apt sources: sources.list, and sources.list.d's *.list and *.sources in the order
// of their names. Source packages, disabled entries and CD-ROMs are left out.
func aptRepositories(t *tree, platform string) ([]Repository, error) {
	arches := architectures(t, platform)
	var all []Repository
	for _, file := range sourceFiles(t) {
		found, err := parseSources(file, t.content(file))
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			if len(all) >= maxSources {
				return nil, fmt.Errorf("%s: more than %d package repositories", file, maxSources)
			}
			all = append(all, s.resolve(t, arches))
		}
	}
	return all, nil
}

func (s source) resolve(t *tree, arches []string) Repository {
	r := s.Repository
	r.Keys = keysOf(t, s)
	if len(r.Architectures) == 0 {
		r.Architectures = arches
	}
	native := arches[0]
	r.URI = strings.ReplaceAll(r.URI, "$(ARCH)", native)
	r.Suite = strings.ReplaceAll(r.Suite, "$(ARCH)", native)
	return r
}

// architectures returns the native one first, then the foreign ones that dpkg was told of.
func architectures(t *tree, platform string) []string {
	native := DebianArchitecture(platform)
	arches := []string{native}
	for _, a := range strings.Fields(string(t.content(dpkgForeign))) {
		if a != native && len(arches) < 10 {
			arches = append(arches, a)
		}
	}
	return arches
}

func sourceFiles(t *tree) []string {
	files := []string{sourcesList}
	for _, name := range t.names(sourcesDir) {
		if aptReads(name) {
			files = append(files, path.Join(sourcesDir, name))
		}
	}
	return files
}

// aptReads is apt's own rule for file names in sources.list.d.
func aptReads(name string) bool {
	if ext := path.Ext(name); ext != ".list" && ext != ".sources" {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == ""
}

// parseSources reads one sources file, by its name in the style of *.list or of *.sources. Errors name file and line
// or stanza.
func parseSources(file string, data []byte) ([]source, error) {
	if path.Ext(file) == ".sources" {
		return parseStanzas(file, data)
	}
	var all []source
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		s, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		if s != nil {
			s.Where = file
			all = append(all, *s)
		}
	}
	return all, nil
}

// parseLine reads "deb [option=value ...] uri suite component...". It returns nil for a line that names no repository
// of binary packages.
func parseLine(line string) (*source, error) {
	kind, rest := cutField(line)
	switch {
	case kind == "" || strings.HasPrefix(kind, "#"):
		return nil, nil
	case kind == "deb-src":
		return nil, nil
	case kind != "deb":
		return nil, fmt.Errorf("type %.40q: \"deb\" or \"deb-src\" expected", kind)
	}
	s := &source{Repository: Repository{Type: "deb"}}
	if strings.HasPrefix(rest, "[") {
		options, after, ok := strings.Cut(rest[1:], "]")
		if !ok {
			return nil, errors.New("\"[\" without \"]\"")
		}
		if err := s.options(options); err != nil {
			return nil, err
		}
		rest = after
	}
	rest, _, _ = strings.Cut(rest, "#")
	f := strings.Fields(rest)
	if len(f) > 0 && strings.HasPrefix(f[0], "cdrom:") {
		return nil, nil
	}
	if len(f) < 2 {
		return nil, errors.New("URI and suite expected")
	}
	s.URI, s.Suite, s.Components = f[0], f[1], f[2:]
	return s, s.check()
}

// cutField splits off the first word.
func cutField(s string) (first, rest string) {
	s = strings.TrimSpace(s)
	at := strings.IndexAny(s, " \t")
	if at < 0 {
		return s, ""
	}
	return s[:at], strings.TrimSpace(s[at:])
}

func (s *source) options(text string) error {
	for _, option := range strings.Fields(text) {
		key, value, ok := strings.Cut(option, "=")
		if !ok {
			return fmt.Errorf("option %.40q: \"name=value\" expected", option)
		}
		switch key {
		case "arch":
			s.Architectures = splitList(value)
		case "signed-by":
			s.signedBy = splitList(value)
		}
	}
	return nil
}

// check holds for both styles: a suite that ends in "/" is a directory and has no components, all others have some.
func (s *source) check() error {
	flat := strings.HasSuffix(s.Suite, "/")
	switch {
	case !strings.Contains(s.URI, ":"):
		return fmt.Errorf("%.100q is not a URI", s.URI)
	case flat && len(s.Components) > 0:
		return fmt.Errorf("suite %.100q ends in \"/\" and so has no components", s.Suite)
	case !flat && len(s.Components) == 0:
		return fmt.Errorf("suite %.100q has no components, such as \"main\"", s.Suite)
	}
	return nil
}

// parseStanzas reads the deb822 style.
func parseStanzas(file string, data []byte) ([]source, error) {
	stanzas := Stanzas(bytes.NewReader(data), maxSourceStanza, "Types", "URIs", "Suites", "Components", "Architectures", "Signed-By", "Enabled")
	r, err := control.NewParagraphReader(stanzas, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var all []source
	for n := 1; ; n++ {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: stanza %d: %.200w", file, n, err)
		}
		found, err := stanza(fields(p))
		if err != nil {
			return nil, fmt.Errorf("%s: stanza %d: %w", file, n, err)
		}
		for _, s := range found {
			if len(all) >= maxSources {
				return nil, fmt.Errorf("%s: more than %d package repositories", file, maxSources)
			}
			s.Where = file
			all = append(all, s)
		}
	}
}

// fields has lower-case names: apt does not care for case.
func fields(p *control.Paragraph) map[string]string {
	f := make(map[string]string, len(p.Values))
	for k, v := range p.Values {
		f[strings.ToLower(k)] = v
	}
	return f
}

// stanza makes a repository of each pair of URI and suite.
func stanza(f map[string]string) ([]source, error) {
	if len(f) == 0 || isNo(f["enabled"]) {
		return nil, nil
	}
	binary, err := hasBinary(f["types"])
	if err != nil || !binary {
		return nil, err
	}
	uris, suites := strings.Fields(f["uris"]), strings.Fields(f["suites"])
	if len(uris) == 0 || len(suites) == 0 {
		return nil, errors.New("URIs and Suites expected")
	}
	if len(uris)*len(suites) > maxSources {
		return nil, fmt.Errorf("more than %d package repositories", maxSources)
	}
	var all []source
	for _, uri := range uris {
		for _, suite := range suites {
			s := source{Repository: Repository{
				Type: "deb", URI: uri, Suite: suite,
				Components: strings.Fields(f["components"]), Architectures: strings.Fields(f["architectures"]),
			}}
			s.signedBy, s.inline = signedBy(f["signed-by"])
			if strings.HasPrefix(uri, "cdrom:") {
				continue
			}
			if err := s.check(); err != nil {
				return nil, err
			}
			all = append(all, s)
		}
	}
	return all, nil
}

func hasBinary(types string) (bool, error) {
	list := strings.Fields(types)
	if len(list) == 0 {
		return false, errors.New("a field Types is expected, such as \"deb\"")
	}
	binary := false
	for _, t := range list {
		if t != "deb" && t != "deb-src" {
			return false, fmt.Errorf("type %.40q: \"deb\" or \"deb-src\" expected", t)
		}
		binary = binary || t == "deb"
	}
	return binary, nil
}

// isNo is apt's idea of false.
func isNo(s string) bool {
	switch strings.ToLower(cmp.Or(strings.TrimSpace(s), "yes")) {
	case "no", "false", "without", "off", "disable", "0":
		return true
	}
	return false
}

// signedBy tells an inline key from a list of files and fingerprints.
func signedBy(s string) (list []string, inline string) {
	if strings.Contains(s, "-----BEGIN PGP") {
		return nil, strings.TrimSpace(s) + "\n"
	}
	return splitList(s), ""
}

func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
}
