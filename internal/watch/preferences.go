package watch

import (
	"net/url"
	"path"
	"regexp"
	"strings"

	"rebuilder/internal/inventory"
	"rebuilder/internal/patch"
)

// chooser follows apt_preferences(5). Repositories have priority 500, those marked NotAutomatic 1, or 100 when they are
// ButAutomaticUpgrades, unless the image pins them; what is installed has 100, or that of the repositories which offer it.
// The highest priority wins, then the highest version, and never an older one.
func (debian) chooser(inv *inventory.Inventory, indexes []*Index) chooser {
	a := &apt{native: inventory.DebianArchitecture(inv.Platform), indexes: indexes}
	a.pins = readPins(inv.Pins)
	return func(p inventory.Package) (best ranked, held, ok bool) {
		if best, ok = a.candidate(p, a.pins); ok || len(a.pins) == 0 {
			return best, false, ok
		}
		best, ok = a.candidate(p, nil)
		return best, true, ok
	}
}

// apt chooses as apt does.
type apt struct {
	native  string
	indexes []*Index
	pins    []aptPin
}

const installedPriority = 100

func (a *apt) candidate(p inventory.Package, pins []aptPin) (best ranked, ok bool) {
	installed := installedPriority
	for _, ix := range a.indexes {
		for _, o := range ix.packages[p.Name] {
			if !fits(p.Architecture, o.arch, a.native) {
				continue
			}
			newer, err := patch.Compare(inventory.Deb, o.version, p.Version)
			if err != nil || newer < 0 {
				continue
			}
			c := ranked{o, ix, priority(pins, p.Name, ix, o)}
			switch {
			case newer == 0:
				installed = max(installed, c.priority)
			case c.priority > 0 && (!ok || c.beats(best)):
				best, ok = c, true
			}
		}
	}
	if pin, is := installedPin(pins, p); is {
		installed = pin
	}
	return best, ok && best.priority >= installed
}

// priority is apt's: the first pin that names the package and matches the version, else the first that is for all
// packages and matches the repository, else the repository's own.
func priority(pins []aptPin, name string, ix *Index, o offer) int {
	for _, general := range []bool{false, true} {
		for i := range pins {
			if p := &pins[i]; p.general == general && p.names(name, o.source) && p.matches(ix, o) {
				return p.priority
			}
		}
	}
	switch {
	case ix.NotAutomatic && ix.ButAutomaticUpgrades:
		return 100
	case ix.NotAutomatic:
		return 1
	}
	return 500
}

// installedPin is the priority that a pin gives to the installed version itself, by its version or, with "release a=now",
// by its being installed.
func installedPin(pins []aptPin, p inventory.Package) (int, bool) {
	for i := range pins {
		pin := &pins[i]
		if pin.general || !pin.names(p.Name, p.Source) {
			continue
		}
		if pin.kind == "version" && pin.value(p.Version) || pin.now {
			return pin.priority, true
		}
	}
	return 0, false
}

// fits says whether an offer may replace an installed package: the same architecture, or one of the two is "all".
func fits(installed, offered, native string) bool {
	return offered == installed || offered == "all" || installed == "all" && offered == native
}

// aptPin is one stanza of apt preferences.
type aptPin struct {
	packages []aptName
	general  bool                         // for all packages
	kind     string                       // version, release or origin
	value    func(string) bool            // of version and origin
	release  map[string]func(string) bool // by the field's letter
	now      bool                         // of release: what is installed
	priority int
}

// aptName is what a pin calls packages by.
type aptName struct {
	source  bool
	matches func(string) bool
}

// readPins reads the rules of an image that are apt's. Those of kinds that apt does not know either match nothing.
func readPins(all []inventory.Pin) []aptPin {
	var pins []aptPin
	patterns := aptPatterns{left: maxRegexps}
	for _, p := range all {
		if p.Type != inventory.Deb {
			continue
		}
		kind, value, _ := strings.Cut(strings.TrimSpace(p.Rule), " ")
		pin := aptPin{kind: strings.ToLower(kind), priority: p.Priority}
		pin.general = len(p.Packages) == 1 && p.Packages[0] == "*" && pin.kind != "version"
		for _, name := range p.Packages {
			name, _, _ = strings.Cut(name, ":any")
			of, source := strings.CutPrefix(name, "src:")
			pin.packages = append(pin.packages, aptName{source, patterns.compile(of)})
		}
		if pin.kind == "release" {
			pin.release = map[string]func(string) bool{}
			for key, want := range releaseFields(value) {
				pin.release[key] = patterns.compile(want)
				pin.now = pin.now || key == "a" && want == "now"
			}
		} else {
			pin.value = patterns.compile(strings.Trim(strings.TrimSpace(value), `"`))
		}
		pins = append(pins, pin)
	}
	return pins
}

// releaseFields reads "a=stable, o=Debian"; a word alone is an archive, a codename, or a version when it is a number.
func releaseFields(text string) map[string]string {
	fields := map[string]string{}
	for _, f := range strings.Split(text, ",") {
		f = strings.TrimSpace(f)
		switch key, value, ok := strings.Cut(f, "="); {
		case f == "":
		case ok:
			fields[strings.TrimSpace(key)] = strings.Trim(strings.TrimSpace(value), `"`)
		case f[0] >= '0' && f[0] <= '9':
			fields["v"] = f
		default:
			fields[""] = f
		}
	}
	return fields
}

// names says that a pin is for a package: by its name or a pattern, or by its source ("src:openssl").
func (p *aptPin) names(name, source string) bool {
	for _, n := range p.packages {
		if n.source && n.matches(source) || !n.source && n.matches(name) {
			return true
		}
	}
	return false
}

func (p *aptPin) matches(ix *Index, o offer) bool {
	switch p.kind {
	case "version":
		return p.value(o.version)
	case "origin":
		u, err := url.Parse(ix.Repository.URI)
		return err == nil && p.value(u.Hostname())
	case "release":
		return ix.released(p.release, o)
	}
	return false
}

// released says that all fields of a pin are those of an index's release.
func (ix *Index) released(fields map[string]func(string) bool, o offer) bool {
	for letter, want := range fields {
		if letter == "" && (want(ix.Suite) || want(ix.Codename)) {
			continue
		}
		if is, known := ix.field(letter, o); !known || !want(is) {
			return false
		}
	}
	return len(fields) > 0
}

// field is one of a release, by the letter that pins name it with.
func (ix *Index) field(letter string, o offer) (value string, known bool) {
	switch letter {
	case "a":
		return ix.Suite, true
	case "n":
		return ix.Codename, true
	case "o":
		return ix.Origin, true
	case "l":
		return ix.Label, true
	case "c":
		return o.component, true
	case "v":
		return ix.Version, true
	case "b":
		return o.arch, true
	}
	return "", false
}

// Bounds of regular expressions in the pins of one image: an expression may take a megabyte.
const (
	maxRegexps = 100
	maxRegexp  = 256 // bytes
)

// aptPatterns makes functions of apt's patterns.
type aptPatterns struct{ left int } // regular expressions

// compile reads a pattern: of a shell, or a regular expression between slashes. One that is none matches nothing, as
// does what exceeds the bounds.
func (a *aptPatterns) compile(pattern string) func(string) bool {
	if len(pattern) > 2 && pattern[0] == '/' && pattern[len(pattern)-1] == '/' {
		if a.left--; a.left >= 0 && len(pattern) <= maxRegexp {
			if re, err := regexp.Compile(pattern[1 : len(pattern)-1]); err == nil {
				return re.MatchString
			}
		}
		return func(string) bool { return false }
	}
	if !strings.ContainsAny(pattern, `*?[\`) {
		return func(s string) bool { return s == pattern }
	}
	return func(s string) bool {
		ok, err := path.Match(pattern, s)
		return err == nil && ok
	}
}
