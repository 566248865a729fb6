package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rebuilder/internal/api"
	"rebuilder/internal/build/buildkit"
	"rebuilder/internal/catalog"
	"rebuilder/internal/demo"
)

// scene is a world, and the daemon under test in it.
type scene struct {
	*demo.World
	program string // the daemon's binary
	dir     string // everything is below it
	traffic *traffic
	ci      *buildkit.Engine // nil in a world without applications
	daemon  *process         // nil while it is not running
}

// openScene makes the demo's world in a temporary directory. Close it.
func openScene(ctx context.Context, program, cache string, say func(string)) (s *scene, err error) {
	s, err = openWorld(ctx, program, demo.Options{Cache: cache, Progress: say, WebhookPath: "/webhooks/github"})
	if err != nil {
		return nil, err
	}
	s.ci, err = buildkit.Open(ctx, buildkit.Config{Root: filepath.Join(s.dir, "ci"), Parallel: 2, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.SetBuilder(s.ci)
	return s, nil
}

// openWorld makes a world whose directory and doors are the bench's. Close it.
func openWorld(ctx context.Context, program string, o demo.Options) (s *scene, err error) {
	s = &scene{program: program, traffic: &traffic{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "rebuilder-bench-"); err != nil {
		return nil, err
	}
	o.Dir = filepath.Join(s.dir, "world")
	o.WrapRegistry, o.WrapForge, o.WrapPackages = s.traffic.registry.in, s.traffic.forge.in, s.traffic.packages.in
	s.World, err = demo.New(ctx, o)
	return s, err
}

// Close stops everything and removes the world. It is safe on a scene that was never whole, and twice.
func (s *scene) Close() error {
	err := s.stop()
	if s.World != nil {
		err = errors.Join(err, s.World.Close())
	}
	if s.ci != nil {
		err = errors.Join(err, s.ci.Close())
	}
	if s.World != nil {
		err = errors.Join(err, demo.Clear(s.Dir)) // with whatever is mounted in it
	}
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// start runs the daemon and returns how long it took from there until it said that it is ready.
func (s *scene) start(ctx context.Context) (time.Duration, error) {
	var err error
	s.daemon, err = launch(s.logFile(), []string{"REBUILDER_DEMO_WEBHOOK_SECRET=" + s.WebhookSecret}, s.program,
		"serve", "--catalog", s.Catalog, "--state", s.StateDirectory, "--listen", s.DaemonAddress)
	if err != nil {
		return 0, err
	}
	return s.awaitReady(ctx)
}

const (
	readyPause    = 2 * time.Millisecond // between two looks; what it adds is far below what is measured
	readyPatience = 30 * time.Second
)

func (s *scene) awaitReady(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readyPatience, fmt.Errorf("the daemon is not ready after %s", readyPatience))
	defer cancel()
	for !s.isReady(ctx) {
		select {
		case <-time.After(readyPause):
		case <-s.daemon.done:
			return 0, s.explained(errors.New("the daemon ended"))
		case <-ctx.Done():
			return 0, s.explained(context.Cause(ctx))
		}
	}
	return time.Since(s.daemon.began), nil
}

func (s *scene) isReady(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.DaemonAddress+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return err == nil && resp.StatusCode == http.StatusOK
}

// stop ends the daemon, when it runs.
func (s *scene) stop() error {
	if s.daemon == nil {
		return nil
	}
	defer func() { s.daemon = nil }()
	return s.daemon.stop()
}

func (s *scene) client() *api.Client { return api.NewClient("http://"+s.DaemonAddress, "") }

func (s *scene) logFile() string { return filepath.Join(s.dir, "daemon.log") }

// explained adds the last lines of the daemon's log to an error: the world is gone when somebody reads it.
func (s *scene) explained(err error) error {
	if err == nil {
		return nil
	}
	const lines = 15
	b, readErr := os.ReadFile(s.logFile())
	if readErr != nil {
		return err
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return fmt.Errorf("%w; the daemon's log ends:\n%s", err, strings.Join(all[max(0, len(all)-lines):], "\n"))
}

// fill lets the daemon build the bases, and CI the applications, for the first time, and waits until all is at rest.
func (s *scene) fill(ctx context.Context) error {
	c, err := catalog.Load(s.Catalog)
	if err != nil {
		return err
	}
	if err := demo.AwaitBases(ctx, s.client(), len(c.Bases), func([]api.Node) {}); err != nil {
		return s.explained(err)
	}
	if err := s.Bootstrap(ctx, s.ci); err != nil {
		return err
	}
	return s.explained(demo.AwaitRest(ctx, s.client()))
}
