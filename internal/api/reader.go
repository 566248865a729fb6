package api

import (
	"context"
	"time"

	"rebuilder/internal/build"
	"rebuilder/internal/plan"
	"rebuilder/internal/reconcile"
	"rebuilder/internal/store"
)

// Looker knows what the last look at the world found.
type Looker interface {
	Last() reconcile.Snapshot
}

// Pinger is the build engine as far as its health goes.
type Pinger interface {
	Ping(ctx context.Context) error
	Address() string
	// State is what each builder is doing, by name.
	State() []build.WorkerState
}

// Reader answers questions from the last look and the store. It never looks at the world and writes nothing; pages and
// the API share it, so that they cannot differ.
type Reader struct {
	Loop    Looker
	Store   *store.Store
	Engine  Pinger // nil: nothing is said of the builder
	Judge   Judge  // nil: nothing is said of what is in an image
	Now     func() time.Time
	Version string
	Advice  Advice
}

// view is one look together with what the store says at this moment: what every answer is made of.
type view struct {
	now       time.Time
	snap      reconcile.Snapshot
	live      map[string]store.Node     // by image: what running rollouts have in hand
	proposals map[string]store.Proposal // live ones, by key
	notDone   map[string][]plan.NotDone // by image
	found     map[string]store.Observed // by name: what discovery found and nobody declared
}

func (r *Reader) view(ctx context.Context) (*view, error) {
	v := &view{now: r.Now().UTC(), snap: r.Loop.Last(), live: map[string]store.Node{}, proposals: map[string]store.Proposal{}, notDone: map[string][]plan.NotDone{}}
	live, err := store.LiveNodes(ctx, r.Store.Q())
	if err != nil {
		return nil, err
	}
	waits, err := r.waitsOf(ctx, live)
	if err != nil {
		return nil, err
	}
	for _, n := range live {
		n = held(n, waits)
		if old, ok := v.live[n.Image]; !ok || n.Since > old.Since {
			v.live[n.Image] = n
		}
	}
	proposals, err := store.LiveProposals(ctx, r.Store.Q())
	if err != nil {
		return nil, err
	}
	for _, p := range proposals {
		v.proposals[p.Key] = p
	}
	if v.snap.Plan != nil {
		for _, n := range v.snap.Plan.NotDone {
			v.notDone[n.Image] = append(v.notDone[n.Image], n)
		}
	}
	v.found, err = r.found(ctx, v.snap.World)
	return v, err
}

// fact is what the registry said of an image; ok is false when it was not looked at.
func (v *view) fact(name string) (img plan.Image, ok bool) {
	if v.snap.World == nil {
		return plan.Image{}, false
	}
	f := v.snap.World.Facts
	if u, ok := f.Upstreams[name]; ok {
		return u, true
	}
	if b, ok := f.Bases[name]; ok {
		return b.Image, true
	}
	a, ok := f.Applications[name]
	return a.Image, ok
}
