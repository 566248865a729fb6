package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rebuilder/internal/api"
	"rebuilder/internal/build/buildkit"
	"rebuilder/internal/demo"
	"rebuilder/internal/githubspec"
)

var (
	binary  string // the daemon under test, as users run it
	fixture string // a world whose bases and applications are built, with the daemon's state; tests copy it
	prepare sync.Once
	broken  error
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == buildkit.ChildVerb { // the forge's CI has a builder of its own
		if err := buildkit.Child(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rebuilder-e2e-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	binary, fixture = filepath.Join(dir, "rebuilder"), filepath.Join(dir, "fixture")
	if out, err := exec.Command("go", "build", "-o", binary, "rebuilder/cmd/rebuilder").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the daemon: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// cache is where the root file system and the packages are kept between runs.
func cache() string {
	if dir := os.Getenv("REBUILDER_CACHE"); dir != "" {
		return dir
	}
	dir, err := filepath.Abs("../../.cache/demo")
	if err != nil {
		panic(err)
	}
	return dir
}

// setup is a running world with a daemon that tests start, kill and start again.
type setup struct {
	*demo.World
	t      *testing.T
	ci     *buildkit.Engine
	writes *writes
	forge  *githubspec.Record // every exchange with the forge, judged by GitHub's description
	daemon *daemon
}

// hook sees a request before it is served. It says true when it has answered itself.
type hook = func(http.ResponseWriter, *http.Request) (answered bool)

// hooks stand in front of the world's servers.
type hooks struct {
	registry, forge, packages atomic.Pointer[hook]
}

// before calls the hook that is set now, before the request is served.
func before(at *atomic.Pointer[hook], w *atomic.Int64) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if f := at.Load(); f != nil && (*f)(rw, r) {
				return
			}
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				w.Add(1)
			}
			next.ServeHTTP(rw, r)
		})
	}
}

// writes counts requests that change something.
type writes struct {
	hooks
	registryWrites, forgeWrites, packageWrites atomic.Int64
}

func open(t *testing.T, dir string) *setup {
	t.Helper()
	spec, err := githubspec.GitHub()
	if err != nil {
		t.Fatal(err)
	}
	s := &setup{t: t, writes: &writes{}, forge: githubspec.NewRecord(spec)}
	w, err := demo.New(t.Context(), demo.Options{
		Dir: dir, Cache: cache(), Small: true, OwnPorts: true, Log: testLog(t), Progress: func(line string) { t.Log(line) },
		WrapRegistry: before(&s.writes.registry, &s.writes.registryWrites),
		WrapForge: func(next http.Handler) http.Handler {
			return before(&s.writes.forge, &s.writes.forgeWrites)(s.forge.Handler(next))
		},
		WrapPackages: before(&s.writes.packages, &s.writes.packageWrites),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.World = w
	t.Cleanup(func() {
		for _, f := range s.forge.Findings() {
			t.Errorf("GitHub would not say so: %+v", f)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	s.ci, err = buildkit.Open(t.Context(), buildkit.Config{Root: filepath.Join(dir, "ci-buildkit"), Parallel: 2, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.ci.Close() })
	if err := w.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.SetBuilder(s.ci)
	return s
}

// newSetup is a copy of the fixture: bases and applications built, the daemon at rest and stopped.
func newSetup(t *testing.T) *setup {
	t.Helper()
	prepare.Do(func() { broken = makeFixture(t) })
	if broken != nil {
		t.Fatal(broken)
	}
	dir := filepath.Join(t.TempDir(), "world")
	if out, err := exec.Command("cp", "-a", "--reflink=auto", fixture, dir).CombinedOutput(); err != nil {
		t.Fatalf("copy the world: %v\n%s", err, out)
	}
	return open(t, dir)
}

// pullRequests asks the forge for all pull requests of a repository.
func (s *setup) pullRequests(ctx context.Context, repo string) (prs []struct {
	Number int
	State  string
	Title  string
}) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.ForgeURL+"/repos/"+repo+"/pulls?state=all", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&prs); err != nil {
		s.t.Fatal(err)
	}
	return prs
}

func makeFixture(t *testing.T) error {
	ok := t.Run("a world is made", func(t *testing.T) {
		s := open(t, fixture)
		s.start()
		ctx := s.within(4 * time.Minute)
		if err := demo.AwaitBases(ctx, s.client(), 2, func([]api.Node) {}); err != nil {
			t.Fatal(err, s.daemon.log())
		}
		if err := s.Bootstrap(ctx, s.ci); err != nil {
			t.Fatal(err)
		}
		s.settled(ctx)
		s.daemon.stop()
	})
	if !ok {
		return fmt.Errorf("the world that the tests copy could not be made")
	}
	return nil
}

func (s *setup) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeoutCause(s.t.Context(), d, fmt.Errorf("not done after %s", d))
	s.t.Cleanup(cancel)
	return ctx
}

// settled waits until the daemon has looked at the world and has nothing to do and nothing unknown.
func (s *setup) settled(ctx context.Context) {
	s.t.Helper()
	for {
		p, err := s.client().Plan(ctx)
		if err == nil && len(p.Steps) == 0 && p.Unknown == 0 {
			return
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			s.t.Fatalf("the daemon does not come to rest: %+v, %v\n%s", p, err, s.daemon.log())
		}
	}
}

func (s *setup) client() *api.Client { return api.NewClient("http://"+s.DaemonAddress, "") }

// daemon is one process of rebuilder serve.
type daemon struct {
	cmd  *exec.Cmd
	out  string
	done chan struct{}
}

func (s *setup) start() {
	s.t.Helper()
	out := filepath.Join(s.Dir, "daemon.log")
	f, err := os.OpenFile(out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(binary, "serve", "--catalog", s.Catalog, "--state", s.StateDirectory, "--listen", s.DaemonAddress, "--log-level", "debug")
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	d := &daemon{cmd: cmd, out: out, done: make(chan struct{})}
	go func() { _ = cmd.Wait(); close(d.done) }()
	s.daemon = d
	s.t.Cleanup(d.kill)
	for range 200 {
		resp, err := http.Get("http://" + s.DaemonAddress + "/readyz")
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-d.done:
			s.t.Fatalf("the daemon ended:\n%s", d.log())
		case <-time.After(50 * time.Millisecond):
		}
	}
	s.t.Fatalf("the daemon is not ready:\n%s", d.log())
}

// kill is kill -9, and waits until the process is gone.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.done
}

// stop asks the daemon to end.
func (d *daemon) stop() {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	<-d.done
}

func (d *daemon) log() string {
	b, _ := os.ReadFile(d.out)
	lines := strings.Split(string(b), "\n")
	return strings.Join(lines[max(0, len(lines)-60):], "\n")
}

// killOnce kills the daemon at the first request that match says yes to, before the request is served.
func (s *setup) killOnce(at *atomic.Pointer[hook], match func(*http.Request) bool) (killed chan string) {
	return s.once(at, match, func() { s.daemon.kill() })
}

// once has do called at the first request that match says yes to, before the request is served.
func (s *setup) once(at *atomic.Pointer[hook], match func(*http.Request) bool, do func()) (done chan string) {
	done = make(chan string, 1)
	var once sync.Once
	f := func(_ http.ResponseWriter, r *http.Request) bool {
		if match(r) {
			once.Do(func() {
				do()
				done <- r.Method + " " + r.URL.Path
			})
		}
		return false
	}
	at.Store(&f)
	return done
}

func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}
