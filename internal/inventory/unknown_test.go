package inventory

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
)

const elf = "\x7fELF\x02\x01\x01\x00 not much of one"

func runs(name, content string) entry {
	return entry{tar.Header{Name: name, Mode: 0o755}, content}
}

func TestUnknown(t *testing.T) {
	const status = "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n"
	var many []entry
	for i := range 17 {
		many = append(many, runs(fmt.Sprintf("bin/p%02d", i), fmt.Sprintf("%s%d", elf, i)))
	}
	for name, tc := range map[string]struct {
		layers [][]entry
		want   []string
	}{
		"an empty image":          {[][]entry{{dir("etc")}}, nil},
		"data":                    {[][]entry{{text("data", elf)}}, nil},
		"a script alone":          {[][]entry{{runs("run", "#!/bin/sh\n")}}, nil},
		"one program":             {[][]entry{{runs("app", elf)}}, []string{"no package database; 1 program (/app): what is in it is not known from packages"}},
		"one among others":        {[][]entry{{runs("app", elf), runs("run", "#!/bin/sh\n"), text("data", elf+"x")}}, []string{"no package database; 1 program (/app): what is in it is not known from packages"}},
		"two of two layers":       {[][]entry{{runs("b", elf+"b")}, {runs("a", elf+"a")}}, []string{"no package database; 2 programs (/a and /b): what is in them is not known from packages"}},
		"one under many names":    {[][]entry{{runs("bin/busybox", elf), hardlink("bin/sh", "bin/busybox")}, {runs("bin/ls", elf)}}, []string{"no package database; 1 program (/bin/busybox under 3 names): what is in it is not known from packages"}},
		"one that was deleted":    {[][]entry{{runs("app", elf)}, {text(".wh.app", "")}}, nil},
		"one that was replaced":   {[][]entry{{runs("app", elf)}, {runs("app", "#!/bin/sh\n")}}, nil},
		"a link to what is gone":  {[][]entry{{runs("a", elf)}, {hardlink("b", "a"), text(".wh.a", "")}}, []string{"no package database; 1 program (/b): what is in it is not known from packages"}},
		"a name that is odd":      {[][]entry{{runs("a \x1b[2J\n", elf)}}, []string{`no package database; 1 program ("/a \x1b[2J\n"): what is in it is not known from packages`}},
		"too many":                {[][]entry{many}, []string{"no package database; 17 programs (/bin/p00, /bin/p01, /bin/p02 and 14 more): what is in them is not known from packages"}},
		"packages":                {[][]entry{{text("var/lib/dpkg/status", status), runs("app", elf)}}, nil},
		"distroless":              {[][]entry{{text("var/lib/dpkg/status.d/a", status), runs("app", elf)}}, nil},
		"an empty database":       {[][]entry{{text("var/lib/dpkg/status", ""), runs("app", elf)}}, []string{"its package database is empty; 1 program (/app): what is in it is not known from packages"}},
		"a database taken away":   {[][]entry{{text("var/lib/dpkg/status", status), text("var/lib/dpkg/info/a.list", "/a\n")}, {text("var/lib/dpkg/.wh.status", "")}}, []string{"/var/lib/dpkg/info is dpkg's, but no database of its packages is there: they are not known"}},
		"apk's without database":  {[][]entry{{text("etc/apk/world", "musl\n")}}, []string{"/etc/apk/world is apk's, but no database of its packages is there: they are not known"}},
		"rpm's without database":  {[][]entry{{text("var/lib/rpm/.rpm.lock", "")}}, []string{"/var/lib/rpm is rpm's, but no database of its packages is there: they are not known"}},
		"directories of managers": {[][]entry{{dir("var/lib/dpkg/info"), dir("nix/store"), dir("var/lib/rpm")}}, nil},
		"a manager that is not read, beside one that is": {
			[][]entry{{text("var/lib/dpkg/status", status), text("opt/conda/conda-meta/openssl-3.json", "{}")}},
			[]string{"/opt/conda/conda-meta is conda's, whose packages are not read: they are not known"},
		},
		"a manager that is not read": {
			[][]entry{{text("var/lib/pacman/local/glibc-2.40-1/desc", "%NAME%\nglibc\n"), runs("bin/sh", elf)}},
			[]string{"/var/lib/pacman/local is pacman's, whose packages are not read: they are not known", "no package database; 1 program (/bin/sh): what is in it is not known from packages"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inv := mustRead(t, image(t, tc.layers...))
			if got, want := strings.Join(inv.Unknown, "\n"), strings.Join(tc.want, "\n"); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// This test is a Go program itself.
func TestUnknownGoProgram(t *testing.T) {
	program, info := self(t)
	plain := tarOf(t, runs("srv/app", string(program)), runs("srv/other", elf))
	img := on(t, empty.Image, packedLayer(t, plain, plain)) // not compressed: it is large
	inv := mustRead(t, img)
	if got, want := strings.Join(inv.Unknown, "\n"), "no package database; 1 program (/srv/other): what is in it is not known from packages"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want := []Package{{Type: Golang, Name: "stdlib", Version: semanticGo(goVersion.FindStringSubmatch(runtime.Version())), Path: "/srv/app"}}
	for _, m := range goModules(info) {
		want = append(want, Package{Type: Golang, Name: m.name, Version: m.version, Path: "/srv/app"})
	}
	slices.SortFunc(want, comparePackages)
	if !slices.Equal(inv.Packages, want) {
		t.Errorf("got  %+v\nwant %+v", inv.Packages, want)
	}
}

func TestGoModules(t *testing.T) {
	dep := func(path, version string, replace *debug.Module) *debug.Module {
		return &debug.Module{Path: path, Version: version, Replace: replace}
	}
	for _, c := range []struct {
		name string
		info debug.BuildInfo
		want string
	}{
		{"a program without a version", debug.BuildInfo{Main: debug.Module{Path: "a.b/c", Version: "(devel)"}}, "[]"},
		{"one with", debug.BuildInfo{Main: debug.Module{Path: "a.b/c", Version: "v1.2.3"}}, "[a.b/c v1.2.3]"},
		{"modules", debug.BuildInfo{Deps: []*debug.Module{dep("x", "v1.0.0", nil), dep("y", "v0.0.0-20240101000000-abcdefabcdef", nil)}}, "[x v1.0.0 y v0.0.0-20240101000000-abcdefabcdef]"},
		{"replaced by another", debug.BuildInfo{Deps: []*debug.Module{dep("x", "v1.0.0", dep("fork", "v1.0.1", nil))}}, "[fork v1.0.1]"},
		{"replaced by a directory", debug.BuildInfo{Deps: []*debug.Module{dep("x", "v1.0.0", dep("../x", "", nil))}}, "[x v1.0.0]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, m := range goModules(&c.info) {
				got = append(got, m.name+" "+m.version)
			}
			if s := fmt.Sprint(got); s != c.want {
				t.Errorf("got %s, want %s", s, c.want)
			}
		})
	}
}

func TestGoVersion(t *testing.T) {
	for said, want := range map[string]string{
		"go1.22.1": "v1.22.1", "go1.20": "v1.20.0", "go1.22rc1": "v1.22.0-rc.1", "go1.21.5 X:boringcrypto": "v1.21.5", "go1.21.5-custom": "v1.21.5",
		"devel go1.24-abc": "", "go2": "", "go1.22.1\nx": "",
	} {
		got := ""
		if m := goVersion.FindStringSubmatch(said); m != nil {
			got = semanticGo(m)
		}
		if got != want {
			t.Errorf("%q is %q, want %q", said, got, want)
		}
	}
}

// self is the program of this test.
func self(t testing.TB) ([]byte, *debug.BuildInfo) {
	t.Helper()
	at, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	return program, info
}

// The layers of an image are read once, whatever is in it.
func TestLayersAreReadOnce(t *testing.T) {
	for name, layers := range map[string][][]entry{
		"with packages": {{text("var/lib/dpkg/status", "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n")}, {runs("app", elf)}},
		"with programs": {{text("a", "")}, {runs("app", elf)}, {text("b", "")}},
	} {
		t.Run(name, func(t *testing.T) {
			var counts []*atomic.Int32
			img := on(t, empty.Image)
			for _, entries := range layers {
				l := &counted{Layer: layerOf(t, tarOf(t, entries...))}
				counts = append(counts, &l.reads)
				img = on(t, img, l)
			}
			for _, c := range counts {
				c.Store(0)
			}
			mustRead(t, img)
			for i, c := range counts {
				if got := c.Load(); got != 1 {
					t.Errorf("layer %d is read %d times", i, got)
				}
			}
		})
	}
}

// counted is a layer that counts how often it is read.
type counted struct {
	v1.Layer
	reads atomic.Int32
}

func (c *counted) Compressed() (io.ReadCloser, error) {
	c.reads.Add(1)
	return c.Layer.Compressed()
}

// FuzzProgram: whatever a program is, it is looked into without a panic, and what is said of it is one plain line.
func FuzzProgram(f *testing.F) {
	f.Add([]byte(elf))
	f.Add([]byte("#!/bin/sh\n"))
	f.Add(smallELF())
	l, err := newLibrarian(context.Background())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := l.look(program, "/app", 0, io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))))
		if err != nil || !c.program {
			t.Fatalf("%+v, %v", c, err)
		}
		if s := (&opaqueProgram{names: []string{"/app"}, golang: c.golang}).String(); strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) || len(s) > 200 {
			t.Errorf("%q", s)
		}
	})
}

// smallELF is a header of 64 bits with one program header and what Go writes, for the fuzzer to begin with.
func smallELF() []byte {
	b := make([]byte, 64+56+256)
	copy(b, "\x7fELF\x02\x01\x01")
	b[16], b[18], b[20] = 2, 62, 1 // an executable for x86-64
	b[32], b[52], b[54], b[56] = 64, 64, 56, 1
	copy(b[64:], []byte{1, 0, 0, 0, 6}) // loaded, from offset 0
	b[64+33], b[64+41] = 2, 2           // 512 bytes
	copy(b[128:], "\xff Go buildinf:\x08\x02")
	copy(b[160:], "\x06go1.22\x00")
	return b
}
