package sbom

import (
	"cmp"
	"strings"

	"rebuilder/internal/inventory"
)

// fact is something that a format has no field for.
type fact struct{ name, value string }

// family is a distribution as Trivy calls it, which it also says package types by. Others call it by the ID of its os-release.
func family(id string) string {
	switch id {
	case "rhel":
		return "redhat"
	case "almalinux":
		return "alma"
	case "ol":
		return "oracle"
	case "amzn":
		return "amazon"
	case "opensuse":
		return "opensuse-leap"
	case "mariner":
		return "cbl-mariner"
	case "sle-micro", "sl-micro", "sle-micro-rancher":
		return "slem"
	}
	return id
}

// libraryType is a library's type as Trivy calls it.
func libraryType(p inventory.Package) string {
	switch p.Type {
	case inventory.Golang:
		return "gobinary"
	case inventory.Maven:
		return "jar"
	case inventory.NPM:
		return "node-pkg"
	case inventory.PyPI:
		return "python-pkg"
	}
	return ""
}

// trivyFacts are what Trivy asks of a package beside its URL.
func trivyFacts(inv *inventory.Inventory, p part) []fact {
	var facts []fact
	add := func(name, value string) {
		if value != "" {
			facts = append(facts, fact{name, value})
		}
	}
	if ofSystem(p.Package) {
		add("PkgType", family(inv.OS.ID))
		add("PkgID", p.Name+"@"+p.Version)
		facts = append(facts, sourceFacts(p.Package)...)
		add("Modularitylabel", moduleLabel(p.Module))
	} else {
		add("PkgType", libraryType(p.Package))
		add("FilePath", strings.TrimPrefix(p.Path, "/"))
	}
	add("LayerDiffID", p.diffID(inv))
	return facts
}

// sourceFacts are the source package in the parts that Trivy puts together: it compares these, not the package's version.
func sourceFacts(p inventory.Package) []fact {
	epoch, rest := cutEpoch(cmp.Or(p.SourceVersion, p.Version))
	version, release := rest, ""
	if p.Type != inventory.APK {
		if v, r := cutLast(rest, "-"); v != "" {
			version, release = v, r
		}
	}
	facts := []fact{{"SrcName", cmp.Or(p.Source, p.Name)}, {"SrcVersion", version}}
	if release != "" {
		facts = append(facts, fact{"SrcRelease", release})
	}
	if isNumber(epoch) { // Trivy refuses the whole document for another
		facts = append(facts, fact{"SrcEpoch", epoch})
	}
	return facts
}

func isNumber(s string) bool {
	return s != "" && len(s) < 10 && strings.Trim(s, "0123456789") == ""
}
