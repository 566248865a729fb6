package scan

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/policy"
)

type trivy struct{ Config }

func (*trivy) Name() string { return "trivy" }

// Scan runs trivy, which never updates its database and never asks for anything else.
func (s *trivy) Scan(ctx context.Context, t Target) (*Report, error) {
	cache, err := database(s.Name(), s.Database, "trivy", "db/trivy.db", "fetch it with `trivy image --download-db-only --cache-dir %s`, or name another directory with `database`")
	if err != nil {
		return nil, err
	}
	done, err := scan(ctx, s.Name(), s.Config, t, func(t Target, at string) []string { return trivyArgs(cache, t, at) },
		"TRIVY_DISABLE_TELEMETRY=true", "TRIVY_SKIP_VERSION_CHECK=true", "TRIVY_NO_PROGRESS=true")
	if err != nil {
		return nil, err
	}
	report, err := readTrivy(done.out, t)
	if err != nil {
		return nil, garbage(s.Name(), err, done.said)
	}
	report.Database, report.Took, report.Warnings = trivyDatabase(cache), done.took, warnings(done.said)
	return report, nil
}

func trivyArgs(cache string, t Target, at string) []string {
	common := []string{"--format", "json", "--scanners", "vuln", "--offline-scan", "--skip-db-update", "--skip-java-db-update", "--cache-dir", cache, "--cache-backend", "memory"}
	if len(t.SBOM) > 0 {
		return slices.Concat([]string{"sbom"}, common, []string{at})
	}
	common = append(common, "--input", at)
	// Without this database it ends in an error when the image has a jar.
	if _, err := os.Stat(filepath.Join(cache, "java-db")); err != nil {
		common = append(common, "--pkg-types", "os")
	}
	return slices.Concat([]string{"image"}, common)
}

// trivyDatabase is what the file beside the database says. What it does not say is not known.
func trivyDatabase(cache string) Database {
	var meta struct {
		Version   int
		UpdatedAt time.Time
	}
	data, err := readSmall(filepath.Join(cache, "db", "metadata.json"))
	if err != nil || json.Unmarshal(data, &meta) != nil {
		return Database{}
	}
	return Database{Version: fmt.Sprint(meta.Version), Built: meta.UpdatedAt}
}

// trivyReport is the part of Trivy's report that is read.
type trivyReport struct {
	SchemaVersion int
	Trivy         struct{ Version string }
	Results       []struct {
		Vulnerabilities []trivyVulnerability
	}
}

type trivyVulnerability struct {
	VulnerabilityID  string
	VendorIDs        []string
	PkgName          string
	PkgIdentifier    struct{ PURL string }
	InstalledVersion string
	FixedVersion     string
	Status           string
	Layer            struct{ DiffID string }
	SeveritySource   string
	Severity         string
	Title            string
	CVSS             map[string]trivyCVSS
	PublishedDate    time.Time
}

type trivyCVSS struct {
	V2Vector, V3Vector, V40Vector string
	V2Score, V3Score, V40Score    float64
}

func readTrivy(data []byte, t Target) (*Report, error) {
	var in trivyReport
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, err
	}
	if in.SchemaVersion != 2 {
		return nil, fmt.Errorf("its schema version is %d, not 2", in.SchemaVersion)
	}
	c := collector{by: "trivy", t: t}
	for _, r := range in.Results {
		for _, v := range r.Vulnerabilities {
			if v.Status == "not_affected" {
				continue
			}
			if err := c.add(v.found()); err != nil {
				return nil, err
			}
		}
	}
	return &Report{Scanner: "trivy", Version: in.Trivy.Version, Findings: c.sorted()}, nil
}

func (v trivyVulnerability) found() found {
	f := found{
		id: v.VulnerabilityID, aliases: v.VendorIDs, name: v.PkgName, version: v.InstalledVersion, purl: v.PkgIdentifier.PURL,
		severity: v.Severity, title: v.Title, diffID: v.Layer.DiffID, published: v.PublishedDate,
	}
	for fixed := range strings.SplitSeq(v.FixedVersion, ",") {
		f.fixed = append(f.fixed, strings.TrimSpace(fixed))
	}
	f.score, f.vector = v.cvss()
	return f
}

// cvss is the score of who gave the severity, or else of who is known to score most.
func (v trivyVulnerability) cvss() (float64, string) {
	for _, source := range []string{v.SeveritySource, "nvd", "ghsa", "redhat"} {
		if c, ok := v.CVSS[source]; ok {
			if score, vector := c.best(); score > 0 {
				return score, vector
			}
		}
	}
	return 0, ""
}

func (c trivyCVSS) best() (float64, string) {
	switch {
	case c.V40Score > 0:
		return c.V40Score, c.V40Vector
	case c.V3Score > 0:
		return c.V3Score, c.V3Vector
	}
	return c.V2Score, c.V2Vector
}

// severityOf reads the words of both scanners.
func severityOf(word string) policy.Severity {
	switch s := policy.Severity(strings.ToLower(word)); s {
	case policy.SeverityNegligible, policy.SeverityLow, policy.SeverityMedium, policy.SeverityHigh, policy.SeverityCritical:
		return s
	}
	return policy.SeverityUnknown
}

// garbage says that what a scanner wrote is no report.
func garbage(name string, err error, said []byte) error {
	return &Unavailable{Scanner: name, Reason: Garbage, Problem: "what it wrote is no report of its: " + printable(cut(err.Error())), Words: lastWords(said), Cause: err,
		Do: "run it by hand; its version may be one that is not known here"}
}

const (
	maxWarnings = 20
	maxText     = 300 // bytes of one
)

// idle are warnings that come with each scan: that bills of materials from others are less exact (these are written for
// it), and where severities come from.
var idle = []string{"Third-party SBOM", "Recommend using Trivy to generate SBOMs", "Using severities from other vendors"}

// warnings are the lines that a scanner marked so.
func warnings(said []byte) (all []string) {
	for line := range strings.Lines(string(said)) {
		if !strings.Contains(line, "WARN") || slices.ContainsFunc(idle, func(s string) bool { return strings.Contains(line, s) }) || len(all) >= maxWarnings {
			continue
		}
		_, text, _ := strings.Cut(printable(line), "WARN")
		all = append(all, cut(cmp.Or(strings.TrimSpace(strings.TrimLeft(text, "]")), "a warning without words")))
	}
	return all
}

func cut(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "") + "..."
	}
	return s
}
