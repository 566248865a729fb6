package inventory

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// zipOf is an archive of names and contents.
func zipOf(t testing.TB, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func pom(group, artifact, version string) string {
	return fmt.Sprintf("groupId=%s\nartifactId=%s\nversion=%s\n", group, artifact, version)
}

const pomAt = "META-INF/maven/g/a/pom.properties"

func librariesOf(inv *Inventory) string {
	var s []string
	for _, p := range inv.Packages {
		if !p.Library() {
			continue
		}
		one := fmt.Sprintf("%s %s %s @%d %s", p.Type, p.Name, p.Version, p.Layer, p.Path)
		if p.Owner != "" {
			one += " of " + p.Owner
		}
		s = append(s, one)
	}
	return strings.Join(s, ", ")
}

func TestLibraries(t *testing.T) {
	jar := zipOf(t, pomAt, pom("g", "a", "1.0"))
	const npm = `{"name":"@s/n","version":"2.0.0"}`
	const python = "Metadata-Version: 2.1\nName: Zope.Interface_x\nVersion: 3.1\n\nA description\n"
	for _, c := range []struct {
		name   string
		layers [][]entry
		want   string
	}{
		{"none", [][]entry{{text("a", "x")}}, ""},
		{"a jar", [][]entry{{text("app/x.jar", jar)}}, "maven g:a 1.0 @0 /app/x.jar"},
		{"a jar in a war in an ear", [][]entry{{text("x.ear", zipOf(t, "y.war", zipOf(t, "WEB-INF/lib/z.jar", jar)))}}, "maven g:a 1.0 @0 /x.ear"},
		{"one library twice in a jar", [][]entry{{text("x.jar", zipOf(t, "a.jar", jar, "b.jar", jar))}}, "maven g:a 1.0 @0 /x.jar"},
		{"a jar's name", [][]entry{{text("commons-io-2.6.jar", zipOf(t, "x", ""))}}, "maven commons-io:commons-io 2.6 @0 /commons-io-2.6.jar"},
		{"a jar that only what was put into it has a description of", [][]entry{{text("guice.jar", zipOf(t, "META-INF/MANIFEST.MF", "Manifest-Version: 1.0\nBundle-SymbolicName: com.google.inject\nBundle-Name: guice\nBundle-Version: 4.2.3\n\n", "META-INF/maven/cglib/cglib/pom.properties", pom("cglib", "cglib", "3.2.12")))}},
			"maven cglib:cglib 3.2.12 @0 /guice.jar, maven com.google.inject:guice 4.2.3 @0 /guice.jar"},
		{"a jar that Maven and its manifest describe", [][]entry{{text("some_core-2.jar", zipOf(t, "META-INF/MANIFEST.MF", "Manifest-Version: 1.0\nBundle-SymbolicName: org.x.core\nBundle-Name: core\nBundle-Version: 2\n\n", "META-INF/maven/g/some-core/pom.properties", pom("g", "some-core", "2")))}}, "maven g:some-core 2 @0 /some_core-2.jar"},
		{"a jar's manifest", [][]entry{{text("x.jar", zipOf(t, "META-INF/MANIFEST.MF", "Manifest-Version: 1.0\nImplementation-Title: core\nImplementation-Version: 4.1\nImplementation-Vendor-Id: org.x\n\n"))}}, "maven org.x:core 4.1 @0 /x.jar"},
		{"a jar of nothing known", [][]entry{{text("x.jar", zipOf(t, "a", "b"))}}, ""},
		{"a version that was not filled in", [][]entry{{text("x.jar", zipOf(t, pomAt, pom("g", "a", "${v}")))}}, ""},
		{"npm", [][]entry{{text("app/node_modules/n/package.json", npm)}}, "npm @s/n 2.0.0 @0 /app/node_modules/n/package.json"},
		{"npm without a version", [][]entry{{text("package.json", `{"name":"n"}`)}}, ""},
		{"npm, malformed", [][]entry{{text("package.json", `{"name":`)}}, ""},
		{"python", [][]entry{{text("usr/lib/x.dist-info/METADATA", python)}}, "pypi zope-interface-x 3.1 @0 /usr/lib/x.dist-info/METADATA"},
		{"a python egg", [][]entry{{text("x.egg", zipOf(t, "EGG-INFO/PKG-INFO", python))}}, "pypi zope-interface-x 3.1 @0 /x.egg"},
		{"python, malformed", [][]entry{{text("x.dist-info/METADATA", "Name: a\n")}}, ""},
		{"deleted", [][]entry{{text("x.jar", jar)}, {text(".wh.x.jar", "")}}, ""},
		{"replaced", [][]entry{{text("x.jar", jar)}, {text("x.jar", zipOf(t, pomAt, pom("g", "a", "1.1")))}}, "maven g:a 1.1 @1 /x.jar"},
		{"written again", [][]entry{{text("x.jar", jar)}, {text("x.jar", jar)}}, "maven g:a 1.0 @0 /x.jar"},
		{"written again in part", [][]entry{{text("x.jar", jar)}, {text("x.jar", zipOf(t, "a.jar", jar, pomAt, pom("g", "b", "1.0")))}}, "maven g:a 1.0 @0 /x.jar, maven g:b 1.0 @1 /x.jar"},
		{"moved", [][]entry{{text("x.jar", jar)}, {text(".wh.x.jar", ""), text("y.jar", jar)}}, "maven g:a 1.0 @1 /y.jar"},
		{"a hard link", [][]entry{{text("x.jar", jar), hardlink("y", "x.jar")}}, "maven g:a 1.0 @0 /x.jar, maven g:a 1.0 @0 /y"},
		{"a symbolic link", [][]entry{{text("x.jar", jar), symlink("y.jar", "x.jar")}}, "maven g:a 1.0 @0 /x.jar"},
		{"a script", [][]entry{{runs("x", "#!/bin/sh\n")}}, ""},
		{"a program of Go that may not be executed", [][]entry{{text("x", string(smallELF()))}}, ""},
		{"a program of Go", [][]entry{{runs("x", string(smallELF()))}}, "golang stdlib v1.22.0 @0 /x"},
		{"a directory of that name", [][]entry{{dir("x.jar")}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inv := mustRead(t, image(t, c.layers...))
			if got := librariesOf(inv); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Files that are larger than what is held in memory are held in a file.
func TestALargeArchive(t *testing.T) {
	noise := make([]byte, 2*spoolMemory)
	for i := range noise {
		noise[i] = byte(i * i >> 7)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range []struct{ name, content string }{{"noise", string(noise)}, {"in.jar", zipOf(t, "noise", string(noise), pomAt, pom("g", "a", "1.0"))}} {
		to, err := w.CreateHeader(&zip.FileHeader{Name: f.name})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(to, f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	inv := mustRead(t, image(t, []entry{text("x.jar", b.String()), text("y.jar", zipOf(t, pomAt, pom("g", "b", "1.0")))}))
	if got, want := librariesOf(inv), "maven g:a 1.0 @0 /x.jar, maven g:b 1.0 @0 /y.jar"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOwners(t *testing.T) {
	const npm = `{"name":"n","version":"1.0"}`
	at := "usr/share/nodejs/n/package.json"
	deb := text("var/lib/dpkg/status", stanzaOf("node-n", "1.0-1"))
	list := text("var/lib/dpkg/info/node-n.list", "/.\n/usr\n/"+at+"\n")
	of := "npm n 1.0 @0 /" + at + " of node-n"
	apk := "P:node-n\nV:1.0-r0\nA:x86_64\nF:usr\nF:usr/share/nodejs/n\nR:index.js\nR:package.json\n\nP:other\nV:1\nA:x86_64\nF:usr/share\nR:x\n"
	for _, c := range []struct {
		name   string
		layers [][]entry
		want   string
	}{
		{"nobody", [][]entry{{deb, text(at, npm)}}, "npm n 1.0 @0 /" + at},
		{"dpkg", [][]entry{{deb, list, text(at, npm)}}, of},
		{"dpkg, of an architecture", [][]entry{{deb, text("var/lib/dpkg/info/node-n:amd64.list", list.content), text(at, npm)}}, of},
		{"dpkg, the list before the file", [][]entry{{list}, {deb}, {text(at, npm)}}, "npm n 1.0 @2 /" + at},
		{"dpkg, by another path", [][]entry{{deb, symlink("lib", "usr/share"), text("var/lib/dpkg/info/node-n.list", "/lib/nodejs/n/package.json\n"), text(at, npm)}}, of},
		{"dpkg, a package that is gone", [][]entry{{text("var/lib/dpkg/status", stanzaOf("other", "1")), list, text(at, npm)}}, "npm n 1.0 @0 /" + at},
		{"dpkg, replaced above", [][]entry{{deb, list, text(at, npm)}, {text(at, `{"name":"n","version":"2.0"}`)}}, "npm n 2.0 @1 /" + at},
		{"dpkg, written again above", [][]entry{{deb, list, text(at, npm)}, {text(at, npm)}}, of},
		{"dpkg, upgraded above", [][]entry{{deb, list, text(at, npm)}, {text("var/lib/dpkg/status", stanzaOf("node-n", "2.0-1")), text(at, `{"name":"n","version":"2.0"}`)}}, "npm n 2.0 @1 /" + at + " of node-n"},
		{"distroless", [][]entry{{text("var/lib/dpkg/status.d/n", "Package: node-n\nVersion: 1\nArchitecture: all\n"), text("var/lib/dpkg/status.d/n.md5sums", "d41d8cd98f00b204e9800998ecf8427e  "+at+"\n"), text(at, npm)}}, of},
		{"apk", [][]entry{{text("lib/apk/db/installed", apk), text(at, npm), text("usr/share/package.json", npm)}}, of + ", npm n 1.0 @0 /usr/share/package.json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := librariesOf(mustRead(t, image(t, c.layers...))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// A name may be a package's and a library's.
func TestPackagesComeBeforeLibraries(t *testing.T) {
	inv := mustRead(t, image(t, []entry{text("var/lib/dpkg/status", stanzaOf("n", "7")), text("package.json", `{"name":"n","version":"1.0"}`), text("a/package.json", `{"name":"m","version":"1.0"}`)}))
	if p, ok := inv.Package("n"); !ok || p.Type != Deb {
		t.Errorf("Package: %+v", p)
	}
	if p, ok := inv.Installed("n", "all"); !ok || p.Type != Deb {
		t.Errorf("Installed: %+v", p)
	}
	if p, ok := inv.Package("m"); !ok || p.Type != NPM {
		t.Errorf("Package: %+v", p)
	}
	if p, ok := inv.Installed("m", ""); ok {
		t.Errorf("a library was installed: %+v", p)
	}
	if !slices.IsSortedFunc(inv.Packages, comparePackages) {
		t.Errorf("%+v", inv.Packages)
	}
}

func TestInheritedLibraries(t *testing.T) {
	const npm = `{"name":"n","version":"1.0"}`
	base := image(t, []entry{text("a/package.json", npm)})
	child := on(t, base, layerOf(t, tarOf(t, text("b/package.json", npm))))
	inherited := Inherited(mustRead(t, child), mustRead(t, base))
	for _, p := range mustRead(t, child).Packages {
		if want := p.Path == "/a/package.json"; inherited(p) != want {
			t.Errorf("%+v: inherited %v", p, !want)
		}
	}
}

func TestHostileLibraries(t *testing.T) {
	zeros := strings.Repeat("\x00", 2*maxMetadata)
	deep := zipOf(t, pomAt, pom("g", "a", "1.0"))
	for range maxNesting + 2 {
		deep = zipOf(t, "in.jar", deep)
	}
	var many []string
	for i := range maxDescribed + 1 {
		many = append(many, fmt.Sprintf("%d/pom.properties", i), pom("g", fmt.Sprint(i), "1"))
	}
	long := []string{pomAt, pom("g", "a", "1.0")}
	for i := range 300 {
		long = append(long, fmt.Sprint(i, strings.Repeat("x", 60_000)), "")
	}
	for _, c := range []struct {
		name, at, content string
		libraries         int
		unknown           string
	}{
		{"no archive", "x.jar", strings.Repeat("no archive ", 10), 0, "1 file could not be read (/x.jar: zip: not a valid zip file)"},
		{"cut off", "x.jar", deep[:len(deep)/2], 0, "zip: not a valid zip file"},
		{"a list of files that is long", "x.jar", zipOf(t, long...), 0, "its list of files is too long"},
		{"nested too deep", "x.jar", deep, 0, "nested more than 4 deep"},
		{"a description of zeros", "x.jar", zipOf(t, pomAt, zeros, "a/pom.properties", pom("g", "b", "1")), 1, ""},
		{"too many in one", "x.jar", zipOf(t, many...), maxDescribed, "it has more than 2000 libraries"},
		{"a person who is none", "package.json", `{"name":"n","version":"1","maintainers":[null]}`, 0, "/package.json: the parser failed"},
		{"an absurd version", "package.json", `{"name":"n","version":"` + strings.Repeat("1", 1<<20-100) + `"}`, 0, ""},
		{"an absurd name", "package.json", `{"name":"n\u0000","version":"1"}`, 0, ""},
		{"a name of two lines", "package.json", `{"name":"n\n","version":"1"}`, 0, ""},
		{"deep", "package.json", `{"name":"n","version":"1","engines":` + strings.Repeat(`[`, 400_000) + strings.Repeat(`]`, 400_000) + `}`, 0, ""},
		{"a long description", "x.dist-info/METADATA", "Name: n\nVersion: 1\n\n" + strings.Repeat("x", 3<<20), 1, ""},
		{"lines that go on", "x.dist-info/METADATA", "Name: n\nVersion: 1\n" + strings.Repeat(" x\n", 3<<20), 1, ""},
		{"an egg of zeros", "x.egg", zipOf(t, "EGG-INFO/PKG-INFO", zeros), 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inv := mustRead(t, image(t, []entry{text(c.at, c.content)}))
			if len(inv.Packages) != c.libraries {
				t.Errorf("%d libraries, want %d", len(inv.Packages), c.libraries)
			}
			if got := strings.Join(inv.Unknown, "\n"); !strings.Contains(got, c.unknown) || (got == "") != (c.unknown == "") {
				t.Errorf("unknown %q, want %q", got, c.unknown)
			}
		})
	}
}

// What archives unpack to is bounded for the whole image.
func TestArchiveBomb(t *testing.T) {
	l, err := newLibrarian(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	l.inflateLeft = 100_000
	bomb := zipOf(t, pomAt, pom("g", "a", "1.0"), "in.jar", zipOf(t, "x", strings.Repeat("x", 100_000))+strings.Repeat("\x00", 200_000), "b/pom.properties", pom("g", "b", "1.0"))
	look := func() *contents {
		c, err := l.look(javaArchive, "/x.jar", 0, io.NewSectionReader(strings.NewReader(bomb), 0, int64(len(bomb))))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := look(); len(c.libraries) != 1 || !strings.Contains(c.problem, "unpack to more than") {
		t.Errorf("%+v", c)
	}
	if l.inflateLeft >= 0 || l.inflateLeft < -10 {
		t.Errorf("%d bytes left", l.inflateLeft)
	}
	l.left = 0
	if f := l.formOf("/x.jar", &tar.Header{Size: 100}); f != none {
		t.Errorf("form %d when there are libraries enough", f)
	}
}

// FuzzArchive: whatever an archive is, it is read without a panic, and its libraries are sound.
func FuzzArchive(f *testing.F) {
	f.Add([]byte(zipOf(f, pomAt, pom("g", "a", "1.0"), "META-INF/MANIFEST.MF", "Manifest-Version: 1.0\nBundle-Version: 1\n\n")))
	f.Add([]byte(zipOf(f, "in.jar", zipOf(f, pomAt, pom("g", "a", "1.0")))))
	l, err := newLibrarian(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l.left, l.inflateLeft = maxLibraries, 1<<20
		c, err := l.look(javaArchive, "/x.jar", 0, io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))))
		if err != nil {
			t.Fatal(err)
		}
		if c == nil {
			return
		}
		for _, b := range c.libraries {
			if !b.sound() {
				t.Errorf("%+v", b)
			}
		}
	})
}
