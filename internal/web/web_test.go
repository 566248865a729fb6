package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"rebuilder/internal/api"
	"rebuilder/internal/api/apitest"
	"rebuilder/internal/store"
)

func page(t *testing.T, s apitest.Scenario, change ...func(*apitest.World)) *httptest.ResponseRecorder {
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
	for _, f := range change {
		f(w)
	}
	h := Handler(Deps{Loop: w.Loop, Store: w.Store, Engine: w.Deps.Engine, Now: apitest.Now, Version: "1.2.3", Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	return rec
}

func TestPageSaysHowThingsAre(t *testing.T) {
	tests := []struct {
		scenario apitest.Scenario
		has      []string
		hasNot   []string
	}{
		{apitest.Empty,
			[]string{"0 of 10 images current", "has not looked at the world yet", "Of 10 not everything is known", "Nothing is running.", "None has ended yet.", "None has run yet.", "nothing was looked at yet"},
			[]string{"http-equiv", "not used"}},
		{apitest.Calm,
			[]string{"10 of 10 images current", "as of", "4 min ago", "Nothing is unknown", "Nothing, of 10 images.", "1 not-taken", "1 done"},
			[]string{"http-equiv"}},
		{apitest.Fix,
			[]string{"A plan of 4 steps waits", "not before 10:06 UTC, in 6 min", "patch not taken", "who keeps its recipe"},
			[]string{"http-equiv"}},
		{apitest.Running,
			[]string{`<meta http-equiv="refresh" content="5">`, "2 of 5 images finished", "Where the fix is now", "<strong>told</strong> 1 of 2 application images", "34 min since publication", "waits for 1 of its parents", "pull request #12 waits to be merged",
				`href="https://forge.example.com/acme/web/pull/12"`, `href="/api/v1/builds/b-5f1c2ab04e77-1-base-nginx-1/log"`, "owner of acme/web"},
			nil},
		{apitest.Broken,
			[]string{"The catalog on disk is not used", "did you mean &#34;bases/python&#34;?", "The last look failed", "database is locked", "cannot be reached", "builder"},
			[]string{"http-equiv"}},
		{apitest.Observed,
			[]string{"9 of 10 images current", `besides, <a href="#observed">2 observed</a> that nobody declared`, "Of what is declared nothing is unknown", "2 images that discovery found and nobody declared",
				"its layers are those of an older base/debian", "1 upstream with a digest that images are not made from yet",
				"which has no linux/arm64 yet", "09:00 UTC on 4 Dec, in 23 h", "401 Unauthorized", "discovery/registry.example.com"},
			[]string{"http-equiv", "0001", "The first"}},
	}
	for _, tt := range tests {
		t.Run(string(tt.scenario), func(t *testing.T) {
			rec := page(t, tt.scenario)
			body := rec.Body.String()
			if rec.Code != http.StatusOK {
				t.Fatalf("%d: %s", rec.Code, body)
			}
			for _, want := range tt.has {
				if !strings.Contains(body, want) {
					t.Errorf("no %q", want)
				}
			}
			for _, not := range tt.hasNot {
				if strings.Contains(body, not) {
					t.Errorf("there is %q", not)
				}
			}
			accessible(t, body)
			if t.Failed() {
				t.Log(body)
			}
		})
	}
}

// accessible checks what a machine can: one main heading, captions, scopes, and nothing that the policy would stop.
func accessible(t *testing.T, body string) {
	t.Helper()
	if n := strings.Count(body, "<h1"); n != 1 {
		t.Errorf("%d main headings", n)
	}
	if strings.Count(body, "<table") != strings.Count(body, "<caption") {
		t.Error("a table has no caption")
	}
	if regexp.MustCompile(`<th[^>]*>`).FindString(regexp.MustCompile(`<th(ead)?( scope="(row|col)")?>`).ReplaceAllString(body, "")) != "" {
		t.Error("a heading of a table has no scope")
	}
	for _, no := range []string{"<script", " style=", "javascript:", " onclick"} {
		if strings.Contains(body, no) {
			t.Errorf("the page has %q", no)
		}
	}
	if !strings.Contains(body, `<html lang="en">`) {
		t.Error("the page has no language")
	}
}

func TestEverythingForeignIsEscaped(t *testing.T) {
	const evil = `"><script>alert(1)</script>`
	rec := page(t, apitest.Running, func(w *apitest.World) {
		err := w.Store.Tx(t.Context(), func(ctx context.Context, q store.Querier) error {
			_, err := store.MoveNode(ctx, q, store.Move{Rollout: apitest.RolloutID, Image: "web", To: store.Telling, Reason: evil, Who: evil, At: 1,
				Detail: func(d *store.NodeDetail) { d.URL, d.Build = "javascript:alert(1)", evil }})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	body := rec.Body.String()
	if strings.Contains(body, "<script") || strings.Contains(body, `href="javascript`) {
		t.Errorf("not escaped:\n%s", body)
	}
	if !strings.Contains(body, "&lt;script&gt;alert(1)") {
		t.Error("the reason is not there at all")
	}
}

func TestHeaders(t *testing.T) {
	h := page(t, apitest.Calm).Header()
	for name, want := range map[string]string{"Content-Security-Policy": contentPolicy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestFilesAndErrors(t *testing.T) {
	h := (&pages{status: func(context.Context) (api.Status, error) { return api.Status{}, errors.New("no store") }, log: slog.New(slog.DiscardHandler)}).handler()
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/static/style.css": {200, "prefers-color-scheme"},
		"/static/icon.svg":  {200, "<svg"},
		"/favicon.ico":      {301, ""},
		"/page/status.html": {404, "There is no such page"},
		"/nope":             {404, "There is no such page"},
		"/":                 {500, "The status could not be read"},
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		if rec.Code != want.status || !strings.Contains(rec.Body.String(), want.text) {
			t.Errorf("%s: %d, want %d with %q\n%s", path, rec.Code, want.status, want.text, rec.Body)
		}
	}
}

func TestLongRolloutsAreCut(t *testing.T) {
	r := api.Rollout{ID: "r-1", State: "running", Images: maxNodes + 10}
	for i := range r.Images {
		state := "done"
		if i == r.Images-1 {
			state = "failed"
		}
		r.Nodes = append(r.Nodes, api.Node{Image: fmt.Sprint("i", i), State: state})
	}
	v := newStatus(api.Status{Running: []api.Rollout{r}}, "")
	a := v.Active[0]
	if len(a.Shown) != maxNodes || a.More != 10 || a.Shown[0].State != "failed" {
		t.Errorf("%d shown, %d more, first %s", len(a.Shown), a.More, a.Shown[0].State)
	}
}

// Text is read by people with tired eyes: WCAG's contrast of 4.5 holds for every pair, light and dark.
func TestContrast(t *testing.T) {
	css, err := files.ReadFile("static/style.css")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(string(css), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d palettes, want light and dark", len(blocks))
	}
	for i, scheme := range []string{"light", "dark"} {
		colours := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6})`).FindAllStringSubmatch(blocks[i][1], -1) {
			colours[m[1]] = m[2]
		}
		pairs := [][2]string{{"text", "page"}, {"text", "card"}, {"quiet", "page"}, {"quiet", "card"}, {"link", "page"}, {"link", "card"}, {"text", "bad-bg"}}
		for _, tone := range []string{"good", "busy", "wait", "bad", "none"} {
			pairs = append(pairs, [2]string{tone, tone + "-bg"}, [2]string{tone, "card"})
		}
		for _, p := range pairs {
			if c := contrast(t, colours[p[0]], colours[p[1]]); c < 4.5 {
				t.Errorf("%s: %s on %s has contrast %.2f", scheme, p[0], p[1], c)
			}
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	if len(colour) != 7 {
		t.Fatalf("no colour: %q", colour)
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		v, err := strconv.ParseUint(colour[1+2*i:3+2*i], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(v) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

func imagePage(t *testing.T, name string) *httptest.ResponseRecorder {
	t.Helper()
	w, err := apitest.New(t.Context(), t.TempDir(), apitest.Judged)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	h := Handler(Deps{Loop: w.Loop, Store: w.Store, Engine: w.Deps.Engine, Judge: w.Deps.Judge, Now: apitest.Now, Version: "1.2.3", Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/images/"+name, nil))
	return rec
}

func TestImagePage(t *testing.T) {
	rec := imagePage(t, "base/debian")
	body := rec.Body.String()
	if rec.Code != http.StatusOK {
		t.Fatalf("%d: %s", rec.Code, body)
	}
	if dir := os.Getenv("PAGES"); dir != "" { // to look at
		if err := os.WriteFile(filepath.Join(dir, "image.html"), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"<h1>base/debian</h1>", "owner platform team", "Findings", "no patch yet", "Who looked", "debian 12 (bookworm)", "9 of 9 passed", "ACME-41 excuses", `href="/images/upstream/debian"`, "rebuilder show base/debian"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, never := range []string{"\x1b", "\u202e", "<img src=x", "<no value>", "ZgotmplZ"} {
		if strings.Contains(body, never) {
			t.Errorf("the page has %q", never)
		}
	}
	if got := rec.Header().Get("Content-Security-Policy"); got != contentPolicy {
		t.Errorf("policy %q", got)
	}
}

func TestImagePageOfNone(t *testing.T) {
	for name, want := range map[string]int{"base/none": http.StatusNotFound, "sha256:abcdef": http.StatusNotFound} {
		if rec := imagePage(t, name); rec.Code != want || !strings.Contains(rec.Body.String(), "To the status page") {
			t.Errorf("%s: %d, %s", name, rec.Code, rec.Body)
		}
	}
}
