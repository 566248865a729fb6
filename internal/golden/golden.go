// Package golden compares what a test got with a file beside it. It is for tests only.
package golden

import (
	"flag"
	"os"
	"testing"
)

// Flags are defined when the package is loaded: go test parses them before the first test runs.
var update = flag.Bool("update", false, "write the golden files anew")

// Compare fails the test when the file does not hold got. With -update it writes the file first: read the difference
// before it is committed.
func Compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil { // #nosec G306 -- a file of the repository
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it anew); got\n%s\nwant\n%s", file, got, want)
	}
}
