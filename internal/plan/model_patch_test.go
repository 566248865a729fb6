package plan_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/graph"
	"rebuilder/internal/plan"
)

// What a patch sets in motion, counted in builds an image and a patch, over random graphs that are at rest.

// TestChildsOwnPatchTriggersChildAlone: a patch in a package that one base alone installs rebuilds that base for the patch,
// and what is made from it for its new parent, once each. What it stands on, and all that has nothing to do with it, is
// neither built nor told.
func TestChildsOwnPatchTriggersChildAlone(t *testing.T) {
	var seen tally
	for seed := range worlds(t) {
		m := atRest(t, seed)
		child := pick(m, m.order)
		if _, has := m.inherits(m.bases[child]); has {
			m.seen["on another"]++
		}
		m.patched("own-"+child, child)
		if len(m.below(child)) == 0 {
			m.seen["built alone"]++
			if n := total(m.built); n != 1 {
				m.t.Fatalf("seed %d: nothing is made from %s, and %d builds were made for its own package: %v", seed, child, n, m.built)
			}
		}
		seen.add(m.seen)
	}
	seen.check(t, "on another", "built alone", "deb", "apk", "rpm")
}

// TestInheritedPatchTriggersBaseAndChildOnceByItsParent: a patch in a package that a child inherits from its base rebuilds
// the base for the patch, and the child once, because its parent changed, with the patch in it.
func TestInheritedPatchTriggersBaseAndChildOnceByItsParent(t *testing.T) {
	var seen tally
	for seed := range worlds(t) {
		m := atRest(t, seed)
		for _, child := range m.order {
			parent, ok := m.inherits(m.bases[child])
			if m.bases[parent] == nil || !ok {
				continue
			}
			m.patched("own-"+parent, parent)
			if n := m.built[child]; n != 1 {
				m.t.Fatalf("seed %d: %s inherits own-%s and was built %d times for its patch", seed, child, parent, n)
			}
			if have := m.bases[child].packages["own-"+parent]; have != m.versions["own-"+parent] {
				m.t.Fatalf("seed %d: %s has still the old own-%s", seed, child, parent)
			}
			m.seen["inherited"]++
		}
		seen.add(m.seen)
	}
	seen.check(t, "inherited", "deb", "apk", "rpm")
}

// TestUpstreamsPatchIsFixedByTheLowestBases: a patch in a package that an upstream brings is taken by each base that stands
// on that upstream itself, and comes to all others by their parents.
func TestUpstreamsPatchIsFixedByTheLowestBases(t *testing.T) {
	var seen tally
	for seed := range worlds(t) {
		m := atRest(t, seed)
		up := pick(m, slices.Sorted(maps.Keys(m.upstreams)))
		var lowest []string
		for _, name := range m.order {
			if on, ok := m.inherits(m.bases[name]); ok && on == up {
				lowest = append(lowest, name)
			}
		}
		m.patched("lib"+up, lowest...)
		if len(lowest) == 0 && total(m.built) > 0 {
			m.t.Fatalf("seed %d: nothing stands on %s, and this was built: %v", seed, up, m.built)
		}
		m.seen["lowest"] += len(lowest)
		seen.add(m.seen)
	}
	seen.check(t, "lowest", "deb", "apk", "rpm")
}

// TestHeldPackageTriggersNothing: what a recipe holds back is said, and nobody is built for it.
func TestHeldPackageTriggersNothing(t *testing.T) {
	for seed := range worlds(t) {
		m := atRest(t, seed)
		name := pick(m, m.order)
		m.bases[name].recipe++
		m.bases[name].holds[m.bases[name].recipe] = true
		m.rest()
		m.patched("own-" + name)
		p := m.plan()
		if n := total(m.built); n != 0 || !p.Empty() || !slices.ContainsFunc(p.NotDone, func(n plan.NotDone) bool { return n.Image == name && strings.Contains(n.Reason, "hold back own-"+name) }) {
			m.t.Fatalf("seed %d: %s holds its package back, and %d builds were made: %+v", seed, name, n, p.NotDone)
		}
	}
}

// TestWhatIsTakenBackIsNotBuiltAgain: a recipe that goes back to what it was gives the image that it gave, and so do those of
// all that is made from it: their channels go back, and nothing is built.
func TestWhatIsTakenBackIsNotBuiltAgain(t *testing.T) {
	var seen tally
	for seed := range worlds(t) {
		m := atRest(t, seed)
		name := pick(m, m.order)
		b := m.bases[name]
		if b.builtFrom == "" {
			continue // somebody else built it: nothing tells that its recipe changes
		}
		before := b.content
		b.recipe += 2 // one more would be a comment
		m.rest()
		if b.content == before {
			m.t.Fatalf("seed %d: %s is not of its new recipe", seed, name)
		}
		b.recipe -= 2
		m.quiet("a recipe is taken back", func() {
			m.people()
			m.now = m.now.Add(time.Hour)
		})
		if b.content != before || total(m.built) > 0 {
			m.t.Fatalf("seed %d: the recipe of %s is what it was, its image is %q, not %q, and these were built again: %v", seed, name, b.content, before, m.built)
		}
		seen.add(m.seen)
	}
	seen.check(t, "reused")
}

// atRest is a random organisation in which everything is as it should be.
func atRest(t *testing.T, seed uint64) *model {
	t.Helper()
	m := newModel(t, seed)
	m.calm = true
	m.rest()
	return m
}

func (m *model) rest() {
	m.t.Helper()
	m.quiet("all works", func() {
		m.people()
		m.now = m.now.Add(time.Hour)
	})
	m.built = map[string]int{}
}

// patched publishes a newer version of a package and lets the daemon do what it does about it, which may be only this: the
// bases that bring the package in are built for it, what is made from them is built for its parents, each once and all in
// one plan, and applications that use one of them are told.
func (m *model) patched(p string, bringing ...string) {
	m.t.Helper()
	m.rest()
	m.newer(p)
	m.seen[family(p)]++
	first := m.plan()
	want := map[string]int{}
	for _, name := range bringing {
		want[name] = 1
		for _, b := range m.below(name) {
			want[b] = 1
		}
	}
	g := m.graph()
	for _, s := range first.Steps {
		switch {
		case slices.Contains(bringing, s.Image):
			if s.Cause != plan.CausePackage {
				m.t.Fatalf("seed %d: %s brings %s in and is planned for %s: %v", m.seed, s.Image, p, s.Cause, s.Reasons)
			}
		case s.Cause != plan.CauseParent:
			m.t.Fatalf("seed %d: %s does not bring %s in and is planned for %s: %v", m.seed, s.Image, p, s.Cause, s.Reasons)
		case !slices.ContainsFunc(bringing, func(b string) bool { return slices.Contains(g.Affected(b), s.Image) }):
			m.t.Fatalf("seed %d: %s has nothing to do with %s and is planned: %v", m.seed, s.Image, p, s.Reasons)
		}
	}
	told := m.seen["told"]
	m.apply(first)
	if !maps.Equal(m.built, want) {
		m.t.Fatalf("seed %d: for %s these were built: %v, and should have been: %v", m.seed, p, m.built, want)
	}
	if len(bringing) == 0 && m.seen["told"] != told {
		m.t.Fatalf("seed %d: nobody brings %s in, and somebody is told", m.seed, p)
	}
	m.quiet("all works", func() {
		m.people()
		m.now = m.now.Add(time.Hour)
	})
	if !maps.Equal(m.built, want) {
		m.t.Fatalf("seed %d: for %s these were built in the end: %v, and should have been: %v", m.seed, p, m.built, want)
	}
}

// below are the bases that are made from one, whatever they take from it.
func (m *model) below(name string) (bases []string) {
	for _, b := range m.graph().Affected(name) {
		if m.bases[b] != nil {
			bases = append(bases, b)
		}
	}
	return bases
}

func (m *model) graph() *graph.Graph {
	m.t.Helper()
	g, err := graph.New(m.nodes, m.edges)
	if err != nil {
		m.t.Fatal(err)
	}
	return g
}

func total(built map[string]int) (n int) {
	for _, times := range built {
		n += times
	}
	return n
}
