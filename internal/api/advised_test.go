package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"rebuilder/internal/api"
	"rebuilder/internal/api/apitest"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

func advised(t *testing.T) (*apitest.World, *api.Client) {
	t.Helper()
	w := world(t, apitest.Advised)
	return w, api.NewClient(serve(t, w).URL, "")
}

func TestAffectedByAnAdvisory(t *testing.T) {
	_, c := advised(t)
	for _, tt := range []struct {
		id, name, found                              string
		has, accepted, notAffected, below, clean, no int
	}{
		{"CVE-2026-1234", "CVE-2026-1234", "[base/debian libssl3 fails true  base/python libssl3 fails true  web libssl3 excepted false ACME-1]", 3, 1, 0, 5, 1, 1},
		{"dsa-5999-1", "CVE-2026-1234", "[base/debian libssl3 fails true  base/python libssl3 fails true  web libssl3 excepted false ACME-1]", 3, 1, 0, 5, 1, 1},
		{"CVE-2026-2222", "CVE-2026-2222", "[base/debian libc6 below false  base/python libc6 not-affected false  web libc6 below false ]", 2, 0, 1, 3, 2, 3},
		{"CVE-2026-3333", "CVE-2026-3333", "[]", 0, 0, 0, 0, 4, 6},
	} {
		a, err := c.Affected(t.Context(), tt.id, false)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, f := range a.Found {
			found = append(found, fmt.Sprint(f.Image, " ", f.Package, " ", f.Outcome, " ", f.Offered, " ", f.Exception))
		}
		if got := fmt.Sprint(found); got != tt.found {
			t.Errorf("%s: found\n%s\nwant\n%s", tt.id, got, tt.found)
		}
		if a.Name != tt.name || a.Has != tt.has || a.Accepted != tt.accepted || a.NotAffected != tt.notAffected || a.Below != tt.below || a.Clean != tt.clean || a.Unknown != tt.no {
			t.Errorf("%s: %s", tt.id, a.Sentence)
		}
		if a.Has+a.Below+a.Clean+a.Unknown != a.Images || a.AdvisoriesAt.IsZero() || a.Advisory == nil || a.Unanswered != "" {
			t.Errorf("%s: %+v", tt.id, a)
		}
	}
	for id, want := range map[string]string{"CVE-2026-9999": "no source of advisories has it", "CVE-2026-7777": "no source of advisories says which packages"} {
		a, err := c.Affected(t.Context(), id, false)
		if err != nil || !strings.HasPrefix(a.Unanswered, want) || a.Unknown != a.Images || a.Has != 0 {
			t.Errorf("%s: %+v, %v", id, a, err)
		}
	}
}

// Without a source that was read, nothing is known: neither hit nor clean.
func TestAdvisoriesThatAreNotRead(t *testing.T) {
	w, c := advised(t)
	all, err := store.AdvisorySources(t.Context(), w.Store.Q())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		s.OKAt, s.Error = 0, "connection refused"
		if err := store.SaveAdvisorySource(t.Context(), w.Store.Q(), s); err != nil {
			t.Fatal(err)
		}
	}
	a, err := c.Affected(t.Context(), "CVE-2026-1234", false)
	if err != nil || a.Unanswered != "no source of advisories could be read yet: connection refused" {
		t.Errorf("%q, %v", a.Unanswered, err)
	}
	why, err := c.Why(t.Context(), "web", "CVE-2026-1234")
	if err != nil || why.Package.Unknown != a.Unanswered || !why.Package.Advisory {
		t.Errorf("%+v, %v", why.Package, err)
	}
	sources, err := c.Advisories(t.Context())
	if err != nil || sources.Unanswered != a.Unanswered || sources.Sources[0].State != api.SourceFailed {
		t.Errorf("%+v, %v", sources, err)
	}
}

// A parent that has the fix already is the way out.
func TestTheFixIsInAnImageAbove(t *testing.T) {
	w, c := advised(t)
	inv, _, err := store.GetInventory(t.Context(), w.Store.Q(), apitest.Digest("base/python").String())
	if err != nil {
		t.Fatal(err)
	}
	for i := range inv.Packages {
		if p := &inv.Packages[i]; p.Name == "libssl3" {
			p.Version, p.SourceVersion = "3.0.17-1~deb12u3", ""
		}
	}
	if err := store.SaveInventory(t.Context(), w.Store.Q(), "base/python", inv, apitest.Now().UnixMilli()); err != nil {
		t.Fatal(err)
	}
	a, err := c.Affected(t.Context(), "CVE-2026-1234", false)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(a.Found, func(f api.Found) bool { return f.Image == "web" })
	if i < 0 || !a.Found[i].Offered || a.Found[i].Fix != "fixed in 3.0.17-1~deb12u3; base/python has 3.0.17-1~deb12u3" {
		t.Errorf("%+v", a.Found)
	}
}

func TestUncovered(t *testing.T) {
	_, c := advised(t)
	a, err := c.Advisories(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range a.Uncovered {
		got = append(got, fmt.Sprint(u.Type, " ", u.Why, " ", u.Packages, u.Images, u.Names))
	}
	want := "[apk no source has advisories for Alpine:v3.22 1 1 [legacy] npm no source has advisories for npm 1 1 [jobs]]"
	if fmt.Sprint(got) != want || a.Images != 10 || a.Covered != 3 || a.Unread != 5 || a.Unanswered != "" {
		t.Errorf("%v\n%+v", got, a)
	}
	var sources []string
	for _, s := range a.Sources {
		sources = append(sources, fmt.Sprint(s.Name, " ", s.Kind, " ", s.State, " ", s.Records, s.Broken, len(s.Problems)))
		if strings.Contains(s.Place+s.Error, "secret") {
			t.Errorf("%s tells a secret: %+v", s.Name, s)
		}
	}
	if got := fmt.Sprint(sources); got != "[debian osv ok 4 1 1 exploited kev ok 2 0 0 vendor openvex ok 1 0 0 away openvex failed 0 0 0]" {
		t.Error(got)
	}
}

// Nobody who is not known asks or decides, and nobody alone.
func TestExceptionsTakeTwo(t *testing.T) {
	w, c := advised(t)
	ask := api.ExceptionRequest{Finding: "CVE-2026-1234", Reason: "r", Owner: "o", Expires: "30d"}
	refused := func(what string, err error, status int) {
		t.Helper()
		var e *api.Error
		if !errors.As(err, &e) || e.Status != status || e.Hint == "" {
			t.Errorf("%s: %#v", what, err)
		}
	}
	_, err := c.RequestException(t.Context(), ask)
	refused("somebody without name", err, http.StatusBadRequest)
	ask.By = " ada "
	e, err := c.RequestException(t.Context(), ask)
	if err != nil || e.ID != "EX-2" || e.State != api.ExceptionRequested || e.Findings != 2 || e.In != 2 || e.Requester != "ada" {
		t.Fatalf("%+v, %v", e, err)
	}
	if want := apitest.Now().Truncate(24*3600e9).AddDate(0, 0, 31).Unix() - 1; e.ExpiresAt.Unix() != want {
		t.Errorf("until %s", e.ExpiresAt)
	}
	for what, by := range map[string]string{"nobody": "", "herself": "ADA", "herself, with blanks": "ada\t"} {
		_, err := c.DecideException(t.Context(), "EX-2", "approve", api.Decision{By: by})
		refused(what, err, map[bool]int{true: http.StatusBadRequest, false: http.StatusConflict}[by == ""])
	}
	_, err = c.DecideException(t.Context(), "EX-2", "delete", api.Decision{By: "bob"})
	refused("what cannot be decided", err, http.StatusNotFound)
	woken := w.Loop.Woken
	for range 2 {
		if e, err := c.DecideException(t.Context(), "EX-2", "approve", api.Decision{By: "bob"}); err != nil || e.State != api.ExceptionApproved || e.Approver != "bob" || e.Findings != 3 {
			t.Errorf("%+v, %v", e, err)
		}
	}
	if w.Loop.Woken == woken {
		t.Error("nobody was woken")
	}
	j, _, err := store.GetJudgement(t.Context(), w.Store.Q(), apitest.Digest("base/debian").String())
	if err != nil || j.Outcome == string(policy.Fail) {
		t.Errorf("what is accepted fails still: %+v, %v", j, err)
	}
	audit, err := c.Audit(t.Context(), "EX-2", 10)
	if err != nil || len(audit.Events) != 2 || audit.Events[0].Actor != "bob" || audit.Events[1].Actor != "ada" {
		t.Errorf("%+v, %v", audit, err)
	}
}

func TestStatusNeedsPeopleForExceptions(t *testing.T) {
	_, c := advised(t)
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range s.Needs {
		if strings.HasPrefix(n.What, "ACME-") || strings.HasPrefix(n.What, "EX-") {
			got = append(got, n.What+" "+n.State+" "+n.Who)
		}
	}
	if want := "[ACME-2 expired platform team EX-1 requested anybody but grace ACME-1 expiring web team]"; fmt.Sprint(got) != want {
		t.Errorf("%v", got)
	}
}

// What is fixed since the digest before is said only where the package has the fix or is gone.
func TestVEXSaysWhatIsFixed(t *testing.T) {
	w, c := advised(t)
	inv, _, err := store.GetInventory(t.Context(), w.Store.Q(), apitest.Digest("jobs").String())
	if err != nil {
		t.Fatal(err)
	}
	j, _, err := store.GetJudgement(t.Context(), w.Store.Q(), apitest.Digest("jobs").String())
	if err != nil {
		t.Fatal(err)
	}
	f := func(id, pkg, version, fix string) policy.Judged {
		return policy.Judged{Finding: policy.Finding{Kind: policy.Vulnerability, ID: id, Type: "deb", Package: pkg, Version: version, FixedIn: fix, Severity: policy.SeverityHigh, PURL: "pkg:deb/debian/" + pkg + "@" + version, FoundBy: []string{"rebuilder"}}, Outcome: policy.Fails}
	}
	body, err := json.Marshal(map[string]any{"subject": policy.Subject{Image: "jobs"}, "verdict": policy.Verdict{Findings: []policy.Judged{
		f("CVE-1", "libssl3", "3.0.1", "3.0.17"), f("CVE-2", "libssl3", "3.0.1", "3.0.18"), f("CVE-3", "libssl3", "3.0.1", ""), f("CVE-4", "telnet", "1", "2"), f("CVE-5", "libssl3", inv.Packages[0].Version, "3.0.1"),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.SaveJudgement(t.Context(), w.Store.Q(), store.Judgement{Digest: "sha256:before", Image: "jobs", Outcome: "fail", At: j.At - 1, Body: string(body)}); err != nil {
		t.Fatal(err)
	}
	e, err := c.ExportVEX(t.Context(), []string{"jobs"})
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Statements []struct {
			Vulnerability struct{ Name string }
			Status        string
			Justification string
		}
	}
	if err := json.Unmarshal(e.Document, &doc); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(doc.Statements, func(a, b struct {
		Vulnerability struct{ Name string }
		Status        string
		Justification string
	}) int {
		return strings.Compare(a.Vulnerability.Name, b.Vulnerability.Name)
	})
	if got := fmt.Sprint(doc.Statements); got != "[{{CVE-1} fixed } {{CVE-4} not_affected component_not_present}]" || e.Statements != 2 {
		t.Errorf("%s", got)
	}
	if e, err := c.ExportVEX(t.Context(), []string{"site"}); err != nil || len(e.NotKnown) != 1 || e.Images != 1 || string(e.Document) != "null" {
		t.Errorf("what nobody judged: %+v, %v", e, err)
	}
}

// A document that is too long is refused before it is read.
func TestVEXIsBounded(t *testing.T) {
	_, c := advised(t)
	var e *api.Error
	if _, err := c.ImportVEX(t.Context(), api.VEXImport{By: "ada", Document: json.RawMessage(`"` + strings.Repeat("x", 17<<20) + `"`)}); err == nil {
		t.Error("it was taken")
	}
	if _, err := c.ImportVEX(t.Context(), api.VEXImport{Document: json.RawMessage(`{}`)}); !errors.As(err, &e) || e.Hint != "say who: --by NAME" {
		t.Errorf("somebody without name: %v", err)
	}
}
