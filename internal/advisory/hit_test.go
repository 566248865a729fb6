package advisory_test

import (
	"strings"
	"testing"

	"rebuilder/internal/advisory"
	"rebuilder/internal/inventory"
)

// Whether a newer version has the fix is told only where the package has its source's versions.
func TestAHitSaysWhatFixesIt(t *testing.T) {
	w := newWorld(t, nil)
	w.write(record("CVE-2026-0001", "Debian:12", "openssl", "introduced 0", "fixed 3.0.3"), record("CVE-2026-0002", "Debian:12", "openssl", "introduced 0"))
	w.sync()
	w.save(image(bookworm, deb("libssl3", "3.0.1", "openssl", "3.0.1"), deb("ssl-tools", "1:3.0.1", "openssl", "3.0.1")))
	for id, want := range map[string]map[string]bool{
		"cve-2026-0001": {"libssl3 3.0.2": false, "libssl3 3.0.3": true, "ssl-tools 1:3.0.3": false},
		"CVE-2026-0002": {"libssl3 3.0.3": false},
	} {
		hits, err := w.book.Affected(t.Context(), id)
		if err != nil || len(hits) != 2 {
			t.Fatalf("%+v, %v", hits, err)
		}
		for _, h := range hits {
			for newer, fixes := range want {
				if name, version, _ := strings.Cut(newer, " "); name == h.Package && h.Fixes(version) != fixes {
					t.Errorf("%s: %s fixes it: %v", id, newer, !fixes)
				}
			}
		}
		if hits[0].PURL != "pkg:deb/debian/libssl3@3.0.1?arch=amd64&distro=debian-12" {
			t.Error(hits[0].PURL)
		}
	}
}

func TestCovers(t *testing.T) {
	w := newWorld(t, nil)
	w.write(record("CVE-2026-0001", "Debian:12", "openssl", "introduced 0"))
	state := w.sync()
	covers, err := w.book.Covers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		os     inventory.OS
		family string
		want   advisory.Coverage
	}{
		{bookworm, inventory.Deb, advisory.Coverage{Type: "deb", Ecosystem: "Debian:12", Covered: true, AsOf: state.OKAt}},
		{bookworm, inventory.Golang, advisory.Coverage{Type: "golang", Ecosystem: "Go", Why: "no source has advisories for Go"}},
		{alpine, inventory.APK, advisory.Coverage{Type: "apk", Ecosystem: "Alpine:v3.22", Why: "no source has advisories for Alpine:v3.22"}},
		{inventory.OS{}, inventory.APK, advisory.Coverage{Type: "apk", Why: "the image does not say which operating system it is"}},
	} {
		if got := covers(c.os, c.family); got != c.want {
			t.Errorf("%s %s: %+v", c.os.ID, c.family, got)
		}
	}
}
