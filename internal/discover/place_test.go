package discover_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/discover"
	"rebuilder/internal/notify"
	"rebuilder/internal/registry"
)

// one is a registry that has at most one image.
type one struct {
	repo, tag string // "" for none, and no catalog
	is        registry.Description
}

func (o one) Repositories(context.Context, string, string) ([]string, string, error) {
	if o.repo == "" {
		return nil, "", registry.ErrNoCatalog
	}
	return []string{o.repo}, "", nil
}

func (o one) Tags(context.Context, string, string) ([]string, string, error) {
	if o.tag == "" {
		return nil, "", registry.ErrNotFound
	}
	return []string{o.tag}, "", nil
}

func (o one) Digest(context.Context, string) (v1.Hash, error)                { return o.is.Digest, nil }
func (o one) Describe(context.Context, string) (registry.Description, error) { return o.is, nil }
func (one) Passing(error) bool                                               { return false }
func (one) Limited(error) bool                                               { return false }

// asked is a forge that notes whose packages it is asked for.
type asked struct {
	*lister
	orgs []string
}

func (a *asked) Packages(_ context.Context, org, _ string) ([]string, string, notify.Rate, error) {
	a.orgs = append(a.orgs, org)
	return nil, "", notify.Rate{}, nil
}

// Each forge has a registry of its own that lists nothing; the forge does.
func TestTheRegistryOfAForge(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		forge, registry string
		listed          bool
	}{
		{"https://api.github.com", "ghcr.io", true},
		{"https://api.github.com", "containers.github.com", false},
		{"https://ghe.example.com/api/v3", "containers.ghe.example.com", true},
		{"https://ghe.example.com/api/v3", "ghcr.io", false},
		{"https://api.acme.ghe.com", "containers.acme.ghe.com", true},
		{"", "ghcr.io", false},
	} {
		w.fresh()
		w.catalog.Forge.URL, w.catalog.Discovery = c.forge, discoveryOf(c.registry)
		w.catalog.Discovery.Organizations = []string{"acme"}
		hub := &asked{lister: w.code}
		d, err := discover.New(discover.Config{Registry: one{}, Forge: hub, Store: w.store, Now: func() time.Time { return w.now }})
		w.must(err)
		report, err := d.Run(t.Context(), w.catalog)
		w.must(err)
		p := report.Places[0]
		if p.Complete != c.listed || slices.Equal(hub.orgs, []string{"acme"}) != c.listed || !c.listed && !strings.Contains(p.Problem, "one by one") {
			t.Errorf("%s on %s: packages of %q, %+v", c.registry, c.forge, hub.orgs, p)
		}
	}
}

// An image that claims to have more layers than a database takes parameters stops nothing.
func TestAnImageOfTooManyLayers(t *testing.T) {
	w := newWorld(t)
	onlyRegistry(w)
	cfg, err := w.base.ConfigFile()
	w.must(err)
	layers := slices.Clone(cfg.RootFS.DiffIDs)
	for n := range 40_000 {
		layers = append(layers, v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", n)})
	}
	digest := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("d", 64)}
	deep := one{"web", "main", registry.Description{Digest: digest, Requests: 1, Platforms: []registry.PlatformDescription{{Platform: "linux/amd64", Manifest: digest, DiffIDs: layers}}}}
	d, err := discover.New(discover.Config{Registry: deep, Store: w.store, Now: func() time.Time { return w.now }})
	w.must(err)
	report, err := d.Run(t.Context(), w.catalog)
	w.must(err)
	if p := report.Places[0]; !p.Complete {
		t.Errorf("%+v", p)
	}
	w.expect("web:main <- base/debian inherits layers linux/amd64")
}
