package scan

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

type grype struct{ Config }

func (*grype) Name() string { return "grype" }

// Scan runs grype, which never updates its database, however old that is, and never asks for anything else.
func (s *grype) Scan(ctx context.Context, t Target) (*Report, error) {
	cache, err := database(s.Name(), s.Database, "grype/db", "6/vulnerability.db", "fetch it with `GRYPE_DB_CACHE_DIR=%s grype db update` or `grype db import FILE`, or name another directory with `database`")
	if err != nil {
		return nil, err
	}
	done, err := scan(ctx, s.Name(), s.Config, t, grypeArgs,
		"GRYPE_DB_CACHE_DIR="+cache, "GRYPE_DB_AUTO_UPDATE=false", "GRYPE_DB_VALIDATE_AGE=false", "GRYPE_CHECK_FOR_APP_UPDATE=false")
	if err != nil {
		return nil, err
	}
	report, err := readGrype(done.out, t)
	if err != nil {
		return nil, garbage(s.Name(), err, done.said)
	}
	report.Took, report.Warnings = done.took, warnings(done.said)
	return report, nil
}

func grypeArgs(t Target, at string) []string {
	if len(t.SBOM) > 0 {
		return []string{"sbom:" + at, "--output", "json"}
	}
	return []string{"oci-dir:" + at, "--output", "json"}
}

// grypeReport is the part of Grype's report that is read.
type grypeReport struct {
	Matches    *[]grypeMatch `json:"matches"`
	Descriptor struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		DB      struct {
			Status struct {
				SchemaVersion string    `json:"schemaVersion"`
				Built         time.Time `json:"built"`
			} `json:"status"`
		} `json:"db"`
	} `json:"descriptor"`
}

type grypeMatch struct {
	Vulnerability struct {
		grypeVulnerability
		Fix struct {
			Versions []string `json:"versions"`
			State    string   `json:"state"`
		} `json:"fix"`
	} `json:"vulnerability"`
	Related  []grypeVulnerability `json:"relatedVulnerabilities"`
	Artifact struct {
		Name      string `json:"name"`
		Version   string `json:"version"`
		PURL      string `json:"purl"`
		Locations []struct {
			LayerID string `json:"layerID"`
		} `json:"locations"`
	} `json:"artifact"`
}

type grypeVulnerability struct {
	ID          string `json:"id"`
	Severity    string `json:"severity"`
	Description string `json:"description"`
	CVSS        []struct {
		Type    string `json:"type"`
		Version string `json:"version"`
		Vector  string `json:"vector"`
		Metrics struct {
			BaseScore float64 `json:"baseScore"`
		} `json:"metrics"`
	} `json:"cvss"`
	KnownExploited []struct {
		CVE string `json:"cve"`
	} `json:"knownExploited"`
	EPSS []struct {
		EPSS float64 `json:"epss"`
	} `json:"epss"`
}

func readGrype(data []byte, t Target) (*Report, error) {
	var in grypeReport
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, err
	}
	if in.Matches == nil || in.Descriptor.Name != "grype" {
		return nil, errors.New("it has no matches, or is not grype's")
	}
	c := collector{by: "grype", t: t}
	for _, m := range *in.Matches {
		if err := c.add(m.found()); err != nil {
			return nil, err
		}
	}
	db := in.Descriptor.DB.Status
	return &Report{Scanner: "grype", Version: in.Descriptor.Version, Database: Database{Version: db.SchemaVersion, Built: db.Built}, Findings: c.sorted()}, nil
}

func (m grypeMatch) found() found {
	v, a := m.Vulnerability, m.Artifact
	f := found{id: v.ID, name: a.Name, version: a.Version, purl: a.PURL, severity: v.Severity, title: v.Description, fixed: v.Fix.Versions}
	if v.Fix.State != "fixed" {
		f.fixed = nil
	}
	if len(a.Locations) > 0 {
		f.diffID = a.Locations[0].LayerID
	}
	f.take(v.grypeVulnerability)
	for _, r := range m.Related {
		f.aliases = append(f.aliases, r.ID)
		if severityOf(f.severity) == "unknown" {
			f.severity = r.Severity
		}
		f.take(r)
	}
	return f
}

// take fills in what is not known yet.
func (f *found) take(v grypeVulnerability) {
	if f.title == "" {
		f.title = v.Description
	}
	best := ""
	for _, c := range v.CVSS {
		if c.Type != "Secondary" && c.Metrics.BaseScore > 0 && c.Version > best && (f.score == 0 || best != "") {
			best, f.score, f.vector = c.Version, c.Metrics.BaseScore, c.Vector
		}
	}
	if len(v.KnownExploited) > 0 {
		f.exploited = true
	}
	if len(v.EPSS) > 0 && f.epss == nil {
		f.epss = &v.EPSS[0].EPSS
	}
}
