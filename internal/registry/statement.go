package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	packageurl "github.com/package-url/packageurl-go"
)

// What a claim is found in.
const (
	Annotation = "annotation" // org.opencontainers.image.base.* of a manifest, or the label of the same name
	Provenance = "provenance" // a SLSA provenance statement, whoever attached it; no signature is checked
)

// Claim is an image that another one says it was made from. Nothing proves it.
type Claim struct {
	Evidence  string  `json:"evidence"`           // Annotation or Provenance
	Reference string  `json:"reference"`          // without digest: "registry.example.com/base/java:17"; may be empty
	Digest    v1.Hash `json:"digest,omitzero"`    // index or manifest, as the builder resolved it; zero when it is not said
	Platform  string  `json:"platform,omitempty"` // that the parent was asked for
}

const (
	maxStatement = 16 << 20 // bytes of one attestation; BuildKit's hold the whole build definition
	maxClaims    = 256      // of one image
	maxName      = 1024     // bytes of a name in a claim
)

const provenancePrefix = "https://slsa.dev/provenance/"

// statement is an in-toto statement of SLSA provenance, v0.2 or v1.
type statement struct {
	PredicateType string `json:"predicateType"`
	Subject       []struct {
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
	Predicate struct {
		Materials       []material `json:"materials"` // v0.2
		BuildDefinition struct {
			ResolvedDependencies []material `json:"resolvedDependencies"` // v1
		} `json:"buildDefinition"`
	} `json:"predicate"`
}

type material struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

// enveloped is how a statement travels: bare, in a DSSE envelope, or in that of a sigstore bundle.
type enveloped struct {
	Payload      []byte `json:"payload"`
	DSSEEnvelope *struct {
		Payload []byte `json:"payload"`
	} `json:"dsseEnvelope"`
	statement
}

var errNotAboutThis = errors.New("it is about another image")

// claimsOf reads the images among the materials of a provenance statement about one of subjects; none, and no error, when
// the document is another kind of statement.
func claimsOf(doc []byte, subjects ...v1.Hash) ([]Claim, error) {
	var e enveloped
	if err := json.Unmarshal(doc, &e); err != nil {
		return nil, err
	}
	s, payload := e.statement, e.Payload
	if e.DSSEEnvelope != nil {
		payload = e.DSSEEnvelope.Payload
	}
	if len(payload) > 0 {
		s = statement{}
		if err := json.Unmarshal(payload, &s); err != nil {
			return nil, fmt.Errorf("payload: %w", err)
		}
	}
	if !strings.HasPrefix(s.PredicateType, provenancePrefix) {
		return nil, nil
	}
	if !s.about(subjects) {
		return nil, errNotAboutThis
	}
	var claims []Claim
	for _, m := range append(s.Predicate.Materials, s.Predicate.BuildDefinition.ResolvedDependencies...) {
		if c, ok := m.claim(); ok && len(claims) < maxClaims && !slices.Contains(claims, c) {
			claims = append(claims, c)
		}
	}
	return claims, nil
}

func (s statement) about(subjects []v1.Hash) bool {
	for _, about := range s.Subject {
		for _, h := range subjects {
			if h.Hex != "" && about.Digest[h.Algorithm] == h.Hex {
				return true
			}
		}
	}
	return false
}

// claim is the image that a material names; ok is false for sources, downloads and names that are none.
//
//	pkg:docker/registry.example.com/base/java@17?digest=sha256:..&platform=linux%2Famd64
func (m material) claim() (c Claim, ok bool) {
	if len(m.URI) > maxName {
		return c, false
	}
	p, err := packageurl.FromString(m.URI)
	if err != nil || p.Type != packageurl.TypeDocker && p.Type != packageurl.TypeOCI {
		return c, false
	}
	q := p.Qualifiers.Map()
	repo, tag := strings.Trim(p.Namespace+"/"+p.Name, "/"), p.Version
	if at := q["repository_url"]; at != "" && p.Type == packageurl.TypeDocker {
		repo = strings.TrimSuffix(at, "/") + "/" + repo
	} else if at != "" {
		repo = at
	}
	c = Claim{Evidence: Provenance, Platform: PlatformName(q["platform"])}
	for _, d := range []string{q["digest"], tag, "sha256:" + m.Digest["sha256"]} {
		if h, err := v1.NewHash(d); err == nil && c.Digest == (v1.Hash{}) {
			c.Digest = h
		}
	}
	if strings.Contains(tag, ":") { // a digest: purls of the OCI type have no tag there
		tag = q["tag"]
	}
	c.Reference, ok = reference(repo, tag)
	return c, ok
}

// reference puts a repository and a tag, which may be empty, together; ok is false where they are no reference.
func reference(repo, tag string) (string, bool) {
	ref := repo
	if tag != "" {
		ref += ":" + tag
	}
	if len(ref) > maxName {
		return "", false
	}
	if _, err := name.NewTag(ref, name.WeakValidation); err != nil {
		return "", false
	}
	return ref, true
}

// PlatformName is a platform as Resolved has it: "linux/arm64/v8" is "linux/arm64"; empty for what is none.
func PlatformName(s string) string {
	if len(s) > maxName {
		return ""
	}
	p, err := parsePlatform(s)
	if err != nil || s == "" {
		return ""
	}
	return p.String()
}

const (
	baseName   = "org.opencontainers.image.base.name"
	baseDigest = "org.opencontainers.image.base.digest"
)

// annotated is the claim in the first of several sets of annotations or labels that has one.
func annotated(platform string, sets ...map[string]string) (c Claim, ok bool) {
	for _, set := range sets {
		ref, _, _ := strings.Cut(set[baseName], "@")
		c = Claim{Evidence: Annotation, Platform: platform}
		if h, err := v1.NewHash(set[baseDigest]); err == nil {
			c.Digest = h
		}
		if valid, ok := reference(ref, ""); ok {
			c.Reference = valid
		}
		if c.Reference != "" || c.Digest != (v1.Hash{}) {
			return c, true
		}
	}
	return Claim{}, false
}
