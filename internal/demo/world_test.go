package demo_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-github/v57/github"

	"rebuilder/internal/build"
	"rebuilder/internal/demo"
	"rebuilder/internal/demo/demotest"
	"rebuilder/internal/githubspec"
)

func TestLifeOfAWorld(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "world")
	builder := &demotest.Builder{}
	w := setUp(t, demo.Options{Dir: dir, Builder: func() build.Builder { return builder }})
	must(t, w.Bootstrap(t.Context(), builder))

	builds := w.CI()
	if len(builds) != 7 {
		t.Fatalf("%d ci builds, want 7 (six applications, one with two images)", len(builds))
	}
	for _, b := range builds {
		if b.Err != nil || b.Ended.IsZero() || b.Cause != "push" || b.Commit == "" {
			t.Errorf("ci build %+v", b)
		}
	}
	if n := len(builder.Requests()); n != 10 {
		t.Errorf("%d builds, want 10: three bases, seven images", n)
	}
	must(t, w.Bootstrap(t.Context(), builder))
	if n := len(builder.Requests()); n != 10 {
		t.Errorf("%d builds after a second bootstrap, want 10", n)
	}

	t.Run("digest is filled in", func(t *testing.T) {
		file := readRepository(t, w, "orders", "Dockerfile")
		want := "FROM " + w.RegistryHost + "/base/python:stable@" + digestOf(t, w.RegistryHost+"/base/python:stable").String()
		if !strings.Contains(file, want) {
			t.Errorf("no %q in\n%s", want, file)
		}
	})

	t.Run("merged pull request is built", func(t *testing.T) {
		before := digestOf(t, w.RegistryHost+"/apps/site:main")
		propose(t, w, "site", "index.html", "<p>changed</p>\n")
		n, err := w.Merge(t.Context())
		if err != nil || n != 1 {
			t.Fatalf("merged %d, %v", n, err)
		}
		b := waitBuild(t, w, "site", func(b demo.CIBuild) bool { return b.Digest != before })
		if got := digestOf(t, w.RegistryHost+"/apps/site:main"); got != b.Digest || got == before {
			t.Errorf("tag main is %s, was %s, built %s", got, before, b.Digest)
		}
		if n, err := w.Merge(t.Context()); n != 0 || err != nil {
			t.Errorf("merged %d again, %v", n, err)
		}
	})

	t.Run("dispatch is built", func(t *testing.T) {
		before := digestOf(t, w.RegistryHost+"/apps/batch:main")
		_, _, err := client(t, w).Repositories.Dispatch(t.Context(), "demo", "batch",
			github.DispatchRequestOptions{EventType: "base-image-updated"})
		must(t, err)
		b := waitBuild(t, w, "batch", func(b demo.CIBuild) bool { return b.Cause == "dispatch" })
		if b.Digest == before || b.Commit == "" {
			t.Errorf("build %+v", b)
		}
	})

	t.Run("publication is once", func(t *testing.T) {
		first, err := w.Publish(t.Context())
		must(t, err)
		again, err := w.Publish(t.Context())
		must(t, err)
		if !first.At.Equal(again.At) || first.Package == "" || first.From == "" || first.From == first.To {
			t.Errorf("published %+v, then %+v", first, again)
		}
		if index := getText(t, w.PackagesURL+"/dists/"+w.Codename+"/main/binary-amd64/Packages"); !strings.Contains(index, "Version: "+first.To+"\n") {
			t.Errorf("the index has no version %s", first.To)
		}
	})

	before := digestOf(t, w.RegistryHost+"/apps/orders:main")
	must(t, w.Close())
	must(t, w.Close())
	if _, err := net.Dial("tcp", w.RegistryHost); err == nil {
		t.Error("the registry listens after Close")
	}

	t.Run("resumed", func(t *testing.T) {
		again := setUp(t, demo.Options{Dir: dir})
		defer func() { _ = again.Close() }()
		if again.RegistryHost != w.RegistryHost || again.Token != w.Token {
			t.Error("another address or token")
		}
		if got := digestOf(t, again.RegistryHost+"/apps/orders:main"); got != before {
			t.Errorf("orders is %s, was %s", got, before)
		}
		must(t, again.Bootstrap(t.Context(), builder))
		if err := demo.Clear(dir); err == nil {
			t.Error("a running world was cleared")
		}
		if _, err := demo.New(t.Context(), demo.Options{Dir: dir, Cache: demotest.Cache(t)}); err == nil {
			t.Error("a second demo runs in the same directory")
		}
	})

	must(t, demo.Clear(dir))
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory after Clear: %v", err)
	}
}

func TestSmallWorldOnOtherPortsWithAMadeUpdate(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:5510")
	if err == nil {
		defer func() { _ = taken.Close() }()
	}
	var asked atomic.Int64
	count := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Add(1); h.ServeHTTP(w, r) })
	}
	var lost atomic.Bool
	builder := &demotest.Builder{Fail: func(r build.Request) error {
		if r.Image == "batch" && !lost.Swap(true) {
			return &build.Error{Image: r.Image, Reason: "engine went away", Lost: true}
		}
		return nil
	}}
	w := setUp(t, demo.Options{Dir: t.TempDir(), Small: true, MadeUpdate: true, WrapRegistry: count})
	if w.RegistryHost == "127.0.0.1:5510" {
		t.Error("the registry has a port that is taken")
	}
	text, err := os.ReadFile(w.Catalog)
	must(t, err)
	if strings.Contains(string(text), "127.0.0.1:5510") || !strings.Contains(string(text), w.RegistryHost) {
		t.Errorf("the catalog has the old address:\n%s", text)
	}
	must(t, w.Bootstrap(t.Context(), builder))
	if asked.Load() == 0 {
		t.Error("the registry's wrapper saw nothing")
	}
	if len(w.CI()) != 2 {
		t.Errorf("ci builds: %+v, want those of orders and batch", w.CI())
	}
	p, err := w.Publish(t.Context())
	must(t, err)
	if p.Source != demo.MadeForDemo || p.Package != "rebuilder-demo" || p.From != "1.0" || p.To != "1.1" {
		t.Errorf("published %+v", p)
	}
}

func TestFailedBuildsAreErrors(t *testing.T) {
	builder := &demotest.Builder{Fail: func(r build.Request) error {
		if r.Image == "orders" {
			return &build.Error{Image: r.Image, Reason: "RUN exited with 1"}
		}
		return nil
	}}
	w := setUp(t, demo.Options{Dir: t.TempDir(), Small: true, MadeUpdate: true})
	err := w.Bootstrap(t.Context(), builder)
	var failed *build.Error
	if !errors.As(err, &failed) || failed.Image != "orders" {
		t.Errorf("error %v", err)
	}
}

func TestClearRefusesADirectoryThatIsNoWorld(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "thesis.txt")
	must(t, os.WriteFile(file, []byte("years of work"), 0o600))
	if err := demo.Clear(dir); err == nil || !strings.Contains(err.Error(), "no demo world") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	must(t, demo.Clear(filepath.Join(dir, "missing")))
	must(t, os.Mkdir(filepath.Join(dir, "killed"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "killed", "lock"), nil, 0o600))
	must(t, demo.Clear(filepath.Join(dir, "killed")))
}

// setUp makes a world and sets it up; it is closed at the end of the test.
func setUp(t *testing.T, o demo.Options) *demo.World {
	t.Helper()
	if testing.Short() {
		t.Skip("sets up a world")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to make a root file system")
	}
	o.Cache = demotest.Cache(t)
	o.Progress = func(line string) { t.Log(line) }
	spec, err := githubspec.GitHub()
	must(t, err)
	traffic := githubspec.NewRecord(spec)
	o.WrapForge = traffic.Handler
	t.Cleanup(func() {
		for _, f := range traffic.Findings() {
			t.Errorf("GitHub would not say so: %+v", f)
		}
	})
	w, err := demo.New(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { must(t, w.Close()) })
	must(t, w.Setup(t.Context()))
	return w
}

// waitBuild waits for an image's ended build.
func waitBuild(t *testing.T, w *demo.World, image string, ok func(demo.CIBuild) bool) demo.CIBuild {
	t.Helper()
	b, err := w.WaitCI(t.Context(), func(b demo.CIBuild) bool { return b.Image == image && !b.Ended.IsZero() && ok(b) })
	must(t, err)
	if b.Err != nil {
		t.Fatal(b.Err)
	}
	return b
}

// propose opens a pull request as the daemon's user would.
func propose(t *testing.T, w *demo.World, repo, path, content string) {
	t.Helper()
	c, ctx := client(t, w), t.Context()
	head, _, err := c.Git.GetRef(ctx, "demo", repo, "heads/main")
	must(t, err)
	parent, _, err := c.Git.GetCommit(ctx, "demo", repo, head.GetObject().GetSHA())
	must(t, err)
	tree, _, err := c.Git.CreateTree(ctx, "demo", repo, parent.GetTree().GetSHA(), []*github.TreeEntry{{
		Path: github.String(path), Mode: github.String("100644"), Type: github.String("blob"), Content: github.String(content),
	}})
	must(t, err)
	commit, _, err := c.Git.CreateCommit(ctx, "demo", repo, &github.Commit{
		Message: github.String("Change"), Tree: tree, Parents: []*github.Commit{{SHA: parent.SHA}},
	}, nil)
	must(t, err)
	_, _, err = c.Git.CreateRef(ctx, "demo", repo, &github.Reference{
		Ref: github.String("refs/heads/change"), Object: &github.GitObject{SHA: commit.SHA},
	})
	must(t, err)
	_, _, err = c.PullRequests.Create(ctx, "demo", repo, &github.NewPullRequest{
		Title: github.String("Change"), Head: github.String("change"), Base: github.String("main"),
	})
	must(t, err)
}

func readRepository(t *testing.T, w *demo.World, repo, path string) string {
	t.Helper()
	file, _, _, err := client(t, w).Repositories.GetContents(t.Context(), "demo", repo, path, nil)
	must(t, err)
	content, err := file.GetContent()
	must(t, err)
	return content
}

func client(t *testing.T, w *demo.World) *github.Client {
	t.Helper()
	c := github.NewClient(nil).WithAuthToken(w.Token)
	base, err := c.BaseURL.Parse(w.ForgeURL + "/")
	must(t, err)
	c.BaseURL = base
	return c
}

func digestOf(t *testing.T, ref string) v1.Hash {
	t.Helper()
	tag, err := name.NewTag(ref)
	must(t, err)
	desc, err := remote.Head(tag)
	must(t, err)
	return desc.Digest
}

func getText(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, url, nil)
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(data)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
