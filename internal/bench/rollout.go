package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/api"
	"rebuilder/internal/demo"
	"rebuilder/internal/demo/debrepo"
	"rebuilder/internal/inventory"
	"rebuilder/internal/store"
)

// rolloutPatience ends a rebuild of the tree that has hung.
const rolloutPatience = 4 * time.Minute

// race is a tree that is rebuilt again and again, by the daemon and by its peers in turn.
type race struct {
	*scene
	*peers
	published demo.Published
	version   string // of the package, published last
}

// lap is how long everybody took to rebuild the tree once.
type lap struct {
	daemon, buildctl, gated, bake time.Duration
	chain                         chain // of daemon
}

// measureRollout compares a rollout with the same solves issued by others. In each round a package is published, and
// everybody rebuilds the tree once, another one first: the package steps run again for each of them.
func measureRollout(ctx context.Context, c config, say func(string)) (all []Measure, err error) {
	r, err := openRace(ctx, c, say)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.scene.Close()) }()
	var laps []lap
	for round := range c.rounds + 1 {
		l, err := r.run(ctx, round)
		if err != nil {
			return nil, r.explained(fmt.Errorf("round %d: %w", round, err))
		}
		say(fmt.Sprintf("round %d of %d: %s", round, c.rounds, l))
		if round > 0 { // the first one warms up
			laps = append(laps, l)
		}
	}
	return compared(laps), nil
}

func (l lap) String() string {
	return fmt.Sprintf("rollout %.2f s (solves %.2f s, gates %.2f s, else %.2f s: %s); buildctl %.2f s; buildctl and gates %.2f s; bake %.2f s", l.daemon.Seconds(),
		l.chain.solves.Seconds(), l.chain.gates.Seconds(), l.rest().Seconds(), strings.Join(l.chain.trace, ", "), l.buildctl.Seconds(), l.gated.Seconds(), l.bake.Seconds())
}

// work is what nobody can do without who rebuilds the tree and lets nothing unseen pass.
func (l lap) work() time.Duration { return l.chain.solves + l.chain.gates }

// rest is what the daemon spent on nothing but being one.
func (l lap) rest() time.Duration { return l.daemon - l.work() }

// compared are the measures. A ratio is that of one lap: what else the machine did then slowed everybody down.
func compared(laps []lap) []Measure {
	middle := func(of func(lap) float64) float64 {
		var all []float64
		for _, l := range laps {
			all = append(all, of(l))
		}
		return median(all)
	}
	took := func(of func(lap) time.Duration) float64 {
		return middle(func(l lap) float64 { return of(l).Seconds() })
	}
	times := func(of func(lap) time.Duration) float64 {
		return middle(func(l lap) float64 { return float64(l.daemon) / float64(of(l)) })
	}
	var (
		buildctl = func(l lap) time.Duration { return l.buildctl }
		gated    = func(l lap) time.Duration { return l.gated }
		bake     = func(l lap) time.Duration { return l.bake }
	)
	return []Measure{
		known("five images in a tree, by a rollout", took(func(l lap) time.Duration { return l.daemon }), "s"),
		known("of that, neither solves nor gates on its longest chain", took(lap.rest), "s"),
		atMost(1.05, "rollout to the solves and gates of its longest chain", times(lap.work), "times"),
		known("the same solves, by buildctl in the best order", took(buildctl), "s"),
		known("the same, each image through gates before the next", took(gated), "s"),
		known("the same tree, by buildx bake", took(bake), "s"),
		atMost(1.05, "rollout to buildctl with gates", times(gated), "times"),
		known("rollout to buildctl, gates in the rollout alone", times(buildctl), "times"),
		known("rollout to bake, gates in the rollout alone", times(bake), "times"),
		known("what gates cost: buildctl with gates to buildctl", middle(func(l lap) float64 { return float64(l.gated) / float64(l.buildctl) }), "times"),
	}
}

// openRace makes a world with the tree in it, built once, and the daemon at rest.
func openRace(ctx context.Context, c config, say func(string)) (r *race, err error) {
	program, err := filepath.Abs(c.program)
	if err != nil {
		return nil, err
	}
	with, err := filepath.Abs(c.peers)
	if err != nil {
		return nil, err
	}
	example, err := fs.Sub(treeFiles, "tree")
	if err != nil {
		return nil, err
	}
	s, err := openWorld(ctx, program, demo.Options{Cache: c.cache, Progress: say, Example: example, MadeUpdate: true, OwnPorts: true})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(s.explained(err), s.Close())
		}
	}()
	if err := s.Setup(ctx); err != nil {
		return nil, err
	}
	t, err := readTree(s.World)
	if err != nil {
		return nil, err
	}
	if _, err := s.start(ctx); err != nil {
		return nil, err
	}
	r = &race{scene: s, peers: &peers{
		buildctl: filepath.Join(with, "buildctl"), buildx: filepath.Join(with, "buildx"),
		engine: "unix://" + filepath.Join(s.StateDirectory, "buildkit", "buildkitd.sock"), registry: s.RegistryHost,
		dir: filepath.Join(s.dir, "peers"), tree: t,
	}}
	if r.gate, err = newGate(); err != nil {
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	say("building the tree for the first time")
	_, _, err = r.byDaemon(ctx)
	return r, err
}

// run is one round.
func (r *race) run(ctx context.Context, round int) (l lap, err error) {
	if err := r.publish(ctx, round); err != nil {
		return l, err
	}
	turns := []func(context.Context) error{
		func(ctx context.Context) (err error) { l.daemon, l.chain, err = r.byDaemon(ctx); return err },
		func(ctx context.Context) (err error) {
			l.buildctl, err = r.byPeer(ctx, buildctlName, r.withBuildctl)
			return err
		},
		func(ctx context.Context) (err error) {
			l.gated, err = r.byPeer(ctx, gatedName, r.withGates)
			return err
		},
		func(ctx context.Context) (err error) { l.bake, err = r.byPeer(ctx, bakeName, r.withBake); return err },
	}
	for n := range turns {
		ctx, cancel := context.WithTimeoutCause(ctx, rolloutPatience, fmt.Errorf("not done after %s", rolloutPatience))
		err := turns[(n+round)%len(turns)](ctx)
		cancel()
		if err != nil {
			return l, err
		}
	}
	return l, nil
}

// publish adds another version of the package that the tree's first image upgrades.
func (r *race) publish(ctx context.Context, round int) error {
	if round == 0 {
		var err error
		r.published, err = r.Publish(ctx)
		r.version = r.published.To
		return err
	}
	p := debrepo.Package{Name: r.published.Package, Version: fmt.Sprintf("2.%d", round)}
	deb, err := debrepo.Build(ctx, r.scene.dir, p)
	if err != nil {
		return err
	}
	r.version = p.Version
	_, err = r.Add(ctx, deb)
	return err
}

// byDaemon has the daemon look, and times it from when the plan is applied to when the last image is promoted.
func (r *race) byDaemon(ctx context.Context) (took time.Duration, c chain, err error) {
	d := r.client()
	p, err := d.Plan(ctx)
	if err != nil {
		return 0, c, err
	}
	if len(p.Steps) != len(r.tree.images) {
		return 0, c, fmt.Errorf("the plan has %d steps, want one for each of %d images: %s", len(p.Steps), len(r.tree.images), p.Title)
	}
	began := time.Now()
	a, err := d.Apply(ctx, p.ID, "bench")
	if err != nil {
		return 0, c, err
	}
	ro, err := r.awaitRollout(ctx, a.Rollout)
	if err != nil {
		return 0, c, err
	}
	c, err = r.chain(ctx, ro)
	return ro.EndedAt.Sub(began), c, err
}

// awaitRollout returns the rollout when all of its images are done.
func (r *race) awaitRollout(ctx context.Context, id string) (api.RolloutDetail, error) {
	const pause = 500 * time.Millisecond // the daemon says when it was done; asking often would slow it down
	for {
		ro, err := r.client().Rollout(ctx, id)
		if err != nil {
			return ro, err
		}
		if !ro.EndedAt.IsZero() {
			if ro.States["done"] != len(r.tree.images) {
				return ro, fmt.Errorf("rollout %s is %s: %s", id, ro.State, ro.Reason)
			}
			return ro, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ro, context.Cause(ctx)
		}
	}
}

// chain is the chain of images of which the last one was done last: no image of it waited for anything else. What other
// images did at the same time is not in its figures.
type chain struct {
	solves time.Duration // from when its builds were handed to the builder to when it answered
	gates  time.Duration // from when its images were built to when they were promoted: what the peers do not do
	trace  []string      // for people
}

func (r *race) chain(ctx context.Context, ro api.RolloutDetail) (c chain, err error) {
	nodes := map[string]api.Node{}
	for _, n := range ro.Nodes {
		nodes[n.Image] = n
	}
	last := r.tree.images[0]
	for _, i := range r.tree.images {
		if nodes[i.name].Since.After(nodes[last.name].Since) {
			last = i
		}
	}
	for i := last; i != nil; i = i.parent {
		b, err := r.client().Build(ctx, nodes[i.name].Build)
		if err != nil {
			return c, err
		}
		built, err := r.built(ctx, ro.ID, i.name)
		if err != nil {
			return c, err
		}
		done := nodes[i.name].Since
		c.solves += b.Ended.Sub(b.Started)
		c.gates += done.Sub(built)
		c.trace = append(c.trace, fmt.Sprintf("%s built from %s to %s, promoted at %s", i.name, clock(ro, b.Started), clock(ro, built), clock(ro, done)))
	}
	slices.Reverse(c.trace)
	return c, nil
}

func clock(ro api.RolloutDetail, t time.Time) string {
	return fmt.Sprintf("%.2f s", t.Sub(ro.CreatedAt).Seconds())
}

// built is when a rollout began to look inside the new image.
func (r *race) built(ctx context.Context, rollout, image string) (at time.Time, err error) {
	log, err := r.client().Audit(ctx, image, 100)
	if err != nil {
		return at, err
	}
	for _, e := range log.Events { // the newest comes first; the oldest is wanted
		if e.Action == string(store.Scanning) && strings.HasPrefix(e.Detail, rollout) {
			at = e.At
		}
	}
	if at.IsZero() {
		return at, fmt.Errorf("the audit log does not say when %s was built in rollout %s", image, rollout)
	}
	return at, nil
}

// byPeer times another program, and looks whether it rebuilt everything: the last images must have the package.
func (r *race) byPeer(ctx context.Context, program string, rebuild func(context.Context) (map[*treeImage]string, error)) (time.Duration, error) {
	if err := r.setState(program + " " + r.version); err != nil {
		return 0, err
	}
	began := time.Now()
	digests, err := rebuild(ctx)
	took := time.Since(began)
	if err != nil {
		return took, err
	}
	for _, i := range r.tree.leaves() {
		img, err := held(ctx, r.repository(program, i)+"@"+digests[i])
		if err != nil {
			return took, err
		}
		inv, err := inventory.Read(ctx, img, "")
		if err != nil {
			return took, err
		}
		if p, found := inv.Installed(r.published.Package, "all"); !found || p.Version != r.version {
			return took, fmt.Errorf("%s by %s has %s %q, want %s", i.name, program, r.published.Package, p.Version, r.version)
		}
	}
	return took, nil
}
