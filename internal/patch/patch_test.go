package patch_test

import (
	"strings"
	"testing"

	"rebuilder/internal/patch"
)

// That the order is dpkg's own is tested in internal/watch, where indexes are compared with it.
func TestTakenBy(t *testing.T) {
	for _, c := range []struct {
		to, installed string
		want          bool
	}{
		{"1.1", "1.0", false},
		{"1.1", "1.1", true},
		{"1.1", "1.2", true},
		{"1.1", "1.1~rc1", false},
		{"1:1.0", "9.9", false},
		{"1.1", "", false},
		{"1.1", "no version: at all", false},
		{"x:y", "1.0", false},
		{"1.1", strings.Repeat("9", 1000), false},
	} {
		if got := (patch.Patch{To: c.to}).TakenBy(c.installed); got != c.want {
			t.Errorf("%.20q has the patch to %q: %v, want %v", c.installed, c.to, got, c.want)
		}
	}
}
