package inventory

import (
	"archive/tar"
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
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
	for i := range maxPrograms + 1 {
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
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	plain := tarOf(t, runs("srv/app", string(program)))
	img := on(t, empty.Image, packedLayer(t, plain, plain)) // not compressed: it is large
	want := fmt.Sprintf("no package database; 1 program (/srv/app, built with Go %s of %d modules): what is in it is not known from packages",
		strings.TrimPrefix(strings.Fields(runtime.Version())[0], "go"), 1+len(info.Deps))
	if got := strings.Join(mustRead(t, img).Unknown, "\n"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The layers of an image are read again only for programs of which nothing else is known.
func TestLayersAreReadOnce(t *testing.T) {
	status := text("var/lib/dpkg/status", "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n")
	for name, tc := range map[string]struct {
		layers [][]entry
		want   []int32
	}{
		"with packages":     {[][]entry{{status}, {runs("app", elf)}}, []int32{1, 1}},
		"without a program": {[][]entry{{text("a", elf)}, {text("b", "")}}, []int32{1, 1}},
		"with one":          {[][]entry{{text("a", "")}, {runs("app", elf)}, {text("b", "")}}, []int32{1, 2, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var counts []*atomic.Int32
			img := on(t, empty.Image)
			for _, entries := range tc.layers {
				l := &counted{Layer: layerOf(t, tarOf(t, entries...))}
				counts = append(counts, &l.reads)
				img = on(t, img, l)
			}
			for _, c := range counts {
				c.Store(0)
			}
			mustRead(t, img)
			for i, c := range counts {
				if got := c.Load(); got != tc.want[i] {
					t.Errorf("layer %d is read %d times, want %d", i, got, tc.want[i])
				}
			}
		})
	}
}

// counted is a layer that counts how often it is read, and fails from a read on.
type counted struct {
	v1.Layer
	reads atomic.Int32
	fails int32
}

func (c *counted) Compressed() (io.ReadCloser, error) {
	if n := c.reads.Add(1); c.fails > 0 && n >= c.fails {
		return nil, errors.New("the registry is gone")
	}
	return c.Layer.Compressed()
}

func TestProgramsThatCannotBeReadAgain(t *testing.T) {
	l := &counted{Layer: layerOf(t, tarOf(t, runs("app", elf)))}
	img := on(t, empty.Image, l)
	l.reads.Store(0)
	l.fails = 2
	if _, err := Read(t.Context(), img, ""); err == nil || !strings.Contains(err.Error(), "programs of layer 0: the registry is gone") {
		t.Errorf("error %v", err)
	}
}

// FuzzProgram: whatever a program is, it is looked into without a panic, and what is said of it is one plain line.
func FuzzProgram(f *testing.F) {
	f.Add([]byte(elf))
	f.Add([]byte("#!/bin/sh\n"))
	f.Add(smallELF())
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &program{names: []string{"/app"}}
		p.learn(data, int64(len(data)))
		if s := p.String(); strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) || len(s) > 200 {
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
