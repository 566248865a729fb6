package inventory

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

// show is a repository without its keys, in one line.
func show(r Repository) string {
	return fmt.Sprintf("%s %s %s %v %v", r.Type, r.URI, r.Suite, r.Components, r.Architectures)
}

func TestParseSources(t *testing.T) {
	for _, c := range []struct{ name, file, text, want string }{
		{"one line", "a.list", "deb http://h/debian bookworm main\n", "deb http://h/debian bookworm [main] []"},
		{"components", "a.list", "deb http://h/debian bookworm main contrib", "deb http://h/debian bookworm [main contrib] []"},
		{"comments and sources", "a.list", "# deb http://h/x y z\n\n  deb-src http://h/x y z\ndeb\thttp://h/x  y z # and so on\n", "deb http://h/x y [z] []"},
		{"options", "a.list", "deb [ arch=amd64,i386 trusted=no ] http://h/x y z", "deb http://h/x y [z] [amd64 i386]"},
		{"options without blanks", "a.list", "deb [arch=amd64]http://h/x y z", "deb http://h/x y [z] [amd64]"},
		{"directory", "a.list", "deb http://h/x ./", "deb http://h/x ./ [] []"},
		{"cd-rom", "a.list", "deb cdrom:[Debian 12 _Bookworm_]/ bookworm main", ""},
		{"stanza", "a.sources", "Types: deb\nURIs: http://h/debian\nSuites: bookworm bookworm-updates\nComponents: main contrib\n",
			"deb http://h/debian bookworm [main contrib] []; deb http://h/debian bookworm-updates [main contrib] []"},
		{"two stanzas", "a.sources", "# first\nTypes: deb deb-src\nURIs: http://a/x http://b/x\nSuites: s\nComponents: c\n\n\nTypes: deb\nURIs: http://c/\nSuites: /\n",
			"deb http://a/x s [c] []; deb http://b/x s [c] []; deb http://c/ / [] []"},
		{"case and continuation", "a.sources", "TYPES: deb\nuris:\n http://a/x\n http://b/x\nSuites: s\ncomponents: c\narchitectures: amd64 arm64\n",
			"deb http://a/x s [c] [amd64 arm64]; deb http://b/x s [c] [amd64 arm64]"},
		{"disabled", "a.sources", "Types: deb\nEnabled: no\nURIs: http://h/x\nSuites: s\nComponents: c\n", ""},
		{"only sources", "a.sources", "Types: deb-src\nURIs: http://h/x\nSuites: s\nComponents: c\n", ""},
		{"only comments", "a.sources", "# nothing\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseSources(c.file, []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, s := range got {
				if s.Where != c.file {
					t.Errorf("where %q, want %q", s.Where, c.file)
				}
				lines = append(lines, show(s.Repository))
			}
			if got := strings.Join(lines, "; "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestParseSourcesErrors(t *testing.T) {
	for _, c := range []struct{ name, file, text, want string }{
		{"type", "a.list", "deb http://h/x y z\nrpm http://h/x y z\n", `a.list:2: type "rpm"`},
		{"no suite", "a.list", "deb http://h/x\n", "a.list:1: URI and suite expected"},
		{"no components", "a.list", "deb http://h/x y\n", `a.list:1: suite "y" has no components`},
		{"too many components", "a.list", "deb http://h/x ./ main\n", "and so has no components"},
		{"open bracket", "a.list", "deb [arch=amd64 http://h/x y z\n", `"[" without "]"`},
		{"option", "a.list", "deb [arch] http://h/x y z\n", `option "arch": "name=value" expected`},
		{"uri", "a.list", "deb nonsense y z\n", `"nonsense" is not a URI`},
		{"no types", "a.sources", "URIs: http://h/x\nSuites: s\nComponents: c\n", "a.sources: stanza 1: a field Types is expected"},
		{"second stanza", "a.sources", "Types: deb\nURIs: http://h/x\nSuites: s\nComponents: c\n\nTypes: deb\nSuites: s\n", "stanza 2: URIs and Suites expected"},
		{"no field", "a.sources", "nonsense\n", "a.sources: stanza 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseSources(c.file, []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func newKey(t *testing.T, name string) (e *openpgp.Entity, binary, armoured []byte) {
	t.Helper()
	e, err := openpgp.NewEntity(name, "", name+"@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var b, a bytes.Buffer
	if err := e.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	w, err := armor.Encode(&a, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return e, b.Bytes(), append(a.Bytes(), '\n')
}

func TestRepositoryKeys(t *testing.T) {
	a, keyA, armouredA := newKey(t, "a")
	b, keyB, armouredB := newKey(t, "b")
	both := append(append([]byte{}, armouredA...), armouredB...)
	const plain = "deb http://h/x y z\n"
	signed := func(by string) entry { return text("etc/apt/sources.list", "deb [signed-by="+by+"] http://h/x y z\n") }
	inline := strings.ReplaceAll(strings.TrimSpace(string(armouredA)), "\n\n", "\n.\n")
	inline = "Types: deb\nURIs: http://h/x\nSuites: y\nComponents: z\nSigned-By:\n " + strings.ReplaceAll(inline, "\n", "\n ") + "\n"
	idA, idB := fmt.Sprintf("%X", a.PrimaryKey.Fingerprint), fmt.Sprintf("%X", b.PrimaryKey.Fingerprint)
	for _, c := range []struct {
		name  string
		files []entry
		want  string // identities of the keys
	}{
		{"by path", []entry{text("usr/share/keyrings/a.gpg", string(keyA)), text("etc/apt/trusted.gpg.d/b.gpg", string(keyB)), signed("/usr/share/keyrings/a.gpg")}, "a"},
		{"by path, elsewhere", []entry{text("opt/corp/a.asc", string(armouredA)), signed("/opt/corp/a.asc")}, "a"},
		{"by path through a link", []entry{text("usr/share/keyrings/a.pgp", string(keyA)), symlink("usr/share/keyrings/a.gpg", "a.pgp"), signed("/usr/share/keyrings/a.gpg")}, "a"},
		{"by two paths", []entry{text("k/a.asc", string(armouredA)), text("k/b.gpg", string(keyB)), signed("/k/a.asc,/k/b.gpg")}, "a b"},
		{"two in one file", []entry{text("k/both.asc", string(both)), signed("/k/both.asc")}, "a b"},
		{"path to nothing", []entry{text("etc/apt/trusted.gpg.d/b.gpg", string(keyB)), signed("/k/a.asc")}, ""},
		{"inline", []entry{text("etc/apt/trusted.gpg.d/b.gpg", string(keyB)), text("etc/apt/sources.list.d/x.sources", inline)}, "a"},
		{"trusted by apt", []entry{text("etc/apt/sources.list", plain), text("etc/apt/trusted.gpg.d/a.asc", string(armouredA)), text("etc/apt/trusted.gpg", string(keyB)),
			text("usr/share/keyrings/c.gpg", "not looked at")}, "b a"},
		{"shared keyrings when there is nothing else", []entry{text("etc/apt/sources.list", plain), text("usr/share/keyrings/a.gpg", string(keyA)),
			text("usr/share/keyrings/debian-archive-removed-keys.gpg", string(keyB))}, "a"},
		{"by fingerprint", []entry{text("etc/apt/trusted.gpg.d/both.asc", string(both)), signed(idB + "!")}, "b"},
		{"by another fingerprint", []entry{text("etc/apt/trusted.gpg.d/both.asc", string(both)), signed(idA)}, "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inv := mustRead(t, image(t, c.files))
			if len(inv.Repositories) != 1 {
				t.Fatalf("%d repositories", len(inv.Repositories))
			}
			var names []string
			for _, e := range Keyring(inv.Repositories[0].Keys) {
				names = append(names, e.PrimaryIdentity().UserId.Name)
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("keys %q, want %q", got, c.want)
			}
		})
	}
}

func TestRepositoriesOfAnImage(t *testing.T) {
	inv := mustRead(t, image(t, []entry{
		text("etc/apt/sources.list", "deb http://h/$(ARCH) y z\n"),
		text("etc/apt/sources.list.d/b.list", "deb [arch=arm64] http://b/x y z\n"),
		text("etc/apt/sources.list.d/a.sources", "Types: deb\nURIs: http://a/x\nSuites: y\nComponents: z\n"),
		text("etc/apt/sources.list.d/a.sources.save", "nonsense"),
		text("etc/apt/sources.list.d/with space.list", "nonsense"),
		text("var/lib/dpkg/arch", "amd64\ni386\n"),
	}))
	var got []string
	for _, r := range inv.Repositories {
		got = append(got, r.Where+": "+show(r))
	}
	want := []string{
		"/etc/apt/sources.list: deb http://h/amd64 y [z] [amd64 i386]",
		"/etc/apt/sources.list.d/a.sources: deb http://a/x y [z] [amd64 i386]",
		"/etc/apt/sources.list.d/b.list: deb http://b/x y [z] [arm64]",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDebianArchitecture(t *testing.T) {
	for platform, want := range map[string]string{
		"linux/amd64": "amd64", "linux/arm64": "arm64", "linux/arm64/v8": "arm64", "linux/arm/v7": "armhf", "linux/386": "i386",
		"linux/ppc64le": "ppc64el", "linux/arm/v5": "armel", "linux/amd64/v2": "amd64", "linux/riscv64": "riscv64",
	} {
		if got := DebianArchitecture(platform); got != want {
			t.Errorf("%s: %s, want %s", platform, got, want)
		}
	}
}

// Whatever a file holds, parsing ends without a panic, and what it returns is complete.
func FuzzParseSources(f *testing.F) {
	f.Add("a.list", "deb [arch=amd64 signed-by=/a,/b] http://h/x y z # c\ndeb-src x y z\n")
	f.Add("a.sources", "Types: deb\nURIs: http://h/x\nSuites: a b\nComponents: c\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n x\n\nTypes: deb-src\n")
	f.Add("a.sources", " continuation of nothing\n:\n")
	f.Add("a.list", "deb [] cdrom:[a b]/ x/\n")
	f.Fuzz(func(t *testing.T, file, text string) {
		found, err := parseSources(file, []byte(text))
		if err != nil {
			return
		}
		for _, s := range found {
			if s.Type != "deb" || s.URI == "" || s.Suite == "" || s.Where != file {
				t.Errorf("incomplete: %+v", s.Repository)
			}
			if (len(s.Components) == 0) != strings.HasSuffix(s.Suite, "/") {
				t.Errorf("components: %+v", s.Repository)
			}
		}
	})
}

// Nothing that a package database may hold panics, and what is read is sorted and has names and versions.
func FuzzReadStatus(f *testing.F) {
	f.Add([]byte("Package: a\nStatus: install ok installed\nVersion: 1\nSource: b (2)\n\n"))
	f.Add([]byte("Package: a\nVersion: 1\nSource: (\n"))
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\n\nPackage: a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var all []Package
		add := func(p Package) error { all = append(all, p); return nil }
		if readStatus(data, add) != nil {
			return
		}
		for _, p := range all {
			if p.Name == "" || p.Version == "" || p.Source == "" || p.SourceVersion == "" {
				t.Errorf("incomplete: %+v", p)
			}
		}
	})
}
