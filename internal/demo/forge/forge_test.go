package forge_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rebuilder/internal/demo/forge"
	"rebuilder/internal/githubspec"

	"github.com/google/go-github/v57/github"
)

// world is a forge on a port, with acme/web in it and a client for the user ci.
type world struct {
	t      *testing.T
	forge  *forge.Forge
	server *httptest.Server
	client *github.Client
	record *githubspec.Record // judges every exchange
	dir    string

	version string
}

func start(t *testing.T, dir string, tune func(*forge.Config)) *world {
	t.Helper()
	return startVersion(t, dir, "", tune)
}

// startVersion starts a world whose client asks for a version of the API.
func startVersion(t *testing.T, dir, version string, tune func(*forge.Config)) *world {
	t.Helper()
	w := &world{t: t, dir: dir, version: version, server: httptest.NewUnstartedServer(nil)}
	var err error
	w.record, err = recordOf(version)
	w.must(err)
	cfg := forge.Config{Dir: dir, BaseURL: "http://" + w.server.Listener.Addr().String()}
	if tune != nil {
		tune(&cfg)
	}
	if w.forge, err = forge.New(cfg); err != nil {
		t.Fatal(err)
	}
	w.forge.AddUser("ci", "secret-ci")
	w.must(w.forge.AddRepository("acme", "web", map[string][]byte{
		"Dockerfile":               []byte("FROM base/debian:stable\n"),
		"run.sh":                   []byte("#!/bin/sh\n"),
		".github/workflows/ci.yml": []byte("on: workflow_dispatch\n"),
	}))
	w.server.Config.Handler = w.record.Handler(w.forge)
	w.server.Start()
	t.Cleanup(func() {
		w.server.Close()
		w.must(w.forge.Close())
		for _, f := range w.record.Findings() {
			t.Error(f)
		}
	})
	w.client = w.as("secret-ci")
	return w
}

// recordOf judges by the descriptions that a version of the API has.
func recordOf(version string) (*githubspec.Record, error) {
	if version == githubspec.NextVersion {
		next, err := githubspec.Next()
		return githubspec.NewRecord(next), err
	}
	cloud, err := githubspec.GitHub()
	if err != nil {
		return nil, err
	}
	ghes, err := githubspec.GHES()
	return githubspec.NewRecord(cloud, ghes), err
}

// versioned asks for a version of the API in the client's place.
type versioned struct {
	next    http.RoundTripper
	version string
}

func (v versioned) RoundTrip(r *http.Request) (*http.Response, error) {
	if v.version != "" {
		r = r.Clone(r.Context())
		r.Header.Set("X-GitHub-Api-Version", v.version)
	}
	return v.next.RoundTrip(r)
}

// as returns a client for a token.
func (w *world) as(token string) *github.Client {
	w.t.Helper()
	plain := &http.Client{Transport: versioned{w.server.Client().Transport, w.version}}
	client, err := github.NewClient(plain).WithAuthToken(token).WithEnterpriseURLs(w.server.URL, w.server.URL)
	w.must(err)
	return client
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// git runs the real git as a stranger would have it: no settings, no prompts.
func (w *world) git(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=dev", "GIT_AUTHOR_EMAIL=dev@example.com",
		"GIT_COMMITTER_NAME=dev", "GIT_COMMITTER_EMAIL=dev@example.com",
	}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (w *world) mustGit(dir string, args ...string) string {
	w.t.Helper()
	out, err := w.git(dir, args...)
	if err != nil {
		w.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return out
}

// clone returns a work tree of acme/web, made without credentials.
func (w *world) clone() string {
	w.t.Helper()
	dir := w.t.TempDir()
	w.mustGit(dir, "clone", "-q", w.server.URL+"/acme/web.git", "web")
	return filepath.Join(dir, "web")
}

// pushURL has the token as password.
func (w *world) pushURL(token string) string {
	return strings.Replace(w.server.URL, "http://", "http://x:"+token+"@", 1) + "/acme/web.git"
}

// commitFile commits a file in a work tree on a new branch.
func (w *world) commitFile(tree, branch, name string, content []byte) {
	w.t.Helper()
	w.mustGit(tree, "checkout", "-q", "-B", branch)
	w.must(os.WriteFile(filepath.Join(tree, name), content, 0o644))
	w.mustGit(tree, "add", "-A")
	w.mustGit(tree, "commit", "-q", "-m", "change "+name)
}

func (w *world) open(branch string) *github.PullRequest {
	w.t.Helper()
	title, base := "Change", "main"
	pr, _, err := w.client.PullRequests.Create(context.Background(), "acme", "web",
		&github.NewPullRequest{Title: &title, Head: &branch, Base: &base})
	w.must(err)
	return pr
}

func (w *world) pull(number int) *github.PullRequest {
	w.t.Helper()
	pr, _, err := w.client.PullRequests.Get(context.Background(), "acme", "web", number)
	w.must(err)
	return pr
}

func TestCloneNeedsNoTokenAndPushDoes(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	tree := w.clone()
	if got := w.mustGit(tree, "ls-files", "-s", "run.sh"); !strings.HasPrefix(got, "100755") {
		t.Errorf("a script is not executable: %s", got)
	}
	w.commitFile(tree, "topic", "a.txt", []byte("a\n"))
	if out, err := w.git(tree, "push", "-q", w.pushURL("wrong"), "topic"); err == nil {
		t.Errorf("a push with a wrong token went through: %s", out)
	}
	w.mustGit(tree, "push", "-q", w.pushURL("secret-ci"), "topic")
	if got := w.mustGit(tree, "ls-remote", w.server.URL+"/acme/web", "refs/heads/topic"); got == "" {
		t.Error("the pushed branch is not there")
	}
}

func TestLargePushIsTakenInChunks(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	tree := w.clone()
	noise := make([]byte, 3<<20) // git sends more than 1 MiB with a chunked body
	seed := uint32(1)
	for i := range noise {
		seed = seed*1664525 + 1013904223
		noise[i] = byte(seed >> 24)
	}
	w.commitFile(tree, "large", "noise", noise)
	w.mustGit(tree, "push", "-q", w.pushURL("secret-ci"), "large")
	w.mustGit(tree, "fetch", "-q", "origin")
	out, err := w.git(tree, "diff", "--stat", "origin/large", "large")
	if err != nil || out != "" {
		t.Errorf("what was pushed is not what was fetched: %v %s", err, out)
	}
}

func TestPullRequestFollowsItsBranchAndIsMerged(t *testing.T) {
	pushes := make(chan forge.Push, 10)
	w := start(t, t.TempDir(), func(c *forge.Config) { c.OnPush = func(p forge.Push) { pushes <- p } })
	tree := w.clone()
	before := w.mustGit(tree, "rev-parse", "HEAD")
	w.commitFile(tree, "topic", "a.txt", []byte("a\n"))
	w.mustGit(tree, "push", "-q", w.pushURL("secret-ci"), "topic")
	<-pushes
	pr := w.open("topic")
	w.commitFile(tree, "topic", "b.txt", []byte("b\n"))
	w.mustGit(tree, "push", "-q", w.pushURL("secret-ci"), "topic")
	<-pushes
	head := w.mustGit(tree, "rev-parse", "HEAD")
	if pr = w.pull(pr.GetNumber()); pr.GetHead().GetSHA() != head || pr.GetCommits() != 2 || pr.GetChangedFiles() != 2 {
		t.Fatalf("head %s commits %d files %d", pr.GetHead().GetSHA(), pr.GetCommits(), pr.GetChangedFiles())
	}
	opts := &github.PullRequestOptions{MergeMethod: "squash", SHA: before}
	if _, resp, err := w.client.PullRequests.Merge(t.Context(), "acme", "web", pr.GetNumber(), "", opts); err == nil ||
		resp.StatusCode != 409 {
		t.Fatalf("a merge of another head: %v", err)
	}
	opts.SHA = head
	merged, _, err := w.client.PullRequests.Merge(t.Context(), "acme", "web", pr.GetNumber(), "", opts)
	w.must(err)
	want := forge.Push{Owner: "acme", Repo: "web", Branch: "main", Before: before, After: merged.GetSHA()}
	if p := <-pushes; p != want {
		t.Errorf("push %+v, want %+v", p, want)
	}
	if pr = w.pull(pr.GetNumber()); !pr.GetMerged() || pr.GetMergeCommitSHA() != merged.GetSHA() {
		t.Errorf("merged %v by %s", pr.GetMerged(), pr.GetMergeCommitSHA())
	}
	w.mustGit(tree, "fetch", "-q", "origin")
	if out := w.mustGit(tree, "diff", "--stat", "origin/main", "topic"); out != "" {
		t.Errorf("main is not what was merged:\n%s", out)
	}
}

func TestPullRequestOfADeletedBranchIsClosed(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	tree := w.clone()
	w.commitFile(tree, "topic", "a.txt", []byte("a\n"))
	w.mustGit(tree, "push", "-q", w.pushURL("secret-ci"), "topic")
	pr := w.open("topic")
	w.mustGit(tree, "push", "-q", w.pushURL("secret-ci"), ":topic")
	if pr = w.pull(pr.GetNumber()); pr.GetState() != "closed" || pr.GetMerged() {
		t.Errorf("state %s merged %v", pr.GetState(), pr.GetMerged())
	}
}

func TestPullRequestPushedIntoItsBaseIsMerged(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	tree := w.clone()
	w.commitFile(tree, "topic", "a.txt", []byte("a\n"))
	w.mustGit(tree, "push", "-q", w.pushURL("secret-ci"), "topic")
	pr := w.open("topic")
	w.mustGit(tree, "push", "-q", w.pushURL("secret-ci"), "topic:main")
	if pr = w.pull(pr.GetNumber()); !pr.GetMerged() {
		t.Errorf("state %s merged %v", pr.GetState(), pr.GetMerged())
	}
}

func TestConflictCannotBeMerged(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	tree := w.clone()
	w.commitFile(tree, "topic", "Dockerfile", []byte("FROM one\n"))
	w.mustGit(tree, "push", "-q", w.pushURL("secret-ci"), "topic")
	w.mustGit(tree, "checkout", "-q", "main")
	w.commitFile(tree, "main", "Dockerfile", []byte("FROM two\n"))
	w.mustGit(tree, "push", "-q", w.pushURL("secret-ci"), "main")
	pr := w.open("topic")
	if pr = w.pull(pr.GetNumber()); pr.GetMergeable() || pr.GetMergeableState() != "dirty" {
		t.Errorf("mergeable %v %s", pr.GetMergeable(), pr.GetMergeableState())
	}
	_, resp, err := w.client.PullRequests.Merge(t.Context(), "acme", "web", pr.GetNumber(), "", nil)
	if err == nil || resp.StatusCode != 405 {
		t.Errorf("merge of a conflict: %v", err)
	}
}

func TestStateOutlivesTheForge(t *testing.T) {
	dir := t.TempDir()
	w := start(t, dir, nil)
	tree := w.clone()
	w.commitFile(tree, "topic", "a.txt", []byte("a\n"))
	w.mustGit(tree, "push", "-q", w.pushURL("secret-ci"), "topic")
	pr := w.open("topic")
	want, _, err := w.client.PullRequests.Get(t.Context(), "acme", "web", pr.GetNumber())
	w.must(err)

	again := start(t, dir, nil)
	got := again.pull(pr.GetNumber())
	if got.GetID() != want.GetID() || got.GetHead().GetSHA() != want.GetHead().GetSHA() || got.GetState() != "open" {
		t.Errorf("got %v, want %v", got, want)
	}
	again.commitFile(tree, "other", "b.txt", []byte("b\n"))
	again.mustGit(tree, "push", "-q", again.pushURL("secret-ci"), "other")
	if next := again.open("other"); next.GetNumber() != pr.GetNumber()+1 {
		t.Errorf("next number is %d", next.GetNumber())
	}
}

// A kill between git's change and the state's must not leave an open pull request without a branch.
func TestStateIsSettledAfterAKill(t *testing.T) {
	dir := t.TempDir()
	w := start(t, dir, nil)
	tree := w.clone()
	for _, branch := range []string{"gone", "merged"} {
		w.mustGit(tree, "checkout", "-q", "main")
		w.commitFile(tree, branch, branch, []byte("x\n"))
		w.mustGit(tree, "push", "-q", w.pushURL("secret-ci"), branch)
	}
	gone, merged := w.open("gone"), w.open("merged")
	bare := filepath.Join(dir, "acme", "web.git")
	w.mustGit(bare, "update-ref", "-d", "refs/heads/gone")
	w.mustGit(bare, "update-ref", "refs/heads/main", "refs/heads/merged")

	again := start(t, dir, nil)
	if pr := again.pull(gone.GetNumber()); pr.GetState() != "closed" || pr.GetMerged() {
		t.Errorf("gone: state %s merged %v", pr.GetState(), pr.GetMerged())
	}
	if pr := again.pull(merged.GetNumber()); !pr.GetMerged() {
		t.Errorf("merged: state %s merged %v", pr.GetState(), pr.GetMerged())
	}
}

func TestDispatchesReachTheirHandler(t *testing.T) {
	dispatched := make(chan forge.Dispatched, 1)
	w := start(t, t.TempDir(), func(c *forge.Config) { c.OnDispatch = func(d forge.Dispatched) { dispatched <- d } })
	event := github.CreateWorkflowDispatchEventRequest{Ref: "main", Inputs: map[string]any{"digest": "sha256:1"}}
	_, err := w.client.Actions.CreateWorkflowDispatchEventByFileName(t.Context(), "acme", "web", "ci.yml", event)
	w.must(err)
	if d := <-dispatched; d.Workflow != "ci.yml" || d.Ref != "main" || d.Payload["digest"] != "sha256:1" {
		t.Errorf("got %+v", d)
	}
	_, err = w.client.Actions.CreateWorkflowDispatchEventByFileName(t.Context(), "acme", "web", "no.yml", event)
	if err == nil {
		t.Error("a workflow that is not there was dispatched")
	}
	rebuilt := github.DispatchRequestOptions{EventType: "rebuilt"}
	_, _, err = w.client.Repositories.Dispatch(t.Context(), "acme", "web", rebuilt)
	w.must(err)
	if d := <-dispatched; d.Event != "rebuilt" || d.Workflow != "" {
		t.Errorf("got %+v", d)
	}
}

// Asked past the record: these operations are not in the description.
func TestUnknownThingsAreNotFound(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	for path, want := range map[string]int{
		"/repos/acme/none": 404, "/nothing": 404, "/api/v3/repos/acme/web/pulls/7": 404, "/repos/acme/web/pulls/x": 404,
		"/repos/acme/web": 200, "/api/v3/repos/acme/web": 200, "/repos/acme/web/contents/": 200,
	} {
		req := httptest.NewRequest("GET", path, nil)
		req.Header.Set("Authorization", "token secret-ci")
		answer := httptest.NewRecorder()
		if w.forge.ServeHTTP(answer, req); answer.Code != want {
			t.Errorf("%s: %d, want %d", path, answer.Code, want)
		}
	}
}

func TestNothingWithoutCredentials(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	answer := httptest.NewRecorder()
	w.forge.ServeHTTP(answer, httptest.NewRequest("GET", "/repos/acme/web", nil))
	if answer.Code != 401 {
		t.Errorf("without a token: %d", answer.Code)
	}
}

// A second question with the first answer's ETag costs no body, unless the token changed in between, as on GitHub.
func TestConditionalRequest(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	w.forge.AddUser("other", "secret-other")
	ask := func(token, tag string) *httptest.ResponseRecorder {
		req := httptest.NewRequest("GET", "/repos/acme/web/branches/main", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("If-None-Match", tag)
		answer := httptest.NewRecorder()
		w.forge.ServeHTTP(answer, req)
		return answer
	}
	tag := ask("secret-ci", "").Header().Get("ETag")
	if again := ask("secret-ci", tag); tag == "" || again.Code != 304 || again.Body.Len() != 0 {
		t.Errorf("asked again with %s: %d and %d bytes", tag, again.Code, again.Body.Len())
	}
	if other := ask("secret-other", tag); other.Code != 200 {
		t.Errorf("asked by another token: %d", other.Code)
	}
}
