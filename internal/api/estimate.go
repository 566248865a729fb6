package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

const pastBuilds = 5 // of an image, that an estimate rests on

// impact tells how far a plan reaches in the graph of the last look; nil before the first.
func (r *Reader) impact(ctx context.Context, p *plan.Plan) (*Impact, error) {
	v, err := r.view(ctx)
	if err != nil || v.snap.World == nil || v.snap.Catalog == nil {
		return nil, err
	}
	var rebuilds []string
	for _, s := range p.Steps {
		if s.Action == plan.Rebuild {
			rebuilds = append(rebuilds, s.Image)
		}
	}
	past, err := store.Paces(ctx, r.Store.Q(), rebuilds, pastBuilds)
	if err != nil {
		return nil, err
	}
	owners := map[string]string{}
	for _, i := range v.each() {
		owners[i.Name] = i.Owner
	}
	parallel := v.snap.Catalog.Places()
	im := impactOf(plan.ImpactOf(p, v.snap.World.Graph, owners, plan.Pace{Builds: past, Parallel: parallel}), parallel)
	return &im, nil
}

func impactOf(im plan.Impact, parallel int) Impact {
	out := Impact{Images: im.Images, Reached: im.Reached, Below: orEmpty(im.Below), Kinds: im.Kinds, Owners: []Share{}, Tiers: []Share{}, Estimate: estimateOf(im.Estimate, parallel)}
	for _, s := range im.Owners {
		out.Owners = append(out.Owners, Share{Owner: s.Owner, Images: s.Images, Kinds: s.Kinds, Actions: s.Actions})
	}
	for _, s := range im.Tiers {
		out.Tiers = append(out.Tiers, Share{Tier: s.Tier + 1, Images: s.Images, Kinds: s.Kinds, Actions: s.Actions})
	}
	return out
}

func estimateOf(e plan.Estimate, parallel int) Estimate {
	return Estimate{Known: e.Known, Seconds: e.Takes.Seconds(), Sentence: estimateSentence(e, parallel), Rebuilds: e.Rebuilds, Images: e.Images, Builds: e.Builds,
		Never: orEmpty(e.Never), Parallel: parallel, Path: orEmpty(e.Path), Least: e.Least.Seconds()}
}

// estimateSentence says about how long, and what that rests on.
func estimateSentence(e plan.Estimate, parallel int) string {
	switch {
	case e.Rebuilds == 0:
		return "nothing is rebuilt here"
	case !e.Known:
		return fmt.Sprintf("not known: %s built before", noneOf(e.Rebuilds))
	}
	out := fmt.Sprintf("about %s (from %s of %d of %s", roundAge(e.Takes), Count(e.Builds, "past build"), e.Images, Count(e.Rebuilds, "image"))
	switch n := len(e.Never); {
	case n == 1:
		out += fmt.Sprintf("; %s has none and counts as the median of the others", e.Never[0])
	case n > 3:
		out += fmt.Sprintf("; %s and %d more have none and count as the median of the others", strings.Join(e.Never[:2], ", "), n-2)
	case n > 0:
		out += fmt.Sprintf("; %s have none and count as the median of the others", strings.Join(e.Never, ", "))
	}
	return out + fmt.Sprintf("; %s at once)", Count(parallel, "build"))
}

func noneOf(n int) string {
	if n == 1 {
		return "its only image was never"
	}
	return fmt.Sprintf("none of its %d images was ever", n)
}

// roundAge leaves out seconds where minutes say enough.
func roundAge(d time.Duration) string {
	if d > time.Minute {
		d = d.Round(time.Minute)
	}
	return Age(max(d, time.Second))
}
