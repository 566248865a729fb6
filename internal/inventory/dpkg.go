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
	dpkgStatus    = "/var/lib/dpkg/status"
	dpkgStatusDir = "/var/lib/dpkg/status.d" // one file a package, as distroless images have
	dpkgForeign   = "/var/lib/dpkg/arch"     // architectures, when there is more than the native one
)

const maxStanza = 4 << 10 // bytes of what is read of one package

// dpkg is the package database of Debian and what descends from it, distroless images included.
var dpkg = database{
	family: Deb,
	files: func(t *tree) []string {
		paths := []string{dpkgStatus}
		for _, name := range t.names(dpkgStatusDir) {
			if path.Ext(name) != ".md5sums" {
				paths = append(paths, dpkgStatusDir+"/"+name)
			}
		}
		return paths
	},
	read: readStatus,
}

type statusStanza struct {
	Package, Status, Version, Architecture, Source string
}

// readStatus reads the packages of one status file.
func readStatus(data []byte, add func(Package) error) error {
	dec, err := control.NewDecoder(Stanzas(bytes.NewReader(data), maxStanza, "Package", "Status", "Version", "Architecture", "Source"), nil)
	if err != nil {
		return err
	}
	for {
		var s statusStanza
		err := dec.Decode(&s)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("not a package database: %.200w", err)
		}
		p, ok, err := s.read()
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := add(p); err != nil {
			return err
		}
	}
}

// read makes a package of a stanza; ok is false for those that are not there.
//
// A package counts as soon as its files are unpacked, whether or not its scripts ran: a scanner, and an attacker, will
// find the files. So "installed", "unpacked", "half-configured", "triggers-awaited" and "triggers-pending" count;
// "half-installed", "config-files" and "not-installed" do not. A stanza without Status, as in status.d, counts.
func (s statusStanza) read() (p Package, ok bool, err error) {
	want, state, err := splitStatus(s.Status)
	if err != nil {
		return Package{}, false, fmt.Errorf("package %.100q: %w", s.Package, err)
	}
	switch state {
	case "installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending":
	default:
		return Package{}, false, nil
	}
	if s.Package == "" || s.Version == "" {
		return Package{}, false, fmt.Errorf("a stanza without package or version (package %.100q, version %.100q)", s.Package, s.Version)
	}
	p = Package{Type: Deb, Name: s.Package, Version: s.Version, Architecture: s.Architecture, Held: want == "hold"}
	p.Source, p.SourceVersion = DebianSource(s.Source, s.Package, s.Version)
	return p, true, nil
}

func splitStatus(status string) (want, state string, err error) {
	if status == "" {
		return "install", "installed", nil
	}
	f := strings.Fields(status)
	if len(f) != 3 {
		return "", "", fmt.Errorf("status %.100q: three words expected, such as \"install ok installed\"", status)
	}
	return f[0], f[2], nil
}

// DebianSource reads a field Source, "name (version)", of the binary package of that name and version; both default to its.
func DebianSource(field, ofName, ofVersion string) (name, version string) {
	name, version, _ = strings.Cut(field, "(")
	name, version = strings.TrimSpace(name), strings.TrimSuffix(strings.TrimSpace(version), ")")
	return cmp.Or(name, ofName), cmp.Or(version, ofVersion)
}

// DebianArchitecture is dpkg's name for a platform: "linux/arm/v7" is "armhf".
func DebianArchitecture(platform string) string {
	_, arch, _ := strings.Cut(platform, "/")
	switch arch {
	case "386":
		return "i386"
	case "arm", "arm/v7":
		return "armhf"
	case "arm/v5", "arm/v6":
		return "armel"
	case "ppc64le":
		return "ppc64el"
	case "mips64le":
		return "mips64el"
	case "mipsle":
		return "mipsel"
	}
	arch, _, _ = strings.Cut(arch, "/") // amd64/v2, arm64/v9
	return arch
}
