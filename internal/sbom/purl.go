package sbom

import (
	"cmp"
	"strings"

	packageurl "github.com/package-url/packageurl-go"

	"rebuilder/internal/inventory"
)

// PackageURL identifies a package as other scanners do: "pkg:deb/debian/libssl3@3.0.20-1?arch=amd64&distro=debian-12&upstream=openssl".
// It is empty for a package of a family that has no package URLs.
func PackageURL(os inventory.OS, p inventory.Package) string {
	switch p.Type {
	case inventory.Deb, inventory.APK, inventory.RPM:
		return systemURL(os, p)
	case inventory.Golang, inventory.NPM:
		namespace, name := cutLast(p.Name, "/")
		return packageurl.NewPackageURL(p.Type, namespace, name, p.Version, nil, "").ToString()
	case inventory.Maven:
		namespace, name := cutLast(p.Name, ":")
		return packageurl.NewPackageURL(p.Type, namespace, name, p.Version, nil, "").ToString()
	case inventory.PyPI:
		return packageurl.NewPackageURL(p.Type, "", p.Name, p.Version, nil, "").ToString()
	}
	return ""
}

// cutLast cuts around the last separator: what is before it is empty when there is none.
func cutLast(s, sep string) (before, after string) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):]
	}
	return "", s
}

func systemURL(os inventory.OS, p inventory.Package) string {
	q := map[string]string{"arch": p.Architecture, "upstream": upstream(p)}
	if os.ID != "" {
		q["distro"] = strings.TrimSuffix(os.ID+"-"+os.Version, "-")
	}
	version := p.Version
	if p.Type == inventory.RPM { // whose package URLs have the epoch apart
		if epoch, rest, ok := strings.Cut(p.Version, ":"); ok {
			q["epoch"], version = epoch, rest
		}
		q["rpmmod"], q["modularitylabel"] = p.Module, moduleLabel(p.Module)
	}
	for key, value := range q {
		if value == "" {
			delete(q, key)
		}
	}
	return packageurl.NewPackageURL(p.Type, vendor(os.ID), p.Name, version, packageurl.QualifiersFromMap(q), "").ToString()
}

// vendor is the namespace of a distribution's packages. It is the one that Trivy has: Trivy drops packages of another, and
// others do not look at it.
func vendor(id string) string {
	switch f := family(id); f {
	case "opensuse-leap", "opensuse-tumbleweed":
		return "opensuse"
	case "sles", "slem":
		return "suse"
	default:
		return f
	}
}

// upstream is the source package as Grype reads it: a name, with its version if that is another, or for rpm the name of the
// source package's file. Empty when it is the package itself.
func upstream(p inventory.Package) string {
	source, version := cmp.Or(p.Source, p.Name), cmp.Or(p.SourceVersion, p.Version)
	switch {
	case p.Type == inventory.RPM:
		_, noEpoch := cutEpoch(version)
		return source + "-" + noEpoch + ".src.rpm"
	case source == p.Name && version == p.Version:
		return ""
	case version == p.Version:
		return source
	}
	return source + "@" + version
}

// moduleLabel is a module as Trivy reads it: it wants what rpm writes, of which an inventory keeps module and stream.
func moduleLabel(module string) string {
	if module == "" {
		return ""
	}
	return module + "::"
}

func cutEpoch(version string) (epoch, rest string) {
	if epoch, rest, ok := strings.Cut(version, ":"); ok {
		return epoch, rest
	}
	return "", version
}

// imageURL identifies an image: "pkg:oci/debian@sha256:...?arch=amd64&repository_url=registry.example.com/base/debian".
func imageURL(inv *inventory.Inventory, s Subject) string {
	if s.Name == "" {
		return ""
	}
	_, name := cutLast(s.Name, "/")
	_, arch, _ := strings.Cut(inv.Platform, "/")
	arch, _, _ = strings.Cut(arch, "/")
	q := map[string]string{"repository_url": s.Name}
	if arch != "" {
		q["arch"] = arch
	}
	return packageurl.NewPackageURL(packageurl.TypeOCI, "", strings.ToLower(name), inv.Digest.String(), packageurl.QualifiersFromMap(q), "").ToString()
}
