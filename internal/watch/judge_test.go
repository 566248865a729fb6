package watch

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"rebuilder/internal/inventory"
)

// judge is apt itself, in a root directory of its own: it says what it would install there.
type judge struct {
	t    *testing.T
	root string
}

func newJudge(t *testing.T) *judge {
	t.Helper()
	j := &judge{t, t.TempDir()}
	for _, d := range []string{"etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/sources.list.d", "etc/apt/trusted.gpg.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg"} {
		if err := os.MkdirAll(filepath.Join(j.root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

func (j *judge) write(at, text string) {
	j.t.Helper()
	at = filepath.Join(j.root, at)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		j.t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
		j.t.Fatal(err)
	}
}

func (j *judge) apt(args ...string) (string, error) {
	j.t.Helper()
	tool := args[0]
	args = append([]string{"-o", "Dir=" + j.root, "-o", "Dir::Bin::methods=/usr/lib/apt/methods", "-o", "Dir::State::status=" + filepath.Join(j.root, "var/lib/dpkg/status"),
		"-o", "APT::Sandbox::User=root", "-o", "APT::Architecture=amd64", "-o", "APT::Architectures=amd64", "-o", "Acquire::Languages=none", "-o", "Acquire::Check-Date=false", "-o", "Acquire::Retries=0"}, args[1:]...)
	cmd := exec.CommandContext(j.t.Context(), tool, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s%s", tool, strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out), err
}

// candidates are the versions that apt would have of installed packages, by name; what is installed where it would have
// none.
func (j *judge) candidates(names []string) map[string]string {
	j.t.Helper()
	out, err := j.apt(append([]string{"apt-cache", "policy"}, names...)...)
	if err != nil {
		j.t.Fatal(err)
	}
	found, name, installed := map[string]string{}, "", ""
	for line := range strings.Lines(out) {
		switch field, value, _ := strings.Cut(strings.TrimSpace(line), ": "); {
		case !strings.HasPrefix(line, " "):
			name = strings.TrimSuffix(strings.TrimSpace(line), ":")
		case field == "Installed":
			installed = value
		case field == "Candidate" && value == "(none)":
			found[name] = installed
		case field == "Candidate":
			found[name] = value
		}
	}
	return found
}

// inventory reads the root as the only layer of an image.
func (j *judge) inventory() *inventory.Inventory {
	j.t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := filepath.WalkDir(j.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.Contains(path, "/var/lib/apt/") || strings.Contains(path, "/var/cache/") {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		content = bytes.ReplaceAll(content, []byte(j.root), nil) // keys are named as in the image
		rel, err := filepath.Rel(j.root, path)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: filepath.ToSlash(rel), Mode: 0o644, Size: int64(len(content))}); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err != nil {
		j.t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		j.t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		j.t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		j.t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		j.t.Fatal(err)
	}
	inv, err := inventory.Read(j.t.Context(), img, "linux/amd64")
	if err != nil {
		j.t.Fatal(err)
	}
	return inv
}

// ours are the versions that we say apt would have, by name: held ones stay.
func ours(inv *inventory.Inventory, patches []Patch) map[string]string {
	found := map[string]string{}
	for _, p := range inv.Packages {
		found[p.Name] = p.Version
	}
	for _, p := range patches {
		if !p.Held {
			found[p.Package] = p.To
		}
	}
	return found
}

// What an image's preferences choose is what apt chooses by them.
func TestPinsAreApts(t *testing.T) {
	w := newWorld(t)
	w.publish(suite{name: "stable", fields: map[string]string{"Codename": "stone", "Version": "12.15"}}, "plain 1.1", "libpinned 2.0", "libother 2.0", "kept 5", "locked 3", "sourced 1.1 amd64 origin")
	w.publish(suite{name: "backports", fields: map[string]string{"NotAutomatic": "yes", "ButAutomaticUpgrades": "yes"}}, "plain 1.2", "libpinned 2.2", "libother 2.2", "kept 6", "sourced 1.2 amd64 origin")
	w.publish(suite{name: "experimental", fields: map[string]string{"NotAutomatic": "yes", "Origin": "Lab"}}, "plain 9", "libpinned 9", "libother 9", "kept 9", "locked 9")
	installed := map[string]string{"plain": "1.0", "libpinned": "1.0", "libother": "1.0", "kept": "4", "locked": "2", "sourced": "1.0"}
	j := newJudge(t)
	key := filepath.Join(j.root, "usr/share/keyrings/test.gpg")
	j.write("usr/share/keyrings/test.gpg", string(public(t, w.key)))
	var status, sources strings.Builder
	for _, p := range slices.Sorted(maps.Keys(installed)) {
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: %s\nMaintainer: x\nDescription: x\n", p, installed[p])
		if p == "sourced" {
			status.WriteString("Source: origin\n")
		}
		status.WriteString("\n")
	}
	for _, s := range []string{"stable", "backports", "experimental"} {
		fmt.Fprintf(&sources, "deb [signed-by=%s] %s %s main\n", key, w.uri, s)
	}
	j.write("var/lib/dpkg/status", status.String())
	j.write("etc/apt/sources.list", sources.String())
	if _, err := j.apt("apt-get", "update"); err != nil {
		t.Fatal(err)
	}
	watcher := w.watcher(t.TempDir())
	for name, pins := range map[string]string{
		"none":                         "",
		"a newer suite for one":        "Package: plain\nPin: release a=backports\nPin-Priority: 600\n",
		"a pattern":                    "Package: lib*\nPin: release a=backports\nPin-Priority: 990\n",
		"a version":                    "Package: libpinned\nPin: version 2.0*\nPin-Priority: 990\n\nPackage: locked\nPin: version 2\nPin-Priority: 990\n",
		"never":                        "Package: plain kept\nPin: release *\nPin-Priority: -1\n",
		"what is installed, for ever":  "Package: kept\nPin: release a=now\nPin-Priority: 900\n",
		"all of one suite":             "Package: *\nPin: release n=stone\nPin-Priority: 50\n",
		"all of one, one of another":   "Package: *\nPin: release a=experimental\nPin-Priority: 800\n\nPackage: locked\nPin: release a=stable\nPin-Priority: 900\n",
		"by origin":                    "Package: *\nPin: release o=Lab\nPin-Priority: 700\n",
		"by host":                      "Package: *\nPin: origin \"127.0.0.1\"\nPin-Priority: 90\n",
		"another host":                 "Package: *\nPin: origin \"packages.example.com\"\nPin-Priority: 1\n",
		"by component":                 "Package: plain\nPin: release c=main, a=experimental\nPin-Priority: 600\n",
		"by version of the release":    "Package: *\nPin: release v=12.15\nPin-Priority: 20\n",
		"by source":                    "Package: src:origin\nPin: release a=backports\nPin-Priority: 900\n",
		"a regular expression":         "Package: /^lib(pinned|none)$/\nPin: release a=experimental\nPin-Priority: 900\n",
		"a word":                       "Package: plain\nPin: release stone\nPin-Priority: 10\n",
		"the first of two wins":        "Package: plain\nPin: release a=stable\nPin-Priority: 10\n\nPackage: plain\nPin: release a=stable\nPin-Priority: 900\n",
		"the first of two for all":     "Package: *\nPin: release a=stable\nPin-Priority: 10\n\nPackage: *\nPin: release a=stable\nPin-Priority: 900\n",
		"one's own before all's":       "Package: *\nPin: release a=stable\nPin-Priority: 10\n\nPackage: plain\nPin: release a=stable\nPin-Priority: 500\n",
		"what does not exist":          "Package: plain\nPin: release a=nothing\nPin-Priority: 900\n",
		"a downgrade that we never do": "Package: kept\nPin: version 1\nPin-Priority: 1001\n",
	} {
		t.Run(name, func(t *testing.T) {
			j.t = t
			j.write("etc/apt/preferences", pins)
			want := j.candidates(slices.Collect(maps.Keys(installed)))
			inv := j.inventory()
			snap, err := watcher.Round(t.Context(), inv)
			if err != nil || len(snap.Errors(inv)) > 0 {
				t.Fatal(err, snap.Errors(inv))
			}
			if got := ours(inv, snap.Patches(inv)); !maps.Equal(got, want) {
				t.Errorf("we choose  %v\napt chooses %v", got, want)
			}
		})
	}
}

// The machine's own sources, keys and packages, read from where its apt reads them, give the candidates that its apt has.
func TestMachinesOwnRepositories(t *testing.T) {
	if testing.Short() {
		t.Skip("it reads the machine's real package repositories")
	}
	j := newJudge(t)
	for _, pattern := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d/*", "/etc/apt/trusted.gpg.d/*", "/etc/apt/keyrings/*", "/etc/apt/preferences", "/etc/apt/preferences.d/*",
		"/usr/share/keyrings/*", "/etc/os-release", "/var/lib/dpkg/status"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if content, err := os.ReadFile(f); err == nil {
				j.write(f, string(content))
			}
		}
	}
	inv := j.inventory()
	if len(inv.Packages) < 50 || len(inv.Repositories) == 0 {
		t.Fatalf("%d packages, %d repositories: this test needs a Debian machine", len(inv.Packages), len(inv.Repositories))
	}
	watcher, err := New(Config{Dir: t.TempDir(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := watcher.Round(t.Context(), inv)
	if err != nil {
		t.Fatal(err)
	}
	read := snap.Indexes(inv)
	if len(read) == 0 {
		t.Fatal("no repository could be read:", snap.Errors(inv))
	}
	j.keep(read)
	if out, err := j.apt("apt-get", "update"); err != nil {
		t.Fatal(out, err)
	}
	var names []string
	for _, p := range inv.Packages {
		if p.Architecture != "all" && p.Architecture != "amd64" {
			continue
		}
		names = append(names, p.Name)
	}
	want, got := j.candidates(names), ours(inv, snap.Patches(inv))
	differ := 0
	for _, name := range names {
		if got[name] != want[name] {
			differ++
			t.Errorf("%s: we choose %s, apt %s", name, got[name], want[name])
		}
	}
	t.Logf("%d packages, %d of %d repositories read, %d patches, %d answers differ from apt's", len(names), len(read), len(inv.Repositories), len(snap.Patches(inv)), differ)
}

// keep leaves the judge the repositories that we read: what neither can reach is of no account.
func (j *judge) keep(indexes []*Index) {
	j.t.Helper()
	if err := os.RemoveAll(filepath.Join(j.root, "etc/apt/sources.list.d")); err != nil {
		j.t.Fatal(err)
	}
	var sources strings.Builder
	for i, ix := range indexes {
		r := ix.Repository
		ring := fmt.Sprintf("usr/share/keyrings/judge-%d", i)
		var paths []string
		for k, key := range r.Keys {
			name := fmt.Sprintf("%s-%d.gpg", ring, k)
			if bytes.HasPrefix(key, []byte("-----BEGIN")) {
				name = fmt.Sprintf("%s-%d.asc", ring, k)
			}
			j.write(name, string(key))
			paths = append(paths, filepath.Join(j.root, name))
		}
		fmt.Fprintf(&sources, "deb [signed-by=%s arch=%s] %s %s %s\n", strings.Join(paths, ","), strings.Join(r.Architectures, ","), r.URI, r.Suite, strings.Join(r.Components, " "))
	}
	j.write("etc/apt/sources.list", sources.String())
}
