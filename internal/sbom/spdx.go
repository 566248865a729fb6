package sbom

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"

	packageurl "github.com/package-url/packageurl-go"
	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"

	"rebuilder/internal/inventory"
)

// Identifiers in the document. Trivy tells by their beginnings what is what.
const (
	spdxDocument = common.ElementID("DOCUMENT")
	spdxImage    = common.ElementID("ContainerImage")
	spdxSystem   = common.ElementID("OperatingSystem")
	spdxPackage  = "Package-"
)

const noAssertion = "NOASSERTION"

// SPDX writes an inventory as SPDX 2.3 in JSON, with the facts that CycloneDX has. Libraries that belong to a package of the
// distribution have the package URL of something generic.
func SPDX(inv *inventory.Inventory, s Subject) ([]byte, error) {
	w := spdxWriter{inv: inv, at: s.created(inv)}
	w.add(w.image(s), spdxDocument, common.TypeRelationshipDescribe)
	within := spdxImage
	if inv.OS.ID != "" {
		within = spdxSystem
		w.add(w.system(), spdxImage, common.TypeRelationshipContains)
	}
	for _, p := range parts(inv) {
		of := within
		if !ofSystem(p.Package) {
			of = spdxImage
		}
		w.add(w.part(p), of, common.TypeRelationshipContains)
	}
	doc := &spdx.Document{
		SPDXVersion:       spdx.Version,
		DataLicense:       spdx.DataLicense,
		SPDXIdentifier:    spdxDocument,
		DocumentName:      s.name(inv),
		DocumentNamespace: "https://spdx.org/spdxdocs/" + Tool + "-" + serial("spdx", inv, s).String(),
		CreationInfo:      &spdx.CreationInfo{Created: w.at, Creators: []common.Creator{{CreatorType: "Tool", Creator: strings.TrimSuffix(Tool+"-"+s.Version, "-")}}},
		Packages:          w.packages,
		Relationships:     w.relations,
	}
	var out bytes.Buffer
	if err := json.Write(doc, &out, json.Indent("  "), json.EscapeHTML(false)); err != nil {
		return nil, fmt.Errorf("SPDX of %s: %w", inv.Digest, err)
	}
	return out.Bytes(), nil
}

type spdxWriter struct {
	inv       *inventory.Inventory
	at        string
	packages  []*spdx.Package
	relations []*spdx.Relationship
}

// add puts a package into another one, or into the document.
func (w *spdxWriter) add(p *spdx.Package, in common.ElementID, how string) {
	p.PackageDownloadLocation = noAssertion
	p.PackageLicenseConcluded, p.PackageLicenseDeclared = noAssertion, noAssertion
	p.PackageCopyrightText = noAssertion
	p.PackageSupplier = &common.Supplier{Supplier: noAssertion}
	w.packages = append(w.packages, p)
	w.relations = append(w.relations, &spdx.Relationship{
		RefA: common.DocElementID{ElementRefID: in}, RefB: common.DocElementID{ElementRefID: p.PackageSPDXIdentifier}, Relationship: how,
	})
}

func (w *spdxWriter) image(s Subject) *spdx.Package {
	p := &spdx.Package{PackageName: s.name(w.inv), PackageSPDXIdentifier: spdxImage, PackageVersion: w.inv.Digest.String(), PrimaryPackagePurpose: "CONTAINER"}
	if w.inv.Digest.Algorithm == "sha256" {
		p.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: w.inv.Digest.Hex}}
	}
	p.PackageExternalReferences = reference(imageURL(w.inv, s))
	for _, id := range w.inv.DiffIDs {
		p.Annotations = append(p.Annotations, w.annotation(fact{"DiffID", id.String()}))
	}
	return p
}

func (w *spdxWriter) system() *spdx.Package {
	return &spdx.Package{PackageName: family(w.inv.OS.ID), PackageSPDXIdentifier: spdxSystem, PackageVersion: w.inv.OS.Version, PrimaryPackagePurpose: "OPERATING-SYSTEM",
		Annotations: []spdx.Annotation{w.annotation(fact{"Class", "os-pkgs"}), w.annotation(fact{"Type", family(w.inv.OS.ID)})}}
}

func (w *spdxWriter) part(p part) *spdx.Package {
	out := &spdx.Package{PackageName: p.Name, PackageSPDXIdentifier: common.ElementID(spdxPackage + p.id), PackageVersion: p.Version, PrimaryPackagePurpose: "LIBRARY"}
	out.PackageExternalReferences = reference(PackageURL(w.inv.OS, p.Package))
	if p.Owner != "" { // Grype takes what has no package URL here for a package of whatever family has one of that name
		out.PackageExternalReferences = reference(packageurl.NewPackageURL(packageurl.TypeGeneric, "", p.Name, p.Version, nil, "").ToString())
	}
	switch {
	case ofSystem(p.Package): // Trivy's words
		out.PackageSourceInfo = "built package from: " + cmp.Or(p.Source, p.Name) + " " + cmp.Or(p.SourceVersion, p.Version)
	case p.Owner != "":
		out.PackageSourceInfo = p.Path + ", of the distribution's package " + p.Owner
	case p.Path != "":
		out.PackageSourceInfo = "found in " + p.Path
	}
	for _, f := range trivyFacts(w.inv, p) {
		if !strings.HasPrefix(f.name, "Src") { // the source package is in the line above
			out.Annotations = append(out.Annotations, w.annotation(f))
		}
	}
	return out
}

func (w *spdxWriter) annotation(f fact) spdx.Annotation {
	return spdx.Annotation{Annotator: common.Annotator{AnnotatorType: "Tool", Annotator: Tool}, AnnotationDate: w.at, AnnotationType: "OTHER", AnnotationComment: f.name + ": " + f.value}
}

func reference(purl string) []*spdx.PackageExternalReference {
	if purl == "" {
		return nil
	}
	return []*spdx.PackageExternalReference{{Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: purl}}
}
