package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/notify"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// Follow looks what has become of those who were told: merged, closed, built, proven. It only reads the world and writes
// the store, and changes nothing when nothing has changed; what people asked for and was cut off is finished first. One proposal that cannot be followed does not stop the others.
func (r *Runner) Follow(ctx context.Context, f plan.Facts) error {
	errs := []error{r.Finish(ctx), r.controls(ctx)}
	live, err := store.LiveProposals(ctx, r.store.Q())
	if err != nil {
		return err
	}
	for _, p := range live {
		if p.State == store.ProposalPlanned {
			continue // its workflow is at it
		}
		if err := r.follow(ctx, p, f); err != nil {
			errs = append(errs, fmt.Errorf("follow %s: %w", p.Key, err))
		}
	}
	return errors.Join(append(errs, r.withdraw(ctx, f))...)
}

func (r *Runner) follow(ctx context.Context, p store.Proposal, f plan.Facts) error {
	app := r.byName(p.Application)
	if app == nil {
		return r.finish(ctx, p, store.ProposalSuperseded, "no longer in the catalog", nil, f)
	}
	wasMerged := p.State == store.ProposalMerged
	if p.Number > 0 && !wasMerged && r.forge != nil {
		pr, err := r.forge.PullRequest(ctx, p.Repository, p.Number)
		if err != nil {
			return err
		}
		switch pr.State {
		case notify.Open:
			if again, err := r.outdated(ctx, p, pr, f); again || err != nil {
				return err
			}
			r.autoMerge(ctx, app, p, pr)
			if err := r.checked(ctx, app, p, pr); err != nil {
				return err
			}
		case notify.Merged:
			p.State, p.MergedAt = store.ProposalMerged, r.cfg.Now().UnixMilli()
			if err := r.merged(ctx, p, app); err != nil {
				return err
			}
		case notify.Closed:
			return r.finish(ctx, p, store.ProposalClosed, fmt.Sprintf("pull request #%d was closed without merging: this digest is not proposed again", p.Number), nil, f)
		}
	}
	if reason := moot(app, p, f); reason != "" {
		return r.finish(ctx, p, store.ProposalSuperseded, reason, nil, f)
	}
	there, err := r.arrivals(ctx, app, p, f)
	if err != nil {
		return err
	}
	if reason, all := arrived(app, p, there, f); all {
		return r.finish(ctx, p, store.ProposalBuilt, reason, there, f)
	}
	if reason := takenBack(app, p, f); wasMerged && reason != "" {
		return r.finish(ctx, p, store.ProposalClosed, reason, nil, f)
	}
	return r.partly(ctx, p, there, f)
}

func (r *Runner) byName(name string) *catalog.Application {
	c := r.catalog()
	if i := slices.IndexFunc(c.Applications, func(a catalog.Application) bool { return a.Name == name }); i >= 0 {
		return &c.Applications[i]
	}
	return nil
}

// arrival is an image of an application that has what it was told of.
type arrival struct {
	Digest string
	Proven bool // by its layers
	Reason string
}

// What an image arrived by.
const (
	byLayers = "its layers prove that it stands on the new base"
	byRecipe = "its recipe names the new base and its image is a new one; what is copied cannot be proven by layers"
	byFiles  = "its files name the new base"
	byNone   = "nothing was to be done"
)

// arrivals are the images of an application that are as the proposal wants them, by name.
func (r *Runner) arrivals(ctx context.Context, app *catalog.Application, p store.Proposal, f plan.Facts) (map[string]arrival, error) {
	there := map[string]arrival{}
	for _, i := range app.Images {
		a := f.Applications[i.Name]
		if !pinned(a, p.Wants) {
			continue
		}
		if builtFromNone(a, p.Wants) {
			there[i.Name] = arrival{Digest: a.Digest.String(), Reason: unbuilt(a)}
			continue
		}
		inherits, copies, ok := standing(f, a, p.Wants)
		if !ok {
			continue
		}
		now := arrival{Digest: a.Digest.String(), Proven: inherits, Reason: byLayers}
		if copies {
			var err error
			if now, ok, err = r.copied(ctx, p, i.Name, f); err != nil {
				return nil, err
			}
		}
		if ok {
			there[i.Name] = now
		}
	}
	return there, nil
}

// pinned says that what names a wanted base in other files than Dockerfiles, and can be written by us, names the digest.
func pinned(a plan.Application, wants map[string]string) bool {
	return !slices.ContainsFunc(a.Pins, func(ref plan.Reference) bool {
		return ref.Rewritable && wants[ref.Base] != "" && ref.Pinned.String() != wants[ref.Base]
	})
}

// builtFromNone says that an image is known to be built from none of the wanted bases.
func builtFromNone(a plan.Application, wants map[string]string) bool {
	return a.Problem == "" && a.Unknown == "" && a.Exists() && !slices.ContainsFunc(a.References, func(ref plan.Reference) bool { return wants[ref.Base] != "" })
}

func unbuilt(a plan.Application) string {
	if len(a.Pins) > 0 {
		return byFiles
	}
	return byNone
}

// arrived says that all images that name a base of the proposal are as it wants them.
func arrived(app *catalog.Application, p store.Proposal, there map[string]arrival, f plan.Facts) (reason string, all bool) {
	for _, i := range app.Images {
		a, ok := there[i.Name]
		if !ok && concerns(f, i.Name, p.Wants) {
			return "", false
		}
		if ok && reason == "" {
			reason = a.Reason
		}
	}
	return reason, len(there) > 0
}

// concerns says that an image names one of the bases, as far as is known.
func concerns(f plan.Facts, image string, wants map[string]string) bool {
	a, ok := f.Applications[image]
	if !ok || a.Problem != "" || a.Unknown != "" {
		return true
	}
	return slices.ContainsFunc(a.Named(), func(ref plan.Reference) bool { return wants[ref.Base] != "" })
}

// outdated has a pull request made again that cannot be merged any more because its branch has moved.
func (r *Runner) outdated(ctx context.Context, p store.Proposal, pr notify.PullRequest, f plan.Facts) (again bool, err error) {
	app := r.byName(p.Application)
	tip := f.Applications[app.Images[0].Name].Commit
	if pr.Outdated == "" || pr.Human || tip == "" || tip == p.BaseCommit {
		return false, nil
	}
	reason := fmt.Sprintf("pull request #%d %s: it is made again; its turn comes next", p.Number, pr.Outdated)
	defer r.cfg.Changed()
	return true, r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		if _, err := store.LockRollout(ctx, q, p.Rollout); err != nil {
			return err
		}
		if now, _, err := store.GetProposal(ctx, q, p.Key); err != nil || now.State != store.ProposalOpen {
			return err
		}
		p.State = store.ProposalPlanned
		if err := store.SaveProposal(ctx, q, p); err != nil {
			return err
		}
		return r.another(ctx, q, p, store.Move{Reason: reason, At: r.cfg.Now().UnixMilli(), Rule: "outdated"})
	})
}

// copied says whether an image that also, or only, takes files from wanted bases has arrived: when it is a new one. It is
// proven when it stands on a base that it did not stand on before.
func (r *Runner) copied(ctx context.Context, p store.Proposal, image string, f plan.Facts) (arrival, bool, error) {
	a := f.Applications[image]
	now := arrival{Digest: a.Digest.String(), Reason: byRecipe}
	n, err := store.GetNode(ctx, r.store.Q(), p.Rollout, image)
	switch {
	case errors.Is(err, store.ErrNoRows):
		now.Reason = byNone
		return now, true, nil
	case err != nil:
		return now, false, err
	case n.State == store.Done:
		return arrival{n.After, n.Detail.Proven, n.Reason}, true, nil
	case n.Detail.Seen == "" || n.Detail.Seen == now.Digest:
		return now, false, nil
	}
	before, known, err := store.GetInventory(ctx, r.store.Q(), n.Before)
	if err != nil || !known {
		return now, true, err
	}
	was := plan.Application{Image: plan.Image{Digest: before.Digest, DiffIDs: before.DiffIDs}, References: a.References}
	if inherits, _, _ := standing(f, a, p.Wants); inherits && !stoodOn(f, was, p.Wants) {
		now.Proven, now.Reason = true, byLayers
	}
	return now, true, nil
}

// standing says whether an image has what is wanted as far as can be seen: its layers begin with those of each wanted base
// that it inherits from, and its recipe pins no other digest of one that it copies from.
func standing(f plan.Facts, a plan.Application, wants map[string]string) (inherits, copies, ok bool) {
	for _, ref := range a.References {
		want := wants[ref.Base]
		switch {
		case want == "":
		case ref.Kind == graph.Inherits:
			inherits = true
		case ref.Pinned.Hex != "" && ref.Pinned.String() != want:
			return inherits, true, false
		default:
			copies = true
		}
	}
	return inherits, copies, a.Exists() && (inherits || copies) && stoodOn(f, a, wants)
}

// stoodOn says that the layers of an image begin with those of each wanted base that its recipe inherits from.
func stoodOn(f plan.Facts, a plan.Application, wants map[string]string) bool {
	for _, ref := range a.References {
		want := wants[ref.Base]
		b := f.Bases[ref.Base].Image
		if want != "" && ref.Kind == graph.Inherits && (b.Digest.String() != want || !a.StandsOn(b)) {
			return false
		}
	}
	return true
}

// moot says that no recipe of an application names a base any more of which it was told; empty when one does, or when that
// is not known.
func moot(app *catalog.Application, p store.Proposal, f plan.Facts) string {
	for _, i := range app.Images {
		a, ok := f.Applications[i.Name]
		if !ok || a.Problem != "" || a.Unknown != "" {
			return ""
		}
		if slices.ContainsFunc(a.Named(), func(ref plan.Reference) bool { return p.Wants[ref.Base] != "" }) {
			return ""
		}
	}
	return "no file of " + app.Repository + " names these bases any more"
}

// takenBack says that what was merged is not in the repository any more; empty when it is, or when that is not known.
func takenBack(app *catalog.Application, p store.Proposal, f plan.Facts) string {
	for _, i := range app.Images {
		a, ok := f.Applications[i.Name]
		if !ok || a.Problem != "" || a.Unknown != "" {
			return ""
		}
		for _, ref := range a.Named() {
			if want := p.Wants[ref.Base]; want != "" && ref.Rewritable && ref.Pinned.String() != want {
				return fmt.Sprintf("pull request #%d was merged, and %s:%d names another digest of %s since: this one is not proposed again", p.Number, ref.File, ref.Line, ref.Base)
			}
		}
	}
	return ""
}

func (r *Runner) merged(ctx context.Context, p store.Proposal, app *catalog.Application) error {
	return r.eachNode(ctx, p, func(q store.Querier, n store.Node) error {
		_, err := store.MoveNode(ctx, q, store.Move{Rollout: p.Rollout, Image: n.Image, To: store.Telling, At: p.MergedAt, Rule: "follow", Who: "CI of " + app.Repository,
			Reason: fmt.Sprintf("pull request #%d is merged; waits for its next image", p.Number)})
		return err
	})
}

// partly ends the nodes of the images that are there while others of the application are not yet, and remembers what the
// others look like before the merge.
func (r *Runner) partly(ctx context.Context, p store.Proposal, there map[string]arrival, f plan.Facts) error {
	nodes, err := r.nodesOf(ctx, r.store.Q(), p)
	if err != nil {
		return err
	}
	fresh := func(n store.Node) bool {
		a := f.Applications[n.Image]
		return p.State == store.ProposalOpen && a.Exists() && a.Digest.String() != n.Detail.Seen
	}
	if !slices.ContainsFunc(nodes, func(n store.Node) bool { return there[n.Image] != (arrival{}) || fresh(n) }) {
		return nil
	}
	return r.eachNode(ctx, p, func(q store.Querier, n store.Node) error {
		if a, ok := there[n.Image]; ok {
			return r.ended(ctx, q, p, n, store.Done, a)
		}
		if !fresh(n) {
			return nil
		}
		_, err := store.MoveNode(ctx, q, store.Move{Rollout: n.Rollout, Image: n.Image, To: n.State, Reason: n.Reason, Who: n.Who, At: r.cfg.Now().UnixMilli(), Rule: "follow",
			Detail: func(d *store.NodeDetail) { d.Seen = f.Applications[n.Image].Digest.String() }})
		return err
	})
}

// finish ends a proposal and its nodes, in one transaction: those that are there as done, the others as skipped. Nodes that
// another proposal of the application is not done with go on.
func (r *Runner) finish(ctx context.Context, p store.Proposal, state store.ProposalState, reason string, there map[string]arrival, f plan.Facts) error {
	p.State, p.Reason, p.EndedAt = state, reason, r.cfg.Now().UnixMilli()
	if state == store.ProposalBuilt {
		p.BuiltAt = p.EndedAt
	}
	others, err := r.others(ctx, p)
	if err != nil {
		return err
	}
	return r.eachNode(ctx, p, func(q store.Querier, n store.Node) error {
		a, ok := there[n.Image]
		if len(others) > 0 && (concerns(f, n.Image, others) || !concerns(f, n.Image, p.Wants)) {
			return r.remembered(ctx, q, n, a)
		}
		if !ok {
			return r.ended(ctx, q, p, n, store.Skipped, arrival{Reason: reason})
		}
		if n.Detail.Proven && !a.Proven {
			a.Proven, a.Reason = true, byLayers
		}
		return r.ended(ctx, q, p, n, store.Done, a)
	})
}

// remembered notes on a node that goes on that its layers prove a part of what it waits for.
func (r *Runner) remembered(ctx context.Context, q store.Querier, n store.Node, a arrival) error {
	if !a.Proven || n.Detail.Proven {
		return nil
	}
	_, err := store.MoveNode(ctx, q, store.Move{Rollout: n.Rollout, Image: n.Image, To: n.State, Reason: n.Reason, Who: n.Who, Next: n.Next, At: r.cfg.Now().UnixMilli(), Rule: "follow",
		Detail: func(d *store.NodeDetail) { d.Proven = true }})
	return err
}

// others are the bases that the application's other proposals of the rollout still wait for.
func (r *Runner) others(ctx context.Context, p store.Proposal) (map[string]string, error) {
	all, err := store.Proposals(ctx, r.store.Q(), p.Rollout)
	wants := map[string]string{}
	for _, o := range all {
		if o.Application == p.Application && o.Key != p.Key && (o.State == store.ProposalOpen || o.State == store.ProposalMerged) {
			maps.Copy(wants, o.Wants)
		}
	}
	return wants, err
}

// ended ends a node with what it was told by: its workflow may not have written that down yet.
func (r *Runner) ended(ctx context.Context, q store.Querier, p store.Proposal, n store.Node, to store.NodeState, a arrival) error {
	var diff []store.Change
	if a.Digest != "" {
		var err error
		if diff, err = differs(ctx, q, n.Before, a.Digest); err != nil {
			return err
		}
	}
	_, err := store.MoveNode(ctx, q, store.Move{Rollout: n.Rollout, Image: n.Image, To: to, Reason: a.Reason, After: a.Digest, At: r.cfg.Now().UnixMilli(), Rule: "follow",
		Detail: func(d *store.NodeDetail) {
			d.Key, d.URL, d.Number, d.Proven, d.Changes = p.Key, p.URL, p.Number, a.Proven, diff
		}})
	return err
}

// eachNode saves the proposal and calls f for each of its nodes, in one transaction. A proposal that has come to its end
// meanwhile, as one that is superseded does, stays as it is.
func (r *Runner) eachNode(ctx context.Context, p store.Proposal, f func(store.Querier, store.Node) error) error {
	defer r.cfg.Changed()
	return r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		if _, err := store.LockRollout(ctx, q, p.Rollout); err != nil {
			return err
		}
		if now, _, err := store.GetProposal(ctx, q, p.Key); err != nil || now.EndedAt > 0 {
			return err
		}
		if err := store.SaveProposal(ctx, q, p); err != nil {
			return err
		}
		nodes, err := r.nodesOf(ctx, q, p)
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if err := f(q, n); err != nil {
				return err
			}
		}
		return store.Finish(ctx, q, p.Rollout, r.cfg.Now().UnixMilli())
	})
}

// nodesOf are the images of the proposal's application that are being told, also those whose workflow has not yet
// written down that it told them.
func (r *Runner) nodesOf(ctx context.Context, q store.Querier, p store.Proposal) ([]store.Node, error) {
	app := r.byName(p.Application)
	nodes, err := store.Nodes(ctx, q, p.Rollout)
	return slices.DeleteFunc(nodes, func(n store.Node) bool {
		ours := n.Detail.Key == p.Key || app != nil && slices.ContainsFunc(app.Images, func(i catalog.ApplicationImage) bool { return i.Name == n.Image })
		held := n.State == store.Waiting && n.Waiting == 0 && n.Detail.Key != "" // told before, and left alone for a while
		return !ours || n.State != store.Telling && !held
	}), err
}

// differs compares what is inside two digests; the look that proved them has stored both.
func differs(ctx context.Context, q store.Querier, before, after string) ([]store.Change, error) {
	old, ok, err := store.GetInventory(ctx, q, before)
	if err != nil || !ok {
		return nil, err
	}
	now, ok, err := store.GetInventory(ctx, q, after)
	if err != nil || !ok {
		return nil, err
	}
	return changes(old, now), nil
}
