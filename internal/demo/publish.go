package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"rebuilder/internal/demo/debrepo"
	"rebuilder/internal/demo/mirror"
)

// updateOf prepares what Publish will publish: the security suite's update, or a package of our own when there is none.
// It returns the packages that the repository must hold before, and the files that the upstream image needs more.
func (w *World) updateOf(ctx context.Context, c *mirror.Contents) (u *update, before []string, extra map[string][]byte, err error) {
	dir := filepath.Join(w.Dir, "update")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, nil, err
	}
	if c.Update == nil || w.options.MadeUpdate {
		return w.madeUpdate(ctx, dir, c.Status)
	}
	first := c.Update.Packages[0]
	u = &update{Package: first.Name, From: first.From, To: first.To, Source: SecuritySuite}
	for _, p := range c.Update.Packages {
		u.Packages = append(u.Packages, p.Name)
	}
	for _, deb := range c.Update.Debs {
		data, err := os.ReadFile(deb)
		if err != nil {
			return nil, nil, nil, err
		}
		if err := writeFile(filepath.Join(dir, filepath.Base(deb)), data, 0o644); err != nil {
			return nil, nil, nil, err
		}
		u.Files = append(u.Files, filepath.Base(deb))
	}
	return u, nil, nil, nil
}

// madeName is the package that the demo makes when the distribution has no update.
const madeName = "rebuilder-demo"

func (w *World) madeUpdate(ctx context.Context, dir, status string) (*update, []string, map[string][]byte, error) {
	made := func(version string) debrepo.Package {
		return debrepo.Package{
			Name: madeName, Version: version, Description: "stands in for a library with a security update",
			Files: map[string]string{"/usr/share/" + madeName + "/version": version + "\n"},
		}
	}
	old, err := debrepo.Build(ctx, dir, made("1.0"))
	if err != nil {
		return nil, nil, nil, err
	}
	patched, err := debrepo.Build(ctx, dir, made("1.1"))
	if err != nil {
		return nil, nil, nil, err
	}
	extra, err := installed(status, made("1.0").Control(), madeName, made("1.0").Files)
	if err != nil {
		return nil, nil, nil, err
	}
	u := &update{
		Package: madeName, From: "1.0", To: "1.1", Source: MadeForDemo,
		Packages: []string{madeName}, Files: []string{filepath.Base(patched)},
	}
	return u, []string{old}, extra, nil
}

// Publish adds the security update to the package repository. A second call changes nothing and returns the same.
func (w *World) Publish(ctx context.Context) (Published, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state.Published != nil {
		return *w.state.Published, nil
	}
	u := w.state.Update
	if u == nil {
		return Published{}, fmt.Errorf("publish: the world is not set up")
	}
	var debs []string
	for _, f := range u.Files {
		debs = append(debs, filepath.Join(w.Dir, "update", f))
	}
	at, err := w.packages.Publish(ctx, debs...)
	if err != nil {
		return Published{}, err
	}
	w.state.Published = &Published{At: at, Package: u.Package, From: u.From, To: u.To, Source: u.Source, Packages: u.Packages}
	w.say("published %s %s -> %s (%s)", u.Package, u.From, u.To, u.Source)
	return *w.state.Published, w.state.save(w.Dir)
}

// Add adds packages to the package repository, besides the security update and as often as wanted. It returns the time from
// which the new index can be read.
func (w *World) Add(ctx context.Context, debs ...string) (time.Time, error) {
	return w.packages.Publish(ctx, debs...)
}
