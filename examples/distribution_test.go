package examples

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
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chainguard.dev/apko/pkg/apk/apk"

	"rebuilder/internal/demo/debrepo"
)

// distribution is what an upstream image comes from: a signed package repository made by the distribution's own tools,
// and a library whose newer version is published there.
type distribution interface {
	url() string
	offers() (name, first, patched string)
	// publish puts a version of the library into the repository.
	publish(t *testing.T, version string)
	// system are the files of an image that has the library's first version.
	system(t *testing.T) map[string]string
	// installed are the files that an upgrade writes.
	installed(t *testing.T, version string) map[string]string
}

func distributions(t *testing.T) map[string]distribution {
	return map[string]distribution{"debian": newDebian(t), "alpine": newAlpine(t), "centos": newCentOS(t)}
}

type debian struct {
	repo *debrepo.Repository
	at   string
}

func newDebian(t *testing.T) *debian {
	t.Helper()
	repo, err := debrepo.Open(t.TempDir(), debrepo.Config{Codename: "stable"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(repo)
	t.Cleanup(srv.Close)
	return &debian{repo, srv.URL}
}

func (d *debian) url() string { return d.at }

func (*debian) offers() (name, first, patched string) { return "libssl3", "3.0.17-1", "3.0.17-2" }

func (d *debian) publish(t *testing.T, version string) {
	t.Helper()
	name, _, _ := d.offers()
	deb, err := debrepo.Build(t.Context(), t.TempDir(), debrepo.Package{Name: name, Version: version, Architecture: "amd64"})
	if err == nil {
		_, err = d.repo.Publish(t.Context(), deb)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (d *debian) system(t *testing.T) map[string]string {
	t.Helper()
	key, err := d.repo.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	_, first, _ := d.offers()
	files := d.installed(t, first)
	files["etc/apt/keyrings/k.gpg"] = string(key)
	files["etc/apt/sources.list"] = "deb [signed-by=/etc/apt/keyrings/k.gpg] " + d.at + " stable main\n"
	return files
}

func (d *debian) installed(_ *testing.T, version string) map[string]string {
	name, _, _ := d.offers()
	return map[string]string{"var/lib/dpkg/status": "Package: " + name + "\nStatus: install ok installed\nArchitecture: amd64\nVersion: " + version + "\n\n"}
}

// alpine is a repository of one index, made by apko's library and signed as abuild-sign does.
type alpine struct {
	at    string
	key   *rsa.PrivateKey
	index []byte
}

const alpineKey = "builder@example.com-1.rsa.pub"

func newAlpine(t *testing.T) *alpine {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	a := &alpine{key: key}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/main/x86_64/APKINDEX.tar.gz" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(a.index)))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.index))
	}))
	t.Cleanup(srv.Close)
	a.at = srv.URL
	return a
}

func (a *alpine) url() string { return a.at }

func (*alpine) offers() (name, first, patched string) { return "libssl3", "3.5.1-r0", "3.5.2-r0" }

func (a *alpine) publish(t *testing.T, version string) {
	t.Helper()
	name, _, _ := a.offers()
	archive, err := apk.ArchiveFromIndex(&apk.APKIndex{Description: "main", Packages: []*apk.Package{
		{Name: name, Version: version, Arch: "x86_64", Origin: "openssl", BuildTime: time.Unix(1_700_000_000, 0), Checksum: make([]byte, 20), Size: 1, InstalledSize: 1, License: "Apache-2.0"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(archive)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(plain)
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	var head bytes.Buffer
	z := gzip.NewWriter(&head)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: ".SIGN.RSA256." + alpineKey, Mode: 0o644, Size: int64(len(signature))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(signature); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil { // it does not end here: the index follows
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	a.index = append(head.Bytes(), plain...)
}

func (a *alpine) system(t *testing.T) map[string]string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&a.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	_, first, _ := a.offers()
	files := a.installed(t, first)
	files["etc/apk/keys/"+alpineKey] = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	files["etc/apk/repositories"] = a.at + "/main\n"
	files["etc/apk/world"] = "libssl3\n"
	return files
}

func (a *alpine) installed(_ *testing.T, version string) map[string]string {
	name, _, _ := a.offers()
	return map[string]string{"lib/apk/db/installed": "C:Q1AAAAAAAAAAAAAAAAAAAAAAAAAAA=\nP:" + name + "\nV:" + version + "\nA:x86_64\nS:1\nI:1\nT:library\no:openssl\nL:Apache-2.0\n\n"}
}

// centos is a repository made by rpmbuild and createrepo_c. As with the distribution's own, its packages are signed and its
// index is not.
type centos struct {
	at   string
	root string
	made map[string]string // version -> file of the package
}

const centosSpec = `Name: openssl-libs
Epoch: 1
Version: 3.5.1
Release: %{wanted}
Summary: tested
License: none
%description
tested
%files
`

func newCentOS(t *testing.T) *centos {
	t.Helper()
	c := &centos{root: t.TempDir(), made: map[string]string{}}
	srv := httptest.NewServer(http.FileServer(http.Dir(c.root)))
	t.Cleanup(srv.Close)
	c.at = srv.URL
	return c
}

func (c *centos) url() string { return c.at }

func (*centos) offers() (name, first, patched string) {
	return "openssl-libs", "1:3.5.1-1", "1:3.5.1-2"
}

// build makes the package of a version, once.
func (c *centos) build(t *testing.T, version string) string {
	t.Helper()
	if at, ok := c.made[version]; ok {
		return at
	}
	dir := t.TempDir()
	spec := filepath.Join(dir, "openssl.spec")
	if err := os.WriteFile(spec, []byte(centosSpec), 0o600); err != nil {
		t.Fatal(err)
	}
	_, release, _ := strings.Cut(version, "-")
	run(t, "rpmbuild", "--quiet", "--define", "_topdir "+dir, "--define", "wanted "+release, "--target", "x86_64", "-bb", spec)
	found, err := filepath.Glob(filepath.Join(dir, "RPMS/*/*.rpm"))
	if err != nil || len(found) != 1 {
		t.Fatalf("rpmbuild made %v, %v", found, err)
	}
	c.made[version] = found[0]
	return found[0]
}

func (c *centos) publish(t *testing.T, version string) {
	t.Helper()
	b, err := os.ReadFile(c.build(t, version))
	if err != nil {
		t.Fatal(err)
	}
	os9 := filepath.Join(c.root, "9-stream/x86_64/os")
	if err := os.MkdirAll(os9, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(os9, filepath.Base(c.made[version])), b, 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "createrepo_c", "--quiet", "--no-database", os9)
}

func (c *centos) system(t *testing.T) map[string]string {
	t.Helper()
	_, first, _ := c.offers()
	files := c.installed(t, first)
	files["etc/yum.repos.d/centos.repo"] = "[baseos]\nname=BaseOS\nbaseurl=" + c.at + "/$stream/$basearch/os/\ngpgcheck=1\nenabled=1\n"
	files["etc/dnf/vars/stream"] = "9-stream\n"
	return files
}

func (c *centos) installed(t *testing.T, version string) map[string]string {
	t.Helper()
	root := t.TempDir()
	run(t, "rpm", "--root", root, "--justdb", "--nodeps", "--noscripts", "--ignorearch", "--define", "_dbpath /var/lib/rpm", "--define", "_db_backend sqlite", "-i", c.build(t, version))
	files := map[string]string{}
	for _, name := range []string{"rpmdb.sqlite", "rpmdb.sqlite-wal"} {
		if b, err := os.ReadFile(filepath.Join(root, "var/lib/rpm", name)); err == nil && len(b) > 0 {
			files["var/lib/rpm/"+name] = string(b)
		}
	}
	if len(files) == 0 {
		t.Fatal("rpm made no database")
	}
	return files
}

func run(t *testing.T, tool string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v (scripts/setup installs it)\n%s", tool, strings.Join(args, " "), err, out)
	}
}

// release are the files that say which system an image has.
func release(id string) map[string]string {
	return map[string]string{"etc/os-release": "ID=" + id + "\nVERSION_ID=1\n"}
}

// system are the files of an upstream image.
func (w *world) system(name string) map[string]string {
	w.t.Helper()
	id := strings.TrimPrefix(name, "upstream/")
	files := release(id)
	if d, ok := w.distributions[id]; ok {
		maps.Copy(files, d.system(w.t))
	}
	return files
}
