package rollout

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"rebuilder/internal/golden"
	"rebuilder/internal/patch"
	"rebuilder/internal/plan"
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

func letters() map[string]letter {
	debian := newBase{Name: "base/debian", Digest: digest("a"), Lineage: []string{"upstream/debian", "base/debian"}, Node: promoted("base/debian", digest("a"), sslChanges, openssl)}
	python := newBase{Name: "base/python", Digest: digest("b"), Lineage: []string{"upstream/debian", "base/debian", "base/python"},
		Node: promoted("base/python", digest("b"), append([]store.Change{{Package: "libzstd1", To: "1.5.4"}, {Package: "telnet", From: "0.17"}}, sslChanges...), openssl)}
	one := letter{Application: "billing", Rollout: security(), Bases: []newBase{debian}, Others: 6,
		Lines: []line{{File: "Dockerfile", Line: 3, Base: "base/debian", From: at + "base/debian:stable@" + digest("0"), To: at + "base/debian:stable@" + digest("a")}}}

	two := letter{Application: "shop", Rollout: security(), Bases: []newBase{debian, python}, Others: 5, Proven: 2, Lines: []line{
		{File: "web/Dockerfile", Line: 1, Base: "base/debian", From: at + "base/debian:stable@" + digest("0"), To: at + "base/debian:stable@" + digest("a")},
		{File: "worker/Dockerfile", Line: 12, Base: "base/python", From: at + "base/python:stable@" + digest("1"), To: at + "base/python:stable@" + digest("b")}}}

	judged := one
	node := *debian.Node
	node.Detail.Evidence = store.Evidence{
		Tests: &store.Tests{Passed: 9, Total: 9},
		Verdict: &store.Verdict{Outcome: "pass", Compared: &store.Compared{Fixed: 2, Remaining: 11, FixedIDs: []string{"CVE-2026-1234", "CVE-2026-1235"}, Before: digest("0")},
			Unknown: []string{"no source has advisories for npm"}},
		Trials: []store.Trial{
			{Image: "billing", Repository: "acme/billing", Commit: strings.Repeat("c", 40), Outcome: store.TrialPassed},
			{Image: "site", Outcome: store.TrialBroken, Reason: "RUN make exited with 2"},
			{Image: "crm", Outcome: store.TrialNotTried, Reason: "no access to its Dockerfile"},
		},
	}
	judged.Images, judged.Bases = []string{"billing"}, []newBase{{Name: debian.Name, Digest: debian.Digest, Lineage: debian.Lineage, Node: &node}}

	pinning := one
	pinning.Rollout = store.Rollout{ID: "r-a1b2c3d4e5f6-2", Cause: "parent", Title: "site: stands on an older base/debian than aaaaaaaaaaaa"}
	pinning.Others = 0
	pinning.Bases = []newBase{{Name: "base/debian", Digest: digest("a")}}
	pinning.Lines = []line{{File: "Dockerfile", Line: 1, Base: "base/debian", From: at + "base/debian:stable", To: at + "base/debian:stable@" + digest("a")}}

	many := one
	big := debian
	big.Node = promoted("base/debian", digest("a"), manyChanges(130, ""), manyPatches(4)...)
	big.Node.Detail.Missing = []string{"lib003 is still 1.0, not 1.1 (held)"}
	many.Bases = []newBase{big}

	return map[string]letter{"one": one, "two": two, "pinning": pinning, "many": many, "judged": judged, "hostile": hostileLetter()}
}

func manyPatches(n int) (out []plan.Patch) {
	for _, c := range manyChanges(n, "") {
		out = append(out, plan.Patch{Patch: patch.Patch{Package: c.Package, From: c.From, To: c.To}})
	}
	return out
}

func hostileLetter() letter {
	p := plan.Patch{Patch: patch.Patch{Package: hostile, From: hostile, To: hostile}}
	n := promoted(hostile, digest("a"), []store.Change{{Package: hostile, From: hostile, To: hostile}}, p)
	n.Detail.Step.Patches = append(n.Detail.Step.Patches, openssl)
	n.Detail.Missing = []string{hostile}
	return letter{Application: hostile, Rollout: store.Rollout{ID: hostile, Cause: hostile, Title: hostile}, Others: 1,
		Bases: []newBase{{Name: hostile, Digest: digest("a"), Lineage: []string{hostile, hostile}, Node: n}},
		Lines: []line{{File: hostile, Line: 1, Base: hostile, From: hostile, To: hostile + "@" + digest("a")}}}
}

func TestWords(t *testing.T) {
	for name, l := range letters() {
		t.Run(name, func(t *testing.T) {
			got := l.text()
			golden.Compare(t, filepath.Join("testdata", name+".md"), got.Title+"\n\n"+got.Body)
			sound(t, got)
		})
	}
}

// sound checks what holds of every letter.
func sound(t *testing.T, got text) {
	t.Helper()
	if n := utf8.RuneCountInString(got.Title); n > maxTitle || strings.ContainsAny(got.Title, "\n\r@#`<>") {
		t.Errorf("title of %d characters: %q", n, got.Title)
	}
	if len(got.Body) > maxBody {
		t.Errorf("the body has %d bytes", len(got.Body))
	}
	if !utf8.ValidString(got.Title + got.Body) {
		t.Error("not UTF-8")
	}
	for i, s := range strings.Split(got.Body, "\n") {
		ticks := strings.Split(s, "`")
		if len(ticks)%2 == 0 {
			t.Errorf("line %d leaves a code span open: %s", i+1, s)
			continue
		}
		prose := ""
		for k := 0; k < len(ticks); k += 2 {
			prose += ticks[k] + "x"
		}
		for _, bad := range []string{"@", "<img", "<!--", "](", "#", "evil"} {
			if strings.Contains(prose, bad) {
				t.Errorf("line %d has %q outside of code: %s", i+1, bad, s)
			}
		}
		if strings.HasPrefix(s, "|") && strings.Count(s, "|") != 4 {
			t.Errorf("line %d is no row of three: %s", i+1, s)
		}
	}
}

func TestWordsAreBounded(t *testing.T) {
	long := strings.Repeat("é", 1000)
	l := letter{Application: long, Rollout: store.Rollout{ID: long, Cause: long, Title: long}}
	for i := range 30 {
		name := fmt.Sprintf("base/%02d%s", i, long)
		n := promoted(name, digest("a"), manyChanges(300, long), plan.Patch{Patch: patch.Patch{Package: long, To: long}})
		l.Bases = append(l.Bases, newBase{Name: name, Digest: digest("a"), Lineage: []string{long, long}, Node: n})
		for k := range 20 {
			l.Lines = append(l.Lines, line{File: long, Line: k, Base: name, From: long, To: long + "@" + digest("a")})
		}
	}
	sound(t, l.text())
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
