package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rebuilder/internal/build"
	"rebuilder/internal/imagetest"
)

// fakes are engines by address, which do what a test tells them.
type fakes struct {
	mu      sync.Mutex
	engines map[string]*fake
}

// fake is an engine whose builds take a minute.
type fake struct {
	address  string
	fakes    *fakes
	offers   []string
	active   []string // builds of others
	down     bool
	died     chan struct{} // closed when it goes down
	built    []string      // images, in order of their start
	reads    int           // of its platforms
	isClosed bool
	err      error // of all builds
}

// poolOf opens a pool of fakes, one for each worker, called by its name.
func poolOf(t *testing.T, workers ...WorkerConfig) (*Pool, *fakes) {
	t.Helper()
	f := &fakes{engines: map[string]*fake{}}
	for i := range workers {
		f.add(&workers[i])
	}
	p, err := openPool(t.Context(), PoolConfig{Workers: workers, Parallel: 1}, f.open)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, f
}

func (f *fakes) add(c *WorkerConfig) *fake {
	if c.Address == "" {
		c.Address = "unix:///" + c.Name
	}
	e := &fake{address: c.Address, fakes: f, offers: []string{"linux/amd64"}, died: make(chan struct{})}
	f.engines[c.Address] = e
	return e
}

func (f *fakes) open(_ context.Context, c Config) (engine, error) { return f.engines[c.Address], nil }

// set changes engines.
func (f *fakes) set(change func(engines map[string]*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.engines)
}

func (f *fakes) kill(name string) {
	f.set(func(e map[string]*fake) {
		e["unix:///"+name].down = true
		close(e["unix:///"+name].died)
	})
}

func (f *fakes) revive(name string) {
	f.set(func(e map[string]*fake) {
		e["unix:///"+name].down, e["unix:///"+name].died = false, make(chan struct{})
	})
}

// want checks which images each worker has begun to build since the last time: "a: x y, b: z".
func (f *fakes) want(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	var got []string
	f.set(func(engines map[string]*fake) {
		for address, e := range engines {
			if len(e.built) > 0 {
				got = append(got, strings.TrimPrefix(address, "unix:///")+": "+strings.Join(e.built, " "))
			}
			e.built = nil
		}
	})
	slices.Sort(got)
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("built %q, want %q", s, want)
	}
}

func (e *fake) Ping(context.Context) error {
	e.fakes.mu.Lock()
	defer e.fakes.mu.Unlock()
	if e.down {
		return errors.New("connection refused")
	}
	return nil
}

func (e *fake) platforms(context.Context) ([]string, error) {
	e.fakes.mu.Lock()
	defer e.fakes.mu.Unlock()
	e.reads++
	return e.offers, nil
}

func (e *fake) builds(context.Context) ([]string, error) {
	e.fakes.mu.Lock()
	defer e.fakes.mu.Unlock()
	return e.active, nil
}

func (e *fake) Address() string { return e.address }

func (e *fake) Close() error {
	e.fakes.mu.Lock()
	defer e.fakes.mu.Unlock()
	e.isClosed = true
	return nil
}

func (e *fake) Build(ctx context.Context, r build.Request) (*build.Result, error) {
	e.fakes.mu.Lock()
	e.built = append(e.built, r.Image)
	died, down, err := e.died, e.down, e.err
	e.fakes.mu.Unlock()
	lost := &build.Error{Image: r.Image, Reason: "the build engine cannot be reached: EOF", Lost: true}
	switch {
	case down:
		return nil, lost
	case err != nil:
		return nil, err
	}
	if r.Log != nil {
		fmt.Fprintln(r.Log, "building")
	}
	select {
	case <-died:
		return nil, lost
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(time.Minute):
		return &build.Result{}, nil
	}
}

func (e *fake) Test(ctx context.Context, r imagetest.Request) (*imagetest.Report, error) {
	if _, err := e.Build(ctx, build.Request{Image: "test of " + r.Image}); err != nil {
		return nil, err
	}
	return &imagetest.Report{}, nil
}

// outcome of a build in the background: the worker's name, or the error.
type outcome chan string

func start(t *testing.T, p *Pool, r build.Request) outcome {
	o := make(outcome, 1)
	go func() {
		res, err := p.Build(t.Context(), r)
		if err != nil {
			o <- err.Error()
			return
		}
		o <- res.Worker
	}()
	synctest.Wait()
	return o
}

func states(p *Pool) string {
	var out []string
	for _, s := range p.State() {
		out = append(out, fmt.Sprintf("%s %s %d+%d", s.Name, s.State, s.InFlight, s.Waiting))
	}
	return strings.Join(out, ", ")
}

func wantStates(t *testing.T, p *Pool, want string) {
	t.Helper()
	synctest.Wait()
	if got := states(p); got != want {
		t.Errorf("states %q, want %q", got, want)
	}
}

func TestPoolPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f := poolOf(t, WorkerConfig{Name: "a"}, WorkerConfig{Name: "b", Platforms: []string{"linux/amd64", "linux/arm64/v8"}})
		wantStates(t, p, "a ready 0+0, b ready 0+0")
		one := start(t, p, build.Request{Image: "one", Platform: "linux/amd64"})
		time.Sleep(time.Second)
		arm := start(t, p, build.Request{Image: "arm", Platform: "linux/arm64"})
		var l strings.Builder
		two := start(t, p, build.Request{Image: "two", Log: &l})
		wantStates(t, p, "a full 1+1, b full 1+1")
		if a, b := <-one, <-arm; a != "a" || b != "b" {
			t.Errorf("built by %s and %s", a, b)
		}
		if w := <-two; w != "a" {
			t.Errorf("built by %s", w)
		}
		if l.String() != "waiting for a free builder\nbuilding\n" {
			t.Errorf("log %q", l.String())
		}
		f.want(t, "a: one two, b: arm")
		if got := <-start(t, p, build.Request{Image: "x", Platform: "linux/s390x"}); got !=
			"build x: no builder builds for linux/s390x: a builds for linux/amd64; b builds for linux/amd64, linux/arm64" {
			t.Error(got)
		}
		if got := <-start(t, p, build.Request{Image: "x", Platform: "what?"}); !strings.Contains(got, `platform "what?"`) {
			t.Error(got)
		}
	})
}

// TestPoolOthers: builds of other clients count in the choice, our own are not counted twice.
func TestPoolOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f := poolOf(t, WorkerConfig{Name: "a", Parallel: 4}, WorkerConfig{Name: "b", Parallel: 4})
		f.set(func(e map[string]*fake) {
			e["unix:///a"].active = []string{"x", "y"}
			e["unix:///b"].active = []string{"one"}
		})
		time.Sleep(lookInterval + time.Second)
		start(t, p, build.Request{ID: "one", Image: "one"})
		time.Sleep(lookInterval + time.Second)
		start(t, p, build.Request{ID: "two", Image: "two"})
		f.want(t, "b: one two")
		if s := p.State(); s[0].Others != 2 || s[1].Others != 0 {
			t.Errorf("others %d and %d, want 2 and 0", s[0].Others, s[1].Others)
		}
	})
}

func TestPoolLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f := poolOf(t, WorkerConfig{Name: "a"}, WorkerConfig{Name: "b"}, WorkerConfig{Name: "c", Platforms: []string{"linux/arm64"}})
		var l strings.Builder
		one := start(t, p, build.Request{Image: "one", Platform: "linux/amd64", Log: &l})
		f.want(t, "a: one")
		f.kill("a")
		f.want(t, "b: one")
		wantStates(t, p, "a lost 0+0, b full 1+0, c ready 0+0")
		if s := p.State()[0]; s.Why != "connection refused" || s.Since.IsZero() {
			t.Errorf("%+v", s)
		}
		if w := <-one; w != "b" {
			t.Errorf("built by %s", w)
		}
		if want := "building\nbuilder a was lost: build one: the build engine cannot be reached: EOF\nbuilding\n"; l.String() != want {
			t.Errorf("log %q, want %q", l.String(), want)
		}

		// It gets no builds until it answers, and is asked again what it builds for.
		two, three := start(t, p, build.Request{Image: "two", Platform: "linux/amd64"}), start(t, p, build.Request{Image: "three", Platform: "linux/amd64"})
		f.want(t, "b: two")
		wantStates(t, p, "a lost 0+0, b full 1+1, c ready 0+0")
		reads := 0
		f.set(func(e map[string]*fake) { reads = e["unix:///a"].reads })
		f.revive("a")
		time.Sleep(lastLook)
		f.want(t, "a: three")
		f.set(func(e map[string]*fake) {
			if e["unix:///a"].reads != reads+1 {
				t.Errorf("platforms were read %d times, want once more than %d", e["unix:///a"].reads, reads)
			}
		})
		<-two
		<-three

		// All are lost: each was tried once.
		four := start(t, p, build.Request{Image: "four", Platform: "linux/amd64"})
		f.kill("b")
		f.kill("a")
		if got := <-four; !strings.Contains(got, "cannot be reached") {
			t.Errorf("%s", got)
		}
		f.want(t, "a: four, b: four")

		// One more waits for one of them to come back, but not for ever.
		began := time.Now()
		got := <-start(t, p, build.Request{Image: "five", Platform: "linux/amd64"})
		if !strings.HasPrefix(got, "build five: no builder answers: a since ") || !strings.Contains(got, "; b since ") {
			t.Errorf("%s", got)
		}
		if took := time.Since(began); took < patience/2 || took > patience+lastLook {
			t.Errorf("it took %s, want about %s", took, patience)
		}
	})
}

// TestPoolTests: tests take places as builds do, and go on elsewhere as they do.
func TestPoolTests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f := poolOf(t, WorkerConfig{Name: "a"}, WorkerConfig{Name: "b"})
		done := make(chan error, 1)
		go func() {
			_, err := p.Test(t.Context(), imagetest.Request{Image: "one", Platform: "linux/amd64"})
			done <- err
		}()
		f.want(t, "a: test of one")
		wantStates(t, p, "a full 1+0, b ready 0+0")
		f.kill("a")
		f.want(t, "b: test of one")
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestPoolRecipeFailure: what the recipe did is done on one worker only.
func TestPoolRecipeFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f := poolOf(t, WorkerConfig{Name: "a"}, WorkerConfig{Name: "b"})
		f.set(func(e map[string]*fake) {
			e["unix:///a"].err = &build.Error{Image: "one", Reason: "RUN x exited with 1", ExitCode: 1}
		})
		if got := <-start(t, p, build.Request{Image: "one"}); got != "build one: RUN x exited with 1" {
			t.Error(got)
		}
		f.want(t, "a: one")
		wantStates(t, p, "a ready 0+0, b ready 0+0")
	})
}

func TestPoolCancelledWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := poolOf(t, WorkerConfig{Name: "a"})
		start(t, p, build.Request{Image: "one"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Build(ctx, build.Request{Image: "two"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		wantStates(t, p, "a full 1+0")
	})
}

func TestSetWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := WorkerConfig{Name: "a"}, WorkerConfig{Name: "b"}
		p, f := poolOf(t, a, b)
		a.Address, b.Address = "unix:///a", "unix:///b"
		c := WorkerConfig{Name: "c"}
		f.set(func(map[string]*fake) { f.add(&c) })
		set := func(list ...WorkerConfig) {
			t.Helper()
			if err := p.SetWorkers(t.Context(), list); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		closed := func(address string) (yes bool) {
			f.set(func(e map[string]*fake) { yes = e[address].isClosed })
			return yes
		}

		one, two := start(t, p, build.Request{Image: "one"}), start(t, p, build.Request{Image: "two"})
		three := start(t, p, build.Request{Image: "three"})
		set(b, c)
		wantStates(t, p, "b full 1+0, c full 1+0, a draining 1+0")
		f.want(t, "a: one, b: two, c: three")
		if closed("unix:///a") {
			t.Error("a was closed with a build in flight")
		}
		if <-one != "a" || <-two != "b" || <-three != "c" {
			t.Error("a build was moved")
		}
		wantStates(t, p, "b ready 0+0, c ready 0+0")
		if !closed("unix:///a") {
			t.Error("a was not closed after its last build")
		}

		b.Drain, c.Parallel = true, 2
		set(b, c)
		four, five := start(t, p, build.Request{Image: "four"}), start(t, p, build.Request{Image: "five"})
		six := start(t, p, build.Request{Image: "six"})
		f.want(t, "c: four five")
		wantStates(t, p, "b draining 0+1, c full 2+1")
		b.Drain = false
		set(b, c)
		f.want(t, "b: six")
		<-four
		<-five
		<-six

		// Another address is another engine; the old one ends its build first.
		seven := start(t, p, build.Request{Image: "seven"})
		f.want(t, "b: seven")
		b.Address = "unix:///b2"
		f.set(func(map[string]*fake) { f.add(&b) })
		set(b, c)
		wantStates(t, p, "b ready 0+0, c ready 0+0, b draining 1+0")
		<-seven
		wantStates(t, p, "b ready 0+0, c ready 0+0")

		// A build that waited for the only one that suits is told when that goes.
		c.Drain = true
		set(c)
		eight := start(t, p, build.Request{Image: "eight", Platform: "linux/amd64"})
		c.Platforms = []string{"linux/arm64"}
		set(c)
		if got := <-eight; got != "build eight: no builder builds for linux/amd64: c builds for linux/arm64" {
			t.Error(got)
		}

		before := states(p)
		for what, list := range map[string][]WorkerConfig{
			"each needs a name":     {{Address: "unix:///x"}},
			"a name of its own":     {c, c},
			`builder x: platform "`: {{Name: "x", Address: "unix:///x", Platforms: []string{"no/such/thing/at/all"}}},
			"builder x: what://y":   {{Name: "x", Address: "what://y"}},
		} {
			if err := p.SetWorkers(t.Context(), list); err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("error %v, want one with %q", err, what)
			}
		}
		if got := states(p); got != before {
			t.Errorf("states %q, were %q", got, before)
		}
	})
}

func TestPoolClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f := poolOf(t, WorkerConfig{Name: "a"})
		start(t, p, build.Request{Image: "one"})
		two := start(t, p, build.Request{Image: "two"})
		for range 2 {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		for _, got := range []string{<-two, <-start(t, p, build.Request{Image: "three"})} {
			if !strings.Contains(got, errClosed.Error()) {
				t.Error(got)
			}
		}
		f.set(func(e map[string]*fake) {
			if !e["unix:///a"].isClosed {
				t.Error("its engine was not closed")
			}
		})
		if err := p.SetWorkers(t.Context(), nil); !errors.Is(err, errClosed) {
			t.Errorf("error %v", err)
		}
	})
}

func TestOpenPoolWithoutAnyone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakes{engines: map[string]*fake{}}
		a, b := WorkerConfig{Name: "a"}, WorkerConfig{Name: "b"}
		f.add(&a).down = true
		other := f.add(&b)
		other.down = true
		cfg := PoolConfig{Workers: []WorkerConfig{a, b}}
		if _, err := openPool(t.Context(), cfg, f.open); err == nil || err.Error() != "builder a: connection refused\nbuilder b: connection refused" {
			t.Errorf("error %v", err)
		}
		f.revive("b")
		p, err := openPool(t.Context(), cfg, f.open)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		wantStates(t, p, "a lost 0+0, b ready 0+0")
		if err := p.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		if w := <-start(t, p, build.Request{Image: "one", Log: io.Discard}); w != "b" {
			t.Errorf("built by %s", w)
		}
	})
}
