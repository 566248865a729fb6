// Package inventory reads what is inside an image digest: its packages, each with the layer that brought
// it in, the package repositories it uses, and a fingerprint of its content.
package inventory

import v1 "github.com/google/go-containerregistry/pkg/v1"

// Inventory is everything known about one platform manifest. It is immutable: it is stored by digest and
// never read twice.
type Inventory struct {
	Digest       v1.Hash      `json:"digest"`
	Platform     string       `json:"platform"` // "linux/amd64"
	OS           OS           `json:"os"`
	DiffIDs      []v1.Hash    `json:"diff_ids"` // uncompressed layer digests, base layer first
	Packages     []Package    `json:"packages"` // installed packages, sorted by name then architecture
	Repositories []Repository `json:"repositories"`
	Fingerprint  string       `json:"fingerprint"` // "sha256:..." of merged content and normalised config
	Size         int64        `json:"size"`        // compressed bytes of all layers
}

// OS is what /etc/os-release says.
type OS struct {
	ID       string `json:"id"`
	Version  string `json:"version"`
	Codename string `json:"codename"`
}

// Package is one installed package.
type Package struct {
	Name          string `json:"name"`
	Version       string `json:"version"`
	Architecture  string `json:"architecture"`
	Source        string `json:"source"`
	SourceVersion string `json:"source_version"`
	// Layer is the index in DiffIDs of the layer in which this version first appeared.
	Layer int `json:"layer"`
	// Held packages are not upgraded by the package manager (dpkg selection state "hold").
	Held bool `json:"held,omitempty"`
}

// Repository is one package repository that the image itself is configured to use, one suite each.
type Repository struct {
	Type          string   `json:"type"` // "deb"
	URI           string   `json:"uri"`
	Suite         string   `json:"suite"`
	Components    []string `json:"components"`
	Architectures []string `json:"architectures"`
	// Keys are the OpenPGP public keys of the image that may sign it (binary or armoured).
	Keys [][]byte `json:"keys"`
	// Where is the file in the image that names it: "/etc/apt/sources.list.d/debian.sources".
	Where string `json:"where"`
}
