// Package patch holds the noun patch, a newer package for an image, and the order of versions that decides what newer
// means. It is pure: what offers patches is read by internal/watch, what is installed by internal/inventory.
package patch

import (
	"fmt"

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
var ecosystems = map[string]string{"": "Debian", "deb": "Debian", "apk": "Alpine", "rpm": "Red Hat"}

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
	if len(a) > maxVersion || len(b) > maxVersion {
		return 0, fmt.Errorf("version %.100q or %.100q is longer than %d bytes", a, b, maxVersion)
	}
	v, err := semantic.Parse(a, ecosystem)
	if err != nil {
		return 0, fmt.Errorf("version %q: %w", a, err)
	}
	return v.CompareStr(b)
}
