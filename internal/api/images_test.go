package api

import (
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/observe"
	"rebuilder/internal/plan"
	"rebuilder/internal/reconcile"
)

func TestHowAnImageIs(t *testing.T) {
	img := func(hex string) plan.Image {
		return plan.Image{Digest: v1.Hash{Algorithm: "sha256", Hex: hex}, FirstSeen: time.Unix(1, 0)}
	}
	g, err := graph.New([]graph.Node{{Name: "base/debian", Kind: graph.Base}, {Name: "web", Kind: graph.Application}},
		[]graph.Edge{{Parent: "base/debian", Child: "web", Kind: graph.Inherits, Evidence: graph.FromLayers}})
	if err != nil {
		t.Fatal(err)
	}
	failed := plan.NotDone{Image: "base/debian", Reason: "Dockerfile:3: unknown instruction", Who: "who keeps its recipe"}
	unwatched := plan.NotDone{Image: "base/debian", Reason: "ubuntu:24.04 is not watched", Unknown: true}
	for name, c := range map[string]struct {
		notDone   []plan.NotDone
		patched   bool
		base, web ImageState
	}{
		"all is well":                         {base: Current, web: Current},
		"not all is known":                    {notDone: []plan.NotDone{unwatched}, base: Unknown, web: Unknown},
		"stuck, with nothing newer to take":   {notDone: []plan.NotDone{failed}, base: Stuck, web: Current},
		"stuck, with a patch to take":         {notDone: []plan.NotDone{failed}, patched: true, base: Stuck, web: Behind},
		"stuck is not behind what is unknown": {notDone: []plan.NotDone{unwatched, failed}, base: Stuck, web: Current},
	} {
		t.Run(name, func(t *testing.T) {
			base := plan.Base{Image: img("aa")}
			if c.patched {
				base.Patches = make([]plan.Patch, 1)
			}
			v := &view{notDone: map[string][]plan.NotDone{"base/debian": c.notDone}, snap: reconcile.Snapshot{
				Catalog: &catalog.Catalog{Bases: []catalog.Base{{Name: "base/debian"}}, Applications: []catalog.Application{{Name: "web", Images: []catalog.ApplicationImage{{Name: "web"}}}}},
				World:   &observe.World{Graph: g, Facts: plan.Facts{Bases: map[string]plan.Base{"base/debian": base}, Applications: map[string]plan.Application{"web": {Image: img("bb")}}}},
				Plan:    &plan.Plan{},
			}}
			got := map[string]ImageState{}
			for _, i := range v.images() {
				got[i.Name] = i.State
			}
			if got["base/debian"] != c.base || got["web"] != c.web {
				t.Errorf("base %s, web %s; want %s, %s", got["base/debian"], got["web"], c.base, c.web)
			}
		})
	}
}
