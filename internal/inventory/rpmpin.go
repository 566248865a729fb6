package inventory

import (
	"path"
	"regexp"
	"strings"
)

// The rules of RPM pins; those with a blank at their end have more behind it.
const (
	RuleExclude  = "exclude"         // these packages are not taken
	RuleInclude  = "include"         // only these packages are taken
	RuleLock     = "lock "           // of this package only the version that follows is taken, patterns allowed
	RuleStream   = "stream "         // of this module the stream that follows is enabled
	RuleDisabled = "module disabled" // of this module no stream is
)

const versionlockTOML = "/etc/dnf/versionlock.toml"

func versionlockLists() []string {
	return []string{"/etc/dnf/plugins/versionlock.list", "/etc/yum/pluginconf.d/versionlock.list"}
}

// pins are the image's rules: excludes and includes of all and of each enabled repository, locks, and modules.
func (d *dnf) pins() []Pin {
	all := d.filters(d.main, "")
	for _, s := range d.repos {
		if d.flag(s, "enabled", false, true) {
			all = append(all, d.filters(s, s.id)...)
		}
	}
	for _, file := range versionlockLists() {
		all = append(all, d.locks(file)...)
	}
	if strings.Contains(string(d.t.content(versionlockTOML)), "[[packages]]") {
		d.doubt("%s: the versions that dnf5 is locked to are not known", versionlockTOML)
	}
	all = append(all, d.modules()...)
	if patterns(all) > maxPins {
		d.doubt("%s: more than %d names of packages in excludes, includes, locks and modules: the rest of them is not known", d.main.file, maxPins)
		for patterns(all) > maxPins {
			all = all[:len(all)/2]
		}
	}
	return all
}

func (d *dnf) filters(s dnfSection, repository string) []Pin {
	var pins []Pin
	for _, f := range []struct{ option, rule string }{{"exclude", RuleExclude}, {"excludepkgs", RuleExclude}, {"includepkgs", RuleInclude}} {
		if names := splitList(s.options[f.option]); len(names) > 0 {
			pins = append(pins, Pin{Type: RPM, Packages: names, Rule: f.rule, Repository: repository, Where: s.file})
		}
	}
	return pins
}

// lockEntry is "name-epoch:version-release.arch", or yum's "epoch:name-version-release.arch"; each part may be a pattern.
var lockEntry = regexp.MustCompile(`^(?:(\d+):)?(.+)-(?:(\d+):)?([^-:]+)-([^-:]+)$`)

// locks reads a versionlock list. Entries that begin with "!" exclude that version.
func (d *dnf) locks(file string) []Pin {
	var pins []Pin
	for line := range strings.Lines(string(d.t.content(file))) {
		line, _, _ = strings.Cut(line, "#")
		entry, excluded := strings.CutPrefix(strings.TrimSpace(line), "!")
		if entry == "" {
			continue
		}
		if excluded {
			pins = append(pins, Pin{Type: RPM, Packages: []string{entry}, Rule: RuleExclude, Where: file})
			continue
		}
		m := lockEntry.FindStringSubmatch(entry)
		if m == nil {
			d.doubt("%s: lock %.100q is not understood: \"name-epoch:version-release.arch\" expected", file, entry)
			continue
		}
		epoch := m[1] + m[3]
		if epoch != "" && epoch != "0" {
			epoch += ":"
		} else {
			epoch = ""
		}
		pins = append(pins, Pin{Type: RPM, Packages: []string{m[2]}, Rule: RuleLock + epoch + m[4] + "-" + withoutArch(m[5]), Where: file})
	}
	return pins
}

// withoutArch cuts the architecture, or a pattern for it, off a release.
func withoutArch(release string) string {
	at := strings.LastIndexByte(release, '.')
	if at < 0 {
		return release
	}
	switch arch := release[at+1:]; arch {
	case "*", "noarch", "src", "x86_64", "i386", "i486", "i586", "i686", "aarch64", "armv7hl", "ppc64le", "s390x", "riscv64":
		return release[:at]
	}
	return release
}

// modules reads which streams are enabled, and which modules disabled.
func (d *dnf) modules() []Pin {
	var pins []Pin
	for _, file := range d.files(".module", "/etc/dnf/modules.d") {
		for _, s := range d.sections(file) {
			p := Pin{Type: RPM, Packages: []string{s.id}, Where: file}
			switch stream := s.options["stream"]; strings.ToLower(s.options["state"]) {
			case "enabled", "installed", "1", "true":
				if stream == "" {
					continue
				}
				p.Rule = RuleStream + stream
			case "disabled":
				p.Rule = RuleDisabled
			default:
				continue
			}
			pins = append(pins, p)
		}
	}
	return pins
}

// holdLocked marks the packages that are locked to exactly the version they have.
func holdLocked(packages []Package, pins []Pin) {
	locked := map[string]string{} // name -> version, empty when several or a pattern
	for _, p := range pins {
		version, ok := strings.CutPrefix(p.Rule, RuleLock)
		if !ok {
			continue
		}
		if _, again := locked[p.Packages[0]]; again || strings.ContainsAny(version, "*?[") {
			version = ""
		}
		locked[p.Packages[0]] = version
	}
	for i, p := range packages {
		if p.Type != RPM {
			continue
		}
		for name, version := range locked {
			if ok, _ := path.Match(name, p.Name); ok && version == p.Version {
				packages[i].Held = true
			}
		}
	}
}
