package watch

import (
	"archive/tar"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"chainguard.dev/apko/pkg/apk/apk"
	apkfs "chainguard.dev/apko/pkg/apk/fs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"rebuilder/internal/inventory"
)

// An image is installed by apko from a repository with real packages; what it says of itself is enough to find that
// repository again, to believe it, and to see what is new in it.
func TestAPKImageOfApko(t *testing.T) {
	h := newAPKHost(t)
	h.publishPackages("main", "app 1.0-r0 openssl", "libssl3 3.1.4-r5 openssl", "held 1.0-r0")
	h.publishPackages("edge", "app 2.0-r0 openssl", "libssl3 3.9.0-r0 openssl", "tool 1.0-r0")
	inv, err := inventory.Read(t.Context(), h.install("app", "libssl3", "held=1.0-r0", "tool@edge"), "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	d := h.watcher(t.TempDir())
	patches := func() string {
		t.Helper()
		s, err := d.Round(t.Context(), inv)
		if err != nil || len(s.Errors(inv)) > 0 {
			t.Fatal(err, s.Errors(inv))
		}
		var all []string
		for _, p := range s.Patches(inv) {
			all = append(all, fmt.Sprintf("%s %s -> %s (%s) held=%v", p.Package, p.From, p.To, p.Source, p.Held))
		}
		return strings.Join(all, "; ")
	}
	if got := patches(); got != "" {
		t.Errorf("at first: %s", got)
	}
	h.later(time.Hour)
	h.publishPackages("main", "app 1.0-r0 openssl", "libssl3 3.1.5-r0 openssl", "held 1.0-r1", "tool 9.0-r0")
	h.publishPackages("edge", "tool 1.1-r0", "libssl3 3.9.0-r0 openssl", "app 2.0-r0 openssl")
	want := "held 1.0-r0 -> 1.0-r1 (held) held=true; libssl3 3.1.4-r5 -> 3.1.5-r0 (openssl) held=false; tool 1.0-r0 -> 1.1-r0 (tool) held=false"
	if got := patches(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// publishPackages serves packages "name version [origin]", and their index, signed.
func (h *apkHost) publishPackages(path string, pkgs ...string) {
	h.t.Helper()
	ix := &apk.APKIndex{}
	for _, p := range pkgs {
		f := strings.Fields(p)
		origin := f[0]
		if len(f) > 2 {
			origin = f[2]
		}
		file := h.build(f[0], f[1], origin)
		described, err := apk.ParsePackage(h.t.Context(), bytes.NewReader(file), uint64(len(file)))
		if err != nil {
			h.t.Fatal(err)
		}
		described.BuildTime = h.now // the library leaves it out
		ix.Packages = append(ix.Packages, described)
		h.set(fmt.Sprintf("%s/x86_64/%s-%s.apk", path, f[0], f[1]), file)
	}
	r, err := apk.ArchiveFromIndex(ix)
	if err != nil {
		h.t.Fatal(err)
	}
	archive, err := io.ReadAll(r)
	if err != nil {
		h.t.Fatal(err)
	}
	h.set(path+"/x86_64/APKINDEX.tar.gz", h.signed(archive))
}

// build makes a package: its signature, its description, its files, each an archive of its own.
func (h *apkHost) build(name, version, origin string) []byte {
	h.t.Helper()
	content := []byte(name + " " + version)
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	err := w.WriteHeader(&tar.Header{Name: "usr/", Typeflag: tar.TypeDir, Mode: 0o755})
	if err == nil {
		err = w.WriteHeader(&tar.Header{Name: "usr/" + name, Mode: 0o644, Size: int64(len(content)),
			PAXRecords: map[string]string{"APK-TOOLS.checksum.SHA1": fmt.Sprintf("%x", sha1.Sum(content))}})
	}
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	files := gzipOf(h.t, data.Bytes())
	info := fmt.Sprintf("pkgname = %s\npkgver = %s\narch = x86_64\norigin = %s\nsize = %d\nbuilddate = %d\ndatahash = %x\n",
		name, version, origin, len(content), h.now.Unix(), sha256.Sum256(files))
	return append(apkSigned(h.t, tarGz(h.t, false, tarEntry{".PKGINFO", []byte(info)}), "RSA256", h.key), files...)
}

// install makes an image of one layer, as apko installs that world.
func (h *apkHost) install(world ...string) v1.Image {
	h.t.Helper()
	root := apkfs.NewMemFS()
	must := func(err error) {
		h.t.Helper()
		if err != nil {
			h.t.Fatal(err)
		}
	}
	a, err := apk.New(h.t.Context(), apk.WithFS(root), apk.WithArch("x86_64"), apk.WithIgnoreMknodErrors(true), apk.WithTransport(http.DefaultTransport))
	must(err)
	must(a.InitDB(h.t.Context()))
	must(root.MkdirAll("etc/apk/keys", 0o755))
	must(root.WriteFile("etc/apk/keys/"+h.key.name, h.key.public, 0o644))
	must(a.SetRepositories(h.t.Context(), []string{h.uri + "/main", "@edge " + h.uri + "/edge"}))
	must(a.SetWorld(h.t.Context(), world))
	_, err = a.FixateWorld(h.t.Context(), &h.now)
	must(err)
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	must(fs.WalkDir(root, ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := root.ReadFile(p)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: p, Mode: 0o644, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	}))
	must(w.Close())
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	must(err)
	img, err := mutate.AppendLayers(empty.Image, l)
	must(err)
	cfg, err := img.ConfigFile()
	must(err)
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", "amd64"
	img, err = mutate.ConfigFile(img, cfg)
	must(err)
	return img
}
