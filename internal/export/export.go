// Package export writes a verdict for other programs: SARIF for code scanning, CycloneDX with vulnerabilities and OpenVEX for
// who decides about them, CSV for people with spreadsheets. It also reads OpenVEX.
//
// The same report gives the same bytes. What comes out of images is text in them and nothing else: no formula, no markup.
package export

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	packageurl "github.com/package-url/packageurl-go"

	"rebuilder/internal/policy"
)

// Report is a verdict on one image, and what its readers have to know of the image.
type Report struct {
	Subject   policy.Subject
	Reference string // by digest: "registry.example.com/base/debian@sha256:..."
	At        time.Time
	Verdict   policy.Verdict
	// Recipe is the Dockerfile that the image is made from, as its repository has it, and From the line of the FROM that its
	// findings come in by; empty and 0 where they are not known.
	Recipe string
	From   int
	// Version is this program's; may be empty.
	Version string
}

// Formats.
const (
	SARIF     = "sarif"
	CycloneDX = "cyclonedx"
	OpenVEX   = "openvex"
	CSV       = "csv"
)

// Formats are all that Write knows, by name.
func Formats() []string { return []string{CSV, CycloneDX, OpenVEX, SARIF} }

// Write writes a report and says of which media type it is.
func Write(format string, r Report) (body []byte, mediaType string, err error) {
	switch format {
	case SARIF:
		body, err = writeSARIF(r)
		mediaType = "application/sarif+json"
	case CycloneDX:
		body, err = writeCycloneDX(r)
		mediaType = "application/vnd.cyclonedx+json"
	case OpenVEX:
		body, err = WriteOpenVEX(r)
		mediaType = "application/openvex+json"
	case CSV:
		body, err = writeCSV(r)
		mediaType = "text/csv; charset=utf-8; header=present"
	default:
		return nil, "", fmt.Errorf("format %q is not known: use one of %s", format, strings.Join(Formats(), ", "))
	}
	if err != nil {
		return nil, "", fmt.Errorf("%s of %s: %w", format, r.Reference, err)
	}
	return body, mediaType, nil
}

const tool = "rebuilder"

// repository is the reference without tag and digest.
func (r Report) repository() string {
	repo, _, _ := strings.Cut(r.Reference, "@")
	if i := strings.LastIndexByte(repo, ':'); i > strings.LastIndexByte(repo, '/') {
		repo = repo[:i]
	}
	return repo
}

// imageURL identifies the image: "pkg:oci/debian@sha256:...?repository_url=registry.example.com/base/debian".
func (r Report) imageURL() string {
	repo := r.repository()
	if repo == "" {
		repo = r.Subject.Image
	}
	name := strings.ToLower(repo[strings.LastIndexByte(repo, '/')+1:])
	q := packageurl.QualifiersFromMap(map[string]string{"repository_url": repo})
	return packageurl.NewPackageURL(packageurl.TypeOCI, "", name, r.Subject.Digest, q, "").ToString()
}

// mark is the same for the same thing in any build of an image: it knows no version, digest, layer or line.
func mark(r Report, f policy.Judged) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{r.Subject.Image, r.Subject.Platform, string(f.Kind), f.ID, f.Type, f.Package, f.Path}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// thing is what a finding is about, in words.
func thing(f policy.Judged) string {
	switch {
	case f.Package != "":
		return strings.TrimSpace(f.Package + " " + f.Version)
	case f.Path != "":
		return f.Path
	}
	return "the image"
}
