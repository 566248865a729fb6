package sbom

import (
	"bytes"
	"fmt"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"rebuilder/internal/inventory"
)

// Prefixes of property names: Trivy's are read by Trivy, Syft's by Grype.
const (
	ofTrivy = "aquasecurity:trivy:"
	ofSyft  = "syft:"
	ofUs    = "rebuilder:"
)

const (
	rootRef = "image"
	osRef   = "operating-system"
)

// CycloneDX writes an inventory as CycloneDX 1.6 in JSON. Each package has its package URL and the diff id of its layer.
// Libraries that belong to a package of the distribution have no package URL: their advisories are the distribution's, and
// scanners that read the image itself leave them out, too.
func CycloneDX(inv *inventory.Inventory, s Subject) ([]byte, error) {
	bom := cdx.NewBOM()
	bom.SerialNumber = serial("cyclonedx", inv, s).URN()
	bom.Metadata = &cdx.Metadata{
		Timestamp: s.created(inv),
		Tools:     &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: Tool, Version: s.Version}}},
		Component: image(inv, s),
	}
	all := parts(inv)
	components := append([]cdx.Component{}, system(inv)...)
	for _, p := range all {
		components = append(components, component(inv, p))
	}
	bom.Components = &components
	bom.Dependencies = dependencies(inv, all)

	var out bytes.Buffer
	err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6)
	if err != nil {
		return nil, fmt.Errorf("CycloneDX of %s: %w", inv.Digest, err)
	}
	return out.Bytes(), nil
}

func image(inv *inventory.Inventory, s Subject) *cdx.Component {
	properties := []cdx.Property{{Name: ofUs + "platform", Value: inv.Platform}}
	if s.Name != "" {
		properties = append(properties, cdx.Property{Name: ofTrivy + "RepoDigest", Value: s.Name + "@" + inv.Digest.String()})
	}
	for _, id := range inv.DiffIDs {
		properties = append(properties, cdx.Property{Name: ofTrivy + "DiffID", Value: id.String()})
	}
	c := &cdx.Component{BOMRef: rootRef, Type: cdx.ComponentTypeContainer, Name: s.name(inv), Version: inv.Digest.String(), PackageURL: imageURL(inv, s), Properties: &properties}
	if inv.Digest.Algorithm == "sha256" {
		c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: inv.Digest.Hex}}
	}
	return c
}

// system is the distribution, if the image says which it is. Trivy takes its name, Grype its tag's.
func system(inv *inventory.Inventory) []cdx.Component {
	if inv.OS.ID == "" {
		return nil
	}
	return []cdx.Component{{
		BOMRef: osRef, Type: cdx.ComponentTypeOS, Name: family(inv.OS.ID), Version: inv.OS.Version,
		SWID:       &cdx.SWID{TagID: inv.OS.ID, Name: inv.OS.ID, Version: inv.OS.Version},
		Properties: &[]cdx.Property{{Name: ofTrivy + "Class", Value: "os-pkgs"}, {Name: ofTrivy + "Type", Value: family(inv.OS.ID)}},
	}}
}

func component(inv *inventory.Inventory, p part) cdx.Component {
	c := cdx.Component{BOMRef: p.id, Type: cdx.ComponentTypeLibrary, Name: p.Name, Version: p.Version}
	if p.Owner == "" {
		c.PackageURL = PackageURL(inv.OS, p.Package)
	}
	switch p.Type { // where Trivy and Grype put group and name together
	case inventory.Maven:
		c.Group, c.Name = cutLast(p.Name, ":")
	case inventory.NPM:
		c.Group, c.Name = cutLast(p.Name, "/")
	}
	var properties []cdx.Property
	add := func(name, value string) {
		if value != "" {
			properties = append(properties, cdx.Property{Name: name, Value: value})
		}
	}
	for _, f := range trivyFacts(inv, p) {
		add(ofTrivy+f.name, f.value)
	}
	add(ofSyft+"location:0:layerID", p.diffID(inv))
	add(ofSyft+"location:0:path", place(p.Package))
	if p.Owner != "" {
		add(ofUs+"owner", p.Owner)
	}
	c.Properties = &properties
	return c
}

// place is the file that a package is known from.
func place(p inventory.Package) string {
	switch p.Type {
	case inventory.Deb:
		return "/var/lib/dpkg/status"
	case inventory.APK:
		return "/lib/apk/db/installed"
	case inventory.RPM:
		return "/var/lib/rpm"
	}
	return p.Path
}

// dependencies say what is in what: the distribution and libraries in the image, its packages in the distribution.
func dependencies(inv *inventory.Inventory, all []part) *[]cdx.Dependency {
	root, system := []string{}, []string{}
	for _, p := range all {
		if ofSystem(p.Package) && inv.OS.ID != "" {
			system = append(system, p.id)
		} else {
			root = append(root, p.id)
		}
	}
	if inv.OS.ID == "" {
		return &[]cdx.Dependency{{Ref: rootRef, Dependencies: &root}}
	}
	root = append([]string{osRef}, root...)
	return &[]cdx.Dependency{{Ref: rootRef, Dependencies: &root}, {Ref: osRef, Dependencies: &system}}
}
