package export

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"

	"rebuilder/internal/policy"
)

// namespace is that of the name-based UUIDs below, a random one made for this package.
var namespace = uuid.MustParse("c0a1fb2e-6f0e-4a3c-9b0d-64a4a1f2f7b8")

// writeCycloneDX writes CycloneDX 1.6: the packages that vulnerabilities are in, the vulnerabilities, and what is thought of them.
// What is no vulnerability has no place there.
func writeCycloneDX(r Report) ([]byte, error) {
	bom := cdx.NewBOM()
	bom.SerialNumber = uuid.NewSHA1(namespace, []byte(r.Reference+"\n"+r.Subject.Image+"\n"+stamp(r.At))).URN()
	bom.Metadata = &cdx.Metadata{
		Timestamp: stamp(r.At),
		Tools:     &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: tool, Version: r.Version}}},
		Component: &cdx.Component{BOMRef: "image", Type: cdx.ComponentTypeContainer, Name: r.Subject.Image, Version: r.Subject.Digest, PackageURL: r.imageURL()},
	}
	components, vulnerabilities := []cdx.Component{}, []cdx.Vulnerability{}
	refs := map[string]string{}
	for _, f := range r.Verdict.Findings {
		if f.Kind != policy.Vulnerability {
			continue
		}
		key := strings.Join([]string{f.Type, f.Package, f.Version, f.PURL}, "\x00")
		if refs[key] == "" {
			refs[key] = fmt.Sprintf("package-%d", len(refs)+1)
			components = append(components, cdx.Component{BOMRef: refs[key], Type: cdx.ComponentTypeLibrary, Name: f.Package, Version: f.Version, PackageURL: f.PURL})
		}
		vulnerabilities = append(vulnerabilities, vulnerability(f, fmt.Sprintf("vulnerability-%d", len(vulnerabilities)+1), refs[key]))
	}
	bom.Components, bom.Vulnerabilities = &components, &vulnerabilities
	var out bytes.Buffer
	err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6)
	return out.Bytes(), err
}

func vulnerability(f policy.Judged, ref, of string) cdx.Vulnerability {
	v := cdx.Vulnerability{
		BOMRef: ref, ID: f.ID, Description: f.Title, Recommendation: f.Do,
		Ratings:    &[]cdx.VulnerabilityRating{rating(f)},
		Analysis:   analysis(f),
		Affects:    &[]cdx.Affects{{Ref: of, Range: &[]cdx.AffectedVersions{{Version: f.Version, Status: affected(f)}}}},
		Properties: &[]cdx.Property{{Name: tool + ":outcome", Value: string(f.Outcome)}, {Name: tool + ":fixed-in", Value: f.FixedIn}, {Name: tool + ":found-by", Value: strings.Join(f.FoundBy, " ")}},
	}
	if f.FixedIn == "" {
		*v.Properties = slices.Delete(*v.Properties, 1, 2)
	}
	if f.Published > 0 {
		v.Published = stamp(time.UnixMilli(f.Published))
	}
	if len(f.Aliases) > 0 {
		references := []cdx.VulnerabilityReference{}
		for _, alias := range f.Aliases {
			references = append(references, cdx.VulnerabilityReference{ID: alias, Source: &cdx.Source{Name: database(alias)}})
		}
		v.References = &references
	}
	return v
}

// database is who gives names of this kind.
func database(id string) string {
	prefix, _, _ := strings.Cut(id, "-")
	return prefix
}

func rating(f policy.Judged) cdx.VulnerabilityRating {
	r := cdx.VulnerabilityRating{Severity: cdx.SeverityUnknown, Vector: f.Vector}
	switch f.Severity {
	case policy.SeverityNegligible:
		r.Severity = cdx.SeverityInfo
	case policy.SeverityLow, policy.SeverityMedium, policy.SeverityHigh, policy.SeverityCritical:
		r.Severity = cdx.Severity(f.Severity)
	}
	if f.Score > 0 {
		r.Score = &f.Score
	}
	switch {
	case strings.HasPrefix(f.Vector, "CVSS:4"):
		r.Method = cdx.ScoringMethodCVSSv4
	case strings.HasPrefix(f.Vector, "CVSS:3.1"):
		r.Method = cdx.ScoringMethodCVSSv31
	case strings.HasPrefix(f.Vector, "CVSS:3"):
		r.Method = cdx.ScoringMethodCVSSv3
	case f.Vector != "":
		r.Method = cdx.ScoringMethodCVSSv2
	}
	return r
}

func affected(f policy.Judged) cdx.VulnerabilityStatus {
	if f.Outcome == policy.NotAffected {
		return cdx.VulnerabilityStatusNotAffected
	}
	return cdx.VulnerabilityStatusAffected
}

// analysis says in CycloneDX's words what opinion says in those of OpenVEX.
func analysis(f policy.Judged) *cdx.VulnerabilityAnalysis {
	o := opinionOf(f)
	a := &cdx.VulnerabilityAnalysis{Detail: f.Reason}
	switch o.status {
	case policy.StatusNotAffected:
		a.State, a.Justification = cdx.IASNotAffected, justified[o.justification]
	case policy.StatusFixed:
		a.State = cdx.IASResolved
	case policy.StatusAffected:
		a.State = cdx.IASExploitable
		response := cdx.IARUpdate
		if f.Outcome == policy.Excepted {
			response = cdx.IARWillNotFix
		} else if f.FixedIn == "" {
			response = cdx.IARCanNotFix
		}
		a.Response = &[]cdx.ImpactAnalysisResponse{response}
	default:
		a.State = cdx.IASInTriage
	}
	return a
}

// justified are OpenVEX's justifications in CycloneDX's words.
var justified = map[string]cdx.ImpactAnalysisJustification{
	"component_not_present":                             cdx.IAJCodeNotPresent,
	"vulnerable_code_not_present":                       cdx.IAJCodeNotPresent,
	"vulnerable_code_not_in_execute_path":               cdx.IAJCodeNotReachable,
	"vulnerable_code_cannot_be_controlled_by_adversary": cdx.IAJRequiresEnvironment,
	"inline_mitigations_already_exist":                  cdx.IAJProtectedByMitigatingControl,
}
