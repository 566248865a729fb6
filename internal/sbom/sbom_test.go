package sbom_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	packageurl "github.com/package-url/packageurl-go"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdxlib"

	"rebuilder/internal/golden"
	"rebuilder/internal/inventory"
	"rebuilder/internal/sbom"
	"rebuilder/internal/sbom/sbomtest"
)

func hash(c string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(c, 64)} }

var subject = sbom.Subject{Name: "registry.example.com/base/debian", Version: "1.2.3"}

// debian has what is hard: epochs, source packages of another version, a library of the distribution's and one that is not.
func debian() *inventory.Inventory {
	return &inventory.Inventory{
		Format: inventory.Format, Digest: hash("a"), Platform: "linux/amd64",
		OS:      inventory.OS{ID: "debian", Version: "12", Codename: "bookworm"},
		DiffIDs: []v1.Hash{hash("1"), hash("2")},
		Config:  inventory.Config{Created: time.Date(2026, 11, 18, 6, 30, 0, 0, time.FixedZone("", 3600))},
		Packages: []inventory.Package{
			{Type: inventory.NPM, Name: "@scope/thing", Version: "1.0.0", Layer: 1, Path: "/app/node_modules/@scope/thing/package.json"},
			{Type: inventory.NPM, Name: "abbrev", Version: "1.1.1", Layer: 0, Path: "/usr/share/nodejs/abbrev/package.json", Owner: "node-abbrev"},
			{Type: inventory.Deb, Name: "dmsetup", Version: "2:1.02.185-2", Architecture: "amd64", Source: "lvm2", SourceVersion: "2.03.16-2"},
			{Type: inventory.Golang, Name: "github.com/BurntSushi/toml", Version: "v1.6.0", Layer: 1, Path: "/app/server"},
			{Type: inventory.Deb, Name: "libc6", Version: "2.36-9+deb12u4", Architecture: "amd64", Source: "glibc", SourceVersion: "2.36-9+deb12u4"},
			{Type: inventory.Maven, Name: "org.example:parser", Version: "4.2", Layer: 1, Path: "/app/lib.jar"},
			{Type: inventory.PyPI, Name: "some-package", Version: "0.9", Layer: 1, Path: "/usr/local/lib/python3/some.dist-info/METADATA"},
			{Type: inventory.Golang, Name: "stdlib", Version: "v1.26.8", Layer: 1, Path: "/app/server"},
			{Type: inventory.Deb, Name: "tzdata", Version: "2026b-0+deb12u1", Architecture: "all", Source: "tzdata", SourceVersion: "2026b-0+deb12u1"},
		},
	}
}

func alma() *inventory.Inventory {
	return &inventory.Inventory{
		Digest: hash("b"), Platform: "linux/arm64", OS: inventory.OS{ID: "almalinux", Version: "9.2"}, DiffIDs: []v1.Hash{hash("1")},
		Packages: []inventory.Package{
			{Type: inventory.RPM, Name: "dbus", Version: "1:1.12.20-7.el9", Architecture: "aarch64", Source: "dbus", SourceVersion: "1:1.12.20-7.el9"},
			{Type: inventory.RPM, Name: "nodejs", Version: "1:18.9.1-1.module_el9", Architecture: "aarch64", Source: "nodejs", SourceVersion: "1:18.9.1-1.module_el9", Module: "nodejs:18"},
		},
	}
}

func alpine() *inventory.Inventory {
	return &inventory.Inventory{
		Digest: hash("c"), Platform: "linux/amd64", OS: inventory.OS{ID: "alpine", Version: "3.18.4"}, DiffIDs: []v1.Hash{hash("1")},
		Packages: []inventory.Package{{Type: inventory.APK, Name: "libssl3", Version: "3.1.3-r0", Architecture: "x86_64", Source: "openssl", SourceVersion: "3.1.3-r0"}},
	}
}

// nowhere says neither what it is nor who made it, and has a package twice.
func nowhere() *inventory.Inventory {
	p := inventory.Package{Type: inventory.Deb, Name: "a", Version: "1", Layer: 7}
	return &inventory.Inventory{Digest: hash("d"), Packages: []inventory.Package{p, p, {Type: "other", Name: "b"}}}
}

func all() map[string]*inventory.Inventory {
	return map[string]*inventory.Inventory{"debian": debian(), "alma": alma(), "alpine": alpine(), "nowhere": nowhere()}
}

func TestGolden(t *testing.T) {
	for name, inv := range all() {
		s := subject
		if name == "nowhere" {
			s = sbom.Subject{}
		}
		t.Run(name, func(t *testing.T) {
			golden.Compare(t, "testdata/"+name+".cdx.json", string(must(t, sbom.CycloneDX, inv, s)))
			golden.Compare(t, "testdata/"+name+".spdx.json", string(must(t, sbom.SPDX, inv, s)))
		})
	}
}

type writer func(*inventory.Inventory, sbom.Subject) ([]byte, error)

func must(t *testing.T, write writer, inv *inventory.Inventory, s sbom.Subject) []byte {
	t.Helper()
	out, err := write(inv, s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What is written can be read, and holds each package once, with its URL.
func TestRoundTrip(t *testing.T) {
	for name, inv := range all() {
		t.Run(name, func(t *testing.T) {
			var bom cdx.BOM
			if err := cdx.NewBOMDecoder(bytes.NewReader(must(t, sbom.CycloneDX, inv, subject)), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
				t.Fatal(err)
			}
			doc, err := spdxjson.Read(bytes.NewReader(must(t, sbom.SPDX, inv, subject)))
			if err != nil {
				t.Fatal(err)
			}
			if err := spdxlib.ValidateDocument(doc); err != nil {
				t.Error(err)
			}
			refs, system := map[string]bool{}, 0
			for _, c := range *bom.Components {
				if refs[c.BOMRef] {
					t.Errorf("the reference %s is there twice", c.BOMRef)
				}
				refs[c.BOMRef] = true
				if c.Type == cdx.ComponentTypeOS {
					system++
				}
			}
			if got := len(*bom.Components) - system; got != len(inv.Packages) {
				t.Errorf("%d components of %d packages", got, len(inv.Packages))
			}
			if got := len(doc.Packages) - system - 1; got != len(inv.Packages) {
				t.Errorf("%d SPDX packages of %d", got, len(inv.Packages))
			}
			for _, d := range *bom.Dependencies {
				for _, ref := range *d.Dependencies {
					if !refs[ref] {
						t.Errorf("%s depends on %s, which is not there", d.Ref, ref)
					}
				}
			}
		})
	}
}

func TestCycloneDXSchema(t *testing.T) {
	for name, inv := range all() {
		for _, err := range sbomtest.CycloneDX(t, must(t, sbom.CycloneDX, inv, subject)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if sbomtest.CycloneDX(t, []byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":"none"}`)) == nil {
		t.Error("the schema takes anything")
	}
}

func TestPackageURL(t *testing.T) {
	for _, c := range []struct {
		name string
		os   inventory.OS
		p    inventory.Package
		want string
	}{
		{"of its own source", debian().OS, inventory.Package{Type: inventory.Deb, Name: "tzdata", Version: "2026b-0", Architecture: "all", Source: "tzdata", SourceVersion: "2026b-0"},
			"pkg:deb/debian/tzdata@2026b-0?arch=all&distro=debian-12"},
		{"another source", debian().OS, inventory.Package{Type: inventory.Deb, Name: "libc6", Version: "2.36-9+deb12u4", Architecture: "amd64", Source: "glibc", SourceVersion: "2.36-9+deb12u4"},
			"pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=amd64&distro=debian-12&upstream=glibc"},
		{"another source version", debian().OS, inventory.Package{Type: inventory.Deb, Name: "dmsetup", Version: "2:1.02.185-2", Architecture: "amd64", Source: "lvm2", SourceVersion: "2.03.16-2"},
			"pkg:deb/debian/dmsetup@2:1.02.185-2?arch=amd64&distro=debian-12&upstream=lvm2%402.03.16-2"},
		{"rpm", inventory.OS{ID: "rhel", Version: "9.2"}, inventory.Package{Type: inventory.RPM, Name: "dbus", Version: "1:1.12.20-7.el9", Architecture: "x86_64", Source: "dbus", SourceVersion: "1:1.12.20-7.el9"},
			"pkg:rpm/redhat/dbus@1.12.20-7.el9?arch=x86_64&distro=rhel-9.2&epoch=1&upstream=dbus-1.12.20-7.el9.src.rpm"},
		{"apk", inventory.OS{ID: "alpine", Version: "3.18.4"}, alpine().Packages[0], "pkg:apk/alpine/libssl3@3.1.3-r0?arch=x86_64&distro=alpine-3.18.4&upstream=openssl"},
		{"a distribution that has another name", alma().OS, inventory.Package{Type: inventory.RPM, Name: "bash", Version: "5.1-2.el9"}, "pkg:rpm/alma/bash@5.1-2.el9?distro=almalinux-9.2&upstream=bash-5.1-2.el9.src.rpm"},
		{"several of one vendor", inventory.OS{ID: "sles", Version: "15.6"}, inventory.Package{Type: inventory.RPM, Name: "a", Version: "1-1", Module: "nodejs:18"},
			"pkg:rpm/suse/a@1-1?distro=sles-15.6&modularitylabel=nodejs:18::&rpmmod=nodejs:18&upstream=a-1-1.src.rpm"},
		{"no distribution", inventory.OS{}, inventory.Package{Type: inventory.Deb, Name: "a", Version: "1"}, "pkg:deb/a@1"},
		{"no version of the distribution", inventory.OS{ID: "debian"}, inventory.Package{Type: inventory.Deb, Name: "a", Version: "1"}, "pkg:deb/debian/a@1?distro=debian"},
		{"Go", inventory.OS{}, inventory.Package{Type: inventory.Golang, Name: "github.com/BurntSushi/toml", Version: "v1.6.0"}, "pkg:golang/github.com/BurntSushi/toml@v1.6.0"},
		{"npm", inventory.OS{}, inventory.Package{Type: inventory.NPM, Name: "@scope/thing", Version: "1.0.0"}, "pkg:npm/%40scope/thing@1.0.0"},
		{"Maven", inventory.OS{}, inventory.Package{Type: inventory.Maven, Name: "org.example:parser", Version: "4.2"}, "pkg:maven/org.example/parser@4.2"},
		{"Python", inventory.OS{}, inventory.Package{Type: inventory.PyPI, Name: "some-package", Version: "0.9"}, "pkg:pypi/some-package@0.9"},
		{"of no known family", inventory.OS{}, inventory.Package{Type: "other", Name: "x"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := sbom.PackageURL(c.os, c.p)
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got == "" {
				return
			}
			if _, err := packageurl.FromString(got); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSameBytes(t *testing.T) {
	for name, write := range map[string]writer{"CycloneDX": sbom.CycloneDX, "SPDX": sbom.SPDX} {
		if a, b := must(t, write, debian(), subject), must(t, write, debian(), subject); !bytes.Equal(a, b) {
			t.Errorf("%s: the same inventory gives other bytes", name)
		}
		other := debian()
		other.Digest = hash("e")
		if a, b := must(t, write, debian(), subject), must(t, write, other, subject); serial.FindString(string(a)) == serial.FindString(string(b)) {
			t.Errorf("%s: another image has the same serial number", name)
		}
	}
}

var serial = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f-]{21}`)

// Names and versions come out of images: whatever they are, the documents can be read.
func FuzzPackages(f *testing.F) {
	f.Add("deb", "libc6", "2:1-2", "glibc", "3:1-2", "debian", "12")
	f.Add("npm", "@a/b/c", "", "", "", "", "")
	f.Add("rpm", "a\x00b", "x:y:z", "\xff", ":", "a-b", "\n")
	f.Fuzz(func(t *testing.T, typ, name, version, source, sourceVersion, os, osVersion string) {
		inv := &inventory.Inventory{Digest: hash("a"), OS: inventory.OS{ID: os, Version: osVersion}, Packages: []inventory.Package{
			{Type: typ, Name: name, Version: version, Source: source, SourceVersion: sourceVersion, Layer: -1},
			{Type: typ, Name: name, Version: version, Source: source, SourceVersion: sourceVersion, Owner: source, Path: name},
		}}
		var bom cdx.BOM
		if err := json.Unmarshal(must(t, sbom.CycloneDX, inv, sbom.Subject{Name: name}), &bom); err != nil {
			t.Fatal(err)
		}
		if _, err := spdxjson.Read(bytes.NewReader(must(t, sbom.SPDX, inv, sbom.Subject{Name: name}))); err != nil {
			t.Fatal(err)
		}
	})
}
