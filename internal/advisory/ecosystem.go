package advisory

import (
	"regexp"
	"strings"

	"rebuilder/internal/inventory"
)

// ecosystem is where a package's advisories are found, in OSV's words.
type ecosystem struct {
	name string // "Debian:12", "Go"
	// bare is the ecosystem without the release, for records that are for all releases; the same where there are none.
	bare string
}

// distribution is how OSV speaks of the packages of an operating system.
type distribution struct {
	ecosystem string
	family    string // type of its packages
	// release makes OSV's name of a release of VERSION_ID; empty when that names none. Nil: there are no releases.
	release func(version string) string
	// source says that records name source packages and their versions, not those that are installed.
	source bool
}

var (
	majorVersion = regexp.MustCompile(`^[0-9]{1,4}`)
	twoNumbers   = regexp.MustCompile(`^[0-9]{1,4}\.[0-9]{1,4}`)
	onlyNumbers  = regexp.MustCompile(`^[0-9]{1,4}\.[0-9]{1,4}(\.[0-9]{1,4})?$`)
)

func major(v string) string { return majorVersion.FindString(v) }

// alpineRelease is empty for edge, whose VERSION_ID is that of a release to come: 3.23_alpha20250612.
func alpineRelease(v string) string {
	if !onlyNumbers.MatchString(v) {
		return ""
	}
	return "v" + twoNumbers.FindString(v)
}

func ubuntuRelease(v string) string { return twoNumbers.FindString(v) }

// distributions by the ID of their os-release.
var distributions = map[string]distribution{
	"debian":        {"Debian", inventory.Deb, major, true},
	"ubuntu":        {"Ubuntu", inventory.Deb, ubuntuRelease, true},
	"alpine":        {"Alpine", inventory.APK, alpineRelease, true},
	"wolfi":         {"Wolfi", inventory.APK, nil, true},
	"chainguard":    {"Chainguard", inventory.APK, nil, true},
	"minimos":       {"MinimOS", inventory.APK, nil, true},
	"almalinux":     {"AlmaLinux", inventory.RPM, major, false},
	"rocky":         {"Rocky Linux", inventory.RPM, major, false},
	"rhel":          {"Red Hat", inventory.RPM, major, false},
	"opensuse-leap": {"openSUSE", inventory.RPM, func(v string) string { return leap(twoNumbers.FindString(v)) }, true},
	"mageia":        {"Mageia", inventory.RPM, major, true},
}

func leap(v string) string {
	if v == "" {
		return ""
	}
	return "Leap " + v
}

// libraries are OSV's ecosystems of libraries, by the type of their packages.
var libraries = map[string]string{inventory.Golang: "Go", inventory.Maven: "Maven", inventory.NPM: "npm", inventory.PyPI: "PyPI"}

// of is the ecosystem of an image's packages of a type. Without a name nothing can be said of them: why says so.
func of(os inventory.OS, family string) (e ecosystem, why string) {
	if l, ok := libraries[family]; ok {
		return ecosystem{l, l}, ""
	}
	d, ok := distributions[os.ID]
	switch {
	case os.ID == "":
		return e, "the image does not say which operating system it is"
	case !ok || d.family != family:
		return e, "advisories for " + family + " packages of " + strings.TrimSpace(os.ID+" "+os.Version) + " are not known to this program"
	case d.release == nil:
		return ecosystem{d.ecosystem, d.ecosystem}, ""
	}
	// Without its release an image would match the records of all of them.
	r := d.release(os.Version)
	if r == "" {
		return e, "the image does not say which release of " + os.ID + " it is"
	}
	return ecosystem{d.ecosystem + ":" + r, d.ecosystem}, ""
}

// named is the name and version by which records know a package.
func named(os inventory.OS, family, name, version, source, sourceVersion string) (string, string) {
	switch family {
	case inventory.Golang:
		// OSV has no v, and the standard library's versions are the toolchain's: go1.26.8.
		v := strings.TrimPrefix(strings.TrimPrefix(version, "v"), "go")
		v, _, _ = strings.Cut(v, " ") // "go1.26 X:experiment"
		return name, v
	case inventory.PyPI:
		return pypi(name), version
	case inventory.Maven, inventory.NPM:
		return name, version
	}
	if !distributions[os.ID].source {
		return name, version
	}
	if source == "" {
		source = name
	}
	if sourceVersion == "" {
		sourceVersion = version
	}
	return source, sourceVersion
}

var separators = regexp.MustCompile(`[-_.]+`)

// pypi is a project's name as PEP 503 normalises it.
func pypi(name string) string { return separators.ReplaceAllString(strings.ToLower(name), "-") }

var (
	redHatRelease = regexp.MustCompile(`^Red Hat:enterprise_linux:([0-9]+)(?:\.[0-9]+)?(?::.*)?$`)
	ubuntuLTS     = regexp.MustCompile(`^(Ubuntu:[0-9]+\.[0-9]+):LTS$`)
)

// kept is a record's ecosystem as it is looked for, and false for one that no image of ours can have. A product of Red Hat's
// has its repositories in its name, a release of Ubuntu its support.
func kept(name string) (string, bool) {
	if m := redHatRelease.FindStringSubmatch(name); m != nil {
		return "Red Hat:" + m[1], true
	}
	if m := ubuntuLTS.FindStringSubmatch(name); m != nil {
		return m[1], true
	}
	bare, _, _ := strings.Cut(name, ":")
	_, ok := familyOf[bare]
	return name, ok
}

// familyOf is the type of the packages of an ecosystem without its release.
var familyOf = func() map[string]string {
	all := map[string]string{}
	for family, name := range libraries {
		all[name] = family
	}
	for _, d := range distributions {
		all[d.ecosystem] = d.family
	}
	return all
}()

// family is the type of an ecosystem's packages.
func family(ecosystem string) string {
	bare, _, _ := strings.Cut(ecosystem, ":")
	return familyOf[bare]
}
