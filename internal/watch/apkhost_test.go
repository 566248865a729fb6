package watch

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chainguard.dev/apko/pkg/apk/apk"

	"rebuilder/internal/inventory"
)

// apkHost serves apk repositories whose indexes apko's library makes, and counts.
type apkHost struct {
	t   testing.TB
	uri string
	now time.Time
	key apkKey

	mu       sync.Mutex
	files    map[string][]byte
	requests []string // "200 main/x86_64/APKINDEX.tar.gz 512": the bytes are the body's
}

// apkKey is a key as an image and those who sign have it.
type apkKey struct {
	name    string // of its file
	private *rsa.PrivateKey
	public  []byte // PEM
}

func newAPKKey(t testing.TB, name string) apkKey {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 1024) // longer ones take long to make
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return apkKey{name + ".rsa.pub", private, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}
}

func newAPKHost(t testing.TB) *apkHost {
	t.Helper()
	h := &apkHost{t: t, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), key: newAPKKey(t, "builder@example.com-1"), files: map[string][]byte{}}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	h.uri = srv.URL
	return h
}

func (h *apkHost) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	h.mu.Lock()
	body, ok := h.files[name]
	h.mu.Unlock()
	rec := &bodyCounter{recorder: recorder{rw, 200}}
	if ok {
		rw.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(body)))
		http.ServeContent(rec, r, "", time.Time{}, bytes.NewReader(body))
	} else {
		http.NotFound(rec, r)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, fmt.Sprint(rec.code, " ", name, " ", rec.body))
}

type bodyCounter struct {
	recorder
	body int
}

func (b *bodyCounter) Write(p []byte) (int, error) {
	n, err := b.recorder.Write(p)
	b.body += n
	return n, err
}

// seen returns the requests since the last call.
func (h *apkHost) seen() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	got := h.requests
	h.requests = nil
	return strings.Join(got, ", ")
}

func (h *apkHost) set(name string, body []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.files[name] = body
}

func (h *apkHost) later(d time.Duration) { h.now = h.now.Add(d) }

const (
	mainIndex = "main/x86_64/APKINDEX.tar.gz"
	edgeIndex = "edge/x86_64/APKINDEX.tar.gz"
)

// publish signs an index of packages "name version [architecture [origin]]", all built now, and puts it into place.
func (h *apkHost) publish(at string, pkgs ...string) {
	h.t.Helper()
	h.set(at, h.signed(apkArchive(h.t, h.now, pkgs...)))
}

func (h *apkHost) signed(archive []byte) []byte { return apkSigned(h.t, archive, "RSA256", h.key) }

// apkArchive is an index that is not signed.
func apkArchive(t testing.TB, built time.Time, pkgs ...string) []byte {
	t.Helper()
	ix := &apk.APKIndex{Description: "test"}
	for _, p := range pkgs {
		f := append(strings.Fields(p), "x86_64", "")
		one := &apk.Package{Name: f[0], Version: f[1], Arch: f[2], BuildTime: built, Checksum: make([]byte, 20), Size: 1, InstalledSize: 1, License: "MIT"}
		if len(f) > 5 {
			one.Origin = f[3]
		}
		ix.Packages = append(ix.Packages, one)
	}
	r, err := apk.ArchiveFromIndex(ix)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// apkText is an index of any text.
func apkText(t testing.TB, files ...string) []byte {
	t.Helper()
	var entries []tarEntry
	for i := 0; i < len(files); i += 2 {
		entries = append(entries, tarEntry{files[i], []byte(files[i+1])})
	}
	return tarGz(t, true, entries...)
}

type tarEntry struct {
	name string
	data []byte
}

// tarGz packs files. Where it does not end, as the part with the signatures, another archive may follow.
func tarGz(t testing.TB, ends bool, entries ...tarEntry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, e := range entries {
		err := w.WriteHeader(&tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.data))})
		if _, err2 := w.Write(e.data); err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
	}
	end := w.Flush
	if ends {
		end = w.Close
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// apkSigned puts the signatures of all keys before an archive, as abuild-sign does.
func apkSigned(t testing.TB, archive []byte, kind string, keys ...apkKey) []byte {
	t.Helper()
	hash := map[string]crypto.Hash{"RSA": crypto.SHA1, "RSA256": crypto.SHA256, "RSA512": crypto.SHA512}[kind]
	h := hash.New()
	h.Write(archive)
	var entries []tarEntry
	for _, k := range keys {
		sig, err := rsa.SignPKCS1v15(rand.Reader, k.private, hash, h.Sum(nil))
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, tarEntry{".SIGN." + kind + "." + k.name, sig})
	}
	return append(tarGz(t, false, entries...), archive...)
}

// repo is a repository as an image would name it, trusting the host's key.
func (h *apkHost) repo(path string, tag ...string) inventory.Repository {
	return inventory.Repository{Type: inventory.APK, URI: h.uri + "/" + path, ID: strings.Join(tag, ""), Architectures: []string{"x86_64"},
		Keys: [][]byte{h.key.public}, KeyNames: []string{h.key.name}, Where: "/etc/apk/repositories:1"}
}

// watcher returns a new one on a directory, as after a restart when the directory is not new.
func (h *apkHost) watcher(dir string, change ...func(*Config)) *Watcher {
	h.t.Helper()
	c := Config{Dir: dir, Now: func() time.Time { return h.now }}
	for _, f := range change {
		f(&c)
	}
	w, err := New(c)
	if err != nil {
		h.t.Fatal(err)
	}
	return w
}

// apkImage is an inventory of packages "name version [architecture]" of an image with that world.
func apkImage(repos []inventory.Repository, world []inventory.Pin, pkgs ...string) *inventory.Inventory {
	inv := &inventory.Inventory{Platform: "linux/amd64", Repositories: repos, Pins: world}
	for _, p := range pkgs {
		f := append(strings.Fields(p), "x86_64")
		inv.Packages = append(inv.Packages, inventory.Package{Type: inventory.APK, Name: f[0], Version: f[1], Architecture: f[2], Source: f[0], SourceVersion: f[1]})
	}
	return inv
}

// apkPinned makes pins of "name rule" each.
func apkPinned(rules ...string) []inventory.Pin {
	var pins []inventory.Pin
	for _, r := range rules {
		name, rule, _ := strings.Cut(r, " ")
		pins = append(pins, inventory.Pin{Type: inventory.APK, Packages: []string{name}, Rule: rule, Where: "/etc/apk/world:1"})
	}
	return pins
}

// apkoTestdata is a file that apko's own tests use: indexes as distributions have published them.
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
