package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/prometheus/client_golang/prometheus"

	"rebuilder/internal/advisory"
	"rebuilder/internal/announce"
	"rebuilder/internal/api"
	"rebuilder/internal/build"
	"rebuilder/internal/build/buildkit"
	"rebuilder/internal/catalog"
	"rebuilder/internal/discover"
	"rebuilder/internal/durable"
	"rebuilder/internal/inventory"
	"rebuilder/internal/judge"
	"rebuilder/internal/line"
	"rebuilder/internal/notify"
	"rebuilder/internal/notify/github"
	"rebuilder/internal/observe"
	"rebuilder/internal/reconcile"
	"rebuilder/internal/registry"
	"rebuilder/internal/rollout"
	"rebuilder/internal/scan"
	"rebuilder/internal/secret"
	"rebuilder/internal/sign"
	"rebuilder/internal/store"
	"rebuilder/internal/watch"
	"rebuilder/internal/web"
)

// AppConfig says how a daemon runs.
type AppConfig struct {
	Catalog  string // file
	State    string // directory of everything that the daemon keeps
	Database string // "postgres://..."; empty: SQLite in State
	Listen   string // "127.0.0.1:5540"
	Log      *slog.Logger
	// Env looks up secrets; os.Getenv when nil.
	Env func(string) string
}

// App is the whole daemon: all its parts are made and joined here, and nowhere else.
type App struct {
	cfg      AppConfig
	store    *store.Store
	engine   *durable.Engine
	builder  *buildkit.Pool
	forge    *github.Client // nil: the catalog has none
	loop     *reconcile.Loop
	runner   *rollout.Runner
	book     *advisory.Book
	judge    *judge.Judge
	vex      *judge.VEX
	rejudge  chan struct{}
	finder   *discover.Discoverer
	key      *sign.Key // nil: nothing is signed
	people   *announce.Announcer
	listener net.Listener
	server   *http.Server
	close    sync.Once
}

// NewApp opens everything that the daemon needs, in order, and closes what was opened when one thing cannot be.
// Nothing runs before Run, but the API answers from Run on.
func NewApp(ctx context.Context, cfg AppConfig) (app *App, err error) {
	if cfg.Env == nil {
		cfg.Env = os.Getenv
	}
	a := &App{cfg: cfg, rejudge: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	c, err := catalog.Load(cfg.Catalog)
	if err != nil {
		return nil, err
	}
	// What a person may have got wrong comes first, before anything is started or written.
	metrics := newTraffic()
	forge, err := a.forgeConfig(c, metrics)
	if err != nil {
		return nil, err
	}
	if a.key, err = signingKey(ctx, c, cfg.Env); err != nil {
		return nil, err
	}
	if a.listener, err = listen(cfg.Listen); err != nil {
		return nil, err
	}
	for _, dir := range []string{cfg.State, a.path("logs"), a.path("indexes")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	if a.store, err = store.Open(ctx, a.dsn(), cfg.Log); err != nil {
		return nil, err
	}
	if a.engine, err = durable.Open(ctx, a.store, durable.Config{Log: cfg.Log}); err != nil {
		return nil, err
	}
	reg, err := registry.New(registry.Config{Insecure: insecure(c), Log: cfg.Log, Observe: metrics.registry})
	if err != nil {
		return nil, err
	}
	if a.builder, err = buildkit.OpenPool(ctx, buildkit.PoolConfig{Workers: workersOf(c), Parallel: c.Builder.Parallel, Engine: buildkit.Config{
		Address: c.Builder.Address, Root: a.path("buildkit"), Insecure: insecure(c), Keychain: authn.DefaultKeychain, CacheBytes: c.Builder.Disk, Log: cfg.Log,
	}}); err != nil {
		return nil, err
	}
	packages, err := watch.New(watch.Config{Dir: a.path("indexes"), Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	if forge != nil {
		forge.Line = line.New(a.store, line.Config{Limits: line.Limits{PerMinute: c.Forge.WritesPerMinute, PerHour: c.Forge.WritesPerHour}, Log: cfg.Log})
		if a.forge, err = github.New(*forge); err != nil {
			return nil, err
		}
	}
	return a, a.join(c, reg, packages, metrics)
}

// listen opens the daemon's door.
func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, hint(fmt.Errorf("%s is taken: %w", address, syscall.EADDRINUSE), "another daemon may be running there: rebuilder status --server http://%s\nchoose another address with --listen", address)
	case err != nil:
		return nil, hint(err, "--listen is a host and a port: 127.0.0.1:5540")
	}
	return l, nil
}

// join makes the parts that decide out of the parts that do.
func (a *App) join(c *catalog.Catalog, reg *registry.Client, packages *watch.Watcher, metrics *traffic) error {
	var forge notify.Forge // nil, not a typed nil, when the catalog has none
	if a.forge != nil {
		forge = a.forge
	}
	var err error
	if a.finder, err = a.discoverer(reg, forge); err != nil {
		return err
	}
	obs := &observe.Observer{Registry: reg, Packages: packages, Forge: forge, Store: a.store, Secrets: secrets, Found: a.found, Now: time.Now, Log: a.cfg.Log}
	a.loop = reconcile.New(c, obs, a.store, a.cfg.Log, time.Now)
	a.people = a.announcing()
	if err := a.judges(c, obs); err != nil {
		return err
	}
	gates, err := a.gates(c, reg, obs)
	if err != nil {
		return err
	}
	a.runner, err = rollout.New(a.engine, a.store, obs, a.builder, reg, forge, a.loop.Catalog, rollout.Config{
		Timeout: c.Builder.Timeout, Logs: a.path("logs"), Log: a.cfg.Log, Changed: a.changed, Gates: gates,
	})
	if err != nil {
		return err
	}
	a.loop.Use(a.runner)
	a.loop.OnCatalog(a.follow)
	srv := api.New(api.Deps{
		Loop: a.loop, Store: a.store, Engine: a.builder, Judge: a.judge, Registry: reg, Log: a.cfg.Log, Now: time.Now, Version: version(), Ready: a.Ready, Logs: a.path("logs"),
		Token: a.cfg.Env("REBUILDER_API_TOKEN"), WebhookSecret: a.webhookSecret(c), Secret: a.hookSecret, Collectors: []prometheus.Collector{metrics.requests},
		Advice: api.Advice{Book: a.book, Weigher: a.judge, VEX: a.vex}, Rejudge: a.changed, Rollouts: a.runner, Hands: a.runner,
	})
	mux := http.NewServeMux()
	mux.Handle("/", web.Handler(web.Deps{Loop: a.loop, Store: a.store, Engine: a.builder, Judge: a.judge, Now: time.Now, Version: version(), Log: a.cfg.Log}))
	for _, p := range []string{"/api/", "/healthz", "/readyz", "/metrics", "/webhooks/"} {
		mux.Handle(p, srv.Handler())
	}
	a.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(a.cfg.Log.Handler(), slog.LevelDebug)}
	return nil
}

// Run serves until ctx ends. It returns nil when that was asked for.
func (a *App) Run(ctx context.Context) error {
	if err := a.engine.Launch(ctx); err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- a.server.Serve(a.listener) }()
	looking := make(chan struct{})
	go func() {
		defer close(looking)
		a.loop.Run(ctx)
	}()
	go a.book.Run(ctx, a.changed)
	go a.vex.Run(ctx, a.changed)
	go a.judge.Run(ctx, a.rejudge)
	go a.prune(ctx)
	go a.runner.Tend(ctx)
	go a.discover(ctx)
	go a.people.Run(ctx)
	a.cfg.Log.Info("ready", "url", a.URL(), "catalog", a.cfg.Catalog, "builder", a.builder.Address())
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", a.URL(), err)
	case <-ctx.Done():
	}
	a.runner.Stopping() // what happens from here on is the process going down, not an answer
	<-looking
	return nil
}

// The engine's own rows of what has ended are of no use after a month; the store keeps what people ask for.
const (
	pruneEvery = 6 * time.Hour
	pruneAge   = 30 * 24 * time.Hour
)

func (a *App) prune(ctx context.Context) {
	t := time.NewTicker(pruneEvery)
	defer t.Stop()
	for {
		if n, err := a.engine.Prune(ctx, pruneAge); err != nil && ctx.Err() == nil {
			a.cfg.Log.Warn("old workflows could not be removed", "error", err)
		} else if n > 0 {
			a.cfg.Log.Info("old workflows removed", "count", n)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// Close stops everything; nothing is left running. It is safe twice, and on an App that never ran.
func (a *App) Close() {
	a.close.Do(func() {
		if a.runner != nil {
			a.runner.Stopping()
		}
		if a.server != nil {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if err := a.server.Shutdown(ctx); err != nil {
				_ = a.server.Close()
			}
		}
		if a.listener != nil {
			_ = a.listener.Close()
		}
		if a.builder != nil {
			if err := a.builder.Close(); err != nil {
				a.cfg.Log.Warn("the builder did not stop as it should", "error", err)
			}
		}
		const patience = time.Second // steps that hold still never end by themselves
		if a.engine != nil {
			if err := a.engine.Close(patience); err != nil {
				a.cfg.Log.Debug("work in flight goes on at the next start", "error", err)
			}
		}
		if a.store != nil {
			if err := a.store.Close(); err != nil {
				a.cfg.Log.Warn("the database did not close as it should", "error", err)
			}
		}
	})
}

// URL is where the daemon answers.
func (a *App) URL() string { return "http://" + a.listener.Addr().String() }

// Builder is the daemon's own builder.
func (a *App) Builder() build.Builder { return a.builder }

// Ready says why the daemon cannot do its work now; nil when it can.
func (a *App) Ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return errors.Join(named("database", a.store.Q().QueryRow(ctx, `SELECT 1`).Scan(new(int))), named("builder", a.builder.Ping(ctx)))
}

func named(part string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", part, err)
}

func (a *App) path(name string) string { return filepath.Join(a.cfg.State, name) }

func (a *App) dsn() string {
	if a.cfg.Database != "" {
		return a.cfg.Database
	}
	return "sqlite:" + a.path("rebuilder.db")
}

// insecure lists the registries that the catalog allows without TLS.
func insecure(c *catalog.Catalog) []string {
	if !c.Registry.Insecure {
		return nil
	}
	host, _, _ := strings.Cut(c.Registry.Address, "/")
	return []string{host}
}

// forgeConfig says which forge and as whom; nil when the catalog has none.
func (a *App) forgeConfig(c *catalog.Catalog, t *traffic) (*github.Config, error) {
	if c.Forge.URL == "" {
		return nil, nil
	}
	cfg := &github.Config{BaseURL: c.Forge.URL, Log: a.cfg.Log, Transport: t.forge(http.DefaultTransport)}
	if c.Forge.App.ID == 0 {
		var err error
		cfg.Token, err = a.forgeToken(c)
		return cfg, err
	}
	cfg.App = &github.App{ID: c.Forge.App.ID, Key: func() ([]byte, error) { return a.appKey(c.Forge.App) }}
	_, err := cfg.App.Key()
	return cfg, err
}

// appKey reads the App's private key, anew each time that it is asked for.
func (a *App) appKey(app catalog.ForgeApp) ([]byte, error) {
	if app.KeyFile == "" {
		if v := a.cfg.Env(app.KeyEnv); v != "" {
			return []byte(v), nil
		}
		return nil, fmt.Errorf("no key for the forge's App: set %s, or app_key_file in [forge]", app.KeyEnv)
	}
	f, err := os.Open(app.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("key of the forge's App ([forge] app_key_file): %w", err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSecret))
}

// forgeToken reads the token anew each time, so that it can be changed without a restart.
func (a *App) forgeToken(c *catalog.Catalog) (func(context.Context) (string, error), error) {
	read := func(context.Context) (string, error) {
		if v := a.cfg.Env(c.Forge.TokenEnv); v != "" {
			return v, nil
		}
		if c.Forge.TokenFile == "" {
			return "", fmt.Errorf("no token for the forge: set %s, or token_file in [forge]", c.Forge.TokenEnv)
		}
		b, err := os.ReadFile(c.Forge.TokenFile)
		if err != nil {
			return "", fmt.Errorf("token for the forge ([forge] token_file): %w", err)
		}
		token := strings.TrimSpace(string(b))
		if token == "" {
			return "", fmt.Errorf("token for the forge ([forge] token_file): %s is empty", c.Forge.TokenFile)
		}
		return token, nil
	}
	_, err := read(context.Background())
	return read, err
}

// secrets is what finds keys and passwords in images.
func secrets() (func(path string, content []byte) []inventory.Secret, error) {
	f, err := secret.Shared()
	if err != nil {
		return nil, err
	}
	return f.Find, nil
}

// judges makes the one judge of the daemon.
func (a *App) judges(c *catalog.Catalog, obs *observe.Observer) error {
	a.judge = &judge.Judge{
		Store: a.store, Inventory: obs.Inventory, World: func() *observe.World { return a.loop.Last().World }, Catalog: a.loop.Catalog,
		Version: version(), Now: time.Now, Log: a.cfg.Log, Due: a.loop.Wake,
	}
	var err error
	if a.book, err = advisory.New(a.store, advisory.Config{Sources: sourcesOf(c), Log: a.cfg.Log}); err != nil {
		return err
	}
	a.judge.Advisories = judge.Book{Book: a.book}
	a.vex = &judge.VEX{Store: a.store, Catalog: a.loop.Catalog, Now: time.Now, Log: a.cfg.Log}
	a.judge.Statements = a.vex
	a.loop.Judge(a.book)
	for _, s := range c.Scanners {
		scanner, err := scan.New(s.Name, scan.Config{Command: s.Command, Database: s.Database, Timeout: s.Timeout, Memory: s.Memory, Temp: a.cfg.State})
		if err != nil {
			return err
		}
		a.judge.Scanners = append(a.judge.Scanners, scanner)
	}
	return nil
}

// workersOf are the builders of a catalog; none: the one that [builder] says.
func workersOf(c *catalog.Catalog) []buildkit.WorkerConfig {
	var out []buildkit.WorkerConfig
	for _, w := range c.Workers {
		out = append(out, buildkit.WorkerConfig{Name: w.Name, Address: w.Address, Platforms: w.Platforms, Parallel: w.Parallel, Drain: w.Drain,
			TLS: buildkit.TLS{CA: w.CA, Cert: w.Cert, Key: w.Key, ServerName: w.ServerName}})
	}
	return out
}

// follow takes over what a changed catalog says of builders and advisories. Images are judged again by themselves: verdicts
// rest on policies.
func (a *App) follow(c *catalog.Catalog) {
	if err := a.book.Use(sourcesOf(c)); err != nil {
		a.cfg.Log.Error("the catalog's sources of advisories are not used", "error", err)
	}
	go func() { // builders may be slow to answer, and the loop is not to wait
		if err := a.builder.SetWorkers(context.Background(), workersOf(c)); err != nil {
			a.cfg.Log.Error("the catalog's builders are not used", "error", err)
		}
	}()
	a.changed()
}

// changed is called when a rollout's state, advisories or exceptions are others: there may be something to judge, and
// something to do next.
func (a *App) changed() {
	select {
	case a.rejudge <- struct{}{}:
	default:
	}
	a.people.Wake()
	a.loop.Wake()
}

// sourcesOf are the sources of advisories, and of facts on them.
func sourcesOf(c *catalog.Catalog) []advisory.Source {
	var out []advisory.Source
	for _, s := range c.Advisories {
		if s.Kind != catalog.OpenVEX {
			out = append(out, advisory.Source{Name: s.Name, Kind: advisory.Kind(s.Kind), Path: s.Path, URL: s.URL, Ecosystems: s.Ecosystems, Interval: s.Interval})
		}
	}
	return out
}

// gates are what candidates pass before they are promoted.
func (a *App) gates(c *catalog.Catalog, reg *registry.Client, obs *observe.Observer) (rollout.Gates, error) {
	documents := judge.Documents{Registry: reg, Inventory: obs.Inventory, Version: version(), Builder: c.Signing.Builder}
	signatures := judge.Signatures{Registry: reg, Catalog: a.loop.Catalog}
	g := rollout.Gates{Judge: a.judge, Tester: a.builder, Secret: a.buildSecret, Rebaser: rebaser{reg}}
	if a.key != nil {
		signer := sign.New(a.key, reg)
		documents.Attester, g.Signer, signatures.Ours = signer, signer, a.key.Public()
	}
	g.Documents, g.Verifier = documents, signatures
	if a.forge != nil {
		g.Token = a.forge.Token
	}
	return g, nil
}

// maxSecret bounds one secret of a build, in bytes.
const maxSecret = 1 << 20

// buildSecret reads a build's secret anew for each build, so that it can be changed without a restart.
func (a *App) buildSecret(s catalog.BuildSecret) ([]byte, error) {
	if s.Env != "" {
		if v := a.cfg.Env(s.Env); v != "" {
			return []byte(v), nil
		}
		return nil, fmt.Errorf("the environment variable %s is not set", s.Env)
	}
	f, err := os.Open(s.File)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(b) > maxSecret {
		err = fmt.Errorf("%s has more than %d bytes", s.File, maxSecret)
	}
	return b, err
}

func (a *App) webhookSecret(c *catalog.Catalog) string {
	if c.Forge.WebhookSecretEnv == "" {
		return ""
	}
	return a.cfg.Env(c.Forge.WebhookSecretEnv)
}
