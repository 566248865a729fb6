package advisory

import (
	"fmt"
	"strings"

	"github.com/google/osv-scalibr/semantic"

	"rebuilder/internal/inventory"
	"rebuilder/internal/patch"
)

const maxVersion = 256 // bytes

// beginning is the version before all others, in OSV's words.
const beginning = "0"

// compare orders two versions of a type of packages. It returns an error for what is no version and never panics.
func compare(family, a, b string) (int, error) {
	switch {
	case a == b:
		return 0, nil
	case b == beginning:
		return 1, nil
	case a == beginning:
		return -1, nil
	}
	switch family {
	case inventory.Deb, inventory.APK, inventory.RPM:
		return patch.Compare(family, a, b)
	}
	return compareLibraries(family, a, b)
}

func compareLibraries(family, a, b string) (order int, err error) {
	defer func() { // the library panics on some of what it takes for a version
		if r := recover(); r != nil {
			order, err = 0, fmt.Errorf("compare versions %.100q and %.100q: %v", a, b, r)
		}
	}()
	for _, v := range []string{a, b} {
		if len(v) > maxVersion || v == "" || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return 0, fmt.Errorf("%.100q is no version", v)
		}
		// The library orders everything, and cannot say what is none: "(devel)".
		if family != inventory.Maven && !strings.ContainsAny(v[:1], "0123456789vV") {
			return 0, fmt.Errorf("%.100q is no version", v)
		}
	}
	v, err := semantic.Parse(a, libraries[family])
	if err != nil {
		return 0, fmt.Errorf("version %q: %w", a, err)
	}
	return v.CompareStr(b)
}
