package advisory_test

import (
	"bytes"
	"testing"

	"rebuilder/internal/advisory"
	"rebuilder/internal/inventory"
)

// No record makes anything panic, and neither does a version.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"id":"CVE-2026-0001","affected":[{"package":{"ecosystem":"Debian:12","name":"a"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"a:b"}]}],"versions":["1"]}]}`), "1.0")
	f.Add([]byte(`{"id":"A","modified":"x","aliases":["CVE-2026-0001"],"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N"}],"affected":[{"package":{"ecosystem":"Maven","name":"g:a"},"ranges":[{"type":"ECOSYSTEM","events":[{"limit":"*"},{"last_affected":"1-rc"}]}]}]}`), "1.0-SNAPSHOT")
	f.Add([]byte(`{"id":"A","affected":[{"package":{"ecosystem":"PyPI","name":"_"},"ranges":[{"type":"SEMVER","events":[{"introduced":"1!2.dev0"}]}]}]}`), "1.0.post1")
	f.Fuzz(func(_ *testing.T, raw []byte, version string) { _ = advisory.Parse(raw, version) })
}

// What is hit is fixed by the version that fixes, which is not hit, in whatever order a record has its events.
func FuzzRange(f *testing.F) {
	f.Add("1.0-1", "1.0-2")
	f.Add("1:0~rc1", "2")
	f.Add("1", "0")
	f.Fuzz(func(t *testing.T, version, fixedIn string) {
		for _, family := range []string{inventory.Deb, inventory.APK, inventory.RPM, inventory.Golang, inventory.NPM, inventory.PyPI, inventory.Maven} {
			hit, fix, err := advisory.Hits(family, version, "fixed", fixedIn, "introduced", "0")
			if err != nil || version == "0" {
				continue
			}
			if hit && (fix != fixedIn || fixedIn == "0") {
				t.Errorf("%s: %q is hit, and fixed in %q, not %q", family, version, fix, fixedIn)
			}
			if was, _, err := advisory.Hits(family, fixedIn, "introduced", "0", "fixed", fixedIn); err != nil || was {
				t.Errorf("%s: %q is hit by what it fixes: %v", family, fixedIn, err)
			}
			if last, _, err := advisory.Hits(family, version, "introduced", "0", "last_affected", version); err == nil && !last {
				t.Errorf("%s: %q is the last affected and is not", family, version)
			}
		}
	})
}

func FuzzList(f *testing.F) {
	f.Add([]byte("#model_version:v1,score_date:2026-11-20T00:00:00+0000\ncve,epss,percentile\nCVE-2026-0001,0.1,0.2\n\"\n"))
	f.Add([]byte(`{"vulnerabilities":[{"cveID":"CVE-2026-0001","dateAdded":"2026-01-01"}]}`))
	f.Add([]byte("\x1f\x8b\x00"))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		for _, kind := range []advisory.Kind{advisory.EPSS, advisory.Exploited} {
			_, _ = advisory.ReadList(kind, bytes.NewReader(raw))
		}
	})
}
