package reconcile

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/patch"
	"rebuilder/internal/plan"
	"rebuilder/internal/rollout"
	"rebuilder/internal/store"
)

// Sim is the fake world for tests outside of this package, whose rollouts do at once what they are for: what a base becomes
// is decided by its recipe, its repositories, its parent and its last fresh build, and by nothing else.
type Sim struct {
	*world
	Builds     int
	Promotions []string // "base/debian 1f2e3d4c", in their order
}

// NewSim returns a world on the clock of a synctest bubble, in which all is as it should be.
func NewSim(t *testing.T) *Sim {
	t.Helper()
	s := &Sim{world: newWorld(t, time.Now)}
	s.loop.Use(s)
	return s
}

// Loop is the loop under test.
func (s *Sim) Loop() *Loop { return s.loop }

// Store is its store.
func (s *Sim) Store() *store.Store { return s.st }

// Run starts the loop; the function ends it.
func (s *Sim) Run() (stop func()) { return s.run() }

// Slow lets each look take a while.
func (s *Sim) Slow(d time.Duration) {
	s.watch = func(context.Context) error { time.Sleep(d); return nil }
}

// Looks is how often was looked.
func (s *Sim) Looks() int { looks, _ := s.counts(); return looks }

// Started is how many rollouts were.
func (s *Sim) Started() int { _, started := s.counts(); return started }

// Patch publishes a package for a base.
func (s *Sim) Patch(base string, n int) {
	s.base(base, func(b *plan.Base) {
		b.State, b.StateSince = fmt.Sprintf("s%d", n), time.Now()
		b.Patches = []plan.Patch{{Patch: patch.Patch{Package: "libssl3", From: "3.0.0", To: fmt.Sprintf("3.0.%d", n), Repository: "http://d stable main"}}}
	})
}

// Recipe changes a base's recipe.
func (s *Sim) Recipe(base string, n int) {
	s.base(base, func(b *plan.Base) { b.Recipe = fmt.Sprintf("r%d", n) })
}

// Upstream moves the image that all stands on.
func (s *Sim) Upstream(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := image("debian:12", fmt.Sprintf("U%d", n), fmt.Sprintf("u%d", n))
	u.FirstSeen = time.Now()
	s.seen.Upstreams["upstream/debian"] = u
}

// State is all that is left at the end, in words.
func (s *Sim) State() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, name := range []string{"base/debian", "base/python"} {
		b := s.seen.Bases[name]
		out = append(out, fmt.Sprintf("%s %s of %s, %d patches, fresh %v", name, b.Digest.Hex[:16], b.BuiltFrom, len(b.Patches), b.Refresh))
	}
	return strings.Join(out, "\n")
}

// Start does at once what a rollout is for.
func (s *Sim) Start(ctx context.Context, p *plan.Plan, by rollout.Actor) (string, error) {
	id, err := s.world.Start(ctx, p, by)
	if err != nil {
		return "", err
	}
	for _, step := range p.Steps {
		s.rebuild(step)
		if step.Refresh != "" {
			s.refreshed(step.Image, step.Refresh)
		}
	}
	s.end(id, store.Finished)
	return id, nil
}

func (s *Sim) rebuild(step plan.Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.seen.Bases[step.Image]
	parent := s.seen.Upstreams["upstream/debian"]
	if p, ok := s.seen.Bases[b.Parents[0].Name]; ok {
		parent = p.Image
	}
	s.Builds++
	b.Parents[0].Used, b.BuiltFrom, b.Patches = parent.Digest.String(), b.Recipe, nil
	digest := fmt.Sprintf("%x", sha256.Sum256([]byte(step.Image+b.Recipe+b.State+parent.Digest.Hex+step.Refresh)))[:8]
	if made := hash(digest); made != b.Digest {
		b.Image = plan.Image{Reference: b.Reference, Digest: made, DiffIDs: append(append(parent.DiffIDs[:0:0], parent.DiffIDs...), hash("l"+digest))}
		b.Promoted = made.String()
		s.Promotions = append(s.Promotions, step.Image+" "+digest)
	}
	s.seen.Bases[step.Image] = b
}
