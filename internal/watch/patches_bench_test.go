package watch

import (
	"bytes"
	"fmt"
	"testing"
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
	var file bytes.Buffer
	for i := range offered {
		fmt.Fprintf(&file, "Package: package-%05d\nVersion: 1.%d-2+deb12u3\nInstalled-Size: %d\nMaintainer: Nobody <nobody@example.com>\nArchitecture: amd64\n"+
			"Depends: libc6 (>= 2.34), package-%05d (= 1.0)\nDescription: one of many packages\nSection: libs\nPriority: optional\n"+
			"Filename: pool/main/p/package/package-%05d.deb\nSize: %d\nSHA256: %064x\n\n", i, i, i, i/2, i, i, i)
	}
	wanted := func(name string) bool { return name[len(name)-2:] == "00" }
	b.SetBytes(int64(file.Len()))
	for b.Loop() {
		to := map[string][]offer{}
		if err := readPackages(bytes.NewReader(file.Bytes()), "main", wanted, func(name string, o offer) { to[name] = append(to[name], o) }); err != nil || len(to) != offered/100 {
			b.Fatalf("%d packages, %v", len(to), err)
		}
	}
}
