package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/golden"
	"rebuilder/internal/policy"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const dayLong = 24 * time.Hour

func ptr[T any](v T) *T { return &v }

func openssl(severity policy.Severity, change ...func(*policy.Finding)) policy.Finding {
	f := policy.Finding{
		Kind: policy.Vulnerability, ID: "CVE-2026-1234", Aliases: []string{"DSA-5999-1"}, Type: "deb", Package: "libssl3", Source: "openssl",
		Version: "3.0.20-1", FixedIn: "3.0.22-1", Severity: severity, PURL: "pkg:deb/debian/libssl3@3.0.20-1?arch=amd64&distro=debian-12",
		Published: now.Add(-10 * dayLong).UnixMilli(), FixKnown: now.Add(-5 * dayLong).UnixMilli(), FoundBy: []string{"rebuilder"}, Do: "Upgrade it.",
	}
	for _, c := range change {
		c(&f)
	}
	return f
}

func TestOutcomes(t *testing.T) {
	enforce := policy.Policy{Name: "strict", Vulnerabilities: policy.LevelEnforce, Severity: policy.SeverityHigh}
	with := func(change func(*policy.Policy)) []policy.Policy {
		p := enforce
		change(&p)
		return []policy.Policy{p}
	}
	exception := policy.Exception{ID: "ACME-1", Finding: "cve-2026-1234", Reason: "uploads are off", Owner: "web", Expires: now.Add(30 * dayLong)}
	vex := policy.Statement{Author: "ACME", Vulnerability: "DSA-5999-1", Status: policy.StatusNotAffected, Justification: "vulnerable_code_not_present", At: now.Add(-dayLong)}
	secret := policy.Finding{Kind: policy.Secret, ID: "private-key", Path: "/root/.ssh/id_rsa", Severity: policy.SeverityHigh}
	root := policy.Finding{Kind: policy.Hygiene, ID: policy.RuleRootUser, Severity: policy.SeverityMedium, Layer: -1}
	for _, c := range []struct {
		name       string
		policies   []policy.Policy
		finding    policy.Finding
		exceptions []policy.Exception
		vex        []policy.Statement
		want       policy.Outcome
		reason     string
	}{
		{"no policy", nil, openssl(policy.SeverityCritical), nil, nil, policy.Observed, "no policy enforces vulnerabilities"},
		{"enforced", []policy.Policy{enforce}, openssl(policy.SeverityHigh), nil, nil, policy.Fails, `policy "strict" enforces vulnerabilities from high on`},
		{"below", []policy.Policy{enforce}, openssl(policy.SeverityMedium), nil, nil, policy.Below, `policy "strict" counts high and worse, and this is medium`},
		{"nobody knows how bad", []policy.Policy{enforce}, openssl(""), nil, nil, policy.Below, `policy "strict" counts high and worse, and this is unknown`},
		{"every one counts", with(func(p *policy.Policy) { p.Severity = policy.SeverityUnknown }), openssl(policy.SeverityUnknown), nil, nil, policy.Fails, `policy "strict" enforces vulnerabilities`},
		{"no fix", with(func(p *policy.Policy) { p.OnlyFixable = ptr(true) }), openssl(policy.SeverityHigh, unfixed), nil, nil, policy.Below, `policy "strict" counts what has a fix, and none is known yet`},
		{"no fix, asked for all the same", []policy.Policy{enforce}, openssl(policy.SeverityHigh, unfixed), nil, nil, policy.Fails, `policy "strict" enforces vulnerabilities from high on`},
		{"exploited", with(func(p *policy.Policy) { p.Exploited = ptr(true) }), openssl(policy.SeverityLow, exploited), nil, nil, policy.Fails, `policy "strict" enforces vulnerabilities, and it is known to be exploited`},
		{"exploited, and nobody asks", []policy.Policy{enforce}, openssl(policy.SeverityLow, exploited), nil, nil, policy.Below, `policy "strict" counts high and worse, and this is low`},
		{"exploited, without a fix", with(func(p *policy.Policy) { p.Exploited, p.OnlyFixable = ptr(true), ptr(true) }), openssl(policy.SeverityLow, exploited, unfixed), nil, nil, policy.Below, `policy "strict" counts what has a fix, and none is known yet`},
		{"likely", with(func(p *policy.Policy) { p.EPSS = ptr(0.5) }), openssl(policy.SeverityLow, likely(0.5)), nil, nil, policy.Fails, `policy "strict" enforces vulnerabilities, and it is 50.0 % likely to be exploited within 30 days`},
		{"not as likely", with(func(p *policy.Policy) { p.EPSS = ptr(0.5) }), openssl(policy.SeverityLow, likely(0.49)), nil, nil, policy.Below, `policy "strict" counts high and worse, and this is low`},
		{"grace from the fix on", with(func(p *policy.Policy) { p.Grace = ptr(7 * dayLong) }), openssl(policy.SeverityHigh), nil, nil, policy.Grace, `policy "strict" gives it time until 2026-11-23`},
		{"grace from the advisory on", with(func(p *policy.Policy) { p.Grace = ptr(12 * dayLong) }), openssl(policy.SeverityHigh, func(f *policy.Finding) { f.FixKnown -= (90 * dayLong).Milliseconds() }), nil, nil, policy.Grace, `policy "strict" gives it time until 2026-11-23`},
		{"grace is over", with(func(p *policy.Policy) { p.Grace = ptr(5 * dayLong) }), openssl(policy.SeverityHigh), nil, nil, policy.Fails, `policy "strict" enforces vulnerabilities from high on`},
		{"grace from nobody knows when", with(func(p *policy.Policy) { p.Grace = ptr(5 * dayLong) }), openssl(policy.SeverityHigh, func(f *policy.Finding) { f.FixKnown, f.Published = 0, 0 }), nil, nil, policy.Fails, `policy "strict" enforces vulnerabilities from high on`},
		{"grace from a date that no calendar has", with(func(p *policy.Policy) { p.Grace = ptr(5 * dayLong) }), openssl(policy.SeverityHigh, func(f *policy.Finding) { f.Published = 1 << 62 }), nil, nil, policy.Fails, `policy "strict" enforces vulnerabilities from high on`},
		{"no grace for what is exploited", with(func(p *policy.Policy) { p.Grace, p.Exploited = ptr(7*dayLong), ptr(true) }), openssl(policy.SeverityHigh, exploited), nil, nil, policy.Fails, `policy "strict" enforces vulnerabilities, and it is known to be exploited`},
		{"excused", []policy.Policy{enforce}, openssl(policy.SeverityHigh), []policy.Exception{exception}, nil, policy.Excepted, "ACME-1 excuses it until 2026-12-21: uploads are off"},
		{"excused until now", []policy.Policy{enforce}, openssl(policy.SeverityHigh), []policy.Exception{until(exception, now)}, nil, policy.Fails, `policy "strict" enforces vulnerabilities from high on; ACME-1 excused it until 2026-11-21 and has expired`},
		{"excused by the source package", []policy.Policy{enforce}, openssl(policy.SeverityHigh), []policy.Exception{of(exception, "openssl")}, nil, policy.Excepted, "ACME-1 excuses it until 2026-12-21: uploads are off"},
		{"another package is excused", []policy.Policy{enforce}, openssl(policy.SeverityHigh), []policy.Exception{of(exception, "curl")}, nil, policy.Fails, `policy "strict" enforces vulnerabilities from high on`},
		{"another image is excused", []policy.Policy{enforce}, openssl(policy.SeverityHigh), []policy.Exception{in(exception, "web", "apps/*", "[")}, nil, policy.Fails, `policy "strict" enforces vulnerabilities from high on`},
		{"this image is excused", []policy.Policy{enforce}, openssl(policy.SeverityHigh), []policy.Exception{in(exception, "base/*")}, nil, policy.Excepted, "ACME-1 excuses it until 2026-12-21: uploads are off"},
		{"only asked for", []policy.Policy{enforce}, openssl(policy.SeverityHigh), []policy.Exception{state(exception, policy.ExceptionRequested)}, nil, policy.Fails, `policy "strict" enforces vulnerabilities from high on`},
		{"approved", []policy.Policy{enforce}, openssl(policy.SeverityHigh), []policy.Exception{state(exception, policy.ExceptionApproved)}, nil, policy.Excepted, "ACME-1 excuses it until 2026-12-21: uploads are off"},
		{"revoked", []policy.Policy{enforce}, openssl(policy.SeverityHigh), []policy.Exception{state(exception, policy.ExceptionRevoked)}, nil, policy.Fails, `policy "strict" enforces vulnerabilities from high on`},
		{"not affected", []policy.Policy{enforce}, openssl(policy.SeverityHigh), []policy.Exception{exception}, []policy.Statement{vex}, policy.NotAffected, "ACME says that it is not affected: vulnerable_code_not_present"},
		{"affected after all", []policy.Policy{enforce}, openssl(policy.SeverityHigh), nil, []policy.Statement{vex, later(vex, policy.StatusAffected)}, policy.Fails, `policy "strict" enforces vulnerabilities from high on`},
		{"of another digest", []policy.Policy{enforce}, openssl(policy.SeverityHigh), nil, []policy.Statement{func() policy.Statement { v := vex; v.Digests = []string{"sha256:other"}; return v }()}, policy.Fails, `policy "strict" enforces vulnerabilities from high on`},
		{"of this package", []policy.Policy{enforce}, openssl(policy.SeverityHigh), nil, []policy.Statement{purl(vex, "pkg:deb/debian/libssl3")}, policy.NotAffected, "ACME says that it is not affected: vulnerable_code_not_present"},
		{"of its source", []policy.Policy{enforce}, openssl(policy.SeverityHigh), nil, []policy.Statement{purl(vex, "pkg:deb/debian/openssl?distro=debian-12")}, policy.NotAffected, "ACME says that it is not affected: vulnerable_code_not_present"},
		{"of another version", []policy.Policy{enforce}, openssl(policy.SeverityHigh), nil, []policy.Statement{purl(vex, "pkg:deb/debian/libssl3@3.0.19-1")}, policy.Fails, `policy "strict" enforces vulnerabilities from high on`},
		{"of another distribution", []policy.Policy{enforce}, openssl(policy.SeverityHigh), nil, []policy.Statement{purl(vex, "pkg:deb/ubuntu/libssl3")}, policy.Fails, `policy "strict" enforces vulnerabilities from high on`},
		{"a secret", []policy.Policy{enforce}, secret, nil, nil, policy.Observed, "no policy enforces secrets"},
		{"a secret, enforced", with(func(p *policy.Policy) { p.Secrets = policy.LevelEnforce }), secret, nil, nil, policy.Fails, `policy "strict" enforces secrets`},
		{"a rule", []policy.Policy{enforce}, root, nil, nil, policy.Observed, "no policy enforces rule root-user"},
		{"a rule, enforced", with(func(p *policy.Policy) {
			p.Rules = map[string]policy.Level{policy.RuleRootUser: policy.LevelEnforce}
		}), root, nil, nil, policy.Fails, `policy "strict" enforces rule root-user`},
		{"a rule, the last policy counts", []policy.Policy{
			{Name: "a", Rules: map[string]policy.Level{policy.RuleRootUser: policy.LevelEnforce}}, {Name: "b", Rules: map[string]policy.Level{policy.RuleRootUser: policy.LevelObserve}},
		}, root, nil, nil, policy.Observed, `policy "b" observes rule root-user`},
		{"a rule that is excused", []policy.Policy{{Name: "a", Rules: map[string]policy.Level{policy.RuleRootUser: policy.LevelEnforce}}}, root,
			[]policy.Exception{{ID: "ACME-2", Finding: "root-user", Reason: "port 80", Expires: now.Add(dayLong)}}, nil, policy.Excepted, "ACME-2 excuses it until 2026-11-22: port 80"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := policy.Judge(policy.Input{
				Subject: policy.Subject{Image: "base/debian", Digest: "sha256:this"}, Findings: []policy.Finding{c.finding},
				Policies: c.policies, Exceptions: c.exceptions, VEX: c.vex, Now: now,
			})
			if len(v.Findings) != 1 || v.Findings[0].Outcome != c.want || v.Findings[0].Reason != c.reason {
				t.Errorf("got %+v, want %s: %s", v.Findings, c.want, c.reason)
			}
			if want := map[bool]policy.VerdictOutcome{true: policy.Fail, false: policy.Pass}[c.want == policy.Fails]; v.Outcome != want {
				t.Errorf("verdict %s, want %s", v.Outcome, want)
			}
		})
	}
}

func unfixed(f *policy.Finding)   { f.FixedIn, f.FixKnown = "", 0 }
func exploited(f *policy.Finding) { f.Exploited = true }
func likely(p float64) func(*policy.Finding) {
	return func(f *policy.Finding) { f.EPSS = &p }
}
func until(e policy.Exception, at time.Time) policy.Exception            { e.Expires = at; return e }
func of(e policy.Exception, pkg string) policy.Exception                 { e.Package = pkg; return e }
func in(e policy.Exception, images ...string) policy.Exception           { e.Images = images; return e }
func state(e policy.Exception, s policy.ExceptionState) policy.Exception { e.State = s; return e }
func purl(s policy.Statement, p string) policy.Statement                 { s.Packages = []string{p}; return s }
func later(s policy.Statement, st policy.StatementStatus) policy.Statement {
	s.Status, s.At = st, s.At.Add(time.Second)
	return s
}

func TestUnknownIsNoPass(t *testing.T) {
	unknown := []string{"no advisories for Alpine 3.22"}
	enforce := []policy.Policy{{Name: "strict", Vulnerabilities: policy.LevelEnforce, Secrets: policy.LevelEnforce}}
	only := func(change func(*policy.Policy)) []policy.Policy {
		p := policy.Policy{Name: "strict"}
		change(&p)
		return []policy.Policy{p}
	}
	vulnerabilities := only(func(p *policy.Policy) { p.Vulnerabilities = policy.LevelEnforce })
	secrets := only(func(p *policy.Policy) { p.Secrets = policy.LevelEnforce })
	unlit := only(func(p *policy.Policy) {
		p.Vulnerabilities, p.Rules = policy.LevelEnforce, map[string]policy.Level{policy.RuleUnknownContent: policy.LevelOff}
	})
	secret := []policy.Finding{{Kind: policy.Secret, ID: "private-key"}}
	dark := []policy.Finding{{Kind: policy.Hygiene, ID: policy.RuleUnknownContent, Title: "/nix/store is Nix's, whose packages are not read: they are not known"}}
	accepted := []policy.Exception{{ID: "EX-1", Finding: policy.RuleUnknownContent, Expires: now.Add(time.Hour)}}
	for _, c := range []struct {
		name             string
		policies         []policy.Policy
		findings         []policy.Finding
		unknown, secrets []string
		exceptions       []policy.Exception
		want             policy.VerdictOutcome
	}{
		{"nothing enforced", nil, nil, unknown, unknown, nil, policy.Pass},
		{"all known", enforce, nil, nil, nil, nil, policy.Pass},
		{"not known", enforce, nil, unknown, nil, nil, policy.Undecided},
		{"something else fails", enforce, secret, unknown, nil, nil, policy.Fail},
		{"secrets enforced, and not looked for", secrets, nil, nil, unknown, nil, policy.Undecided},
		{"secrets enforced, and vulnerabilities not known", secrets, nil, unknown, nil, nil, policy.Pass},
		{"vulnerabilities enforced, and secrets not looked for", vulnerabilities, nil, nil, unknown, nil, policy.Pass},
		{"content that is not known", vulnerabilities, dark, nil, nil, nil, policy.Undecided},
		{"content that is not known, where only secrets count", secrets, dark, nil, nil, nil, policy.Pass},
		{"content that is not known, and nobody is to ask", unlit, dark, nil, nil, nil, policy.Pass},
		{"content that is not known, which was accepted", vulnerabilities, dark, nil, nil, accepted, policy.Pass},
	} {
		v := policy.Judge(policy.Input{Policies: c.policies, Findings: c.findings, Unknown: c.unknown, UnknownSecrets: c.secrets, Exceptions: c.exceptions, Now: now})
		if v.Outcome != c.want || !slices.Equal(v.Unknown, slices.Concat(c.unknown, c.secrets)) {
			t.Errorf("%s: %s %q, want %s", c.name, v.Outcome, v.Unknown, c.want)
		}
	}
}

func TestFor(t *testing.T) {
	policies := []policy.Policy{
		{Name: "all", Severity: policy.SeverityCritical, OnlyFixable: ptr(true), MaxSize: 100},
		{Name: "bases", Images: []string{"base/*"}, Severity: policy.SeverityHigh, ForbidPackages: []string{"telnet"}},
		{Name: "pci", Match: map[string]string{"pci": "yes"}, Severity: policy.SeverityLow, Grace: ptr(time.Duration(0)), OnlyFixable: ptr(false)},
		{Name: "none", Images: []string{"["}, Severity: policy.SeverityNegligible},
	}
	for _, c := range []struct {
		subject  policy.Subject
		policies []string
		severity policy.Said[policy.Severity]
		fixable  policy.Said[bool]
		size     policy.Said[int64]
		forbid   policy.Said[[]string]
	}{
		{policy.Subject{Image: "web"}, []string{"all"}, policy.Said[policy.Severity]{Value: policy.SeverityCritical, By: "all"}, policy.Said[bool]{Value: true, By: "all"}, policy.Said[int64]{Value: 100, By: "all"}, policy.Said[[]string]{}},
		{policy.Subject{Image: "base/debian"}, []string{"all", "bases"}, policy.Said[policy.Severity]{Value: policy.SeverityHigh, By: "bases"}, policy.Said[bool]{Value: true, By: "all"}, policy.Said[int64]{Value: 100, By: "all"}, policy.Said[[]string]{Value: []string{"telnet"}, By: "bases"}},
		{policy.Subject{Image: "web", Labels: map[string]string{"pci": "yes"}}, []string{"all", "pci"}, policy.Said[policy.Severity]{Value: policy.SeverityLow, By: "pci"}, policy.Said[bool]{Value: false, By: "pci"}, policy.Said[int64]{Value: 100, By: "all"}, policy.Said[[]string]{}},
		{policy.Subject{Image: "web", Labels: map[string]string{"pci": "no"}}, []string{"all"}, policy.Said[policy.Severity]{Value: policy.SeverityCritical, By: "all"}, policy.Said[bool]{Value: true, By: "all"}, policy.Said[int64]{Value: 100, By: "all"}, policy.Said[[]string]{}},
	} {
		e := policy.For(policies, c.subject)
		if !slices.Equal(e.Policies, c.policies) || e.Severity != c.severity || e.OnlyFixable != c.fixable || e.MaxSize != c.size || !reflect.DeepEqual(e.ForbidPackages, c.forbid) {
			t.Errorf("%+v: %+v", c.subject, e)
		}
		if e.Secrets != (policy.Said[policy.Level]{Value: policy.LevelObserve}) || e.Vulnerabilities != e.Secrets {
			t.Errorf("%+v: more than observed by default: %+v", c.subject, e)
		}
	}
}

// TestVerdict holds a whole verdict to what it was: every outcome, what ends by itself, the counts.
func TestVerdict(t *testing.T) {
	at := func(d time.Duration) int64 { return now.Add(d).UnixMilli() }
	v := policy.Judge(policy.Input{
		Subject: policy.Subject{Image: "web", Kind: "application", Labels: map[string]string{"pci": "yes"}},
		Policies: []policy.Policy{
			{Name: "everything", Severity: policy.SeverityHigh, OnlyFixable: ptr(true), Exploited: ptr(true)},
			{Name: "payments", Match: map[string]string{"pci": "yes"}, Vulnerabilities: policy.LevelEnforce, Secrets: policy.LevelEnforce, Grace: ptr(14 * dayLong)},
		},
		Exceptions: []policy.Exception{
			{ID: "ACME-1", Finding: "private-key", Reason: "a test key", Owner: "web", Expires: now.Add(10 * dayLong)},
			{ID: "ACME-2", Finding: "CVE-2026-1", Reason: "not reachable", Owner: "web", Expires: now.Add(-dayLong)},
			{ID: "ACME-3", Finding: "CVE-2026-1", Reason: "not reachable", Owner: "web", Expires: now.Add(-9 * dayLong)},
			{ID: "EX-1", Finding: "CVE-2026-1", Reason: "once more", Owner: "web", Expires: now.Add(dayLong), State: policy.ExceptionRequested},
			{ID: "unused", Finding: "CVE-2026-99", Reason: "gone", Owner: "web", Expires: now.Add(-dayLong)},
		},
		VEX: []policy.Statement{{Author: "ACME", Vulnerability: "CVE-2026-5", Status: policy.StatusNotAffected, Impact: "it is not built in", At: now}},
		Findings: []policy.Finding{
			{Kind: policy.Vulnerability, ID: "CVE-2026-1", Type: "deb", Package: "openssl", Version: "1", FixedIn: "2", Severity: policy.SeverityHigh, Published: at(-60 * dayLong), FixKnown: at(-50 * dayLong), Inherited: "base/debian"},
			{Kind: policy.Vulnerability, ID: "CVE-2026-2", Type: "deb", Package: "zlib1g", Version: "1", FixedIn: "2", Severity: policy.SeverityCritical, Published: at(-60 * dayLong), FixKnown: at(-2 * dayLong)},
			{Kind: policy.Vulnerability, ID: "CVE-2026-3", Type: "deb", Package: "perl-base", Version: "1", Severity: policy.SeverityHigh, Inherited: "base/debian"},
			{Kind: policy.Vulnerability, ID: "CVE-2026-4", Type: "npm", Package: "left-pad", Version: "1", FixedIn: "1.1", Severity: policy.SeverityLow, Exploited: true, Do: "Upgrade it."},
			{Kind: policy.Vulnerability, ID: "CVE-2026-5", Type: "npm", Package: "right-pad", Version: "1", FixedIn: "1.1", Severity: policy.SeverityHigh},
			{Kind: policy.Vulnerability, ID: "CVE-2026-6", Type: "npm", Package: "mid-pad", Version: "1", Severity: "unheard-of"},
			{Kind: policy.Secret, ID: "private-key", Path: "/app/key.pem", Severity: policy.SeverityHigh},
			{Kind: policy.Hygiene, ID: policy.RuleRootUser, Severity: policy.SeverityMedium, Inherited: "base/debian", Do: "Add a USER."},
			{Kind: policy.Hygiene, ID: policy.RuleShell, Path: "/bin/sh"},
		},
		Unknown: []string{"grype could not be asked: it is not installed"},
		Now:     now,
	})
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "testdata/verdict.json", string(out)+"\n")
}

// scene is a judgement made from bytes.
type scene struct {
	data []byte
	at   int
}

func (s *scene) n(most int) int {
	if s.at >= len(s.data) {
		return 0
	}
	s.at++
	return int(s.data[s.at-1]) % most
}

func pick[T any](s *scene, of ...T) T { return of[s.n(len(of))] }

func maybe[T any](s *scene, of ...T) *T {
	if s.n(2) == 0 {
		return nil
	}
	return ptr(pick(s, of...))
}

var (
	names      = []string{"CVE-2026-1", "CVE-2026-2", "cve-2026-2", "DSA-1", "GHSA-1", "GO-1", "", "root-user"}
	packages   = []string{"openssl", "libssl3", "zlib1g", "\x00", ""}
	images     = []string{"base/debian", "base/*", "web", "[", "*"}
	severities = append(policy.Severities(), "", "absurd")
	levels     = []policy.Level{"", policy.LevelOff, policy.LevelObserve, policy.LevelEnforce, "absurd"}
	times      = []time.Duration{0, -dayLong, dayLong, 20 * dayLong, -20 * dayLong, 1 << 62, -1 << 62}
)

func (s *scene) finding() policy.Finding {
	f := policy.Finding{
		Kind: pick(s, policy.Vulnerability, policy.Vulnerability, policy.Secret, policy.Hygiene, ""), ID: pick(s, names...), Type: pick(s, "deb", "golang", "apk", "absurd"),
		Package: pick(s, packages...), Version: pick(s, "1", "v1.2", "2:1-1", "a:b", ""), FixedIn: pick(s, "", "2", "1.5", "0.1", "a:b"), Source: pick(s, packages...),
		Severity: pick(s, severities...), Exploited: s.n(2) == 1, Published: pick(s, 0, now.UnixMilli(), -1, 1<<62), FixKnown: pick(s, 0, now.UnixMilli(), -1<<62),
		EPSS: maybe(s, 0, 0.5, 1), PURL: pick(s, "", "pkg:deb/debian/openssl@1", "pkg:", "%"), Inherited: pick(s, "", "base/debian"), FoundBy: []string{pick(s, "rebuilder", "trivy", "grype")},
		Path: pick(s, "", "/a"), Layer: s.n(3) - 1, Line: s.n(2), Score: float64(s.n(11)), Deleted: s.n(2) == 1,
	}
	for range s.n(3) {
		f.Aliases = append(f.Aliases, pick(s, names...))
	}
	return f
}

func (s *scene) exception() policy.Exception {
	return policy.Exception{
		ID: pick(s, "ACME-1", "EX-1", ""), Finding: pick(s, names...), Images: pick(s, nil, []string{pick(s, images...)}), Package: pick(s, packages...),
		Expires: now.Add(pick(s, times...)), State: pick(s, "", policy.ExceptionRequested, policy.ExceptionApproved, policy.ExceptionRevoked, "absurd"),
	}
}

func many[T any](s *scene, most int, one func() T) []T {
	out := make([]T, s.n(most))
	for i := range out {
		out[i] = one()
	}
	return out
}

func (s *scene) input() policy.Input {
	return policy.Input{
		Subject:  policy.Subject{Image: pick(s, "base/debian", "web", ""), Digest: pick(s, "", "sha256:1"), Labels: pick(s, nil, map[string]string{"pci": "yes"})},
		Findings: many(s, 6, s.finding), Exceptions: many(s, 4, s.exception), Unknown: pick(s, nil, []string{"x"}), Now: now,
		Policies: many(s, 4, func() policy.Policy {
			return policy.Policy{
				Name: pick(s, "a", "b"), Images: pick(s, nil, []string{pick(s, images...)}), Match: pick(s, nil, map[string]string{"pci": "yes"}),
				Vulnerabilities: pick(s, levels...), Secrets: pick(s, levels...), Rules: pick(s, nil, map[string]policy.Level{"root-user": pick(s, levels...)}),
				Severity: pick(s, severities...), OnlyFixable: maybe(s, true, false), Grace: maybe(s, times...), Exploited: maybe(s, true, false), EPSS: maybe(s, 0, 0.5),
			}
		}),
		VEX: many(s, 4, func() policy.Statement {
			return policy.Statement{
				Author: pick(s, "", "ACME"), Vulnerability: pick(s, names...), Aliases: pick(s, nil, []string{pick(s, names...)}), Images: pick(s, nil, []string{pick(s, images...)}),
				Digests: pick(s, nil, []string{"sha256:1"}), Packages: pick(s, nil, []string{pick(s, "pkg:deb/debian/openssl", "pkg:", "%", "")}),
				Status: pick(s, policy.StatusNotAffected, policy.StatusAffected, policy.StatusFixed, "absurd"), At: now.Add(pick(s, times...)),
			}
		}),
	}
}

func FuzzJudge(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		data := make([]byte, 400)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &scene{data: data}
		in, more := s.input(), s.exception()
		v := policy.Judge(in)
		if got := len(v.Findings) + v.Off; got != len(in.Findings) {
			t.Fatalf("%d of %d findings", got, len(in.Findings))
		}
		if (v.Outcome == policy.Fail) != (v.Outcomes[policy.Fails] > 0) {
			t.Fatalf("%s with %d that fail", v.Outcome, v.Outcomes[policy.Fails])
		}

		backwards := in
		backwards.Findings, backwards.Exceptions, backwards.VEX = reversed(in.Findings), reversed(in.Exceptions), reversed(in.VEX)
		if w := policy.Judge(backwards); show(w) != show(v) {
			t.Fatalf("another order, another verdict:\n%s\n%s", show(v), show(w))
		}

		excused := in
		excused.Exceptions = append(slices.Clone(in.Exceptions), more)
		if w := policy.Judge(excused); w.Outcomes[policy.Fails] > v.Outcomes[policy.Fails] {
			t.Fatalf("an exception makes findings fail:\n%s\n%s", show(v), show(w))
		}

		// Until Next nothing changes by itself; afterwards graces and exceptions end, and nothing else does.
		if !v.Next.IsZero() {
			before := in
			before.Now = v.Next.Add(-1)
			if w := policy.Judge(before); before.Now.After(in.Now) && !reflect.DeepEqual(w.Outcomes, v.Outcomes) {
				t.Fatalf("changes before %s:\n%s\n%s", v.Next, show(v), show(w))
			}
		}
		late := in
		late.Now = in.Now.Add(pick(s, dayLong, 400*dayLong))
		w := policy.Judge(late)
		if w.Outcomes[policy.Fails] < v.Outcomes[policy.Fails] || w.Outcomes[policy.Grace] > v.Outcomes[policy.Grace] || w.Outcomes[policy.Excepted] > v.Outcomes[policy.Excepted] ||
			w.Outcomes[policy.NotAffected] != v.Outcomes[policy.NotAffected] {
			t.Fatalf("time heals:\n%s\n%s", show(v), show(w))
		}
		if v.Next.IsZero() && !reflect.DeepEqual(w.Outcomes, v.Outcomes) {
			t.Fatalf("changes by itself and does not say so:\n%s\n%s", show(v), show(w))
		}
	})
}

func reversed[T any](list []T) []T {
	out := slices.Clone(list)
	slices.Reverse(out)
	return out
}

func show(v any) string {
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Sprintf("%+v: %v", v, err)
	}
	return strings.TrimSpace(string(out))
}
