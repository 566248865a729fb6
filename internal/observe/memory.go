package observe

import (
	"context"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
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
		a.Busy = l.busy[name]
		l.facts.Applications[name] = a
	}
	return l.told(ctx)
}

func (l *looking) remember(ctx context.Context, b catalog.Base, busy string) error {
	f, r := l.facts.Bases[b.Name], l.recipes[b.Name]
	f.Recipe, f.Problem, f.Parents, f.Busy = r.hash, r.problem, r.parents, busy
	if f.Exists() {
		rec, found, err := store.BuildOf(ctx, l.Store.Q(), b.Name, f.Digest.String())
		if err != nil {
			return err
		}
		if found {
			f.BuiltFrom = rec.Detail.Recipe
			f.Parents = withUsed(r.parents, rec.Detail.Parents)
		}
	}
	var err error
	if f.Attempt, err = l.attempt(ctx, l.inputs(b, f).Key()); err != nil {
		return err
	}
	l.facts.Bases[b.Name] = f
	return nil
}

// attempt is what is remembered under a key; nil when nothing is.
func (l *looking) attempt(ctx context.Context, key string) (*plan.Attempt, error) {
	a, found, err := store.GetAttempt(ctx, l.Store.Q(), key)
	if err != nil || !found {
		return nil, err
	}
	out := &plan.Attempt{Outcome: a.Outcome, Reason: a.Reason, Digest: a.Digest, Tries: a.Tries, At: time.UnixMilli(a.At)}
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
	in := plan.Inputs{Image: b.Name, Recipe: f.Recipe, Platform: b.Platform, State: f.State}
	for _, p := range f.Parents {
		above, ok := l.facts.Upstreams[p.Name]
		if !ok {
			above = l.facts.Bases[p.Name].Image
		}
		in.Parents = append(in.Parents, plan.Pinned{Parent: p, Digest: above.Digest})
	}
	return in
}

// told adds to each application what it was told last and has not come of it yet, or was refused.
func (l *looking) told(ctx context.Context) error {
	last, err := store.LastProposals(ctx, l.Store.Q())
	if err != nil {
		return err
	}
	for name, a := range l.facts.Applications {
		if a.Attempt, err = l.attempt(ctx, plan.TellKey(a.Application, l.facts.Wants(a.Application))); err != nil {
			return err
		}
		l.facts.Applications[name] = a
		p, ok := last[a.Application]
		if !ok || p.State != store.ProposalOpen && p.State != store.ProposalMerged && p.State != store.ProposalClosed {
			continue
		}
		a.Told = &plan.Told{Rollout: p.Rollout, State: string(p.State), Number: p.Number, URL: p.URL, Since: time.UnixMilli(p.OpenedAt), Wants: p.Wants}
		l.facts.Applications[name] = a
	}
	return nil
}

// Base looks at what a build of one base stands on now; rollouts use it. Every parent must be there.
func (o *Observer) Base(ctx context.Context, c *catalog.Catalog, b catalog.Base) (plan.Inputs, plan.Image, error) {
	none := plan.Inputs{}
	l := &looking{Observer: o, c: c, facts: plan.Facts{At: o.Now(), Upstreams: map[string]plan.Image{}, Bases: map[string]plan.Base{}}}
	r := readRecipe(c, b)
	if r.problem != "" {
		return none, plan.Image{}, fmt.Errorf("recipe of %s: %s", b.Name, r.problem)
	}
	now, inv := o.look(ctx, b.Name, b.Reference(), b.Platform)
	if now.Unknown != "" {
		return none, now, fmt.Errorf("%s: %s", b.Reference(), now.Unknown)
	}
	for _, p := range r.parents {
		img, above := o.look(ctx, p.Name, p.Reference, b.Platform)
		if img.Unknown != "" {
			return none, now, fmt.Errorf("%s: %s", p.Reference, img.Unknown)
		}
		if !img.Exists() {
			return none, now, fmt.Errorf("%s stands on %s, which has no image", b.Name, p.Reference)
		}
		l.facts.Upstreams[p.Name] = img
		if i, ok := r.inherits(); ok && i.Name == p.Name && inv == nil {
			inv = above
		}
	}
	f := plan.Base{Image: now, Recipe: r.hash, Parents: r.parents}
	if inv != nil {
		snap, err := o.Packages.Round(ctx, inv)
		if err != nil {
			return none, now, err
		}
		s, err := o.state(ctx, snap, inv)
		if err != nil {
			return none, now, err
		}
		f.State = s.hash
	}
	return l.inputs(b, f), now, ctx.Err()
}

// Wants returns the digest on the channel of a base.
func (o *Observer) Wants(ctx context.Context, b catalog.Base) (v1.Hash, error) {
	res, err := o.Registry.Resolve(ctx, b.Reference(), b.Platform)
	return res.Manifest, err
}
