package export

import (
	"bytes"
	"cmp"
	"fmt"
	"net/url"
	"strings"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"rebuilder/internal/policy"
)

// writeSARIF writes SARIF 2.1.0. A result is where somebody can do something about it: at the line of the Dockerfile where it
// comes in, or else at the image. Its fingerprint is the same in the next build, so that code scanning follows it.
func writeSARIF(r Report) ([]byte, error) {
	run := sarif.NewRun()
	driver := sarif.NewToolComponent().WithName(tool)
	if r.Version != "" {
		driver.WithVersion(r.Version)
	}
	run.Tool = sarif.NewTool().WithDriver(driver)
	// Code scanning keeps what is open apart by this name.
	run.AutomationDetails = sarif.NewRunAutomationDetails().WithID(strings.TrimSuffix(tool+"/"+r.Subject.Image+"/"+r.Subject.Platform, "/") + "/")
	run.Properties = sarif.NewPropertyBag().Add("outcome", r.Verdict.Outcome).Add("reference", r.Reference).Add("digest", r.Subject.Digest).Add("judgedAt", stamp(r.At))
	if len(r.Verdict.Unknown) > 0 {
		run.Properties.Add("unknown", r.Verdict.Unknown)
	}
	rules := map[string]int{}
	for _, f := range r.Verdict.Findings {
		index, known := rules[f.ID]
		if !known {
			index = len(rules)
			rules[f.ID] = index
			driver.AddRule(rule(f))
		}
		run.AddResult(result(r, f, index))
	}
	var out bytes.Buffer
	err := sarif.NewReport().AddRun(run).PrettyWrite(&out)
	return out.Bytes(), err
}

// rule is an advisory, or a rule of hygiene, as its first finding tells it.
func rule(f policy.Judged) *sarif.ReportingDescriptor {
	short := cmp.Or(f.Title, string(f.Kind)+" "+f.ID)
	help := strings.TrimSpace(f.Why + " " + f.Do)
	if help == "" {
		help = short
	}
	full := cmp.Or(f.Why, short)
	p := sarif.NewPropertyBag().WithTags([]string{"security", string(f.Kind)}).Add("precision", "high").Add("security-severity", score(f))
	if len(f.Aliases) > 0 {
		p.Add("aliases", f.Aliases)
	}
	return sarif.NewRule(f.ID).WithName(f.ID).
		WithShortDescription(text(short)).WithFullDescription(text(full)).WithHelp(text(help)).
		WithDefaultConfiguration(sarif.NewReportingConfiguration().WithLevel(sarif.LevelWarning)).WithProperties(p)
}

func text(s string) *sarif.MultiformatMessageString {
	return sarif.NewMultiformatMessageString().WithText(s)
}

// score is a number that code scanning makes words of: over 9 critical, from 7 high, from 4 medium.
func score(f policy.Judged) string {
	if f.Score > 0 {
		return fmt.Sprintf("%.1f", f.Score)
	}
	switch f.Severity {
	case policy.SeverityCritical:
		return "9.5"
	case policy.SeverityHigh:
		return "8.0"
	case policy.SeverityMedium:
		return "5.5"
	case policy.SeverityLow:
		return "2.0"
	case policy.SeverityNegligible:
		return "0.1"
	}
	return "0.0"
}

func result(r Report, f policy.Judged, index int) *sarif.Result {
	m := mark(r, f)
	out := sarif.NewRuleResult(f.ID).WithRuleIndex(index).WithLevel(level(f.Outcome)).WithMessage(sarif.NewTextMessage(message(f)))
	out.WithLocations([]*sarif.Location{place(r, f)})
	out.WithPartialFingerprints(map[string]string{tool + "/v1": m, "primaryLocationLineHash": m + ":1"})
	p := sarif.NewPropertyBag().Add("outcome", f.Outcome).Add("severity", f.Severity).Add("foundBy", f.FoundBy)
	for name, value := range map[string]string{"package": f.Package, "installedVersion": f.Version, "fixedVersion": f.FixedIn, "purl": f.PURL, "inherited": f.Inherited, "until": stamp(f.Until)} {
		if value != "" {
			p.Add(name, value)
		}
	}
	if f.Layer >= 0 {
		p.Add("layer", f.Layer)
	}
	out.WithProperties(p)
	if !f.Outcome.Open() {
		out.Suppressions = []*sarif.Suppression{sarif.NewSuppression().WithKind("external").WithStatus("accepted").WithJustification(f.Reason)}
	}
	return out
}

func level(o policy.Outcome) string {
	switch o {
	case policy.Fails:
		return sarif.LevelError
	case policy.Grace, policy.Observed:
		return sarif.LevelWarning
	}
	return sarif.LevelNote
}

// message is what people read of a result.
func message(f policy.Judged) string {
	var s strings.Builder
	switch f.Kind {
	case policy.Vulnerability:
		fmt.Fprintf(&s, "%s in %s, ", f.ID, thing(f))
		if f.FixedIn == "" {
			s.WriteString("without a fix so far")
		} else {
			fmt.Fprintf(&s, "fixed in %s", f.FixedIn)
		}
	default:
		fmt.Fprintf(&s, "%s: %s", cmp.Or(f.Title, f.ID), thing(f))
	}
	if f.Reason != "" {
		s.WriteString("; " + f.Reason)
	}
	return strings.TrimSpace(s.String() + ". " + f.Do)
}

// place is where a result is shown, and the package or the file inside the image that it is about.
func place(r Report, f policy.Judged) *sarif.Location {
	file, line := r.Recipe, max(r.From, 1)
	if file == "" {
		file, line = r.repository(), 1
	}
	at := sarif.NewPhysicalLocation().
		WithArtifactLocation(sarif.NewSimpleArtifactLocation((&url.URL{Path: file}).String())).
		WithRegion(sarif.NewRegion().WithStartLine(line))
	inside := sarif.NewLogicalLocation().WithName(thing(f)).WithKind("resource")
	switch {
	case f.PURL != "":
		inside.WithFullyQualifiedName(f.PURL).WithKind("package")
	case f.Path != "":
		inside.WithFullyQualifiedName(f.Path)
	}
	return sarif.NewLocationWithPhysicalLocation(at).WithLogicalLocations([]*sarif.LogicalLocation{inside}).WithMessage(sarif.NewTextMessage(cmp.Or(r.Subject.Image, r.Reference)))
}
