package advisory_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"rebuilder/internal/inventory"
)

// Each of these made some scanner say what is not so.
func TestTraps(t *testing.T) {
	lvm2 := func(version string) m {
		return record("CVE-2026-0001", "Debian:12", "lvm2", "introduced 0", "fixed "+version)
	}
	golang := func(name, version string) inventory.Package { return pkg(inventory.Golang, name, version) }
	w := newWorld(t, nil)
	for _, c := range []struct {
		name    string
		records []m
		os      inventory.OS
		p       inventory.Package
		want    string // of Findings and, without the id, of Affected
	}{
		{"the source's version counts, not the package's", []m{lvm2("2.03.16-3")}, bookworm, deb("dmsetup", "2:1.02.185-2", "lvm2", "2.03.16-2"), "CVE-2026-0001 dmsetup 2:1.02.185-2 fixed 2.03.16-3"},
		{"and where that has the fix, it has", []m{lvm2("2.03.16-3")}, bookworm, deb("dmsetup", "2:1.02.185-2", "lvm2", "2.03.16-3"), ""},
		{"a range of commits says nothing and hides nothing", []m{{"id": "CVE-2026-0001", "affected": []any{m{"package": m{"ecosystem": "Debian:12", "name": "lvm2"},
			"ranges": []any{ranged("GIT", "introduced 0"), ranged("ECOSYSTEM", "introduced 0", "fixed 9")}}}}}, bookworm, deb("lvm2", "2.03", "lvm2", ""), "CVE-2026-0001 lvm2 2.03 fixed 9"},
		{"a range of commits alone", []m{{"id": "CVE-2026-0001", "affected": []any{m{"package": m{"ecosystem": "Debian:12", "name": "lvm2"}, "ranges": []any{ranged("GIT", "introduced 0")}}}}}, bookworm, deb("lvm2", "2.03", "lvm2", ""), ""},
		{"another release", []m{record("CVE-2026-0001", "Debian:13", "lvm2", "introduced 0", "fixed 9"), record("CVE-2026-0002", "Debian:12", "x", "introduced 0")}, bookworm, deb("lvm2", "2.03", "lvm2", ""), ""},
		{"an ecosystem nobody knows", []m{{"id": "CVE-2026-0001", "affected": []any{affected("BrandNew:1", "z", "introduced 0"), affected("Debian:12", "lvm2", "introduced 0", "fixed 9")}}}, bookworm, deb("lvm2", "2.03", "lvm2", ""), "CVE-2026-0001 lvm2 2.03 fixed 9"},
		{"no fix", []m{record("CVE-2026-0001", "Debian:12", "lvm2", "introduced 0")}, bookworm, deb("lvm2", "2.03", "lvm2", ""), "CVE-2026-0001 lvm2 2.03"},
		{"fixed in 0 is never affected", []m{record("CVE-2026-0001", "Alpine:v3.22", "openssl", "introduced 0", "fixed 0")}, alpine, pkg(inventory.APK, "openssl", "3.5.0-r0"), ""},
		{"apk by its origin", []m{record("CVE-2026-0001", "Alpine:v3.22", "openssl", "introduced 0", "fixed 3.5.1-r0")}, alpine,
			inventory.Package{Type: inventory.APK, Name: "libssl3", Version: "3.5.0-r0", Source: "openssl", SourceVersion: "3.5.0-r0"}, "CVE-2026-0001 libssl3 3.5.0-r0 fixed 3.5.1-r0"},
		{"a list of versions", []m{{"id": "CVE-2026-0001", "affected": []any{m{"package": m{"ecosystem": "PyPI", "name": "Flask_Thing"}, "versions": []any{"1.0", "1.2"}, "ranges": []any{ranged("GIT", "introduced 0")}}}}}, bookworm,
			pkg(inventory.PyPI, "flask-thing", "1.2"), "CVE-2026-0001 flask-thing 1.2"},
		{"not in the list of versions", []m{{"id": "CVE-2026-0001", "affected": []any{m{"package": m{"ecosystem": "PyPI", "name": "Flask_Thing"}, "versions": []any{"1.0", "1.2"}}}}}, bookworm, pkg(inventory.PyPI, "flask-thing", "1.1"), ""},
		{"the project's name normalised", []m{record("CVE-2026-0001", "PyPI", "Zope.Interface", "introduced 0", "fixed 6")}, bookworm, pkg(inventory.PyPI, "zope-interface", "5.4"), "CVE-2026-0001 zope-interface 5.4 fixed 6"},
		{"withdrawn", []m{with(record("CVE-2026-0001", "Debian:12", "lvm2", "introduced 0"), "withdrawn", "2026-02-01T00:00:00Z"), record("CVE-2026-0002", "Debian:12", "x", "introduced 0")}, bookworm, deb("lvm2", "2.03", "lvm2", ""), ""},
		{"a Go module's v", []m{record("CVE-2026-0001", "Go", "golang.org/x/net", "introduced 0", "fixed 0.38.0")}, bookworm, golang("golang.org/x/net", "v0.37.0"), "CVE-2026-0001 golang.org/x/net v0.37.0 fixed 0.38.0"},
		{"a Go pseudo-version", []m{record("CVE-2026-0001", "Go", "golang.org/x/net", "introduced 0", "fixed 0.0.0-20260301000000-bbbbbbbbbbbb")}, bookworm,
			golang("golang.org/x/net", "v0.0.0-20260201000000-cccccccccccc"), "CVE-2026-0001 golang.org/x/net v0.0.0-20260201000000-cccccccccccc fixed 0.0.0-20260301000000-bbbbbbbbbbbb"},
		{"a Go module without a go.mod", []m{record("CVE-2026-0001", "Go", "github.com/a/b", "introduced 0", "fixed 2.1.0+incompatible")}, bookworm, golang("github.com/a/b", "v2.1.0+incompatible"), ""},
		{"Go's own library", []m{record("CVE-2026-0001", "Go", "stdlib", "introduced 1.26.0-0", "fixed 1.26.3")}, bookworm, golang("stdlib", "go1.26.2"), "CVE-2026-0001 stdlib go1.26.2 fixed 1.26.3"},
		{"a scope of npm", []m{record("CVE-2026-0001", "npm", "@acme/left-pad", "introduced 0", "fixed 1.1.0")}, bookworm, pkg(inventory.NPM, "@acme/left-pad", "1.0.0"), "CVE-2026-0001 @acme/left-pad 1.0.0 fixed 1.1.0"},
		{"without its scope it is another", []m{record("CVE-2026-0001", "npm", "left-pad", "introduced 0")}, bookworm, pkg(inventory.NPM, "@acme/left-pad", "1.0.0"), ""},
		{"a group of Maven", []m{record("CVE-2026-0001", "Maven", "org.apache:log4j", "introduced 2.0", "fixed 2.17.1")}, bookworm, pkg(inventory.Maven, "org.apache:log4j", "2.14.0"), "CVE-2026-0001 org.apache:log4j 2.14.0 fixed 2.17.1"},
		{"a library among the distribution's files", []m{record("CVE-2026-0001", "PyPI", "pip", "introduced 0", "fixed 25")}, bookworm,
			inventory.Package{Type: inventory.PyPI, Name: "pip", Version: "23.0", Owner: "python3-pip", Path: "/usr/lib/python3/dist-packages/pip"}, ""},
		{"an rpm by its own name", []m{record("CVE-2026-0001", "AlmaLinux:9", "openssl-libs", "introduced 0", "fixed 1:3.0.7-28.el9")}, alma,
			inventory.Package{Type: inventory.RPM, Name: "openssl-libs", Version: "1:3.0.7-27.el9", Source: "openssl", SourceVersion: "3.0.7-27.el9"}, "CVE-2026-0001 openssl-libs 1:3.0.7-27.el9 fixed 1:3.0.7-28.el9"},
		{"a module's fix is for its builds", []m{record("CVE-2026-0001", "AlmaLinux:9", "nodejs", "introduced 0", "fixed 1:20.1-1.module_el9.4.0+1")}, alma, pkg(inventory.RPM, "nodejs", "1:16.20-1.el9"), ""},
		{"a build of a module", []m{record("CVE-2026-0001", "AlmaLinux:9", "nodejs", "introduced 0", "fixed 1:20.1-1.module_el9.4.0+1")}, alma, pkg(inventory.RPM, "nodejs", "1:20.0-1.module_el9.4.0+1"), "CVE-2026-0001 nodejs 1:20.0-1.module_el9.4.0+1 fixed 1:20.1-1.module_el9.4.0+1"},
		{"a repository in the name of the release", []m{record("CVE-2026-0001", "Red Hat:enterprise_linux:9::baseos", "bash", "introduced 0", "fixed 5.2")}, inventory.OS{ID: "rhel", Version: "9.4"}, pkg(inventory.RPM, "bash", "5.1"), "CVE-2026-0001 bash 5.1 fixed 5.2"},
		{"support in the name of the release", []m{record("CVE-2026-0001", "Ubuntu:24.04:LTS", "bash", "introduced 0", "fixed 5.2")}, inventory.OS{ID: "ubuntu", Version: "24.04"}, deb("bash", "5.1", "bash", ""), "CVE-2026-0001 bash 5.1 fixed 5.2"},
		{"paid support is another", []m{record("CVE-2026-0001", "Ubuntu:Pro:24.04:LTS", "bash", "introduced 0", "fixed 5.2"), record("CVE-2026-0002", "Ubuntu:24.04:LTS", "x", "introduced 0")}, inventory.OS{ID: "ubuntu", Version: "24.04"}, deb("bash", "5.1", "bash", ""), ""},
		{"no releases", []m{record("CVE-2026-0001", "Wolfi", "bash", "introduced 0", "fixed 5.2-r1")}, inventory.OS{ID: "wolfi", Version: "20230201"}, pkg(inventory.APK, "bash", "5.2-r0"), "CVE-2026-0001 bash 5.2-r0 fixed 5.2-r1"},
		{"for all releases", []m{record("CVE-2026-0001", "Debian", "bash", "introduced 0", "fixed 5.2")}, bookworm, deb("bash", "5.1", "bash", ""), "CVE-2026-0001 bash 5.1 fixed 5.2"},
		{"several lines of versions", []m{record("CVE-2026-0001", "Go", "stdlib", "introduced 0", "fixed 1.25.9", "introduced 1.26.0-0", "fixed 1.26.3")}, bookworm, golang("stdlib", "go1.25.9"), ""},
		{"events in no order", []m{record("CVE-2026-0001", "Go", "stdlib", "fixed 1.26.3", "introduced 1.26.0-0", "fixed 1.25.9", "introduced 0")}, bookworm, golang("stdlib", "go1.26.1"), "CVE-2026-0001 stdlib go1.26.1 fixed 1.26.3"},
		{"the last affected one", []m{record("CVE-2026-0001", "npm", "a", "introduced 0", "last_affected 1.2.0")}, bookworm, pkg(inventory.NPM, "a", "1.2.0"), "CVE-2026-0001 a 1.2.0"},
		{"after the last affected one", []m{record("CVE-2026-0001", "npm", "a", "introduced 0", "last_affected 1.2.0")}, bookworm, pkg(inventory.NPM, "a", "1.2.1"), ""},
		{"beyond the limit", []m{record("CVE-2026-0001", "npm", "a", "introduced 0", "limit 2.0.0")}, bookworm, pkg(inventory.NPM, "a", "2.0.0"), ""},
		{"below the limit", []m{record("CVE-2026-0001", "npm", "a", "introduced 0", "limit 2.0.0")}, bookworm, pkg(inventory.NPM, "a", "1.9.9"), "CVE-2026-0001 a 1.9.9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			w.clear()
			w.write(c.records...)
			if s := w.sync(); s.Error != "" || s.Broken != 0 {
				t.Fatalf("%+v", s)
			}
			inv := image(c.os, c.p)
			want := []string{}
			if c.want != "" {
				want = append(want, c.want)
			}
			w.same("findings", w.found(inv), want)
			w.save(inv)
			for i, s := range want {
				want[i] = strings.TrimPrefix(s, "CVE-2026-0001 ")
			}
			w.same("affected", w.hits("cve-2026-0001"), want)
		})
	}
}

// Without its release an image would have the advisories of all releases: nothing is known of it instead.
func TestWithoutAReleaseNothingIsKnown(t *testing.T) {
	w := newWorld(t, nil)
	w.write(record("CVE-2026-0001", "Debian:12", "lvm2", "introduced 0"), record("CVE-2026-0002", "Debian", "lvm2", "introduced 0"), record("CVE-2026-0003", "Alpine:v3.22", "lvm2", "introduced 0"))
	w.sync()
	for _, c := range []struct {
		os  inventory.OS
		p   inventory.Package
		why string
	}{
		{inventory.OS{ID: "debian"}, deb("lvm2", "1", "lvm2", ""), "the image does not say which release of debian it is"},
		{inventory.OS{ID: "alpine", Version: "3.23_alpha20250612"}, pkg(inventory.APK, "lvm2", "1-r0"), "the image does not say which release of alpine it is"},
		{inventory.OS{}, deb("lvm2", "1", "lvm2", ""), "the image does not say which operating system it is"},
		{inventory.OS{ID: "plan9", Version: "4"}, deb("lvm2", "1", "lvm2", ""), "advisories for deb packages of plan9 4 are not known to this program"},
		{inventory.OS{ID: "debian", Version: "12"}, deb("lvm2", "1", "lvm2", ""), ""},
		{inventory.OS{ID: "almalinux", Version: "9"}, pkg(inventory.RPM, "lvm2", "1"), "no source has advisories for AlmaLinux:9"},
	} {
		r := w.result(image(c.os, c.p))
		if r.Covered() != (c.why == "") || len(r.Coverage) != 1 || r.Coverage[0].Why != c.why || r.Coverage[0].Packages != 1 {
			t.Errorf("%+v: %+v, want %q", c.os, r, c.why)
		}
		if c.why != "" && (len(r.Findings) != 0 || !r.AsOf.IsZero()) {
			t.Errorf("%+v: %+v", c.os, r)
		}
	}
}

// What is no version cannot be compared: that is said, and the rest is judged.
func TestVersionsThatAreNone(t *testing.T) {
	w := newWorld(t, nil)
	w.write(record("CVE-2026-0001", "Debian:12", "lvm2", "introduced 0", "fixed 2"), record("CVE-2026-0002", "Debian:12", "bash", "introduced 0", "fixed x:y"), record("CVE-2026-0003", "Debian:12", "curl", "introduced 0", "fixed 8"),
		record("CVE-2026-0004", "Go", "example.com/a", "introduced 1.0.0"))
	w.sync()
	inv := image(bookworm, deb("lvm2", "a:b", "lvm2", ""), deb("bash", "5", "bash", ""), deb("curl", "7", "curl", ""), pkg(inventory.Golang, "example.com/a", "(devel)"))
	w.same("findings", w.found(inv), []string{"CVE-2026-0003 curl 7 fixed 8"})
	r := w.result(inv)
	if len(r.Unknown) != 3 || !strings.HasPrefix(r.Unknown[0], "whether CVE-2026-0002 hits bash 5 is not known: ") {
		t.Errorf("%q", r.Unknown)
	}
	w.save(inv)
	if got := w.hits("CVE-2026-0001"); len(got) != 1 || !strings.HasPrefix(got[0], "lvm2 a:b unknown: ") {
		t.Errorf("%q", got)
	}
}

// Several files may have one advisory, each for another release, also of one name in one zip file.
func TestOneAdvisoryInSeveralFiles(t *testing.T) {
	w := newWorld(t, nil)
	el8, el9 := record("ALSA-2024:0265", "AlmaLinux:8", "java", "introduced 0", "fixed 2.el8"), record("ALSA-2024:0265", "AlmaLinux:9", "java", "introduced 0", "fixed 2.el9")
	w.file("AlmaLinux/all.zip", zipped(t, "ALSA-2024:0265.json", string(raw(t, el8)), "ALSA-2024:0265.json", string(raw(t, el9))))
	if s := w.sync(); s.Records != 2 || s.Broken != 0 || !slices.Equal(s.Ecosystems, []string{"AlmaLinux:8", "AlmaLinux:9"}) {
		t.Fatalf("%+v", s)
	}
	w.same("el9", w.found(image(alma, pkg(inventory.RPM, "java", "1.el9"))), []string{"ALSA-2024:0265 java 1.el9 fixed 2.el9"})
	w.same("el8", w.found(image(inventory.OS{ID: "almalinux", Version: "8.10"}, pkg(inventory.RPM, "java", "1.el8"))), []string{"ALSA-2024:0265 java 1.el8 fixed 2.el8"})
}

// Records are read by many at once; go test -race looks whether anybody writes.
func TestMatchingAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.write(record("CVE-2026-0001", "Debian:12", "lvm2", "fixed 3", "introduced 0", "introduced 5"))
	w.sync()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20 {
				w.same("findings", w.found(image(bookworm, deb("lvm2", "2", "lvm2", ""))), []string{"CVE-2026-0001 lvm2 2 fixed 3"})
			}
		})
	}
	all.Wait()
}
