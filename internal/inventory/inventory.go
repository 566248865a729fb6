// Package inventory reads what is inside an image digest: its packages, each with the layer that brought
// it in, the package repositories it uses, and a fingerprint of its content.
package inventory

import (
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Format counts how often the stored form of an Inventory came to hold more. One of an older format is read anew.
const Format = 4

// Inventory is everything known about one platform manifest. It is immutable: it is stored by digest and
// never read twice.
type Inventory struct {
	Format       int          `json:"format"` // the Format it was read in
	Digest       v1.Hash      `json:"digest"`
	Platform     string       `json:"platform"` // "linux/amd64"
	OS           OS           `json:"os"`
	DiffIDs      []v1.Hash    `json:"diff_ids"` // uncompressed layer digests, base layer first
	Packages     []Package    `json:"packages"` // sorted by name; of one name those of the distribution first, then by architecture
	Repositories []Repository `json:"repositories"`
	// Pins are the image's own rules on which versions its package manager may install.
	Pins []Pin `json:"pins,omitempty"`
	// OnBuild are the instructions that an image built on this one runs first, as its configuration has them:
	// "COPY --from=golang:1.26 /go /go".
	OnBuild []string `json:"on_build,omitempty"`
	// Unknown says what could not be told, a sentence each: "no package database; 1 program (/app): what is in it is not
	// known from packages".
	Unknown     []string `json:"unknown,omitempty"`
	Fingerprint string   `json:"fingerprint"` // "sha256:..." of merged content and normalised config
	Size        int64    `json:"size"`        // compressed bytes of all layers
	// Config is what the image says of how it is started.
	Config Config `json:"config"`
	// Files are those of the merged file system that rules ask about, by path.
	Files []File `json:"files,omitempty"`
	// Secrets are keys and passwords in any layer, deleted files included. They are looked for only when a reader was
	// given a way to find them; SecretsRead says so.
	Secrets     []Secret `json:"secrets,omitempty"`
	SecretsRead bool     `json:"secrets_read,omitempty"`
	// SecretsUnknown says where they were not looked for all the same, a sentence each. It is no part of Unknown.
	SecretsUnknown []string `json:"secrets_unknown,omitempty"`
}

// Config is the part of an image's configuration that rules, fact sheets and comparisons show.
type Config struct {
	User         string            `json:"user,omitempty"`
	Entrypoint   []string          `json:"entrypoint,omitempty"`
	Cmd          []string          `json:"cmd,omitempty"`
	WorkingDir   string            `json:"working_dir,omitempty"`
	Env          []string          `json:"env,omitempty"`           // names only: values may be secrets
	ExposedPorts []string          `json:"exposed_ports,omitempty"` // "8080/tcp", sorted
	Volumes      []string          `json:"volumes,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	StopSignal   string            `json:"stop_signal,omitempty"`
	Healthcheck  bool              `json:"healthcheck,omitempty"`
	Created      time.Time         `json:"created,omitzero"`
}

// File is a file that rules ask about.
type File struct {
	Path  string `json:"path"`
	What  string `json:"what"` // Setuid, Setgid, WorldWritable, Shell, PackageManager, Account
	Layer int    `json:"layer"`
	// Detail says more: of an account without a password its name.
	Detail string `json:"detail,omitempty"`
}

// What files are, for rules.
const (
	Setuid         = "setuid"
	Setgid         = "setgid"
	WorldWritable  = "world-writable" // a file, or a directory without the sticky bit
	Shell          = "shell"
	PackageManager = "package-manager"
	Account        = "account" // an account that may be logged in to without a password
)

// Secret is a key or a password in an image. What it is itself is kept nowhere.
type Secret struct {
	Rule    string `json:"rule"` // "private-key", "aws-access-token"
	Title   string `json:"title"`
	Path    string `json:"path"` // of the file; "config" for what is in the image's configuration or history
	Line    int    `json:"line,omitempty"`
	Layer   int    `json:"layer"` // -1: in the configuration
	Deleted bool   `json:"deleted,omitempty"`
	Weak    bool   `json:"weak,omitempty"` // the rule is often wrong
	Mark    string `json:"mark"`           // the same for the same secret, says nothing of it
}

// OS is what /etc/os-release says.
type OS struct {
	ID       string `json:"id"`
	Version  string `json:"version"`
	Codename string `json:"codename"`
}

// Package is one installed package.
type Package struct {
	Type          string `json:"type"` // Deb, APK, RPM, or of a library Golang, Maven, NPM or PyPI: as in package URLs
	Name          string `json:"name"`
	Version       string `json:"version"`
	Architecture  string `json:"architecture"`
	Source        string `json:"source"`
	SourceVersion string `json:"source_version"`
	// Layer is the index in DiffIDs of the layer in which this version first appeared.
	Layer int `json:"layer"`
	// Held packages are not upgraded by the package manager: dpkg's selection state "hold", dnf's versionlock, apk's
	// exact constraint in its world.
	Held bool `json:"held,omitempty"`
	// Module is an RPM package's module and stream, "nodejs:18"; empty for packages of none.
	Module string `json:"module,omitempty"`
	// Path is the file that a library package was found in: "/app/server", "/app/lib.jar". Empty for a family with a
	// database.
	Path string `json:"path,omitempty"`
	// Owner is the package of the distribution to whose files Path belongs: its advisories are the distribution's.
	Owner string `json:"owner,omitempty"`
}

// Package families, by their type in package URLs (purl).
const (
	Deb = "deb"
	APK = "apk"
	RPM = "rpm"
)

// Libraries, by their type in package URLs.
const (
	Golang = "golang" // name: module path, version: "v1.2.3"; the standard library is "stdlib"
	Maven  = "maven"  // name: "group:artifact"
	NPM    = "npm"    // name: "@scope/name"
	PyPI   = "pypi"   // name: normalised, "some-package"
)

// Repository is one package repository that the image itself is configured to use: one suite of a deb archive, one
// directory of an apk repository, one section of an rpm repository file.
type Repository struct {
	Type string `json:"type"` // Deb, APK or RPM
	// URI is the address that packages of all suites are below. For rpm it is the first baseurl, its variables filled in;
	// empty when there is only Mirrors.
	URI           string   `json:"uri"`
	Suite         string   `json:"suite,omitempty"`         // deb: "bookworm"
	Components    []string `json:"components,omitempty"`    // deb: "main"
	Architectures []string `json:"architectures,omitempty"` // in the family's own words
	// Keys may sign it: OpenPGP public keys of the image for deb and rpm (binary or armoured), RSA public keys in PEM for
	// apk.
	Keys [][]byte `json:"keys,omitempty"`
	// KeyNames are the file names of apk's Keys, one each: an index says by name which key signed it.
	KeyNames []string `json:"key_names,omitempty"`
	// ID is the name that the image gives it: an rpm section ("baseos"), an apk tag ("edge" for @edge).
	ID string `json:"id,omitempty"`
	// Mirrors is the address of an rpm repository's metalink or mirror list.
	Mirrors  string `json:"mirrors,omitempty"`
	Metalink bool   `json:"metalink,omitempty"` // Mirrors is a metalink
	// Priority is dnf's: the least wins; 99 unless the image says otherwise. 0 for other families.
	Priority int `json:"priority,omitempty"`
	// Unsigned says that the image's package manager asks for no signature of this repository's index.
	Unsigned bool `json:"unsigned,omitempty"`
	// ModuleHotfixes says that dnf takes its packages whatever modules say.
	ModuleHotfixes bool `json:"module_hotfixes,omitempty"`
	// Where is the file in the image that names it: "/etc/apt/sources.list.d/debian.sources".
	Where string `json:"where"`
}

// Pin is one rule of an image on which versions its package manager may install.
type Pin struct {
	Type     string   `json:"type"`     // Deb: a stanza of apt preferences; APK: a constraint of the world; RPM: exclude, include, versionlock or a module's stream
	Packages []string `json:"packages"` // names or patterns, as the file has them
	Rule     string   `json:"rule"`     // deb: "release a=stable"; apk: "<3.1"; rpm: "exclude", "include", "lock 1:2.3-4*", "stream 18"
	Priority int      `json:"priority,omitempty"`
	// Repository is the rpm section that it is for; empty: for all.
	Repository string `json:"repository,omitempty"`
	Where      string `json:"where"`
}
