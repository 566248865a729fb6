// Package sbom writes the inventory of an image as a bill of materials, in CycloneDX and in SPDX.
//
// Bills of materials are less portable than their standards say: Grype and Trivy find the packages of their own and of
// hardly anybody else's. What is written here holds what both look for (the source package, with its epoch, and the
// distribution, each where the one and the other expects it), so that they find in it what they find in the image, and
// nobody has to pull an image again.
//
// The same inventory and subject give the same bytes, so that what is attached to an image is attached once.
package sbom

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"rebuilder/internal/inventory"
)

// Media types of what is written, also the artifact types of attached ones.
const (
	MediaTypeCycloneDX = "application/vnd.cyclonedx+json"
	MediaTypeSPDX      = "application/spdx+json"
)

// Tool is who writes, in both formats.
const Tool = "rebuilder"

// Subject is what an inventory does not say of its image.
type Subject struct {
	Name    string    // without tag and digest: "registry.example.com/base/debian"; empty: the digest alone is named
	Created time.Time // of the document; zero: when the image was made
	Version string    // of this program; may be empty
}

// name is what the image is called in a document.
func (s Subject) name(inv *inventory.Inventory) string { return cmp.Or(s.Name, inv.Digest.String()) }

// created is the time of a document. Without any it is the beginning of 1970: SPDX asks for one.
func (s Subject) created(inv *inventory.Inventory) string {
	t := s.Created
	if t.IsZero() {
		t = inv.Config.Created
	}
	if t.IsZero() {
		t = time.Unix(0, 0)
	}
	return t.UTC().Format(time.RFC3339)
}

// namespace is that of the name-based UUIDs below, a random one made for this package.
var namespace = uuid.MustParse("5f1a2c7e-93b1-4b0e-a0c4-3f6f2f3a9d10")

// serial identifies a document by what it is about.
func serial(format string, inv *inventory.Inventory, s Subject) uuid.UUID {
	return uuid.NewSHA1(namespace, []byte(strings.Join([]string{format, s.Name, inv.Digest.String(), fmt.Sprint(inv.Format)}, "\n")))
}

// part is a package with its name inside a document. Names are unique, also where an inventory has a package twice.
type part struct {
	inventory.Package
	id string
}

// parts are the packages of an inventory.
func parts(inv *inventory.Inventory) []part {
	all, seen := make([]part, 0, len(inv.Packages)), map[string]int{}
	for _, p := range inv.Packages {
		sum := sha256.Sum256([]byte(strings.Join([]string{p.Type, p.Name, p.Version, p.Architecture, p.Path}, "\x00")))
		id := p.Type + "-" + hex.EncodeToString(sum[:10])
		if seen[id]++; seen[id] > 1 {
			id = fmt.Sprintf("%s-%d", id, seen[id])
		}
		all = append(all, part{p, id})
	}
	return all
}

// diffID is the layer that brought the package in; empty when that is not known.
func (p part) diffID(inv *inventory.Inventory) string {
	if p.Layer < 0 || p.Layer >= len(inv.DiffIDs) {
		return ""
	}
	return inv.DiffIDs[p.Layer].String()
}

// ofSystem says that a package is the distribution's: it is in one of its databases.
func ofSystem(p inventory.Package) bool {
	return p.Type == inventory.Deb || p.Type == inventory.APK || p.Type == inventory.RPM
}
