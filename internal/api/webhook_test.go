package api_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rebuilder/internal/api"
	"rebuilder/internal/api/apitest"
	"rebuilder/internal/catalog"
)

const hookSecret = "s3cret"

// hooks is a world whose catalog has a webhook of each kind.
func hooks(t *testing.T) *apitest.World {
	t.Helper()
	w := world(t, apitest.Fix)
	w.Loop.Last().Catalog.Webhooks = []catalog.Webhook{
		{Name: "registry", Kind: catalog.FromRegistry}, {Name: "harbor", Kind: catalog.FromHarbor}, {Name: "packages", Kind: catalog.FromGHCR},
		{Name: "mirror", Kind: catalog.FromRegistry}, {Name: "no-secret", Kind: catalog.FromRegistry},
	}
	w.Deps.WebhookSecret = hookSecret
	w.Deps.Secret = func(h catalog.Webhook) (string, error) {
		if h.Name == "no-secret" {
			return "", errors.New("HOOK is not set")
		}
		return hookSecret, nil
	}
	return w
}

func sign(body string) string {
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func deliver(h http.Handler, name, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/webhooks/"+name, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

func TestWebhookKinds(t *testing.T) {
	envelope := func(events ...string) string {
		var out []string
		for i := 0; i < len(events); i += 2 {
			out = append(out, fmt.Sprintf(`{"id":%q,"timestamp":"2026-11-21T12:00:00Z","action":%q,"target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","repository":"base/debian","tag":"stable"},"actor":{},"request":{}}`, events[i], events[i+1]))
		}
		return `{"events":[` + strings.Join(out, ",") + `]}`
	}
	harbor := func(kind, at string) string {
		return fmt.Sprintf(`{"type":%q,"occur_at":%s,"operator":"robot","event_data":{"resources":[{"digest":"sha256:00","tag":"stable","resource_url":"h/base/debian:stable"}],"repository":{"name":"debian","namespace":"base","repo_full_name":"base/debian"}}}`, kind, at)
	}
	bearer := []string{"Authorization", "Bearer " + hookSecret}
	github := func(body, event, id string) []string {
		return []string{"X-Hub-Signature-256", sign(body), "X-GitHub-Event", event, "X-GitHub-Delivery", id}
	}
	cloud := `{"specversion":"1.0","id":"c-1","type":"harbor.artifact.pushed","source":"/projects/1/webhook/policies/1","data":{}}`
	tests := []struct {
		name, hook, body string
		header           []string
		status           int
		result           string
	}{
		{"a push to a registry", "registry", envelope("e1", "push"), bearer, 202, "looking"},
		{"the same again", "registry", envelope("e1", "push"), bearer, 202, "seen before"},
		{"the same with more", "registry", envelope("e1", "push", "e2", "push"), bearer, 202, "looking"},
		{"the same in another order, and with what is pulled", "registry", envelope("e2", "push", "p1", "pull", "e1", "push"), bearer, 202, "seen before"},
		{"what is pulled is no news", "registry", envelope("p2", "pull", "m1", "mount"), bearer, 202, "ignored"},
		{"a deletion", "registry", envelope("e3", "delete"), bearer, 202, "looking"},
		{"another registry's ids are others", "mirror", envelope("e1", "push"), bearer, 202, "looking"},
		{"the secret without a word before it", "mirror", envelope("e2", "push"), []string{"Authorization", hookSecret}, 202, "looking"},
		{"events without ids are known by the body", "mirror", envelope("", "push"), bearer, 202, "looking"},
		{"and that once", "mirror", envelope("", "push"), bearer, 202, "seen before"},
		{"an id of any length", "mirror", envelope(strings.Repeat("x", 5000), "push"), bearer, 202, "looking"},
		{"and that once, too", "mirror", envelope(strings.Repeat("x", 5000), "push"), bearer, 202, "seen before"},
		{"no envelope", "registry", `[1`, bearer, 202, "ignored"},
		{"an envelope of others", "registry", `{"events":"none"}`, bearer, 202, "ignored"},
		{"nothing", "registry", "", bearer, 202, "ignored"},
		{"no secret", "registry", envelope("f1", "push"), nil, 401, ""},
		{"another secret", "registry", envelope("f1", "push"), []string{"Authorization", "Bearer s3cre"}, 401, ""},
		{"a signature is no secret", "registry", envelope("f1", "push"), []string{"X-Hub-Signature-256", sign(envelope("f1", "push"))}, 401, ""},
		{"after a refused one with its id", "registry", envelope("f1", "push"), bearer, 202, "looking"},
		{"a push to Harbor", "harbor", harbor("PUSH_ARTIFACT", "1"), bearer, 202, "looking"},
		{"the same again to Harbor", "harbor", harbor("PUSH_ARTIFACT", "1"), bearer, 202, "seen before"},
		{"a later one", "harbor", harbor("PUSH_ARTIFACT", "2"), bearer, 202, "looking"},
		{"what Harbor saw pulled", "harbor", harbor("PULL_ARTIFACT", "3"), bearer, 202, "ignored"},
		{"a CloudEvent", "harbor", cloud, bearer, 202, "looking"},
		{"the CloudEvent in another form", "harbor", `{}`, append([]string{"Ce-Type", "harbor.artifact.pushed", "Ce-Id", "c-1"}, bearer...), 202, "seen before"},
		{"a package", "packages", `{"action":"published"}`, github(`{"action":"published"}`, "registry_package", "g1"), 202, "looking"},
		{"the package again", "packages", `{"action":"published"}`, github(`{"action":"published"}`, "registry_package", "g1"), 202, "seen before"},
		{"a push is not for packages", "packages", `{}`, github(`{}`, "push", "g2"), 202, "ignored"},
		{"a secret is no signature", "packages", `{}`, append([]string{"X-GitHub-Event", "package"}, bearer...), 401, ""},
		{"a signature of something else", "packages", `{} `, github(`{}`, "package", "g3"), 401, ""},
		{"the forge's own", "github", `{}`, github(`{}`, "push", "g1"), 202, "looking"},
		{"nobody's", "nobody", envelope("e1", "push"), bearer, 404, ""},
		{"without a secret here", "no-secret", envelope("e1", "push"), bearer, 503, ""},
	}
	w := hooks(t)
	h := api.New(w.Deps).Handler()
	woken := 0
	for _, tt := range tests {
		if tt.result == "looking" {
			woken++
		}
		rec := deliver(h, tt.hook, tt.body, tt.header...)
		if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.result) || w.Loop.Woken != woken {
			t.Errorf("%s: %d %s, woken %d times; want %d %q, %d", tt.name, rec.Code, rec.Body, w.Loop.Woken, tt.status, tt.result, woken)
		}
		if strings.Contains(rec.Body.String(), hookSecret) {
			t.Errorf("%s: the secret is in the answer", tt.name)
		}
	}

	// A restart, or another replica, has the same memory.
	if rec := deliver(api.New(w.Deps).Handler(), "registry", envelope("e1", "push"), bearer...); !strings.Contains(rec.Body.String(), "seen before") {
		t.Errorf("after a restart: %s", rec.Body)
	}
	// A catalog without it takes none.
	w.Loop.Last().Catalog.Webhooks = nil
	if rec := deliver(h, "registry", envelope("e9", "push"), bearer...); rec.Code != http.StatusNotFound {
		t.Errorf("gone from the catalog: %d", rec.Code)
	}
}

// When the database is away nobody can tell; to look once more does no harm.
func TestAWebhookThatCannotBeRememberedIsTaken(t *testing.T) {
	w := hooks(t)
	h := api.New(w.Deps).Handler()
	if _, err := w.Store.Q().Exec(t.Context(), `DROP TABLE delivery`); err != nil {
		t.Fatal(err)
	}
	rec := deliver(h, "harbor", `{"type":"PUSH_ARTIFACT"}`, "Authorization", hookSecret)
	if rec.Code != http.StatusAccepted || w.Loop.Woken != 1 {
		t.Errorf("%d %s, woken %d times", rec.Code, rec.Body, w.Loop.Woken)
	}
}

func TestAWebhookIsBounded(t *testing.T) {
	w := hooks(t)
	h := api.New(w.Deps).Handler()
	body := strings.Repeat("x", 25<<20+1)
	if rec := deliver(h, "registry", body, "Authorization", hookSecret); rec.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d", rec.Code)
	}
	many := `{"events":[` + strings.Repeat(`{"id":"a","action":"push"},`, 50_000) + `{"id":"b","action":"push"}]}`
	if rec := deliver(h, "registry", many, "Authorization", hookSecret); rec.Code != http.StatusAccepted {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	n := 0
	if err := w.Store.Q().QueryRow(t.Context(), `SELECT count(*) FROM delivery`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d are remembered, %v", n, err)
	}
}

// FuzzWebhook: whatever the body, a proven delivery is answered, and nobody is asked to send it again.
func FuzzWebhook(f *testing.F) {
	f.Add("registry", `{"events":[{"id":"1","action":"push"}]}`)
	f.Add("harbor", `{"type":"PUSH_ARTIFACT"}`)
	dir := f.TempDir()
	w, err := apitest.New(f.Context(), dir, apitest.Fix)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = w.Close() })
	w.Loop.Last().Catalog.Webhooks = []catalog.Webhook{{Name: "registry", Kind: catalog.FromRegistry}, {Name: "harbor", Kind: catalog.FromHarbor}}
	w.Deps.Secret = func(catalog.Webhook) (string, error) { return hookSecret, nil }
	h := api.New(w.Deps).Handler()
	f.Fuzz(func(t *testing.T, kind, body string) {
		if kind != "harbor" {
			kind = "registry"
		}
		if rec := deliver(h, kind, body, "Authorization", hookSecret); rec.Code != http.StatusAccepted {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	})
}
