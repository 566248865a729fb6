package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"rebuilder/internal/notify"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

// storm strikes three in ten of the daemon's calls to registry and forge: half of them never arrive, of the other half the
// answer is lost. It is a transport of the registry's client.
type storm struct {
	on     atomic.Bool
	mu     sync.Mutex
	random *rand.Rand
	calls  int
	struck int
}

const share = 0.3 // of the calls that are struck

var errLost = fmt.Errorf("the connection was cut: %w", io.ErrUnexpectedEOF) // which registry clients try again

func (s *storm) strikes() (before, after bool) {
	if !s.on.Load() {
		return false, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	x := s.random.Float64()
	if x < share {
		s.struck++
	}
	return x < share/2, x >= share/2 && x < share
}

func (s *storm) RoundTrip(r *http.Request) (*http.Response, error) {
	before, after := s.strikes()
	if before {
		return nil, errLost
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && after {
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		return nil, errLost
	}
	return res, err
}

// stormyForge is a forge in a storm.
type stormyForge struct {
	notify.Forge
	storm *storm
}

// struck makes one call in the storm.
func struck[T any](s *storm, call func() (T, error)) (T, error) {
	var none T
	before, after := s.strikes()
	if before {
		return none, errLost
	}
	v, err := call()
	if after {
		return none, errLost
	}
	return v, err
}

// read is a call that the forge's client makes again by itself.
func read[T any](s *storm, call func() (T, error)) (v T, err error) {
	for range 4 {
		if v, err = struck(s, call); !errors.Is(err, errLost) {
			break
		}
	}
	return v, err
}

func (f stormyForge) Head(ctx context.Context, repo, branch string) (string, error) {
	return read(f.storm, func() (string, error) { return f.Forge.Head(ctx, repo, branch) })
}

func (f stormyForge) ReadFile(ctx context.Context, repo, commit, path string) ([]byte, error) {
	return read(f.storm, func() ([]byte, error) { return f.Forge.ReadFile(ctx, repo, commit, path) })
}

func (f stormyForge) Propose(ctx context.Context, p notify.Proposal) (notify.PullRequest, error) {
	return struck(f.storm, func() (notify.PullRequest, error) { return f.Forge.Propose(ctx, p) })
}

func (f stormyForge) Proposed(ctx context.Context, p notify.Proposal) (notify.PullRequest, error) {
	return read(f.storm, func() (notify.PullRequest, error) { return f.Forge.Proposed(ctx, p) })
}

func (f stormyForge) PullRequest(ctx context.Context, repo string, number int) (notify.PullRequest, error) {
	return read(f.storm, func() (notify.PullRequest, error) { return f.Forge.PullRequest(ctx, repo, number) })
}

func (f stormyForge) Dispatch(ctx context.Context, d notify.Dispatch) error {
	_, err := struck(f.storm, func() (bool, error) { return true, f.Forge.Dispatch(ctx, d) })
	return err
}

func (f stormyForge) Dispatched(ctx context.Context, d notify.Dispatch, since time.Time) (bool, error) {
	return read(f.storm, func() (bool, error) { return f.Forge.Dispatched(ctx, d, since) })
}

// fleet is how many applications there are of each strategy.
var fleet = map[string]int{"pull-request": 30, "dispatch": 15, "rebuild": 5}

// appName is one application of the fleet.
func appName(strategy string, n int) string { return fmt.Sprintf("%s-%02d", strategy, n) }

// inStorm is a world of 50 applications in use.
func inStorm(t *testing.T, seed uint64) *lab {
	t.Helper()
	dsn := storetest.SQLite(t)
	if seed%2 == 1 {
		dsn = storetest.Postgres(t)
	}
	l := unstartedOn(t, dsn)
	l.storm = &storm{random: rand.New(rand.NewPCG(seed, 30))}
	catalog := l.read("catalog.toml")
	catalog = catalog[:strings.Index(catalog, "[[application]]")] + "[rollout]\nretry_after = \"1s\"\n"
	for strategy, n := range fleet {
		for i := range n {
			app := appName(strategy, i)
			catalog += fmt.Sprintf("[[application]]\nname = %[1]q\nrepository = \"acme/%[1]s\"\nstrategy = %[2]q\nimage = \"%[3]s/apps/%[1]s:main\"\n", app, strategy, l.host)
		}
	}
	l.write("catalog.toml", catalog)
	l.start()
	t.Cleanup(func() { l.stop() })
	l.weather(func() bool { return l.exists("base/python:stable") })
	for strategy, n := range fleet {
		for i := range n {
			app := appName(strategy, i)
			l.forge.add("acme/"+app, fmt.Sprintf("FROM %s/base/python:stable\nCOPY . /\n", l.host), "apps/"+app+":main")
		}
	}
	l.weather(func() bool { return l.loop.Last().Plan.Empty() })
	return l
}

// weather looks and merges until done says so and nothing is at work.
func (l *lab) weather(done func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(100 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err := l.loop.Once(context.Background()); err != nil {
			l.t.Fatal(err)
		}
		l.forge.merge()
		running, err := store.RunningRollouts(context.Background(), l.store.Q())
		if err != nil {
			l.t.Fatal(err)
		}
		if len(running) == 0 && !l.forge.open() && done() {
			return
		}
	}
	l.t.Fatalf("no rest: %s", l.describe())
}

func (l *lab) exists(ref string) bool {
	r, err := name.ParseReference(l.host + "/" + ref)
	if err != nil {
		l.t.Fatal(err)
	}
	_, err = remote.Head(r)
	return err == nil
}

// onNewest says whether an image stands on what its base's channel points to.
func (l *lab) onNewest(image string) bool {
	above, err := l.pull("base/python:stable").ConfigFile()
	if err != nil {
		l.t.Fatal(err)
	}
	its, err := l.pull(image).ConfigFile()
	if err != nil {
		l.t.Fatal(err)
	}
	n := len(above.RootFS.DiffIDs)
	return len(its.RootFS.DiffIDs) >= n && slices.Equal(its.RootFS.DiffIDs[:n], above.RootFS.DiffIDs)
}

// TestInAStorm: three in ten calls fail or lose their answer, and each of 50 applications comes to the right end, with one pull
// request, one dispatch, one release.
func TestInAStorm(t *testing.T) {
	t.Parallel()
	seeds := uint64(20)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			l := inStorm(t, seed)
			before := l.digest("base/python:stable")
			l.storm.on.Store(true)
			l.publish("1.1")
			all := func() bool {
				for strategy, n := range fleet {
					for i := range n {
						if !l.onNewest("apps/" + appName(strategy, i) + ":main") {
							return false
						}
					}
				}
				return l.digest("base/python:stable") != before
			}
			l.weather(all)
			l.storm.on.Store(false)
			l.weather(func() bool { return l.loop.Last().Plan.Empty() && all() })
			l.once()
			t.Logf("%d of %d calls were struck, %d rollouts", l.storm.struck, l.storm.calls, l.rollouts())
		})
	}
}

// once checks that nothing was done twice.
func (l *lab) once() {
	l.t.Helper()
	l.forge.set(func(f *forge) {
		for repo, r := range f.repos {
			want := 0
			if strings.HasPrefix(repo, "acme/pull-request-") {
				want = 1
			}
			if len(r.pulls) != want {
				l.t.Errorf("%s: %d pull requests, want %d", repo, len(r.pulls), want)
			}
			runs := 0
			for _, n := range r.runs {
				runs += n
			}
			if want = 0; strings.HasPrefix(repo, "acme/dispatch-") {
				want = 1
			}
			if runs != want {
				l.t.Errorf("%s: dispatched %d times, want %d: %v", repo, runs, want, r.runs)
			}
		}
	})
	tags := map[string]int{"base/debian": 3, "base/python": 3} // the channel, and a release of each of two digests
	for i := range fleet["rebuild"] {
		tags["apps/"+appName("rebuild", i)] = 2
	}
	for repo, want := range tags {
		r, err := name.NewRepository(l.host + "/" + repo)
		if err != nil {
			l.t.Fatal(err)
		}
		if have, err := remote.List(r); err != nil || len(have) != want {
			l.t.Errorf("%s: tags %v, want %d: %v", repo, have, want, err)
		}
	}
}
