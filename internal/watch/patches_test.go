package watch

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"rebuilder/internal/inventory"
	"rebuilder/internal/patch"
)

// index of packages "name version [architecture]"; the suite decides its policy.
func indexOf(suite string, pkgs ...string) *Index {
	ix := &Index{Repository: inventory.Repository{URI: "http://h/debian", Suite: suite, Components: []string{"main", "contrib"}}, packages: map[string][]offer{}}
	ix.NotAutomatic = suite == "experimental" || suite == "backports"
	ix.ButAutomaticUpgrades = suite == "backports"
	for _, p := range pkgs {
		f := append(strings.Fields(p), "amd64")
		ix.packages[f[0]] = append(ix.packages[f[0]], offer{version: f[1], arch: f[2], component: "main", source: f[0], published: 7})
	}
	return ix
}

func TestPatches(t *testing.T) {
	for _, c := range []struct {
		name      string
		installed []string
		indexes   []*Index
		want      string
	}{
		{"up to date", []string{"a 1"}, []*Index{indexOf("stable", "a 1")}, ""},
		{"newer", []string{"a 1"}, []*Index{indexOf("stable", "a 1.1")}, "a 1 1.1 stable"},
		{"older", []string{"a 1"}, []*Index{indexOf("stable", "a 0.9")}, ""},
		{"not offered", []string{"a 1"}, []*Index{indexOf("stable", "b 2")}, ""},
		{"best of several suites", []string{"a 1"}, []*Index{indexOf("stable", "a 1.1"), indexOf("security", "a 1.3"), indexOf("updates", "a 1.2")}, "a 1 1.3 security"},
		{"best of several in one", []string{"a 1"}, []*Index{indexOf("stable", "a 1.1", "a 1.3", "a 1.2")}, "a 1 1.3 stable"},
		{"epoch", []string{"a 9"}, []*Index{indexOf("stable", "a 1:1")}, "a 9 1:1 stable"},
		{"tilde", []string{"a 1.0"}, []*Index{indexOf("stable", "a 1.0~rc1")}, ""},
		{"rebuilt binary", []string{"a 1-1"}, []*Index{indexOf("stable", "a 1-1+b1")}, "a 1-1 1-1+b1 stable"},
		{"held", []string{"a 1 held"}, []*Index{indexOf("stable", "a 2")}, "a 1 2 stable held"},
		{"other architecture", []string{"a 1"}, []*Index{indexOf("stable", "a 2 arm64")}, ""},
		{"became all", []string{"a 1"}, []*Index{indexOf("stable", "a 2 all")}, "a 1 2 stable"},
		{"was all", []string{"a 1 all"}, []*Index{indexOf("stable", "a 3 arm64", "a 2 amd64")}, "a 1 2 stable"},
		{"foreign", []string{"a 1 amd64", "a 1 i386"}, []*Index{indexOf("stable", "a 2 amd64", "a 3 i386")}, "a 1 2 stable; a 1 3 stable"},
		{"experimental", []string{"a 1"}, []*Index{indexOf("stable", "a 1"), indexOf("experimental", "a 2")}, ""},
		{"experimental, nowhere else", []string{"a 1"}, []*Index{indexOf("experimental", "a 2")}, ""},
		{"backports", []string{"a 1"}, []*Index{indexOf("stable", "a 1"), indexOf("backports", "a 2")}, ""},
		{"backports beside a patch", []string{"a 1"}, []*Index{indexOf("backports", "a 2"), indexOf("stable", "a 1.1")}, "a 1 1.1 stable"},
		{"installed from backports", []string{"a 2~bpo1"}, []*Index{indexOf("stable", "a 1"), indexOf("backports", "a 2~bpo2")}, "a 2~bpo1 2~bpo2 backports"},
		{"malformed installed", []string{"a x:y", "b 1"}, []*Index{indexOf("stable", "a 2", "b 2")}, "b 1 2 stable"},
		{"malformed offered", []string{"a 1"}, []*Index{indexOf("stable", "a :", "a 2", "a x:3", "a "+strings.Repeat("9", 1000))}, "a 1 2 stable"},
		{"no indexes", []string{"a 1"}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, p := range Patches(imageOf(nil, c.installed...), c.indexes) {
				s := fmt.Sprintf("%s %s %s %s", p.Package, p.From, p.To, strings.Fields(p.Repository)[1])
				if p.Held {
					s += " held"
				}
				got = append(got, s)
				if !strings.HasSuffix(p.Repository, " main") || p.PublishedAt != 7 {
					t.Errorf("repository %q, published %d", p.Repository, p.PublishedAt)
				}
			}
			if got := strings.Join(got, "; "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// dpkg decides what is newer; we must say the same.
func TestOrderIsDpkgs(t *testing.T) {
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Fatal("dpkg is needed for this test: install the package dpkg, or run it on Debian")
	}
	versions := []string{"1.0", "1.0-1", "1.0-1+b1", "1.0~rc1-1", "1.0-1~deb12u1", "1.0-1+deb12u1", "1:0.9", "1.0+dfsg-2", "1.0.0", "01.0", "1.0a", "1.0-0",
		"3.0.17-1~deb12u3", "99999999999999999999999.1", "1.0-1-1"}
	// One shell for all pairs: a process each would take longer than the rest of the tests.
	var script strings.Builder
	for _, a := range versions {
		for _, b := range versions {
			fmt.Fprintf(&script, "if dpkg --compare-versions %[1]s lt %[2]s; then echo -1; elif dpkg --compare-versions %[1]s gt %[2]s; then echo 1; else echo 0; fi\n", a, b)
		}
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", script.String()).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(out))
	for i, a := range versions {
		for j, b := range versions {
			got, err := patch.Compare("deb", a, b)
			if err != nil || fmt.Sprint(got) != want[i*len(versions)+j] {
				t.Errorf("compare(%s, %s) = %d, %v; dpkg says %s", a, b, got, err, want[i*len(versions)+j])
			}
		}
	}
}

func TestPatternsOfPins(t *testing.T) {
	patterns := aptPatterns{left: 3}
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"libc6", "libc6", true}, {"libc6", "libc6-dev", false}, {"libc*", "libc6-dev", true}, {"lib[ac]?", "libc6", true}, {"[", "[", false}, {"*", "", true},
		{"/^lib/", "libc6", true}, {"/^lib/", "zlib", false}, {"/(/", "(", false}, {"//", "//", true}, // the last is too short for an expression
		{"/^lib/", "libc6", false}, // the fourth expression
	} {
		if got := patterns.compile(c.pattern)(c.s); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.s, got)
		}
	}
	patterns.left = maxRegexps
	if patterns.compile("/" + strings.Repeat("a?", maxRegexp) + "/")("a") {
		t.Errorf("a regular expression of more than %d bytes matches", maxRegexp)
	}
}

func FuzzCompare(f *testing.F) {
	f.Add("1:1.0-1", "1.0~rc1")
	f.Add("a:b", "")
	f.Add("é", "1-")
	f.Fuzz(func(t *testing.T, a, b string) {
		ab, err1 := patch.Compare("deb", a, b)
		ba, err2 := patch.Compare("deb", b, a)
		if (err1 == nil) != (err2 == nil) || err1 == nil && ab != -ba {
			t.Errorf("compare(%q, %q) = %d, %v; the other way %d, %v", a, b, ab, err1, ba, err2)
		}
	})
}
