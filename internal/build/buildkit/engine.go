package buildkit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/containerd/platforms"
	"github.com/google/go-containerregistry/pkg/authn"
	control "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
)

// pingTimeout bounds how long an engine may take to answer that it is there.
const pingTimeout = 2 * time.Second

// Config says which engine to use. The zero value is a managed one in the directory "buildkit".
type Config struct {
	// Address of a running buildkitd: "unix:///run/buildkit/buildkitd.sock", "tcp://host:1234", "ssh://user@host",
	// "kube-pod://pod?namespace=ci", "docker-container://name". Empty: managed.
	Address string
	// TLS of a tcp address. The zero value is a plain connection.
	TLS TLS

	// Root is the managed engine's state directory: cache, socket, log. Default "buildkit". One engine a directory.
	Root string
	// Executable is started with ChildVerb for the managed engine. Default: this process's own.
	Executable string
	// Parallel is how many steps a managed engine runs at once. Default 4.
	Parallel int
	// CacheBytes is how large the managed engine's cache may grow. Default 20 GiB.
	CacheBytes int64

	// Insecure are registries, host:port, spoken to over plain http. Loopback ones are anyway. A buildkitd at an
	// Address only pushes to them so; for its pulls it has a configuration of its own.
	Insecure []string
	// Keychain holds the registries' credentials; nil is anonymous.
	Keychain authn.Keychain

	Log *slog.Logger // nil discards
}

// Engine builds with one buildkitd. It is safe for concurrent use.
type Engine struct {
	config  Config
	client  *client.Client
	address string
	managed *managed // nil for an engine at an Address

	mu       sync.Mutex
	closed   bool
	cancels  map[int]context.CancelCauseFunc // builds in flight
	next     int
	inFlight sync.WaitGroup
}

// Open connects to the engine and returns when a build can start; a managed engine is started first, which takes
// well under a second. Close it.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	e, err := newEngine(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := e.Ping(ctx); err != nil { // the client connects when it is first used
		e.Close()
		return nil, fmt.Errorf("build engine %s: %w", e.address, err)
	}
	return e, nil
}

// newEngine makes an engine. A managed one has been started then; another may not answer yet.
func newEngine(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{config: cfg, address: cfg.Address, cancels: map[int]context.CancelCauseFunc{}}
	if cfg.Address == "" {
		m, err := newManaged(cfg)
		if err != nil {
			return nil, err
		}
		e.managed, e.address = m, m.address()
	}
	var err error
	if e.client, err = dial(ctx, e.address, cfg.TLS); err != nil {
		return nil, fmt.Errorf("build engine %s: %w", e.address, err)
	}
	if e.managed == nil {
		return e, nil
	}
	if err := e.managed.start(ctx, e.Ping); err != nil {
		e.Close()
		return nil, fmt.Errorf("build engine %s: %w", e.address, err)
	}
	return e, nil
}

// Address is where other clients reach the engine, as Config.Address.
func (e *Engine) Address() string { return e.address }

// Ping returns nil when the engine answers, within two seconds.
func (e *Engine) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	_, err := e.client.Info(ctx)
	if err == nil {
		return nil
	}
	if e.config.TLS != (TLS{}) {
		err = cmp.Or(e.config.TLS.probe(ctx, e.address), err)
	}
	return fmt.Errorf("the build engine does not answer: %w", explain(err))
}

// Close cancels the builds in flight, which return a lost build.Error, and stops a managed engine with all that runs
// in it. It is safe to call twice.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	for _, cancel := range e.cancels {
		cancel(errClosed)
	}
	e.mu.Unlock()

	e.inFlight.Wait()
	if e.managed != nil {
		e.managed.stop()
	}
	return e.client.Close()
}

// enter notes a build, to be cancelled by Close. It returns false when the engine is closed.
func (e *Engine) enter(cancel context.CancelCauseFunc) (id int, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return 0, false
	}
	e.next++
	e.cancels[e.next] = cancel
	e.inFlight.Add(1)
	return e.next, true
}

func (e *Engine) leave(id int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.cancels, id)
	e.inFlight.Done()
}

func (e *Engine) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

// ready waits until a managed engine answers, and returns how often it has been started.
func (e *Engine) ready(ctx context.Context) (lives int, err error) {
	if e.managed == nil {
		return 0, nil
	}
	return e.managed.ready(ctx, e.Ping)
}

func (e *Engine) lives() int {
	if e.managed == nil {
		return 0
	}
	return e.managed.lives()
}

func (e *Engine) lastWords() string {
	if e.managed == nil {
		return ""
	}
	return e.managed.lastWords()
}

// platforms that the engine builds for, normalised; its own first.
func (e *Engine) platforms(ctx context.Context) ([]string, error) {
	workers, err := e.client.ListWorkers(ctx)
	if err != nil {
		return nil, err
	}
	if len(workers) == 0 {
		return nil, errors.New("the build engine has no worker")
	}
	var out []string
	for _, p := range workers[0].Platforms { // it builds with its first one
		out = append(out, platforms.Format(platforms.Normalize(p)))
	}
	return out, nil
}

// builds are the ids of all that the engine builds now, for whomever.
func (e *Engine) builds(ctx context.Context) (ids []string, err error) {
	events, err := e.client.ControlClient().ListenBuildHistory(ctx, &control.BuildHistoryRequest{ActiveOnly: true, EarlyExit: true})
	if err != nil {
		return nil, err
	}
	for {
		event, err := events.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return ids, nil
		case err != nil:
			return nil, err
		}
		ids = append(ids, event.GetRecord().GetRef())
	}
}
