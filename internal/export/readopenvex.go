package export

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/openvex/go-vex/pkg/vex"
	packageurl "github.com/package-url/packageurl-go"

	"rebuilder/internal/policy"
)

const (
	maxDocument   = 32 << 20 // bytes of an OpenVEX document
	maxStatements = 100_000  // a product of a statement counts as one
	maxProblems   = 20       // that are told
)

// Document is an OpenVEX document.
type Document struct {
	ID         string // its own, empty when it has none
	Version    int
	Author     string
	Statements []policy.Statement // one for each product
}

// ReadOpenVEX reads an OpenVEX document; name is what errors call it. A statement is about an image where a
// product of it is a package URL of an image ("pkg:oci/debian@sha256:...") or a digest, and about a package in any image where
// it is that of a package. images turns a repository ("registry.example.com/base/debian") into names in the graph; nil: they
// are called like that.
//
// A statement that is wrong, or about nothing that could be in an image, is left out and named in the error; the others are
// returned beside it. Without a document there is none of those, and no Version.
func ReadOpenVEX(name string, r io.Reader, images func(repository string) []string) (Document, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return Document{}, fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > maxDocument {
		return Document{}, fmt.Errorf("%s: it has more than %d bytes", name, maxDocument)
	}
	doc, err := vex.Parse(data)
	if err != nil {
		return Document{}, fmt.Errorf("%s: it is no OpenVEX document: %w", name, err)
	}
	if !strings.HasPrefix(doc.Context, vex.Context) {
		return Document{}, fmt.Errorf("%s: it is no OpenVEX document: its @context is %.100q, not %q", name, doc.Context, vex.ContextLocator())
	}
	v := vexReader{author: cmp.Or(doc.Author, name), images: images}
	for i := range doc.Statements {
		if err := v.statement(doc, &doc.Statements[i]); err != nil {
			v.problem(fmt.Errorf("%s: statement %d (%.100s): %w", name, i+1, vulnerabilityName(doc.Statements[i].Vulnerability), err))
		}
	}
	return Document{doc.ID, doc.Version, v.author, v.out}, v.problems()
}

type vexReader struct {
	author string
	images func(string) []string
	out    []policy.Statement
	wrong  []error
	more   int
}

func (v *vexReader) problem(err error) {
	if len(v.wrong) < maxProblems {
		v.wrong = append(v.wrong, err)
	} else {
		v.more++
	}
}

func (v *vexReader) problems() error {
	if v.more > 0 {
		v.wrong = append(v.wrong, fmt.Errorf("and %d more", v.more))
	}
	return errors.Join(v.wrong...)
}

func vulnerabilityName(v vex.Vulnerability) string { return cmp.Or(string(v.Name), v.ID) }

func (v *vexReader) statement(doc *vex.VEX, s *vex.Statement) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if vulnerabilityName(s.Vulnerability) == "" {
		return errors.New("it names no vulnerability")
	}
	if len(s.Products) == 0 {
		return errors.New("it names no product: say which image it is about")
	}
	base := policy.Statement{
		Author: v.author, Vulnerability: vulnerabilityName(s.Vulnerability), Status: policy.StatementStatus(s.Status),
		Justification: string(s.Justification), Impact: cmp.Or(s.ImpactStatement, s.StatusNotes, s.ActionStatement), At: said(doc, s),
	}
	for _, alias := range s.Vulnerability.Aliases {
		base.Aliases = append(base.Aliases, string(alias))
	}
	var wrong []error
	for _, p := range s.Products {
		one, err := v.product(base, p)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		if len(v.out) >= maxStatements {
			return fmt.Errorf("the document has more than %d statements", maxStatements)
		}
		v.out = append(v.out, one)
	}
	return errors.Join(wrong...)
}

// said is when a statement was last made.
func said(doc *vex.VEX, s *vex.Statement) time.Time {
	for _, t := range []*time.Time{s.LastUpdated, s.Timestamp, doc.LastUpdated, doc.Timestamp} {
		if t != nil && !t.IsZero() {
			return t.UTC()
		}
	}
	return time.Time{}
}

// product narrows a statement to one of its products. One that cannot be told is an error: the statement would be about more
// than it says.
func (v *vexReader) product(s policy.Statement, p vex.Product) (policy.Statement, error) {
	for _, id := range identifiers(p.Component) {
		if s.Packages == nil {
			v.narrow(&s, id)
		}
	}
	s.Digests = unique(s.Digests)
	if len(s.Digests) > 0 {
		s.Images = nil // the digest says more
	}
	s.Images = unique(s.Images)
	if len(s.Images) == 0 && len(s.Digests) == 0 && len(s.Packages) == 0 {
		return s, fmt.Errorf("product %.200q is no image and no package: name an image as \"pkg:oci/NAME@sha256:...\"", p.ID)
	}
	for _, sub := range p.Subcomponents {
		purl := ""
		for _, id := range identifiers(sub.Component) {
			if q, err := packageurl.FromString(id); err == nil {
				purl = q.ToString()
			}
		}
		if purl == "" {
			return s, fmt.Errorf("subcomponent %.200q is no package URL", sub.ID)
		}
		s.Packages = append(s.Packages, purl)
	}
	return s, nil
}

// identifiers are all names of a component, digests as "sha256:...".
func identifiers(c vex.Component) (all []string) {
	for _, id := range append([]string{c.ID}, c.Identifiers[vex.PURL]) {
		if id != "" {
			all = append(all, id)
		}
	}
	if h := c.Hashes[vex.SHA256]; h != "" {
		all = append(all, "sha256:"+strings.ToLower(string(h)))
	}
	return all
}

var digest = regexp.MustCompile(`sha256:[0-9a-f]{64}$`)

// narrow adds what one identifier says.
func (v *vexReader) narrow(s *policy.Statement, id string) {
	p, err := packageurl.FromString(id)
	switch {
	case err != nil: // "sha256:...", or "host/repo@sha256:..."
		if d := digest.FindString(id); d != "" {
			s.Digests = append(s.Digests, d)
		}
	case p.Type == packageurl.TypeOCI || p.Type == packageurl.TypeDocker:
		if d := digest.FindString(p.Version); d != "" {
			s.Digests = append(s.Digests, d)
			return
		}
		repository := cmp.Or(p.Qualifiers.Map()["repository_url"], strings.TrimPrefix(p.Namespace+"/"+p.Name, "/"))
		for _, image := range v.named(repository) {
			s.Images = append(s.Images, literal(image))
		}
	default:
		s.Packages = append(s.Packages, p.ToString())
	}
}

func (v *vexReader) named(repository string) []string {
	if v.images == nil {
		return []string{repository}
	}
	return v.images(repository)
}

// literal is a pattern that means a name and nothing else.
func literal(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
