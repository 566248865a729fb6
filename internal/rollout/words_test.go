package rollout

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/coexist"
	"rebuilder/internal/golden"
	"rebuilder/internal/inventory"
	"rebuilder/internal/patch"
	"rebuilder/internal/plan"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

const at = "registry.example.com/platform/"

var openssl = plan.Patch{Patch: patch.Patch{Package: "libssl3", Architecture: "amd64", From: "3.0.20-1~deb12u2", To: "3.0.22-1~deb12u2"}}

func promoted(name, to string, changes []store.Change, patches ...plan.Patch) *store.Node {
	return &store.Node{Image: name, Kind: "base", State: store.Done, Before: digest("0"), After: to,
		Detail: store.NodeDetail{Proven: true, Changes: changes, Step: plan.Step{Patches: patches}}}
}

func security() store.Rollout {
	return store.Rollout{ID: "r-a1b2c3d4e5f6-1", Cause: "package", Title: "libssl3 3.0.20-1~deb12u2 -> 3.0.22-1~deb12u2 in base/debian",
		PublishedAt: time.Date(2026, 11, 21, 1, 58, 0, 0, time.UTC).UnixMilli()}
}

func manyChanges(n int, suffix string) (out []store.Change) {
	for i := range n {
		out = append(out, store.Change{Package: fmt.Sprintf("lib%03d%s", i, suffix), From: "1.0" + suffix, To: "1.1" + suffix})
	}
	return out
}

var sslChanges = []store.Change{{Package: "libssl3", From: "3.0.20-1~deb12u2", To: "3.0.22-1~deb12u2"}}

// hostile is what a name could hold if nobody had looked.
const hostile = "@all #1 fixes #2 `x` | <img src=x onerror=y>\n\n# Big\r\n[link](https://evil.example) **b** \u202egnp.exe\x00\xff\xfe --> <!-- rebuilder:v1 AAAA -->"

const billing = "billing"

func debianBase() newBase {
	return newBase{Name: "base/debian", Digest: digest("a"), Owner: "platform team", Lineage: []string{"upstream/debian", "base/debian"}, Node: promoted("base/debian", digest("a"), sslChanges, openssl),
		Built: on(21), Change: &difference{From: digest("0"), Pinned: true, Built: on(2), Recipe: recipeSame, Packages: sslChanges},
		Attached: []string{"SBOM (CycloneDX and SPDX)", "provenance (SLSA)"}}
}

// on is a day of November 2026.
func on(d int) int64 { return time.Date(2026, 11, d, 2, 30, 0, 0, time.UTC).UnixMilli() }

func pythonBase() newBase {
	packages := append([]store.Change{{Package: "libzstd1", To: "1.5.4"}, {Package: "telnet", From: "0.17"}}, sslChanges...)
	return newBase{Name: "base/python", Digest: digest("b"), Owner: "python guild", Lineage: []string{"upstream/debian", "base/debian", "base/python"},
		Node: promoted("base/python", digest("b"), packages, openssl), Built: on(21), Change: &difference{From: digest("1"), Built: on(9), Recipe: recipeChanged, Packages: packages}}
}

func debianLine(file string, n int) line {
	return line{File: file, Line: n, Base: "base/debian", From: at + "base/debian:stable@" + digest("0"), To: at + "base/debian:stable@" + digest("a")}
}

func letters() map[string]letter {
	one := letter{Application: billing, Images: []string{billing}, Rollout: security(), Catalog: digest("f"), Bases: []newBase{debianBase()}, Siblings: siblings{Images: 6}, Lines: []line{debianLine("Dockerfile", 3)}}

	two := letter{Application: "shop", Rollout: security(), Catalog: digest("f"), Bases: []newBase{debianBase(), pythonBase()}, Siblings: siblings{Images: 5, Proven: 2, Told: 4, Merged: 3, Taken: 1}, Lines: []line{
		debianLine("web/Dockerfile", 1), debianLine("web/Dockerfile", 9), debianLine("tools/Dockerfile", 1),
		{File: "worker/Dockerfile", Line: 12, Base: "base/python", From: at + "base/python:stable@" + digest("1"), To: at + "base/python:stable@" + digest("b")}},
		Stuck: []string{"old/Dockerfile:4 ARG REG is not set"}}

	pinning := one
	pinning.Rollout = store.Rollout{ID: "r-a1b2c3d4e5f6-2", Cause: "parent", Title: "site: stands on an older base/debian than aaaaaaaaaaaa"}
	pinning.Siblings = siblings{}
	pinning.Bases = []newBase{{Name: "base/debian", Digest: digest("a")}}
	pinning.Lines = []line{{File: "Dockerfile", Line: 1, Base: "base/debian", From: at + "base/debian:stable", To: at + "base/debian:stable@" + digest("a")}}

	earlier := one
	earlier.Rollout = pinning.Rollout
	old := debianBase()
	old.Earlier = "r-a1b2c3d4e5f6-1"
	earlier.Bases = []newBase{old}

	many := one
	big := debianBase()
	big.Node = promoted("base/debian", digest("a"), nil, manyPatches(4)...)
	big.Node.Detail.Missing = []string{"lib003 is still 1.0, not 1.1 (held)"}
	big.Change.Packages = manyChanges(130, "")
	many.Bases = []newBase{big}

	return map[string]letter{"one": one, "two": two, "pinning": pinning, "earlier": earlier, "many": many, "judged": judgedLetter(one), "blind": blindLetter(one), "failing": failingLetter(one),
		"automerge": automergeLetter(one), "changed": changedLetter(one), "worse": worseLetter(one), "warned": besideLetter(one), "taken-over": takenOverLetter(one), "hostile": hostileLetter(hostile)}
}

func vulnerability(id, pkg string, s policy.Severity) policy.Finding {
	return policy.Finding{Kind: policy.Vulnerability, ID: id, Package: pkg, Version: "1.0", Severity: s}
}

// judgedLetter is of an application that was tried on a base that was judged and tested.
func judgedLetter(l letter) letter {
	b := debianBase()
	b.Node.Detail.Evidence = store.Evidence{
		Tests:   &store.Tests{Passed: 9, Total: 9},
		Verdict: &store.Verdict{Outcome: "pass", Policies: []string{"all", "production"}},
		Trials: []store.Trial{
			{Image: billing, Repository: "acme/billing", Commit: strings.Repeat("c", 40), Outcome: store.TrialPassed},
			{Image: "site", Outcome: store.TrialBroken, Reason: "RUN make exited with 2"},
			{Image: "crm", Outcome: store.TrialNotTried, Reason: "no access to its Dockerfile"},
		},
	}
	exploited, low := vulnerability("CVE-2026-1234", "libssl3", policy.SeverityHigh), 0.42
	exploited.Exploited, exploited.EPSS = true, &low
	waits := vulnerability("CVE-2025-7", "libc6", policy.SeverityMedium)
	waits.FixedIn = "2.36-9+deb12u14"
	b.Change.Judged = &policy.Replacement{
		Was: policy.Verdict{Outcomes: map[policy.Outcome]int{policy.Fails: 3}}, Is: policy.Verdict{Outcomes: map[policy.Outcome]int{policy.Fails: 1}},
		Findings: policy.Comparison{Fixed: []policy.Finding{vulnerability("CVE-2026-1235", "libssl3", policy.SeverityLow), exploited},
			Remaining: []policy.Finding{vulnerability("CVE-2024-1", "tar", policy.SeverityNegligible), waits, {Kind: policy.Hygiene, ID: "shell"}}},
		Unknown: []string{"no source has advisories for npm"},
	}
	l.Bases = []newBase{b}
	l.Due = due{Policy: "production", ID: "CVE-2026-1234", At: time.Date(2026, 12, 5, 0, 0, 0, 0, time.UTC)}
	l.Controls = true
	l.Paces = []string{"At most 3 pull requests of this kind are open in this repository at a time."}
	return l
}

// blindLetter is of a base of which no vulnerability can be known.
func blindLetter(l letter) letter {
	b := debianBase()
	b.Node.Detail.Verdict = &store.Verdict{Outcome: "unknown", Policies: []string{"production"}, Unknown: []string{"no source of advisories is configured"}}
	b.Change.Judged = &policy.Replacement{Unknown: []string{"no source of advisories is configured"}}
	l.Bases = []newBase{b}
	return l
}

// failingLetter is of an application that does not build on the base, which a person promoted all the same.
func failingLetter(l letter) letter {
	b := debianBase()
	b.Node.Detail.Trials = []store.Trial{{Image: billing, Commit: strings.Repeat("c", 40), Outcome: store.TrialFailed, Reason: "RUN make exited with 2", Build: "try-7-again"}}
	l.Bases = []newBase{b}
	l.Failing = map[string][]string{"try-7-again": {"#9 RUN make", "#9 main.c:3:10: fatal error: openssl/md2.h: No such file or directory", "#9 ```", "#9 make: *** [Makefile:4: main.o] Error 1"}}
	return l
}

func automergeLetter(l letter) letter {
	l.AutoMerge = true
	l.Due = due{Policy: "production", ID: "CVE-2026-1234", Others: 2, Now: true}
	return l
}

// changedLetter is of a base whose recipe changed, and with it how it is started.
func changedLetter(l letter) letter {
	b := debianBase()
	b.Node = promoted("base/debian", digest("a"), nil)
	b.Change.Recipe, b.Change.Packages = recipeChanged, nil
	b.Change.Settings = []inventory.Setting{{Name: "size", Before: "77821952", After: "31457280"}, {Name: "layers", Before: "2", After: "1"}, {Name: "user", After: "app"},
		{Name: "entrypoint", Before: "/bin/sh", After: "/app/start --fast"}, {Name: "ports", After: "8080/tcp"}}
	l.Bases, l.Rollout.Cause, l.Rollout.Title = []newBase{b}, "recipe", "base/debian: its recipe changed in 1a2b3c4"
	return l
}

// worseLetter is of a base that brings a new vulnerability in, and of an application that was broken before.
func worseLetter(l letter) letter {
	b := debianBase()
	b.Node.Detail.Verdict = &store.Verdict{Outcome: "fail", Policies: []string{"production"}, Failing: 2, Findings: 31}
	b.Node.Detail.Trials = []store.Trial{{Image: billing, Commit: strings.Repeat("c", 40), Outcome: store.TrialBroken, Reason: "RUN go vet ./... exited with 1", Build: "try-8"}}
	var fresh []policy.Finding
	for i := range 7 {
		fresh = append(fresh, vulnerability(fmt.Sprintf("CVE-2026-40%d", i), "curl", policy.SeverityMedium))
	}
	b.Change.Judged = &policy.Replacement{Findings: policy.Comparison{New: fresh}}
	l.Bases = []newBase{b}
	l.Failing = map[string][]string{"try-8": {"vet: ./main.go:4:2: undefined: x"}}
	return l
}

func manyPatches(n int) (out []plan.Patch) {
	for _, c := range manyChanges(n, "") {
		out = append(out, plan.Patch{Patch: patch.Patch{Package: c.Package, From: c.From, To: c.To}})
	}
	return out
}

// besideLetter is of lines that other bots look after, too.
func besideLetter(l letter) letter {
	l.Bots = []rival{
		{Answer: coexist.Answer{Bot: coexist.Renovate, Says: coexist.Unknown, Where: "renovate.json", Why: "it extends local>acme/renovate-config, which is not known here", At: "packageRules, as the last rule",
			Leave: `{ "matchDatasources": ["docker"], "matchPackageNames": ["registry.example.com/platform/base/debian"], "enabled": false }`}, Lines: []string{"Dockerfile:3"}},
		{Answer: coexist.Answer{Bot: coexist.Dependabot, Says: coexist.Keeps, Where: ".github/dependabot.yml", Why: "its entry for docker covers the file", At: "ignore of its entry for docker",
			Leave: `- dependency-name: "platform/base/debian"`}, Lines: []string{"Dockerfile:3"}},
	}
	return l
}

func takenOverLetter(l letter) letter {
	l = besideLetter(l)
	l.Advise = true
	return l
}

// hostileLetter has foreign text in each place that takes any.
func hostileLetter(h string) letter {
	p := plan.Patch{Patch: patch.Patch{Package: h, From: h, To: h}}
	n := promoted(h, digest("a"), nil, p)
	n.Detail.Step.Patches = append(n.Detail.Step.Patches, openssl)
	n.Detail.Missing = []string{h}
	n.Detail.Evidence = store.Evidence{Tests: &store.Tests{Passed: 1, Total: 1}, Verdict: &store.Verdict{Outcome: "unknown", Policies: []string{h}, Unknown: []string{h}},
		Trials: []store.Trial{{Image: h, Commit: h, Outcome: store.TrialFailed, Reason: h, Build: h}, {Image: h + "x", Outcome: store.TrialNotTried, Reason: h}}}
	f := policy.Finding{Kind: policy.Vulnerability, ID: h, Package: h, Version: h, Title: h, Why: h, FixedIn: h, Severity: policy.Severity(h)}
	d := &difference{From: h, Pinned: true, Packages: []store.Change{{Package: h, From: h, To: h}}, Settings: []inventory.Setting{{Name: "user", Before: h, After: h}, {Name: "size", Before: h, After: "1"}},
		Judged: &policy.Replacement{Findings: policy.Comparison{Fixed: []policy.Finding{f}, New: []policy.Finding{f}, Remaining: []policy.Finding{f}}, Unknown: []string{h}}}
	return letter{Application: h, Images: []string{h}, Rollout: store.Rollout{ID: h, Cause: h, Title: h}, Catalog: h, Siblings: siblings{Images: 1}, Stuck: []string{h}, Controls: true, Advise: true,
		Bots: []rival{{Answer: coexist.Answer{Bot: coexist.Renovate, Where: h, Why: h, Leave: h, At: "ignore"}, Lines: []string{h}}},
		Due:  due{Policy: h, ID: h}, Failing: map[string][]string{h: {h, h}},
		Bases: []newBase{{Name: h, Digest: digest("a"), Owner: h, Earlier: h, Lineage: []string{h, h + "x"}, Node: n, Change: d}, {Name: h + "2", Digest: h, Change: d}},
		Lines: []line{{File: h, Line: 1, Base: h, From: h, To: h + "@" + digest("a")}}}
}

func TestWords(t *testing.T) {
	for name, l := range letters() {
		t.Run(name, func(t *testing.T) {
			got := l.text()
			whole := got.Title + "\n\n" + got.Body + "\n" + strings.Join(got.Trailers, "\n") + "\n"
			if got.Draft {
				whole = "Draft: " + whole
			}
			golden.Compare(t, filepath.Join("testdata", name+".md"), whole)
			sound(t, got)
		})
	}
}

func TestWordsAreBounded(t *testing.T) {
	long := strings.Repeat("é", 1000)
	l := hostileLetter(long)
	l.Bases, l.Lines, l.Paces = nil, nil, []string{"a.", "b.", "c.", "d.", "e.", "f."}
	for i := range 30 {
		b := hostileLetter(long).Bases[0]
		b.Name = fmt.Sprintf("base/%02d%s", i, long)
		b.Change.Packages = manyChanges(300, long)
		l.Bases = append(l.Bases, b)
		for k := range 20 {
			l.Lines = append(l.Lines, line{File: long, Line: k, Base: b.Name, From: long, To: fmt.Sprintf("%s%d@%s", long, k, digest("a"))})
		}
	}
	sound(t, l.text())
	one := l
	one.Bases = l.Bases[:1]
	for range 100 {
		one.Bases[0].Change.Judged.Findings.Fixed = append(one.Bases[0].Change.Judged.Findings.Fixed, one.Bases[0].Change.Judged.Findings.New...)
	}
	sound(t, one.text())
}

func TestPaces(t *testing.T) {
	for _, c := range []struct {
		p    catalog.Proposals
		want string
	}{
		{catalog.Proposals{}, ""},
		{catalog.Proposals{PushesPerHour: 2, CoolDown: 7 * 24 * time.Hour}, "Branches of this repository are pushed to at most 2 times an hour. After you close it, nothing newer is proposed for 7 days, unless it is critical."},
		{catalog.Proposals{PushesPerHour: 1, CoolDown: 36 * time.Hour}, "Branches of this repository are pushed to at most once an hour. After you close it, nothing newer is proposed for 36h, unless it is critical."},
		{catalog.Proposals{CoolDown: 90 * time.Minute}, "After you close it, nothing newer is proposed for 1h30m, unless it is critical."},
	} {
		if got := strings.Join(pacesOf(c.p), " "); got != c.want {
			t.Errorf("%+v: %q, want %q", c.p, got, c.want)
		}
	}
}

func TestDue(t *testing.T) {
	in := func(id string, o policy.Outcome, until time.Time) policy.Judged {
		return policy.Judged{Finding: vulnerability(id, "libssl3", policy.SeverityHigh), Outcome: o, Policy: "p", Until: until}
	}
	soon, later := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 9, 0, 0, 0, 0, time.UTC)
	fixed := []policy.Finding{{ID: "CVE-1"}, {ID: "CVE-2"}, {ID: "CVE-3"}}
	for _, c := range []struct {
		name string
		all  []policy.Judged
		want due
	}{
		{"nothing is judged", nil, due{}},
		{"what remains has no say", []policy.Judged{in("CVE-9", policy.Fails, time.Time{})}, due{}},
		{"what is only observed has none", []policy.Judged{in("CVE-1", policy.Observed, time.Time{})}, due{}},
		{"the first grace to end", []policy.Judged{in("CVE-1", policy.Grace, later), in("CVE-2", policy.Grace, soon), in("CVE-2", policy.Grace, soon), in("CVE-3", policy.Grace, soon)}, due{Policy: "p", ID: "CVE-2", Others: 1, At: soon}},
		{"what fails goes first", []policy.Judged{in("CVE-1", policy.Grace, soon), in("CVE-3", policy.Fails, time.Time{}), in("CVE-2", policy.Fails, time.Time{})}, due{Policy: "p", ID: "CVE-2", Others: 1, Now: true}},
	} {
		if got := dueOf(c.all, fixed); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestTitle(t *testing.T) {
	bases := func(n int) (l letter) {
		for i := range n {
			l.Bases = append(l.Bases, newBase{Name: fmt.Sprintf("base/%d", i), Digest: digest("a")})
		}
		return l
	}
	for _, c := range []struct {
		name string
		l    letter
		want string
	}{
		{"no tag is named", bases(1), "Update base/0 to aaaaaaaaaaaa"},
		{"two bases", bases(2), "Update base/0 to aaaaaaaaaaaa and base/1 to aaaaaaaaaaaa"},
		{"many bases", bases(9), "Update base/0 to aaaaaaaaaaaa, base/1 to aaaaaaaaaaaa and 7 more"},
		{"a port is no tag", letter{Bases: bases(1).Bases, Lines: []line{{Base: "base/0", To: "localhost:5000/base/0@" + digest("a")}}}, "Update base/0 to aaaaaaaaaaaa"},
		{"a fix", letter{Bases: []newBase{{Name: "base/debian", Digest: digest("a"), Node: promoted("base/debian", digest("a"), nil, openssl)}}},
			"Update base/debian to aaaaaaaaaaaa (libssl3 3.0.22-1~deb12u2)"},
	} {
		if got := c.l.text().Title; got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestCode(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"a name", "libssl3", "`libssl3`"},
		{"nothing", " \n", "`?`"},
		{"back quotes", "a``b`", "`a''b'`"},
		{"a table's bar", `a|b\|c`, "`a/b//c`"},
		{"lines", "a\r\nb\u2028c\td", "`a b c d`"},
		{"what is no text", "a\xffb\x00c\u202ed", "`abcd`"},
		{"cut between characters", strings.Repeat("é", maxWord+1), "`" + strings.Repeat("é", maxWord-1) + "…`"},
	} {
		if got := code(c.in); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
