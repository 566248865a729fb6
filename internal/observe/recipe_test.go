package observe_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWhatChangesARecipe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(w *world)
		want   bool
	}{
		{"nothing", func(*world) {}, false},
		{"a file's time", func(w *world) {
			if err := os.Chtimes(filepath.Join(w.dir, "debian/run.sh"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
				w.t.Fatal(err)
			}
		}, false},
		{"a comment in the Dockerfile", func(w *world) { w.write("debian/Dockerfile", "FROM HOST/upstream/debian:12\n# why\n") }, true},
		{"a file", func(w *world) { w.write("debian/run.sh", "exit 1") }, true},
		{"a new file", func(w *world) { w.write("debian/sub/new", "") }, true},
		{"a file's name", func(w *world) {
			if err := os.Rename(filepath.Join(w.dir, "debian/run.sh"), filepath.Join(w.dir, "debian/go.sh")); err != nil {
				w.t.Fatal(err)
			}
		}, true},
		{"a file's mode", func(w *world) {
			if err := os.Chmod(filepath.Join(w.dir, "debian/run.sh"), 0o755); err != nil {
				w.t.Fatal(err)
			}
		}, true},
		{"where a link points to", func(w *world) {
			link := filepath.Join(w.dir, "debian/link")
			if err := os.Remove(link); err != nil {
				w.t.Fatal(err)
			}
			if err := os.Symlink("sub/elsewhere", link); err != nil {
				w.t.Fatal(err)
			}
		}, true},
		{"an ignored file", func(w *world) { w.write("debian/notes.md", "more") }, false},
		{"a file in an ignored directory", func(w *world) { w.write("debian/.git/HEAD", "more") }, false},
		{"a file that is kept in an ignored directory", func(w *world) { w.write("debian/.git/keep", "more") }, true},
		{"a Dockerfile's own .dockerignore wins", func(w *world) { w.write("debian/Dockerfile.dockerignore", "# everything\n") }, true},
		{"a build argument", func(w *world) { w.args = `args = { A = "2" }` }, true},
		{"a label", func(w *world) { w.args += "\nlabels = { a = \"b\" }" }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("debian/Dockerfile", "FROM HOST/upstream/debian:12\n")
			w.write("debian/run.sh", "exit 0")
			w.write("debian/sub/file", "")
			w.write("debian/notes.md", "")
			w.write("debian/.git/HEAD", "")
			w.write("debian/.git/keep", "")
			w.write("debian/.dockerignore", "*.md\n.git\n!.git/keep\n")
			if err := os.Symlink("sub/file", filepath.Join(w.dir, "debian/link")); err != nil {
				t.Fatal(err)
			}
			// The context is a link itself: what is behind it counts.
			if err := os.Symlink("debian", filepath.Join(w.dir, "linked")); err != nil {
				t.Fatal(err)
			}
			w.args = `args = { A = "1" }`
			before := w.recipe()
			c.change(w)
			if got := w.recipe() != before; got != c.want {
				t.Errorf("changed: %v, want %v", got, c.want)
			}
		})
	}
}

func (w *world) recipe() string {
	w.t.Helper()
	c := w.catalog("[[upstream]]\nname = \"upstream/debian\"\nimage = \"HOST/upstream/debian:12\"\n[[base]]\nname = \"base/debian\"\ncontext = \"linked\"\n" + w.args + "\n")
	b := w.look(c).Facts.Bases["base/debian"]
	if b.Problem != "" || !strings.ContainsAny(b.Recipe, "0123456789abcdef") {
		w.t.Fatalf("recipe %q: %s", b.Recipe, b.Problem)
	}
	return b.Recipe
}

func TestLineage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("debian/Dockerfile", "FROM HOST/upstream/debian:12\n")
	w.write("python/Dockerfile", "FROM HOST/base/debian:stable AS build\nFROM HOST/base/debian:stable\nCOPY --from=build / /\n")
	w.write("gone/Dockerfile", "FROM scratch\n")
	c := w.catalog(twoBases + `
[[base]]
name = "base/gone"
context = "gone"
`)
	if err := os.Remove(filepath.Join(w.dir, "gone", "Dockerfile")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"base/python":     "upstream/debian base/debian base/python",
		"base/debian":     "upstream/debian base/debian",
		"upstream/debian": "upstream/debian",
		"base/gone":       "", // its recipe cannot be read
	} {
		if got := strings.Join(w.obs.Lineage(c, name), " "); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
