package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// mostMemory is what the daemon may take at most with all hostile images read at once, in MiB.
const mostMemory = 1024

// Images that were made to take the daemon's time and memory are refused by name and with the reason, once, and their
// neighbours get what they always get.
func TestHostileImages(t *testing.T) {
	s := newSetup(t)
	var catalog strings.Builder
	catalog.WriteString(serious)
	for _, h := range hostile {
		fmt.Fprintf(&catalog, "\n[[upstream]]\nname = \"hostile/%s\"\nimage = %q\n", h.name, s.push("hostile/"+h.name+":1", h.make(t)))
	}
	s.beside("bases/trapped/Dockerfile", "FROM "+s.RegistryHost+"/hostile/bomb:1\nRUN apt-get update && apt-get -y upgrade\n", 0o644)
	catalog.WriteString("\n[[base]]\nname = \"base/trapped\"\ncontext = \"bases/trapped\"\n")
	s.beside("scanner/db/db/trivy.db", "", 0o644)
	catalog.WriteString("\n[[scanner]]\nname = \"trivy\"\ncommand = \"/nowhere/trivy\"\ndatabase = \"scanner/db\"\n")
	s.changeCatalog(catalog.String())
	s.start()
	ctx := s.within(4 * time.Minute)
	for _, h := range hostile {
		s.isSaid(ctx, "hostile/"+h.name, h.said)
	}
	s.whySays(ctx, "base/trapped", "hostile/bomb")
	fetched := s.fetched() // all that follows is in looks that know

	p, err := s.Publish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r := s.ends(ctx, p)
	if again := fetched(); len(again) > 0 {
		t.Errorf("fetched again: %q", again)
	}
	for _, file := range outside {
		if _, err := os.Lstat(file); !os.IsNotExist(err) {
			t.Errorf("%s was written (%v)", file, err)
		}
	}
	peak := s.daemon.peak(t)
	t.Logf("the daemon took %d MiB", peak)
	if peak > mostMemory {
		t.Errorf("the daemon took %d MiB, more than %d", peak, mostMemory)
	}
	for _, i := range r.Images {
		if i.Kind == "base" {
			s.verdictIs(ctx, i.Name, i.NewDigest, "unknown")
		}
	}
}

// hostile are the images, each with what is said of it; nothing is wrong with those of which nothing is said.
var hostile = []struct {
	name string
	make func(*testing.T) v1.Image
	said string
}{
	{"bomb", bomb, "100 times its size: it is a bomb"},
	{"files", millionFiles, ""},
	{"config", absurdConfig, "its configuration has"},
	{"version", absurdVersion, "a stanza of more than"},
	{"paths", strangePaths, ""},
}

// bomb is a layer of a long file of zeros.
func bomb(t *testing.T) v1.Image {
	var head, zeros bytes.Buffer
	w := gzip.NewWriter(&head)
	tw := tar.NewWriter(w)
	const size = 16 << 30
	must(t, tw.WriteHeader(&tar.Header{Name: "zeros", Mode: 0o644, Size: size}))
	must(t, w.Close())
	w = gzip.NewWriter(&zeros)
	_, err := w.Write(make([]byte, 64<<20))
	must(t, err)
	must(t, w.Close())
	blob := slices.Concat(head.Bytes(), bytes.Repeat(zeros.Bytes(), size>>26)) // gzip's members are one stream
	return imageOf(t, static.NewLayer(blob, types.OCILayer))
}

// millionFiles is an image of a million files, all of them small.
func millionFiles(t *testing.T) v1.Image {
	return imageOf(t, layerOf(t, func(w *tar.Writer) {
		for i := range 1_000_000 {
			must(t, w.WriteHeader(&tar.Header{Name: fmt.Sprintf("srv/%03x/file-%d", i/1000, i), Mode: 0o644}))
		}
	}))
}

func absurdConfig(t *testing.T) v1.Image {
	img := imageOf(t, layerOf(t, func(w *tar.Writer) { file(t, w, "etc/os-release", "ID=debian\n") }))
	config, err := img.ConfigFile()
	must(t, err)
	config = config.DeepCopy()
	config.Author = strings.Repeat("x", 8<<20)
	img, err = mutate.ConfigFile(img, config)
	must(t, err)
	return img
}

func absurdVersion(t *testing.T) v1.Image {
	return imageOf(t, layerOf(t, func(w *tar.Writer) {
		file(t, w, "etc/os-release", "ID=debian\nVERSION_ID=12\n")
		file(t, w, "var/lib/dpkg/status", "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: "+strings.Repeat("1:", 4<<20)+"\n\n")
	}))
}

// outside is where strangePaths leads.
var outside = []string{"/etc/rebuilder-was-here", "/tmp/rebuilder-was-here"}

func strangePaths(t *testing.T) v1.Image {
	return imageOf(t, layerOf(t, func(w *tar.Writer) {
		for _, p := range []string{"../../../../../../etc/rebuilder-was-here", "/etc/../../etc/rebuilder-was-here", "a/./b//c"} {
			file(t, w, p, "x")
		}
		must(t, w.WriteHeader(&tar.Header{Name: "out", Typeflag: tar.TypeSymlink, Linkname: "../../../../../../tmp"}))
		file(t, w, "out/rebuilder-was-here", "x")
	}))
}

func file(t *testing.T, w *tar.Writer, name, content string) {
	must(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}))
	_, err := io.WriteString(w, content)
	must(t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// packed is a layer whose uncompressed digest is known.
type packed struct {
	v1.Layer
	diffID v1.Hash
}

func (p packed) DiffID() (v1.Hash, error) { return p.diffID, nil }

func layerOf(t *testing.T, fill func(*tar.Writer)) v1.Layer {
	t.Helper()
	var blob bytes.Buffer
	w, err := gzip.NewWriterLevel(&blob, gzip.BestSpeed)
	must(t, err)
	sum := sha256.New()
	tw := tar.NewWriter(io.MultiWriter(w, sum))
	fill(tw)
	must(t, tw.Close())
	must(t, w.Close())
	return packed{static.NewLayer(blob.Bytes(), types.OCILayer), hashOf(sum)}
}

func hashOf(sum hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}
}

func imageOf(t *testing.T, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: v1.RootFS{Type: "layers"}})
	must(t, err)
	img, err = mutate.AppendLayers(img, layers...)
	must(t, err)
	return img
}

// push pushes an image and returns its reference.
func (s *setup) push(to string, img v1.Image) string {
	s.t.Helper()
	ref, err := name.NewTag(s.RegistryHost + "/" + to)
	must(s.t, err)
	must(s.t, remote.Write(ref, img))
	return ref.String()
}

// fetched notes from now on which parts of the hostile images are fetched.
func (s *setup) fetched() func() []string {
	var mu sync.Mutex
	var blobs []string
	f := func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v2/hostile/") && strings.Contains(r.URL.Path, "/blobs/") {
			mu.Lock()
			defer mu.Unlock()
			blobs = append(blobs, r.URL.Path)
		}
		return false
	}
	s.writes.registry.Store(&f)
	return func() []string {
		s.writes.registry.Store(nil)
		mu.Lock()
		defer mu.Unlock()
		return blobs
	}
}

// peak is the most memory that the process has had, in MiB.
func (d *daemon) peak(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	must(t, err)
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			must(t, err)
			return kib >> 10
		}
	}
	t.Fatal("nobody says how much memory it took")
	return 0
}
