package observe

import (
	"strings"
	"testing"

	"rebuilder/internal/inventory"
)

// Libraries are in no package repository: they are neither missed there nor taken for watched.
func TestUnwatchedLibraries(t *testing.T) {
	deb := inventory.Package{Type: inventory.Deb, Name: "a", Version: "1"}
	lib := inventory.Package{Type: inventory.Golang, Name: "stdlib", Version: "v1.22.0", Path: "/app"}
	repositories := []inventory.Repository{{Type: inventory.Deb}}
	for name, c := range map[string]struct {
		inv  inventory.Inventory
		want string
	}{
		"packages":               {inventory.Inventory{Packages: []inventory.Package{deb}, Repositories: repositories}, ""},
		"packages and libraries": {inventory.Inventory{Packages: []inventory.Package{deb, lib}, Repositories: repositories}, ""},
		"libraries alone":        {inventory.Inventory{Packages: []inventory.Package{lib}}, "newer versions of its 1 libraries are not noticed"},
		"packages from nowhere":  {inventory.Inventory{Packages: []inventory.Package{deb, lib}}, "the image names none for its 1 packages of type deb"},
	} {
		if got := strings.Join(unwatched(&c.inv), "; "); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
