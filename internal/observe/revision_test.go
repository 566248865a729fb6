package observe

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestRevision(t *testing.T) {
	if got := revision(t.Context(), t.TempDir()); got != "" {
		t.Errorf("no work tree: %q", got)
	}
	if got := revision(t.Context(), filepath.Join(t.TempDir(), "none")); got != "" {
		t.Errorf("no directory: %q", got)
	}
	root := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=Ada \x1b[31mLovelace"+strings.Repeat("e", 100), "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=c", "GIT_COMMITTER_EMAIL=c@example.com")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	write := func(name, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	debian := filepath.Join(root, "bases/debian")
	run("init", "-q")
	write("bases/debian/Dockerfile", "FROM debian:12\n")
	if got := revision(t.Context(), debian); got != "" {
		t.Errorf("nothing is committed: %q", got)
	}
	run("add", ".")
	run("commit", "-q", "-m", "one")
	first := revision(t.Context(), debian)
	if !regexp.MustCompile(`^commit [0-9a-f]{7,} by Ada \[31mLovelacee+…$`).MatchString(first) {
		t.Errorf("%q", first)
	}
	write("bases/python/Dockerfile", "FROM debian:12\n")
	run("add", ".")
	run("commit", "-q", "-m", "two")
	if got := revision(t.Context(), debian); got != first {
		t.Errorf("a commit beside it: %q, want %q", got, first)
	}
	write("bases/debian/Dockerfile", "FROM debian:13\n")
	if got := revision(t.Context(), debian); got != first+", and changes that are not committed" {
		t.Errorf("%q", got)
	}
}
