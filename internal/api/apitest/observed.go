package apitest

import (
	"context"
	"time"

	"rebuilder/internal/graph"
	"rebuilder/internal/observe"
	"rebuilder/internal/plan"
	"rebuilder/internal/reconcile"
	"rebuilder/internal/store"
)

// observed adds to a calm world what discovery found, an upstream whose newer digest is not taken yet, an image whose
// platforms differ, and one that claims a parent of which nobody knows.
func observed(snap *reconcile.Snapshot) {
	const (
		amd, arm = "linux/amd64", "linux/arm64"
		fork     = registryHost + "/team/fork:main"
	)
	on := func(child, platform, parent, digest string, e graph.Evidence) graph.Edge {
		return graph.Edge{Parent: parent, Child: child, Kind: graph.Inherits, Evidence: e, Platform: platform, Digest: Digest(digest).String()}
	}
	g := theGraph()
	nodes := append(g.Nodes(), graph.Node{Name: fork, Kind: graph.Observed}, graph.Node{Name: "forge/acme/tool", Kind: graph.Observed})
	edges := append(g.Edges(), on("base/nginx", amd, "base/debian", "base/debian", graph.FromLayers), on("base/nginx", arm, "base/debian", "base/debian old", graph.FromProvenance),
		on(fork, "", "base/debian", "base/debian old", graph.FromLayers),
		graph.Edge{Parent: "base/python", Child: "forge/acme/tool", Kind: graph.Inherits, Evidence: graph.FromRecipe, Where: "Dockerfile:1"})
	g, err := graph.New(nodes, edges)
	if err != nil {
		panic(err) // the fixture itself is wrong
	}
	u := snap.World.Facts.Upstreams["upstream/debian"]
	u.Untaken = &plan.Untaken{Digest: Digest("upstream/debian new"), Reason: "points to " + Digest("upstream/debian new").Hex[:12] + ", which has no linux/arm64 yet: it is taken when it is complete, or after a day",
		Since: ago(time.Hour), Next: Now().Add(23 * time.Hour), Who: "who publishes it"}
	snap.World.Facts.Upstreams["upstream/debian"] = u
	snap.Plan.NotDone = append(snap.Plan.NotDone, plan.NotDone{Image: "upstream/debian", Reason: u.Reference + " " + u.Untaken.Reason, Since: u.Untaken.Since, Next: u.Untaken.Next, Who: u.Untaken.Who})
	snap.World.Graph = g
	snap.World.Unlisted = []observe.Unlisted{{Image: "site", Evidence: graph.FromAnnotation, Reference: "docker.io/library/golang", Digest: Digest("golang").String()}}
}

// places are the rows of discovery, and heartbeats of each kind.
func (w *World) places(ctx context.Context, q store.Querier, s Scenario) error {
	if s != Observed {
		return nil
	}
	for _, o := range []store.Observed{
		{Key: "registry/fork", Kind: store.ObservedImage, Place: registryHost, Name: registryHost + "/team/fork:main", Digest: Digest("fork").String(), LastSeen: ms(48 * time.Hour)},
		{Key: "forge/tool", Kind: store.ObservedRepository, Place: "acme on the forge", Name: "forge/acme/tool", State: "archived", LastSeen: ms(48 * time.Hour), Unknown: "whether an image is built from it"},
	} {
		if err := store.SaveObserved(ctx, q, o); err != nil {
			return err
		}
	}
	for _, h := range []store.Watcher{
		{Name: "packages", LastRun: ms(10 * time.Minute), LastOK: ms(10 * time.Minute), NextRun: ms(0)},
		{Name: "discovery/" + registryHost, LastRun: ms(10 * time.Hour), LastOK: ms(10 * time.Hour), NextRun: ms(4 * time.Hour)},
		{Name: "discovery/acme", LastRun: ms(time.Hour), LastOK: ms(time.Hour), NextRun: ms(-5 * time.Hour), Error: "api.forge.example.com: 401 Unauthorized"},
		{Name: "upstreams", LastRun: ms(2 * time.Hour), LastOK: ms(2 * time.Hour), NextRun: ms(110 * time.Minute)},
		{Name: "refresh", NextRun: ms(-15 * time.Hour)},
	} {
		if err := store.SaveWatcher(ctx, q, h); err != nil {
			return err
		}
	}
	return nil
}
