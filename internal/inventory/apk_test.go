package inventory

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chainguard.dev/apko/pkg/apk/apk"
	apkfs "chainguard.dev/apko/pkg/apk/fs"
)

// The database, the world and the repositories are written by apko itself, in two layers.
func TestAPKImageWrittenByApko(t *testing.T) {
	root := apkfs.NewMemFS()
	a, err := apk.New(t.Context(), apk.WithFS(root), apk.WithArch("aarch64"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"etc", "etc/apk", "usr/lib/apk/db", "var/lib/db", "dev", "tmp", "proc", "var"} {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	install := func(p apk.Package) {
		t.Helper()
		files := []tar.Header{{Name: "usr", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "usr/" + p.Name, Typeflag: tar.TypeReg, Mode: 0o755}}
		if _, err := a.AddInstalledPackage(&p, files); err != nil {
			t.Fatal(err)
		}
	}
	layer := func() []entry {
		var all []entry
		for _, name := range []string{"usr/lib/apk/db/installed", "etc/apk/world", "etc/apk/repositories", "etc/apk/arch"} {
			if data, err := root.ReadFile(name); err == nil {
				all = append(all, text(name, string(data)))
			}
		}
		return all
	}
	install(apk.Package{Name: "libcrypto3", Version: "3.1.4-r5", Arch: "aarch64", Origin: "openssl", License: "Apache-2.0", Dependencies: []string{"so:libc.musl-aarch64.so.1"}})
	install(apk.Package{Name: "tzdata", Version: "2024a-r0", Arch: "noarch"})
	base := append([]entry{symlink("lib", "usr/lib")}, layer()...)
	install(apk.Package{Name: "curl", Version: "8.5.0_rc1-r0", Arch: "aarch64", Origin: "curl", Checksum: []byte("01234567890123456789")})
	if err := a.SetWorld(t.Context(), []string{"curl=8.5.0_rc1-r0", "tzdata>2023"}); err != nil {
		t.Fatal(err)
	}
	if err := a.SetRepositories(t.Context(), []string{"https://h/v3.20/main", "@edge https://h/edge/main"}); err != nil {
		t.Fatal(err)
	}
	inv := mustRead(t, image(t, base, append(layer(), text("etc/apk/arch", "aarch64\n"))))

	want := []Package{
		{Type: APK, Name: "curl", Version: "8.5.0_rc1-r0", Architecture: "aarch64", Source: "curl", SourceVersion: "8.5.0_rc1-r0", Layer: 1, Held: true},
		{Type: APK, Name: "libcrypto3", Version: "3.1.4-r5", Architecture: "aarch64", Source: "openssl", SourceVersion: "3.1.4-r5"},
		{Type: APK, Name: "tzdata", Version: "2024a-r0", Architecture: "noarch", Source: "tzdata", SourceVersion: "2024a-r0"},
	}
	if !slices.Equal(inv.Packages, want) {
		t.Errorf("got  %+v\nwant %+v", inv.Packages, want)
	}
	if got, want := showAPK(inv.Repositories), "/etc/apk/repositories:1 https://h/v3.20/main [aarch64]; /etc/apk/repositories:2 @edge https://h/edge/main [aarch64]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := showPins(inv.Pins), "curl =8.5.0_rc1-r0; tzdata >2023"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Databases of real images, as apko has them for its own tests, are read as apko reads them.
func TestAPKDatabasesOfRealImages(t *testing.T) {
	for _, name := range []string{"root/usr/lib/apk/db/installed", "installed/wolfi-base", "installed/redis-operator-compat"} {
		data := apkoTestdata(t, name)
		theirs, err := apk.ParseInstalled(bytes.NewReader(append(data, "\n\n"...)))
		if err != nil {
			t.Fatal(err)
		}
		var ours []Package
		if err := readInstalled(data, func(p Package) error { ours = append(ours, p); return nil }); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(ours) != len(theirs) || len(ours) == 0 {
			t.Fatalf("%s: %d packages, apko has %d", name, len(ours), len(theirs))
		}
		for i, p := range theirs {
			want := Package{Type: APK, Name: p.Name, Version: p.Version, Architecture: p.Arch, Source: p.Origin, SourceVersion: p.Version}
			if ours[i] != want {
				t.Errorf("%s: got %+v, want %+v", name, ours[i], want)
			}
		}
	}
}

func apkoTestdata(t testing.TB, name string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "chainguard.dev/apko").Output()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "pkg/apk/apk/testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func apkText(name, version string) string {
	return fmt.Sprintf("C:Q1AAAA=\nP:%s\nV:%s\nA:x86_64\nF:usr/bin\nR:%s\na:0:0:755\n\n", name, version, name)
}

func TestAPKPackagesBelongToTheLayerThatBroughtThem(t *testing.T) {
	const db, newDB = "lib/apk/db/installed", "usr/lib/apk/db/installed"
	a1, a2, b1 := apkText("a", "1-r0"), apkText("a", "2-r0"), apkText("b", "1-r0")
	for _, c := range []struct {
		name   string
		layers [][]entry
		want   string
	}{
		{"one layer", [][]entry{{text(db, a1+b1)}}, "a 1-r0 @0, b 1-r0 @0"},
		{"upgraded above", [][]entry{{text(db, a1+b1)}, {text(db, a2+b1)}}, "a 2-r0 @1, b 1-r0 @0"},
		{"removed above", [][]entry{{text(db, a1+b1)}, {text(db, b1)}}, "b 1-r0 @0"},
		{"newer place", [][]entry{{text(newDB, a1)}, {text(newDB, a1+b1)}}, "a 1-r0 @0, b 1-r0 @1"},
		{"one place is a link to the other", [][]entry{{symlink("lib", "usr/lib"), text(newDB, a1)}, {text(db, a1+b1)}}, "a 1-r0 @0, b 1-r0 @1"},
		{"beside another family", [][]entry{{text(db, a1), text("var/lib/dpkg/status", stanzaOf("d", "1"))}}, "a 1-r0 @0, d 1 @0"},
		{"empty", [][]entry{{text(db, "")}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := versions(mustRead(t, image(t, c.layers...))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestReadAPK(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, c := range []struct{ name, text, want string }{
		{"nothing follows the last record", "P:a\nV:1", "a 1"},
		{"many blank lines", "\n\nP:a\nV:1\n\n\n\nP:b\nV:2\n\n", "a 1, b 2"},
		{"carriage returns", "P:a\r\nV:1\r\n\r\nP:b\r\nV:2\r\n", "a 1, b 2"},
		{"a field longer than any buffer", "P:a\np:" + long + "\nV:1\n\nP:b\nV:2\nT:" + long, "a 1, b 2"},
		{"a field of one letter and no value", "P:a\nV:1\nF:\nr:\n", "a 1"},
		{"a virtual package", "P:.build-deps\nV:20240101.120000\nA:noarch\n", ".build-deps 20240101.120000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			err := ReadAPK(strings.NewReader(c.text), func(r APKRecord) error { got = append(got, r.Name+" "+r.Version); return nil })
			if err != nil || strings.Join(got, ", ") != c.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestReadAPKErrors(t *testing.T) {
	refused := errors.New("refused")
	many := strings.Repeat("P:a\nV:1\n\n", 20_000)
	for _, c := range []struct{ name, text, want string }{
		{"one letter", "P:a\nV\n", `line 2: a letter and a colon expected, not "V"`},
		{"no field", "P:a\nV:1\nnonsense\n", `line 3: a letter and a colon expected, not "nonsense"`},
		{"no name", many + "V:1\n\n", "above line 60003: a record without package or version (package \"\", version \"1\")"},
		{"an empty name", "P:\nV:1\n\n", "a record without package or version (package \"\", version \"1\")"},
		{"nothing but files", "P:a\nV:1\n\nF:usr\nR:a\n\n", "a record without package or version"},
		{"no version", "P:a\n\n", `a record without package or version (package "a", version "")`},
		{"build time", "P:a\nV:1\nt:soon\n", `package "a": built at "soon"`},
		{"a long name", "P:" + strings.Repeat("x", 5000) + "\nV:1\n", "line 1: more than 4096 bytes"},
		{"a long record", strings.Repeat("P:aaaaaaaaaaaaaa\n", 1000), "a record of more than 16384 bytes"},
		{"whoever asked has enough", "P:enough\nV:1\n", "refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := ReadAPK(strings.NewReader(c.text), func(r APKRecord) error {
				if r.Name == "enough" {
					return refused
				}
				return nil
			})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	_, err := Read(t.Context(), image(t, []entry{text("lib/apk/db/installed", "P:a\nV\n")}), "")
	if err == nil || !strings.Contains(err.Error(), "/lib/apk/db/installed: line 2") {
		t.Errorf("the error does not name the file: %v", err)
	}
}

// What apk keeps of repositories is made again when it is needed; what is installed counts.
func TestAPKFingerprint(t *testing.T) {
	print := func(index, db string) string {
		return mustRead(t, image(t, []entry{
			dir("var"), dir("var/cache"), dir("var/cache/apk"), text("var/cache/apk/APKINDEX.12345678.tar.gz", index),
			dir("etc"), dir("etc/apk"), dir("etc/apk/cache"), text("etc/apk/cache/installed", index), text("lib/apk/db/installed", db),
		})).Fingerprint
	}
	was := print("monday", apkText("a", "1-r0"))
	if print("tuesday", apkText("a", "1-r0")) != was {
		t.Error("an index changes the fingerprint")
	}
	if print("monday", apkText("a", "2-r0")) == was {
		t.Error("a package does not change the fingerprint")
	}
}

func TestAPKArchitecture(t *testing.T) {
	for platform, want := range map[string]string{
		"linux/amd64": "x86_64", "linux/amd64/v2": "x86_64", "linux/386": "x86", "linux/arm64": "aarch64", "linux/arm64/v9": "aarch64",
		"linux/arm/v6": "armhf", "linux/arm/v7": "armv7", "linux/arm": "armv7", "linux/ppc64le": "ppc64le", "linux/s390x": "s390x",
		"linux/riscv64": "riscv64", "linux/loong64": "loongarch64",
	} {
		if got := APKArchitecture(platform); got != want {
			t.Errorf("%s: %s, want %s", platform, got, want)
		}
	}
}

// Whatever a database holds, reading ends without a panic, records are complete and bounded, and reading the same
// records written out again gives the same.
func FuzzReadAPK(f *testing.F) {
	f.Add([]byte(apkText("a", "1-r0") + apkText("b", "2-r0")))
	f.Add([]byte("P\n"))
	f.Add([]byte("P:a\nV:1\nt:9\no:b"))
	f.Add([]byte("\n\n:\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func(data []byte) (all []APKRecord, err error) {
			err = ReadAPK(bytes.NewReader(data), func(r APKRecord) error { all = append(all, r); return nil })
			return all, err
		}
		records, err := read(data)
		if err != nil {
			return
		}
		var again bytes.Buffer
		for _, r := range records {
			if r.Name == "" || r.Version == "" {
				t.Errorf("incomplete: %+v", r)
			}
			fmt.Fprintf(&again, "P:%s\nV:%s\nA:%s\no:%s\ns:%s\n", r.Name, r.Version, r.Architecture, r.Origin, r.Tag)
			if !r.Built.IsZero() {
				fmt.Fprintf(&again, "t:%d\n", r.Built.Unix())
			}
			again.WriteByte('\n')
		}
		same, err := read(again.Bytes())
		if err != nil || !slices.Equal(same, records) {
			t.Errorf("%q was read as %+v, and that as %+v, %v", data, records, same, err)
		}
	})
}
