package buildkit_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"rebuilder/internal/build"
	"rebuilder/internal/build/buildkit"
)

const (
	platform   = "linux/amd64"
	parentVerb = "test-parent" // a process that is killed while it owns an engine
)

func TestMain(m *testing.M) {
	if socket := os.Getenv(dialStdio); socket != "" {
		exit(forward(socket))
	}
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case buildkit.ChildVerb:
			exit(buildkit.Child(os.Args[2:]))
		case parentVerb:
			exit(parent(os.Args[2], os.Args[3], os.Args[4]))
		}
	}
	os.Exit(m.Run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// world is what the tests share: an engine and a registry. Tests use repositories of their own.
type world struct {
	engine   *buildkit.Engine
	registry string
}

// openWorld starts a registry and an engine for one test and its subtests.
func openWorld(t *testing.T) *world {
	t.Helper()
	needs(t)
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	e, err := buildkit.Open(t.Context(), buildkit.Config{Root: shortDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{engine: e, registry: strings.TrimPrefix(s.URL, "http://")}
	w.push(t, "base/busybox:1", rootfs(t, nil))
	return w
}

func needs(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/bin/busybox"); err != nil {
		t.Fatal("these tests need a static busybox: apt-get install busybox-static")
	}
	if _, err := exec.LookPath("runc"); err != nil {
		t.Fatal("these tests need runc: apt-get install runc")
	}
	if os.Geteuid() != 0 {
		t.Fatal("these tests start a build engine and need root")
	}
}

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// rootfs is a busybox with the given files, executable, on top.
func rootfs(t *testing.T, files map[string]string) v1.Image {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	put := func(h *tar.Header, content []byte) {
		h.Size = int64(len(content))
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"bin/", "etc/", "tmp/", "proc/", "sys/", "dev/"} {
		put(&tar.Header{Typeflag: tar.TypeDir, Name: d, Mode: 0o755}, nil)
	}
	put(&tar.Header{Name: "bin/busybox", Mode: 0o755}, busybox)
	for _, n := range []string{"sh", "cat", "echo", "sleep", "ls", "true", "env", "test", "kill", "cp", "mkdir", "seq"} {
		put(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + n, Linkname: "busybox"}, nil)
	}
	for n, c := range files {
		put(&tar.Header{Name: n, Mode: 0o755}, []byte(c))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return image(t, b.Bytes(), "amd64")
}

func image(t *testing.T, layer []byte, arch string) v1.Image {
	t.Helper()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer)), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), l)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg.OS, cfg.Architecture = "linux", arch
	cfg.Config.Env = []string{"PATH=/bin"}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}

// push returns the image's digest.
func (w *world) push(t *testing.T, ref string, img v1.Image) v1.Hash {
	t.Helper()
	r, err := name.ParseReference(w.registry + "/" + ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(r, img); err != nil {
		t.Fatal(err)
	}
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// with is busybox with one file.
func (w *world) with(t *testing.T, ref, file, content string) v1.Hash {
	t.Helper()
	return w.push(t, ref, rootfs(t, map[string]string{file: content}))
}

// files reads the pushed image's files, by path.
func (w *world) files(t *testing.T, repository string, digest v1.Hash) map[string]string {
	t.Helper()
	r, err := name.NewDigest(repository + "@" + digest.String())
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(r)
	if err != nil {
		t.Fatal(err)
	}
	rc := mutate.Extract(img)
	defer rc.Close()
	out := map[string]string{}
	for tr := tar.NewReader(rc); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Size > 1<<16 {
			continue
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.Trim(h.Name, "./")] = strings.TrimSpace(string(b))
	}
}

// context writes a build context with a Dockerfile, in which REG is the registry.
func (w *world) context(t *testing.T, dockerfile string, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "Dockerfile", strings.ReplaceAll(dockerfile, "REG", w.registry))
	for i := 0; i+1 < len(files); i += 2 {
		write(t, dir, files[i], files[i+1])
	}
	return dir
}

func write(t *testing.T, dir, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (w *world) request(dir string) build.Request {
	return build.Request{Image: "app", Dir: dir, Platform: platform, Repository: w.registry + "/out"}
}

// build must succeed; it returns the result and the image's files.
func (w *world) build(t *testing.T, r build.Request) (*build.Result, map[string]string) {
	t.Helper()
	var l buffer
	r.Log = &l
	res, err := w.engine.Build(t.Context(), r)
	if err != nil {
		t.Fatalf("%v\n%s", err, l.String())
	}
	return res, w.files(t, r.Repository, res.Digest)
}

// fail must fail with a *build.Error.
func (w *world) fail(t *testing.T, r build.Request) *build.Error {
	t.Helper()
	_, err := w.engine.Build(t.Context(), r)
	e := new(build.Error)
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want a *build.Error", err)
	}
	if e.Image != r.Image {
		t.Errorf("the error names image %q, want %q", e.Image, r.Image)
	}
	return e
}

// cached says for each RUN and COPY of the result whether it came from the cache, in order.
func cached(res *build.Result) []string {
	var out []string
	for _, s := range res.Steps {
		_, what, ok := strings.Cut(s.Name, "] ")
		if !ok || !strings.HasPrefix(what, "RUN") && !strings.HasPrefix(what, "COPY") {
			continue
		}
		if s.Cached {
			what = "cached " + what
		}
		out = append(out, what)
	}
	return out
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// until waits for something that another process does, which gives no other sign.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s for: %s", what)
		}
	}
}

// running says whether a process has marker among its arguments.
func running(marker string) bool {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range all {
		b, _ := os.ReadFile(f)
		if strings.Contains(string(b), marker) && !strings.Contains(string(b), parentVerb) {
			return true
		}
	}
	return false
}

// parent opens an engine in root and runs a build that lasts, until it is killed.
func parent(root, registry, marker string) error {
	e, err := buildkit.Open(context.Background(), buildkit.Config{Root: root})
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(root, "context")
	if err != nil {
		return err
	}
	df := "FROM " + registry + "/base/busybox:1\nRUN sleep " + marker + "\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(df), 0o644); err != nil {
		return err
	}
	_, err = e.Build(context.Background(), build.Request{Image: "parent", Dir: dir, Repository: registry + "/out"})
	return err
}
