package inventory

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	rpmlib "github.com/knqyf263/go-rpmdb/pkg"
)

// rpmSpec makes openssl-libs and openssl-doc of the source openssl, with an epoch.
const rpmSpec = `Name: openssl
Epoch: 1
Version: 3.0.7
Release: 27.el9
Summary: tested
License: none
%description
tested
%package libs
Summary: tested
%description libs
tested
%package doc
Summary: tested
BuildArch: noarch
%description doc
tested
%files libs
%files doc
`

// rpmModularSpec makes a package of a module.
const rpmModularSpec = `Name: nodejs
Version: 18.20.2
Release: 1.module_el9
Summary: tested
License: none
ModularityLabel: nodejs:18:9040020240419:rhel9
Provides: system-release
%description
tested
%files
`

// builtRPMs are made once, and lie for the next run.
var builtRPMs = sync.OnceValues(func() (string, error) {
	pool := filepath.Join(os.TempDir(), fmt.Sprintf("rebuilder-test-rpms-%x", sha256.Sum256([]byte(rpmSpec+rpmModularSpec))))
	if _, err := os.Stat(pool); err == nil {
		return pool, nil
	}
	dir, err := os.MkdirTemp("", "rebuilder-test-rpms-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	for i, spec := range []string{rpmSpec, rpmModularSpec} {
		at := filepath.Join(dir, fmt.Sprintf("%d.spec", i))
		if err := os.WriteFile(at, []byte(spec), 0o600); err != nil {
			return "", err
		}
		cmd := exec.Command("rpmbuild", "--quiet", "--define", "_topdir "+dir, "--target", "x86_64", "-bb", at)
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("rpmbuild: %w (scripts/setup installs it): %s", err, out)
		}
	}
	if err := os.Rename(filepath.Join(dir, "RPMS"), pool); err != nil {
		if _, there := os.Stat(pool); there == nil { // another run was first
			return pool, nil
		}
		return "", err
	}
	return pool, nil
})

// installRPMs returns the files of a database that rpm wrote. Debian's rpm writes SQLite alone.
func installRPMs(t testing.TB, names ...string) map[string]string {
	t.Helper()
	dir, err := builtRPMs()
	if err != nil {
		t.Fatal(err)
	}
	db := t.TempDir()
	args := []string{"--dbpath", db, "--define", "_db_backend sqlite", "--nodeps", "--nosignature", "--justdb", "--ignorearch", "-i"}
	for _, name := range names {
		found, _ := filepath.Glob(filepath.Join(dir, "*", name+"-[0-9]*.rpm"))
		if len(found) != 1 {
			t.Fatalf("%s: %d packages were made", name, len(found))
		}
		args = append(args, found[0])
	}
	if out, err := exec.Command("rpm", args...).CombinedOutput(); err != nil {
		t.Fatalf("rpm: %v: %s", err, out)
	}
	files := map[string]string{}
	entries, err := os.ReadDir(db)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(db, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(b)
	}
	return files
}

func layerIn(dir string, files map[string]string) []entry {
	var all []entry
	for _, name := range sortedKeys(files) {
		all = append(all, text(dir+"/"+name, files[name]))
	}
	return all
}

var (
	opensslLibs = Package{Type: RPM, Name: "openssl-libs", Version: "1:3.0.7-27.el9", Architecture: "x86_64", Source: "openssl", SourceVersion: "1:3.0.7-27.el9"}
	opensslDoc  = Package{Type: RPM, Name: "openssl-doc", Version: "1:3.0.7-27.el9", Architecture: "noarch", Source: "openssl", SourceVersion: "1:3.0.7-27.el9"}
	nodejs      = Package{Type: RPM, Name: "nodejs", Version: "18.20.2-1.module_el9", Architecture: "x86_64", Source: "nodejs", SourceVersion: "18.20.2-1.module_el9", Module: "nodejs:18"}
)

func TestDatabaseWrittenByRPM(t *testing.T) {
	one, two := installRPMs(t, "openssl-libs"), installRPMs(t, "openssl-libs", "openssl-doc", "nodejs")
	for _, dir := range rpmDirs() {
		t.Run(dir, func(t *testing.T) {
			inv := mustRead(t, image(t, layerIn(dir[1:], one), []entry{text("x", "")}, layerIn(dir[1:], two)))
			doc, node := opensslDoc, nodejs
			doc.Layer, node.Layer = 2, 2
			if want := []Package{node, doc, opensslLibs}; !slices.Equal(inv.Packages, want) {
				t.Errorf("got  %+v\nwant %+v", inv.Packages, want)
			}
		})
	}
}

// Fedora's /var/lib/rpm is a link; the database is one, and read once.
func TestRPMDatabaseBehindALink(t *testing.T) {
	l := append(layerIn("usr/lib/sysimage/rpm", installRPMs(t, "nodejs")), symlink("var/lib/rpm", "../../usr/lib/sysimage/rpm"))
	if inv := mustRead(t, image(t, l)); !slices.Equal(inv.Packages, []Package{nodejs}) {
		t.Errorf("got %+v", inv.Packages)
	}
}

// rpm converts a database and leaves the old one.
func TestNewestFormOfRPMDatabaseCounts(t *testing.T) {
	l := append(layerIn("var/lib/rpm", installRPMs(t, "nodejs")), text("var/lib/rpm/Packages", string(rpmLibrary(t, "libuuid/Packages"))))
	if inv := mustRead(t, image(t, l)); !slices.Equal(inv.Packages, []Package{nodejs}) {
		t.Errorf("got %+v", inv.Packages)
	}
}

// What is in the write-ahead log alone counts: rpm killed, or a layer taken while it runs.
func TestRPMDatabaseWithWriteAheadLog(t *testing.T) {
	files := installRPMs(t, "openssl-libs")
	at := filepath.Join(t.TempDir(), rpmSQLite)
	if err := os.WriteFile(at, []byte(files[rpmSQLite]), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", at+"?_pragma=journal_mode(wal)&_pragma=wal_autocheckpoint(0)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("DELETE FROM Packages"); err != nil {
		t.Fatal(err)
	}
	layer := map[string]string{}
	for _, name := range []string{rpmSQLite, rpmWAL} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(at), name))
		if err != nil {
			t.Fatal(err)
		}
		layer[name] = string(b)
	}
	if inv := mustRead(t, image(t, layerIn("var/lib/rpm", layer))); len(inv.Packages) != 0 {
		t.Errorf("got %+v, though the log removes all", inv.Packages)
	}
}

// Installed anew, the same packages have another database, and the image is the same; other packages are another one.
func TestFingerprintOfRPMImages(t *testing.T) {
	of := func(more []entry, names ...string) string {
		return mustRead(t, image(t, append(layerIn("var/lib/rpm", installRPMs(t, names...)), more...))).Fingerprint
	}
	notes := func(what string) []entry {
		return []entry{text("var/lib/rpm/rpmdb.sqlite-shm", what), text("var/lib/rpm/.rpm.lock", what), text("var/cache/dnf/x", what), text("var/lib/dnf/history.sqlite", what)}
	}
	one := of(notes("now"), "openssl-libs", "nodejs")
	if installRPMs(t, "openssl-libs", "nodejs")[rpmSQLite] == installRPMs(t, "nodejs", "openssl-libs")[rpmSQLite] {
		t.Fatal("the databases are the same")
	}
	if two := of(notes("then"), "nodejs", "openssl-libs"); two != one {
		t.Errorf("installed in another order: %s, was %s", two, one)
	}
	if three := of(notes("now"), "openssl-libs"); three == one {
		t.Error("without one of its packages it is the same")
	}
	if four := of(append(notes("now"), text("var/lib/rpm/mine", "x")), "openssl-libs", "nodejs"); four == one {
		t.Error("with a file of its own beside the database it is the same")
	}
}

// rpmLibrary is where the library keeps databases of real systems for its own tests.
func rpmLibrary(t testing.TB, name string) []byte {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/knqyf263/go-rpmdb").Output()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "pkg/testdata", name))
	if err != nil {
		t.Skip(err)
	}
	return b
}

// Databases of all three forms and both byte orders give what the library finds when it trusts them.
func TestDatabasesOfRealSystems(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"centos5-plain/Packages", "openssl 0.9.8e-39.el5_11 x86_64 openssl 0.9.8e-39.el5_11 "},
		{"centos8-modularitylabel/Packages", "nodejs 1:10.21.0-3.module_el8.2.0+391+8da3adc6 x86_64 nodejs 1:10.21.0-3.module_el8.2.0+391+8da3adc6 nodejs:10"},
		{"ubi8-s390x/Packages", "openssl-libs 1:1.1.1k-6.el8_5 s390x openssl 1:1.1.1k-6.el8_5 "},
		{"sle15-bci/Packages.db", "libz1 1.2.11-3.21.1 x86_64 zlib 1.2.11-3.21.1 "},
		{"fedora35/rpmdb.sqlite", "openssl-libs 1:1.1.1l-2.fc35 x86_64 openssl 1:1.1.1l-2.fc35 "},
		{"libuuid/Packages", "libuuid 2.32.1-42.el8_8 x86_64 util-linux 2.32.1-42.el8_8 "},
	} {
		t.Run(c.file, func(t *testing.T) {
			data := rpmLibrary(t, c.file)
			all, err := packagesIn("/var/lib/rpm/"+filepath.Base(c.file), data)
			if err != nil {
				t.Fatal(err)
			}
			var got, rows []string
			for _, p := range all {
				got = append(got, p.Name+" "+p.Version)
				rows = append(rows, strings.Join([]string{p.Name, p.Version, p.Architecture, p.Source, p.SourceVersion, p.Module}, " "))
			}
			if want := trusting(t, data); !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if !slices.Contains(rows, c.want) {
				t.Errorf("no %q in %q", c.want, rows)
			}
		})
	}
}

func packagesIn(at string, data []byte) (all []Package, err error) {
	err = readRPM([]databaseFile{{at, data}}, func(p Package) error { all = append(all, p); return nil })
	return all, err
}

// trusting is what the library finds by itself.
func trusting(t testing.TB, data []byte) (all []string) {
	t.Helper()
	at := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(at, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := rpmlib.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	list, err := db.ListPackages()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.Name != "gpg-pubkey" {
			all = append(all, p.Name+" "+rpmVersion(p.EpochNum(), p.Version+"-"+p.Release))
		}
	}
	return all
}

// put32 returns a copy with a 32-bit number put at a place.
func put32(b []byte, order binary.AppendByteOrder, at int, n uint32) []byte {
	b = bytes.Clone(b)
	copy(b[at:], order.AppendUint32(nil, n))
	return b
}

func TestHostileRPMDatabases(t *testing.T) {
	le := binary.LittleEndian
	uuid, suse := rpmLibrary(t, "libuuid/Packages"), rpmLibrary(t, "sle15-bci/Packages.db")
	f, last, err := openBDB(uuid)
	if err != nil {
		t.Fatal(err)
	}
	pageOf := func(kind byte) int {
		for n := range last + 1 {
			if f.at(n)[25] == kind && le.Uint32(f.at(n)[16:])+uint32(le.Uint16(f.at(n)[20:])) > 0 {
				return n
			}
		}
		t.Fatalf("no page of kind %d", kind)
		return 0
	}
	overflow, hash := pageOf(bdbOverflow), pageOf(bdbHash)
	for _, c := range []struct {
		name, file string
		data       []byte
	}{
		{"text", rpmBDB, bytes.Repeat([]byte("no database\n"), 100)},
		{"a few bytes", rpmBDB, []byte("x")},
		{"bdb: pages in a circle", rpmBDB, put32(uuid, le, overflow*f.page+16, uint32(overflow))},
		{"bdb: a page behind the end", rpmBDB, put32(uuid, le, overflow*f.page+16, 1<<20)},
		{"bdb: goes on with a page of another kind", rpmBDB, put32(uuid, le, overflow*f.page+16, uint32(hash))},
		{"bdb: more entries than a page has", rpmBDB, put32(uuid, le, hash*f.page+20, 0xfffe)},
		{"bdb: a value behind its page's end", rpmBDB, put32(uuid, le, hash*f.page+bdbHeader, 0xfff0fff0)},
		{"bdb: pages of no size", rpmBDB, put32(uuid, le, 20, 0)},
		{"bdb: more pages than the file", rpmBDB, put32(uuid, le, 32, 1<<31)},
		{"bdb: cut off", rpmBDB, uuid[:len(uuid)/2]},
		{"ndb: cut off", rpmNDB, suse[:len(suse)/2]},
		{"ndb: only its magic", rpmNDB, []byte(ndbMagic)},
		{"ndb: too many slots", rpmNDB, put32(suse, le, 12, 1<<31)},
		{"ndb: no slot", rpmNDB, put32(suse, le, ndbHeaderSize, 0)},
		{"ndb: a package behind the end", rpmNDB, put32(suse, le, ndbHeaderSize+8, 1<<31)},
		{"ndb: a package larger than the file", rpmNDB, put32(singleNDB(make([]byte, 100)), le, ndbPage+12, 1<<31)},
		{"header: claims two thousand million tags", rpmNDB, singleNDB(put32(make([]byte, 100), binary.BigEndian, 0, 1<<31-1))},
		{"header: negative", rpmNDB, singleNDB(bytes.Repeat([]byte{0xff}, 100))},
		{"header: a tag that claims a million texts", rpmNDB, singleNDB(put32(headerOf(t, "nodejs"), binary.BigEndian, 8+2*16+12, 1_000_000))},
		{"header: a tag behind the end", rpmNDB, singleNDB(put32(headerOf(t, "nodejs"), binary.BigEndian, 8+2*16+8, 1<<31))},
		{"header: empty", rpmNDB, singleNDB(nil)},
		{"header: a tag of no type", rpmNDB, singleNDB(append([]byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, 0}, bytes.Repeat([]byte{0xff}, 12)...))},
		{"sqlite: only its magic", rpmSQLite, []byte("SQLite format 3\x00")},
		{"sqlite: another's", rpmSQLite, sqliteOf(t, "CREATE TABLE Other (hnum, blob)")},
		{"sqlite: an endless view", rpmSQLite, sqliteOf(t, "CREATE VIEW Packages AS WITH RECURSIVE n(blob) AS (SELECT 1 UNION ALL SELECT blob + 1 FROM n) SELECT blob AS hnum, blob FROM n")},
		{"sqlite: a computed column", rpmSQLite, sqliteOf(t, "CREATE TABLE Packages (hnum INTEGER, blob BLOB AS (zeroblob(1000000000)))", "INSERT INTO Packages (hnum) VALUES (1)")},
		{"sqlite: a number for a header", rpmSQLite, sqliteOf(t, "CREATE TABLE Packages (hnum INTEGER, blob BLOB)", "INSERT INTO Packages VALUES (1, 7)")},
		{"sqlite: cut off", rpmSQLite, []byte(installRPMs(t, "openssl-libs")[rpmSQLite])[:2<<12]},
	} {
		t.Run(c.name, func(t *testing.T) {
			if all, err := packagesIn("/var/lib/rpm/"+c.file, c.data); err == nil {
				t.Errorf("was believed: %+v", all)
			} else if !strings.HasPrefix(err.Error(), "/var/lib/rpm/"+c.file+": ") {
				t.Errorf("the error does not name the file: %v", err)
			}
		})
	}
}

func sqliteOf(t testing.TB, statements ...string) []byte {
	t.Helper()
	at := filepath.Join(t.TempDir(), rpmSQLite)
	db, err := sql.Open("sqlite", at)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Headers that are read again and again have more bytes than there are.
func TestRPMHeadersThatOverlap(t *testing.T) {
	read := 0
	header := distinct([]databaseFile{{data: make([]byte, 70)}, {data: make([]byte, 30)}}, func([]byte) error { read++; return nil })
	for range 4 {
		if err := header(make([]byte, 25)); err != nil {
			t.Fatal(err)
		}
	}
	if err := header(make([]byte, 1)); !errors.Is(err, errDamaged) || read != 4 {
		t.Errorf("%v after %d headers, want %v", err, read, errDamaged)
	}
}

func TestMalformedRPMDatabaseNamesTheLayer(t *testing.T) {
	_, err := Read(t.Context(), image(t, []entry{text("etc/x", "")}, []entry{text("var/lib/rpm/Packages", "no database")}), "linux/amd64")
	if err == nil || !strings.Contains(err.Error(), "layer 1: /var/lib/rpm/Packages: ") || !errors.Is(err, errDamaged) {
		t.Errorf("got %v", err)
	}
}

func TestRPMManifest(t *testing.T) {
	const manifest = "openssl-libs\t1.1.1k-28.cm2\t1\t2\tMicrosoft Corporation\t(none)\t3\tx86_64\t0\topenssl-1.1.1k-28.cm2.src.rpm\n" +
		"dnsmasq\t2.89-1.cm2\t1\t2\tMicrosoft Corporation\t2\t3\tx86_64\t2\tdnsmasq-2.89-1.cm2.src.rpm\n"
	inv := mustRead(t, image(t, []entry{text("var/lib/rpmmanifest/container-manifest-2", manifest)}))
	want := []Package{
		{Type: RPM, Name: "dnsmasq", Version: "2:2.89-1.cm2", Architecture: "x86_64", Source: "dnsmasq", SourceVersion: "2:2.89-1.cm2"},
		{Type: RPM, Name: "openssl-libs", Version: "1.1.1k-28.cm2", Architecture: "x86_64", Source: "openssl", SourceVersion: "1.1.1k-28.cm2"},
	}
	if !slices.Equal(inv.Packages, want) {
		t.Errorf("got  %+v\nwant %+v", inv.Packages, want)
	}
	for _, bad := range []string{"a\tb\n", "a\t1-1\t\t\t\t\t\tx\tno\ty\n", strings.Repeat("a", 1<<17)} {
		if _, err := packagesIn(rpmManifest, []byte(bad)); err == nil {
			t.Errorf("%.20q was believed", bad)
		}
	}
}

func TestRPMSource(t *testing.T) {
	p := Package{Name: "libs", Version: "2:1.0-1"}
	for _, c := range []struct{ file, want string }{
		{"openssl-3.0.7-1.el9.src.rpm", "openssl 3.0.7-1.el9"},
		{"gcc-c++-12-1.src.rpm", "gcc-c++ 12-1"},
		{"same-1.0-1.src.rpm", "same 2:1.0-1"},
		{"kernel-6.1-1.nosrc.rpm", "kernel 6.1-1"},
		{"", "libs 2:1.0-1"},
		{"odd.src.rpm", "libs 2:1.0-1"},
		{"-1-1.src.rpm", "libs 2:1.0-1"},
	} {
		if name, version := RPMSource(c.file, p.Name, p.Version); name+" "+version != c.want {
			t.Errorf("%q: got %s %s, want %s", c.file, name, version, c.want)
		}
	}
}

// singleBDB is a Berkeley DB with one package, in pages as small as they may be.
func singleBDB(blob []byte) []byte {
	const size, room = 512, 512 - bdbHeader
	le := binary.LittleEndian
	page := func(n, next uint32, entries, free uint16, kind byte) []byte {
		b := make([]byte, size)
		le.PutUint32(b[8:], n)
		le.PutUint32(b[16:], next)
		le.PutUint16(b[20:], entries)
		le.PutUint16(b[22:], free)
		b[25] = kind
		return b
	}
	last := 1 + (len(blob)+room-1)/room
	meta := page(0, 0, 0, 0, 8)
	le.PutUint32(meta[12:], bdbMagic)
	le.PutUint32(meta[20:], size)
	le.PutUint32(meta[32:], uint32(last))
	hash := page(1, 0, 2, 0, bdbHash)
	le.PutUint16(hash[bdbHeader:], size-20)
	le.PutUint16(hash[bdbHeader+2:], size-bdbOffPageSize)
	value := hash[size-bdbOffPageSize:]
	value[0] = bdbOffPage
	le.PutUint32(value[4:], 2)
	le.PutUint32(value[8:], uint32(len(blob)))
	file := slices.Concat(meta, hash)
	for n := 2; n <= last; n++ {
		rest := blob[(n-2)*room:]
		next := uint32(n + 1)
		if n == last {
			next = 0
		}
		p := page(uint32(n), next, 0, uint16(min(len(rest), room)), bdbOverflow)
		copy(p[bdbHeader:], rest)
		file = append(file, p...)
	}
	return file
}

// headerOf is a package's header as rpm wrote it.
func headerOf(t testing.TB, name string) (blob []byte) {
	t.Helper()
	at := filepath.Join(t.TempDir(), rpmSQLite)
	if err := os.WriteFile(at, []byte(installRPMs(t, name)[rpmSQLite]), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sqliteHeaders(at, func(b []byte) error { blob = bytes.Clone(b); return nil }); err != nil {
		t.Fatal(err)
	}
	return blob
}

func TestOneHeaderInEachForm(t *testing.T) {
	blob := headerOf(t, "nodejs")
	for file, data := range map[string][]byte{rpmNDB: singleNDB(blob), rpmBDB: singleBDB(blob)} {
		if all, err := packagesIn("/var/lib/rpm/"+file, data); err != nil || !slices.Equal(all, []Package{nodejs}) {
			t.Errorf("%s: %+v, %v", file, all, err)
		}
	}
}

// Whatever happened to a database, reading it ends, without a panic, and gives whole packages or none.
func TestDamagedRPMDatabases(t *testing.T) {
	blob := headerOf(t, "nodejs")
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		form := [][]byte{singleNDB(blob), singleBDB(blob), singleNDB(blob)[:ndbPage]}[i%3]
		if i%3 == 2 { // only the header is damaged
			form = append(form, singleNDB(damage(random, blob))[ndbPage:]...)
		} else {
			form = damage(random, form)
		}
		all, err := packagesIn("/var/lib/rpm/Packages", form)
		if err != nil {
			continue
		}
		for _, p := range all {
			if p.Name == "" || p.Version == "" {
				t.Errorf("%d: a package without name or version: %+v", i, p)
			}
		}
	}
}

// damage changes a few bytes, most of them of the first few hundred, where the structure is.
func damage(random *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + random.IntN(4) {
		b[random.IntN(min(len(b), 1<<random.IntN(16)))] = byte(random.Uint32())
	}
	return b
}

// The checks themselves stand any bytes.
func FuzzRPMCheck(f *testing.F) {
	var tags, texts []byte
	for i, text := range []string{"nodejs", "18", "1", "x86_64"} {
		for _, n := range []int{1000 + i, 6, len(texts), 1} {
			tags = binary.BigEndian.AppendUint32(tags, uint32(n))
		}
		texts = append(texts, text+"\x00"...)
	}
	blob := slices.Concat(binary.BigEndian.AppendUint32(nil, 4), binary.BigEndian.AppendUint32(nil, uint32(len(texts))), tags, texts)
	if err := checkHeader(blob); err != nil {
		f.Fatal(err)
	}
	f.Add(singleNDB(blob))
	f.Add(singleBDB(blob))
	f.Add(blob)
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = checkNDB(data)
		_ = checkBDB(data)
		_ = checkHeader(data)
		_ = readRPMManifest(data, func(p Package) error {
			if p.Name == "" || p.Version == "" {
				t.Errorf("a package without name or version: %+v", p)
			}
			return nil
		})
	})
}
