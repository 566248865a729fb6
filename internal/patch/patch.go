// Package patch holds the noun patch, a newer package for an image, and the order of versions that decides what newer
// means. It is pure: what offers patches is read by internal/watch, what is installed by internal/inventory.
package patch

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/google/osv-scalibr/semantic"
)

// Patch is a newer package available for an image from the repositories that the image itself uses.
type Patch struct {
	Type         string `json:"type"` // package family: "deb", "apk", "rpm"; empty is "deb"
	Package      string `json:"package"`
	Architecture string `json:"architecture"`
	Source       string `json:"source"`
	From         string `json:"from"`
	To           string `json:"to"`
	Repository   string `json:"repository"` // "http://host/debian bookworm main"
	Held         bool   `json:"held,omitempty"`
	// PublishedAt is the Date of the release file that first offered it to us, epoch milliseconds.
	PublishedAt int64 `json:"published_at"`
}

// TakenBy says that an installed version has the patch: it is p.To or newer. A version that is none has not.
func (p Patch) TakenBy(installed string) bool {
	c, err := Compare(p.Type, installed, p.To)
	return err == nil && c >= 0
}

const maxVersion = 256 // bytes; the distributions' own stay far below

// ecosystems are the library's names for the orders of versions.
var ecosystems = map[string]string{
	"": "Debian", "deb": "Debian", "apk": "Alpine", "rpm": "Red Hat",
	"golang": "Go", "maven": "Maven", "npm": "npm", "pypi": "PyPI",
}

// apkVersion is the shape that apk's documentation gives versions. The library orders everything, and cannot say what is none.
var apkVersion = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*[a-z]?(_(alpha|beta|pre|rc|cvs|svn|git|hg|p)[0-9]*)*(~[0-9a-f]+)?(-r[0-9]+)?$`)

// check refuses what the library takes for a version and no package manager does.
func check(family, version string) error {
	switch {
	case len(version) > maxVersion:
		return fmt.Errorf("version %.100q is longer than %d bytes", version, maxVersion)
	case version == "" || strings.ContainsFunc(version, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return fmt.Errorf("%q is no version", version)
	case family == "apk" && !apkVersion.MatchString(version):
		return fmt.Errorf("%q is no version of an apk package, such as \"1.2.3_rc1-r0\"", version)
	}
	return nil
}

// Compare orders two versions of a package family: negative when a is older than b. It returns an error for what is no
// version and for a family that it does not know, and never panics: the library promises that for Parse only.
func Compare(family, a, b string) (order int, err error) {
	defer func() {
		if r := recover(); r != nil {
			order, err = 0, fmt.Errorf("compare versions %.100q and %.100q: %v", a, b, r)
		}
	}()
	ecosystem, ok := ecosystems[family]
	if !ok {
		return 0, fmt.Errorf("packages of type %.40q: the order of their versions is not known", family)
	}
	for _, v := range []string{a, b} {
		if err := check(family, v); err != nil {
			return 0, err
		}
	}
	v, err := semantic.Parse(a, ecosystem)
	if err != nil {
		return 0, fmt.Errorf("version %q: %w", a, err)
	}
	return v.CompareStr(b)
}
