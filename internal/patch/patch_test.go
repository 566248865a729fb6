package patch_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"chainguard.dev/apko/pkg/apk/apk"

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

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		family, a, b string
		want         int
	}{
		{"", "1:1.0-1", "2.0", 1},
		{"deb", "1.0~rc1", "1.0", -1},
		{"apk", "1.2.3-r10", "1.2.3-r9", 1},
		{"apk", "1.0_rc1", "1.0", -1},
		{"apk", "1.0_p1_git20240101", "1.0_p1", 1},
		{"apk", "1.2b", "1.2a-r7", 1},
		{"apk", "1.0~0a1b-r1", "1.0~ffff-r0", 1},
		{"rpm", "1:1.0-1.el9", "9-1.el9", 1},
		{"rpm", "1.0~rc1-1", "1.0-1", -1},
		{"golang", "v1.2.10", "1.2.9", 1},
		{"golang", "v0.0.0-20260101000000-abcdefabcdef", "v0.0.0-20250101000000-abcdefabcdef", 1},
		{"maven", "1.0-alpha", "1.0", -1},
		{"npm", "1.0.0-rc.1", "1.0.0", -1},
		{"pypi", "1.0rc1", "1.0", -1},
	} {
		for _, sign := range []int{1, -1} {
			if got, err := patch.Compare(c.family, c.a, c.b); err != nil || got != sign*c.want {
				t.Errorf("%s: %s against %s: %d, %v; want %d", c.family, c.a, c.b, got, err, sign*c.want)
			}
			c.a, c.b = c.b, c.a
		}
	}
}

func TestCompareWhatIsNoVersion(t *testing.T) {
	for family, versions := range map[string][]string{
		"deb":  {"x:1", ":1"},
		"apk":  {"nonsense", "1.", ".1", "1..2", "1.2ab", "1.2_final", "1.2-1", "1.2-r", "v1", "1.2-r1-r2", "1:1.2"},
		"rpm":  nil,
		"cran": {"1.0"},
	} {
		for _, v := range append(versions, "", " ", "1 0", "1.0\n", "é", strings.Repeat("9", 1000)) {
			if order, err := patch.Compare(family, v, "1.0"); err == nil {
				t.Errorf("%s: %.20q is taken for a version (%d)", family, v, order)
			}
			if order, err := patch.Compare(family, "1.0", v); err == nil {
				t.Errorf("%s: %.20q is taken for a version, the other way round (%d)", family, v, order)
			}
		}
	}
}

// What apko takes for a version we do, too. The other way round it knows of no hashes, and of fewer suffixes.
func TestVersionsOfAPKAreApkos(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	parts := []string{"1", "0", "23", ".", "a", "b", "_rc", "_p", "_git", "_", "-r", "-", "alpha", " ", "x"}
	accepted, refused := 0, 0
	for range 50_000 {
		var v strings.Builder
		for range 1 + random.IntN(5) {
			v.WriteString(parts[random.IntN(len(parts))])
		}
		_, theirs := apk.ParseVersion(v.String())
		_, ours := patch.Compare("apk", v.String(), "1")
		switch {
		case theirs == nil && ours != nil:
			t.Errorf("apko takes %q for a version, we do not: %v", v.String(), ours)
		case theirs != nil && ours == nil && strings.Count(v.String(), "_") < 2:
			t.Errorf("we take %q for a version, apko does not: %v", v.String(), theirs)
		case ours == nil:
			accepted++
		default:
			refused++
		}
	}
	if accepted < 1000 || refused < 1000 {
		t.Errorf("%d accepted, %d refused", accepted, refused)
	}
}
