package inventory

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

func stanzaOf(name, version string) string {
	return fmt.Sprintf("Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: %s\nDescription: a\n b\n .\n c\n\n", name, version)
}

func versions(inv *Inventory) string {
	var s []string
	for _, p := range inv.Packages {
		s = append(s, fmt.Sprintf("%s %s @%d", p.Name, p.Version, p.Layer))
	}
	return strings.Join(s, ", ")
}

func TestPackagesBelongToTheLayerThatBroughtThem(t *testing.T) {
	const status = "var/lib/dpkg/status"
	a1, a2, b1, c1 := stanzaOf("a", "1"), stanzaOf("a", "2"), stanzaOf("b", "1"), stanzaOf("c", "1")
	for _, c := range []struct {
		name   string
		layers [][]entry
		want   string
	}{
		{"no database", [][]entry{{text("etc/x", "")}}, ""},
		{"one layer", [][]entry{{text(status, a1+b1)}}, "a 1 @0, b 1 @0"},
		{"added above", [][]entry{{text(status, a1)}, {text(status, a1+b1)}}, "a 1 @0, b 1 @1"},
		{"upgraded above", [][]entry{{text(status, a1+b1)}, {text("x", "")}, {text(status, a2+b1)}}, "a 2 @2, b 1 @0"},
		{"removed and back", [][]entry{{text(status, a1+b1)}, {text(status, b1)}, {text(status, a1+b1)}}, "a 1 @2, b 1 @0"},
		{"down again", [][]entry{{text(status, a1)}, {text(status, a2)}, {text(status, a1)}}, "a 1 @2"},
		{"database whited out", [][]entry{{text(status, a1)}, {text("var/lib/dpkg/.wh.status", "")}}, ""},
		{"directory whited out", [][]entry{{text(status, a1)}, {text("var/lib/.wh.dpkg", "")}}, ""},
		{"directory made opaque", [][]entry{{text(status, a1)}, {text(status, b1), text("var/lib/dpkg/.wh..wh..opq", "")}}, "b 1 @1"},
		{"status.d", [][]entry{
			{text("var/lib/dpkg/status.d/a", "Package: a\nVersion: 1\nArchitecture: amd64\n"), text("var/lib/dpkg/status.d/a.md5sums", "0 x")},
			{text("var/lib/dpkg/status.d/b", b1)},
		}, "a 1 @0, b 1 @1"},
		{"through a link", [][]entry{{symlink("var", "real"), text("real/lib/dpkg/status", a1)}, {text("var/lib/dpkg/status", a1+c1)}}, "a 1 @0, c 1 @1"},
		{"hard link", [][]entry{{text("var/lib/dpkg/status", a1), hardlink("var/lib/dpkg/status", "var/lib/dpkg/status")}}, "a 1 @0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := versions(mustRead(t, image(t, c.layers...))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestPackageFields(t *testing.T) {
	inv := mustRead(t, image(t, []entry{text("var/lib/dpkg/status", `Package: libssl3
Status: hold ok installed
Architecture: amd64
Source: openssl (3.0.17-1)
Version: 3.0.17-1+b1

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: half
Status: install ok half-installed
Architecture: amd64
Version: 1

Package: zlib1g
Status: install ok triggers-pending
Architecture: i386
Version: 1:1.2
Source: zlib

Package: zlib1g
Status: install ok installed
Architecture: amd64
Version: 1:1.2
Source: zlib
`)}))
	want := []Package{
		{Type: Deb, Name: "libssl3", Version: "3.0.17-1+b1", Architecture: "amd64", Source: "openssl", SourceVersion: "3.0.17-1", Held: true},
		{Type: Deb, Name: "zlib1g", Version: "1:1.2", Architecture: "amd64", Source: "zlib", SourceVersion: "1:1.2"},
		{Type: Deb, Name: "zlib1g", Version: "1:1.2", Architecture: "i386", Source: "zlib", SourceVersion: "1:1.2"},
	}
	if !slices.Equal(inv.Packages, want) {
		t.Errorf("got  %+v\nwant %+v", inv.Packages, want)
	}
	if p, ok := inv.Package("zlib1g"); !ok || p.Architecture != "amd64" {
		t.Errorf("Package(zlib1g) = %+v, %v", p, ok)
	}
	if _, ok := inv.Package("gone"); ok {
		t.Error("Package(gone) was found")
	}
}

// The database is written by dpkg itself, in all the states that we tell apart.
func TestDatabaseWrittenByDpkg(t *testing.T) {
	for _, tool := range []string{"dpkg", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is needed for this test: install the package dpkg, or run it on Debian", tool)
		}
	}
	root, debs := t.TempDir(), t.TempDir()
	db := filepath.Join(root, "var/lib/dpkg")
	for _, d := range []string{"info", "updates", "triggers"} {
		if err := os.MkdirAll(filepath.Join(db, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(db, "status"), "")
	dpkg := func(stdin string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "dpkg", append([]string{"--root=" + root, "--force-not-root", "--log=/dev/null"}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("dpkg %v: %v\n%s", args, err, out)
		}
	}
	for _, name := range []string{"good", "kept", "purged", "configured", "unpacked"} {
		dpkg("", "--unpack", deb(t, debs, name, "1.0-1"))
	}
	dpkg("", "--configure", "good", "kept", "purged", "configured")
	dpkg("kept hold\n", "--set-selections")
	dpkg("", "--purge", "purged")
	dpkg("", "--remove", "configured") // its configuration file stays

	status, err := os.ReadFile(filepath.Join(db, "status"))
	if err != nil {
		t.Fatal(err)
	}
	inv := mustRead(t, image(t, []entry{text("var/lib/dpkg/status", string(status))}))
	if got, want := versions(inv), "good 1.0-1 @0, kept 1.0-1 @0, unpacked 1.0-1 @0"; got != want {
		t.Errorf("got %s, want %s from\n%s", got, want, status)
	}
	if p, _ := inv.Package("kept"); !p.Held {
		t.Error("kept is not held")
	}
	if p, _ := inv.Package("good"); p.Held {
		t.Error("good is held")
	}
}

func deb(t *testing.T, dir, name, version string) string {
	t.Helper()
	src := filepath.Join(dir, name)
	write(t, filepath.Join(src, "DEBIAN/control"), fmt.Sprintf(
		"Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: Nobody <nobody@example.com>\nDescription: test\n", name, version))
	write(t, filepath.Join(src, "DEBIAN/conffiles"), "/etc/"+name+".conf\n")
	write(t, filepath.Join(src, "etc/"+name+".conf"), "x\n")
	out := filepath.Join(dir, name+".deb")
	if b, err := exec.CommandContext(t.Context(), "dpkg-deb", "--root-owner-group", "-Zgzip", "-b", src, out).CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb: %v\n%s", err, b)
	}
	return out
}

func write(t *testing.T, at, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLayerCompressions(t *testing.T) {
	plain := tarOf(t, text("var/lib/dpkg/status", stanzaOf("a", "1")), text("big", strings.Repeat("0123456789", 200_000)))
	half := len(plain) / 2
	members := append(gzipped(t, plain[:half]), gzipped(t, plain[half:])...)
	for name, blob := range map[string][]byte{
		"none": plain, "gzip": gzipped(t, plain), "gzip of several members": members, "zstd": zstded(t, plain),
	} {
		t.Run(name, func(t *testing.T) {
			inv := mustRead(t, on(t, empty.Image, packedLayer(t, blob, plain)))
			if got := versions(inv); got != "a 1 @0" {
				t.Errorf("got %s", got)
			}
			if inv.Size != int64(len(blob)) {
				t.Errorf("size %d, want %d", inv.Size, len(blob))
			}
		})
	}
}

func TestRefused(t *testing.T) {
	plain := tarOf(t, text("a", strings.Repeat("x", 1_000_000)))
	zipped := gzipped(t, plain)
	other := tarOf(t, text("a", "y"))
	trailing := append(slices.Clone(plain), "more"...)
	status := func(s string) v1.Image { return image(t, []entry{text("var/lib/dpkg/status", s)}) }
	for _, c := range []struct {
		name string
		img  v1.Image
		want []string
	}{
		{"another layer's content", on(t, empty.Image, packedLayer(t, gzipped(t, other), plain)), []string{"layer 0", "damaged or forged"}},
		{"content behind the archive", on(t, empty.Image, packedLayer(t, gzipped(t, trailing), plain)), []string{"damaged or forged"}},
		{"cut off gzip", on(t, empty.Image, packedLayer(t, zipped[:len(zipped)-20], plain)), []string{"layer 0", "unexpected EOF"}},
		{"cut off archive", on(t, empty.Image, packedLayer(t, plain[:4096], plain[:4096])), []string{"unexpected EOF"}},
		{"no archive", on(t, empty.Image, packedLayer(t, []byte("hello, world"), []byte("hello, world"))), []string{"layer 0", "tar"}},
		{"garbage for a database", status("this is no database\n"), []string{"/var/lib/dpkg/status", "a field such as"}},
		{"installed without a version", status("Package: a\nStatus: install ok installed\n"), []string{"/var/lib/dpkg/status", "without package or version"}},
		{"status of two words", status("Package: a\nVersion: 1\nStatus: install ok\n"), []string{"three words"}},
		{"database linked away", image(t, []entry{text("opt/s", stanzaOf("a", "1")), symlink("var/lib/dpkg/status", "/opt/s")}), []string{"/var/lib/dpkg/status", "/opt/s"}},
		{"hard link to nothing", image(t, []entry{hardlink("b", "a")}), []string{`"b"`, "not in the image"}},
		{"loop of links", image(t, []entry{symlink("a", "b"), symlink("b", "a"), text("a/x", "")}), []string{"loop"}},
		{"sources list", image(t, []entry{text("etc/apt/sources.list", "\ndeb [arch=amd64 http://x y z\n")}), []string{"/etc/apt/sources.list:2"}},
		{"large sources list", image(t, []entry{text("etc/apt/sources.list", strings.Repeat("#", maxFile+1))}), []string{"etc/apt/sources.list", "more than"}},
		{"wrong platform", configured(t, image(t), func(c *v1.ConfigFile) { c.Architecture = "arm64" }), []string{"linux/arm64", "linux/amd64"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(t.Context(), c.img, "linux/amd64")
			if err == nil {
				t.Fatal("no error")
			}
			digest, _ := c.img.Digest()
			for _, want := range append(c.want, digest.String()) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not say %q: %v", want, err)
				}
			}
		})
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, image(t, []entry{text("a", "x")}), ""); err == nil || ctx.Err() == nil {
		t.Fatalf("got %v, want an error", err)
	}
}

func TestSparseBombIsRefused(t *testing.T) {
	tr := newTree(Limits{Unpacked: 1000, Files: 10})
	err := tr.put(&tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 1001}, bytes.NewReader(nil), 0)
	if err == nil || !strings.Contains(err.Error(), "unpacks to more than") {
		t.Fatalf("got %v", err)
	}
}

func TestStandsOnAndInherited(t *testing.T) {
	const status = "var/lib/dpkg/status"
	base := image(t, []entry{text(status, stanzaOf("a", "1")+stanzaOf("b", "1"))})
	child := on(t, base, layerOf(t, tarOf(t, text(status, stanzaOf("a", "1")+stanzaOf("b", "2")+stanzaOf("c", "1")))))
	other := image(t, []entry{text(status, stanzaOf("a", "1"))})
	p, c, o := mustRead(t, base), mustRead(t, child), mustRead(t, other)
	scratch := mustRead(t, image(t))

	for _, x := range []struct {
		name          string
		child, parent *Inventory
		want          bool
	}{
		{"child on base", c, p, true}, {"base on itself", p, p, true}, {"base on child", p, c, false},
		{"unrelated", c, o, false}, {"on nothing", c, scratch, false},
	} {
		if got := x.child.StandsOn(x.parent); got != x.want {
			t.Errorf("%s: %v, want %v", x.name, got, x.want)
		}
	}
	inherited := Inherited(c, p)
	for name, want := range map[string]bool{"a": true, "b": false, "c": false} {
		if pkg, _ := c.Package(name); inherited(pkg) != want {
			t.Errorf("%s: inherited %v, want %v", name, !want, want)
		}
	}
	if a, _ := c.Package("a"); Inherited(c, o)(a) {
		t.Error("a package was inherited from an unrelated image")
	}
}

func TestDiff(t *testing.T) {
	pkgs := func(s ...string) *Inventory {
		inv := &Inventory{}
		for i := 0; i < len(s); i += 3 {
			inv.Packages = append(inv.Packages, Package{Name: s[i], Architecture: s[i+1], Version: s[i+2]})
		}
		return inv
	}
	for _, c := range []struct {
		name     string
		old, new *Inventory
		want     string
	}{
		{"nothing", pkgs("a", "amd64", "1"), pkgs("a", "amd64", "1"), "[]"},
		{"all three", pkgs("a", "amd64", "1", "b", "amd64", "1"), pkgs("b", "amd64", "2", "c", "all", "3"),
			"[{a amd64 1  removed} {b amd64 1 2 changed} {c all  3 added}]"},
		{"became all", pkgs("a", "amd64", "1"), pkgs("a", "all", "2"), "[{a all 1 2 changed}]"},
		{"second architecture", pkgs("a", "amd64", "1"), pkgs("a", "amd64", "2", "a", "i386", "2"),
			"[{a amd64 1 2 changed} {a i386  2 added}]"},
		{"from none", nil, pkgs("a", "amd64", "1"), "[{a amd64  1 added}]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := []string{}
			for _, d := range Diff(c.old, c.new) {
				all = append(all, fmt.Sprintf("{%s %s %s %s %s}", d.Name, d.Architecture, d.From, d.To, d.Kind))
			}
			if got := fmt.Sprint(all); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestDiffOfLibraries(t *testing.T) {
	lib := func(kind, name, version, path string) Package {
		return Package{Type: kind, Name: name, Version: version, Path: path}
	}
	owned := func(version string) Package {
		return Package{Type: PyPI, Name: "requests", Version: version, Path: "/usr/lib", Owner: "python3-requests"}
	}
	for _, c := range []struct {
		name     string
		old, new []Package
		want     string
	}{
		{"the same elsewhere", []Package{lib(NPM, "a", "1", "/x")}, []Package{lib(NPM, "a", "1", "/y")}, "[]"},
		{"two copies", []Package{lib(NPM, "a", "1", "/x"), lib(NPM, "a", "1", "/y")}, []Package{lib(NPM, "a", "2", "/x"), lib(NPM, "a", "2", "/y")}, "[{npm a   1 2 changed}]"},
		{"one of two", []Package{lib(NPM, "a", "1", "/x"), lib(NPM, "a", "2", "/y")}, []Package{lib(NPM, "a", "1", "/x"), lib(NPM, "a", "3", "/y")}, "[{npm a   2 3 changed}]"},
		{"one more", []Package{lib(NPM, "a", "1", "/x")}, []Package{lib(NPM, "a", "1", "/x"), lib(NPM, "a", "2", "/y")}, "[{npm a    2 added}]"},
		{"two for one", []Package{lib(NPM, "a", "1", "/x")}, []Package{lib(NPM, "a", "2", "/x"), lib(NPM, "a", "3", "/y")}, "[{npm a   1  removed} {npm a    2 added} {npm a    3 added}]"},
		{"another kind of that name", []Package{lib(NPM, "a", "1", "/x"), {Type: Deb, Name: "a", Version: "7", Architecture: "all"}}, []Package{lib(PyPI, "a", "1", "/x"), {Type: Deb, Name: "a", Version: "8", Architecture: "all"}},
			"[{ a all  7 8 changed} {npm a   1  removed} {pypi a    1 added}]"},
		{"of a package", []Package{owned("1")}, []Package{owned("2")}, "[]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := []string{}
			for _, d := range Diff(&Inventory{Packages: c.old}, &Inventory{Packages: c.new}) {
				all = append(all, fmt.Sprintf("{%s %s %s  %s %s %s}", d.Type, d.Name, d.Architecture, d.From, d.To, d.Kind))
			}
			if got := fmt.Sprint(all); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestOSRelease(t *testing.T) {
	const release = "PRETTY_NAME=\"Debian\"\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n"
	want := OS{ID: "debian", Version: "12", Codename: "bookworm"}
	for name, files := range map[string][]entry{
		"own":    {text("etc/os-release", release)},
		"linked": {text("usr/lib/os-release", release), symlink("etc/os-release", "../usr/lib/os-release")},
		"vendor": {text("usr/lib/os-release", release)},
	} {
		if got := mustRead(t, image(t, files)).OS; got != want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestFingerprint(t *testing.T) {
	base := []entry{
		dir("etc"), text("etc/a", "1"), text("usr/bin/x", "program"), symlink("etc/l", "a"), hardlink("etc/h", "etc/a"),
		text("var/log/dpkg.log", "monday"), text("etc/machine-id", "1234"),
	}
	with := func(change ...entry) v1.Image { return image(t, append(slices.Clone(base), change...)) }
	print := func(img v1.Image) string { return mustRead(t, img).Fingerprint }
	was := print(with())
	mode := text("etc/a", "1")
	mode.Mode = 0o600
	owner := text("etc/a", "1")
	owner.Uid = 1
	later := text("etc/a", "1")
	later.ModTime = later.ModTime.AddDate(60, 0, 0)
	capable := text("usr/bin/x", "program")
	capable.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "\x01\x00"}
	config := func(change func(*v1.Config)) v1.Image {
		return configured(t, with(), func(c *v1.ConfigFile) { change(&c.Config) })
	}
	for name, img := range map[string]v1.Image{
		"time of a file": with(later),
		"a log":          with(text("var/log/dpkg.log", "tuesday"), text("var/log/apt/term.log", "x")),
		"caches": with(text("etc/machine-id", "5"), text("var/cache/apt/pkgcache.bin", "x"), text("var/lib/dpkg/status-old", "x"),
			text("var/cache/ldconfig/aux-cache", "x"), text("etc/ssh/ssh_host_rsa_key", "x"), text("var/cache/debconf/config.dat-old", "x"),
			dir("var/cache/apt"), dir("var/cache/ldconfig"), dir("etc/ssh"), dir("var/lib/dpkg"), dir("var/cache/debconf")),
		"creation":         configured(t, with(), func(c *v1.ConfigFile) { c.Author = "me"; c.History = c.History[:0] }),
		"volatile label":   config(func(c *v1.Config) { c.Labels = map[string]string{"org.opencontainers.image.created": "now"} }),
		"split in layers":  image(t, base[:3], base[3:]),
		"added, then gone": image(t, base, []entry{text("tmpfile", "x")}, []entry{text(".wh.tmpfile", "")}),
		"hard link copied": image(t, append(slices.Clone(base[:4]), append([]entry{text("etc/h", "1")}, base[5:]...)...)),
	} {
		same := print(img) == was
		if name == "caches" { // their directories are new
			same = print(img) == print(with(dir("var/cache/apt"), dir("var/cache/ldconfig"), dir("etc/ssh"), dir("var/lib/dpkg"), dir("var/cache/debconf")))
		}
		if !same {
			t.Errorf("%s changes the fingerprint", name)
		}
	}
	for name, img := range map[string]v1.Image{
		"content": with(text("etc/a", "2")), "mode": with(mode), "owner": with(owner), "link": with(symlink("etc/l", "b")),
		"type": with(dir("etc/l")), "new file": with(text("etc/b", "")), "whiteout": image(t, base, []entry{text("etc/.wh.a", "")}),
		"file capability": with(capable),
		"user":            config(func(c *v1.Config) { c.User = "app" }),
		"environment":     config(func(c *v1.Config) { c.Env = []string{"A=1"} }),
		"command":         config(func(c *v1.Config) { c.Cmd = []string{"sh"} }),
		"label":           config(func(c *v1.Config) { c.Labels = map[string]string{"team": "a"} }),
		"label like one":  config(func(c *v1.Config) { c.Labels = map[string]string{"version": "1"} }),
		"port":            config(func(c *v1.Config) { c.ExposedPorts = map[string]struct{}{"80/tcp": {}} }),
	} {
		if print(img) == was {
			t.Errorf("%s does not change the fingerprint", name)
		}
	}
	if !strings.HasPrefix(was, "sha256:") || len(was) != 71 {
		t.Errorf("fingerprint %q", was)
	}
}

func TestOnBuildIsKept(t *testing.T) {
	want := []string{"COPY --from=golang:1.26 /go /go", "RUN make"}
	img := configured(t, image(t, []entry{text("etc/a", "1")}), func(c *v1.ConfigFile) { c.Config.OnBuild = want })
	if got := mustRead(t, img).OnBuild; !slices.Equal(got, want) {
		t.Errorf("on build %q, want %q", got, want)
	}
	if got := mustRead(t, image(t)).OnBuild; len(got) > 0 {
		t.Errorf("on build %q of an image that has none", got)
	}
}

// A layer's file belongs to nobody below it: reading must not depend on how the same content is cut into layers.
func TestWhiteoutsHideOnlyLowerLayers(t *testing.T) {
	img := image(t,
		[]entry{text("d/old", "1"), text("d/sub/old", "1")},
		[]entry{text("d/sub/new", "2"), text("d/.wh..wh..opq", ""), text("d/new", "2"), text(".wh..wh.plnk", "")},
	)
	want := image(t, []entry{text("d/sub/new", "2"), text("d/new", "2")})
	if mustRead(t, img).Fingerprint != mustRead(t, want).Fingerprint {
		t.Error("an opaque directory shows something of a lower layer, or hides something of its own")
	}
}

func BenchmarkRead(b *testing.B) {
	var entries []entry
	for i := range 6000 {
		entries = append(entries, text(fmt.Sprintf("usr/share/d%d/f%d", i%80, i), strings.Repeat(fmt.Sprint("line ", i*7919, "\n"), 1600)))
	}
	entries = append(entries, text("var/lib/dpkg/status", stanzaOf("a", "1")))
	plain := tarOf(b, entries...)
	img := on(b, empty.Image, packedLayer(b, gzipped(b, plain), plain))
	img, err := mutate.Config(img, v1.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		if _, err := Read(b.Context(), img, ""); err != nil {
			b.Fatal(err)
		}
	}
}
