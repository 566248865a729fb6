package main

import (
	"context"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/discover"
	"rebuilder/internal/graph"
	"rebuilder/internal/notify"
	"rebuilder/internal/registry"
	"rebuilder/internal/store"
)

// discoverer walks what [discovery] names. A forge that cannot list is as none.
func (a *App) discoverer(reg *registry.Client, forge notify.Forge) (*discover.Discoverer, error) {
	lists, _ := forge.(discover.Forge)
	return discover.New(discover.Config{Registry: reg, Forge: lists, Store: a.store, Log: a.cfg.Log})
}

// found are the images that nobody declared, as nodes of the graph.
func (a *App) found(ctx context.Context, c *catalog.Catalog) ([]graph.Node, []graph.Edge, error) {
	rows, err := store.ObservedAll(ctx, a.store.Q())
	if err != nil {
		return nil, nil, err
	}
	nodes, edges := discover.Nodes(rows, c)
	return nodes, edges, nil
}

// The catalog may come to name other places and patterns while the daemon runs, and stored inventories may come to be listed.
const discoverAgain = time.Minute

// discover walks slice by slice until ctx ends. What goes wrong in one place is in that place's heartbeat. The first look comes
// before the first walk: by what it read of the bases it is told what stands on them.
func (a *App) discover(ctx context.Context) {
	select {
	case <-a.loop.Looked():
	case <-ctx.Done():
		return
	}
	for {
		a.list(ctx)
		a.loop.Reload()
		report, err := a.finder.Run(ctx, a.loop.Catalog())
		if err != nil && ctx.Err() == nil {
			a.cfg.Log.Warn("discovery stopped", "error", err)
		}
		wait := discoverAgain
		if next := time.Until(report.Next); err == nil && !report.Next.IsZero() && next < wait {
			wait = max(next, time.Second)
		}
		if report.News() {
			a.loop.Wake()
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// listAtOnce bounds how many inventories are listed at one time.
const listAtOnce = 200

// list makes the packages findable of inventories that were stored before there was a list of packages.
func (a *App) list(ctx context.Context) {
	for ctx.Err() == nil {
		n, err := store.ListInventories(ctx, a.store, listAtOnce)
		if err != nil && ctx.Err() == nil {
			a.cfg.Log.Warn("stored packages could not be listed", "error", err)
		}
		if err != nil || n < listAtOnce {
			return
		}
	}
}
