package api

import (
	"path"
	"regexp"
	"strings"

	"rebuilder/internal/inventory"
)

// pinsOf are the rules of an image that name a package.
func pinsOf(inv *inventory.Inventory, p inventory.Package) []Pin {
	var out []Pin
	for _, rule := range inv.Pins {
		if rule.Type != "" && p.Type != "" && rule.Type != p.Type {
			continue
		}
		for _, pattern := range rule.Packages {
			if names(pattern, p) {
				out = append(out, Pin{Rule: rule.Rule, Where: rule.Where})
				break
			}
		}
	}
	if p.Held && len(out) == 0 && (p.Type == inventory.Deb || p.Type == "") {
		out = append(out, Pin{Rule: "hold", Where: "/var/lib/dpkg/status"})
	}
	return out
}

// names says that a pattern of an image's rules names a package: a name, a source as apt writes it, a glob or, between
// slashes, a regular expression. One that is broken names nothing, as for the package managers.
func names(pattern string, p inventory.Package) bool {
	name := p.Name
	if source, ok := strings.CutPrefix(pattern, "src:"); ok {
		pattern, name = source, p.Source
	}
	if len(pattern) > 2 && strings.HasPrefix(pattern, "/") && strings.HasSuffix(pattern, "/") {
		re, err := regexp.Compile(pattern[1 : len(pattern)-1])
		return err == nil && re.MatchString(name)
	}
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}
