package export

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/openvex/go-vex/pkg/vex"

	"rebuilder/internal/policy"
)

// opinion is what is said of a vulnerability in an image.
type opinion struct {
	status                policy.StatementStatus
	justification, impact string
	action                string
}

// opinionOf says what a verdict thinks of a finding. A statement speaks for itself. An exception leaves the image affected, as
// does what has a fix that is not taken yet. The rest is what scanners say of a version: nobody has looked into it.
func opinionOf(f policy.Judged) opinion {
	s := f.Statement
	switch {
	case f.Outcome == policy.NotAffected && s != nil && s.Status == policy.StatusFixed:
		return opinion{status: policy.StatusFixed}
	case f.Outcome == policy.NotAffected:
		o := opinion{status: policy.StatusNotAffected}
		if s != nil {
			o.justification, o.impact = s.Justification, s.Impact
		}
		if !vex.Justification(o.justification).Valid() {
			o.justification, o.impact = "", cmp.Or(o.impact, f.Reason, "No reason is given.")
		}
		return o
	case f.Outcome == policy.Excepted, f.FixedIn != "", s != nil && s.Status == policy.StatusAffected:
		return opinion{status: policy.StatusAffected, action: action(f)}
	}
	return opinion{status: policy.StatusUnderInvestigation}
}

// action is what is done about a vulnerability that is there; never empty.
func action(f policy.Judged) string {
	switch {
	case f.Outcome == policy.Excepted:
		return "Accepted: " + f.Reason
	case f.Do != "":
		return f.Do
	case f.FixedIn != "":
		return "Update " + f.Package + " to " + f.FixedIn + "."
	}
	return vex.NoActionStatementMsg
}

// WriteOpenVEX writes one OpenVEX document about the digests of some images, their packages as subcomponents.
func WriteOpenVEX(reports ...Report) ([]byte, error) {
	if len(reports) == 0 {
		return nil, errors.New("an OpenVEX document is about one image at least")
	}
	at := slices.MaxFunc(reports, func(a, b Report) int { return a.At.Compare(b.At) }).At.UTC()
	doc := vex.VEX{Metadata: vex.Metadata{
		Context: vex.ContextLocator(), Author: tool, AuthorRole: "image builder", Version: 1, Timestamp: &at, Tooling: strings.TrimSpace(tool + " " + reports[0].Version),
	}, Statements: []vex.Statement{}}
	for _, r := range reports {
		doc.Statements = append(doc.Statements, statements(r)...)
	}
	if _, err := doc.GenerateCanonicalID(); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err := doc.ToJSON(&out)
	return out.Bytes(), err
}

// statements are what a verdict says of the vulnerabilities of one image.
func statements(r Report) (out []vex.Statement) {
	places := map[string]int{}
	for _, f := range r.Verdict.Findings {
		if f.Kind != policy.Vulnerability {
			continue
		}
		o := opinionOf(f)
		key := strings.Join([]string{f.ID, string(o.status), o.justification, o.impact, o.action, strings.Join(f.Aliases, " ")}, "\x00")
		i, ok := places[key]
		if !ok {
			i = len(out)
			places[key] = i
			out = append(out, statement(r, f, o))
		}
		if f.PURL != "" {
			p := &out[i].Products[0]
			p.Subcomponents = append(p.Subcomponents, vex.Subcomponent{Component: vex.Component{ID: f.PURL}})
		}
	}
	return out
}

func statement(r Report, f policy.Judged, o opinion) vex.Statement {
	s := vex.Statement{
		Vulnerability:   vex.Vulnerability{Name: vex.VulnerabilityID(f.ID), Description: f.Title},
		Products:        []vex.Product{{Component: vex.Component{ID: r.imageURL()}}},
		Status:          vex.Status(o.status),
		Justification:   vex.Justification(o.justification),
		ImpactStatement: o.impact,
		ActionStatement: o.action,
	}
	if hex, ok := strings.CutPrefix(r.Subject.Digest, "sha256:"); ok {
		s.Products[0].Hashes = map[vex.Algorithm]vex.Hash{vex.SHA256: vex.Hash(hex)}
	}
	for _, alias := range f.Aliases {
		s.Vulnerability.Aliases = append(s.Vulnerability.Aliases, vex.VulnerabilityID(alias))
	}
	return s
}
