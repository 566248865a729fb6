package discover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/notify"
	"rebuilder/internal/registry"
	"rebuilder/internal/store"
)

// Registry is what is asked of OCI registries.
type Registry interface {
	// Repositories and Tags return one page and the cursor of the next; registry.ErrNoCatalog, registry.ErrNotFound.
	Repositories(ctx context.Context, registry, cursor string) (names []string, next string, err error)
	Tags(ctx context.Context, repo, cursor string) (tags []string, next string, err error)
	// Digest returns what a reference points to; the zero hash when nothing is there.
	Digest(ctx context.Context, ref string) (v1.Hash, error)
	Describe(ctx context.Context, ref string) (registry.Description, error)
	// Passing says that an error may be gone the next time, Limited that the registry asks to come later.
	Passing(err error) bool
	Limited(err error) bool
}

// Forge is what is asked of the code host; errors are notify.ErrNotFound and *notify.RateLimited as there.
type Forge interface {
	Repositories(ctx context.Context, org, cursor string) (repos []notify.Listed, next string, rate notify.Rate, err error)
	Repository(ctx context.Context, repo string) (notify.Listed, error)
	Packages(ctx context.Context, org, cursor string) (names []string, next string, rate notify.Rate, err error)
	Head(ctx context.Context, repo, branch string) (commit string, err error)
	Tree(ctx context.Context, repo, sha string, recursive bool) (notify.Tree, error)
	Blob(ctx context.Context, repo, sha string) ([]byte, error)
	Passing(err error) bool
}

// Config is how much to do. The zero value works.
type Config struct {
	Registry Registry
	Forge    Forge // nil when the catalog has none
	Store    *store.Store
	Now      func() time.Time // the store's clock when nil
	Log      *slog.Logger     // nil discards

	// RegistryRequests bounds one slice of one registry, 1,000 when zero; ForgeRequests one slice of all organisations
	// together, 200 when zero. What was begun is ended, so a slice may take a few more.
	RegistryRequests, ForgeRequests int
	// Pause lies between two slices of one place; 10 minutes when zero.
	Pause time.Duration
	// Tags is how many of a repository's tags are looked at; 5 when zero.
	Tags int
	// PackageHosts are the registries whose repositories the forge lists; that of the catalog's forge when empty: "ghcr.io"
	// for GitHub, "containers.ghe.example.com" for a GitHub Enterprise Server.
	PackageHosts []string
}

// Discoverer walks. Its Run is to be called by one goroutine at a time.
type Discoverer struct {
	cfg    Config
	judged string // the catalog by which everything was judged last
}

// New checks the configuration; it looks at nothing.
func New(cfg Config) (*Discoverer, error) {
	if cfg.Registry == nil || cfg.Store == nil {
		return nil, errors.New("discover: a registry client and a store are needed")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return time.UnixMilli(cfg.Store.Now()) }
	}
	cfg.RegistryRequests, cfg.ForgeRequests, cfg.Tags = or(cfg.RegistryRequests, 1000), or(cfg.ForgeRequests, 200), or(cfg.Tags, 5)
	cfg.Pause = or(cfg.Pause, 10*time.Minute)
	return &Discoverer{cfg: cfg}, nil
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Report is what one Run did.
type Report struct {
	Places []PlaceReport // in the order of the catalog: registries, then organisations
	Judged int           // rows that mean something else by the catalog or the inventories of now
	Next   time.Time     // when to run again; zero when discovery is off
}

// News says that there is something else to see than before.
func (r Report) News() bool {
	return r.Judged > 0 || slices.ContainsFunc(r.Places, func(p PlaceReport) bool { return p.Found+p.Changed+p.Gone > 0 })
}

// PlaceReport is what was done in one place.
type PlaceReport struct {
	Place    string
	Walked   bool // it was due
	Complete bool // the walk came to its end
	Requests int
	Found    int // rows that are new
	Changed  int // rows whose digest or commit moved
	Gone     int
	Problem  string // why the slice ended early; empty when it did not
	Next     time.Time
}

// HeartbeatPrefix and a place name the heartbeat of its walk.
const HeartbeatPrefix = "discovery/"

// Run does a slice of each place that is due, and says when to come again. What goes wrong in one place is in its report and
// its heartbeat, and does not stop the others; an error is ctx's or the database's. What was found in places that the
// catalog names no more is forgotten. A catalog without [discovery] forgets everything.
func (d *Discoverer) Run(ctx context.Context, c *catalog.Catalog) (Report, error) {
	places := d.places(c)
	var keep []string
	for _, p := range places {
		keep = append(keep, p.name)
	}
	err := d.cfg.Store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		return store.ForgetPlaces(ctx, q, HeartbeatPrefix, keep)
	})
	if err != nil || len(places) == 0 {
		return Report{}, err
	}
	var report Report
	if report.Judged, err = d.refresh(ctx, c); err != nil {
		return report, err
	}
	for _, p := range places {
		one, err := d.visit(ctx, c, p)
		if err != nil {
			return report, fmt.Errorf("discover %s: %w", p.name, err)
		}
		report.Places = append(report.Places, one)
		if report.Next.IsZero() || one.Next.Before(report.Next) {
			report.Next = one.Next
		}
	}
	return report, nil
}

// indexed bounds how many inventories one Run makes findable; the next one goes on.
const indexed = 1000

// refresh makes new inventories findable, and judges anew what was found when there are any, or another catalog. It returns
// how many rows mean something else now.
func (d *Discoverer) refresh(ctx context.Context, c *catalog.Catalog) (changed int, err error) {
	const at = 20 // an inventory takes up to 200 kB
	fresh := 0
	for n := at; n == at && fresh < indexed; fresh += n {
		if n, err = store.IndexAncestors(ctx, d.cfg.Store.Q(), at); err != nil {
			return 0, err
		}
	}
	if fresh == 0 && d.judged == c.SHA256 {
		return 0, nil
	}
	if changed, err = (judge{d.cfg.Store, knownOf(c)}).again(ctx); err != nil {
		return changed, err
	}
	d.judged = c.SHA256
	return changed, nil
}

// place is a registry, or a part of one, or an organisation.
type place struct {
	name   string
	org    string // of the forge; empty for a registry
	budget int
}

func (d *Discoverer) places(c *catalog.Catalog) (places []place) {
	add := func(p place) {
		if !slices.ContainsFunc(places, func(o place) bool { return o.name == p.name }) {
			places = append(places, p)
		}
	}
	for _, r := range c.Discovery.Registries {
		add(place{name: strings.TrimSuffix(r, "/"), budget: d.cfg.RegistryRequests})
	}
	for _, o := range c.Discovery.Organizations {
		add(place{name: o, org: o, budget: max(1, d.cfg.ForgeRequests/len(c.Discovery.Organizations))})
	}
	return places
}

// packageHosts are the registries whose repositories the catalog's forge lists.
func (d *Discoverer) packageHosts(c *catalog.Catalog) []string {
	if len(d.cfg.PackageHosts) > 0 {
		return d.cfg.PackageHosts
	}
	switch host := webHost(c.Forge.URL); host {
	case "forge":
		return nil
	case "github.com":
		return []string{"ghcr.io"}
	default:
		return []string{"containers." + host}
	}
}

// webHost is the host that people know a forge by.
func webHost(api string) string {
	u, err := url.Parse(api)
	if err != nil || u.Host == "" {
		return "forge"
	}
	if u.Host == "api.github.com" {
		return "github.com"
	}
	return strings.TrimPrefix(u.Host, "api.")
}
