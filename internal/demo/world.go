package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	example "rebuilder/examples/demo"
	"rebuilder/internal/build"
	"rebuilder/internal/catalog"
	"rebuilder/internal/demo/debrepo"
	"rebuilder/internal/demo/diskregistry"
	"rebuilder/internal/demo/forge"
	"rebuilder/internal/demo/mirror"
)

// World is a running world. All its methods may be called from several goroutines.
type World struct {
	Dir            string // absolute
	Catalog        string // path of the world's own catalog.toml
	Token          string // the daemon's token for the forge; also in the file that the catalog names
	WebhookSecret  string
	DaemonAddress  string // "127.0.0.1:5540": free when the world was made, for the daemon to listen on
	RegistryHost   string // "127.0.0.1:5510"
	ForgeURL       string // "http://127.0.0.1:5520"
	PackagesURL    string // "http://127.0.0.1:5530/debian"
	Codename       string // "bookworm"
	StateDirectory string // below Dir, for the daemon's own state

	options  Options
	catalog  *catalog.Catalog
	sources  mirror.Sources
	registry *diskregistry.Registry
	forge    *forge.Forge
	packages *debrepo.Repository
	ci       *ci
	closers  []func() error // in the order of closing
	once     sync.Once

	mu    sync.Mutex // guards state; held by one step of set-up at a time
	state *state
}

// New makes or resumes the world in o.Dir and starts its servers.
func New(ctx context.Context, o Options) (*World, error) {
	w, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := w.start(ctx); err != nil {
		_ = w.Close()
		return nil, err
	}
	return w, nil
}

// prepare checks the options and locks the directory.
func prepare(ctx context.Context, o Options) (*World, error) {
	if o.Dir == "" || o.Cache == "" {
		return nil, errors.New("make demo world: Dir and Cache are needed")
	}
	if o.Example == nil {
		o.Example = example.FS
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	sources, err := mirror.Discover(ctx)
	if err != nil {
		return nil, err
	}
	if sources.Architecture != "amd64" {
		return nil, fmt.Errorf("the demo's images are for amd64; this machine is %s", sources.Architecture)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make demo world: %w", err)
	}
	unlock, err := lockWorld(dir)
	if err != nil {
		return nil, err
	}
	return &World{
		Dir: dir, options: o, sources: sources,
		closers: []func() error{func() error { unlock(); return nil }},
	}, nil
}

// start reads or makes the state and starts the servers.
func (w *World) start(ctx context.Context) error {
	s, err := readState(w.Dir)
	if err != nil {
		return err
	}
	if s == nil {
		s = newState(w.sources.Codename, w.options.Small)
		s.Addresses = preferredAddresses()
		if w.options.OwnPorts {
			s.Addresses = ownAddresses()
		}
	}
	open, err := listen(ctx, &s.Addresses, s.Written)
	if err != nil {
		return err
	}
	w.state = s
	w.fill()
	if err := w.write(); err != nil {
		open.close()
		return err
	}
	if err := w.serve(open); err != nil {
		open.close()
		return err
	}
	return nil
}

// fill sets the public fields from the state.
func (w *World) fill() {
	s := w.state
	w.Catalog = filepath.Join(w.Dir, "catalog.toml")
	w.StateDirectory = filepath.Join(w.Dir, "daemon")
	w.Token, w.WebhookSecret, w.Codename = s.DaemonToken, s.WebhookSecret, s.Codename
	w.DaemonAddress, w.RegistryHost = s.Addresses.Daemon, s.Addresses.Registry
	w.ForgeURL = "http://" + s.Addresses.Forge
	w.PackagesURL = "http://" + s.Addresses.Packages + "/debian"
}

// write writes the world's files and loads its catalog. The state comes first: it says that the directory is a world's.
func (w *World) write() error {
	if err := w.state.save(w.Dir); err != nil {
		return err
	}
	if !w.state.Written {
		if err := copyExample(w.Dir, w.options.Example, w.state); err != nil {
			return err
		}
	}
	c, err := catalog.Load(w.Catalog)
	if err != nil {
		return err
	}
	w.catalog = c
	if c.Forge.TokenFile != "" {
		if err := writeFile(c.Forge.TokenFile, []byte(w.Token+"\n"), 0o600); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(w.StateDirectory, 0o755); err != nil {
		return err
	}
	w.state.Written = true
	return w.state.save(w.Dir)
}

// serve starts the three servers and CI.
func (w *World) serve(open listeners) error {
	log := w.options.Log
	var err error
	if w.registry, err = diskregistry.Open(filepath.Join(w.Dir, "registry"), log); err != nil {
		return err
	}
	w.closeFirst(w.registry.Close)
	w.packages, err = debrepo.Open(filepath.Join(w.Dir, "packages"), debrepo.Config{Codename: w.Codename})
	if err != nil {
		return err
	}
	w.ci = newCI(w.catalog, w.ForgeURL, w.options.Builder, log.With("part", "ci"))
	w.closeFirst(w.ci.close)
	config := forge.Config{
		Dir: filepath.Join(w.Dir, "forge"), BaseURL: w.ForgeURL, Log: log.With("part", "forge"),
		OnPush: w.ci.pushed, OnDispatch: w.ci.dispatched,
	}
	if w.options.WebhookPath != "" {
		config.WebhookURL, config.WebhookSecret = "http://"+w.DaemonAddress+w.options.WebhookPath, w.WebhookSecret
	}
	if w.forge, err = forge.New(config); err != nil {
		return err
	}
	w.closeFirst(w.forge.Close)
	w.forge.AddUser(daemonUser, w.state.DaemonToken)
	w.forge.AddUser(reviewerUser, w.state.ReviewerToken)

	packages := http.NewServeMux()
	packages.Handle("/debian/", http.StripPrefix("/debian", w.packages))
	for _, server := range []*http.Server{
		serve(open.registry, wrap(w.registry, w.options.WrapRegistry), log),
		serve(open.forge, wrap(w.forge, w.options.WrapForge), log),
		serve(open.packages, wrap(packages, w.options.WrapPackages), log),
	} {
		w.closeFirst(server.Close)
	}
	return nil
}

// Users of the forge.
const (
	daemonUser   = "rebuilder[bot]"
	reviewerUser = "reviewer"
)

func wrap(h http.Handler, with func(http.Handler) http.Handler) http.Handler {
	if with == nil {
		return h
	}
	return with(h)
}

func (w *World) closeFirst(f func() error) { w.closers = slices.Insert(w.closers, 0, f) }

// Close stops everything that the world started. It is safe to call twice.
func (w *World) Close() error {
	var err error
	w.once.Do(func() {
		for _, f := range w.closers {
			err = errors.Join(err, f())
		}
	})
	return err
}

// Setup fills the registry and the package repository. It is safe to repeat: what is there is left alone.
func (w *World) Setup(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state.SetUp {
		return nil
	}
	contents, err := mirror.Fetch(ctx, w.sources, mirror.Config{
		Cache:    w.options.Cache,
		Install:  []string{"python3-minimal", "nginx-light"},
		Progress: func(s string) { w.say("%s", s) },
		Warn:     func(s string, err error) { w.options.Log.Warn(s, "error", err); w.say("%s", s) },
	})
	if err != nil {
		return err
	}
	u, before, extra, err := w.updateOf(ctx, contents)
	if err != nil {
		return fmt.Errorf("prepare the update: %w", err)
	}
	if _, err := w.packages.Publish(ctx, append(before, contents.Packages...)...); err != nil {
		return err
	}
	w.say("package repository: %d packages of %s main", len(contents.Packages)+len(before), w.Codename)
	if err := w.pushUpstream(ctx, contents, extra); err != nil {
		return err
	}
	w.state.Update, w.state.SetUp = u, true
	return w.state.save(w.Dir)
}

// pushUpstream pushes the distribution's image under the name that the catalog gives it.
func (w *World) pushUpstream(ctx context.Context, c *mirror.Contents, extra map[string][]byte) error {
	if len(w.catalog.Upstreams) != 1 {
		return fmt.Errorf("%s has %d upstream images, want 1", w.Catalog, len(w.catalog.Upstreams))
	}
	ref, err := name.NewTag(w.catalog.Upstreams[0].Image)
	if err != nil {
		return err
	}
	key, err := w.packages.PublicKey()
	if err != nil {
		return err
	}
	img, err := upstream{
		rootFS: c.RootFS, codename: w.Codename, arch: w.sources.Architecture,
		packagesURL: w.PackagesURL, key: key, created: c.Made, extra: extra,
	}.image()
	if err != nil {
		return fmt.Errorf("make %s: %w", ref, err)
	}
	if err := remote.Write(ref, img, remote.WithContext(ctx)); err != nil {
		return fmt.Errorf("push %s: %w", ref, err)
	}
	w.say("pushed %s", ref)
	return nil
}

// SetBuilder gives the forge's CI its builder, or another one. Builds that wait for one start.
func (w *World) SetBuilder(b build.Builder) { w.ci.setBuilder(b) }

// CI returns the last build of each application image, sorted by image.
func (w *World) CI() []CIBuild { return w.ci.builds() }

// WaitCI waits for a build, among the last of each image, of which ok is true.
func (w *World) WaitCI(ctx context.Context, ok func(CIBuild) bool) (CIBuild, error) {
	return w.ci.wait(ctx, ok)
}

func (w *World) say(format string, args ...any) {
	if w.options.Progress != nil {
		w.options.Progress(fmt.Sprintf(format, args...))
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
