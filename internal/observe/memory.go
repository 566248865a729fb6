package observe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/inventory"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// hands notes which rollout has which image in hand. It is asked before the look and after it: what ended in between was
// seen as it was before, and must not be judged by that.
func (l *looking) hands(ctx context.Context) error {
	live, err := store.LiveNodes(ctx, l.Store.Q())
	if err != nil {
		return err
	}
	for _, n := range live {
		if n.State != store.Telling || n.Detail.Key == "" {
			l.busy[n.Image] = n.Rollout
			l.held[n.Image] = n.State == store.Waiting && n.Waiting == 0
		}
	}
	return nil
}

// memory adds what the store remembers: builds, attempts, and which rollout has an image in hand.
func (l *looking) memory(ctx context.Context) error {
	if err := l.hands(ctx); err != nil {
		return err
	}
	for _, b := range l.c.Bases {
		if err := l.remember(ctx, b, l.busy[b.Name]); err != nil {
			return fmt.Errorf("what is remembered of %s: %w", b.Name, err)
		}
	}
	for name, a := range l.facts.Applications {
		a.Busy, a.Held = l.busy[name], l.held[name]
		l.facts.Applications[name] = a
	}
	return l.told(ctx)
}

func (l *looking) remember(ctx context.Context, b catalog.Base, busy string) error {
	f, r := l.facts.Bases[b.Name], l.recipes[b.Name]
	f.Recipe, f.Problem, f.Parents, f.Busy = r.hash, r.problem, r.parents, busy
	if f.Exists() {
		if err := l.made(ctx, b, &f); err != nil {
			return err
		}
	}
	f.Unwatched, f.Doubt = r.unwatched, r.doubt
	if err := l.quarantined(ctx, b.Name, &f); err != nil {
		return err
	}
	err := l.fresh(ctx, b, &f)
	if err != nil {
		return err
	}
	if f.Attempt, err = l.attempt(ctx, l.inputs(b, f).Key()); err != nil {
		return err
	}
	l.facts.Bases[b.Name] = f
	return nil
}

// made adds from what the image on the channel was made, as far as we made it: by the last rebuild that changed nothing, or
// by its own.
func (l *looking) made(ctx context.Context, b catalog.Base, f *plan.Base) error {
	q, digest := l.Store.Q(), f.Digest.String()
	moves, err := store.Promotions(ctx, q, b.Name, 1)
	if err != nil {
		return err
	}
	// What was moved while we looked was seen as it was before.
	if len(moves) > 0 && moves[0].Channel == b.Channel && moves[0].At < l.facts.At.UnixMilli() {
		f.Promoted = moves[0].To
	}
	rec, found, err := l.unchanged(ctx, b.Name, digest)
	if err == nil && !found {
		rec, found, err = store.BuildOf(ctx, q, b.Name, digest)
	}
	if err != nil || !found {
		return err
	}
	l.used[b.Name] = rec.Detail.Parents
	if f.BuiltFrom = rec.Detail.Recipe; f.BuiltFrom != f.Recipe {
		f.Revision = revision(ctx, b.Context)
	}
	f.Parents = withUsed(f.Parents, rec.Detail.Parents)
	return nil
}

// recent is how many of an image's last turns are looked through.
const recent = 20

// unchanged finds the newest rebuild whose content was that of a digest, so that it was not promoted: the digest is as good
// as made by it. Without that it would look outdated for ever.
func (l *looking) unchanged(ctx context.Context, image, digest string) (store.Build, bool, error) {
	turns, err := store.LastNodes(ctx, l.Store.Q(), image, recent)
	if err != nil {
		return store.Build{}, false, err
	}
	for _, n := range turns {
		switch {
		case n.State == store.Done:
			return store.Build{}, false, nil // what is on the channel came later
		case n.State == store.Unchanged && n.Before == digest && n.Detail.Build != "":
			rec, err := store.GetBuild(ctx, l.Store.Q(), n.Detail.Build)
			if errors.Is(err, store.ErrNoRows) {
				return rec, false, nil
			}
			return rec, err == nil, err
		}
	}
	return store.Build{}, false, nil
}

// attempt is what is remembered under a key; nil when nothing is.
func (l *looking) attempt(ctx context.Context, key string) (*plan.Attempt, error) {
	a, found, err := store.GetAttempt(ctx, l.Store.Q(), key)
	if err != nil || !found {
		return nil, err
	}
	out := &plan.Attempt{Outcome: a.Outcome, Reason: a.Reason, Digest: a.Digest, Tries: a.Tries, At: time.UnixMilli(a.At), Gate: a.Gate}
	if a.Next > 0 {
		out.Next = time.UnixMilli(a.Next)
	}
	return out, nil
}

func withUsed(parents []plan.Parent, used map[string]string) []plan.Parent {
	out := make([]plan.Parent, len(parents))
	for i, p := range parents {
		p.Used = used[p.Name]
		out[i] = p
	}
	return out
}

// inputs are those of a build now.
func (l *looking) inputs(b catalog.Base, f plan.Base) plan.Inputs {
	in := plan.Inputs{Image: b.Name, Recipe: f.Recipe, Platform: b.Platform, State: f.State, Fresh: f.Fresh}
	for _, p := range f.Parents {
		above, _ := l.parent(p.Name)
		in.Parents = append(in.Parents, plan.Pinned{Parent: p, Digest: above.For(p.Platform).Digest})
	}
	return in
}

// parent is what is known of an image that others are made from.
func (l *looking) parent(name string) (plan.Image, bool) {
	if u, ok := l.facts.Upstreams[name]; ok {
		return u, true
	}
	b, ok := l.facts.Bases[name]
	return b.Image, ok
}

// told adds to each application what it was told last and has not come of it yet, or was refused.
func (l *looking) told(ctx context.Context) error {
	last, err := store.LastProposals(ctx, l.Store.Q())
	if err != nil {
		return err
	}
	wants := l.facts.Wants()
	for name, a := range l.facts.Applications {
		if a.Attempt, err = l.attempt(ctx, plan.TellKey(a.Application, wants[a.Application])); err != nil {
			return err
		}
		if since, what := opened(last[a.Application]); a.Attempt != nil && since.After(a.Attempt.At) && maps.Equal(what, wants[a.Application]) {
			a.Attempt = nil // it was told since
		}
		a.Told = toldBy(last[a.Application])
		l.facts.Applications[name] = a
	}
	return nil
}

// opened is when the proposals of one rollout were made, and of what all of them are.
func opened(all []store.Proposal) (since time.Time, wants map[string]string) {
	wants = map[string]string{}
	for _, p := range all {
		if at := time.UnixMilli(p.OpenedAt); at.After(since) {
			since = at
		}
		maps.Copy(wants, p.Wants)
	}
	return since, wants
}

// toldBy is what the proposals of one rollout told an application, together: nil when none of them waits for something or was
// refused by a person.
func toldBy(all []store.Proposal) *plan.Told {
	var out *plan.Told
	wants := map[string]string{}
	for _, p := range all {
		switch p.State {
		case store.ProposalOpen, store.ProposalMerged, store.ProposalClosed:
			if out == nil {
				out = &plan.Told{Rollout: p.Rollout, State: string(p.State), Number: p.Number, URL: p.URL, Since: time.UnixMilli(p.OpenedAt), Reason: p.Reason, Wants: wants}
			}
			maps.Copy(wants, p.Wants)
		case store.ProposalBuilt:
			maps.Copy(wants, p.Wants)
		}
	}
	return out
}

// Base looks at what a build of one base stands on now; rollouts use it. Every parent must be there.
func (o *Observer) Base(ctx context.Context, c *catalog.Catalog, b catalog.Base) (plan.Inputs, plan.Image, error) {
	none := plan.Inputs{}
	l := &looking{Observer: o, c: c, facts: plan.Facts{At: o.Now(), Upstreams: map[string]plan.Image{}, Bases: map[string]plan.Base{}}}
	r := readRecipe(ctx, namesOf(c), b)
	s := o.look(ctx, b.Name, b.Reference(), b.Platform)
	now, inv := s.image, s.inventory
	if now.Unknown != "" {
		return none, now, fmt.Errorf("%s: %s", b.Reference(), now.Unknown)
	}
	above, err := o.parentsNow(ctx, c, b, r)
	if err != nil {
		return none, now, err
	}
	for name, s := range above {
		l.facts.Upstreams[name] = s.image
	}
	if p, ok := r.inherits(); ok && inv == nil {
		inv = above[p.Name].inventory
	}
	f := plan.Base{Image: now, Recipe: r.hash, Parents: r.parents}
	var epoch time.Time
	for _, s := range above {
		if s.inventory != nil {
			epoch = later(epoch, s.inventory.Config.Created)
		}
	}
	if inv != nil {
		snap, err := o.Packages.Round(ctx, inv)
		if err != nil {
			return none, now, err
		}
		s, err := o.state(ctx, snap, inv)
		if err != nil {
			return none, now, err
		}
		f.State, epoch = s.hash, later(epoch, s.dated)
	}
	if err := l.fresh(ctx, b, &f); err != nil {
		return none, now, err
	}
	in := l.inputs(b, f)
	in.Uncached = r.uncached
	in.Epoch = epoch.UTC().Truncate(time.Second)
	return in, now, ctx.Err()
}

// parentsNow looks at all that a base is made from, with what the ONBUILDs of some add to it.
func (o *Observer) parentsNow(ctx context.Context, c *catalog.Catalog, b catalog.Base, r *recipe) (map[string]sight, error) {
	seen := map[string]sight{}
	for {
		if r.problem != "" {
			return nil, fmt.Errorf("recipe of %s: %s", b.Name, r.problem)
		}
		for _, p := range r.parents {
			if _, ok := seen[p.Name]; ok {
				continue
			}
			ref := referenceOf(c, p.Name)
			s, err := o.parentNow(ctx, c, p.Name, ref, p.Platform)
			switch {
			case err != nil:
				return nil, err
			case s.image.Unknown != "":
				return nil, fmt.Errorf("%s: %s", ref, s.image.Unknown)
			case !s.image.Exists():
				return nil, fmt.Errorf("%s stands on %s, which has no image for %s", b.Name, ref, p.Platform)
			}
			seen[p.Name] = s
		}
		if !r.fire(namesOf(c), b, func(parent string) *inventory.Inventory { return seen[parent].inventory }) {
			return seen, nil
		}
	}
}

// parentNow looks at what a base is made from.
func (o *Observer) parentNow(ctx context.Context, c *catalog.Catalog, name, ref, platform string) (sight, error) {
	if slices.ContainsFunc(c.Upstreams, func(u catalog.Upstream) bool { return u.Name == name }) {
		return o.upstream(ctx, name, ref, platform, []string{platform})
	}
	return o.look(ctx, name, ref, platform), nil
}

// referenceOf is what the catalog follows for an image that others are made from. What a recipe calls it may be another
// spelling, or hold a digest.
func referenceOf(c *catalog.Catalog, name string) string {
	for _, b := range c.Bases {
		if b.Name == name {
			return b.Reference()
		}
	}
	for _, u := range c.Upstreams {
		if u.Name == name {
			return u.Image
		}
	}
	return ""
}

// Wants returns the digest on the channel of a base.
func (o *Observer) Wants(ctx context.Context, b catalog.Base) (v1.Hash, error) {
	res, err := o.Registry.Resolve(ctx, b.Reference(), b.Platform)
	return res.Manifest, err
}
