package inventory

import (
	"bytes"
	"fmt"
	"strings"
)

const (
	apkWorldFile = "/etc/apk/world"
	maxAPKPins   = 10_000 // of one image
	apkCompare   = "<>=~" // the characters of an operator
)

// apkPins reads the constraints of the world, the packages that the image asks for by name, and the tags that apk
// remembers of packages which tagged ones brought in. Entries of the world that take any version, from repositories
// without a tag, are none.
func apkPins(t *tree) ([]Pin, error) {
	world, err := apkWorldPins(t)
	if err != nil {
		return nil, err
	}
	tagged := map[string]bool{}
	for _, p := range world {
		if strings.HasPrefix(p.Rule, "@") {
			tagged[p.Packages[0]] = true
		}
	}
	for _, at := range apkDatabases() {
		err := ReadAPK(bytes.NewReader(t.content(at)), func(r APKRecord) error {
			if r.Tag != "" && !tagged[r.Name] {
				tagged[r.Name] = true
				world = append(world, Pin{Type: APK, Packages: []string{r.Name}, Rule: "@" + r.Tag, Where: at})
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
	}
	return world, nil
}

func apkWorldPins(t *tree) ([]Pin, error) {
	var pins []Pin
	n := 0
	for line := range strings.Lines(string(t.content(apkWorldFile))) {
		n++
		for _, entry := range strings.Fields(line) {
			name, rules, err := apkConstraint(entry)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", apkWorldFile, n, err)
			}
			for _, rule := range rules {
				if len(pins) >= maxAPKPins {
					return nil, fmt.Errorf("%s: more than %d constraints", apkWorldFile, maxAPKPins)
				}
				pins = append(pins, Pin{Type: APK, Packages: []string{name}, Rule: rule, Where: fmt.Sprintf("%s:%d", apkWorldFile, n)})
			}
		}
	}
	return pins, nil
}

// apkConstraint reads "[!]name[@tag][operator version]" into rules such as "@edge", "<3.1", "!" and "!~1.2". A tag at
// the end is taken, too: some tools write it there.
func apkConstraint(entry string) (name string, rules []string, err error) {
	rest, not := strings.CutPrefix(entry, "!")
	version := ""
	if at := strings.IndexAny(rest, apkCompare); at >= 0 {
		rest, version = rest[:at], rest[at:]
	}
	name, tag, tagged := strings.Cut(rest, "@")
	if !tagged {
		version, tag, tagged = strings.Cut(version, "@")
	}
	if name == "" || tagged && (tag == "" || strings.ContainsAny(tag, apkCompare+"@!")) || !isAPKRange(version) {
		return "", nil, fmt.Errorf("%.100q: a package expected, such as \"name\", \"name=1.2-r0\" or \"name@tag\"", entry)
	}
	if tagged {
		rules = append(rules, "@"+tag)
	}
	switch {
	case not:
		rules = append(rules, "!"+version)
	case version != "":
		rules = append(rules, version)
	}
	return name, rules, nil
}

// isAPKRange says that a text is an operator and a version, a certain build, or nothing.
func isAPKRange(text string) bool {
	if text == "" {
		return true
	}
	version := strings.TrimLeft(text, apkCompare)
	return version != "" && (strings.HasPrefix(text, "><Q") || !strings.ContainsAny(version, apkCompare))
}

// holdPinned marks the packages of which the world takes exactly one version, or one build.
func holdPinned(packages []Package, pins []Pin) {
	exact := map[string]bool{}
	for _, p := range pins {
		op := p.Rule[:len(p.Rule)-len(strings.TrimLeft(p.Rule, apkCompare))]
		if p.Type == APK && (op == "=" || op == "==" || op == "><") {
			exact[p.Packages[0]] = true
		}
	}
	for i := range packages {
		if packages[i].Type == APK && exact[packages[i].Name] {
			packages[i].Held = true
		}
	}
}
