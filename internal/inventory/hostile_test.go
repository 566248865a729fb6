package inventory

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
)

// refused reads a hostile image, which must be an error that says why.
func refused(t *testing.T, img v1.Image, want string, opts ...Option) {
	t.Helper()
	inv, err := Read(t.Context(), img, "", opts...)
	if err == nil {
		t.Fatalf("read: %+v", inv)
	}
	if !strings.Contains(err.Error(), want) || len(err.Error()) > 2000 {
		t.Errorf("error %.2000v\nwant %s", err, want)
	}
}

// zeros is a layer of one long file, compressed.
func zeros(t testing.TB, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: size, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, zeroReader{}, size); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestBombsOfLayers(t *testing.T) {
	plain := zeros(t, 20<<20)
	for name, blob := range map[string][]byte{"gzip": gzipped(t, plain), "zstd": zstded(t, plain)} {
		img := on(t, empty.Image, packedLayer(t, blob, plain))
		refused(t, img, "unpacks to more than 10000000 bytes", WithLimits(Limits{Unpacked: 10_000_000}))

		tr := newTree(defaultLimits())
		tr.size.free = 1 << 20
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		diffID, err := layers[0].DiffID()
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.apply(t.Context(), layers[0], 0, diffID); err == nil || !strings.Contains(err.Error(), "more than 100 times its size") {
			t.Errorf("%s: %v", name, err)
		}
		if most := 1<<20 + maxRatio*tr.size.packed.Load() + 2<<20; tr.size.unpacked > most {
			t.Errorf("%s: %d bytes were unpacked of %d", name, tr.size.unpacked, tr.size.packed.Load())
		}
	}
	// What is not compressed, or no more than files are, is of any size.
	if err := (&size{most: 10 << 30, free: 1 << 20, unpacked: 1}).check(1 << 20); err != nil {
		t.Error(err)
	}
	s := &size{most: 10 << 30, free: 1 << 20}
	s.packed.Store(1 << 30)
	if err := s.check(9 << 30); err != nil {
		t.Error(err)
	}
}

func TestSparseFile(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(300 << 30); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for _, format := range []string{"gnu", "posix"} {
		plain, err := exec.CommandContext(t.Context(), "tar", "--sparse", "--format="+format, "-C", dir, "-c", "sparse").Output()
		if err != nil {
			t.Fatal(err)
		}
		refused(t, on(t, empty.Image, packedLayer(t, plain, plain)), "unpacks to more than")
		refused(t, on(t, empty.Image, packedLayer(t, plain, plain)), "100 times its size", WithLimits(Limits{Unpacked: 1 << 40}))
	}
}

func TestManyFiles(t *testing.T) {
	var entries []entry
	for i := range 1001 {
		entries = append(entries, text(fmt.Sprintf("f%d", i), ""))
	}
	refused(t, image(t, entries), "too many files and directories", WithLimits(Limits{Files: 1000}))
	if _, err := Read(t.Context(), image(t, entries[:1000]), "", WithLimits(Limits{Files: 1000})); err != nil {
		t.Error(err)
	}
	// Directories that no entry names take memory, too.
	deep := text(strings.Repeat("d/", 1000)+"f", "")
	refused(t, image(t, []entry{deep}), "too many files and directories", WithLimits(Limits{Files: 1000}))
	// The same file over and over is read each time.
	var same []entry
	for range 1001 {
		same = append(same, text("f", ""))
	}
	refused(t, image(t, same), "too many files and directories", WithLimits(Limits{Files: 1000}))
}

// A million files take some hundred megabytes.
func TestMemoryOfAFile(t *testing.T) {
	const files, most = 50_000, 300 // bytes each
	tr := newTree(defaultLimits())
	before := heap()
	for i := range files {
		if err := tr.put(&tar.Header{Name: fmt.Sprintf("usr/lib/directory%d/file%d", i/50, i), Typeflag: tar.TypeReg, Mode: 0o644}, strings.NewReader(""), 0); err != nil {
			t.Fatal(err)
		}
	}
	if each := int(heap()-before) / files; each > most {
		t.Errorf("a file takes %d bytes, more than %d", each, most)
	}
	runtime.KeepAlive(tr)
}

// putEntry puts an entry as it comes out of an archive.
func putEntry(tr *tree, e entry, layer int) error {
	if e.Typeflag == 0 {
		e.Typeflag = tar.TypeReg
	}
	e.Size = int64(len(e.content))
	return tr.put(&e.Header, strings.NewReader(e.content), layer)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestPathsStayInTheImage(t *testing.T) {
	const shadow = "open::1:0:99999:7:::\n"
	for _, name := range []string{"../../etc/shadow", "/etc/shadow", "./etc/./shadow", "a/../../etc/shadow", "etc//shadow", "../etc/x/../shadow"} {
		if got := filesIn(mustRead(t, image(t, []entry{text(name, shadow)}))); got != "/etc/shadow account @0 open" {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, c := range [][]entry{
		{symlink("l", "../../../../etc"), text("l/shadow", shadow)},
		{symlink("l", "/.."), dir("etc"), text("l/etc/shadow", shadow)},
	} {
		if got := filesIn(mustRead(t, image(t, c))); got != "/etc/shadow account @0 open" {
			t.Errorf("%s: %s", c[0].Linkname, got)
		}
	}
	refused(t, image(t, []entry{hardlink("passwd", "../../../../../../etc/passwd")}), "which is not in the image")
	for _, name := range []string{"..", ".", "/", "a/..", "../.wh...", ".wh.", ".wh..", "a/.wh..wh..opq"} {
		mustRead(t, image(t, []entry{text(name, "")}))
	}
}

// Where an entry leads is found anew when an entry before it has changed the way.
func TestAWayThatChanges(t *testing.T) {
	at := func(f string) entry { return modeOf(f, 0o4755) }
	for _, c := range []struct {
		entries []entry
		want    string
	}{
		{[]entry{symlink("l", "/"), at("l/a"), dir("l/l"), at("l/b")}, "/a setuid @0, /l/b setuid @0"},
		{[]entry{symlink("l", "/"), at("l/a"), text("l/.wh.l", ""), at("l/b")}, "/a setuid @0, /b setuid @0"}, // a whiteout hides nothing of its own layer
		{[]entry{dir("d"), at("d/a"), symlink("d", "e"), at("d/b")}, "/e/b setuid @0"},
	} {
		if got := filesIn(mustRead(t, image(t, c.entries))); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	lower := image(t, []entry{symlink("l", "/")})
	img := on(t, lower, layerOf(t, tarOf(t, at("l/a"), text("l/.wh.l", ""), at("l/b"))))
	if got, want := filesIn(mustRead(t, img)), "/a setuid @1, /l/b setuid @1"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestHostileEntries(t *testing.T) {
	long := strings.Repeat("x", maxPath+1)
	capable := text("x", "")
	capable.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": strings.Repeat("x", maxCapability+1)}
	for _, c := range []struct {
		name    string
		entries []entry
		want    string
	}{
		{"a long name", []entry{text(long, "")}, "a path of 4097 bytes"},
		{"a long link", []entry{symlink("l", long)}, "a symbolic link of 4097 bytes"},
		{"a long capability", []entry{capable}, "a file capability of 65 bytes"},
		{"a hard link to itself", []entry{hardlink("l", "l")}, "which is not in the image"},
		{"a hard link to a directory", []entry{dir("d"), hardlink("l", "d")}, "which is not in the image"},
		{"a link to itself", []entry{symlink("l", "l"), text("l/x", "")}, "loop of symbolic links"},
		{"a link into itself", []entry{symlink("l", "l/l"), text("l/x", "")}, "loop of symbolic links"},
		{"a ring", []entry{symlink("a", "b"), symlink("b", "c"), symlink("c", "a"), text("a/x", "")}, "loop of symbolic links"},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, image(t, c.entries), c.want) })
	}
}

// Forty links, each to a path of two thousand directories, make one short path a long way.
func TestLongWays(t *testing.T) {
	tr := newTree(defaultLimits())
	put := func(e entry) error { return putEntry(tr, e, 0) }
	way := strings.Repeat("d/", 2000)
	if err := put(dir(way)); err != nil {
		t.Fatal(err)
	}
	for i := range 39 {
		if err := put(symlink(fmt.Sprintf("%s/l%d", way, i), fmt.Sprintf("/%sl%d", way, i+1))); err != nil {
			t.Fatal(err)
		}
	}
	before := tr.stepsLeft
	if err := put(text(way+"l0/x", "")); err != nil {
		t.Fatal(err)
	}
	if steps := before - tr.stepsLeft; steps < 40*2000 {
		t.Fatalf("%d steps: this test does not test what it says", steps)
	}
	tr.stepsLeft = 10_000
	if err := put(text(way+"l1/y", "")); err == nil || !strings.Contains(err.Error(), "through too many directories") {
		t.Error(err)
	}
	tr = newTree(defaultLimits())
	tr.namesLeft = 10
	if err := put(text("a name of more", "")); err == nil || !strings.Contains(err.Error(), "names of the image's files") {
		t.Error(err)
	}
}

func TestHostileDatabases(t *testing.T) {
	long := strings.Repeat("1", 1<<20)
	for _, c := range []struct{ name, at, content, want string }{
		{"dpkg, a long version", "var/lib/dpkg/status", stanzaOf("a", long), "a stanza of more than"},
		{"dpkg, a long name", "var/lib/dpkg/status", stanzaOf(long, "1"), "a stanza of more than"},
		{"dpkg, some length", "var/lib/dpkg/status", stanzaOf("a", long[:2000]), "of some length"},
		{"dpkg, no letters", "var/lib/dpkg/status", stanzaOf("a\x00b", "1"), "names of letters"},
		{"dpkg, no text", "var/lib/dpkg/status", stanzaOf("a\xff", "1"), "names of letters"},
		{"distroless", "var/lib/dpkg/status.d/a", stanzaOf("a", long[:1<<19]), "a stanza of more than"},
		{"apk", "lib/apk/db/installed", "P:a\nV:" + long + "\nA:x86_64\n\n", "more than 4096 bytes"},
		{"rpm", "var/lib/rpmmanifest/container-manifest-2", "a\t" + long + "-1\t1\t1\tv\t(none)\t1\tx86_64\t0\ta.src.rpm\n", "token too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused(t, image(t, []entry{text(c.at, c.content)}), c.want)
		})
	}
}

// One file under many names is read under each of them, again after each layer that adds one.
func TestADatabaseUnderManyNames(t *testing.T) {
	tr, db := newTree(defaultLimits()), newHistories()
	tr.parsedLeft = 100_000
	one := text("var/lib/dpkg/status.d/a", stanzaOf("a", "1"))
	if err := putEntry(tr, one, 0); err != nil {
		t.Fatal(err)
	}
	layers := 0
	for ; ; layers++ {
		link := hardlink(fmt.Sprintf("var/lib/dpkg/status.d/a%d", layers), "var/lib/dpkg/status.d/a")
		if err := putEntry(tr, link, layers); err != nil {
			t.Fatal(err)
		}
		if err := db.after(tr, layers); err != nil {
			if !strings.Contains(err.Error(), "of all layers") {
				t.Error(err)
			}
			break
		}
	}
	if layers > 100 {
		t.Errorf("%d layers", layers)
	}
}

func TestHostileConfigurations(t *testing.T) {
	const many = 3000
	img := configured(t, image(t, []entry{text("a", "x")}), func(f *v1.ConfigFile) {
		f.Config.Labels, f.Config.ExposedPorts = map[string]string{}, map[string]struct{}{}
		for i := range many {
			f.Config.Env = append(f.Config.Env, fmt.Sprintf("E%d=", i))
			f.Config.Labels[fmt.Sprint("l", i)] = ""
			f.Config.ExposedPorts[fmt.Sprintf("%d/tcp", i)] = struct{}{}
		}
	})
	inv := mustRead(t, img)
	if c := inv.Config; len(c.Env) != maxListed || len(c.Labels) != maxListed || len(c.ExposedPorts) != maxListed || len(inv.Unknown) != 3 {
		t.Errorf("%d variables, %d labels, %d ports, unknown %q", len(c.Env), len(c.Labels), len(c.ExposedPorts), inv.Unknown)
	}
	refused(t, configured(t, img, func(f *v1.ConfigFile) { f.Author = strings.Repeat("x", maxConfig) }), "its configuration has")
	refused(t, configured(t, img, func(f *v1.ConfigFile) { f.RootFS.DiffIDs = nil }), "the configuration 0 diff ids")
	paths := configured(t, image(t, []entry{text("a", "x")}), func(f *v1.ConfigFile) {
		f.Config.Env = []string{"PATH=" + strings.Repeat("/a:../..:", 10_000)}
	})
	if got := filesIn(mustRead(t, paths)); got != "" {
		t.Error(got)
	}
}
