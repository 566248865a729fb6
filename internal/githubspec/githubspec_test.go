package githubspec_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rebuilder/internal/githubspec"
)

func descriptions(t *testing.T) map[string]*githubspec.Spec {
	t.Helper()
	github, err := githubspec.GitHub()
	if err != nil {
		t.Fatal(err)
	}
	ghes, err := githubspec.GHES()
	if err != nil {
		t.Fatal(err)
	}
	next, err := githubspec.Next()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*githubspec.Spec{"github": github, "ghes": ghes, "next": next}
}

const (
	ref      = `{"ref":"refs/heads/a","node_id":"x","url":"https://h/r","object":{"type":"commit","sha":"` + sha + `","url":"https://h/c"}}`
	sha      = "0123456789012345678901234567890123456789"
	notFound = `{"message":"Not Found","documentation_url":"https://h","status":"404"}`
)

func TestCheck(t *testing.T) {
	const createRef = "POST /repos/acme/web/git/refs"
	specs := descriptions(t)
	for name, c := range map[string]struct {
		request, body string
		status        int
		answer        string
		want          string // part of the one finding; "" for none
	}{
		"right":                             {createRef, `{"ref":"refs/heads/a","sha":"` + sha + `"}`, 201, ref, ""},
		"right, below the enterprise path":  {"POST /api/v3/repos/acme/web/git/refs", `{"ref":"refs/heads/a","sha":"` + sha + `"}`, 201, ref, ""},
		"slashes in a ref":                  {"GET /repos/acme/web/git/ref/heads/a/b", "", 200, ref, ""},
		"escaped slashes in a ref":          {"GET /repos/acme/web/git/ref/heads%2Fa", "", 200, ref, ""},
		"unknown body member":               {createRef, `{"ref":"refs/heads/a","sha":"` + sha + `","forced":true}`, 201, ref, "/forced is unknown"},
		"missing body member":               {createRef, `{"ref":"refs/heads/a"}`, 201, ref, `"sha" is missing`},
		"wrong body, noticed by the server": {createRef, `{"ref":"refs/heads/a"}`, 422, `{"message":"x","documentation_url":"https://h"}`, ""},
		"a body where none belongs":         {"GET /repos/acme/web/git/ref/heads/a", `{}`, 200, ref, "none belongs"},
		"unknown query parameter":           {"GET /repos/acme/web/pulls?heads=a", "", 200, `[]`, `"heads" is unknown`},
		"wrong query parameter":             {"GET /repos/acme/web/pulls?state=shut", "", 200, `[]`, "parameter state"},
		"invented member in an answer":      {"GET /repos/acme/web/git/ref/heads/a", "", 200, strings.Replace(ref, `{`, `{"cas":1,`, 1), "/cas is invented"},
		"invented member deep in an answer": {"GET /repos/acme/web/git/ref/heads/a", "", 200, strings.Replace(ref, `{"type"`, `{"kind":1,"type"`, 1), "/object/kind is invented"},
		"missing member in an answer":       {"GET /repos/acme/web/git/ref/heads/a", "", 200, strings.Replace(ref, `"node_id":"x",`, ``, 1), `"node_id" is missing`},
		"wrong type in an answer":           {"GET /repos/acme/web/git/ref/heads/a", "", 200, strings.Replace(ref, `"x"`, `1`, 1), "/node_id"},
		"undocumented status":               {createRef, `{"ref":"refs/heads/a","sha":"` + sha + `"}`, 202, ref, "status is not supported"},
		"gateway failure":                   {createRef, `{"ref":"refs/heads/a","sha":"` + sha + `"}`, 502, "<html>", ""},
		"rate limit":                        {"GET /repos/acme/web/pulls", "", 429, `{"message":"slow down"}`, ""},
		"documented error":                  {"GET /repos/acme/web/git/ref/heads/a", "", 404, notFound, ""},
		"no such operation":                 {"PUT /repos/acme/web/stars", "", 200, `{}`, "no such operation"},
		"dispatch without content":          {"POST /repos/acme/web/dispatches", `{"event_type":"x","client_payload":{"a":"b"}}`, 204, "", ""},
	} {
		for kind, spec := range specs {
			t.Run(name+" "+kind, func(t *testing.T) {
				findings := exchange(t, spec, c.request, c.body, c.status, c.answer)
				if c.want == "" {
					for _, f := range findings {
						t.Error(f)
					}
					return
				}
				if len(findings) != 1 || !strings.Contains(findings[0].String(), c.want) {
					t.Errorf("got %v, want one with %s", findings, c.want)
				}
			})
		}
	}
}

// exchange is judged on both sides, which have to agree.
func exchange(t *testing.T, spec *githubspec.Spec, request, body string, status int, answer string) []githubspec.Finding {
	t.Helper()
	client, server := githubspec.NewRecord(spec), githubspec.NewRecord(spec)
	srv := httptest.NewServer(server.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if answer != "" {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	})))
	defer srv.Close()
	method, path, _ := strings.Cut(request, " ")
	req, err := http.NewRequest(method, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Transport(http.DefaultTransport).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(client.Seen()) != 1 || len(server.Seen()) != 1 {
		t.Errorf("seen %v by the client, %v by the server", client.Seen(), server.Seen())
	}
	ours, theirs := client.Findings(), server.Findings()
	if len(ours) != len(theirs) {
		t.Errorf("the client's side found %v, the server's %v", ours, theirs)
	}
	return ours
}

func TestWebhook(t *testing.T) {
	for kind, spec := range descriptions(t) {
		if found := spec.CheckWebhook("push", []byte(`{"ref":"refs/heads/a","invented":1}`)); len(found) < 2 {
			t.Errorf("%s: a push without a repository and with an invented member: %v", kind, found)
		}
		if found := spec.CheckWebhook("star", []byte(`{"action":"created"}`)); len(found) != 1 {
			t.Errorf("%s: an unknown webhook: %v", kind, found)
		}
	}
}

func TestDescriptionsKnowTheSameOperations(t *testing.T) {
	all := descriptions(t)
	want := strings.Join(all["github"].Operations(), "\n")
	for kind, spec := range all {
		if got := strings.Join(spec.Operations(), "\n"); got != want || strings.Count(got, "\n") < 70 {
			t.Errorf("%s has\n%s\nwant\n%s", kind, got, want)
		}
	}
}

// What a coming version leaves out is required today and invented then.
func TestNextVersionLeavesThingsOut(t *testing.T) {
	specs := descriptions(t)
	limits := `{"limit":1,"used":1,"remaining":0,"reset":1}`
	answer := `{"resources":{"core":` + limits + `,"search":` + limits + `},"rate":` + limits + `}`
	if found := exchange(t, specs["github"], "GET /rate_limit", "", 200, answer); len(found) != 0 {
		t.Errorf("today: %v", found)
	}
	found := exchange(t, specs["next"], "GET /rate_limit", "", 200, answer)
	if len(found) != 1 || !strings.Contains(found[0].Message, "/rate is invented") {
		t.Errorf("next: %v", found)
	}
}
