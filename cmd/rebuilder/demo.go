package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
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
		Args: wants(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), cmd.OutOrStdout(), c) },
	}
	f := cmd.Flags()
	f.StringVar(&c.dir, "dir", filepath.Join(os.TempDir(), "rebuilder-demo"), "directory of the world; an older world in it is removed")
	f.StringVar(&c.cache, "cache", demoCache(), "directory for what is downloaded once")
	f.BoolVar(&c.oneshot, "oneshot", false, "end after the loop, with exit status 0 only if all of it is true")
	f.StringVar(&c.report, "report", "demo-report.json", "where --oneshot writes its report")
	f.DurationVar(&c.timeout, "timeout", 10*time.Minute, "give up when the story has not ended after this long")
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
	if os.Geteuid() != 0 {
		return hint(errors.New("the demo needs root: it makes a root file system and runs a BuildKit of its own"), "run it as root: sudo make demo")
	}
	started := time.Now()
	show := demo.NewProgress(out, demo.ProgressConfig{})
	if f, ok := out.(*os.File); ok {
		show = demo.TerminalProgress(f)
	}
	defer show.Close()
	interrupted := context.AfterFunc(ctx, func() { show.Say("stopping: nothing stays behind but the files in " + c.dir) })
	defer interrupted()
	show.Say("making a small world in " + c.dir)
	if err := demo.Clear(c.dir); err != nil {
		return err
	}
	w, err := demo.New(ctx, demo.Options{Dir: c.dir, Cache: c.cache, Progress: show.Say, WebhookPath: "/webhooks/github"})
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Setup(ctx); err != nil {
		return err
	}
	app, stop, err := startDemoDaemon(ctx, w)
	if err != nil {
		return err
	}
	defer stop()
	r, err := tellStory(ctx, w, app, show, c.timeout, started)
	show.Close()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if len(r.Images) > 0 {
		err = errors.Join(err, demo.Table(out, r, terminalWidth(out)))
	}
	if err != nil {
		return hint(err, "the daemon's log says more: %s", daemonLog(w))
	}
	interrupted() // from here on an interrupt is the way to end
	return serveDemo(ctx, out, c, w, app, r)
}

// tellStory fills the world, publishes the update and follows it to its end. An interrupt ends it early.
func tellStory(ctx context.Context, w *demo.World, app *App, show *demo.Progress, timeout time.Duration, started time.Time) (demo.Report, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the demo has not come to its end after %s", timeout))
	defer cancel()
	client := api.NewClient(app.URL(), "")
	p := presenter{client, show, map[string]bool{}, map[string]time.Time{}}
	show.Say("the daemon runs at " + app.URL() + ", its log is " + daemonLog(w))
	if err := bootstrapDemo(ctx, w, app, client, p); err != nil {
		return demo.Report{}, err
	}
	setup := time.Since(started)
	show.Clear()
	r, err := publishAndDrive(ctx, w, client, p)
	r.SetupSeconds = setup.Seconds()
	return r, err
}

func daemonLog(w *demo.World) string { return filepath.Join(w.Dir, "daemon.log") }

// startDemoDaemon runs the daemon inside of this process, as `serve` would.
func startDemoDaemon(ctx context.Context, w *demo.World) (*App, func(), error) {
	f, err := os.OpenFile(daemonLog(w), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
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
		if errors.Is(err, syscall.EADDRINUSE) { // it was free when the world was made
			err = hint(err, "somebody else took it just now: run the demo again")
		}
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
	p.show.Say("the daemon builds the bases for the first time")
	if err := demo.AwaitBases(ctx, client, len(c.Bases), p.nodes); err != nil {
		return err
	}
	p.show.Say("the forge's CI builds the applications on them")
	if err := w.Bootstrap(ctx, app.Builder()); err != nil {
		return err
	}
	p.show.Say("the daemon looks at all of it, until it finds nothing to do")
	return demo.AwaitRest(ctx, client)
}

func publishAndDrive(ctx context.Context, w *demo.World, client *api.Client, p presenter) (demo.Report, error) {
	update, err := w.Publish(ctx)
	if err != nil {
		return demo.Report{}, err
	}
	p.show.Clock("since publication", update.At)
	return w.Drive(ctx, client, update, p.nodes)
}

// serveDemo ends the one-shot demo with its verdict, or goes on serving until it is interrupted.
func serveDemo(ctx context.Context, out io.Writer, c demoConfig, w *demo.World, app *App, r demo.Report) error {
	if c.oneshot {
		if err := demo.WriteReport(c.report, r); err != nil {
			return err
		}
		if !r.Proven() {
			return errors.New("not every image was proven to stand on the patched base: see the table")
		}
		return nil
	}
	fmt.Fprint(out, invitation(os.Args[0], app.URL(), w.Dir, r))
	<-ctx.Done()
	return nil
}

// invitation says what can be done with the world while it stands.
func invitation(command, url, dir string, r demo.Report) string {
	if url != defaultServer {
		command += " --server " + url
	}
	why := "why orders"
	if len(r.Images) > 0 {
		why += " " + r.Images[0].Package
	}
	return fmt.Sprintf(`
The daemon goes on: its page is %[1]s/. In another terminal, try:
  %[2]s status
  %[2]s graph
  %[2]s rollouts
  %[2]s %[3]s
or change %[4]s and watch what that does.
Ctrl-C ends everything.
`, url, command, why, filepath.Join(dir, "bases", "nginx", "Dockerfile"))
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
