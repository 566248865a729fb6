package line_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rebuilder/internal/demo/forge"
	"rebuilder/internal/line"
	"rebuilder/internal/notify"
	"rebuilder/internal/notify/github"
	"rebuilder/internal/store"
)

const latency = 100 * time.Millisecond // of one request, on the virtual clock

// fleet is a forge with many repositories under GitHub's limits, and a client that is an App there. Its clock is virtual.
type fleet struct {
	*clock
	hub    *forge.Forge
	client *github.Client

	mu     sync.Mutex
	opened []string // pull requests in their order: "POST /repos/acme/r7/pulls"
}

// RoundTrip hands a request to the forge without a connection; it takes its time.
func (f *fleet) RoundTrip(req *http.Request) (*http.Response, error) {
	_ = f.Sleep(req.Context(), latency)
	served := req.Clone(req.Context())
	if served.Body == nil {
		served.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	f.hub.ServeHTTP(w, served)
	resp := w.Result()
	resp.Request = req
	if req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/pulls") && resp.StatusCode == http.StatusCreated {
		f.mu.Lock()
		f.opened = append(f.opened, strings.Split(req.URL.Path, "/")[5])
		f.mu.Unlock()
	}
	return resp, nil
}

func newFleet(t testing.TB, repositories int) (*fleet, *store.Store) {
	t.Helper()
	f := &fleet{clock: newClock()}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	st, err := store.Open(context.Background(), "sqlite:"+filepath.Join(t.TempDir(), "rebuilder.db"), nil)
	must(err)
	t.Cleanup(func() { must(st.Close()) })
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	f.hub, err = forge.New(forge.Config{Dir: t.TempDir(), BaseURL: "http://forge.example", Ephemeral: true, Now: f.Now, Limits: forge.GitHubLimits()})
	must(err)
	t.Cleanup(func() { must(f.hub.Close()) })
	granted := map[string]string{}
	for _, p := range github.Permissions() {
		granted[p.Name] = p.Access
	}
	must(f.hub.AddApp(forge.App{ID: 7, Slug: "rebuilder", Key: &key.PublicKey, Permissions: granted}))
	for i := range repositories {
		must(f.hub.AddRepository("acme", fmt.Sprint("r", i), map[string][]byte{
			"Dockerfile": []byte("FROM base/debian:stable\n"), "worker.Dockerfile": []byte("FROM base/debian:stable\n"),
		}))
	}
	_, err = f.hub.Install(forge.Installation{App: 7, Account: "acme"})
	must(err)
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	f.client, err = github.New(github.Config{
		BaseURL: "http://forge.example/api/v3", App: &github.App{ID: 7, Key: func() ([]byte, error) { return bytes.Clone(private), nil }},
		Transport: f, Line: f.line(st, line.Limits{}), Now: f.Now, Sleep: f.Sleep,
	})
	must(err)
	return f, st
}

// outcome is what a fan-out came to.
type outcome struct {
	took                       time.Duration
	writes, refused            int
	single, several            int // pull requests that change one file, and more
	writesSingle, writesOthers int
	early                      int // pull requests that were opened before an urgent one that waited
	busiestMinute, busiestHour int
}

// fanOut proposes to all repositories at once: every 25th changes two files, every tenth is urgent.
func (f *fleet) fanOut(t testing.TB, st *store.Store, repositories int) (o outcome) {
	t.Helper()
	began := f.Now()
	urgent := map[string]bool{}
	// Somebody is at work while they all come, so that none is opened before the others stand in line.
	gate := make(chan struct{})
	var all sync.WaitGroup
	var mu sync.Mutex
	all.Go(func() {
		err := f.client.InTurn(t.Context(), "acme/r0", "the first", func(context.Context) error { <-gate; return nil })
		if err != nil {
			t.Error(err)
		}
	})
	waitFor(t, st, 1)
	for i := range repositories {
		name := fmt.Sprint("r", i)
		first := i%10 == 9
		urgent[name] = first
		all.Go(func() {
			pr, files, err := f.propose(t.Context(), "acme/"+name, i%25 == 24, first)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if files == 1 {
				o.single, o.writesSingle = o.single+1, o.writesSingle+pr.Wrote
			} else {
				o.several, o.writesOthers = o.several+1, o.writesOthers+pr.Wrote
			}
		})
	}
	waitFor(t, st, repositories+1)
	close(gate)
	all.Wait()
	usage := f.hub.Usage("rebuilder[bot]")
	o.took, o.writes, o.refused = f.Now().Sub(began), usage.Writes, usage.RefusedByPrimary+usage.RefusedBySecondary
	o.busiestMinute, o.busiestHour = usage.MostPerMinute, usage.MostPerHour
	waiting := 0
	for _, is := range urgent {
		if is {
			waiting++
		}
	}
	for _, name := range f.opened {
		if urgent[name] {
			waiting--
		} else if waiting > 0 {
			o.early++
		}
	}
	return o
}

func (f *fleet) propose(ctx context.Context, repo string, several, urgent bool) (pr notify.PullRequest, files int, err error) {
	ctx = notify.By(ctx, notify.Writer{Object: repo, Urgent: urgent})
	err = f.client.InTurn(ctx, repo, "tell "+repo, func(ctx context.Context) error {
		head, err := f.client.Head(ctx, repo, "main")
		if err != nil {
			return err
		}
		src, err := f.client.ReadFile(ctx, repo, head, "Dockerfile")
		if err != nil {
			return err
		}
		pinned := bytes.ReplaceAll(src, []byte(":stable"), []byte(":stable@sha256:1"))
		p := notify.Proposal{
			Key: repo + " main base/debian:stable", Repo: repo, Branch: "main", Slug: "base-debian-stable", Base: head,
			Files: map[string][]byte{"Dockerfile": pinned}, Title: "Update base debian:stable to 1", Body: "Why.\n",
		}
		if several {
			p.Files["worker.Dockerfile"] = pinned
		}
		files = len(p.Files)
		pr, err = f.client.Propose(ctx, p)
		return err
	})
	return pr, files, err
}

// waitFor waits until so many stand in the line, alive or not.
func waitFor(t testing.TB, st *store.Store, n int) {
	t.Helper()
	for {
		all, err := store.Lines(t.Context(), st.Q(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) >= n {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// check says what is wrong with an outcome.
func (o outcome) check(t testing.TB, repositories int) {
	t.Helper()
	switch {
	case o.single+o.several != repositories:
		t.Errorf("%d and %d pull requests, want %d", o.single, o.several, repositories)
	case o.refused != 0:
		t.Errorf("the forge refused %d requests", o.refused)
	case o.writesSingle != 3*o.single:
		t.Errorf("%d writes for %d pull requests that change one file, want 3 each", o.writesSingle, o.single)
	case o.writesOthers != 4*o.several:
		t.Errorf("%d writes for %d pull requests that change two, want 4 each", o.writesOthers, o.several)
	case o.early != 0:
		t.Errorf("%d pull requests were opened before an urgent one that waited", o.early)
	case o.busiestMinute > 60 || o.busiestHour > 400:
		t.Errorf("%d writes in a minute and %d in an hour, at most 60 and 400 are allowed", o.busiestMinute, o.busiestHour)
	}
}

func TestFanOut(t *testing.T) {
	const repositories = 25
	f, st := newFleet(t, repositories)
	o := f.fanOut(t, st, repositories)
	o.check(t, repositories)
	if o.took > 3*time.Minute {
		t.Errorf("it took %v", o.took)
	}
}

// BenchmarkFanOut500 tells 500 repositories under GitHub's limits, once, on a virtual clock.
func BenchmarkFanOut500(b *testing.B) {
	const repositories = 500
	for b.Loop() {
		f, st := newFleet(b, repositories)
		o := f.fanOut(b, st, repositories)
		o.check(b, repositories)
		b.ReportMetric(o.took.Minutes(), "minutes")
		b.ReportMetric(float64(o.refused), "refused")
		b.ReportMetric(float64(o.writesSingle)/float64(o.single), "writes/one-file")
		b.ReportMetric(float64(o.writesOthers)/float64(o.several), "writes/others")
		b.ReportMetric(float64(o.early), "early")
		b.ReportMetric(float64(o.busiestMinute), "writes/minute")
		b.ReportMetric(float64(o.busiestHour), "writes/hour")
	}
}

// TestRefusals: whatever way the forge refuses a write, it is waited for in the line, by everybody, and made once.
func TestRefusals(t *testing.T) {
	for _, trouble := range []forge.Trouble{forge.Primary, forge.Secondary, forge.SecondaryBare, forge.TooMany, forge.TooManyBare} {
		for _, on := range []string{"POST /repos/{owner}/{repo}/git/refs", "PUT /repos/{owner}/{repo}/contents/", "POST /repos/{owner}/{repo}/pulls"} {
			t.Run(fmt.Sprint(trouble, " on ", on), func(t *testing.T) {
				f, _ := newFleet(t, 2)
				began := f.Now()
				f.hub.Fail(forge.Fault{Trouble: trouble, On: on, Path: "/acme/r0/", Delay: 5 * time.Minute})
				var both sync.WaitGroup
				for _, repo := range []string{"acme/r0", "acme/r1"} {
					both.Go(func() {
						if pr, _, err := f.propose(t.Context(), repo, false, false); err != nil || pr.State != notify.Open {
							t.Errorf("%s: %+v, %v", repo, pr, err)
						}
					})
				}
				both.Wait()
				if n := f.hub.Happened()[trouble]; n != 1 {
					t.Errorf("it was refused %d times", n)
				}
				if took := f.Now().Sub(began); took < time.Minute {
					t.Errorf("it was not waited for: %v", took)
				}
				if len(f.opened) != 2 {
					t.Errorf("opened %v", f.opened)
				}
			})
		}
	}
}

// TestRefusedReads: a read that is refused holds the writers, and its caller hears until when.
func TestRefusedReads(t *testing.T) {
	f, st := newFleet(t, 1)
	f.hub.Fail(forge.Fault{Trouble: forge.TooMany, On: "GET /repos/{owner}/{repo}/git/ref", Delay: 10 * time.Minute})
	var limited *notify.RateLimited
	if _, err := f.client.Head(t.Context(), "acme/r0", "main"); !errors.As(err, &limited) {
		t.Fatalf("got %v", err)
	}
	until := f.Now().Add(9 * time.Minute)
	if _, _, err := f.propose(t.Context(), "acme/r0", false, false); err != nil {
		t.Fatal(err)
	}
	if f.Now().Before(until) {
		t.Errorf("written %v early", until.Sub(f.Now()))
	}
	waitFor(t, st, 0)
}
