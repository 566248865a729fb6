package inventory

import (
	"bytes"
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"gopkg.in/ini.v1"
)

// dnf is how an image configures its dnf, microdnf, yum or tdnf. A file of it that cannot be read is passed over, as
// they do, and said in unknown.
type dnf struct {
	t       *tree
	os      OS
	arch    dnfArch
	main    dnfSection
	repos   []dnfSection
	vars    map[string]string
	unknown []string
}

// dnfSection is one section of a configuration file.
type dnfSection struct {
	id, file string
	options  map[string]string
}

// dnfFiles is where dnf and its relatives look, each list in their order.
const (
	dnfConf  = "/etc/dnf/dnf.conf"
	tdnfConf = "/etc/tdnf/tdnf.conf"
	yumConf  = "/etc/yum.conf"
)

func dnfRepoDirs() []string {
	return []string{"/etc/yum.repos.d", "/etc/yum/repos.d", "/etc/distro.repos.d", "/usr/share/dnf5/repos.d"}
}

func dnfDropIns() []string {
	return []string{"/usr/share/dnf5/libdnf.conf.d", "/etc/dnf/libdnf5.conf.d"}
}

func dnfOverrides() []string {
	return []string{"/usr/share/dnf5/repos.override.d", "/etc/dnf/repos.override.d"}
}

func dnfVarDirs() []string {
	return []string{"/usr/share/dnf5/vars.d", "/etc/yum/vars", "/etc/dnf/vars", "/etc/tdnf/vars"}
}

// isRPMConfig says that a file may be part of dnf's configuration.
func isRPMConfig(at string) bool {
	switch {
	case at == yumConf:
		return true
	case slices.Contains(dnfVarDirs(), path.Dir(at)):
		return true
	case slices.Contains([]string{".repo", ".conf", ".list", ".module", ".toml"}, path.Ext(at)):
		for _, dir := range []string{"/etc/yum.repos.d/", "/etc/distro.repos.d/", "/etc/yum/", "/etc/dnf/", "/etc/tdnf/", "/usr/share/dnf5/"} {
			if strings.HasPrefix(at, dir) {
				return true
			}
		}
	}
	return false
}

// isRPMKey goes by the names that distributions give the keys in their images.
func isRPMKey(at string) bool {
	return strings.HasPrefix(path.Base(at), "RPM-GPG-KEY") || strings.Contains(at, "/rpm-gpg/")
}

// addDNF adds to an inventory what its image's dnf is configured to: repositories, pins, and what could not be told. The
// packages and the operating system must be known already.
func addDNF(t *tree, inv *Inventory) {
	d := &dnf{t: t, os: inv.OS, arch: rpmArch(inv.Platform)}
	d.read()
	inv.Repositories = append(inv.Repositories, d.repositories()...)
	pins := d.pins()
	holdLocked(inv.Packages, pins)
	inv.Pins = append(inv.Pins, pins...)
	inv.Unknown = append(inv.Unknown, d.unknown...)
}

func (d *dnf) doubt(format string, args ...any) {
	if len(d.unknown) < 100 {
		d.unknown = append(d.unknown, fmt.Sprintf(format, args...))
	}
}

// read reads all files but those of pins.
func (d *dnf) read() {
	d.main = dnfSection{id: "main", file: yumConf, options: map[string]string{}}
	for _, file := range []string{dnfConf, tdnfConf, yumConf} {
		if d.t.content(file) != nil {
			d.main.file = file
			d.add(file)
			break
		}
	}
	for _, file := range d.files(".conf", dnfDropIns()...) {
		d.add(file)
	}
	for _, file := range d.files(".repo", dnfRepoDirs()...) {
		d.add(file)
	}
	d.override()
	d.readVars()
	if dir := d.main.options["reposdir"]; dir != "" {
		d.doubt("%s: reposdir = %.200s: package repositories configured there are not watched", d.main.file, dir)
	}
	if len(d.files(".repo", "/etc/zypp/repos.d")) > 0 {
		d.doubt("/etc/zypp/repos.d: zypper's package repositories are not watched")
	}
}

// files lists the files of directories with an extension, by name within each.
func (d *dnf) files(ext string, dirs ...string) []string {
	var all []string
	for _, dir := range dirs {
		for _, name := range d.t.names(dir) {
			if path.Ext(name) == ext {
				all = append(all, path.Join(dir, name))
			}
		}
	}
	return all
}

// add takes over the sections of one file. Options of [main] add up; of a repository named twice the first counts.
func (d *dnf) add(file string) {
	for _, s := range d.sections(file) {
		switch {
		case s.id == "main":
			for k, v := range s.options {
				d.main.options[k] = v
			}
		case len(d.repos) >= maxSources:
			d.doubt("%s: more than %d package repositories", file, maxSources)
			return
		case !slices.ContainsFunc(d.repos, func(r dnfSection) bool { return r.id == s.id }):
			d.repos = append(d.repos, s)
		}
	}
}

// override changes repositories by dnf5's files for that, whose sections name them by patterns.
func (d *dnf) override() {
	for _, file := range d.files(".repo", dnfOverrides()...) {
		for _, s := range d.sections(file) {
			for _, r := range d.repos {
				if ok, _ := path.Match(s.id, r.id); !ok {
					continue
				}
				for k, v := range s.options {
					r.options[k] = v
				}
			}
		}
	}
}

// sections reads one file.
func (d *dnf) sections(file string) []dnfSection {
	all, err := parseINI(d.t.content(file))
	if err != nil {
		d.doubt("%s: %.200s: what it configures is not known", file, err)
		return nil
	}
	for i := range all {
		all[i].file = file
	}
	return all
}

// parseINI reads dnf's kind of INI file: "key = value", indented lines go on with the value, and only whole lines are
// comments.
func parseINI(data []byte) ([]dnfSection, error) {
	if err := checkINI(data); err != nil {
		return nil, err
	}
	f, err := ini.LoadSources(ini.LoadOptions{
		KeyValueDelimiters: "=", ChildSectionDelimiter: "\x00", // no section is another's child
		AllowPythonMultilineValues: true, IgnoreInlineComment: true, IgnoreContinuation: true, PreserveSurroundedQuote: true,
	}, data)
	if err != nil {
		return nil, err
	}
	var all []dnfSection
	for _, s := range f.Sections() {
		if s.Name() == ini.DefaultSection {
			continue
		}
		section := dnfSection{id: s.Name(), options: map[string]string{}}
		for _, k := range s.Keys() {
			section.options[k.Name()] = strings.TrimSpace(k.Value())
		}
		all = append(all, section)
	}
	return all, nil
}

const maxOptions = 1000 // of one section

// checkINI refuses what the library would take long for: its time goes by the square of the sections, and of the options
// in each.
func checkINI(data []byte) error {
	sections, options := 0, 0
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); bytes.HasPrefix(line, []byte("[")) {
			sections, options = sections+1, 0
		} else if bytes.IndexByte(line, '=') >= 0 {
			options++
		}
		if sections > maxSources || options > maxOptions {
			return fmt.Errorf("more than %d sections, or %d options in one", maxSources, maxOptions)
		}
	}
	return nil
}

// boolean reads dnf's idea of true and false; ok is false for neither.
func boolean(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "1", "yes", "true", "on":
		return true, true
	case "0", "no", "false", "off":
		return false, true
	}
	return false, false
}

// flag is an option of a section, or of [main] where inherited, or what it is when nobody says.
func (d *dnf) flag(s dnfSection, name string, inherited, unset bool) bool {
	text, from := s.options[name], s
	if text == "" && inherited {
		text, from = d.main.options[name], d.main
	}
	if text == "" {
		return unset
	}
	value, ok := boolean(text)
	if !ok {
		d.doubt("%s: [%s] %s = %.40q: 0 or 1 expected", from.file, from.id, name, text)
		return unset
	}
	return value
}

// dnfArch are the names of one architecture: the machine's, and the one that repositories are named by.
type dnfArch struct{ arch, base string }

func rpmArch(platform string) dnfArch {
	p, err := v1.ParsePlatform(platform)
	if err != nil {
		return dnfArch{}
	}
	switch p.Architecture + "/" + p.Variant {
	case "386/":
		return dnfArch{"i686", "i386"}
	case "arm/", "arm/v7":
		return dnfArch{"armv7hl", "armhfp"}
	case "arm/v6":
		return dnfArch{"armv6hl", "arm"}
	}
	switch p.Architecture {
	case "amd64":
		return dnfArch{"x86_64", "x86_64"}
	case "arm64":
		return dnfArch{"aarch64", "aarch64"}
	case "loong64":
		return dnfArch{"loongarch64", "loongarch64"}
	}
	return dnfArch{p.Architecture, p.Architecture} // ppc64le, s390x, riscv64
}

// readVars reads the variables that files define, one a file.
func (d *dnf) readVars() {
	d.vars = map[string]string{"arch": d.arch.arch, "basearch": d.arch.base}
	for _, dir := range dnfVarDirs() {
		for _, name := range d.t.names(dir) {
			first, _, _ := strings.Cut(string(d.t.content(path.Join(dir, name))), "\n")
			if first = strings.TrimSpace(first); first != "" {
				d.vars[name] = first
			}
		}
	}
}

// lookup finds a variable's value. The release is looked for when it is asked for the first time.
func (d *dnf) lookup(name string) (string, bool) {
	value, ok := d.vars[name]
	if ok {
		return value, value != ""
	}
	if !strings.HasPrefix(name, "releasever") {
		return "", false
	}
	release, ok := d.vars["releasever"]
	if !ok {
		release = releaseVersion(d.t, d.os)
		d.vars["releasever"] = release
	}
	major, minor, _ := strings.Cut(release, ".")
	switch name {
	case "releasever":
		return release, release != ""
	case "releasever_major":
		return major, major != ""
	case "releasever_minor":
		return minor, minor != ""
	}
	return "", false
}

// dnfVariable is $name, ${name}, ${name:-otherwise} or ${name:+instead}.
var dnfVariable = regexp.MustCompile(`\$(?:(\w+)|\{(\w+)(?::([-+])([^{}]*))?\})`)

// expand fills in variables; those that nothing in the image defines stay, and are returned.
func (d *dnf) expand(s string) (expanded string, missing []string) {
	expanded = dnfVariable.ReplaceAllStringFunc(s, func(found string) string {
		m := dnfVariable.FindStringSubmatch(found)
		value, ok := d.lookup(m[1] + m[2])
		switch {
		case m[3] == "+" && ok:
			return m[4]
		case m[3] == "+":
			return ""
		case ok:
			return value
		case m[3] == "-":
			return m[4]
		}
		missing = append(missing, found)
		return found
	})
	return expanded, missing
}

// releaseVersion finds what dnf calls releasever. It is the version of the package that provides the system's release;
// in the family of RHEL that package says to use the major version alone. Without such a package it is os-release's.
func releaseVersion(t *tree, os OS) string {
	if major, _, _ := strings.Cut(os.Version, "."); major != "" && likeRHEL(os.ID) {
		return major
	}
	return cmp.Or(releasePackage(t), os.Version)
}

func likeRHEL(id string) bool {
	return slices.Contains([]string{"rhel", "centos", "rocky", "almalinux", "ol", "cloudlinux", "eurolinux", "miraclelinux", "scientific", "virtuozzo"}, id)
}
