package advisory_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/advisory"
	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
	"rebuilder/internal/store/storetest"
)

// Several records of one vulnerability are one finding for each package, by the name that people know best.
func TestRecordsOfOneVulnerability(t *testing.T) {
	w := newWorld(t, nil)
	dsa := with(record("DSA-5999-1", "Debian:12", "openssl", "introduced 0", "fixed 3.0.22-1"), "upstream", []string{"CVE-2026-0001", "CVE-2026-0002"})
	w.write(dsa,
		with(record("DEBIAN-CVE-2026-0001", "Debian:12", "openssl", "introduced 0", "fixed 3.0.21-1"), "upstream", []string{"CVE-2026-0001"}),
		with(record("GO-2026-0001", "Go", "example.com/a", "introduced 0", "fixed 1.1.0"), "aliases", []string{"GHSA-aaaa-bbbb-cccc", "CVE-2026-0003"}),
		with(record("GHSA-aaaa-bbbb-cccc", "Go", "example.com/a", "introduced 0"), "summary", "It breaks\nquite badly"),
		with(record("GO-2026-0009", "Go", "example.com/a", "introduced 0"), "aliases", []string{"GHSA-zzzz-zzzz-zzzz"}),
		with(record("GHSA-zzzz-zzzz-zzzz", "Go", "example.com/a", "introduced 0"), "related", []string{"CVE-2026-0007"}),
		with(record("ALSA-2026:1", "AlmaLinux:9", "dnsmasq", "introduced 0", "fixed 3"), "related", []string{"CVE-2026-0004", "CVE-2026-0005"}),
	)
	w.sync()
	inv := image(bookworm, deb("libssl3", "3.0.20-1", "openssl", ""), deb("openssl", "3.0.20-1", "openssl", ""), pkg(inventory.Golang, "example.com/a", "v1.0.0"))
	got := []string{}
	for _, f := range w.result(inv).Findings {
		got = append(got, fmt.Sprintf("%s %s %s [%s]", f.ID, f.Package, f.FixedIn, strings.Join(f.Aliases, " ")))
	}
	w.same("findings", got, []string{
		"CVE-2026-0001 libssl3 3.0.22-1 [DEBIAN-CVE-2026-0001 DSA-5999-1]", "CVE-2026-0001 openssl 3.0.22-1 [DEBIAN-CVE-2026-0001 DSA-5999-1]",
		"CVE-2026-0002 libssl3 3.0.22-1 [DSA-5999-1]", "CVE-2026-0002 openssl 3.0.22-1 [DSA-5999-1]",
		"CVE-2026-0003 example.com/a 1.1.0 [GHSA-aaaa-bbbb-cccc GO-2026-0001]",
		"GO-2026-0009 example.com/a  [GHSA-zzzz-zzzz-zzzz]",
	})
	if f := w.result(inv).Findings[4]; f.Title != "It breaks" {
		t.Errorf("%+v", f)
	}
	w.same("what AlmaLinux relates to is what it fixes", w.found(image(alma, pkg(inventory.RPM, "dnsmasq", "2"))), []string{"CVE-2026-0004 dnsmasq 2 fixed 3", "CVE-2026-0005 dnsmasq 2 fixed 3"})
}

func TestHowBadItIs(t *testing.T) {
	cvss := func(kind, vector string) []m { return []m{{"type": kind, "score": vector}} }
	const v4, v31, v30, v2 = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "CVSS:3.0/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:N/A:N", "AV:N/AC:L/Au:N/C:P/I:P/A:P"
	word := func(at, key, s string) func(m) {
		return func(r m) {
			in := r
			if at == "affected" {
				in, at = r["affected"].([]any)[0].(m), "ecosystem_specific"
			}
			in[at] = m{key: s}
		}
	}
	for _, c := range []struct {
		name     string
		set      func(m)
		severity policy.Severity
		score    float64
	}{
		{"nothing", func(m) {}, policy.SeverityUnknown, 0},
		{"CVSS 2", func(r m) { r["severity"] = cvss("CVSS_V2", v2) }, policy.SeverityHigh, 7.5},
		{"CVSS 3.0", func(r m) { r["severity"] = cvss("CVSS_V3", v30) }, policy.SeverityMedium, 5.5},
		{"CVSS 3.1", func(r m) { r["severity"] = cvss("CVSS_V3", v31) }, policy.SeverityCritical, 9.8},
		{"CVSS 4", func(r m) { r["severity"] = cvss("CVSS_V4", v4) }, policy.SeverityCritical, 9.3},
		{"the newest counts", func(r m) { r["severity"] = append(cvss("CVSS_V3", v30), cvss("CVSS_V2", v2)...) }, policy.SeverityMedium, 5.5},
		{"no vector", func(r m) { r["severity"] = cvss("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:?") }, policy.SeverityUnknown, 0},
		{"of the package", func(r m) { r["affected"].([]any)[0].(m)["severity"] = cvss("CVSS_V3", v30) }, policy.SeverityMedium, 5.5},
		{"Ubuntu's word", func(r m) { r["severity"] = cvss("Ubuntu", "medium") }, policy.SeverityMedium, 0},
		{"GitHub's word", word("database_specific", "severity", "MODERATE"), policy.SeverityMedium, 0},
		{"Debian's word", word("affected", "urgency", "unimportant"), policy.SeverityNegligible, 0},
		{"Debian has none yet", word("affected", "urgency", "not yet assigned"), policy.SeverityUnknown, 0},
		{"AlmaLinux's word", func(r m) { r["summary"] = "Important: curl security update" }, policy.SeverityHigh, 0},
		{"CVSS before words", func(r m) { r["severity"] = cvss("CVSS_V3", v30); r["database_specific"] = m{"severity": "CRITICAL"} }, policy.SeverityMedium, 5.5},
		{"a shape of its own", func(r m) { r["database_specific"] = []any{1, 2} }, policy.SeverityUnknown, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := record("CVE-2026-0001", "Debian:12", "curl", "introduced 0")
			c.set(r)
			severity, score, err := advisory.SeverityOf(raw(t, r))
			if err != nil || severity != c.severity || score != c.score {
				t.Errorf("%s %v %v, want %s %v", severity, score, err, c.severity, c.score)
			}
		})
	}
}

// How bad something is, only another record may say.
func TestSeverityOfAnotherRecord(t *testing.T) {
	w := newWorld(t, nil)
	bad := with(with(record("GHSA-aaaa-bbbb-cccc", "npm", "curl-js", "introduced 0"), "aliases", []string{"CVE-2026-0001"}), "severity", []m{{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}})
	w.write(record("DEBIAN-CVE-2026-0001", "Debian:12", "curl", "introduced 0", "fixed 8"), bad)
	w.sync()
	f := w.result(image(bookworm, deb("curl", "7", "curl", ""))).Findings
	if len(f) != 1 || f[0].Severity != policy.SeverityCritical || f[0].Why != "Its CVSS base score is 9.8 of 10." || f[0].Do != "Rebuild when curl 8 is in the image's repositories." {
		t.Errorf("%+v", f)
	}
	x, ok, err := w.book.Lookup(t.Context(), "debian-cve-2026-0001")
	if err != nil || !ok || x.ID != "CVE-2026-0001" || !slices.Equal(x.Aliases, []string{"DEBIAN-CVE-2026-0001"}) || len(x.Packages) != 1 || !slices.Equal(x.Packages[0].Fixed, []string{"8"}) {
		t.Errorf("%+v %v %v", x, ok, err)
	}
	x, ok, err = w.book.Lookup(t.Context(), "CVE-2026-0001")
	if err != nil || !ok || x.Severity != policy.SeverityCritical || len(x.Packages) != 2 || !slices.Equal(x.Sources, []string{"dir"}) || x.Withdrawn || x.Exploited || x.EPSS != nil {
		t.Errorf("%+v %v %v", x, ok, err)
	}
	if _, ok, err := w.book.Lookup(t.Context(), "CVE-2020-0001"); ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
}

// The package that is to be waited for is the one whose version the fix is.
func TestWhatIsWaitedFor(t *testing.T) {
	w := newWorld(t, nil)
	w.write(with(record("CVE-2026-0001", "AlmaLinux:9", "openssl-libs", "introduced 0", "fixed 2"), "summary", "Important: openssl security update"), record("CVE-2026-0002", "Debian:12", "openssl", "introduced 0", "fixed 2"))
	w.sync()
	for want, inv := range map[string]*inventory.Inventory{
		"Rebuild when openssl-libs 2 is in the image's repositories.": image(alma, inventory.Package{Type: inventory.RPM, Name: "openssl-libs", Version: "1", Source: "openssl", SourceVersion: "1"}),
		"Rebuild when openssl 2 is in the image's repositories.":      image(bookworm, deb("libssl3", "1", "openssl", "1")),
	} {
		if f := w.result(inv).Findings; len(f) != 1 || f[0].Do != want || f[0].Severity == policy.SeverityHigh && f[0].Why != "Advisories call it high." {
			t.Errorf("%+v, want %s", f, want)
		}
	}
}

// A fix is known since the record with it came; of one that was there without, since it has it.
func TestSinceWhenAFixIsKnown(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)).WithClock(func() time.Time { return now }))
	inv := image(bookworm, deb("curl", "7", "curl", ""), deb("bash", "5", "bash", ""))
	check := func(what string, bash, curl string) {
		t.Helper()
		w.sync()
		var got []string
		for _, f := range w.result(inv).Findings {
			at := ""
			if f.FixKnown != 0 {
				at = time.UnixMilli(f.FixKnown).UTC().Format(time.DateOnly)
			}
			got = append(got, at)
		}
		w.same(what, got, []string{bash, curl})
	}
	w.write(record("CVE-2026-0001", "Debian:12", "bash", "introduced 0", "fixed 6"), record("CVE-2026-0002", "Debian:12", "curl", "introduced 0"))
	check("at first", "2026-01-02", "")
	now = now.AddDate(0, 0, 1)
	w.write(record("CVE-2026-0001", "Debian:12", "bash", "introduced 0", "fixed 6.1"), record("CVE-2026-0002", "Debian:12", "curl", "introduced 0", "fixed 8"))
	check("a day later", "2026-01-02", "2026-03-02")
	now = now.AddDate(0, 0, 1)
	w.write(with(record("CVE-2026-0002", "Debian:12", "curl", "introduced 0", "fixed 8"), "summary", "in other words"))
	check("in other words", "2026-01-02", "2026-03-02")
}

func TestFindingsAreWhole(t *testing.T) {
	w := newWorld(t, nil)
	w.write(with(with(record("CVE-2026-0001", "Go", "example.com/a/v2", "introduced 0", "fixed 2.1.0"), "published", "2026-01-01T00:00:00Z"), "summary", "a\x1b[31mb"), record("CVE-2026-0002", "Maven", "g:a", "introduced 0"),
		record("CVE-2026-0003", "Go", "stdlib", "introduced 0", "fixed 1.27.1"))
	w.sync()
	p := pkg(inventory.Golang, "example.com/a/v2", "v2.0.0")
	p.Path, p.Layer = "/app/server", 3
	std := pkg(inventory.Golang, "stdlib", "go1.26.0")
	f := w.result(image(bookworm, p, pkg(inventory.Maven, "g:a", "1"), std)).Findings
	if len(f) != 3 {
		t.Fatalf("%+v", f)
	}
	if f := f[0]; f.Path != "/app/server" || f.Layer != 3 || f.PURL != "pkg:golang/example.com/a/v2@v2.0.0" || f.Do != "Use example.com/a/v2 2.1.0 or newer in /app/server." || f.Published == 0 || f.Title != "a [31mb" || !slices.Equal(f.FoundBy, []string{"rebuilder"}) {
		t.Errorf("%+v", f)
	}
	if f := f[1]; f.PURL != "pkg:maven/g/a@1" || f.Do != "There is no patch yet." {
		t.Errorf("%+v", f)
	}
	if f := f[2]; f.Do != "Build what has it with Go 1.27.1 or newer." {
		t.Errorf("%+v", f)
	}
}
