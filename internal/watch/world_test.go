package watch

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ulikunitz/xz"

	"rebuilder/internal/inventory"
)

// world is a Debian package repository, made by Debian's own tools, behind a server that counts.
type world struct {
	t    *testing.T
	uri  string
	root string // of the package pool, where the tools work
	now  time.Time
	key  *openpgp.Entity

	mu       sync.Mutex
	files    map[string][]byte
	requests []string // "200 dists/stable/InRelease"
}

// pkg is a package to be built: "name version [architecture [source]]".
type pkg string

func newWorld(t *testing.T) *world {
	t.Helper()
	for tool, from := range map[string]string{"dpkg-deb": "dpkg", "apt-ftparchive": "apt-utils"} {
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

func newKey(t *testing.T, name string) *openpgp.Entity {
	t.Helper()
	long := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	e, err := openpgp.NewEntity(name, "", name+"@example.com", &packet.Config{
		Time: func() time.Time { return long }, Algorithm: packet.PubKeyAlgoEdDSA, Curve: packet.Curve25519, // RSA takes long to make
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func public(t *testing.T, e *openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := e.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/debian/")
	w.mu.Lock()
	body, ok := w.files[name]
	w.mu.Unlock()
	rec := &recorder{ResponseWriter: rw, code: 200}
	if ok {
		rw.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(body)))
		http.ServeContent(rec, r, "", time.Time{}, bytes.NewReader(body))
	} else {
		http.NotFound(rec, r)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = append(w.requests, fmt.Sprint(rec.code, " ", name))
}

type recorder struct {
	http.ResponseWriter
	code int
}

func (r *recorder) WriteHeader(code int) {
	r.code = code
	r.ResponseWriter.WriteHeader(code)
}

// seen returns the requests since the last call, hashes shortened.
func (w *world) seen() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	got := w.requests
	w.requests = nil
	for i, r := range got {
		if at := strings.Index(r, "by-hash/SHA256/"); at >= 0 {
			got[i] = r[:at] + "by-hash"
		}
	}
	return strings.Join(got, ", ")
}

func (w *world) set(name string, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files[name] = body
}

func (w *world) get(name string) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.files[name]
}

// change rewrites what a file serves.
func (w *world) change(match string, f func([]byte) []byte) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for name, b := range w.files {
		if strings.Contains(name, match) {
			w.files[name] = f(bytes.Clone(b))
			n++
		}
	}
	if n == 0 {
		w.t.Fatalf("no file is named like %q", match)
	}
}

// suite says how a suite is published. The zero value is "stable main amd64", gzip and xz, by hash.
type suite struct {
	name    string
	fields  map[string]string // of the release file; "" removes one
	formats []string          // extensions; ".gz", ".xz" and "" when nil
	noHash  bool              // no by-hash
	flat    bool
	key     *openpgp.Entity
	edit    func(release string) string
	packs   func(packages []byte) []byte
}

// publish builds the packages and puts the suite into place, dated now.
func (w *world) publish(s suite, pkgs ...pkg) {
	w.t.Helper()
	if s.name == "" {
		s.name = "stable"
	}
	if s.formats == nil {
		s.formats = []string{".gz", ".xz", ""}
	}
	pool := filepath.Join(w.root, "pool", s.name)
	if err := os.RemoveAll(pool); err != nil {
		w.t.Fatal(err)
	}
	for _, p := range pkgs {
		w.build(pool, p)
	}
	packages := w.run(w.root, "apt-ftparchive", "packages", filepath.Join("pool", s.name))
	if s.packs != nil {
		packages = s.packs(packages)
	}
	at, dists := "main/binary-amd64", "dists/"+s.name
	if s.flat {
		at, dists = ".", strings.TrimSuffix(s.name, "/")
	}
	tree := filepath.Join(w.t.TempDir(), "suite")
	for _, ext := range s.formats {
		w.write(filepath.Join(tree, at, "Packages"+ext), compressed(w.t, ext, packages))
	}
	release := s.release(w, tree)
	w.mu.Lock()
	for name := range w.files {
		if strings.HasPrefix(name, dists+"/") && !strings.Contains(name, "by-hash") {
			delete(w.files, name)
		}
	}
	w.mu.Unlock()
	w.serveTree(tree, dists, !s.noHash)
	key := s.key
	if key == nil {
		key = w.key
	}
	w.set(dists+"/InRelease", sign(w.t, []byte(release), w.now, key))
}

func (s suite) release(w *world, tree string) string {
	fields := map[string]string{"Suite": s.name, "Codename": "codename", "Origin": "Test", "Label": "Test-Security",
		"Architectures": "amd64", "Components": "main", "Acquire-By-Hash": "yes"}
	if s.noHash {
		fields["Acquire-By-Hash"] = "no"
	}
	for k, v := range s.fields {
		fields[k] = v
	}
	args := []string{"-o", "APT::FTPArchive::Release::MD5=0"}
	extra := ""
	for k, v := range fields {
		switch k {
		case "Suite", "Codename", "Origin", "Label", "Architectures", "Components", "Acquire-By-Hash", "NotAutomatic", "ButAutomaticUpgrades":
			args = append(args, "-o", "APT::FTPArchive::Release::"+k+"="+v)
		default:
			extra += k + ": " + v + "\n"
		}
	}
	text := string(w.run(tree, "apt-ftparchive", append(args, "release", ".")...))
	lines := strings.SplitAfter(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "Date:") {
			lines[i] = "Date: " + w.now.Format("Mon, 02 Jan 2006 15:04:05 UTC") + "\n" + extra
		}
	}
	text = strings.Join(lines, "")
	if s.edit != nil {
		text = s.edit(text)
	}
	return text
}

func (w *world) serveTree(tree, to string, byHash bool) {
	err := filepath.WalkDir(tree, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(tree, p)
		if err != nil {
			return err
		}
		name := filepath.Join(to, rel)
		w.set(name, b)
		if byHash {
			w.set(fmt.Sprintf("%s/by-hash/SHA256/%x", filepath.Dir(name), sha256.Sum256(b)), b)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) build(pool string, p pkg) {
	w.t.Helper()
	f := append(strings.Fields(string(p)), "amd64", "")
	name, version, arch, source := f[0], f[1], f[2], ""
	if len(f) > 5 {
		source = "Source: " + f[3] + "\n"
	}
	src := filepath.Join(w.t.TempDir(), "deb")
	w.write(filepath.Join(src, "DEBIAN/control"), []byte(fmt.Sprintf(
		"Package: %s\n%sVersion: %s\nArchitecture: %s\nMaintainer: Nobody <nobody@example.com>\nDescription: test\n of it\n .\n end\n", name, source, version, arch)))
	if err := os.MkdirAll(pool, 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.run(pool, "dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", src, fmt.Sprintf("%s_%s_%s.deb", name, strings.ReplaceAll(version, ":", "%3a"), arch))
}

func (w *world) run(dir, name string, args ...string) []byte {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000") // the same package has the same bytes
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", name, err, stderr.String())
	}
	return out
}

func (w *world) write(at string, b []byte) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(at, b, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func compressed(t *testing.T, ext string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	switch ext {
	case "":
		return b
	case ".gz":
		z := gzip.NewWriter(&out)
		if _, err := z.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	case ".xz":
		z, err := xz.WriterConfig{DictCap: 1 << 16}.NewWriter(&out) // its own 8 MiB take longer than the rest
		if err != nil {
			t.Fatal(err)
		}
		if _, err := z.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func sign(t *testing.T, text []byte, now time.Time, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var private []*packet.PrivateKey
	for _, k := range keys {
		private = append(private, k.PrivateKey)
	}
	var b bytes.Buffer
	w, err := clearsign.EncodeMulti(&b, private, &packet.Config{Time: func() time.Time { return now }, DefaultHash: crypto.SHA512})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), '\n')
}

// repo is the repository as an image would name it, trusting the world's key.
func (w *world) repo() inventory.Repository {
	return inventory.Repository{Type: "deb", URI: w.uri, Suite: "stable", Components: []string{"main"},
		Architectures: []string{"amd64"}, Keys: [][]byte{public(w.t, w.key)}, Where: "/etc/apt/sources.list"}
}

// watcher returns a new one on a directory, as after a restart when the directory is not new.
func (w *world) watcher(dir string, change ...func(*Config)) *Watcher {
	w.t.Helper()
	c := Config{Dir: dir, Now: func() time.Time { return w.now }}
	for _, f := range change {
		f(&c)
	}
	d, err := New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// later moves the clock on.
func (w *world) later(d time.Duration) { w.now = w.now.Add(d) }

// image is an inventory of packages "name version [architecture] [held]" that uses the given repositories.
func imageOf(repos []inventory.Repository, pkgs ...string) *inventory.Inventory {
	inv := &inventory.Inventory{Platform: "linux/amd64", Repositories: repos}
	for _, p := range pkgs {
		f := strings.Fields(p)
		arch := "amd64"
		if len(f) > 2 && f[2] != "held" {
			arch = f[2]
		}
		inv.Packages = append(inv.Packages, inventory.Package{
			Name: f[0], Version: f[1], Architecture: arch, Source: f[0], SourceVersion: f[1], Held: f[len(f)-1] == "held",
		})
	}
	return inv
}
