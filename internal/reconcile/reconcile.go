// Package reconcile is the daemon's heart beat: look, follow, plan, start. It is level-triggered: it compares what is
// with what should be, as often as it likes; a hint (a webhook, a change of state, a person) only makes it look sooner.
package reconcile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/observe"
	"rebuilder/internal/plan"
	"rebuilder/internal/rollout"
	"rebuilder/internal/store"
)

// Observer looks at the world.
type Observer interface {
	Gather(ctx context.Context, c *catalog.Catalog) (*observe.World, error)
}

// Rollouts starts what is due and follows what was started.
type Rollouts interface {
	Start(ctx context.Context, p *plan.Plan, by rollout.Actor) (string, error)
	Follow(ctx context.Context, f plan.Facts) error
	Resume(ctx context.Context) error
}

// Snapshot is what the last look found.
type Snapshot struct {
	World   *observe.World // nil before the first look
	Plan    *plan.Plan
	At      time.Time
	Next    time.Time
	Problem string // why the last look failed; when it could not look at all, World and Plan are those of the look before
	Catalog *catalog.Catalog
	// CatalogProblem says why the catalog on disk is not the one in use; empty when it is.
	CatalogProblem string
}

// Loop looks again and again.
type Loop struct {
	observer Observer
	rollouts Rollouts
	store    *store.Store
	log      *slog.Logger
	now      func() time.Time
	wake     chan struct{}
	once     sync.Mutex // one look at a time
	looked   chan struct{}
	first    sync.Once // closes looked

	advisories Advisories // nil: nobody knows of any
	heirs      []func(*catalog.Catalog)
	pruned     time.Time // when old rows were removed last; guarded by once

	reading sync.Mutex // of the catalog's file: an older one must not come after a newer one
	mu      sync.Mutex
	last    Snapshot
}

// New returns a loop over a catalog that was loaded.
func New(c *catalog.Catalog, o Observer, st *store.Store, log *slog.Logger, now func() time.Time) *Loop {
	return &Loop{observer: o, store: st, log: log, now: now, wake: make(chan struct{}, 1), looked: make(chan struct{}), last: Snapshot{Catalog: c}}
}

// Use sets what starts rollouts; it must be called before Run.
func (l *Loop) Use(r Rollouts) { l.rollouts = r }

// OnCatalog has f called with each catalog that takes the place of the one before. It must be called before Run.
func (l *Loop) OnCatalog(f func(*catalog.Catalog)) { l.heirs = append(l.heirs, f) }

// Catalog returns the catalog in use.
func (l *Loop) Catalog() *catalog.Catalog { return l.Last().Catalog }

// Last returns what the last look found.
func (l *Loop) Last() Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Looked is closed when the first look has ended, however it did.
func (l *Loop) Looked() <-chan struct{} { return l.looked }

// Wake makes the loop look soon. It never blocks; many calls are one.
func (l *Loop) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run looks until ctx ends. A look that fails is logged and shown, and tried again in time.
func (l *Loop) Run(ctx context.Context) {
	for {
		began := l.now()
		if err := l.Once(ctx); err != nil && ctx.Err() == nil {
			l.log.Error("look failed", "error", err)
		}
		if !sleep(ctx, breath(l.now().Sub(began)), nil) || !sleep(ctx, l.Last().Next.Sub(l.now()), l.wake) {
			return
		}
	}
}

// breath is the pause after a look that took so long: a rollout that is busy wakes the loop with each step, and must not
// make it ask registries and forges without a rest.
func breath(took time.Duration) time.Duration {
	return min(max(took, 100*time.Millisecond), time.Minute)
}

// sleep waits for d or until woken; it says no when ctx ended first.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-wake:
	}
	return true
}

// Once looks once: it is the whole of what the daemon decides. Without a change in the world it writes nothing outside
// the store, however often it is called. A look that ctx cut off says nothing about the world and leaves no trace.
func (l *Loop) Once(ctx context.Context) error {
	l.once.Lock()
	defer l.once.Unlock()
	l.reload()
	c := l.Catalog()
	o := l.look(ctx, c)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	l.first.Do(func() { close(l.looked) })
	o.at = l.now()
	l.set(func(s *Snapshot) {
		o.next = after(s.Plan, o.at, c.Watch.Interval)
		if o.refresh.After(o.at) && o.refresh.Before(o.next) {
			o.next = o.refresh
		}
		s.Next, s.Problem = o.next, ""
		if o.problem != nil {
			s.Problem = o.problem.Error()
		}
	})
	l.prune(ctx, c, o.at)
	return errors.Join(o.problem, l.beat(ctx, c, o))
}

// pruneEvery is how often old rows are looked for. Those of webhooks, which anybody who knows a secret can make many of, are at
// each look.
const pruneEvery = time.Hour

// prune removes what is too old to matter. What could not be removed now is removed later.
func (l *Loop) prune(ctx context.Context, c *catalog.Catalog, now time.Time) {
	if err := store.ForgetDeliveries(ctx, l.store.Q(), now.UnixMilli()); err != nil {
		l.log.Warn("old deliveries of webhooks could not be removed", "error", err)
	}
	if now.Sub(l.pruned) < pruneEvery {
		return
	}
	n, err := store.Prune(ctx, l.store.Q(), now.UnixMilli(), names(c))
	if err != nil {
		l.log.Warn("old rows could not be removed", "error", err)
		return
	}
	if l.pruned = now; n > 0 {
		l.log.Info("old rows removed", "count", n)
	}
}

// after is when to look again: in time, and not later than the end of the settle window or the first slot in which
// something is tried again.
func after(p *plan.Plan, now time.Time, interval time.Duration) time.Time {
	next := now.Add(interval)
	sooner := func(t time.Time) {
		if t.After(now) && t.Before(next) {
			next = t
		}
	}
	if p == nil {
		return next
	}
	if !p.Empty() {
		sooner(p.NotBefore)
	}
	for _, n := range p.NotDone {
		sooner(n.Next)
	}
	return next
}

func (l *Loop) look(ctx context.Context, c *catalog.Catalog) (o outcome) {
	if o.refresh, o.problem = l.refresh(ctx, c, l.now()); o.problem != nil {
		return o
	}
	p, err := l.plan(ctx, c)
	if o.world, o.judged = p.world, p.judged; err != nil {
		o.problem = err
		return o
	}
	if o.followed = l.rollouts.Follow(ctx, p.world.Facts); o.followed != nil {
		l.log.Warn("not everybody could be followed", "error", o.followed)
	}
	o.problem = l.start(ctx, c, p)
	return o
}

// start starts what is due.
func (l *Loop) start(ctx context.Context, c *catalog.Catalog, p decided) error {
	if c.Rollout.Automatic && !p.Empty() && !p.held && p.Due(l.now()) {
		id, err := l.rollouts.Start(ctx, p.Plan, rollout.Actor{Name: "rebuilder", Kind: "automation", Rule: "watch"})
		if err != nil {
			return errors.Join(err, l.rollouts.Resume(ctx)) // what runs already must not wait for what cannot start
		}
		l.log.Info("rollout started", "rollout", id, "plan", p.ID, "title", p.Title, "steps", len(p.Steps))
		return nil
	}
	return l.rollouts.Resume(ctx)
}

// decided is a plan, and whether it must not be started without a person.
type decided struct {
	*plan.Plan
	held   bool
	world  *observe.World // nil when nothing was seen
	judged error          // why new advisories are not known
}

// plan looks and decides, and keeps both for whoever asks.
func (l *Loop) plan(ctx context.Context, c *catalog.Catalog) (decided, error) {
	w, err := l.observer.Gather(ctx, c)
	if err != nil {
		return decided{}, err
	}
	judged := l.judge(ctx, w.Facts)
	if judged != nil {
		l.log.Warn("new advisories are not known", "error", judged)
	}
	now := l.now()
	p := decided{Plan: plan.Make(c, w.Graph, w.Facts, now), world: w, judged: judged}
	if c.Rollout.Automatic && !p.Empty() {
		n, err := l.again(ctx, c, p.Plan, now)
		if err != nil {
			return p, err
		}
		if n != nil {
			p.held, p.NotDone = true, append(p.NotDone, *n)
		}
	}
	l.set(func(s *Snapshot) { s.World, s.Plan, s.At, s.Problem = w, p.Plan, now, "" })
	return p, nil
}

// Plan looks now and returns the plan, stored so that it can be applied by its id. It starts nothing itself; what is due
// before the next look makes that look come sooner.
func (l *Loop) Plan(ctx context.Context) (*plan.Plan, error) {
	l.once.Lock()
	defer l.once.Unlock()
	l.reload()
	c := l.Catalog()
	p, err := l.plan(ctx, c)
	if err != nil {
		return nil, err
	}
	if c.Rollout.Automatic && !p.Empty() && !p.held && p.NotBefore.Before(l.Last().Next) {
		l.Wake()
	}
	return p.Plan, store.SavePlan(ctx, l.store.Q(), p.Plan)
}

// Apply starts the rollout of a plan that was shown, exactly as it was shown. It refuses with rollout.ErrMoved when the
// world is not what the plan rests on; ErrApplied when it was applied before.
func (l *Loop) Apply(ctx context.Context, id string, by rollout.Actor) (string, error) {
	l.once.Lock()
	defer l.once.Unlock()
	shown, err := store.GetPlan(ctx, l.store.Q(), id)
	if err != nil {
		return "", err
	}
	if err := l.applied(ctx, id); err != nil {
		return "", fmt.Errorf("plan %s: %w", id, err)
	}
	l.reload()
	now, err := l.plan(ctx, l.Catalog())
	if err != nil {
		return "", err
	}
	if now.ID != shown.ID {
		return "", fmt.Errorf("plan %s: %w: %s", id, rollout.ErrMoved, moved(shown, now.Plan))
	}
	if now.Empty() {
		return "", fmt.Errorf("plan %s: %w", id, ErrNothing)
	}
	return l.rollouts.Start(ctx, shown, by)
}

var (
	// ErrApplied is returned when a plan was applied before.
	ErrApplied = errors.New("was applied already")
	// ErrNothing is returned when a plan has no steps.
	ErrNothing = errors.New("has nothing to do")
)

// remembered is how many rollouts are looked through for those of a plan.
const remembered = 200

// rolloutsOf returns how often a plan was applied, and those of its rollouts that are not long ago, newest first.
func (l *Loop) rolloutsOf(ctx context.Context, id string) (n int, recent []store.Rollout, err error) {
	n, err = store.RolloutsOfPlan(ctx, l.store.Q(), id)
	if err != nil || n == 0 {
		return 0, nil, err
	}
	all, err := store.Rollouts(ctx, l.store.Q(), remembered)
	return n, slices.DeleteFunc(all, func(r store.Rollout) bool { return r.Plan != id }), err
}

// applied refuses a plan that was applied before. One whose rollouts all failed or were cancelled may be applied again, if
// the world is still what it rests on: that is for a person to try.
func (l *Loop) applied(ctx context.Context, id string) error {
	n, recent, err := l.rolloutsOf(ctx, id)
	if err != nil {
		return err
	}
	for _, r := range recent {
		if r.State != store.Broken && r.State != store.Cancelled {
			return fmt.Errorf("%w, by rollout %s", ErrApplied, r.ID)
		}
	}
	if n > len(recent) {
		return ErrApplied
	}
	return nil
}

// doublings bounds the back-off: 32 times [rollout] retry_after, as for builds.
const doublings = 5

// again says why a plan that was applied before is not started once more by itself now; nil when it may be. A rollout
// changes what plans rest on, or remembers why it could not: this is for those that did neither, which would otherwise be
// started again with each look.
func (l *Loop) again(ctx context.Context, c *catalog.Catalog, p *plan.Plan, now time.Time) (*plan.NotDone, error) {
	n, recent, err := l.rolloutsOf(ctx, p.ID)
	if err != nil || len(recent) == 0 {
		return nil, err
	}
	last := recent[0]
	held := &plan.NotDone{Image: p.Steps[0].Image, Who: "who runs the daemon"}
	if !last.State.Ended() {
		held.Reason = fmt.Sprintf("rollout %s of this very plan is %s", last.ID, last.State)
		return held, nil
	}
	held.Since = time.UnixMilli(last.EndedAt)
	if last.State == store.Cancelled {
		held.Reason = fmt.Sprintf("rollout %s of this very plan was cancelled; rebuilder apply %s starts it again", last.ID, p.ID)
		return held, nil
	}
	if held.Next = held.Since.Add(c.Rollout.RetryAfter << min(n-1, doublings)); !now.Before(held.Next) {
		return nil, nil
	}
	held.Reason = fmt.Sprintf("rollout %s of this very plan ended as %s, and nothing is different since", last.ID, last.State)
	if last.Reason != "" {
		held.Reason += ": " + last.Reason
	}
	return held, nil
}

// moved names the inputs that are not what they were, or are not known any more.
func moved(was, is *plan.Plan) string {
	old, changed := map[string]string{}, []string{}
	for _, i := range was.Inputs {
		old[i.Name] = i.Value
	}
	for _, i := range is.Inputs {
		if v, ok := old[i.Name]; !ok || v != i.Value {
			changed = append(changed, i.Name+" is not what it was")
		}
		delete(old, i.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		changed = append(changed, name+" is not known now")
	}
	if len(changed) == 0 {
		changed = others(was, is)
	}
	if len(changed) == 0 {
		return "its steps are others now"
	}
	const most = 5
	if n := len(changed) - most; n > 0 {
		changed = append(changed[:most], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(changed, ", ")
}

// others names the images whose steps are not what they were though no input moved: of what is not in the inputs, such as
// the catalog's own words or a proposal that a person closed.
func others(was, is *plan.Plan) (names []string) {
	for _, s := range is.Steps {
		old, ok := was.Find(s.Image)
		switch {
		case !ok:
			names = append(names, s.Image+" is to be done, too")
		case !same(old, s):
			names = append(names, s.Image+" is to be done otherwise or for another reason")
		}
	}
	for _, s := range was.Steps {
		if _, ok := is.Find(s.Image); !ok {
			names = append(names, s.Image+" is not to be done any more")
		}
	}
	return names
}

// same compares steps as they are stored.
func same(a, b plan.Step) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// Reload reads the catalog's file, and makes the loop look soon when there is another one in it. A broken one is said and not
// used. Each look reads it, too: this is for what goes by the catalog between looks.
func (l *Loop) Reload() {
	if l.reload() {
		l.Wake()
	}
}

// reload says whether the catalog is another one now.
func (l *Loop) reload() (changed bool) {
	l.reading.Lock()
	defer l.reading.Unlock()
	file := l.Catalog().File
	next, err := catalog.Load(file)
	if err != nil {
		text := err.Error()
		if errors.Is(err, os.ErrNotExist) {
			text = file + " is gone"
		}
		l.set(func(s *Snapshot) {
			if s.CatalogProblem != text {
				l.log.Error("the catalog on disk is not used", "error", text)
			}
			s.CatalogProblem = text
		})
		return false
	}
	l.set(func(s *Snapshot) {
		s.CatalogProblem = ""
		if changed = next.SHA256 != s.Catalog.SHA256; changed {
			l.log.Info("catalog loaded", "file", next.File, "sha256", next.SHA256)
			s.Catalog = next
		}
	})
	if changed {
		for _, f := range l.heirs {
			f(next)
		}
	}
	return changed
}

func (l *Loop) set(f func(*Snapshot)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.last)
}
