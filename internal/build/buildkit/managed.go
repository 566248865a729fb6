package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = 20 * time.Second // a machine may be very busy; it takes 0.2 s
	stopTimeout  = 5 * time.Second  // then it is killed; its state survives that
	firstPause   = 100 * time.Millisecond
	lastPause    = 10 * time.Second
	steady       = time.Minute // a child that lived this long starts again without a pause
	maxSocket    = 104         // bytes of a unix socket's path, with room for every system
)

// managed keeps a child buildkitd alive: starts it, waits for it, starts it again when it dies.
//
// The child is process 1 of a PID namespace and has a mount namespace of its own, so that with it everything that
// runs for a build and every mount goes, also when it is killed, and it is killed when we die.
type managed struct {
	root, socket string
	command      []string
	log          *slog.Logger

	mu      sync.Mutex
	started int           // how often
	up      chan struct{} // closed while the child answers
	isUp    bool

	cancel context.CancelFunc
	done   chan struct{} // closed when the supervisor has ended
}

func newManaged(cfg Config) (*managed, error) {
	if err := checkMachine(); err != nil {
		return nil, err
	}
	if cfg.Root == "" {
		cfg.Root = "buildkit"
	}
	root, err := filepath.Abs(cfg.Root)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("build engine: %w", err)
	}
	socket := filepath.Join(root, "buildkitd.sock")
	if len(socket) > maxSocket {
		dir, err := os.MkdirTemp("", "rebuilder-")
		if err != nil {
			return nil, fmt.Errorf("build engine: %w", err)
		}
		socket = filepath.Join(dir, "buildkitd.sock")
	}
	if cfg.Executable == "" {
		cfg.Executable = "/proc/self/exe"
	}
	child := childConfig{Root: root, Socket: socket, Insecure: cfg.Insecure, Parallel: cfg.Parallel, CacheBytes: cfg.CacheBytes}
	return &managed{
		root: root, socket: socket,
		command: append([]string{cfg.Executable, ChildVerb}, child.args()...),
		log:     cfg.Log,
		up:      make(chan struct{}),
		done:    make(chan struct{}),
	}, nil
}

func checkMachine() error {
	if os.Geteuid() != 0 {
		return errors.New("a managed build engine needs root; run as root, or set [builder] address to a running buildkitd")
	}
	if _, err := findRunc(); err != nil {
		return err
	}
	return nil
}

func findRunc() (string, error) {
	for _, n := range []string{"buildkit-runc", "runc"} {
		if p, err := exec.LookPath(n); err == nil {
			return p, nil
		}
	}
	return "", errors.New("runc not found: apt-get install runc, or set [builder] address to a running buildkitd")
}

func (m *managed) address() string { return "unix://" + m.socket }

// start returns when the first child answers ping, or says why it cannot.
func (m *managed) start(ctx context.Context, ping func(context.Context) error) error {
	life, cancel := context.WithCancel(context.Background()) // the child's life is not that of the call
	m.cancel = cancel
	failed := make(chan error, 1)
	go m.supervise(life, ping, failed)

	ctx, stop := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not ready after %s", startTimeout))
	defer stop()
	select {
	case <-m.upNow():
		return nil
	case err := <-failed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w%s", context.Cause(ctx), m.lastWords())
	}
}

func (m *managed) stop() {
	if m.cancel == nil {
		return
	}
	m.cancel()
	<-m.done
	os.Remove(m.socket)
	if dir := filepath.Dir(m.socket); dir != m.root {
		os.Remove(dir)
	}
}

// supervise ends with life, when the child is gone. The first child's failure is sent to failed.
func (m *managed) supervise(life context.Context, ping func(context.Context) error, failed chan<- error) {
	defer close(m.done)
	runtime.LockOSThread() // Pdeathsig is sent when the thread that started the child ends, not the process

	for pause := firstPause; ; {
		began := time.Now()
		err := m.once(life, ping)
		if life.Err() != nil {
			return
		}
		select {
		case failed <- err:
		default:
		}
		if time.Since(began) > steady {
			pause = firstPause
		}
		m.log.Warn("build engine died, it is started again", "error", err, "in", pause)
		select {
		case <-life.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// once is one child's life. It returns nil only when life has ended.
func (m *managed) once(life context.Context, ping func(context.Context) error) error {
	logFile, err := openLog(m.logPath())
	if err != nil {
		return err
	}
	defer logFile.Close()
	if err := os.Remove(m.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	cmd := exec.CommandContext(life, m.command[0], m.command[1:]...)
	cmd.Env = childEnv(os.Environ())
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.Dir = m.root
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true, // a terminal's Ctrl-C is ours to handle
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", m.command[0], err)
	}
	m.countStart()
	probe, stopProbe := context.WithCancel(life)
	probed := make(chan struct{})
	go func() {
		defer close(probed)
		m.awaitAnswer(probe, ping)
	}()
	err = cmd.Wait()
	stopProbe()
	<-probed
	m.setDown()
	if life.Err() != nil {
		return nil
	}
	return fmt.Errorf("%w%s", err, m.lastWords())
}

// awaitAnswer marks the child as up once it answers. The socket is looked for first: a client that failed to connect
// waits before it tries again.
func (m *managed) awaitAnswer(ctx context.Context, ping func(context.Context) error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		if _, err := os.Stat(m.socket); err == nil && ping(ctx) == nil {
			m.setUp()
			return
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (m *managed) countStart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.started++
}

func (m *managed) setUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.isUp = true
	close(m.up)
}

// setDown ends a life: what began in it counts as lost from now on.
func (m *managed) setDown() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isUp {
		m.isUp, m.up = false, make(chan struct{})
	}
}

func (m *managed) upNow() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.up
}

// lives is how often the child has been started, or -1 while it does not answer.
func (m *managed) lives() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.isUp {
		return -1
	}
	return m.started
}

// ready waits until the child answers ping, as it does again soon after it died. That it was up a moment ago is not
// enough: a client sees the end of a child before its parent does.
func (m *managed) ready(ctx context.Context, ping func(context.Context) error) (lives int, err error) {
	ctx, stop := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("the build engine is not ready after %s", startTimeout))
	defer stop()
	for {
		select {
		case <-m.upNow():
		case <-ctx.Done():
			return 0, fmt.Errorf("%w%s", context.Cause(ctx), m.lastWords())
		}
		if n := m.lives(); n >= 0 && ping(ctx) == nil && m.lives() == n {
			return n, nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (m *managed) logPath() string { return filepath.Join(m.root, "buildkitd.log") }

// openLog makes a new log for a child; the one before stays beside it.
func openLog(path string) (*os.File, error) {
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// lastWords are the last lines of the child's log, for an error: empty, or beginning with a colon.
func (m *managed) lastWords() string {
	const bytes, lines = 2 << 10, 3
	f, err := os.Open(m.logPath())
	if err != nil {
		return ""
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil && fi.Size() > bytes {
		_, _ = f.Seek(-bytes, io.SeekEnd)
	}
	b, _ := io.ReadAll(io.LimitReader(f, bytes))
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	last := strings.Join(all[max(0, len(all)-lines):], "; ")
	if last == "" {
		return ""
	}
	return ": " + last + " (" + m.logPath() + ")"
}

// childEnv is what of our environment the child needs. Nothing else reaches it, and nothing of it a build.
func childEnv(environ []string) []string {
	needed := []string{"PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
	var out []string
	for _, kv := range environ {
		if k, _, _ := strings.Cut(kv, "="); slices.Contains(needed, k) {
			out = append(out, kv)
		}
	}
	return out
}
