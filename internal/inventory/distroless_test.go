package inventory

import (
	"slices"
	"testing"
)

// Distroless images have one file a package and no package manager: every package has its version, its source and its
// layer all the same. They name no repository, which is for those to judge who know what they stand on.
func TestDistroless(t *testing.T) {
	const (
		base = "Package: base-files\nVersion: 12.4+deb12u5\nArchitecture: amd64\nMaintainer: A <a@example.com>\nDescription: Debian base system\n several\n lines\n"
		libc = "Package: libc6\nSource: glibc\nVersion: 2.36-9+deb12u4\nArchitecture: amd64\nDepends: libgcc-s1\n"
		gomp = "Package: libgomp1\nSource: gcc-12 (12.2.0-14)\nVersion: 12.2.0-14+b1\nArchitecture: amd64\n"
		next = "Package: libc6\nSource: glibc\nVersion: 2.36-9+deb12u7\nArchitecture: amd64\n"
		at   = "var/lib/dpkg/status.d/"
	)
	inv := mustRead(t, image(t,
		[]entry{text(at+"base", base), text(at+"base.md5sums", "d41d8cd98f00b204e9800998ecf8427e  etc/issue\n"), text("etc/os-release", "ID=debian\nVERSION_ID=12\n")},
		[]entry{text(at+"libc6", libc), text(at+"libc6.md5sums", "")},
		[]entry{text(at+"libgomp1", gomp)},
		[]entry{text(at+"libc6", next), runs("app", elf)},
	))
	want := []Package{
		{Type: Deb, Name: "base-files", Version: "12.4+deb12u5", Architecture: "amd64", Source: "base-files", SourceVersion: "12.4+deb12u5", Layer: 0},
		{Type: Deb, Name: "libc6", Version: "2.36-9+deb12u7", Architecture: "amd64", Source: "glibc", SourceVersion: "2.36-9+deb12u7", Layer: 3},
		{Type: Deb, Name: "libgomp1", Version: "12.2.0-14+b1", Architecture: "amd64", Source: "gcc-12", SourceVersion: "12.2.0-14", Layer: 2},
	}
	if !slices.Equal(inv.Packages, want) {
		t.Errorf("got  %+v\nwant %+v", inv.Packages, want)
	}
	if len(inv.Repositories) != 0 || len(inv.Unknown) != 0 {
		t.Errorf("repositories %+v, unknown %q", inv.Repositories, inv.Unknown)
	}
}
