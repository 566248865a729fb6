package scan

import (
	"os"
	"slices"
	"strings"
	"testing"

	"rebuilder/internal/policy"
)

// Whatever a scanner writes, findings are of a known shape or there is an error.
func FuzzReports(f *testing.F) {
	for _, file := range []string{"testdata/trivy.json", "testdata/grype.json"} {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"SchemaVersion":2,"Results":[{"Vulnerabilities":[{"VulnerabilityID":"ghsa-","PkgName":"x","PkgIdentifier":{"PURL":"pkg:rpm/a?upstream=-"},"FixedVersion":","}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, read := range []func([]byte, Target) (*Report, error){readTrivy, readGrype} {
			report, err := read(data, Target{})
			if err != nil {
				continue
			}
			for _, one := range report.Findings {
				if one.ID == "" || one.Package == "" || len(one.FoundBy) != 1 || slices.Contains(one.Aliases, one.ID) || strings.ContainsAny(one.ID+one.Title, "\n\x1b") || one.Kind != policy.Vulnerability {
					t.Errorf("%+v", one)
				}
			}
		}
	})
}

// A report may be large and is not endless.
func TestManyFindings(t *testing.T) {
	c := collector{by: "trivy", all: make([]policy.Finding, maxFindings-1)}
	for range 2 {
		if err := c.add(found{id: "CVE-2026-1", name: "a"}); err != nil {
			t.Error(err)
		}
	}
	if err := c.add(found{id: "CVE-2026-2", name: "a"}); err == nil {
		t.Error("no end")
	}
}
