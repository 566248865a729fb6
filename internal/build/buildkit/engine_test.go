package buildkit_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"rebuilder/internal/build"
	"rebuilder/internal/build/buildkit"
)

// TestKilledChild kills the engine's process in the middle of a step.
func TestKilledChild(t *testing.T) {
	w := openWorld(t)
	r := w.request(w.context(t, "FROM REG/base/busybox:1\nRUN sleep 71002\n"))
	done := make(chan error, 1)
	go func() {
		_, err := w.engine.Build(t.Context(), r)
		done <- err
	}()
	until(t, "the step's process", func() bool { return running("71002") })
	if err := syscall.Kill(childOf(t, w.engine), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}

	err := <-done
	e := new(build.Error)
	if !errors.As(err, &e) || !e.Lost || !e.Temporary() {
		t.Errorf("error %v, want one that says the engine was lost", err)
	}
	until(t, "the end of the step's process", func() bool { return !running("71002") })

	// It comes back by itself, on the same state.
	_, files := w.build(t, w.request(w.context(t, "FROM REG/base/busybox:1\nRUN echo back > /out\n")))
	if files["out"] != "back" {
		t.Errorf("files %v", files)
	}
	if err := w.engine.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestKilledParent kills the daemon, not the engine's process.
func TestKilledParent(t *testing.T) {
	needs(t)
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer s.Close()
	w := &world{registry: strings.TrimPrefix(s.URL, "http://")}
	w.push(t, "base/busybox:1", rootfs(t, nil))
	root := shortDir(t)

	cmd := exec.Command("/proc/self/exe", parentVerb, root, w.registry, "71003")
	var stderr buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the step's process; "+stderr.String(), func() bool { return running("71003") })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, as it was told

	until(t, "the end of every process", func() bool { return !running("71003") && !running(root) })
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), root) {
		t.Errorf("mounts are left:\n%s", mounts)
	}

	left, err := filepath.Glob(filepath.Join(root, "runc-*", "executor", "*", "config.json"))
	if err != nil || len(left) == 0 {
		t.Fatalf("the killed step has left no bundle (%v): this test has nothing to look for", err)
	}

	// The next daemon starts on the same directory and clears up first.
	e, err := buildkit.Open(t.Context(), buildkit.Config{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Build(t.Context(), w.request(w.context(t, "FROM REG/base/busybox:1\nRUN echo again\n"))); err != nil {
		t.Error(err)
	}
	for _, config := range left {
		bundle := filepath.Dir(config)
		if _, err := os.Stat(bundle); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("bundle %s is left: %v", bundle, err)
		}
		for _, pattern := range []string{"/sys/fs/cgroup/buildkit/", "/sys/fs/cgroup/*/buildkit/"} {
			if groups, err := filepath.Glob(pattern + filepath.Base(bundle)); err != nil || len(groups) > 0 {
				t.Errorf("control groups are left: %v, %v", groups, err)
			}
		}
	}
}

func TestClose(t *testing.T) {
	w := openWorld(t)
	child := childOf(t, w.engine)
	r := w.request(w.context(t, "FROM REG/base/busybox:1\nRUN sleep 71004\n"))
	done := make(chan error, 1)
	go func() {
		_, err := w.engine.Build(t.Context(), r)
		done <- err
	}()
	until(t, "the step's process", func() bool { return running("71004") })
	for range 2 {
		if err := w.engine.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// From here on without waiting: Close left nothing behind.
	if running("71004") {
		t.Error("a step still runs")
	}
	if err := syscall.Kill(child, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", child, err)
	}
	for _, err := range []error{<-done, func() error { _, err := w.engine.Build(t.Context(), r); return err }()} {
		if e := new(build.Error); !errors.As(err, &e) || !e.Lost {
			t.Errorf("error %v, want a lost build", err)
		}
	}
}

func TestOpenFails(t *testing.T) {
	needs(t)
	w := openWorld(t)
	root := filepath.Dir(strings.TrimPrefix(w.engine.Address(), "unix://"))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		ctx    context.Context
		config buildkit.Config
		want   string
	}{
		"a directory in use":     {t.Context(), buildkit.Config{Root: root}, "in use by another build engine"},
		"a program that is none": {t.Context(), buildkit.Config{Root: shortDir(t), Executable: "/nonexistent"}, "start /nonexistent"},
		"a program that ends":    {t.Context(), buildkit.Config{Root: shortDir(t), Executable: "/bin/false"}, "exit status 1"},
		"nobody at the address":  {t.Context(), buildkit.Config{Address: "unix:///nonexistent.sock"}, "does not answer"},
		"no address":             {t.Context(), buildkit.Config{Address: "what://"}, "what://"},
		"a context that ended":   {ended, buildkit.Config{Root: shortDir(t)}, "context canceled"},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			e, err := buildkit.Open(tt.ctx, tt.config)
			if err == nil {
				e.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	t.Run("no runc", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := buildkit.Open(t.Context(), buildkit.Config{Root: shortDir(t)}); err == nil || !strings.Contains(err.Error(), "apt-get install runc") {
			t.Errorf("error %v", err)
		}
	})
	if err := w.engine.Ping(t.Context()); err != nil {
		t.Errorf("the first engine has suffered: %v", err)
	}
}

func TestLongRoot(t *testing.T) {
	needs(t)
	root := filepath.Join(shortDir(t), strings.Repeat("long/", 30))
	e, err := buildkit.Open(t.Context(), buildkit.Config{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	socket := strings.TrimPrefix(e.Address(), "unix://")
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(socket)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", filepath.Dir(socket), err)
	}
}

func TestChildRefuses(t *testing.T) {
	for what, args := range map[string][]string{
		"no arguments":         nil,
		"an unknown argument":  {"--what"},
		"outside a namespace":  {"--root", t.TempDir(), "--socket", "s"},
		"a socket is missing":  {"--root", t.TempDir()},
		"not even a directory": {"--socket", "s"},
	} {
		if err := buildkit.Child(args); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// childOf is the process that serves the engine's address.
func childOf(t *testing.T, e *buildkit.Engine) int {
	t.Helper()
	return childAt(t, e.Address())
}

func childAt(t *testing.T, address string) int {
	t.Helper()
	socket := strings.TrimPrefix(address, "unix://")
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		b, _ := os.ReadFile(f)
		args := strings.Split(string(b), "\x00")
		if len(args) > 1 && args[1] == buildkit.ChildVerb && strings.Contains(string(b), socket) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("the engine has no process")
	return 0
}
