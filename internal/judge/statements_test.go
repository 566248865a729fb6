package judge_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/judge"
	"rebuilder/internal/plan"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

// saying is an OpenVEX document with one statement about a vulnerability in what is at a repository.
func saying(id string, version int, vulnerability, repository, status string) string {
	return fmt.Sprintf(`{"@context":"https://openvex.dev/ns/v0.2.0","@id":%q,"author":"vendor","timestamp":"2026-11-20T00:00:00Z","version":%d,"statements":[
		{"vulnerability":{"name":%q},"products":[{"@id":"pkg:oci/x?repository_url=%s"}],"status":%q,%s}]}`, id, version, vulnerability, repository, status,
		map[string]string{"affected": `"action_statement":"update it"`, "not_affected": `"justification":"vulnerable_code_not_present"`}[status])
}

const ours = "127.0.0.1:5000/base/debian"

// reader is a reader of statements on a catalog with these [[advisories]].
func reader(t *testing.T, advisories string) (*court, *judge.VEX, *time.Time) {
	t.Helper()
	c := newCourt(t, storetest.Open(t, storetest.SQLite(t)), rules+advisories)
	clock := now
	v := &judge.VEX{Store: c.Store, Catalog: func() *catalog.Catalog { return c.Catalog() }, Client: &http.Client{}, Now: func() time.Time { return clock }}
	c.Statements = v
	return c, v, &clock
}

// said are statements in few words.
func said(t *testing.T, v *judge.VEX) string {
	t.Helper()
	all, problems := v.Statements(t.Context())
	var out []string
	for _, s := range all {
		out = append(out, fmt.Sprintf("%s %s %v", s.Vulnerability, s.Status, s.Images))
	}
	return strings.Join(append(out, problems...), "; ")
}

func TestStatementsOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vendor.json")
	_, v, clock := reader(t, fmt.Sprintf("[[advisories]]\nname = \"vendor\"\nkind = \"openvex\"\npath = %q\n", file))
	if got := said(t, v); !strings.Contains(got, "the statements of vendor could not be read: stat ") {
		t.Errorf("before there is a file: %s", got)
	}
	write(t, file, saying("a", 1, "CVE-2026-1", ours, "not_affected"))
	if v.Look(t.Context()) {
		t.Error("it was read again before its time")
	}
	*clock = clock.Add(2 * time.Hour)
	if !v.Look(t.Context()) {
		t.Error("that there is a file now was not noticed")
	}
	const first = "CVE-2026-1 not_affected [base/debian]"
	if got := said(t, v); got != first {
		t.Error(got)
	}
	*clock = clock.Add(2 * time.Hour)
	if v.Look(t.Context()) {
		t.Error("the same file was taken for another")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	*clock = clock.Add(2 * time.Hour)
	if v.Look(t.Context()) || said(t, v) != first {
		t.Errorf("a file that is gone for a moment: %s", said(t, v))
	}
	state := v.States()
	if len(state) != 1 || state[0].Error == "" || state[0].Statements != 1 || !state[0].OKAt.Equal(clock.Add(-2*time.Hour)) || state[0].Place != file {
		t.Errorf("%+v", state)
	}
	write(t, file, strings.Replace(saying("a", 2, "CVE-2026-1", ours, "affected"), `"statements":[`, `"statements":[{"vulnerability":{"name":"CVE-2026-3"},"status":"fixed"},`, 1))
	*clock = clock.Add(2 * time.Hour)
	v.Look(t.Context())
	if got := said(t, v); got != "CVE-2026-1 affected [base/debian]; not all statements of vendor could be read: vendor: statement 1 (CVE-2026-3): it names no product: say which image it is about" {
		t.Error(got)
	}
}

func TestStatementsOfAURL(t *testing.T) {
	var asked, sent atomic.Int64
	down := atomic.Bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch {
		case down.Load():
			http.Error(w, "no", http.StatusNotFound)
		case r.Header.Get("If-None-Match") == `"1"`:
			w.WriteHeader(http.StatusNotModified)
		default:
			sent.Add(1)
			w.Header().Set("ETag", `"1"`)
			fmt.Fprint(w, saying("a", 1, "CVE-2026-1", ours, "not_affected"))
		}
	}))
	t.Cleanup(srv.Close)
	c, v, clock := reader(t, fmt.Sprintf("[[advisories]]\nname = \"vendor\"\nkind = \"openvex\"\nurl = \"%s/vex.json?token=secret\"\n", srv.URL))
	for range 3 {
		if got := said(t, v); got != "CVE-2026-1 not_affected [base/debian]" {
			t.Error(got)
		}
		*clock = clock.Add(2 * time.Hour)
		v.Look(t.Context())
	}
	if asked.Load() != 4 || sent.Load() != 1 {
		t.Errorf("asked %d times, sent %d times", asked.Load(), sent.Load())
	}
	down.Store(true)
	*clock = clock.Add(2 * time.Hour)
	v.Look(t.Context())
	if got := said(t, v); got != "CVE-2026-1 not_affected [base/debian]" {
		t.Errorf("while it is away: %s", got)
	}
	beats, err := store.Watchers(t.Context(), c.Store.Q())
	if err != nil || len(beats) != 1 || beats[0].Name != "statements/vendor" || !strings.Contains(beats[0].Error, "404") || strings.Contains(beats[0].Error, "secret") {
		t.Errorf("%+v, %v", beats, err)
	}
	without := *c.Catalog()
	without.Advisories = nil
	c.Catalog = func() *catalog.Catalog { return &without }
	v.Look(t.Context())
	if beats, err := store.Watchers(t.Context(), c.Store.Q()); err != nil || len(beats) != 0 || said(t, v) != "" {
		t.Errorf("what is not in the catalog any more: %+v, %v, %q", beats, err, said(t, v))
	}
}

// What is imported counts at once, by whomever, and so does that it is removed.
func TestImportedStatementsCount(t *testing.T) {
	c, v, _ := reader(t, "")
	put := func(version int64, doc string) {
		t.Helper()
		if _, _, err := store.ImportVEX(t.Context(), c.Store.Q(), store.VEXDocument{ID: "a", Version: version, Author: "vendor", By: "ada", At: version, Body: doc}); err != nil {
			t.Fatal(err)
		}
	}
	if got := said(t, v); got != "" {
		t.Error(got)
	}
	put(1, saying("a", 1, "CVE-2026-1", ours, "affected"))
	if got := said(t, v); got != "CVE-2026-1 affected [base/debian]" {
		t.Error(got)
	}
	put(20, saying("a", 20, "CVE-2026-1", ours, "not_affected"))
	if got := said(t, v); got != "CVE-2026-1 not_affected [base/debian]" {
		t.Error(got)
	}
	inv := c.image("b", "app", "1")
	c.world.Facts.Bases["base/debian"] = plan.Base{Image: plan.Image{Reference: ours + ":stable", Digest: inv.Digest, DiffIDs: inv.DiffIDs}}
	c.known[inv.Digest.String()] = []policy.Finding{cve("CVE-2026-1", policy.SeverityHigh, 0)}
	sweep := func(outcome policy.VerdictOutcome) {
		t.Helper()
		n, err := c.Sweep(t.Context())
		k, _, err2 := store.GetJudgement(t.Context(), c.Store.Q(), inv.Digest.String())
		if n != 1 || err != nil || err2 != nil || k.Outcome != string(outcome) {
			t.Errorf("%d judged, %+v, %v %v", n, k, err, err2)
		}
	}
	sweep(policy.Pass)
	if _, err := store.RemoveVEX(t.Context(), c.Store.Q(), "a", "bob", "wrong", 1); err != nil {
		t.Fatal(err)
	}
	sweep(policy.Fail)
}

// What an exception does is counted with the verdict, whether it excuses or would.
func TestWhatExceptionsDoIsCounted(t *testing.T) {
	toml := rules
	for id, expires := range map[string]string{"ACME-1": "2026-12-01", "ACME-2": "2026-11-01"} {
		toml += fmt.Sprintf("[[exception]]\nid = %q\nfinding = \"CVE-2026-%s\"\nreason = \"r\"\nowner = \"o\"\nexpires = %q\n", id, id[5:], expires)
	}
	c := newCourt(t, storetest.Open(t, storetest.SQLite(t)), toml)
	asked := store.Exception{Request: "1", Finding: "CVE-2026-3", Reason: "r", Owner: "o", Requester: "ada", RequestedAt: now.UnixMilli(), Expires: now.AddDate(0, 1, 0).UnixMilli()}
	if _, _, err := store.RequestException(t.Context(), c.Store.Q(), asked); err != nil {
		t.Fatal(err)
	}
	inv := c.image("b", "app", "1")
	two := cve("CVE-2026-1", policy.SeverityHigh, 0)
	two.Package = "libssl3"
	c.known[inv.Digest.String()] = []policy.Finding{cve("CVE-2026-1", policy.SeverityHigh, 0), two, cve("CVE-2026-2", policy.SeverityHigh, 0), cve("CVE-2026-3", policy.SeverityHigh, 0), cve("CVE-2026-4", policy.SeverityHigh, 0)}
	if _, err := c.Candidate(t.Context(), c.Catalog().Bases[0], inv.Digest.String(), ""); err != nil {
		t.Fatal(err)
	}
	k, _, err := store.GetJudgement(t.Context(), c.Store.Q(), inv.Digest.String())
	slices.SortFunc(k.Uses, func(a, b store.ExceptionUse) int { return strings.Compare(a.Exception, b.Exception) })
	if got := fmt.Sprint(k.Uses); err != nil || got != "[{ACME-1 2 0} {ACME-2 0 1} {EX-1 0 1}]" {
		t.Errorf("%s, %v", got, err)
	}

	// The same without looking into the image.
	w, err := c.Weigh(t.Context(), []string{"cve-2026-1", "CVE-2026-2"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range w(policy.Subject{Image: "base/debian", Digest: inv.Digest.String()}, c.known[inv.Digest.String()][:3]) {
		got = append(got, string(f.Outcome)+" "+f.Policy)
	}
	if want := []string{"excepted ", "excepted ", "fails serious"}; !slices.Equal(got, want) {
		t.Errorf("weighed %q, want %q", got, want)
	}
}
