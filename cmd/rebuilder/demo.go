package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
	"rebuilder/internal/catalog"
	"rebuilder/internal/demo"
)

type demoConfig struct {
	dir, cache, report string
	oneshot            bool
	timeout            time.Duration
}

// newDemo is the verb that shows what the daemon is for.
func newDemo() *cobra.Command {
	var c demoConfig
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch a real security update travel from a package repository to six applications",
		Long: `Make a small, real world in a directory of its own - a registry, a forge with its CI, a signed Debian package
repository, a BuildKit - and run the daemon in it. Then a real Debian security update is published there. The daemon
notices it, rebuilds three bases in order, looks whether the patched version is inside, promotes, opens the pull
requests, and follows until the layers of all applications prove that they stand on the patched base.

It needs root and Debian's runc, mmdebstrap, dpkg-dev, apt-utils and git ("make demo" installs them). Ctrl-C leaves
nothing running.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), cmd.OutOrStdout(), c) },
	}
	f := cmd.Flags()
	f.StringVar(&c.dir, "dir", filepath.Join(os.TempDir(), "rebuilder-demo"), "directory of the world; an older world in it is removed")
	f.StringVar(&c.cache, "cache", demoCache(), "directory for what is downloaded once")
	f.BoolVar(&c.oneshot, "oneshot", false, "end after the loop, with exit status 0 only if all of it is true")
	f.StringVar(&c.report, "report", "demo-report.json", "where --oneshot writes its report")
	f.DurationVar(&c.timeout, "timeout", 10*time.Minute, "give up when the loop has not ended after this long")
	f.Lookup("cache").DefValue = "the user's cache directory"
	return cmd
}

func demoCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "rebuilder", "demo")
}

func runDemo(ctx context.Context, out io.Writer, c demoConfig) error {
	started := time.Now()
	show := demo.NewProgress(out, demo.ProgressConfig{})
	if f, ok := out.(*os.File); ok {
		show = demo.TerminalProgress(f)
	}
	defer show.Close()
	if err := demo.Clear(c.dir); err != nil {
		return err
	}
	w, err := demo.New(ctx, demo.Options{Dir: c.dir, Cache: c.cache, Progress: show.Say, WebhookPath: "/webhooks/github"})
	if err != nil {
		return err
	}
	defer w.Close()
	show.Say("world in " + w.Dir)
	if err := w.Setup(ctx); err != nil {
		return err
	}
	app, stop, err := startDemoDaemon(ctx, w)
	if err != nil {
		return err
	}
	defer stop()
	show.Say("daemon at " + app.URL() + " (log: " + filepath.Join(w.Dir, "daemon.log") + ")")
	client := api.NewClient(app.URL(), "")
	p := presenter{client, show, map[string]bool{}, map[string]time.Time{}}
	if err := bootstrapDemo(ctx, w, app, client, p); err != nil {
		return err
	}
	setup := time.Since(started)
	show.Clear()
	r, err := publishAndDrive(ctx, w, client, p, c.timeout)
	r.SetupSeconds = setup.Seconds()
	show.Close()
	if err := errors.Join(err, demo.Table(out, r)); err != nil {
		return err
	}
	return serveDemo(ctx, out, c, app, r)
}

// startDemoDaemon runs the daemon inside of this process, as `serve` would.
func startDemoDaemon(ctx context.Context, w *demo.World) (*App, func(), error) {
	f, err := os.OpenFile(filepath.Join(w.Dir, "daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	log := slog.New(slog.NewTextHandler(f, nil))
	secrets := func(name string) string {
		if name == "REBUILDER_DEMO_WEBHOOK_SECRET" {
			return w.WebhookSecret
		}
		return ""
	}
	app, err := NewApp(ctx, AppConfig{Catalog: w.Catalog, State: w.StateDirectory, Listen: w.DaemonAddress, Log: log, Env: secrets})
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := app.Run(ctx); err != nil {
			log.Error("daemon", "error", err)
		}
	}()
	w.SetBuilder(app.Builder())
	return app, func() {
		cancel()
		<-done
		app.Close()
		f.Close()
	}, nil
}

// bootstrapDemo lets the daemon build the bases for the first time, and the forge's CI the applications on them.
func bootstrapDemo(ctx context.Context, w *demo.World, app *App, client *api.Client, p presenter) error {
	c, err := catalog.Load(w.Catalog)
	if err != nil {
		return err
	}
	if err := demo.AwaitBases(ctx, client, len(c.Bases), p.nodes); err != nil {
		return err
	}
	if err := w.Bootstrap(ctx, app.Builder()); err != nil {
		return err
	}
	return demo.AwaitRest(ctx, client)
}

func publishAndDrive(ctx context.Context, w *demo.World, client *api.Client, p presenter, timeout time.Duration) (demo.Report, error) {
	update, err := w.Publish(ctx)
	if err != nil {
		return demo.Report{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the loop has not ended after %s", timeout))
	defer cancel()
	return w.Drive(ctx, client, update, p.nodes)
}

// serveDemo ends the one-shot demo with its verdict, or goes on serving until it is interrupted.
func serveDemo(ctx context.Context, out io.Writer, c demoConfig, app *App, r demo.Report) error {
	if c.oneshot {
		if err := demo.WriteReport(c.report, r); err != nil {
			return err
		}
		if !r.Proven() {
			return errors.New("not every image was proven to stand on the patched base: see the table")
		}
		return nil
	}
	fmt.Fprintf(out, "\nThe daemon goes on at %s. Try in another terminal:\n  rebuilder status\n  rebuilder graph\n  rebuilder why orders\nCtrl-C ends everything.\n", app.URL())
	<-ctx.Done()
	return nil
}

// presenter shows nodes as lines.
type presenter struct {
	client *api.Client
	show   *demo.Progress
	said   map[string]bool      // failures whose log was fetched
	begun  map[string]time.Time // when an image's turn came, by rollout and image
}

func (p presenter) nodes(nodes []api.Node) {
	for _, n := range nodes {
		turn := n.Rollout + " " + n.Image
		if _, ok := p.begun[turn]; !ok && n.State != "waiting" {
			p.begun[turn] = n.Since
		}
		u := demo.Update{Image: n.Image, State: n.State, Detail: n.Sentence, Started: p.begun[turn], Failed: n.State == "failed" || n.State == "not-taken"}
		if n.Ended {
			u.Ended = n.Since
		}
		if u.Failed && n.Build != "" && !p.said[n.Build] {
			p.said[n.Build] = true
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			if b, err := p.client.Build(ctx, n.Build); err == nil {
				u.Log = b.LogTail
			}
			cancel()
		}
		p.show.Update(u)
	}
}
