package contract

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"rebuilder/internal/githubspec"
)

// G1: our client's scenario has GitHub's shape, whichever GitHub it is.
func TestG1EveryExchangeHasGitHubsShape(t *testing.T) {
	for name, version := range map[string]string{"cloud and Enterprise": "", "2026-03-10": githubspec.NextVersion} {
		t.Run(name, func(t *testing.T) {
			for _, app := range []bool{false, true} {
				w := open(t, version, nil)
				if !app {
					w.app = nil
				}
				wrong, err := w.play(t.Context(), w.app)
				if err != nil {
					t.Fatal(err)
				}
				for _, one := range wrong {
					t.Errorf("as an App %v: %s", app, one)
				}
				if seen := len(w.record.Seen()); seen < 15 {
					t.Errorf("the scenario used %d operations: it proves little", seen)
				}
			}
		})
	}
}

// What the description has wrong is written down, with evidence, and little.
func TestG1Overrides(t *testing.T) {
	all := githubspec.Overrides()
	if len(all) > 4 {
		t.Errorf("%d overrides: at most 4 are allowed", len(all))
	}
	for what, evidence := range all {
		if len(evidence) < 40 {
			t.Errorf("%s: where is the evidence? %q", what, evidence)
		}
	}
}

// mutants are forges that are broken in one way.
var mutants = map[string]twist{
	"a member is missing":               rewrite(`/pulls$`, member("node_id", nil)),
	"a member is invented":              rewrite(`/pulls/\d+$`, member("cas", 1)),
	"a member has another type":         rewrite(`/git/ref/`, member("url", 7)),
	"a null where none may be":          rewrite(`/git/commits`, member("message", json.RawMessage("null"))),
	"a status that is not documented":   status(`/dispatches$`, http.StatusNoContent, http.StatusAccepted),
	"created says ok":                   status(`/pulls$`, http.StatusCreated, http.StatusOK),
	"what is not there is invalid":      status(`/contents/build/none`, http.StatusNotFound, http.StatusUnprocessableEntity),
	"the pull request does not follow":  rewrite(`/pulls(/\d+)?$`, neverFollows()),
	"closing is not done":               drop(http.MethodPatch, `/pulls/\d+$`),
	"a reference is not moved":          drop(http.MethodPatch, `/git/refs/`),
	"a merge is not seen":               rewrite(`/pulls/\d+$`, unmerged),
	"the tree is cut off":               rewrite(`/git/trees/`, member("tree", []any{})),
	"files of a pull request are empty": rewrite(`/files$`, func(any) any { return []any{} }),
}

// G7: a gate that cannot go red is none.
func TestG7BrokenForgesAreFoundOut(t *testing.T) {
	for name, broken := range mutants {
		t.Run(name, func(t *testing.T) {
			wrong, err := open(t, "", broken).play(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(wrong) == 0 {
				t.Error("nobody noticed")
			}
		})
	}
}

// answered keeps what a handler answers.
func answered(next http.Handler, r *http.Request) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	next.ServeHTTP(answer, r)
	return answer
}

func pass(w http.ResponseWriter, answer *httptest.ResponseRecorder, code int, body []byte) {
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.Header().Del("ETag") // a client that has the answer already would not see the other one
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

// rewrite changes the JSON of the answers below a path.
func rewrite(path string, change func(any) any) twist {
	pattern := regexp.MustCompile(path)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !pattern.MatchString(r.URL.Path) {
				next.ServeHTTP(w, r)
				return
			}
			r.Header.Del("If-None-Match")
			answer := answered(next, r)
			body := answer.Body.Bytes()
			var v any
			if answer.Code < 300 && json.Unmarshal(body, &v) == nil {
				body, _ = json.Marshal(change(v))
			}
			pass(w, answer, answer.Code, body)
		})
	}
}

// each applies a change to an object, or to all of a list.
func each(v any, change func(map[string]any)) any {
	switch v := v.(type) {
	case map[string]any:
		change(v)
	case []any:
		for _, item := range v {
			each(item, change)
		}
	}
	return v
}

// member sets a member; nil takes it away.
func member(name string, value any) func(any) any {
	return func(v any) any {
		return each(v, func(o map[string]any) {
			if o[name] = value; value == nil {
				delete(o, name)
			}
		})
	}
}

// neverFollows leaves each pull request at the head that it was opened with.
func neverFollows() func(any) any {
	first := map[float64]any{}
	return func(v any) any {
		return each(v, func(o map[string]any) {
			number, _ := o["number"].(float64)
			head, _ := o["head"].(map[string]any)
			if first[number] == nil {
				first[number] = head["sha"]
			}
			head["sha"] = first[number]
		})
	}
}

func unmerged(v any) any {
	return each(v, func(o map[string]any) {
		o["merged"], o["merged_at"] = false, nil
	})
}

// status answers one status for another.
func status(path string, from, to int) twist {
	pattern := regexp.MustCompile(path)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !pattern.MatchString(r.URL.Path) {
				next.ServeHTTP(w, r)
				return
			}
			answer := answered(next, r)
			code := answer.Code
			if code == from {
				code = to
			}
			pass(w, answer, code, answer.Body.Bytes())
		})
	}
}

// drop answers a change with what was there before, and does nothing.
func drop(method, path string) twist {
	pattern := regexp.MustCompile(path)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != method || !pattern.MatchString(r.URL.Path) {
				next.ServeHTTP(w, r)
				return
			}
			look := r.Clone(r.Context())
			look.Method, look.Body = http.MethodGet, http.NoBody
			look.URL.Path = strings.Replace(look.URL.Path, "/git/refs/", "/git/ref/", 1)
			look.URL.RawPath = ""
			answer := answered(next, look)
			pass(w, answer, answer.Code, bytes.Clone(answer.Body.Bytes()))
		})
	}
}
