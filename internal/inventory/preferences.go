package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"pault.ag/go/debian/control"
)

const (
	preferences    = "/etc/apt/preferences"
	preferencesDir = "/etc/apt/preferences.d"
	maxPins        = 10_000 // names of packages, or patterns, in all rules of one image

	maxPinStanza = 256 << 10 // bytes of one stanza
)

// isPreferences says that a file may hold apt's pins.
func isPreferences(at string) bool {
	return at == preferences || strings.HasPrefix(at, preferencesDir+"/")
}

// aptPins reads the image's apt preferences, as apt_preferences(5) describes them, in the order in which apt reads them.
func aptPins(t *tree) ([]Pin, error) {
	files := []string{preferences}
	for _, name := range t.names(preferencesDir) {
		if ext := path.Ext(name); ext == "" || ext == ".pref" {
			files = append(files, path.Join(preferencesDir, name))
		}
	}
	var all []Pin
	for _, file := range files {
		found, err := parsePreferences(file, t.content(file))
		if err != nil {
			return nil, err
		}
		if all = append(all, found...); patterns(all) > maxPins {
			return nil, fmt.Errorf("%s: more than %d names of packages in pins", file, maxPins)
		}
	}
	return all, nil
}

// parsePreferences reads one file. Stanzas of comments alone are passed over. Errors name file and stanza.
func parsePreferences(file string, data []byte) ([]Pin, error) {
	r, err := control.NewParagraphReader(Stanzas(bytes.NewReader(data), maxPinStanza, "Package", "Pin", "Pin-Priority"), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var all []Pin
	for n := 1; ; n++ {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: stanza %d: %.200w", file, n, err)
		}
		f := fields(p)
		if f["package"] == "" && f["pin"] == "" {
			continue
		}
		priority, err := strconv.Atoi(strings.TrimSpace(f["pin-priority"]))
		packages := strings.Fields(f["package"])
		if err != nil || len(packages) == 0 || f["pin"] == "" {
			return nil, fmt.Errorf("%s: stanza %d: Package, Pin and a number as Pin-Priority expected", file, n)
		}
		all = append(all, Pin{Type: Deb, Packages: packages, Rule: strings.TrimSpace(f["pin"]), Priority: priority, Where: file})
	}
}

// patterns counts the names of packages in rules. Each is compared with each package of an image.
func patterns(pins []Pin) (n int) {
	for _, p := range pins {
		n += len(p.Packages)
	}
	return n
}

// pins are the rules of all package managers of an image.
func pins(t *tree) ([]Pin, error) {
	all, err := aptPins(t)
	if err != nil {
		return nil, err
	}
	world, err := apkPins(t)
	return append(all, world...), err
}
