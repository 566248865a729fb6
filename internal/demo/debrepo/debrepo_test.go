package debrepo_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"

	"rebuilder/internal/demo/command"
	"rebuilder/internal/demo/debrepo"
)

func TestAptReadsAndVerifiesIt(t *testing.T) {
	repo, debs := publish(t, "1.0", "1.1")
	server := httptest.NewServer(http.StripPrefix("/debian", repo))
	defer server.Close()
	apt := newApt(t, repo, server.URL+"/debian")

	apt.run("update")
	if got := apt.candidate(); got != "1.0" {
		t.Fatalf("candidate %q before publication, want 1.0", got)
	}
	apt.run("download", "-q", "rebuilder-demo")
	if _, err := repo.Publish(t.Context(), debs[1]); err != nil {
		t.Fatal(err)
	}
	apt.run("update")
	if got := apt.candidate(); got != "1.1" {
		t.Errorf("candidate %q after publication, want 1.1", got)
	}
}

func TestAptRefusesATamperedIndex(t *testing.T) {
	repo, _ := publish(t, "1.0")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/InRelease") {
			http.StripPrefix("/debian", repo).ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		http.StripPrefix("/debian", repo).ServeHTTP(rec, r)
		_, _ = w.Write(bytes.Replace(rec.Body.Bytes(), []byte("Origin: demo"), []byte("Origin: evil"), 1))
	}))
	defer server.Close()
	apt := newApt(t, repo, server.URL+"/debian")
	if _, err := command.Run(t.Context(), apt.dir, "apt-get", apt.args("update")...); err == nil {
		t.Error("apt-get update accepted a tampered release file")
	}
}

func TestSignedByTheKeyThatItShows(t *testing.T) {
	repo, _ := publish(t, "1.0")
	key, err := repo.PublicKey()
	must(t, err)
	ring, err := openpgp.ReadKeyRing(bytes.NewReader(key))
	must(t, err)
	block, _ := clearsign.Decode(get(t, repo, "/dists/bookworm/InRelease", nil).Body.Bytes())
	if block == nil {
		t.Fatal("InRelease is not clear-signed")
	}
	if _, err := block.VerifySignature(ring, nil); err != nil {
		t.Error(err)
	}
	for _, field := range []string{"Acquire-By-Hash: yes", "Valid-Until: ", "Codename: bookworm", "main/binary-amd64/Packages.gz"} {
		if !bytes.Contains(block.Plaintext, []byte(field)) {
			t.Errorf("release has no %q", field)
		}
	}
}

func TestConditionalRequests(t *testing.T) {
	repo, debs := publish(t, "1.0", "1.1")
	const path = "/dists/bookworm/InRelease"
	first := get(t, repo, path, nil)
	for _, header := range [][2]string{{"ETag", "If-None-Match"}, {"Last-Modified", "If-Modified-Since"}} {
		again := get(t, repo, path, http.Header{header[1]: {first.Header().Get(header[0])}})
		if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s: status %d, %d bytes", header[1], again.Code, again.Body.Len())
		}
	}
	_, err := repo.Publish(t.Context(), debs[1])
	must(t, err)
	changed := get(t, repo, path, http.Header{"If-None-Match": {first.Header().Get("ETag")}})
	if changed.Code != http.StatusOK {
		t.Errorf("status %d after publication", changed.Code)
	}
}

func TestFilesOfTheIndexBeforeStayReadableByHash(t *testing.T) {
	repo, debs := publish(t, "1.0", "1.1")
	hashes := func() []string {
		var found []string
		for _, line := range strings.Split(get(t, repo, "/dists/bookworm/Release", nil).Body.String(), "\n") {
			if f := strings.Fields(line); len(f) == 3 && len(f[0]) == 64 {
				found = append(found, f[0])
			}
		}
		return found
	}
	before := hashes()
	_, err := repo.Publish(t.Context(), debs[1])
	must(t, err)
	all := append(before, hashes()...)
	if len(all) != 4 {
		t.Fatalf("%d hashes, want 4", len(all))
	}
	for _, h := range all {
		if code := get(t, repo, "/dists/bookworm/main/binary-amd64/by-hash/SHA256/"+h, nil).Code; code != http.StatusOK {
			t.Errorf("%s: status %d", h, code)
		}
	}
}

func TestNothingElseIsServed(t *testing.T) {
	repo, _ := publish(t, "1.0")
	for _, path := range []string{"/", "/key.pgp", "/dists/../../key.pgp", "/dists/..%2f..%2fkey.pgp", "/pool/", "/pool/nothing.deb"} {
		if code := get(t, repo, path, nil).Code; code != http.StatusNotFound {
			t.Errorf("%s: status %d", path, code)
		}
	}
}

func TestReopenKeepsKeyAndIndex(t *testing.T) {
	dir := t.TempDir()
	first, err := debrepo.Open(dir, debrepo.Config{Codename: "bookworm"})
	must(t, err)
	if first.Published() {
		t.Error("a new repository says that it is published")
	}
	_, err = first.Publish(t.Context(), deb(t, "1.0"))
	must(t, err)
	// What a kill may leave behind.
	must(t, os.Symlink("nowhere", filepath.Join(dir, "public", "dists.new")))
	must(t, os.MkdirAll(filepath.Join(dir, "index", "2", "half"), 0o755))

	second, err := debrepo.Open(dir, debrepo.Config{Codename: "bookworm"})
	must(t, err)
	if !second.Published() {
		t.Error("the index is gone")
	}
	a, err := first.PublicKey()
	must(t, err)
	b, err := second.PublicKey()
	must(t, err)
	if !bytes.Equal(a, b) {
		t.Error("another key")
	}
	if _, err := second.Publish(t.Context(), deb(t, "1.1")); err != nil {
		t.Error(err)
	}
}

func TestEpochIsNoPartOfThePoolName(t *testing.T) {
	repo, err := debrepo.Open(t.TempDir(), debrepo.Config{Codename: "bookworm"})
	must(t, err)
	file := filepath.Join(t.TempDir(), "rebuilder-demo_1%3a1.0_all.deb")
	must(t, os.Rename(deb(t, "1.0"), file))
	_, err = repo.Publish(t.Context(), file)
	must(t, err)
	if code := get(t, repo, "/pool/rebuilder-demo_1.0_all.deb", nil).Code; code != http.StatusOK {
		t.Errorf("status %d", code)
	}
}

func deb(t *testing.T, version string) string {
	t.Helper()
	path, err := debrepo.Build(t.Context(), t.TempDir(), debrepo.Package{
		Name: "rebuilder-demo", Version: version,
		Files: map[string]string{"/usr/share/rebuilder-demo/version": version + "\n"},
	})
	must(t, err)
	return path
}

// publish makes a repository with the first of the versions published, and packages of all of them.
func publish(t *testing.T, versions ...string) (*debrepo.Repository, []string) {
	t.Helper()
	repo, err := debrepo.Open(t.TempDir(), debrepo.Config{Codename: "bookworm"})
	must(t, err)
	debs := make([]string, 0, len(versions))
	for _, v := range versions {
		debs = append(debs, deb(t, v))
	}
	_, err = repo.Publish(t.Context(), debs[0])
	must(t, err)
	return repo, debs
}

func get(t *testing.T, h http.Handler, path string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for k, v := range header {
		req.Header[k] = v
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

// apt is the machine's own apt with a configuration, a state and a cache of its own.
type apt struct {
	t   *testing.T
	dir string
}

func newApt(t *testing.T, repo *debrepo.Repository, uri string) apt {
	t.Helper()
	dir := t.TempDir()
	key, err := repo.PublicKey()
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(dir, "lists", "partial"), 0o755))
	must(t, os.MkdirAll(filepath.Join(dir, "cache", "archives", "partial"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "status"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "demo.gpg"), key, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "demo.sources"), []byte("Types: deb\nURIs: "+uri+
		"\nSuites: bookworm\nComponents: main\nSigned-By: "+filepath.Join(dir, "demo.gpg")+"\n"), 0o600))
	return apt{t: t, dir: dir}
}

func (a apt) args(args ...string) []string {
	set := []string{"-q", "-o", "Dir::State=" + a.dir, "-o", "Dir::State::status=" + filepath.Join(a.dir, "status"),
		"-o", "Dir::Cache=" + filepath.Join(a.dir, "cache"), "-o", "Dir::Etc::sourcelist=" + filepath.Join(a.dir, "demo.sources"),
		"-o", "Dir::Etc::sourceparts=-", "-o", "Dir::Etc::preferencesparts=-", "-o", "APT::Sandbox::User=root",
		"-o", "APT::Architecture=amd64", "-o", "APT::Update::Error-Mode=any"}
	return append(set, args...)
}

func (a apt) run(args ...string) {
	a.t.Helper()
	if _, err := command.Run(a.t.Context(), a.dir, "apt-get", a.args(args...)...); err != nil {
		a.t.Fatal(err)
	}
}

func (a apt) candidate() string {
	a.t.Helper()
	out, err := command.Run(a.t.Context(), a.dir, "apt-cache", a.args("show", "--no-all-versions", "rebuilder-demo")...)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, line := range strings.Split(string(out), "\n") {
		if v, ok := strings.CutPrefix(line, "Version: "); ok {
			return v
		}
	}
	return ""
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
