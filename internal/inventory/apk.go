package inventory

import (
	"bytes"
	"cmp"
	"strings"
)

// apkDB is the package database of Alpine, Wolfi and what is made of their packages.
var apkDB = database{
	family: APK,
	files:  func(*tree) []string { return apkDatabases() },
	read:   readInstalled,
}

// apkDatabases are the places of the database. Either may be a link to the other: a package that is read twice is there
// once.
func apkDatabases() []string { return []string{"/lib/apk/db/installed", "/usr/lib/apk/db/installed"} }

// readInstalled reads the packages of one database. All that are listed are there: a package whose scripts failed is
// listed, too.
func readInstalled(data []byte, add func(Package) error) error {
	return ReadAPK(bytes.NewReader(data), func(r APKRecord) error {
		source := cmp.Or(r.Origin, r.Name)
		return add(Package{Type: APK, Name: r.Name, Version: r.Version, Architecture: r.Architecture, Source: source, SourceVersion: r.Version})
	})
}

// APKArchitecture is apk's name for a platform: "linux/arm/v7" is "armv7".
func APKArchitecture(platform string) string {
	_, arch, _ := strings.Cut(platform, "/")
	switch arch {
	case "386":
		return "x86"
	case "arm", "arm/v7", "arm/v8": // 32 bits
		return "armv7"
	case "arm/v5", "arm/v6":
		return "armhf"
	}
	arch, _, _ = strings.Cut(arch, "/") // amd64/v2, arm64/v9
	switch arch {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	case "loong64":
		return "loongarch64"
	}
	return arch
}
