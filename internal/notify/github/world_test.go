package github_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"rebuilder/internal/demo/forge"
	"rebuilder/internal/githubspec"
	"rebuilder/internal/notify"
	ours "rebuilder/internal/notify/github"

	"github.com/google/go-github/v57/github"
)

const (
	secret    = "ghp_secret-of-the-bot"
	dockerOld = "FROM base/debian:stable\r\nRUN true"
	dockerNew = "FROM base/debian:stable@sha256:1\r\nRUN true"
)

// world is the demo's forge with acme/web on it, our client, and a person's client. Every exchange is judged on both
// sides, before faults and after them.
type world struct {
	t      *testing.T
	dir    string
	base   string
	record *githubspec.Record
	wire   *wire
	client *ours.Client
	hub    *forge.Forge
	human  *github.Client
	// onDispatch hears of dispatches.
	onDispatch func(forge.Dispatched)
}

// descriptions are loaded once for all tests.
var descriptions = sync.OnceValues(func() ([]*githubspec.Spec, error) {
	cloud, err := githubspec.GitHub()
	if err != nil {
		return nil, err
	}
	ghes, err := githubspec.GHES()
	return []*githubspec.Spec{cloud, ghes}, err
})

// seeded is a forge's directory with users and acme/web, made once and copied for each test.
var seeded = sync.OnceValues(func() (fs.FS, error) {
	dir, err := os.MkdirTemp("", "forge-seed-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	hub, err := forge.New(forge.Config{Dir: dir, BaseURL: "http://forge.example"})
	if err != nil {
		return nil, err
	}
	hub.AddUser("rebuilder-bot", secret)
	hub.AddUser("person", "ghp_person")
	err = hub.AddRepository("acme", "web", map[string][]byte{
		"Dockerfile":                 []byte(dockerOld),
		"deploy/images/Dockerfile":   []byte("FROM base/debian:stable\n"),
		"deploy/images/entry.sh":     []byte("#!/bin/sh\n"),
		".github/workflows/base.yml": []byte("on: workflow_dispatch\n"),
	})
	if err != nil {
		return nil, err
	}
	return inMemory(dir)
})

// inMemory reads a directory tree, so that nothing is left behind on disk.
func inMemory(dir string) (fs.FS, error) {
	files := fstest.MapFS{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || entry.IsDir() {
			files[filepath.ToSlash(name)] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
			return err
		}
		data, err := os.ReadFile(path)
		files[filepath.ToSlash(name)] = &fstest.MapFile{Data: data, Mode: 0o644}
		return err
	})
	delete(files, ".")
	return files, err
}

func start(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	specs, err := descriptions()
	w.must(err)
	w.record = githubspec.NewRecord(specs...)
	server := httptest.NewUnstartedServer(nil)
	w.base = "http://" + server.Listener.Addr().String()
	seed, err := seeded()
	w.must(err)
	w.must(os.CopyFS(w.dir, seed))
	hub, err := forge.New(forge.Config{Dir: w.dir, BaseURL: w.base, OnDispatch: func(d forge.Dispatched) {
		if w.onDispatch != nil {
			w.onDispatch(d)
		}
	}})
	w.must(err)
	w.hub = hub
	server.Config.Handler = w.record.Handler(hub)
	server.Start()
	t.Cleanup(func() {
		server.Close()
		w.must(hub.Close())
		for _, f := range w.record.Findings() {
			t.Error(f)
		}
	})
	w.wire = &wire{next: http.DefaultTransport}
	w.client = w.connect(nil)
	w.human = github.NewClient(nil).WithAuthToken("ghp_person")
	w.human, err = w.human.WithEnterpriseURLs(w.base, w.base)
	w.must(err)
	return w
}

// connect makes a client of ours, as a daemon does that starts anew.
func (w *world) connect(tune func(*ours.Config)) *ours.Client {
	w.t.Helper()
	cfg := ours.Config{
		BaseURL:   w.base + "/api/v3",
		Token:     func(context.Context) (string, error) { return secret, nil },
		Transport: w.record.Transport(w.wire), WritesPerSecond: 1e6, WriteBurst: 1000, ReadsPerSecond: 1e6, RetryWait: time.Millisecond,
	}
	if tune != nil {
		tune(&cfg)
	}
	client, err := ours.New(cfg)
	w.must(err)
	return client
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// git asks the repository itself.
func (w *world) git(args ...string) string {
	w.t.Helper()
	out, err := exec.Command("git", append([]string{"--git-dir", filepath.Join(w.dir, "acme", "web.git")}, args...)...).Output()
	if err != nil {
		w.t.Fatalf("git %v: %v", args, err)
	}
	return string(out)
}

func (w *world) head(branch string) string {
	w.t.Helper()
	return strings.TrimSpace(w.git("rev-parse", "refs/heads/"+branch))
}

// proposal pins the base in Dockerfile.
func (w *world) proposal() notify.Proposal {
	w.t.Helper()
	head, err := w.client.Head(w.t.Context(), "acme/web", "main")
	w.must(err)
	return notify.Proposal{
		Key: "acme/web main base/debian:stable", Repo: "acme/web", Branch: "main", Slug: "base-debian-stable", Base: head,
		Files: map[string][]byte{"Dockerfile": []byte(dockerNew)}, Title: "Update base debian:stable to 1", Body: "Why.\n",
	}
}

// propose expects success and a number of writes.
func (w *world) propose(p notify.Proposal, writes int) notify.PullRequest {
	w.t.Helper()
	before := w.wire.writes()
	pr, err := w.client.Propose(w.t.Context(), p)
	w.must(err)
	if pr.Wrote != writes {
		w.t.Errorf("wrote %d times, want %d", pr.Wrote, writes)
	}
	if sent := w.wire.writes() - before; sent != writes {
		w.t.Errorf("%d writes were sent, want %d", sent, writes)
	}
	return pr
}

// pulls lists all pull requests there are, newest first.
func (w *world) pulls() []*github.PullRequest {
	w.t.Helper()
	var all []*github.PullRequest
	for _, state := range []string{"open", "closed"} {
		options := &github.PullRequestListOptions{State: state}
		some, _, err := w.human.PullRequests.List(w.t.Context(), "acme", "web", options)
		w.must(err)
		all = append(all, some...)
	}
	return all
}

func (w *world) merge(number int) {
	w.t.Helper()
	_, _, err := w.human.PullRequests.Merge(w.t.Context(), "acme", "web", number, "", nil)
	w.must(err)
}

func (w *world) edit(number int, change *github.PullRequest) {
	w.t.Helper()
	_, _, err := w.human.PullRequests.Edit(w.t.Context(), "acme", "web", number, change)
	w.must(err)
}

// personCommits puts a person's commit on a branch.
func (w *world) personCommits(branch, path, content string) string {
	w.t.Helper()
	ctx, ptr := w.t.Context(), github.String
	old, _, err := w.human.Git.GetCommit(ctx, "acme", "web", w.head(branch))
	w.must(err)
	tree, _, err := w.human.Git.CreateTree(ctx, "acme", "web", old.GetTree().GetSHA(), []*github.TreeEntry{
		{Path: &path, Mode: ptr("100644"), Type: ptr("blob"), Content: &content},
	})
	w.must(err)
	made, _, err := w.human.Git.CreateCommit(ctx, "acme", "web",
		&github.Commit{Message: ptr("mine"), Tree: tree, Parents: []*github.Commit{old}}, nil)
	w.must(err)
	_, _, err = w.human.Git.UpdateRef(ctx, "acme", "web", &github.Reference{
		Ref: ptr("refs/heads/" + branch), Object: &github.GitObject{SHA: made.SHA},
	}, false)
	w.must(err)
	return made.GetSHA()
}

// fault is what goes wrong with the n-th request that matches; the wire forgets it once it happened.
type fault struct {
	on     string // regular expression over "METHOD /path"
	nth    int    // counted from 0
	effect bool   // the server does its work, only the answer is lost
	status int    // the answer instead; 0 cuts the connection
	header map[string]string
	body   string
	always bool
	first  func() // runs instead of a failure, and the request goes on
}

var errCut = errors.New("connection cut")

// wire counts what passes, and fails as it is told to.
type wire struct {
	next http.RoundTripper

	mu     sync.Mutex
	sent   []string
	auth   []string
	faults []*fault
}

func (w *wire) fail(f fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, &f)
}

func (w *wire) writes() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, line := range w.sent {
		if !strings.HasPrefix(line, "GET ") {
			n++
		}
	}
	return n
}

func (w *wire) requests() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sent)
}

// healed says that all faults happened, so that a test which names the wrong request fails.
func (w *wire) healed(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.faults {
		if !f.always {
			t.Errorf("the fault on %s never happened", f.on)
		}
	}
	w.faults = nil
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	f := w.pass(req)
	if f != nil && f.first != nil {
		f.first()
		return w.next.RoundTrip(req)
	}
	if f == nil || f.effect {
		resp, err := w.next.RoundTrip(req)
		if f == nil || err != nil {
			return resp, err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if f.status == 0 {
		return nil, errCut
	}
	resp := &http.Response{
		StatusCode: f.status, Status: http.StatusText(f.status), Header: http.Header{}, Request: req,
		Body: io.NopCloser(strings.NewReader(f.body)),
	}
	resp.Header.Set("Content-Type", "application/json; charset=utf-8")
	for name, value := range f.header {
		resp.Header.Set(name, value)
	}
	return resp, nil
}

func (w *wire) pass(req *http.Request) *fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := req.Method + " " + strings.TrimPrefix(req.URL.Path, "/api/v3")
	w.sent = append(w.sent, line)
	w.auth = append(w.auth, req.Header.Get("Authorization"))
	for i, f := range w.faults {
		if !regexp.MustCompile(f.on).MatchString(line) {
			continue
		}
		if f.nth--; f.nth < 0 {
			if !f.always {
				w.faults = append(w.faults[:i:i], w.faults[i+1:]...)
			}
			return f
		}
		return nil
	}
	return nil
}
