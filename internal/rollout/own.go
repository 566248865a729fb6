package rollout

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/build"
	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// An application whose strategy is rebuild is built by us from its own repository, its Dockerfile untouched, and takes the
// way of a base from there on: looked into, judged, promoted to its own tag. What differs is here.

// builtByUs says that a node takes the way of a base.
func builtByUs(n store.Node) bool {
	return n.Kind == string(graph.Base) || n.Detail.Step.Action == plan.Rebuild || n.Detail.Step.Action == plan.Rebase
}

// own is an application's image as a base would be described; false when we do not build it.
func (r *Runner) own(name string) (catalog.Base, bool) {
	a, i, f := r.application(name)
	if f != nil || a.Strategy != catalog.RebuildByUs && a.Strategy != catalog.RebaseByUs {
		return catalog.Base{}, false
	}
	b := catalog.Base{Name: i.Name, Image: i.Image, Channel: "latest", Dockerfile: i.Dockerfile, Target: i.Target, Args: i.Args, Owner: a.Owner, Labels: a.Labels, Line: i.Line}
	if at := strings.LastIndex(i.Image, ":"); at > strings.LastIndex(i.Image, "/") {
		b.Image, b.Channel = i.Image[:at], i.Image[at+1:]
	}
	return b, true
}

// ownInputs is what a build of an application's commit takes in.
func (r *Runner) ownInputs(ctx context.Context, t Turn, b catalog.Base) (inputs, error) {
	if f := r.needless(ctx, t); f != nil {
		return inputs{}, f
	}
	n, err := store.GetNode(ctx, r.store.Q(), t.Rollout, t.Image)
	if err != nil {
		return inputs{}, err
	}
	app, img, f := r.application(t.Image)
	if f != nil {
		return inputs{}, f
	}
	facts, _, err := r.applicationFacts(ctx, app, t.Image)
	if err != nil {
		return inputs{}, err
	}
	wants, err := r.wants(ctx, facts)
	if err != nil {
		return inputs{}, err
	}
	if f, err := r.soundWants(ctx, wants); err != nil || f != nil {
		return inputs{}, orErr(f, err)
	}
	channel, err := r.registry.Digest(ctx, b.Reference())
	if err != nil {
		return inputs{}, err
	}
	out := inputs{Reference: b.Reference(), Before: n.Before, Step: n.Detail.Step, Rebase: app.Strategy == catalog.RebaseByUs, Tell: plan.TellKey(app.Name, wants)}
	if channel != (v1.Hash{}) {
		out.Channel = channel.String()
	}
	var its plan.Application
	for k, i := range app.Images {
		if i.Name == img.Name {
			its = facts[k]
		}
	}
	out.Inputs = plan.Inputs{Image: img.Name, Recipe: recipeOf(app, img, its.Commit), Platform: "linux/amd64"}
	out.Source = app.Repository + "@" + its.Commit
	for _, ref := range its.References {
		above, f := r.base(ref.Base)
		if f != nil {
			continue
		}
		d, err := v1.NewHash(wants[ref.Base])
		if err != nil {
			return out, &failure{State: store.Skipped, Reason: ref.Base + " has no image yet"}
		}
		if ref.Kind == graph.Inherits {
			out.Inputs.Platform = above.Platform
		}
		name := ref.Reference
		if ref.Pinned != (v1.Hash{}) {
			name += "@" + ref.Pinned.String()
		}
		out.Parents = append(out.Parents, plan.Pinned{Parent: plan.Parent{Name: ref.Base, Reference: name, Kind: ref.Kind, Where: fmt.Sprintf("%s:%d", ref.File, ref.Line)}, Digest: d})
	}
	out.Key = out.Inputs.Key()
	if out.Before != "" && out.Channel != out.Before {
		reason := fmt.Sprintf("%s points to %s and stood for %s when this was planned: it has moved, or is an index, and we build one platform", b.Reference(), short(out.Channel), short(out.Before))
		return out, &failure{State: store.Blocked, Reason: reason, Who: "owner of " + app.Repository}
	}
	out.Verified, err = r.verified(ctx, out.Inputs)
	return out, err
}

// recipeOf is what decides, beside its parents, what a build of an application's commit makes.
func recipeOf(app catalog.Application, img catalog.ApplicationImage, commit string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %q", app.Repository, commit, img.Dockerfile, img.Target, img.Args)) // fmt sorts maps
	return hex.EncodeToString(sum[:])
}

// ownRequest is what the builder is asked for.
func (r *Runner) ownRequest(ctx context.Context, b catalog.Base, o order) (build.Request, error) {
	repository, commit, _ := strings.Cut(o.Source, "@")
	req := build.Request{
		Image: b.Name, Git: r.catalog().Forge.CloneURL + "/" + repository + ".git#" + commit, Dockerfile: b.Dockerfile, Target: b.Target, Args: b.Args,
		Platform: o.Inputs.Platform, Repository: b.Image, Limits: r.limits(b), Network: build.Network(cmp.Or(b.Network, r.catalog().Builder.Network)), Affinity: affinity(o.Inputs),
	}
	for _, p := range pins(o.Inputs) {
		p.Optional = true // what its target does not reach
		req.Pins = append(req.Pins, p)
	}
	if r.cfg.Gates.Token == nil {
		return req, nil
	}
	token, err := r.cfg.Gates.Token(ctx, repository)
	req.GitToken = token
	return req, err
}
