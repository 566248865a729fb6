package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"rebuilder/internal/api"
	"rebuilder/internal/api/apitest"
	"rebuilder/internal/judge"
	"rebuilder/internal/policy"
	"rebuilder/internal/registry"
	"rebuilder/internal/store"
)

func TestSheet(t *testing.T) {
	c := api.NewClient(serve(t, world(t, apitest.Judged)).URL, "")
	s, err := c.Sheet(t.Context(), "base/debian")
	if err != nil {
		t.Fatal(err)
	}
	digest := apitest.Digest("base/debian").String()
	if s.Name != "base/debian" || s.Kind != "base" || s.Owner != "platform team" || s.Digest != digest || s.Reference != "registry.example.com/base/debian@"+digest || s.Earlier {
		t.Errorf("who it is: %+v", s)
	}
	if s.Image == nil || s.Image.State != api.Current || len(s.Chain) != 1 || s.Chain[0].Standing != "proven" || s.Chain[0].ParentDigest == "" {
		t.Errorf("how it is: %+v, on %+v", s.Image, s.Chain)
	}
	if s.Content.Packages != 4 || s.Content.Types["deb"] != 3 || s.Content.Types["golang"] != 1 || s.Content.Layers != 2 || s.Content.OS != "debian 12 (bookworm)" {
		t.Errorf("what is inside: %+v", s.Content)
	}
	if s.Verdict.Outcome != policy.Fail || s.Since != apitest.Now() || len(s.Sources) != 3 || len(s.Exceptions) != 1 || s.Exceptions[0].ID != "ACME-41" || s.Exceptions[0].Findings != 1 {
		t.Errorf("verdict %+v since %s, exceptions %+v", s.Verdict.Outcome, s.Since, s.Exceptions)
	}
	if d := s.Compared; d == nil || d.Before.Digest != apitest.Digest("base/debian old").String() || d.Counts != (api.Compared{Fixed: 1, New: 6, Remaining: 1}) || d.Remaining != nil || d.After.Since.IsZero() {
		t.Errorf("compared %+v (%s)", d, s.NotCompared)
	}
	if s.Tests == nil || s.Tests.Passed != 9 || len(s.Trials) != 2 || s.Build == nil || s.Build.Doubt == "" || len(s.Proposals) != 1 {
		t.Errorf("how it came to be: %+v, %+v, %+v, %+v", s.Tests, s.Trials, s.Build, s.Proposals)
	}
}

// Of what is not the digest of today nothing is said that holds of that one only.
func TestSheetOfAnEarlierDigest(t *testing.T) {
	c := api.NewClient(serve(t, world(t, apitest.Judged)).URL, "")
	old := apitest.Digest("base/debian old").String()
	for _, called := range []string{old, old[:13], "base/debian@" + old} {
		s, err := c.Sheet(t.Context(), called)
		if err != nil {
			t.Fatalf("%s: %v", called, err)
		}
		if s.Digest != old || !s.Earlier || len(s.Chain) != 0 || len(s.Proposals) != 0 || s.Tests != nil || s.Build != nil || !s.Since.IsZero() || s.Compared != nil || s.NotCompared == "" {
			t.Errorf("%s: %+v", called, s)
		}
	}
}

// broken is a judge to whom everything goes wrong.
type broken struct{ err error }

func (b broken) Image(context.Context, string) (*judge.Sheet, error)  { return nil, b.err }
func (b broken) Digest(context.Context, string) (*judge.Sheet, error) { return nil, b.err }
func (b broken) Reference(context.Context, judge.Resolver, string, string) (*judge.Sheet, error) {
	return nil, b.err
}

func TestWhatCannotBeJudged(t *testing.T) {
	_, badName := name.ParseReference("UPPER/case")
	for said, c := range map[string]struct {
		err    error
		asked  string
		status int
		code   string
	}{
		"nothing is named":             {asked: "", status: 400, code: api.CodeBadRequest},
		"no digest":                    {asked: "sha256:xyz", status: 400, code: api.CodeBadRequest},
		"beginning of several digests": {asked: "sha256:123456", err: judge.ErrSeveral, status: 400, code: api.CodeBadRequest},
		"a name that is none":          {asked: "base/nothing:1", err: badName, status: 400, code: api.CodeBadRequest},
		"nobody has it":                {asked: "base/nothing:1", err: &registry.NotFound{Reference: "base/nothing:1"}, status: 404, code: api.CodeNotFound},
		"the registry is away":         {asked: "base/nothing:1", err: errors.New("connection refused"), status: 502, code: api.CodeUnavailable},
		"the database is away":         {asked: "base/debian", err: errors.New("disk I/O error"), status: 500, code: api.CodeInternal},
	} {
		t.Run(said, func(t *testing.T) {
			w := world(t, apitest.Judged)
			w.Deps.Judge = broken{c.err}
			_, err := api.NewClient(serve(t, w).URL, "").Scan(t.Context(), api.ScanRequest{Reference: c.asked})
			var e *api.Error
			if !errors.As(err, &e) || e.Status != c.status || e.Code != c.code || e.Hint == "" {
				t.Errorf("%#v", err)
			}
		})
	}
	w := world(t, apitest.Calm)
	_, err := api.NewClient(serve(t, w).URL, "").Sheet(t.Context(), "base/debian")
	var e *api.Error
	if !errors.As(err, &e) || e.Status != http.StatusServiceUnavailable {
		t.Errorf("without a judge: %v", err)
	}
}

func TestScan(t *testing.T) {
	w := world(t, apitest.Judged)
	w.Deps.Token = "T"
	url := serve(t, w).URL
	reads, writes := api.NewClient(url, ""), api.NewClient(url, "T")
	for _, ref := range []string{apitest.Elsewhere, "base/debian"} {
		var e *api.Error
		if _, err := reads.Scan(t.Context(), api.ScanRequest{Reference: ref}); !errors.As(err, &e) || e.Status != http.StatusUnauthorized {
			t.Errorf("%s without the token: %v", ref, err)
		}
		s, err := writes.Scan(t.Context(), api.ScanRequest{Reference: ref})
		if err != nil || s.Name != ref || s.Verdict.Outcome != policy.Fail {
			t.Errorf("%s: %+v, %v", ref, s, err)
		}
	}
	s, err := writes.Scan(t.Context(), api.ScanRequest{Reference: "registry.example.com/base/debian:stable"})
	if err != nil || s.Name != "base/debian" || s.Kind != "base" {
		t.Errorf("a reference of the catalog: %+v, %v", s, err)
	}
	if k, err := store.JudgedOf(t.Context(), w.Store.Q(), []string{apitest.Digest("elsewhere").String()}); err != nil || len(k) != 0 {
		t.Errorf("a verdict on what is not of the catalog was kept: %+v, %v", k, err)
	}
	resp, err := http.Get(url + "/api/v1/scan?image=base/debian")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil || resp.StatusCode != http.StatusOK || s.Name != "base/debian" {
		t.Errorf("GET: %s, %+v, %v", resp.Status, s.Name, err)
	}
}

// waits is a judge that reads until it may go on, and counts how many it reads at once.
type waits struct {
	broken
	now, most   *atomic.Int32
	began, goOn chan struct{}
}

func (w waits) Reference(ctx context.Context, _ judge.Resolver, _, _ string) (*judge.Sheet, error) {
	w.most.Store(max(w.most.Load(), w.now.Add(1)))
	defer w.now.Add(-1)
	for _, c := range []chan struct{}{w.began, w.goOn} {
		select {
		case c <- struct{}{}:
		case <-ctx.Done():
		}
	}
	return nil, errors.New("read")
}

// However many ask, few images are read at once.
func TestFewAreReadAtOnce(t *testing.T) {
	const asked, atOnce = 9, 4
	w := world(t, apitest.Judged)
	j := waits{broken{judge.ErrUnknown}, new(atomic.Int32), new(atomic.Int32), make(chan struct{}), make(chan struct{})}
	w.Deps.Judge = j
	c := api.NewClient(serve(t, w).URL, "")
	ended := make(chan error)
	for range asked {
		go func() {
			_, err := c.Scan(t.Context(), api.ScanRequest{Reference: apitest.Elsewhere})
			ended <- err
		}()
	}
	for range atOnce {
		<-j.began
	}
	for range asked - atOnce {
		<-j.goOn
		<-ended
		<-j.began
	}
	for range atOnce {
		<-j.goOn
		<-ended
	}
	if n := j.most.Load(); n != atOnce {
		t.Errorf("%d were read at once, want %d", n, atOnce)
	}
}

func TestDiff(t *testing.T) {
	w := world(t, apitest.Judged)
	w.Deps.Token = "T"
	url := serve(t, w).URL
	c := api.NewClient(url, "")
	d, err := c.Diff(t.Context(), "base/debian", "")
	if err != nil || d.Counts.New != len(d.New) || d.Counts.Remaining != len(d.Remaining) || len(d.Packages) != 5 || len(d.Failing) != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	for _, f := range d.Failing {
		if f.Outcome != policy.Fails {
			t.Errorf("%s is %s", f.ID, f.Outcome)
		}
	}
	if d, err = c.Diff(t.Context(), "base/debian", "base/debian"); err != nil || !d.Same || d.Counts.Fixed+d.Counts.New+len(d.Packages)+len(d.Settings) != 0 {
		t.Errorf("with itself: %+v, %v", d, err)
	}
	if d, err = c.Diff(t.Context(), "web", ""); err != nil || d.Before.Digest != apitest.Digest("web old").String() {
		t.Errorf("what was read before: %+v, %v", d, err)
	}
	if _, err := c.Diff(t.Context(), "base/debian", apitest.Elsewhere); err == nil {
		t.Error("an image was read without the token")
	}
	if d, err = api.NewClient(url, "T").DiffAny(t.Context(), api.DiffRequest{Before: "base/debian", After: apitest.Elsewhere}); err != nil || d.Counts.New != 0 || d.After.Image != apitest.Elsewhere {
		t.Errorf("with what is elsewhere: %+v, %v", d, err)
	}
	for _, of := range [][2]string{{"", ""}, {"base/python", ""}, {"base/debian", "base/nothing"}, {"jobs", "base/debian"}} {
		var e *api.Error
		if _, err := c.Diff(t.Context(), of[0], of[1]); !errors.As(err, &e) || e.Hint == "" {
			t.Errorf("%v: %v", of, err)
		}
	}
}

func TestExport(t *testing.T) {
	w := world(t, apitest.Judged)
	w.Deps.Token = "T"
	url := serve(t, w).URL
	for format, want := range map[string]struct{ mediaType, ending, holds string }{
		"sarif":          {"application/sarif+json", ".sarif", `"startLine"`},
		"cyclonedx":      {"application/vnd.cyclonedx+json", ".findings.cdx.json", "CVE-2026-1000"},
		"openvex":        {"application/openvex+json", ".openvex.json", "CVE-2026-4000"},
		"csv":            {"text/csv; charset=utf-8; header=present", ".csv", "root-user"},
		"sbom-cyclonedx": {"application/vnd.cyclonedx+json", ".cdx.json", "registry.example.com/base/debian"},
		"sbom-spdx":      {"application/spdx+json", ".spdx.json", "libssl3"},
	} {
		resp, err := http.Get(url + "/api/v1/export?image=base/debian&format=" + format)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != want.mediaType || !strings.Contains(string(body), want.holds) {
			t.Errorf("%s: %s, %s, %v, %.200s", format, resp.Status, resp.Header.Get("Content-Type"), err, body)
		}
		if got := resp.Header.Get("Content-Disposition"); got != `attachment; filename="base-debian-6c776efb4bb5`+want.ending+`"` {
			t.Errorf("%s: %s", format, got)
		}
	}
	var e *api.Error
	if _, err := api.NewClient(url, "").Export(t.Context(), "base/debian", "xml"); !errors.As(err, &e) || e.Status != http.StatusBadRequest || !strings.Contains(e.Hint, "sbom-spdx") {
		t.Errorf("a format that is none: %v", err)
	}
	if _, err := api.NewClient(url, "").ExportAny(t.Context(), api.ExportRequest{ScanRequest: api.ScanRequest{Reference: apitest.Elsewhere}, Format: "csv"}); !errors.As(err, &e) || e.Status != http.StatusUnauthorized {
		t.Errorf("without the token: %v", err)
	}
	body, err := api.NewClient(url, "T").ExportAny(t.Context(), api.ExportRequest{ScanRequest: api.ScanRequest{Reference: apitest.Elsewhere}, Format: "csv"})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if b, err := io.ReadAll(body); err != nil || !strings.Contains(string(b), "CVE-2026-1000") {
		t.Errorf("%s, %v", b, err)
	}
}

// Every image of the catalog has one verdict, or none; what nobody judged is not fine.
func TestVerdictsAreCounted(t *testing.T) {
	url := serve(t, world(t, apitest.Judged)).URL
	c := api.NewClient(url, "")
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if v := s.Verdicts; v != (api.Verdicts{Images: 10, Pass: 1, Fail: 1, Unknown: 1, NotJudged: 7, Oldest: apitest.Now()}) {
		t.Errorf("%+v", v)
	}
	if len(s.Needs) != 2 || s.Needs[1].What != "ACME-41" || s.Needs[0].What != "base/debian" || s.Needs[0].State != "fail" || s.Needs[0].Who != "platform team" || s.Needs[0].Command != "rebuilder verify base/debian" {
		t.Errorf("%+v", s.Needs)
	}
	all, err := c.Images(t.Context(), api.ImageFilter{})
	if err != nil {
		t.Fatal(err)
	}
	judged := map[string]int{}
	for _, i := range all.Images {
		if i.Verdict != nil {
			judged[i.Name+" "+i.Verdict.Outcome] = i.Verdict.Fails
		}
	}
	if len(judged) != 3 || judged["base/debian fail"] != 3 {
		t.Errorf("%v", judged)
	}
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	metrics, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`rebuilder_images_verdict{outcome="none"} 7`, `rebuilder_images_verdict{outcome="fail"} 1`,
		`rebuilder_findings{fixable="true",kind="vulnerability",outcome="fails",severity="critical"} 1`,
		`rebuilder_findings{fixable="false",kind="hygiene",outcome="fails",severity="medium"} 1`,
		`rebuilder_findings{fixable="true",kind="vulnerability",outcome="excepted",severity="critical"} 1`,
		`rebuilder_oldest_verdict_timestamp_seconds 1.7962`,
	} {
		if !strings.Contains(string(metrics), want) {
			t.Errorf("no %s", want)
		}
	}
}
