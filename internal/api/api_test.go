package api_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"rebuilder/internal/api"
	"rebuilder/internal/api/apitest"
	"rebuilder/internal/store"
)

func world(t *testing.T, s apitest.Scenario) *apitest.World {
	t.Helper()
	w, err := apitest.New(t.Context(), t.TempDir(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func serve(t *testing.T, w *apitest.World) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(api.New(w.Deps).Handler())
	t.Cleanup(srv.Close)
	return srv
}

func TestFleetCountsEveryImageOnce(t *testing.T) {
	tests := []struct {
		scenario apitest.Scenario
		want     map[api.ImageState]int
	}{
		{apitest.Empty, map[api.ImageState]int{api.Unknown: 10}},
		{apitest.Calm, map[api.ImageState]int{api.Current: 10}},
		{apitest.Fix, map[api.ImageState]int{api.Current: 1, api.Behind: 6, api.Stuck: 1, api.Unknown: 2}},
		{apitest.Running, map[api.ImageState]int{api.Current: 1, api.Behind: 3, api.Stuck: 1, api.Unknown: 2, api.Rebuilding: 2, api.Awaiting: 1}},
	}
	for _, tt := range tests {
		t.Run(string(tt.scenario), func(t *testing.T) {
			c := api.NewClient(serve(t, world(t, tt.scenario)).URL, "")
			s, err := c.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			sum := 0
			for _, state := range api.ImageStates() {
				if got := s.Fleet.States[state]; got != tt.want[state] {
					t.Errorf("%s: %d, want %d", state, got, tt.want[state])
				}
				sum += s.Fleet.States[state]
			}
			if sum != s.Fleet.Images || s.Fleet.Images != 10 {
				t.Errorf("states add up to %d of %d images, want 10", sum, s.Fleet.Images)
			}
			if s.Unknown != s.Fleet.States[api.Unknown] {
				t.Errorf("unknown %d, want %d", s.Unknown, s.Fleet.States[api.Unknown])
			}
		})
	}
}

func TestAnswersSayHowOldTheyAre(t *testing.T) {
	srv := serve(t, world(t, apitest.Running))
	for _, path := range []string{"status", "graph", "rollouts", "rollouts/" + apitest.RolloutID, "images/base/debian/why", "images", "affected?of=openssl", "affected?of=CVE-2026-1234", "images/base/debian/why?package=openssl"} {
		body := get(t, srv.URL+"/api/v1/"+path, http.StatusOK)
		var v struct {
			Now  time.Time `json:"now"`
			AsOf time.Time `json:"as_of"`
		}
		if err := json.Unmarshal(body, &v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if !v.Now.Equal(apitest.Now()) || v.AsOf.IsZero() || v.AsOf.After(v.Now) {
			t.Errorf("%s: now %s, as of %s", path, v.Now, v.AsOf)
		}
		if bytes.Contains(body, []byte(`"0001-`)) {
			t.Errorf("%s has a time that never was:\n%s", path, body)
		}
	}
}

func get(t *testing.T, url string, want int) []byte {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != want {
		t.Fatalf("GET %s: %s, want %d\n%s", url, resp.Status, want, b)
	}
	return b
}

func TestErrorsHaveCodeAndWayOut(t *testing.T) {
	srv := serve(t, world(t, apitest.Running))
	tests := []struct {
		path, code string
		status     int
	}{
		{"/api/v1/nope", api.CodeNotFound, 404},
		{"/api/v1/plans/p-404", api.CodeNotFound, 404},
		{"/api/v1/rollouts/r-404", api.CodeNotFound, 404},
		{"/api/v1/builds/b-404", api.CodeNotFound, 404},
		{"/api/v1/builds/b-404/log", api.CodeNotFound, 404},
		{"/api/v1/images/base/nothing/why", api.CodeNotFound, 404},
		{"/api/v1/images/base/python/log", api.CodeNotFound, 404},
		{"/api/v1/images/base/debian", api.CodeNotFound, 404},
		{"/api/v1/images?on=base/nothing", api.CodeNotFound, 404},
		{"/api/v1/images?kind=bases", api.CodeBadRequest, 400},
		{"/api/v1/images?stale=perhaps", api.CodeBadRequest, 400},
		{"/api/v1/builds/b-404/log?follow=perhaps", api.CodeBadRequest, 400},
		{"/api/v1/affected", api.CodeBadRequest, 400},
		{"/api/v1/affected?of=a%20b", api.CodeBadRequest, 400},
		{"/api/v1/affected?of=a&all=perhaps", api.CodeBadRequest, 400},
		{"/api/v1/rollouts?limit=0", api.CodeBadRequest, 400},
		{"/api/v1/audit?limit=many", api.CodeBadRequest, 400},
	}
	for _, tt := range tests {
		var v struct{ Error *api.Error }
		if err := json.Unmarshal(get(t, srv.URL+tt.path, tt.status), &v); err != nil || v.Error == nil {
			t.Errorf("%s: no error in the answer (%v)", tt.path, err)
			continue
		}
		if v.Error.Code != tt.code || v.Error.Message == "" {
			t.Errorf("%s: %+v, want code %s", tt.path, v.Error, tt.code)
		}
		if tt.status == 404 && v.Error.Hint == "" {
			t.Errorf("%s: no hint", tt.path)
		}
	}
}

func TestWritesNeedPermission(t *testing.T) {
	tests := []struct {
		name, token, from string
		header            map[string]string
		host              string
		want              int
	}{
		{name: "same machine, no token", want: 200},
		{name: "IPv6 loopback", from: "[::1]:4444", host: "localhost:5540", want: 200},
		{name: "another machine, no token", from: "192.0.2.7:1234", want: 403},
		{name: "through a proxy, no token", header: map[string]string{"X-Forwarded-For": "192.0.2.7"}, want: 403},
		{name: "a name that points here", host: "evil.example:5540", want: 403},
		{name: "another site's page", header: map[string]string{"Sec-Fetch-Site": "cross-site"}, want: 403},
		{name: "another site's page with the token", token: "t", header: map[string]string{"Origin": "https://evil.example", "Authorization": "Bearer t"}, want: 403},
		{name: "token missing", token: "t", want: 401},
		{name: "token wrong", token: "t", header: map[string]string{"Authorization": "Bearer u"}, want: 401},
		{name: "token right, from afar", token: "t", from: "192.0.2.7:1234", host: "daemon.example", header: map[string]string{"Authorization": "Bearer t"}, want: 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := world(t, apitest.Fix)
			w.Deps.Token = tt.token
			h := api.New(w.Deps).Handler()
			r := httptest.NewRequest(http.MethodPost, "/api/v1/plans", nil)
			r.RemoteAddr, r.Host = "127.0.0.1:4444", "127.0.0.1:5540"
			if tt.from != "" {
				r.RemoteAddr = tt.from
			}
			if tt.host != "" {
				r.Host = tt.host
			}
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if rec.Code != tt.want {
				t.Errorf("%d, want %d: %s", rec.Code, tt.want, rec.Body)
			}
			_, err := store.GetPlan(t.Context(), w.Store.Q(), apitest.PlanID)
			if made := err == nil; made != (tt.want == 200) {
				t.Errorf("plan stored: %v", made)
			}
		})
	}
}

func TestApplyRecordsThePerson(t *testing.T) {
	w := world(t, apitest.Fix)
	c := api.NewClient(serve(t, w).URL, "")
	if _, err := c.Plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Apply(t.Context(), apitest.PlanID, "ada\x1b[2J\n"+strings.Repeat("x", 300)); err != nil {
		t.Fatal(err)
	}
	by := w.Loop.By
	if by.Kind != store.Human || by.Rule != "manual" || !strings.HasPrefix(by.Name, "ada[2Jxxx") || len(by.Name) > 100 {
		t.Errorf("applied by %+v", by)
	}
	w.Loop.Moved = true
	_, err := c.Apply(t.Context(), apitest.PlanID, "")
	var e *api.Error
	if !errors.As(err, &e) || e.Code != api.CodeMoved || e.Status != http.StatusConflict || e.Hint == "" {
		t.Errorf("a plan whose inputs moved: %#v", err)
	}
}

func TestRequestBodiesAreBounded(t *testing.T) {
	srv := serve(t, world(t, apitest.Fix))
	for body, want := range map[string]int{
		`{"by":"` + strings.Repeat("x", 1<<20) + `"}`: 400,
		`{"unknown":1}`: 400,
	} {
		resp, err := http.Post(srv.URL+"/api/v1/plans/p-1/apply", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%.20s...: %s, want %d", body, resp.Status, want)
		}
	}
}

func TestLogFollowsUntilTheBuildEnds(t *testing.T) {
	w := world(t, apitest.Running)
	file := filepath.Join(t.TempDir(), "b.log")
	write := func(s string) {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(s); err != nil {
			t.Fatal(err)
		}
	}
	b := store.Build{ID: "b-now", Image: "base/python", State: "running", Started: apitest.Now().UnixMilli(), Log: file}
	save := func() {
		if err := store.SaveBuild(t.Context(), w.Store.Q(), b); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	save()
	c := api.NewClient(serve(t, w).URL, "")
	log, err := c.ImageLog(t.Context(), "base/python", true)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	first := make([]byte, len("first\n"))
	if _, err := io.ReadFull(log, first); err != nil || string(first) != "first\n" {
		t.Fatalf("%q, %v", first, err)
	}
	write("last\n")
	b.State = "done"
	save()
	rest, err := io.ReadAll(log) // ends because the build did
	if err != nil || string(rest) != "last\n" {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestLogOfTests(t *testing.T) {
	w := world(t, apitest.Running)
	dir := t.TempDir()
	w.Deps.Logs = filepath.Join(dir, "logs")
	for name, text := range map[string]string{"logs/t-1-base-java-1.log": "java runs: passed\n", "t-secret.log": "not for you\n"} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	c := api.NewClient(serve(t, w).URL, "")
	log, err := c.BuildLog(t.Context(), "t-1-base-java-1", true)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if text, err := io.ReadAll(log); err != nil || string(text) != "java runs: passed\n" {
		t.Errorf("%q, %v", text, err)
	}
	for _, id := range []string{"t-404", "t-/../../t-secret", "t-1-base-java-1.log", "t-x\x00"} {
		var e *api.Error
		if _, err := c.BuildLog(t.Context(), id, false); !errors.As(err, &e) || e.Code != api.CodeNotFound {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestWebhooks(t *testing.T) {
	const secret, body = "s3cret", `{"zen":"Design for failure."}`
	sign := func(key string) string {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(body))
		return "sha256=" + hex.EncodeToString(mac.Sum(nil))
	}
	w := world(t, apitest.Fix)
	w.Deps.WebhookSecret = secret
	h := api.New(w.Deps).Handler()
	tests := []struct {
		name, event, id, signature string
		status, woken              int
	}{
		{"a push", "push", "1", sign(secret), 202, 1},
		{"the same again", "push", "1", sign(secret), 202, 1},
		{"another", "pull_request", "2", sign(secret), 202, 2},
		{"one that says nothing to us", "star", "3", sign(secret), 202, 2},
		{"somebody else's", "push", "4", sign("guess"), 401, 2},
		{"unsigned", "push", "5", "", 401, 2},
		{"half a signature", "push", "6", "sha256=ab", 401, 2},
		{"after a refused one with its id", "push", "4", sign(secret), 202, 3},
	}
	for _, tt := range tests {
		r := httptest.NewRequest(http.MethodPost, "/webhooks/github", strings.NewReader(body))
		r.Header.Set("X-GitHub-Event", tt.event)
		r.Header.Set("X-GitHub-Delivery", tt.id)
		r.Header.Set("X-Hub-Signature-256", tt.signature)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != tt.status || w.Loop.Woken != tt.woken {
			t.Errorf("%s: %d, woken %d times; want %d, %d", tt.name, rec.Code, w.Loop.Woken, tt.status, tt.woken)
		}
	}
	w.Deps.WebhookSecret = ""
	rec := httptest.NewRecorder()
	api.New(w.Deps).Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/webhooks/github", strings.NewReader(body)))
	if rec.Code != http.StatusNotFound {
		t.Errorf("without a secret: %d, want 404", rec.Code)
	}
}

func TestHealthAndReadiness(t *testing.T) {
	w := world(t, apitest.Calm)
	w.Deps.Ready = func() error { return errors.New("builder: connection refused") }
	srv := serve(t, w)
	if got := string(get(t, srv.URL+"/healthz", 200)); got != "ok\n" {
		t.Errorf("%q", got)
	}
	if got := string(get(t, srv.URL+"/readyz", 503)); got != "not ready: builder: connection refused\n" {
		t.Errorf("%q", got)
	}
}

func TestMetrics(t *testing.T) {
	w := world(t, apitest.Running)
	more := prometheus.NewCounter(prometheus.CounterOpts{Name: "rebuilder_more_total", Help: "More."})
	w.Deps.Collectors = []prometheus.Collector{more}
	text := string(get(t, serve(t, w).URL+"/metrics", 200))
	for _, want := range []string{
		`rebuilder_images{kind="application",state="unknown"} 2`,
		`rebuilder_images{kind="base",state="stuck"} 1`,
		`rebuilder_rollouts{state="running"} 1`,
		`rebuilder_rollouts{state="halted"} 0`,
		`rebuilder_proposals{state="open"} 1`,
		`rebuilder_build_duration_seconds_bucket{outcome="failed",le="60"} 1`,
		`rebuilder_build_duration_seconds_bucket{outcome="failed",le="30"} 0`,
		`rebuilder_build_duration_seconds_sum{outcome="done"} 60`,
		`rebuilder_watcher_last_success_timestamp_seconds{watcher="reconcile"} 1.79629176e+09`,
		`rebuilder_last_fix_lead_time_seconds 5700`,
		`rebuilder_catalog_last_reload_successful 1`,
		`rebuilder_plan_steps 4`,
		`rebuilder_build_info{goversion="`,
		`rebuilder_more_total 0`,
		`go_goroutines`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(api.NewGauges(&api.New(w.Deps).Reader))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// A scrape that cannot count must not say 0.
func TestMetricsWithoutStoreAreAnError(t *testing.T) {
	w, err := apitest.New(t.Context(), t.TempDir(), apitest.Calm)
	if err != nil {
		t.Fatal(err)
	}
	srv := serve(t, w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if text := string(get(t, srv.URL+"/metrics", 200)); strings.Contains(text, "rebuilder_rollouts{") {
		t.Errorf("rollouts were counted without a store:\n%s", text)
	}
}

func TestEventsSayWhenSomethingChanged(t *testing.T) {
	w := world(t, apitest.Running)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, serve(t, w).URL+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	read := func() string {
		var b strings.Builder
		one := make([]byte, 1)
		for !strings.HasSuffix(b.String(), "\n\n") {
			if _, err := io.ReadFull(resp.Body, one); err != nil {
				t.Fatalf("%v after %q", err, b.String())
			}
			b.Write(one)
		}
		return b.String()
	}
	if got := read(); !strings.Contains(got, "event: changed") || !strings.Contains(got, `"as_of":"2026-12-03T09:56:00Z"`) {
		t.Errorf("first event: %q", got)
	}
	if err := store.Audit(t.Context(), w.Store.Q(), store.Event{ID: "zzz", Actor: "rebuilder", Kind: store.Automation, Action: "promote"}); err != nil {
		t.Fatal(err)
	}
	if got := read(); !strings.Contains(got, `"last":"zzz"`) {
		t.Errorf("second event: %q", got)
	}
}

func TestClientTellsWhatIsThere(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/status" {
			_, _ = io.WriteString(w, "<html>")
			return
		}
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer other.Close()
	c := api.NewClient(other.URL, "")
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "is something else there?") {
		t.Errorf("an answer that is no JSON: %v", err)
	}
	var e *api.Error
	if _, err := c.Graph(t.Context()); !errors.As(err, &e) || e.Status != http.StatusBadGateway {
		t.Errorf("an error that is no JSON: %v", err)
	}
	var u *api.Unreachable
	if _, err := api.NewClient("127.0.0.1:1", "").Status(t.Context()); !errors.As(err, &u) || u.Error() != "cannot reach the daemon at http://127.0.0.1:1: connection refused" {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := api.NewClient("ftp://x", "").Status(t.Context()); err == nil {
		t.Error("a strange address was taken")
	}
}

func TestAuditPages(t *testing.T) {
	w := world(t, apitest.Running)
	c := api.NewClient(serve(t, w).URL, "")
	a, err := c.Audit(t.Context(), apitest.RolloutID, 1)
	if err != nil || len(a.Events) != 1 || a.Events[0].Rule != "watch" || a.Before != a.Events[0].ID {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := c.Audit(t.Context(), "nothing", 10); err != nil || len(a.Events) != 0 || a.Events == nil {
		t.Errorf("%+v, %v", a, err)
	}
}
