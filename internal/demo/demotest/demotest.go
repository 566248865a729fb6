// Package demotest helps tests that use the demo's world or its parts.
package demotest

import (
	"os"
	"path/filepath"
	"testing"
)

// Cache is the directory that keeps what the demo downloads and packs: $REBUILDER_CACHE, or .cache/demo at the top of the
// repository. Tests share it with `make demo`.
func Cache(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("REBUILDER_CACHE"); dir != "" {
		return dir
	}
	return filepath.Join(Top(t), ".cache", "demo")
}

// Top is the top of the repository: where go.mod is.
func Top(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}
