package export_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/openvex/go-vex/pkg/vex"
	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"rebuilder/internal/export"
	"rebuilder/internal/golden"
	"rebuilder/internal/policy"
	"rebuilder/internal/sbom/sbomtest"
)

var (
	digest = "sha256:" + strings.Repeat("a", 64)
	at     = time.Date(2026, 11, 18, 6, 30, 0, 0, time.UTC)
)

// report has a finding of each outcome and of each kind.
func report() export.Report {
	epss := 0.42
	e := &policy.Exception{ID: "EX-41", Finding: "CVE-2026-0003", Reason: "never called", Owner: "team-a", Expires: at.AddDate(0, 1, 0)}
	s := &policy.Statement{Author: "upstream", Vulnerability: "CVE-2026-0004", Status: policy.StatusNotAffected, Justification: "vulnerable_code_not_in_execute_path", Impact: "the parser is not built in"}
	fixed := &policy.Statement{Author: "upstream", Vulnerability: "CVE-2026-0005", Status: policy.StatusFixed}
	vulnerable := func(id, pkg, fix string) policy.Finding {
		return policy.Finding{Kind: policy.Vulnerability, ID: id, Type: "deb", Package: pkg, Version: "1.0-1", PURL: "pkg:deb/debian/" + pkg + "@1.0-1", FixedIn: fix, Severity: policy.SeverityHigh, Layer: 0, FoundBy: []string{"rebuilder", "trivy"}}
	}
	worst := vulnerable("CVE-2026-0001", "libssl3", "1.0-2")
	worst.Aliases, worst.Title, worst.Severity, worst.Score, worst.Vector = []string{"GHSA-aaaa-bbbb-cccc"}, "openssl: a hole", policy.SeverityCritical, 9.8, "CVSS:3.1/AV:N"
	worst.Exploited, worst.EPSS, worst.Published, worst.Why, worst.Do, worst.Inherited = true, &epss, at.UnixMilli(), "Anyone can read memory.", "Rebuild the image.", "base/debian"
	return export.Report{
		Subject:   policy.Subject{Image: "base/java", Kind: "base", Digest: digest, Platform: "linux/amd64"},
		Reference: "registry.example.com:5000/base/java@" + digest, At: at, Recipe: "base/java/Dockerfile", From: 3, Version: "1.2.3",
		Verdict: policy.Verdict{Outcome: policy.Fail, Unknown: []string{"trivy has no database"}, Findings: []policy.Judged{
			{Finding: worst, Outcome: policy.Fails, Policy: "pci", Reason: `policy "pci" enforces vulnerabilities`},
			{Finding: policy.Finding{Kind: policy.Secret, ID: "private-key", Title: "A private key", Severity: policy.SeverityHigh, Path: "/root/.ssh/id_ed25519", Line: 1, Layer: 2, Deleted: true, FoundBy: []string{"rebuilder"}}, Outcome: policy.Fails, Reason: "enforced by default"},
			{Finding: vulnerable("CVE-2026-0002", "zlib1g", ""), Outcome: policy.Observed, Reason: "no policy enforces vulnerabilities"},
			{Finding: vulnerable("CVE-2026-0001", "openssl", "1.0-2"), Outcome: policy.Grace, Reason: "time until 2026-12-01", Until: at.AddDate(0, 0, 13)},
			{Finding: policy.Finding{Kind: policy.Hygiene, ID: "root-user", Title: "It runs as root", Severity: policy.SeverityLow, Layer: -1, FoundBy: []string{"rebuilder"}, Why: "=1+1", Do: "Add USER."}, Outcome: policy.Observed},
			{Finding: vulnerable("CVE-2026-0003", "curl", "1.0-2"), Outcome: policy.Excepted, Exception: e, Reason: "EX-41 excuses it until 2026-12-18: never called", Until: e.Expires},
			{Finding: vulnerable("CVE-2026-0004", "libxml2", ""), Outcome: policy.NotAffected, Statement: s, Reason: "upstream says that it is not affected"},
			{Finding: vulnerable("CVE-2026-0005", "libxml2", ""), Outcome: policy.NotAffected, Statement: fixed, Reason: "upstream says that it is fixed"},
		}},
	}
}

func write(t *testing.T, format string, r export.Report) []byte {
	t.Helper()
	body, mediaType, err := export.Write(format, r)
	if err != nil || mediaType == "" {
		t.Fatalf("%q, %v", mediaType, err)
	}
	return body
}

func TestGolden(t *testing.T) {
	for _, format := range export.Formats() {
		golden.Compare(t, "testdata/report."+format, string(write(t, format, report())))
		if a, b := write(t, format, report()), write(t, format, report()); !bytes.Equal(a, b) {
			t.Errorf("%s: the same report gives other bytes", format)
		}
	}
	if _, _, err := export.Write("pdf", report()); err == nil || !strings.Contains(err.Error(), "sarif") {
		t.Error(err)
	}
}

// An image of which nothing is known has reports, too.
func TestNothing(t *testing.T) {
	for _, format := range export.Formats() {
		write(t, format, export.Report{})
	}
}

func TestSARIF(t *testing.T) {
	for name, r := range map[string]export.Report{"whole": report(), "without a recipe": func() export.Report { r := report(); r.Recipe, r.From = "", 0; return r }(), "nothing": {}} {
		doc, err := sarif.FromBytes(write(t, export.SARIF, r))
		if err != nil {
			t.Fatal(err)
		}
		if err := doc.Validate(); err != nil { // against the standard's schema
			t.Errorf("%s: %v", name, err)
		}
	}
	broken, err := sarif.FromString(`{"version":"2.1.0","$schema":"x","runs":[{"tool":{}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if broken.Validate() == nil {
		t.Error("the schema takes anything")
	}

	doc, err := sarif.FromBytes(write(t, export.SARIF, report()))
	if err != nil {
		t.Fatal(err)
	}
	run := doc.Runs[0]
	for _, r := range run.Results {
		if *run.Tool.Driver.Rules[r.RuleIndex].ID != *r.RuleID {
			t.Errorf("%s has the rule of %s", *r.RuleID, *run.Tool.Driver.Rules[r.RuleIndex].ID)
		}
		p := r.Locations[0].PhysicalLocation
		if *p.ArtifactLocation.URI != "base/java/Dockerfile" || *p.Region.StartLine != 3 {
			t.Errorf("%s is at %s:%d", *r.RuleID, *p.ArtifactLocation.URI, *p.Region.StartLine)
		}
	}
	if n := len(run.Tool.Driver.Rules); n != 7 {
		t.Errorf("%d rules", n)
	}
	if run.Results[0].Level != "error" || run.Results[2].Level != "warning" || len(run.Results[5].Suppressions) != 1 {
		t.Error("levels")
	}
}

// The next build of an image has the same findings with the same fingerprints, wherever they are and whatever is installed.
func TestFingerprints(t *testing.T) {
	prints := func(r export.Report) (out []string) {
		doc, err := sarif.FromBytes(write(t, export.SARIF, r))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range doc.Runs[0].Results {
			out = append(out, r.PartialFingerprints["rebuilder/v1"])
		}
		return out
	}
	next := report()
	next.Subject.Digest, next.Reference, next.At, next.From = "sha256:"+strings.Repeat("b", 64), "registry.example.com:5000/base/java@sha256:"+strings.Repeat("b", 64), at.AddDate(0, 0, 1), 9
	for i := range next.Verdict.Findings {
		f := &next.Verdict.Findings[i]
		f.Version, f.PURL, f.Layer, f.Line, f.Outcome, f.Reason = "2.0", "", 7, 99, policy.Observed, "new"
	}
	a, b := prints(report()), prints(next)
	if !slices.Equal(a, b) {
		t.Errorf("%v\n%v", a, b)
	}
	if slices.Sort(a); len(slices.Compact(a)) != len(report().Verdict.Findings) {
		t.Errorf("two findings have one fingerprint: %v", a)
	}
	other := report()
	other.Subject.Image = "base/node"
	if prints(other)[0] == b[0] {
		t.Error("another image has the same fingerprint")
	}
}

func TestCSV(t *testing.T) {
	r := report()
	r.Verdict.Findings[0].Title = `=HYPERLINK("http://example.com","x")` + "\r\nsecond, \"quoted\""
	r.Verdict.Findings[1].Title = "  +1"
	r.Verdict.Findings[2].Title = "\t@x"
	body := write(t, export.CSV, r)
	rows, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(r.Verdict.Findings)+1 || !slices.Equal(rows[0], export.CSVColumns()) {
		t.Fatalf("%d rows, %v", len(rows), rows[0])
	}
	title := slices.Index(rows[0], "title")
	for i, want := range []string{`'=HYPERLINK("http://example.com","x")` + "\nsecond, \"quoted\"", "'  +1", "'\t@x"} {
		if got := rows[i+1][title]; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if !bytes.Contains(body, []byte("\r\n")) {
		t.Error("lines end without CRLF")
	}
}

func TestCycloneDX(t *testing.T) {
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(write(t, export.CycloneDX, report())), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, v := range *bom.Vulnerabilities {
		states[v.ID+" "+(*v.Affects)[0].Ref] = string(v.Analysis.State) + " " + string(v.Analysis.Justification)
	}
	want := map[string]string{
		"CVE-2026-0001 package-1": "exploitable ", "CVE-2026-0002 package-2": "in_triage ", "CVE-2026-0001 package-3": "exploitable ", "CVE-2026-0003 package-4": "exploitable ",
		"CVE-2026-0004 package-5": "not_affected code_not_reachable", "CVE-2026-0005 package-5": "resolved ",
	}
	for key, state := range want {
		if states[key] != state {
			t.Errorf("%s is %q, not %q", key, states[key], state)
		}
	}
	if len(states) != len(want) || len(*bom.Components) != 5 {
		t.Errorf("%d vulnerabilities, %d components", len(states), len(*bom.Components))
	}
	for name, r := range map[string]export.Report{"whole": report(), "nothing": {}} {
		for _, err := range sbomtest.CycloneDX(t, write(t, export.CycloneDX, r)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Several images are one document, and what is said of one is said of that only.
func TestOpenVEXOfSeveral(t *testing.T) {
	other := report()
	other.Subject.Image, other.Subject.Digest = "base/node", "sha256:"+strings.Repeat("b", 64)
	other.Verdict.Findings = other.Verdict.Findings[5:6]
	body, err := export.WriteOpenVEX(report(), other)
	if err != nil {
		t.Fatal(err)
	}
	got, err := export.ReadOpenVEX("own.json", bytes.NewReader(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]int{}
	for _, s := range got.Statements {
		of[strings.Join(s.Digests, " ")]++
	}
	if len(of) != 2 || of[digest] != 6 || of[other.Subject.Digest] != 1 {
		t.Errorf("%v", of)
	}
	if _, err := export.WriteOpenVEX(); err == nil {
		t.Error("a document about nothing was written")
	}
}

// What is written is what the standard asks for, statement by statement, and says the same when it is read.
func TestOpenVEX(t *testing.T) {
	body := write(t, export.OpenVEX, report())
	doc, err := vex.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range doc.Statements {
		if err := s.Validate(); err != nil {
			t.Errorf("%s: %v", s.Vulnerability.Name, err)
		}
	}
	got, err := export.ReadOpenVEX("own.json", bytes.NewReader(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]policy.StatementStatus{}
	if got.ID != doc.ID || got.Version != 1 || got.Author != "rebuilder" {
		t.Errorf("%q, version %d, of %q", got.ID, got.Version, got.Author)
	}
	for _, s := range got.Statements {
		if !slices.Equal(s.Digests, []string{digest}) || len(s.Images) > 0 || !s.At.Equal(at) {
			t.Errorf("%+v", s)
		}
		for _, p := range s.Packages {
			status[s.Vulnerability+" "+p] = s.Status
		}
	}
	for key, want := range map[string]policy.StatementStatus{
		"CVE-2026-0001 pkg:deb/debian/libssl3@1.0-1": policy.StatusAffected, "CVE-2026-0002 pkg:deb/debian/zlib1g@1.0-1": policy.StatusUnderInvestigation,
		"CVE-2026-0003 pkg:deb/debian/curl@1.0-1": policy.StatusAffected, "CVE-2026-0004 pkg:deb/debian/libxml2@1.0-1": policy.StatusNotAffected, "CVE-2026-0005 pkg:deb/debian/libxml2@1.0-1": policy.StatusFixed,
	} {
		if status[key] != want {
			t.Errorf("%s is %q, not %q", key, status[key], want)
		}
	}
}

// Text of images and advisories is text, whatever is in it.
func FuzzWrite(f *testing.F) {
	f.Add("CVE-1", "=cmd", "pkg:deb/a@1", "\x00\xff\n", "a/b:c@d")
	f.Fuzz(func(t *testing.T, id, title, purl, path, image string) {
		r := report()
		r.Subject.Image, r.Reference, r.Recipe = image, image, path
		for i := range r.Verdict.Findings {
			one := &r.Verdict.Findings[i]
			one.ID, one.Title, one.PURL, one.Path, one.Reason, one.Do = id, title, purl, path, title, path
		}
		for _, format := range export.Formats() {
			body := write(t, format, r)
			if format != export.CSV && !json.Valid(body) {
				t.Errorf("%s is no JSON", format)
			}
		}
		rows, err := csv.NewReader(bytes.NewReader(write(t, export.CSV, r))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			for _, cell := range row {
				if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r\n") {
					t.Errorf("a formula: %q", cell)
				}
			}
		}
	})
}
