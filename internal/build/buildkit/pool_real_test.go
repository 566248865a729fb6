package buildkit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/client"

	"rebuilder/internal/build"
	"rebuilder/internal/build/buildkit"
)

// openPool opens a pool of managed engines in directories of their own.
func openPool(t *testing.T, names ...string) *buildkit.Pool {
	t.Helper()
	var workers []buildkit.WorkerConfig
	for _, n := range names {
		workers = append(workers, buildkit.WorkerConfig{Name: n, Root: shortDir(t)})
	}
	p, err := buildkit.OpenPool(t.Context(), buildkit.PoolConfig{Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestKilledWorker kills the engine that a build runs on, in the middle of a step.
func TestKilledWorker(t *testing.T) {
	w := openWorld(t) // for its registry
	p := openPool(t, "a", "b")
	r := w.request(w.context(t, "FROM REG/base/busybox:1\nRUN sleep 2.71005; echo built > /out\n"))
	var l buffer
	r.Log = &l
	type answer struct {
		res *build.Result
		err error
	}
	done := make(chan answer, 1)
	go func() {
		res, err := p.Build(t.Context(), r)
		done <- answer{res, err}
	}()
	until(t, "the step's process", func() bool { return running("2.71005") })
	a := p.State()[0]
	if a.InFlight != 1 {
		t.Fatalf("%+v, want the build there", a)
	}
	if err := syscall.Kill(childAt(t, a.Address), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}

	got := <-done
	if got.err != nil {
		t.Fatalf("%v\n%s", got.err, l.String())
	}
	if got.res.Worker != "b" || w.files(t, r.Repository, got.res.Digest)["out"] != "built" {
		t.Errorf("built by %s", got.res.Worker)
	}
	if !strings.Contains(l.String(), "builder a was lost: ") {
		t.Errorf("the log does not say so:\n%s", l.String())
	}
	until(t, "the killed one to be back", func() bool { return p.State()[0].State == "ready" })
}

// TestPoolOfOne is what a catalog without workers has.
func TestPoolOfOne(t *testing.T) {
	w := openWorld(t)
	p, err := buildkit.OpenPool(t.Context(), buildkit.PoolConfig{Engine: buildkit.Config{Address: w.engine.Address()}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	res, err := p.Build(t.Context(), w.request(w.context(t, "FROM REG/base/busybox:1\nRUN echo one\n")))
	if err != nil || res.Worker != "builder" {
		t.Errorf("%+v, %v", res, err)
	}
	s := p.State()
	if len(s) != 1 || s[0].State != "ready" || len(s[0].Platforms) == 0 || s[0].Platforms[0] != platform || s[0].Address != w.engine.Address() {
		t.Errorf("%+v", s)
	}
	if got := w.refused(t, p, "linux/s390x"); !strings.Contains(got, "no builder builds for linux/s390x: builder builds for linux/amd64") {
		t.Error(got)
	}
}

func (w *world) refused(t *testing.T, p *buildkit.Pool, platform string) string {
	t.Helper()
	r := w.request(w.context(t, "FROM REG/base/busybox:1\n"))
	r.Platform = platform
	_, err := p.Build(t.Context(), r)
	return fmt.Sprint(err)
}

// TestTimeout: a build is cut off, and with it its step.
func TestTimeout(t *testing.T) {
	w := openWorld(t)
	r := w.request(w.context(t, "FROM REG/base/busybox:1\nRUN sleep 71007\n"))
	r.Timeout = 2 * time.Second
	if _, err := w.engine.Build(t.Context(), r); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want context.DeadlineExceeded", err)
	}
	until(t, "the end of the step's process", func() bool { return !running("71007") })
}

// TestCacheBetweenWorkers drains the worker that has all in its cache: the other goes on from there.
func TestCacheBetweenWorkers(t *testing.T) {
	w := openWorld(t) // for its registry
	workers := []buildkit.WorkerConfig{{Name: "a", Root: shortDir(t)}, {Name: "b", Root: shortDir(t)}}
	p, err := buildkit.OpenPool(t.Context(), buildkit.PoolConfig{Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r := w.request(w.context(t, "FROM REG/base/busybox:1\nRUN cat /proc/sys/kernel/random/uuid > /out\n"))
	r.Cache = w.registry + "/cache:between"
	first, err := p.Build(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	workers[0].Drain = true
	if err := p.SetWorkers(t.Context(), workers); err != nil {
		t.Fatal(err)
	}
	second, err := p.Build(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if first.Worker != "a" || second.Worker != "b" {
		t.Errorf("built by %s and %s, want a and b", first.Worker, second.Worker)
	}
	if second.Digest != first.Digest {
		t.Errorf("b made %s, a %s: %v", second.Digest, first.Digest, cached(second))
	}
}

// TestOthersBuilds: a pool sees what other clients build on its workers.
func TestOthersBuilds(t *testing.T) {
	w := openWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = w.engine.Build(ctx, w.request(w.context(t, "FROM REG/base/busybox:1\nRUN sleep 71006\n")))
	}()
	defer func() { cancel(); <-done }()
	until(t, "the step's process", func() bool { return running("71006") })
	p, err := buildkit.OpenPool(t.Context(), buildkit.PoolConfig{Engine: buildkit.Config{Address: w.engine.Address()}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if s := p.State()[0]; s.Others != 1 {
		t.Errorf("%+v, want one build of others", s)
	}
}

// TestCacheLimit: a cache that has grown too large is cut back.
func TestCacheLimit(t *testing.T) {
	const limit = 12 << 20
	w := openWorld(t)
	root := shortDir(t)
	open := func() *buildkit.Engine {
		t.Helper()
		e, err := buildkit.Open(t.Context(), buildkit.Config{Root: root, CacheBytes: limit})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := open()
	for i := range 2 {
		df := fmt.Sprintf("FROM REG/base/busybox:1\nRUN echo %d; cp /bin/busybox /1; for i in 2 3 4 5 6; do cp /1 /$i; done\n", i)
		if _, err := e.Build(t.Context(), w.request(w.context(t, df))); err != nil {
			t.Fatal(err)
		}
	}
	if used := cacheSize(t, e); used < limit {
		t.Fatalf("the builds took %d bytes, want more than %d: nothing is to be cut back", used, limit)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open() // which looks at once, not within a minute
	defer e.Close()
	until(t, "a smaller cache", func() bool { return cacheSize(t, e) <= limit })
	if used := cacheSize(t, e); used == 0 {
		t.Error("all was dropped, want what fits to be kept")
	}
}

func cacheSize(t *testing.T, e *buildkit.Engine) (total int64) {
	t.Helper()
	c, err := client.New(t.Context(), e.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	all, err := c.DiskUsage(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range all {
		if !u.Shared {
			total += u.Size
		}
	}
	return total
}
