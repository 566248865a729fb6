package mirror_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"rebuilder/internal/demo/demotest"
	"rebuilder/internal/demo/mirror"
)

func TestContentsAreRealAndTellNothingOfTheMachine(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a root file system")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to make a root file system")
	}
	sources, err := mirror.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(sources.Hosts()) == 0 {
		t.Fatal("the sources name no host")
	}
	c, err := mirror.Fetch(t.Context(), sources, mirror.Config{
		Cache:    demotest.Cache(t),
		Install:  []string{"python3-minimal", "nginx-light"},
		Progress: func(s string) { t.Log(s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/python3-minimal_", "/python3.11-minimal_", "/nginx-light_"} {
		if want == "/python3.11-minimal_" && sources.Codename != "bookworm" {
			continue
		}
		if !contains(c.Packages, want) {
			t.Errorf("no package %s among %d", want, len(c.Packages))
		}
	}
	if u := c.Update; u != nil {
		t.Logf("update of %s: %v", u.Source, u.Packages)
		if len(u.Debs) != len(u.Packages) || len(u.Packages) == 0 {
			t.Errorf("%d packages and %d files", len(u.Packages), len(u.Debs))
		}
	} else {
		t.Log("the security suite has no update for the root file system")
	}
	checkScrubbed(t, c, sources.Hosts())
}

// checkScrubbed looks for the sources' host names in every file, in every name, and for what only this machine has. Files
// that a package brings are the same everywhere and may name a mirror.
func checkScrubbed(t *testing.T, c *mirror.Contents, hosts []string) {
	t.Helper()
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	files := readTar(t, c.RootFS)
	packaged := map[string]bool{}
	for name, data := range files {
		if path.Ext(name) == ".list" && strings.HasPrefix(name, "var/lib/dpkg/info/") {
			for line := range strings.Lines(string(data)) {
				packaged[strings.TrimPrefix(strings.TrimSpace(line), "/")] = true
				packaged["usr"+strings.TrimSpace(line)] = true // merged /usr
			}
		}
	}
	for name, data := range files {
		for _, host := range hosts {
			if strings.Contains(name, host) {
				t.Errorf("%s has the name of the mirror", name)
			}
			if !packaged[name] && bytes.Contains(data, []byte(host)) {
				t.Errorf("%s contains the name of the mirror", name)
			}
		}
		if name == "etc/hosts" && bytes.Contains(data, []byte(machine)) {
			t.Errorf("%s contains the machine's name", name)
		}
	}
	for _, name := range []string{"etc/apt/sources.list", "etc/hostname", "etc/resolv.conf", "etc/machine-id"} {
		if _, ok := files[name]; ok {
			t.Errorf("%s is there", name)
		}
	}
	for _, name := range []string{"usr/bin/apt-get", "usr/bin/openssl", "var/lib/dpkg/status", "etc/ssl/certs/ca-certificates.crt"} {
		if _, ok := files[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
}

func readTar(t *testing.T, file string) map[string][]byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	zr, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = data
	}
}

func contains(list []string, part string) bool {
	for _, s := range list {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}
