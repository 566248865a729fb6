package forge_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"rebuilder/internal/demo/forge"
	"rebuilder/internal/githubspec"

	"github.com/google/go-github/v57/github"
)

// Every operation the forge has is used once, in both versions of the API, so that start's record judges the shape of
// every answer.
func TestEveryOperationHasGitHubsShape(t *testing.T) {
	for _, version := range []string{"", githubspec.NextVersion} {
		t.Run("version "+version, func(t *testing.T) {
			w := startVersion(t, t.TempDir(), version, nil)
			w.walk()
			cloud, err := githubspec.GitHub()
			w.must(err)
			for _, operation := range cloud.Operations() {
				if w.record.Seen()[operation] == 0 {
					t.Errorf("%s is in the description and was not used", operation)
				}
			}
		})
	}
}

// get asks for a path below /repos/acme/web, or for another path that starts with two slashes.
func (w *world) get(path string) {
	w.t.Helper()
	w.call("GET", path, nil)
}

func (w *world) call(method, path string, body any) {
	w.t.Helper()
	w.callBy(w.client, method, path, body)
}

func (w *world) callBy(client *github.Client, method, path string, body any) {
	w.t.Helper()
	if len(path) > 1 && path[:2] == "//" {
		path = path[2:]
	} else {
		path = "repos/acme/web" + path
	}
	req, err := client.NewRequest(method, path, body)
	w.must(err)
	_, err = client.Do(w.t.Context(), req, io.Discard)
	w.must(err)
}

// walk makes a pull request through the git data API and lives its life to the end.
func (w *world) walk() {
	ctx, ptr := w.t.Context(), github.String
	w.must(w.forge.AddPackage("acme", "team/web"))
	for _, path := range []string{"//rate_limit", "//user", "//orgs/acme/repos", "//orgs/acme/packages?package_type=container", "", "/branches/main", "/commits",
		"/contents/.github", "/contents/Dockerfile?ref=main", "/git/matching-refs/heads/"} {
		w.get(path)
	}
	w.call("PATCH", "", map[string]any{"description": "a shop"})
	main, _, err := w.client.Git.GetRef(ctx, "acme", "web", "heads/main")
	w.must(err)
	base := main.GetObject().GetSHA()
	parent, _, err := w.client.Git.GetCommit(ctx, "acme", "web", base)
	w.must(err)
	blob, _, err := w.client.Git.CreateBlob(ctx, "acme", "web",
		&github.Blob{Content: ptr("aGVsbG8="), Encoding: ptr("base64")})
	w.must(err)
	w.get("/git/blobs/" + blob.GetSHA())
	tree, _, err := w.client.Git.CreateTree(ctx, "acme", "web", parent.GetTree().GetSHA(), []*github.TreeEntry{
		{Path: ptr("a.txt"), Mode: ptr("100644"), Type: ptr("blob"), Content: ptr("a\n")},
		{Path: ptr("b c.txt"), Mode: ptr("100755"), Type: ptr("blob"), SHA: blob.SHA},
		{Path: ptr("run.sh"), Mode: ptr("100755"), Type: ptr("blob")}, // removed
	})
	w.must(err)
	w.get("/git/trees/" + tree.GetSHA() + "?recursive=1")
	w.call("POST", "/git/commits", map[string]any{"message": "x", "tree": tree.GetSHA(), "parents": []string{base}})
	made, _, err := w.client.Git.CreateCommit(ctx, "acme", "web",
		&github.Commit{Message: ptr("Change"), Tree: tree, Parents: []*github.Commit{parent}}, nil)
	w.must(err)
	w.call("POST", "/git/refs", map[string]string{"ref": "refs/heads/team/topic", "sha": base})
	w.call("PATCH", "/git/refs/heads/team/topic", map[string]any{"sha": made.GetSHA(), "force": false})
	w.get("/commits/team/topic")
	w.call("PUT", "/contents/put/new.txt", map[string]string{"message": "one file", "content": "YQo=", "branch": "team/topic"})
	w.get("/compare/main...team/topic")
	number := w.open("team/topic").GetNumber()
	w.review(number, made.GetSHA())
	w.talk()
	w.asApp()
	opts := &github.PullRequestOptions{MergeMethod: "merge"}
	_, _, err = w.client.PullRequests.Merge(ctx, "acme", "web", number, "", opts)
	w.must(err)
	w.get("/pulls?state=closed")
	w.call("DELETE", "/git/refs/heads/team/topic", nil)
	w.dispatch()
}

func (w *world) review(number int, head string) {
	ctx, ptr := w.t.Context(), github.String
	pull := func(below string) string { return "/pulls/1" + below }
	issue := func(below string) string { return "/issues/1" + below }
	if number != 1 {
		w.t.Fatalf("the first pull request is number %d", number)
	}
	w.call("PATCH", pull(""), map[string]string{"title": "Better", "body": "said"})
	w.call("POST", issue("/labels"), map[string][]string{"labels": {"Base Image"}})
	w.get(issue("/labels"))
	w.call("POST", issue("/comments"), map[string]string{"body": "hello"})
	w.get(issue("/comments"))
	w.must(w.forge.SetRole("acme", "web", "reader", "read"))
	asked := map[string][]string{"reviewers": {"reader"}}
	w.call("POST", pull("/requested_reviewers"), asked)
	w.get(pull("/requested_reviewers"))
	w.call("DELETE", pull("/requested_reviewers"), asked)
	w.call("POST", pull("/reviews"), map[string]string{"event": "COMMENT", "body": "fine"})
	w.get(pull("/reviews"))
	w.get("/collaborators/reader/permission")
	w.must(w.forge.Protect("acme", "web", "main", &forge.Protection{Checks: []string{"build"}, UpToDate: true}))
	w.get("/branches/main/protection")
	w.get("/branches/main")
	w.must(w.forge.Protect("acme", "web", "main", nil))
	w.get("/pulls?state=open&head=acme:team/topic&base=main")
	for _, below := range []string{"", "/commits", "/files"} {
		w.get(pull(below))
	}
	run, _, err := w.client.Checks.CreateCheckRun(ctx, "acme", "web",
		github.CreateCheckRunOptions{Name: "build", HeadSHA: head, Status: ptr("in_progress")})
	w.must(err)
	_, _, err = w.client.Checks.UpdateCheckRun(ctx, "acme", "web", run.GetID(), github.UpdateCheckRunOptions{
		Name: "build", Conclusion: ptr("success"),
		Output: &github.CheckRunOutput{Title: ptr("built"), Summary: ptr("all good")},
	})
	w.must(err)
	w.call("POST", "/statuses/"+head,
		map[string]string{"state": "success", "context": "lint", "target_url": "https://ci.example/1"})
	w.get("/commits/team/topic/check-runs")
	w.get("/commits/" + head + "/status")
	w.get("/commits/" + head + "/statuses")
}

// talk is what labels, issues, comments and reactions have.
func (w *world) talk() {
	w.call("POST", "/labels", map[string]string{"name": "Wait", "color": "ff0000", "description": "not yet"})
	w.get("/labels")
	w.get("/labels/wait")
	w.call("PATCH", "/labels/wait", map[string]string{"new_name": "Later"})
	w.call("POST", "/issues/1/labels", map[string][]string{"labels": {"Later"}})
	w.call("DELETE", "/issues/1/labels/Later", nil)
	w.call("DELETE", "/labels/Later", nil)
	w.call("POST", "/issues", map[string]any{"title": "Dashboard", "body": "- [ ] one", "labels": []string{"Base Image"}})
	w.get("/issues?state=all&creator=ci&labels=base%20image")
	w.call("PATCH", "/issues/2", map[string]string{"body": "- [x] one"})
	w.call("PATCH", "/issues/2", map[string]string{"state": "closed"})
	w.call("PATCH", "/issues/2", map[string]string{"state": "open"})
	w.get("/issues/2")
	w.get("/issues/1")
	w.call("POST", "/issues/2/reactions", map[string]string{"content": "eyes"})
	w.get("/issues/2/reactions")
	comment, _, err := w.client.Issues.CreateComment(w.t.Context(), "acme", "web", 2, &github.IssueComment{Body: github.String("/rebase")})
	w.must(err)
	at := "/issues/comments/" + strconv.FormatInt(comment.GetID(), 10)
	w.get(at)
	w.call("PATCH", at, map[string]string{"body": "/wait"})
	w.call("POST", at+"/reactions", map[string]string{"content": "+1"})
	w.get(at + "/reactions")
	w.call("DELETE", at, nil)
}

func (w *world) dispatch() {
	w.call("POST", "/dispatches", map[string]any{"event_type": "base", "client_payload": map[string]string{"a": "b"}})
	w.call("POST", "/actions/workflows/ci.yml/dispatches", map[string]any{"ref": "main"})
	w.get("/actions/runs?event=repository_dispatch")
	w.get("/actions/workflows/ci.yml/runs?event=workflow_dispatch&branch=main")
}

// receiver takes webhooks as a program would: it refuses what is not signed.
type receiver struct {
	mu     sync.Mutex
	t      *testing.T
	record *githubspec.Record
	events []string
}

const hookSecret = "between us"

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := github.ValidatePayload(req, []byte(hookSecret))
	if err != nil {
		r.t.Errorf("webhook: %v", err)
		return
	}
	event := github.WebHookType(req)
	if _, err := github.ParseWebHook(event, body); err != nil {
		r.t.Errorf("webhook %s: %v", event, err)
	}
	var acted struct{ Action string }
	if err := json.Unmarshal(body, &acted); err != nil {
		r.t.Errorf("webhook %s: %v", event, err)
	}
	r.record.AddWebhook(event, body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, strings.TrimSpace(event+" "+acted.Action))
}

func TestWebhooksHaveGitHubsShape(t *testing.T) {
	hooks := &receiver{t: t}
	server := httptest.NewServer(hooks)
	defer server.Close()
	w := start(t, t.TempDir(), func(c *forge.Config) { c.WebhookURL, c.WebhookSecret = server.URL, hookSecret })
	hooks.record = w.record
	w.walk()
	tree := w.clone()
	w.commitFile(tree, "again", "a", []byte("a\n"))
	w.mustGit(tree, "push", "-q", w.pushURL("secret-ci"), "again")
	again := w.open("again").GetNumber()
	w.commitFile(tree, "again", "b", []byte("b\n"))
	w.mustGit(tree, "push", "-q", w.pushURL("secret-ci"), "again")
	w.call("PATCH", "/pulls/"+strconv.Itoa(again), map[string]string{"state": "closed"})
	w.call("PATCH", "/pulls/"+strconv.Itoa(again), map[string]string{"state": "open"})
	w.must(w.forge.Close())
	want := []string{
		"push", "push", "push", "pull_request opened", "pull_request edited", "pull_request labeled", "issue_comment created",
		"pull_request_review submitted", "check_run created", "check_run completed", "status",
		"pull_request labeled", "pull_request unlabeled", "issues labeled", "issues opened", "issues edited", "issues closed",
		"issues reopened", "issue_comment created", "issue_comment edited", "issue_comment deleted",
		"pull_request closed", "push", "push", "push", "pull_request opened", "push", "pull_request synchronize", "pull_request closed", "pull_request reopened",
	}
	if !slices.Equal(hooks.events, want) {
		t.Errorf("got  %q\nwant %q", hooks.events, want)
	}
}
