package watch

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"rebuilder/internal/inventory"
)

// What dnf itself would upgrade in a root is what we find in an image of it: its own database, its own configuration, two
// repositories.
func TestSameAsDNF(t *testing.T) {
	if testing.Short() {
		t.Skip("dnf is asked twenty times, some seconds in all")
	}
	if _, err := exec.LookPath("dnf"); err != nil {
		t.Fatal("dnf is needed for this test: apt-get install dnf")
	}
	w := newRPMWorld(t)
	const stream = "---\ndocument: modulemd\nversion: 2\ndata:\n  name: suite\n  stream: %s\n  version: 1\n  context: c0ffee\n  arch: x86_64\n  summary: s\n  description: d\n" +
		"  license: {module: [MIT]}\n  artifacts: {rpms: [\"lib-0:%s-1.x86_64\"]}\n...\n"
	modules := replaced(stream, "one", "1.1~rc1") + replaced(stream, "two", "1.1")
	defaults := modules + "---\ndocument: modulemd-defaults\nversion: 1\ndata:\n  module: suite\n  stream: one\n...\n"
	for _, c := range []struct {
		name    string
		r, s    rpmSuite
		inR     []string
		inS     []string
		options [2]string // of the repositories r and s
		files   map[string]string
	}{
		{name: "the highest", inR: []string{"lib 1.0", "lib 1.1~rc1", "lib 1.1", "data 1.1", "tool 1.1~rc1"}, inS: []string{"tool 1.1"}},
		{name: "nothing new", inR: []string{"lib 1.0"}, inS: []string{"data 1.0"}},
		{name: "priority", inR: []string{"lib 1.1", "data 1.1"}, inS: []string{"lib 1.1~rc1", "tool 1.1"}, options: [2]string{"", "priority=10"}},
		{name: "priority without anything newer", inR: []string{"lib 1.1"}, inS: []string{"lib 1.0"}, options: [2]string{"", "priority=10"}},
		{name: "excluded", inR: []string{"lib 1.1", "data 1.1", "tool 1.1"}, inS: []string{"lib 1.1~rc1"}, files: map[string]string{"etc/dnf/dnf.conf": "[main]\nexcludepkgs=data, too?\n"}},
		{name: "excluded versions", inR: []string{"lib 1.1", "tool 1.1", "tool 1.1~rc1", "data 1.1"}, inS: []string{"lib 1.1~rc1"},
			files: map[string]string{"etc/dnf/dnf.conf": "[main]\nexclude=lib-1.1\n  tool-2:1.1-1.* data.noarch\n"}},
		{name: "excluded of one repository", inR: []string{"lib 1.1", "data 1.1"}, inS: []string{"lib 1.1~rc1"}, options: [2]string{"exclude=lib", ""}},
		{name: "excluded of the first by priority", inR: []string{"lib 1.1"}, inS: []string{"lib 1.1~rc1"}, options: [2]string{"", "priority=10\nexclude=lib"}},
		{name: "included", inR: []string{"lib 1.1", "data 1.1"}, inS: []string{"tool 1.1"}, options: [2]string{"includepkgs=li*", ""}},
		{name: "included of all and of one", inR: []string{"lib 1.1", "data 1.1"}, inS: []string{"tool 1.1"}, options: [2]string{"includepkgs=lib data", ""}, files: map[string]string{"etc/dnf/dnf.conf": "[main]\nincludepkgs=lib tool\n"}},
		{name: "disabled", inR: []string{"lib 1.1"}, inS: []string{"tool 1.1"}, options: [2]string{"enabled=0", ""}},
		{name: "no stream", r: rpmSuite{modules: modules}, inR: []string{"lib 1.1~rc1", "lib 1.1", "tool 1.1"}, inS: []string{"data 1.1"}},
		{name: "no stream and another repository", r: rpmSuite{modules: modules}, inR: []string{"lib 1.1~rc1", "tool 1.1"}, inS: []string{"lib 1.1"}},
		{name: "enabled stream", r: rpmSuite{modules: modules}, inR: []string{"lib 1.1~rc1", "lib 1.1"}, inS: []string{"data 1.1"}, files: map[string]string{"etc/dnf/modules.d/suite.module": "[suite]\nname=suite\nstream=one\nstate=enabled\nprofiles=\n"}},
		{name: "default stream", r: rpmSuite{modules: defaults}, inR: []string{"lib 1.1~rc1", "lib 1.1"}, inS: []string{"data 1.1"}},
		{name: "disabled module", r: rpmSuite{modules: defaults}, inR: []string{"lib 1.1~rc1"}, inS: []string{"data 1.1"}, files: map[string]string{"etc/dnf/modules.d/suite.module": "[suite]\nname=suite\nstream=\nstate=disabled\nprofiles=\n"}},
		{name: "modules hide", r: rpmSuite{modules: strings.ReplaceAll(modules, "1.1-1", "9-1")}, inR: []string{"lib 1.1~rc1"}, inS: []string{"lib 1.1"}, files: map[string]string{"etc/dnf/modules.d/suite.module": "[suite]\nname=suite\nstream=one\nstate=enabled\nprofiles=\n"}},
		{name: "modules do not hide hot fixes", r: rpmSuite{modules: strings.ReplaceAll(modules, "1.1-1", "9-1")}, inR: []string{"lib 1.1~rc1"}, inS: []string{"lib 1.1"}, options: [2]string{"", "module_hotfixes=1"},
			files: map[string]string{"etc/dnf/modules.d/suite.module": "[suite]\nname=suite\nstream=one\nstate=enabled\nprofiles=\n"}},
		{name: "variables", inR: []string{"lib 1.1"}, inS: []string{"data 1.1"}, options: [2]string{"excludepkgs=none", "baseurl=" + w.uri + "/$letter"}, files: map[string]string{"etc/dnf/vars/letter": "s\n"}},
		{name: "several lines", inR: []string{"lib 1.1"}, inS: []string{"data 1.1"}, options: [2]string{"exclude=tool\n        lib\n  data", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.later(1)
			c.r.at, c.s.at = "r", "s"
			w.publishRPM(c.r, c.inR...)
			w.publishRPM(c.s, c.inS...)
			root := w.dnfRoot(t, "lib 1.0", "data 1.0", "tool 1.0")
			files := map[string]string{"etc/dnf/dnf.conf": "[main]\n", "etc/os-release": "ID=rocky\nVERSION_ID=9.4\n",
				"etc/yum.repos.d/r.repo": "[r]\nname=r\nbaseurl=" + w.uri + "/r\ngpgcheck=0\n" + c.options[0] + "\n",
				"etc/yum.repos.d/s.repo": "[s]\nname=s\nbaseurl=" + w.uri + "/s\ngpgcheck=0\n" + c.options[1] + "\n"}
			for name, content := range c.files {
				files[name] = content
			}
			for name, content := range files {
				w.write(filepath.Join(root, name), []byte(content))
			}
			inv, err := inventory.Read(t.Context(), imageOfRoot(t, root), "linux/amd64")
			if err != nil {
				t.Fatal(err)
			}
			round, err := w.watcher(t.TempDir()).Round(t.Context(), inv)
			if err != nil {
				t.Fatal(err)
			}
			if errs := round.Errors(inv); len(errs) > 0 || len(inv.Unknown) > 0 {
				t.Fatalf("errors %v, unknown %v", errs, inv.Unknown)
			}
			var got []string
			for _, p := range round.Patches(inv) {
				if !p.Held {
					got = append(got, p.Package+"."+p.Architecture+" "+p.To+" "+strings.TrimSpace(p.Repository[len(w.uri)+1:]))
				}
			}
			if want := checkUpdate(t, root); !slices.Equal(got, want) {
				t.Errorf("got  %q\ndnf: %q", got, want)
			}
		})
	}
}

func replaced(text, name, version string) string {
	return strings.Replace(strings.Replace(text, "%s", name, 1), "%s", version, 1)
}

// dnfRoot is a directory with a package database that rpm wrote.
func (w *world) dnfRoot(t *testing.T, pkgs ...string) string {
	t.Helper()
	pool, err := rpmPool()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	args := []string{"--root", root, "--define", "_dbpath /var/lib/rpm", "--nodeps", "--justdb", "-i"}
	for _, p := range pkgs {
		name, version, _ := strings.Cut(p, " ")
		found, _ := filepath.Glob(filepath.Join(pool, "*", name+"-"+version+"-1.*.rpm"))
		args = append(args, found...)
	}
	w.run(root, "rpm", args...)
	return root
}

// checkUpdate asks dnf what it would upgrade: "name.arch version repository", by name.
func checkUpdate(t *testing.T, root string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "dnf", "--installroot", root, "--config", filepath.Join(root, "etc/dnf/dnf.conf"), "--quiet", "--noplugins",
		"--setopt=reposdir="+filepath.Join(root, "etc/yum.repos.d"), "--setopt=varsdir="+filepath.Join(root, "etc/dnf/vars"), "--setopt=cachedir="+filepath.Join(root, "cache"),
		"--setopt=module_platform_id=platform:el9", "--releasever=9", "--forcearch=x86_64", "check-update")
	home := t.TempDir() // Debian's rpm has its database elsewhere
	if err := os.WriteFile(filepath.Join(home, ".rpmmacros"), []byte("%_dbpath /var/lib/rpm\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "HOME="+home)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if exit, is := err.(*exec.ExitError); err != nil && (!is || exit.ExitCode() != 100) { // 100: there are some
		t.Fatalf("dnf: %v: %s", err, stderr.String())
	}
	var all []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 3 {
			all = append(all, strings.Join(f, " "))
		}
	}
	slices.Sort(all)
	return all
}

// imageOfRoot is an image of one layer.
func imageOfRoot(t *testing.T, root string) v1.Image {
	t.Helper()
	var b bytes.Buffer
	archive := tar.NewWriter(&b)
	if err := archive.AddFS(os.DirFS(root)); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}
