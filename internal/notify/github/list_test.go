package github_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"rebuilder/internal/notify"
)

func TestAnOrganizationsRepositories(t *testing.T) {
	w := start(t)
	all, next, rate, err := w.client.Repositories(t.Context(), "acme", "")
	w.must(err)
	if len(all) != 1 || next != "" || all[0].Name != "acme/web" || all[0].Branch != "main" || all[0].ID == 0 || all[0].PushedAt.IsZero() || all[0].Archived {
		t.Errorf("got %+v, next %q", all, next)
	}
	if rate.Limit != 5000 || rate.Remaining == 0 || rate.Reset.IsZero() {
		t.Errorf("rate %+v", rate)
	}
	one, err := w.client.Repository(t.Context(), "acme/web")
	if err != nil || one.ID != all[0].ID || one.Name != "acme/web" {
		t.Errorf("%+v, %v", one, err)
	}
	packages, next, _, err := w.client.Packages(t.Context(), "acme", "")
	if err != nil || len(packages) != 0 || next != "" {
		t.Errorf("packages %q, next %q, %v", packages, next, err)
	}
	for _, org := range []string{"none", "person"} {
		if _, _, _, err := w.client.Repositories(t.Context(), org, ""); !errors.Is(err, notify.ErrNotFound) {
			t.Errorf("%s: %v", org, err)
		}
	}
	if _, err := w.client.Repository(t.Context(), "acme/none"); !errors.Is(err, notify.ErrNotFound) {
		t.Errorf("no such repository: %v", err)
	}
	before := w.wire.requests()
	for _, c := range [][2]string{{"", ""}, {"a/b", ""}, {"a?b", ""}, {"acme", "x"}, {"acme", "0"}, {"acme", "-1"}} {
		if _, _, _, err := w.client.Repositories(t.Context(), c[0], c[1]); err == nil {
			t.Errorf("%q: no error", c)
		}
	}
	if w.wire.requests() != before {
		t.Error("nonsense was sent")
	}
}

func TestTreesAndBlobs(t *testing.T) {
	w := start(t)
	tree, err := w.client.Tree(t.Context(), "acme/web", w.head("main"), true)
	w.must(err)
	var got []string
	for _, e := range tree.Entries {
		got = append(got, fmt.Sprintf("%s %s", e.Path, e.Kind))
		if e.Path == "Dockerfile" {
			content, err := w.client.Blob(t.Context(), "acme/web", e.SHA)
			if err != nil || string(content) != dockerOld || e.Size != len(dockerOld) {
				t.Errorf("%q, %d bytes, %v", content, e.Size, err)
			}
		}
	}
	want := []string{".github directory", ".github/workflows directory", ".github/workflows/base.yml file", "Dockerfile file", "deploy directory",
		"deploy/images directory", "deploy/images/Dockerfile file", "deploy/images/entry.sh file"}
	if !slices.Equal(got, want) || tree.Truncated {
		t.Errorf("got %q", got)
	}
	top, err := w.client.Tree(t.Context(), "acme/web", w.head("main"), false)
	if err != nil || len(top.Entries) != 3 {
		t.Errorf("%+v, %v", top, err)
	}
	if _, err := w.client.Tree(t.Context(), "acme/web", strings.Repeat("0", 40), true); !errors.Is(err, notify.ErrNotFound) {
		t.Errorf("no such tree: %v", err)
	}
}

// What may pass, what is a limit and what stays are told apart.
func TestPassing(t *testing.T) {
	for name, c := range map[string]struct {
		fault            fault
		passing, limited bool
		says             string
	}{
		"a gateway":         {fault{status: http.StatusBadGateway, always: true}, true, false, ""},
		"a lost connection": {fault{always: true}, true, false, ""},
		"a limit":           {fault{status: http.StatusTooManyRequests, always: true}, false, true, ""},
		"a limit by 403":    {fault{status: http.StatusForbidden, header: map[string]string{"Retry-After": "9"}, body: `{"message":"later"}`, always: true}, false, true, ""},
		"forbidden":         {fault{status: http.StatusForbidden, body: `{"message":"no"}`, always: true}, false, false, "read:packages"},
		"not found":         {fault{status: http.StatusNotFound, body: `{"message":"Not Found"}`, always: true}, false, false, "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			c.fault.on = "^GET /orgs/acme/packages$"
			w.wire.fail(c.fault)
			_, _, _, err := w.client.Packages(t.Context(), "acme", "")
			var limit *notify.RateLimited
			if err == nil || w.client.Passing(err) != c.passing || errors.As(err, &limit) != c.limited || !strings.Contains(err.Error(), c.says) {
				t.Errorf("passing %v, limited %v: %v", w.client.Passing(err), errors.As(err, &limit), err)
			}
		})
	}
}

// A repository that was renamed is found by its old name, as GitHub leads on from it.
func TestARenamedRepository(t *testing.T) {
	w := start(t)
	w.wire.fail(fault{on: "^GET /repos/acme/old$", status: http.StatusMovedPermanently, header: map[string]string{"Location": w.base + "/api/v3/repos/acme/web"}})
	got, err := w.client.Repository(t.Context(), "acme/old")
	if err != nil || got.Name != "acme/web" {
		t.Errorf("%+v, %v", got, err)
	}
	w.wire.healed(t)
}
