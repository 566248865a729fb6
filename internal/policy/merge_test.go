package policy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"rebuilder/internal/policy"
)

func vuln(by, id, pkg, version, fixed string, severity policy.Severity, aliases ...string) policy.Finding {
	return policy.Finding{Kind: policy.Vulnerability, ID: id, Aliases: aliases, Type: "deb", Package: pkg, Version: version, FixedIn: fixed, Severity: severity, FoundBy: []string{by}}
}

// line is a finding in the fewest words.
func line(f policy.Finding) string {
	return strings.TrimSpace(fmt.Sprintf("%s %v %s %s -> %s %s %v %s", f.ID, f.Aliases, f.Package, f.Version, f.FixedIn, f.Severity, f.FoundBy, f.Path))
}

func lines(list []policy.Finding) string {
	var out []string
	for _, f := range list {
		out = append(out, line(f))
	}
	return strings.Join(out, "\n")
}

func TestMerge(t *testing.T) {
	for _, c := range []struct {
		name  string
		lists [][]policy.Finding
		want  string
	}{
		{"the same from two", [][]policy.Finding{
			{vuln("rebuilder", "CVE-1", "a", "1", "2", "low")},
			{vuln("trivy", "CVE-1", "a", "1", "3", "high")},
		}, "CVE-1 [] a 1 -> 2 low [rebuilder trivy]"},
		{"by an alias", [][]policy.Finding{
			{vuln("rebuilder", "CVE-1", "a", "1", "2", "low", "GHSA-1")},
			{vuln("grype", "GHSA-1", "a", "1", "", "high")},
		}, "CVE-1 [GHSA-1] a 1 -> 2 low [rebuilder grype]"},
		{"by an alias of an alias, and the CVE is its name", [][]policy.Finding{
			{vuln("rebuilder", "GO-1", "a", "1", "", "unknown", "GHSA-1")},
			{vuln("trivy", "CVE-1", "a", "1", "2", "medium", "ghsa-1")},
			{vuln("grype", "GHSA-1", "a", "1", "2", "high")},
		}, "CVE-1 [GHSA-1 GO-1 ghsa-1] a 1 -> 2 high [rebuilder trivy grype]"},
		{"without a CVE", [][]policy.Finding{
			{vuln("rebuilder", "GO-1", "a", "1", "", "low", "GHSA-1")},
			{vuln("grype", "GHSA-1", "a", "1", "2", "high", "GMS-1")},
			{vuln("trivy", "GMS-1", "a", "1", "2", "high")},
		}, "GO-1 [GHSA-1 GMS-1] a 1 -> 2 low [rebuilder grype trivy]"},
		{"two CVEs of one advisory stay two", [][]policy.Finding{
			{vuln("rebuilder", "CVE-1", "a", "1", "2", "low", "DSA-1"), vuln("rebuilder", "CVE-2", "a", "1", "2", "high", "DSA-1")},
		}, "CVE-2 [DSA-1] a 1 -> 2 high [rebuilder]\nCVE-1 [DSA-1] a 1 -> 2 low [rebuilder]"},
		{"an advisory of two CVEs belongs to both", [][]policy.Finding{
			{vuln("rebuilder", "CVE-1", "a", "1", "2", "low", "DSA-1"), vuln("rebuilder", "CVE-2", "a", "1", "", "high", "DSA-1")},
			{vuln("grype", "DSA-1", "a", "1", "3", "critical", "CVE-1", "CVE-2"), vuln("trivy", "DSA-1", "a", "1", "2", "critical")},
		}, "CVE-2 [DSA-1] a 1 -> 2 high [rebuilder grype trivy]\nCVE-1 [DSA-1] a 1 -> 2 low [rebuilder grype trivy]"},
		{"an advisory of two CVEs that nobody else knows", [][]policy.Finding{
			{vuln("rebuilder", "CVE-3", "b", "1", "2", "low")},
			{vuln("grype", "RHSA-1", "a", "1", "3", "high", "CVE-1", "CVE-2"), vuln("trivy", "RHSA-1", "a", "1", "2", "high", "CVE-2", "CVE-1")},
		}, "RHSA-1 [CVE-1 CVE-2] a 1 -> 2 high [grype trivy]\nCVE-3 [] b 1 -> 2 low [rebuilder]"},
		{"another package, another version", [][]policy.Finding{
			{vuln("rebuilder", "CVE-1", "a", "1", "2", "low"), vuln("rebuilder", "CVE-1", "b", "1", "2", "low")},
			{vuln("trivy", "CVE-1", "a", "1.1", "2", "low")},
		}, "CVE-1 [] a 1 -> 2 low [rebuilder]\nCVE-1 [] a 1.1 -> 2 low [trivy]\nCVE-1 [] b 1 -> 2 low [rebuilder]"},
		{"the lowest fix that is newer", [][]policy.Finding{
			{vuln("rebuilder", "CVE-1", "a", "1.5", "", "unknown")},
			{vuln("trivy", "CVE-1", "a", "1.5", "1.4", "low"), vuln("trivy", "CVE-1", "a", "1.5", "1.10", "low")},
			{vuln("grype", "CVE-1", "a", "1.5", "1.9", "medium")},
		}, "CVE-1 [] a 1.5 -> 1.9 medium [rebuilder trivy grype]"},
		{"secrets by their place", [][]policy.Finding{
			{{Kind: policy.Secret, ID: "private-key", Path: "/a", FoundBy: []string{"rebuilder"}}, {Kind: policy.Secret, ID: "private-key", Path: "/b", FoundBy: []string{"rebuilder"}}},
			{{Kind: policy.Secret, ID: "private-key", Path: "/a", FoundBy: []string{"trivy"}}},
		}, "private-key []   ->   [rebuilder trivy] /a\nprivate-key []   ->   [rebuilder] /b"},
		{"nothing", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := policy.Merge(c.lists...)
			if lines(got) != c.want {
				t.Errorf("got\n%s\nwant\n%s", lines(got), c.want)
			}
			if again := policy.Merge(got); show(again) != show(got) {
				t.Errorf("merged again\n%s\nwant\n%s", lines(again), lines(got))
			}
		})
	}
}

func TestMergeFills(t *testing.T) {
	ours := vuln("rebuilder", "CVE-1", "a", "1", "2", "high")
	ours.Layer, ours.Published, ours.EPSS = -1, 200, ptr(0.1)
	theirs := vuln("trivy", "CVE-1", "a", "1", "2", "low")
	theirs.Layer, theirs.Published, theirs.EPSS, theirs.Title, theirs.Score, theirs.Vector, theirs.Exploited, theirs.PURL = 3, 100, ptr(0.2), "a title", 7.5, "CVSS:3.1/...", true, "pkg:deb/debian/a@1"
	got := policy.Merge([]policy.Finding{ours}, []policy.Finding{theirs})[0]
	if got.Layer != 3 || got.Published != 100 || *got.EPSS != 0.2 || got.Title != "a title" || got.Score != 7.5 || got.Vector == "" || !got.Exploited || got.PURL == "" || got.Severity != "high" {
		t.Errorf("got %s", show(got))
	}
}

func FuzzMerge(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		data := make([]byte, 300)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &scene{data: data}
		a, b := many(s, 8, s.finding), many(s, 8, s.finding)
		got := policy.Merge(a, b)
		if again := policy.Merge(reversed(a), reversed(b)); show(again) != show(got) {
			t.Fatalf("another order:\n%s\n%s", show(got), show(again))
		}
		if again := policy.Merge(got); len(again) != len(got) {
			t.Fatalf("merged again:\n%s\n%s", lines(got), lines(again))
		}
		if len(got) > len(a)+len(b) || len(got) == 0 && len(a)+len(b) > 0 {
			t.Fatalf("%d of %d and %d", len(got), len(a), len(b))
		}
		for _, f := range slices.Concat(a, b) {
			if !slices.ContainsFunc(got, func(g policy.Finding) bool {
				return g.Kind == f.Kind && g.Package == f.Package && slices.Contains(g.FoundBy, f.FoundBy[0])
			}) {
				t.Fatalf("%s is lost:\n%s", line(f), lines(got))
			}
		}
		c := policy.Compare(a, b)
		if len(c.New)+len(c.Remaining) != len(b) || len(c.Fixed) > len(a) {
			t.Fatalf("compared: %s", show(c))
		}
		if c := policy.Compare(a, a); len(c.New)+len(c.Fixed) > 0 {
			t.Fatalf("compared with itself: %s", show(c))
		}
	})
}

// What an image has in a layer of its own as well is its own to mend, wherever else it is.
func TestMergeTellsOfTheLastLayer(t *testing.T) {
	in := func(path string, layer int) policy.Finding {
		f := vuln("rebuilder", "CVE-1", "stdlib", "v1.22.0", "v1.22.1", "high")
		f.Type, f.Path, f.Layer, f.Do = "golang", path, layer, "Build "+path+" anew."
		return f
	}
	for _, lists := range [][][]policy.Finding{
		{{in("/srv/server", 3), in("/bin/tool", 0)}},
		{{in("/bin/tool", 0), in("/srv/server", 3)}},
		{{in("/zzz", 3), in("/bin/tool", 0), in("/srv/server", 3)}},
	} {
		got := policy.Merge(lists...)
		if len(got) != 1 || got[0].Layer != 3 || got[0].Path != "/srv/server" || got[0].Do != "Build /srv/server anew." {
			t.Errorf("merged: %+v", got)
		}
	}
}

func TestCompare(t *testing.T) {
	c := policy.Compare([]policy.Finding{
		vuln("", "CVE-1", "a", "1", "2", "low"), vuln("", "CVE-2", "a", "1", "2", "low"), vuln("", "GHSA-3", "b", "1", "2", "low"),
		{Kind: policy.Secret, ID: "private-key", Path: "/a", Line: 1}, {Kind: policy.Hygiene, ID: "root-user"},
		{Kind: policy.Secret, ID: "jwt", Path: "/c", Line: 1}, {Kind: policy.Secret, ID: "netrc-password", Path: "/d", Line: 1}, {Kind: policy.Secret, ID: "netrc-password", Path: "/d", Line: 2},
	}, []policy.Finding{
		vuln("", "CVE-2", "a", "2", "3", "low"), vuln("", "CVE-3", "b", "1", "2", "low", "GHSA-3"), vuln("", "CVE-1", "c", "1", "2", "low"),
		{Kind: policy.Secret, ID: "private-key", Path: "/a", Line: 7}, {Kind: policy.Secret, ID: "private-key", Path: "/b"},
		{Kind: policy.Secret, ID: "jwt", Path: "/c", Line: 3}, {Kind: policy.Secret, ID: "jwt", Path: "/c", Line: 4}, {Kind: policy.Secret, ID: "netrc-password", Path: "/d", Line: 2},
	})
	for _, part := range []struct {
		name string
		got  []policy.Finding
		want string
	}{
		{"fixed", c.Fixed, "CVE-1 [] a 1 -> 2 low []\nroot-user []   ->   []\nnetrc-password []   ->   [] /d"},
		{"new", c.New, "CVE-1 [] c 1 -> 2 low []\njwt []   ->   [] /c\nprivate-key []   ->   [] /b"},
		{"remaining", c.Remaining, "CVE-2 [] a 2 -> 3 low []\nCVE-3 [GHSA-3] b 1 -> 2 low []\njwt []   ->   [] /c\nnetrc-password []   ->   [] /d\nprivate-key []   ->   [] /a"},
	} {
		if got := lines(part.got); got != part.want {
			t.Errorf("%s\n%s\nwant\n%s", part.name, got, part.want)
		}
	}
}
