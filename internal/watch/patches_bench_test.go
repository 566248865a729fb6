package watch

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"rebuilder/internal/inventory"
)

// A repository as large as Debian's main, and an image with a few hundred of its packages, one in a hundred out of date.
const (
	offered   = 64_000
	installed = 400
)

func BenchmarkPatches(b *testing.B) {
	var offers, have []string
	for i := range offered {
		offers = append(offers, fmt.Sprintf("package-%05d 1.%d-2+deb12u3", i, i))
	}
	for i := range installed {
		n, version := i*offered/installed, "1.%d-2+deb12u3"
		if i%100 == 0 {
			version = "1.%d-2+deb12u2"
		}
		have = append(have, fmt.Sprintf("package-%05d "+version, n, n))
	}
	indexes := []*Index{indexOf("stable", offers...), indexOf("updates"), indexOf("security")}
	inv := imageOf(nil, have...)
	for b.Loop() {
		if n := len(Patches(inv, indexes)); n != installed/100 {
			b.Fatalf("%d patches", n)
		}
	}
}

func BenchmarkReadPackages(b *testing.B) {
	file := packagesFile()
	wanted := func(name string) bool { return name[len(name)-2:] == "00" }
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		to := map[string][]offer{}
		if err := readPackages(bytes.NewReader(file), "main", wanted, func(name string, o offer) { to[name] = append(to[name], o) }); err != nil || len(to) != offered/100 {
			b.Fatalf("%d packages, %v", len(to), err)
		}
	}
}

// packagesFile offers all packages, in stanzas of a usual length.
func packagesFile() []byte {
	var file bytes.Buffer
	for i := range offered {
		fmt.Fprintf(&file, "Package: package-%05d\nVersion: 1.%d-2+deb12u3\nInstalled-Size: %d\nMaintainer: Nobody <nobody@example.com>\nArchitecture: amd64\n"+
			"Depends: libc6 (>= 2.34), package-%05d (= 1.0)\nDescription: one of many packages\nSection: libs\nPriority: optional\n"+
			"Filename: pool/main/p/package/package-%05d.deb\nSize: %d\nSHA256: %064x\n\n", i, i, i, i/2, i, i, i)
	}
	return file.Bytes()
}

const fleet = 1000 // inventories

// fleetOf has images of 400 packages each: many that all have, some that few have, of four states of the repository.
func fleetOf(repos []inventory.Repository) (all []*inventory.Inventory, outdated int) {
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.1, 20, offered-1)
	for range fleet {
		inv := &inventory.Inventory{Platform: "linux/amd64", Repositories: repos}
		state, has := r.IntN(4), map[uint64]bool{}
		for len(has) < installed {
			n := zipf.Uint64()
			if has[n] {
				continue
			}
			has[n] = true
			version := fmt.Sprintf("1.%d-2+deb12u3", n)
			if n%64 < uint64(state) {
				version = fmt.Sprintf("1.%d-2+deb12u%d", n, state-1)
				outdated++
			}
			name := fmt.Sprintf("package-%05d", n)
			inv.Packages = append(inv.Packages, inventory.Package{Type: inventory.Deb, Name: name, Version: version, Architecture: "amd64", Source: name, SourceVersion: version, Layer: r.IntN(9)})
		}
		all = append(all, inv)
	}
	return all, outdated
}

// All of a repository as large as Debian, read and compared with a thousand inventories.
func BenchmarkIndexAgainstFleet(b *testing.B) {
	file, repo := packagesFile(), indexOf("stable").Repository
	repo.Type = inventory.Deb
	images, outdated := fleetOf([]inventory.Repository{repo})
	for b.Loop() {
		wanted := map[string]bool{}
		for _, name := range namesIn(images) {
			wanted[name] = true
		}
		ix := indexOf("stable")
		ix.Repository = repo
		if err := readPackages(bytes.NewReader(file), "main", func(name string) bool { return wanted[name] }, func(name string, o offer) { ix.packages[name] = append(ix.packages[name], o) }); err != nil {
			b.Fatal(err)
		}
		snap := &Snapshot{indexes: map[string]*Index{keyOf(repo): ix}, errs: map[string]error{}, memories: map[string]*memory{}}
		found := 0
		for _, inv := range images {
			found += len(snap.Patches(inv))
		}
		if found != outdated || outdated == 0 {
			b.Fatalf("%d patches found, %d packages are out of date", found, outdated)
		}
	}
}
