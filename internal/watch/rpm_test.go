package watch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/klauspost/compress/zstd"

	"rebuilder/internal/inventory"
)

// suiteSpec makes lib, data (of no architecture) and tool (with an epoch) of the source suite.
const suiteSpec = `Name: suite
Version: %{wanted}
Release: 1
Summary: tested
License: none
%description
tested
%package -n lib
Summary: tested
%description -n lib
tested
%package -n data
Summary: tested
BuildArch: noarch
%description -n data
tested
%package -n tool
Summary: tested
Epoch: 2
%description -n tool
tested
%files -n lib
%files -n data
%files -n tool
`

// rpmPool has the packages of the suite in three versions. They are made once, and lie for the next run.
var rpmPool = sync.OnceValues(func() (string, error) {
	pool := filepath.Join(os.TempDir(), fmt.Sprintf("rebuilder-test-rpms-%x", sha256.Sum256([]byte(suiteSpec))))
	if _, err := os.Stat(pool); err == nil {
		return pool, nil
	}
	dir, err := os.MkdirTemp("", "rebuilder-test-rpms-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	spec := filepath.Join(dir, "suite.spec")
	if err := os.WriteFile(spec, []byte(suiteSpec), 0o600); err != nil {
		return "", err
	}
	for _, version := range []string{"1.0", "1.1~rc1", "1.1"} {
		cmd := exec.Command("rpmbuild", "--quiet", "--define", "_topdir "+dir, "--define", "wanted "+version, "--target", "x86_64", "-bb", spec)
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

// rpmSuite says how a repository is published. The zero value is neither signed nor has it modules.
type rpmSuite struct {
	at      string // "os" when empty
	key     *openpgp.Entity
	modules string // of modules.yaml
	flags   []string
}

func newRPMWorld(t *testing.T) *world {
	t.Helper()
	for tool, from := range map[string]string{"rpmbuild": "rpm", "createrepo_c": "createrepo-c"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is needed for this test: apt-get install %s", tool, from)
		}
	}
	w := &world{t: t, root: t.TempDir(), now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), key: newKey(t, "archive"), files: map[string][]byte{}}
	srv := httptest.NewServer(w)
	t.Cleanup(srv.Close)
	w.uri = srv.URL + "/debian"
	return w
}

// publishRPM makes a repository of packages "name version", dated now.
func (w *world) publishRPM(s rpmSuite, pkgs ...string) {
	w.t.Helper()
	pool, err := rpmPool()
	if err != nil {
		w.t.Fatal(err)
	}
	if s.at == "" {
		s.at = "os"
	}
	dir := w.t.TempDir()
	for _, p := range pkgs {
		name, version, _ := strings.Cut(p, " ")
		found, _ := filepath.Glob(filepath.Join(pool, "*", name+"-"+version+"-1.*.rpm"))
		if len(found) != 1 {
			w.t.Fatalf("%s: %d packages were made", p, len(found))
		}
		b, err := os.ReadFile(found[0])
		if err != nil {
			w.t.Fatal(err)
		}
		at := filepath.Join(dir, filepath.Base(found[0]))
		w.write(at, b)
		if err := os.Chtimes(at, time.Unix(1e9, 0), time.Unix(1e9, 0)); err != nil { // primary.xml has it
			w.t.Fatal(err)
		}
	}
	revision := fmt.Sprint(w.now.Unix())
	w.run(dir, "createrepo_c", append([]string{"--quiet", "--no-database", "--revision", revision, "--set-timestamp-to-revision", "."}, s.flags...)...)
	if s.modules != "" {
		at := filepath.Join(w.t.TempDir(), "modules.yaml")
		w.write(at, []byte(s.modules))
		w.run(dir, "modifyrepo_c", "--mdtype=modules", at, "repodata")
		repomd, err := os.ReadFile(filepath.Join(dir, "repodata/repomd.xml"))
		if err != nil {
			w.t.Fatal(err)
		}
		w.write(filepath.Join(dir, "repodata/repomd.xml"), timestamp.ReplaceAll(repomd, []byte("<timestamp>"+revision+"</timestamp>")))
	}
	w.drop(s.at)
	w.serveTree(filepath.Join(dir, "repodata"), s.at+"/repodata", false)
	if s.key != nil {
		w.set(s.at+"/repodata/repomd.xml.asc", w.signature(w.get(s.at+"/repodata/repomd.xml"), s.key))
	}
}

// drop removes what is below a directory.
func (w *world) drop(dir string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.files {
		if strings.HasPrefix(name, dir+"/") {
			delete(w.files, name)
		}
	}
}

func (w *world) signature(of []byte, key *openpgp.Entity) []byte {
	w.t.Helper()
	var b bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&b, key, bytes.NewReader(of), &packet.Config{Time: func() time.Time { return w.now }}); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

// handmade publishes a primary.xml with sums that are right, unless change makes them wrong.
func (w *world) handmade(ext string, primary []byte, change func(repomd string) string) {
	w.t.Helper()
	var packed []byte
	if ext == ".zst" {
		z, err := zstd.NewWriter(nil)
		if err != nil {
			w.t.Fatal(err)
		}
		packed = z.EncodeAll(primary, nil)
	} else {
		packed = compressed(w.t, ext, primary)
	}
	repomd := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>%d</revision><data type="primary">
<checksum type="sha256">%x</checksum><open-checksum type="sha256">%x</open-checksum><location href="repodata/primary.xml%s"/>
<timestamp>%d</timestamp><size>%d</size><open-size>%d</open-size></data></repomd>`,
		w.now.Unix(), sha256.Sum256(packed), sha256.Sum256(primary), ext, w.now.Unix(), len(packed), len(primary))
	if change != nil {
		repomd = change(repomd)
	}
	w.drop("os")
	w.set("os/repodata/primary.xml"+ext, packed)
	w.set("os/repodata/repomd.xml", []byte(repomd))
}

const onePackage = `<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="1"><package type="rpm">
<name>lib</name><arch>x86_64</arch><version epoch="0" ver="1.1" rel="1"/><format><rpm:sourcerpm>suite-1.1-1.src.rpm</rpm:sourcerpm><rpm:provides><rpm:entry name="x"/></rpm:provides></format></package></metadata>`

// rpmRepo is the repository as an image would name it, that asks for no signature.
func (w *world) rpmRepo() inventory.Repository {
	return inventory.Repository{Type: inventory.RPM, ID: "baseos", URI: w.uri + "/os", Architectures: []string{"x86_64"}, Priority: 99, Unsigned: true, Where: "/etc/yum.repos.d/a.repo"}
}

func (w *world) signedRPMRepo() inventory.Repository {
	r := w.rpmRepo()
	r.Unsigned, r.Keys = false, [][]byte{public(w.t, w.key)}
	return r
}

// rpmImage is an inventory of packages "name version [architecture]".
func rpmImage(repos []inventory.Repository, pkgs ...string) *inventory.Inventory {
	inv := imageOf(repos, pkgs...)
	for i := range inv.Packages {
		inv.Packages[i].Type = inventory.RPM
		if inv.Packages[i].Architecture == "amd64" {
			inv.Packages[i].Architecture = "x86_64"
		}
	}
	return inv
}

// rpmSeen is seen without the sums in the names of files.
func (w *world) rpmSeen() string { return sumInName.ReplaceAllString(w.seen(), "") }

func TestRPMUnchangedIsOneRequest(t *testing.T) {
	w := newRPMWorld(t)
	w.publishRPM(rpmSuite{key: w.key, flags: []string{"--general-compress-type", "xz"}}, "lib 1.0", "data 1.0", "tool 1.0")
	dir := t.TempDir()
	d := w.watcher(dir)
	first := state(t, d, w.signedRPMRepo())
	has(t, first, "lib", "1.0-1")
	has(t, first, "tool", "2:1.0-1")
	if got, want := w.rpmSeen(), "200 os/repodata/repomd.xml, 200 os/repodata/repomd.xml.asc, 200 os/repodata/primary.xml.xz"; got != want {
		t.Errorf("first: %s, want %s", got, want)
	}
	if !first.Date.Equal(w.now) || first.Unsigned {
		t.Errorf("index says %+v", first)
	}
	for _, again := range []*Watcher{d, w.watcher(dir)} { // and after a restart
		second := state(t, again, w.signedRPMRepo())
		if got, want := w.rpmSeen(), "304 os/repodata/repomd.xml"; got != want {
			t.Errorf("unchanged: %s, want %s", got, want)
		}
		if second.Hash != first.Hash || !second.Date.Equal(first.Date) {
			t.Errorf("unchanged: hash %s of %s, was %s of %s", second.Hash, second.Date, first.Hash, first.Date)
		}
		has(t, second, "lib", "1.0-1")
	}
}

func TestRPMNewVersionIsSeen(t *testing.T) {
	w := newRPMWorld(t)
	w.publishRPM(rpmSuite{}, "lib 1.0", "data 1.0", "tool 1.0")
	d := w.watcher(t.TempDir())
	inv := rpmImage([]inventory.Repository{w.rpmRepo()}, "data 1.0-1 noarch", "lib 1.0-1", "lib 1.0-1 i686", "other 1-1", "tool 2:1.0-1")
	before := state(t, d, w.rpmRepo())
	if !before.Unsigned {
		t.Error("it is not said to be unsigned")
	}
	if p := Patches(inv, []*Index{before}); len(p) != 0 {
		t.Fatalf("patches before: %+v", p)
	}
	w.later(time.Hour)
	w.publishRPM(rpmSuite{}, "lib 1.0", "lib 1.1~rc1", "data 1.1", "tool 1.0")
	after := state(t, d, w.rpmRepo())
	if before.Hash == after.Hash {
		t.Error("the hash did not change")
	}
	at := w.now.UnixMilli()
	want := []Patch{
		{Type: inventory.RPM, Package: "data", Architecture: "noarch", Source: "suite", From: "1.0-1", To: "1.1-1", Repository: w.uri + "/os ", PublishedAt: at},
		{Type: inventory.RPM, Package: "lib", Architecture: "x86_64", Source: "suite", From: "1.0-1", To: "1.1~rc1-1", Repository: w.uri + "/os ", PublishedAt: at},
	}
	got := Patches(inv, []*Index{after})
	if len(got) != len(want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
	for i := range want {
		got[i].Repository, want[i].Repository = strings.TrimSpace(got[i].Repository), strings.TrimSpace(want[i].Repository)
		if got[i] != want[i] {
			t.Errorf("got  %+v\nwant %+v", got[i], want[i])
		}
	}
	// Made anew of the same packages, the hash and the date of its offers stay.
	w.later(24 * time.Hour)
	w.publishRPM(rpmSuite{}, "lib 1.0", "lib 1.1~rc1", "data 1.1", "tool 1.0")
	again := state(t, d, w.rpmRepo())
	if p := Patches(inv, []*Index{again}); len(p) != 2 || p[0].PublishedAt != at || again.Hash != after.Hash {
		t.Errorf("a day later: hash %s, was %s; patches %+v", again.Hash, after.Hash, p)
	}
}

func TestRPMFormats(t *testing.T) {
	for _, ext := range []string{"", ".gz", ".xz", ".zst"} {
		t.Run(ext, func(t *testing.T) {
			w := newRPMWorld(t)
			w.handmade(ext, []byte(onePackage), nil)
			ix := state(t, w.watcher(t.TempDir()), w.rpmRepo())
			has(t, ix, "lib", "1.1-1")
		})
	}
	// The hash is that of the content, however it is packed.
	w := newRPMWorld(t)
	d := w.watcher(t.TempDir())
	w.handmade(".gz", []byte(onePackage), nil)
	first := state(t, d, w.rpmRepo())
	w.later(time.Hour)
	w.handmade(".zst", []byte(onePackage), nil)
	if second := state(t, d, w.rpmRepo()); second.Hash != first.Hash {
		t.Errorf("hash %s, was %s", second.Hash, first.Hash)
	}
}

func TestRPMSignatures(t *testing.T) {
	other := newKey(t, "other")
	for _, c := range []struct {
		name   string
		asked  bool // the image asks for signatures
		keys   func(w *world) [][]byte
		change func(w *world)
		good   bool
		signed bool
	}{
		{"good", true, nil, func(*world) {}, true, true},
		{"armoured key", true, func(w *world) [][]byte { return [][]byte{armoured(t, w.key)} }, func(*world) {}, true, true},
		{"good though not asked for", false, nil, func(*world) {}, true, true},
		{"none", true, nil, func(w *world) { delete(w.files, "os/repodata/repomd.xml.asc") }, false, false},
		{"none, and not asked for", false, nil, func(w *world) { delete(w.files, "os/repodata/repomd.xml.asc") }, true, false},
		{"by another key", true, nil, func(w *world) {
			w.set("os/repodata/repomd.xml.asc", w.signature(w.get("os/repodata/repomd.xml"), other))
		}, false, false},
		{"by another key, and not asked for", false, nil, func(w *world) {
			w.set("os/repodata/repomd.xml.asc", w.signature(w.get("os/repodata/repomd.xml"), other))
		}, true, false},
		{"of another text", true, nil, func(w *world) { w.set("os/repodata/repomd.xml.asc", w.signature([]byte("x"), w.key)) }, false, false},
		{"wrong though not asked for", false, nil, func(w *world) { w.set("os/repodata/repomd.xml.asc", w.signature([]byte("x"), w.key)) }, false, false},
		{"cut off", true, nil, func(w *world) { w.change("repomd.xml.asc", func(b []byte) []byte { return b[:len(b)/2] }) }, false, false},
		{"cut off though not asked for", false, nil, func(w *world) { w.change("repomd.xml.asc", func(b []byte) []byte { return b[:len(b)/2] }) }, false, false},
		{"a server's page", true, nil, func(w *world) { w.set("os/repodata/repomd.xml.asc", []byte("<html>not found</html>")) }, false, false},
		{"a server's page, and not asked for", false, nil, func(w *world) { w.set("os/repodata/repomd.xml.asc", []byte("<html>not found</html>")) }, true, false},
		{"no key", true, func(*world) [][]byte { return nil }, func(*world) {}, false, false},
		{"text behind", true, nil, func(w *world) { w.change("repomd.xml", func(b []byte) []byte { return append(b, '\n') }) }, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newRPMWorld(t)
			w.handmade(".gz", []byte(onePackage), nil)
			w.set("os/repodata/repomd.xml.asc", w.signature(w.get("os/repodata/repomd.xml"), w.key))
			c.change(w)
			r := w.signedRPMRepo()
			r.Unsigned = !c.asked
			if c.keys != nil {
				r.Keys = c.keys(w)
			}
			ix, err := w.watcher(t.TempDir()).State(t.Context(), r)
			switch {
			case c.good && err != nil:
				t.Error(err)
			case !c.good && !errors.Is(err, ErrSignature):
				t.Errorf("got %v, want %v", err, ErrSignature)
			case c.good && ix.Unsigned == c.signed:
				t.Errorf("unsigned is %v", ix.Unsigned)
			}
		})
	}
}

func armoured(t *testing.T, e *openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	a, err := armorEncode(&b)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Serialize(a); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What is wrong is refused with a reason; what was known stays; other repositories do not care.
func TestRPMRefusals(t *testing.T) {
	replaced := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	for _, c := range []struct {
		name string
		do   func(w *world)
		want error
	}{
		{"repomd.xml is none", func(w *world) { w.set("os/repodata/repomd.xml", []byte("<html>sorry</html>")) }, ErrMalformed},
		{"repomd.xml cut off", func(w *world) { w.change("os/repodata/repomd.xml", func(b []byte) []byte { return b[:len(b)/2] }) }, ErrMalformed},
		{"repomd.xml empty", func(w *world) { w.set("os/repodata/repomd.xml", nil) }, ErrMalformed},
		{"repomd.xml too large", func(w *world) { w.set("os/repodata/repomd.xml", make([]byte, maxRepomd+1)) }, ErrTooLarge},
		{"no primary", func(w *world) { w.handmade(".gz", []byte(onePackage), replaced(`"primary"`, `"other"`)) }, ErrMalformed},
		{"primary twice", func(w *world) {
			w.handmade(".gz", []byte(onePackage), func(s string) string {
				d := s[strings.Index(s, "<data"):strings.Index(s, "</repomd>")]
				return strings.Replace(s, d, d+d, 1)
			})
		}, ErrMalformed},
		{"a sum of a broken kind", func(w *world) { w.handmade(".gz", []byte(onePackage), replaced(`"sha256"`, `"md5"`)) }, ErrMalformed},
		{"a file above the repository", func(w *world) { w.handmade(".gz", []byte(onePackage), replaced(`href="`, `href="../../`)) }, ErrMalformed},
		{"a file of another server", func(w *world) { w.handmade(".gz", []byte(onePackage), replaced(`href="`, `href="http://other/`)) }, ErrMalformed},
		{"primary cut off on the way", func(w *world) {
			w.handmade(".gz", []byte(onePackage), nil)
			w.change("os/repodata/primary", func(b []byte) []byte { return b[:len(b)-10] })
		}, ErrMismatch},
		{"primary tampered with", func(w *world) {
			w.handmade(".gz", []byte(onePackage), nil)
			w.change("os/repodata/primary", func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		}, ErrMismatch},
		{"primary larger than said", func(w *world) {
			w.handmade(".gz", []byte(onePackage), nil)
			w.change("os/repodata/primary", func(b []byte) []byte { return append(b, 0) })
		}, ErrMismatch},
		{"primary not compressed", func(w *world) {
			w.handmade("", []byte(onePackage), func(s string) string { return strings.Replace(s, "primary.xml", "primary.xml.gz", 1) })
			w.set("os/repodata/primary.xml.gz", []byte(onePackage))
		}, ErrMalformed},
		{"a bomb", func(w *world) {
			w.handmade(".gz", append([]byte(onePackage), bytes.Repeat([]byte(" "), 1<<20)...), func(s string) string { return openSize.ReplaceAllString(s, "<open-size>1000</open-size>") })
		}, ErrTooLarge},
		{"a bomb that says so", func(w *world) {
			w.handmade(".zst", []byte("<metadata>"+strings.Repeat("<a/>", 5<<18)+"</metadata>"), nil)
		}, ErrTooLarge},
		{"one endless word", func(w *world) {
			w.handmade(".gz", []byte(strings.Replace(onePackage, "<name>lib", "<name>"+strings.Repeat("a", 2*maxXMLToken), 1)), nil)
		}, ErrTooLarge},
		{"primary not XML", func(w *world) { w.handmade(".gz", []byte("{}"), nil) }, ErrMalformed},
		{"primary ends early", func(w *world) { w.handmade(".gz", []byte(onePackage[:len(onePackage)-20]), nil) }, ErrMalformed},
		{"a package without name", func(w *world) { w.handmade(".gz", []byte(strings.Replace(onePackage, "lib", "", 1)), nil) }, ErrMalformed},
		{"a package without release", func(w *world) { w.handmade(".gz", []byte(strings.Replace(onePackage, `rel="1"`, "", 1)), nil) }, ErrMalformed},
		{"older", func(w *world) {
			w.later(-48 * time.Hour)
			w.handmade(".gz", []byte(onePackage), nil)
			w.later(48 * time.Hour)
		}, ErrRollback},
		{"of the future", func(w *world) {
			w.later(48 * time.Hour)
			w.handmade(".gz", []byte(onePackage), nil)
			w.later(-48 * time.Hour)
		}, ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newRPMWorld(t)
			w.handmade(".gz", []byte(strings.Replace(onePackage, `ver="1.1"`, `ver="1.0"`, 1)), nil)
			for _, name := range []string{"repomd.xml", "primary.xml.gz"} {
				w.set("other/repodata/"+name, w.get("os/repodata/"+name))
			}
			d := w.watcher(t.TempDir(), func(c *Config) { c.MaxBytes = 4 << 20 })
			state(t, d, w.rpmRepo())
			w.later(time.Hour)
			c.do(w)
			other := w.rpmRepo()
			other.URI = w.uri + "/other"
			inv := rpmImage([]inventory.Repository{w.rpmRepo(), other}, "lib 0.9-1")
			s, err := d.Round(t.Context(), inv)
			if err != nil {
				t.Fatal(err)
			}
			if errs := s.Errors(inv); len(errs) != 1 || !errors.Is(errs[0], c.want) || !strings.Contains(errs[0].Error(), w.uri+"/os") {
				t.Errorf("got %v, want %v", errs, c.want)
			}
			if all := s.Indexes(inv); len(all) != 2 || all[0].Stale == nil || all[1].Stale != nil {
				t.Fatalf("indexes: %+v", all)
			}
			if p := s.Patches(inv); len(p) != 1 || p[0].To != "1.0-1" {
				t.Errorf("patches: %+v", p)
			}
			// When it is right again it is believed again.
			w.later(time.Hour)
			w.handmade(".gz", []byte(onePackage), nil)
			has(t, state(t, d, w.rpmRepo()), "lib", "1.1-1")
		})
	}
}

func TestRPMRepositoriesThatCannotBeWatched(t *testing.T) {
	w := newRPMWorld(t)
	for name, change := range map[string]func(*inventory.Repository){
		"a variable":        func(r *inventory.Repository) { r.URI += "/$awsregion" },
		"a file":            func(r *inventory.Repository) { r.URI = "file:///mnt" },
		"a mirror's file":   func(r *inventory.Repository) { r.URI, r.Mirrors = "", "file:///mnt" },
		"not an address":    func(r *inventory.Repository) { r.URI = "http://%zz" },
		"nobody at the end": func(r *inventory.Repository) { r.URI += "/nothing" },
	} {
		r := w.rpmRepo()
		change(&r)
		if ix, err := w.watcher(t.TempDir()).State(t.Context(), r); err == nil {
			t.Errorf("%s: got %+v", name, ix)
		}
	}
}

// metalink names the present repomd.xml of "os", at the given places.
func (w *world) metalink(places ...string) {
	var urls string
	for i, p := range places {
		urls += fmt.Sprintf(`<url protocol="http" type="http" preference="%d">%s/%s/repodata/repomd.xml</url>`, 100-i, w.uri, p)
	}
	w.set("metalink", []byte(fmt.Sprintf(`<?xml version="1.0"?><metalink version="3.0" xmlns="http://www.metalinker.org/" xmlns:mm0="http://fedorahosted.org/mirrormanager"><files>
<file name="repomd.xml"><mm0:alternates><mm0:alternate><verification><hash type="sha256">00</hash></verification></mm0:alternate></mm0:alternates>
<verification><hash type="md5">0</hash><hash type="sha256">%x</hash></verification><resources maxconnections="1">
<url protocol="rsync" preference="100">rsync://x/os/repodata/repomd.xml</url>%s</resources></file></files></metalink>`, sha256.Sum256(w.get("os/repodata/repomd.xml")), urls)))
}

// mirror copies "os" to another place.
func (w *world) mirror(to string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, b := range w.files {
		if rest, ok := strings.CutPrefix(name, "os/"); ok {
			w.files[to+"/"+rest] = b
		}
	}
}

func TestRPMMetalink(t *testing.T) {
	w := newRPMWorld(t)
	r := w.rpmRepo()
	r.URI, r.Mirrors, r.Metalink = "", w.uri+"/metalink", true
	w.handmade(".gz", []byte(strings.Replace(onePackage, "1.1", "1.0", 1)), nil)
	w.mirror("behind")
	w.mirror("good")
	w.metalink("behind", "good")
	dir := t.TempDir()
	d := w.watcher(dir)
	has(t, state(t, d, r), "lib", "1.0-1")
	if got, want := w.seen(), "200 metalink, 200 behind/repodata/repomd.xml, 200 behind/repodata/primary.xml.gz"; got != want {
		t.Errorf("first: %s, want %s", got, want)
	}
	for _, again := range []*Watcher{d, w.watcher(dir)} {
		has(t, state(t, again, r), "lib", "1.0-1")
		if got, want := w.seen(), "304 metalink"; got != want {
			t.Errorf("unchanged: %s, want %s", got, want)
		}
	}
	// The metalink changes, what it describes does not: no further request.
	w.metalink("good", "behind")
	state(t, d, r)
	if got, want := w.seen(), "200 metalink"; got != want {
		t.Errorf("another list: %s, want %s", got, want)
	}
	// A mirror that is behind is passed over.
	w.later(time.Hour)
	w.handmade(".gz", []byte(onePackage), nil)
	w.mirror("good")
	w.metalink("behind", "good")
	has(t, state(t, d, r), "lib", "1.1-1")
	if got, want := w.seen(), "200 metalink, 200 behind/repodata/repomd.xml, 200 good/repodata/repomd.xml, 200 good/repodata/primary.xml.gz"; got != want {
		t.Errorf("behind: %s, want %s", got, want)
	}
	// When all are, what was known stays.
	w.later(time.Hour)
	w.handmade(".gz", []byte(strings.Replace(onePackage, "1.1", "1.2", 1)), nil)
	w.metalink("behind", "good")
	for _, c := range []struct {
		name string
		do   func([]byte) []byte
	}{
		{"all behind", bytes.Clone},
		{"no sums", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`type="sha256"`), []byte(`type="md5"`)) }},
		{"cut off", func(b []byte) []byte { return b[:len(b)/2] }},
		{"nothing", func([]byte) []byte { return nil }},
	} {
		w.change("metalink", c.do)
		ix, err := d.State(t.Context(), r)
		if err != nil || ix.Stale == nil {
			t.Fatalf("%s: %+v, %v", c.name, ix, err)
		}
		has(t, ix, "lib", "1.1-1")
	}
}

func TestRPMMirrorList(t *testing.T) {
	w := newRPMWorld(t)
	r := w.rpmRepo()
	r.URI, r.Mirrors = "", w.uri+"/list"
	w.handmade(".gz", []byte(onePackage), nil)
	w.mirror("good")
	w.set("list", []byte("# mirrors\nftp://x/\n"+w.uri+"/dead/\n"+w.uri+"/good/\n"))
	d := w.watcher(t.TempDir())
	has(t, state(t, d, r), "lib", "1.1-1")
	if got, want := w.seen(), "200 list, 404 dead/repodata/repomd.xml, 200 good/repodata/repomd.xml, 200 good/repodata/primary.xml.gz"; got != want {
		t.Errorf("first: %s, want %s", got, want)
	}
	state(t, d, r)
	if got, want := w.seen(), "304 good/repodata/repomd.xml"; got != want {
		t.Errorf("unchanged: %s, want %s", got, want)
	}
	// The mirror is gone, and the list knows another.
	w.later(time.Hour)
	w.handmade(".gz", []byte(strings.Replace(onePackage, "1.1", "1.2", 1)), nil)
	w.mirror("better")
	w.drop("good")
	w.set("list", []byte(w.uri+"/better\n"))
	has(t, state(t, d, r), "lib", "1.2-1")
	if got, want := w.seen(), "404 good/repodata/repomd.xml, 200 list, 200 better/repodata/repomd.xml, 200 better/repodata/primary.xml.gz"; got != want {
		t.Errorf("moved: %s, want %s", got, want)
	}
	// One that goes back is left for another; when there is none, what was known stays.
	w.later(-2 * time.Hour)
	w.handmade(".gz", []byte(onePackage), nil)
	w.mirror("better")
	w.later(3 * time.Hour)
	ix, err := d.State(t.Context(), r)
	if err != nil || !errors.Is(ix.Stale, ErrRollback) {
		t.Fatalf("back: %+v, %v", ix, err)
	}
	has(t, ix, "lib", "1.2-1")
	w.set("list", []byte("nothing\n"))
	if ix, err := d.State(t.Context(), r); err != nil || !errors.Is(ix.Stale, ErrMalformed) {
		t.Fatalf("an empty list: %+v, %v", ix, err)
	}
}

// The address that a section names itself is asked first; its mirrors when that fails.
func TestRPMAddressBeforeItsMirrors(t *testing.T) {
	w := newRPMWorld(t)
	r := w.rpmRepo()
	r.Mirrors = w.uri + "/list"
	w.handmade(".gz", []byte(onePackage), nil)
	d := w.watcher(t.TempDir())
	state(t, d, r)
	if got, want := w.seen(), "200 os/repodata/repomd.xml, 200 os/repodata/primary.xml.gz"; got != want {
		t.Errorf("first: %s, want %s", got, want)
	}
	w.mirror("good")
	w.drop("os")
	w.set("list", []byte(w.uri+"/good\n"))
	has(t, state(t, d, r), "lib", "1.1-1")
	if got, want := w.seen(), "404 os/repodata/repomd.xml, 200 list, 200 good/repodata/repomd.xml"; got != want {
		t.Errorf("moved: %s, want %s", got, want)
	}
}

func TestRPMCancelled(t *testing.T) {
	w := newRPMWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := w.rpmRepo()
	r.Mirrors = w.uri + "/list"
	if _, err := w.watcher(t.TempDir()).State(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
