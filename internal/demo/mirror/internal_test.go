package mirror

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseTargets(t *testing.T) {
	out := `bookworm|stable|main|http://mirror.example/debian/
bookworm|stable|contrib|http://mirror.example/debian/
bookworm|stable|main|http://mirror.example/debian/
bookworm-updates|stable-updates|main|http://mirror.example/debian/
bookworm-security|stable-security|main|https://user:word@security.example:8443/debian-security/
nodistro|nodistro|main|https://other.example/node/
$(CODENAME)|bookworm|main|http://unfetched.example/debian/
`
	s := parseTargets([]byte(out), "bookworm")
	if want := []Source{{"http://mirror.example/debian/", "stable"}}; !slices.Equal(s.Main, want) {
		t.Errorf("main %v", s.Main)
	}
	if len(s.Security) != 1 || s.Security[0].Suite != "stable-security" {
		t.Errorf("security %v", s.Security)
	}
	if want := []string{"mirror.example", "security.example"}; !slices.Equal(s.Hosts(), want) {
		t.Errorf("hosts %v", s.Hosts())
	}
}

func TestCodenameRefusesAnotherDistribution(t *testing.T) {
	file := filepath.Join(t.TempDir(), "os-release")
	for content, want := range map[string]string{
		"ID=debian\nVERSION_CODENAME=trixie\n":                        "trixie",
		"ID=fedora\nPRETTY_NAME=\"Fedora Linux 44\"\n":                "",
		"ID=ubuntu\nVERSION_CODENAME=noble\nPRETTY_NAME=\"Ubuntu\"\n": "",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := codename(file)
		if got != want || (want == "") != (err != nil) {
			t.Errorf("%q: got %q, %v", content, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), "needs Debian") {
			t.Errorf("error %v", err)
		}
	}
}

func TestNewer(t *testing.T) {
	installed := stanzas(t, `Package: libssl3
Source: openssl
Status: install ok installed
Version: 3.0.20-1~deb12u2
Architecture: amd64

Package: openssl
Status: install ok installed
Version: 3.0.20-1~deb12u2
Architecture: amd64

Package: apt
Status: install ok installed
Version: 2.6.1
Architecture: amd64

Package: removed
Status: deinstall ok config-files
Version: 1
Architecture: amd64

Package: current
Status: install ok installed
Version: 1.10
Architecture: amd64
`)
	offered := stanzas(t, `Package: libssl3
Source: openssl
Version: 3.0.21-1~deb12u1
Architecture: amd64

Package: libssl3
Source: openssl (3.0.22-1)
Version: 3.0.22-1~deb12u2
Architecture: amd64

Package: openssl
Version: 3.0.22-1~deb12u2
Architecture: amd64

Package: apt
Version: 2.6.2
Architecture: amd64

Package: removed
Version: 2
Architecture: amd64

Package: current
Version: 1.9
Architecture: amd64

Package: not-installed
Version: 1
Architecture: amd64
`)
	var got []string
	for _, u := range newer(installed, offered) {
		for _, p := range u.Packages {
			got = append(got, u.Source+": "+p.Name+" "+p.From+" -> "+p.To)
		}
	}
	want := []string{
		"openssl: libssl3 3.0.20-1~deb12u2 -> 3.0.22-1~deb12u2",
		"openssl: openssl 3.0.20-1~deb12u2 -> 3.0.22-1~deb12u2",
		"apt: apt 2.6.1 -> 2.6.2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestScrub(t *testing.T) {
	const status = "Package: apt\nStatus: install ok installed\nVersion: 1\n"
	in := tarFile(t, map[string]string{
		"./":                              "",
		"./etc/apt/sources.list":          "deb http://mirror.example/debian bookworm main",
		"./etc/apt/sources.list.d/":       "",
		"./etc/apt/sources.list.d/x.list": "deb http://mirror.example/debian bookworm main",
		"./etc/hostname":                  "builder-17",
		"./etc/passwd":                    "root:x:0:0::/root:/bin/bash\n",
		"./var/lib/apt/lists/":            "",
		"./var/lib/apt/lists/mirror.example_debian_dists_InRelease": "x",
		"./var/lib/dpkg/status":        status,
		"./var/lib/dpkg/status-old":    status,
		"./var/cache/apt/pkgcache.bin": "x",
		"./var/log/dpkg.log":           "x",
		"./dev/":                       "",
		"./dev/null":                   "",
	})
	statusFile := filepath.Join(t.TempDir(), "status")
	var out bytes.Buffer
	if err := scrub(&out, in, statusFile); err != nil {
		t.Fatal(err)
	}
	want := []string{"dev/", "etc/apt/sources.list.d/", "etc/passwd", "var/lib/apt/lists/", "var/lib/dpkg/status"}
	if got := names(t, &out); !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	if data, err := os.ReadFile(statusFile); err != nil || string(data) != status {
		t.Errorf("status %q, %v", data, err)
	}
	if err := scrub(io.Discard, tarFile(t, map[string]string{"./etc/passwd": ""}), statusFile); err == nil {
		t.Error("a root file system without packages was taken")
	}
}

func TestLockEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lock(ctx, path); !errors.Is(err, ctx.Err()) {
		t.Errorf("error %v", err)
	}
	unlock()
	again, err := lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func stanzas(t *testing.T, text string) []stanza {
	t.Helper()
	file := filepath.Join(t.TempDir(), "Packages")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := readStanzas(file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tarFile(t *testing.T, files map[string]string) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	sorted := make([]string, 0, len(files))
	for name := range files {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}
		if strings.HasSuffix(name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func names(t *testing.T, r io.Reader) []string {
	t.Helper()
	var all []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h.Name)
	}
}
