package advisory

import (
	"fmt"
	"strings"

	"rebuilder/internal/inventory"
	"rebuilder/internal/patch"
)

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
	// The order of libraries is one of all texts, and does not say what is no version: "(devel)".
	if _, ok := libraries[family]; ok && family != inventory.Maven {
		for _, v := range []string{a, b} {
			if v == "" || !strings.ContainsAny(v[:1], "0123456789vV") {
				return 0, fmt.Errorf("%.100q is no version", v)
			}
		}
	}
	return patch.Compare(family, a, b)
}
