package plan_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/plan"
)

const retryAfter = time.Hour

// worlds are the seeds of the organisations that a test plays, beside the other tests. The cases that a test must have met
// are met by the few of -short, too.
func worlds(t *testing.T) uint64 {
	t.Parallel()
	if testing.Short() {
		return 50
	}
	return 200
}

// TestModel plays random organisations: graphs of any shape, packages of all families, recipes and downloads that change,
// fresh builds that are wanted, builds that fail, are not taken or change nothing, people who close pull requests and move
// channels. Whatever happens, each plan is well formed; once the world is quiet, the daemon is, too; and once builds work
// again, everything is as it should be.
func TestModel(t *testing.T) {
	var seen tally
	for seed := range worlds(t) {
		m := newModel(t, seed)
		m.play(func() { m.apply(m.plan()) })
		m.asItShouldBe()
		m.onlyAChild()
		seen.add(m.seen)
	}
	seen.check(t, "done", "failed", "unchanged", "not-taken", "skipped", "told", "untold", "merged", "closed", "moved by hand", "only a child", "copies only", "fresh")
}

// TestNoSequenceOfReconcilesLoops lets reconciles, rollouts and the world interleave in every way: packages, upstreams,
// recipes, downloads and wishes change between the steps of rollouts, of which several run at a time; some are ended half
// done. Once the world stops changing, the daemon comes to rest within a number of reconciles that the images bound, and
// nothing is ever built or told again, however often and late it looks.
func TestNoSequenceOfReconcilesLoops(t *testing.T) {
	var seen tally
	for seed := range worlds(t) {
		m := newModel(t, seed)
		m.play(m.interleave)
		m.asItShouldBe()
		m.staysQuiet()
		seen.add(m.seen)
	}
	seen.check(t, "done", "failed", "unchanged", "not-taken", "told", "merged", "fresh", "reconciled", "several at a time", "ended half done", "changed while one runs")
}

// interleave lets reconciles, steps of rollouts and changes happen in any order.
func (m *model) interleave() {
	for range 15 {
		switch n := m.rng.IntN(100); {
		case n < 25:
			m.seen["reconciled"]++
			if p := m.plan(); !p.Empty() {
				m.start(p)
			}
		case n < 75 && len(m.running) > 0:
			r := pick(m, m.running)
			if len(m.running) > 1 {
				m.seen["several at a time"]++
			}
			if m.advance(r); len(r.steps) == 0 {
				m.end(r)
			}
		case n < 80 && len(m.running) > 0:
			m.seen["ended half done"]++
			m.end(pick(m, m.running))
		case n < 90:
			if len(m.running) > 0 {
				m.seen["changed while one runs"]++
			}
			m.now = m.now.Add(time.Duration(m.rng.IntN(30)) * time.Minute)
			m.change(5)
		case n < 95:
			m.people()
		}
	}
	if m.chance(50) {
		m.running = nil // all are ended
	}
}

// play lets anything happen for a while, then nothing more, and then lets all work.
func (m *model) play(reconcile func()) {
	m.t.Helper()
	for range 6 {
		m.disturb()
		reconcile()
		m.people()
	}
	for len(m.running) > 0 { // what runs comes to its end
		if r := m.running[0]; len(r.steps) > 0 {
			m.advance(r)
		} else {
			m.end(r)
		}
	}
	// Nothing happens any more, not even time passes: each failure is remembered, so that there is an end.
	m.quiet("no time passes", func() {})
	// Builds and forges work, CI builds what is merged, and slots come.
	m.calm = true
	m.quiet("all works", func() {
		m.people()
		m.now = m.now.Add(48 * time.Hour)
	})
	m.people() // CI makes the first image of what was merged, which nobody awaits
	m.quiet("all is built", m.people)
}

// staysQuiet looks again and again, and carries out what is planned: nothing may be built or told.
func (m *model) staysQuiet() {
	m.t.Helper()
	before, told := maps.Clone(m.built), m.seen["told"]
	for range 5 {
		m.now = m.now.Add(72 * time.Hour)
		m.people()
		p := m.plan()
		m.apply(p)
		if !maps.Equal(before, m.built) || m.seen["told"] != told {
			m.t.Fatalf("seed %d: nothing has changed, and %s\n%+v", m.seed, steps(p), p.Steps)
		}
	}
}

// quiet applies plans until there is nothing to do, and fails when there is no end.
func (m *model) quiet(when string, between func()) {
	m.t.Helper()
	var last *plan.Plan
	for range 2*len(m.nodes) + 4 {
		last = m.plan()
		waits := slices.ContainsFunc(last.NotDone, func(n plan.NotDone) bool {
			return !n.Next.IsZero() || strings.Contains(n.Reason, "awaited") || strings.Contains(n.Reason, "is open")
		})
		if last.Empty() && (!m.calm || !waits) {
			return
		}
		m.apply(last)
		between()
	}
	m.t.Fatalf("seed %d, %s: no rest:\n%s\n%+v\n%+v", m.seed, when, steps(last), last.Steps, last.NotDone)
}

// tally counts what the cases met, so that a model that plays nothing is noticed.
type tally map[string]int

func (s *tally) add(other tally) {
	if *s == nil {
		*s = tally{}
	}
	for k, n := range other {
		(*s)[k] += n
	}
}

func (s tally) check(t *testing.T, met ...string) {
	t.Helper()
	for _, k := range met {
		if s[k] == 0 {
			t.Errorf("no case met %q", k)
		}
	}
	t.Log(s)
}

// plan makes a plan and checks what must hold of every one.
func (m *model) plan() *plan.Plan {
	m.t.Helper()
	f := m.facts()
	p := m.make(f)
	if m.plans++; m.plans%4 == 0 { // each costs as much as the plan
		m.isPure(p)
	}
	m.wellFormed(p, f)
	m.planned = map[string]string{}
	for _, s := range p.Steps {
		if s.Action == plan.Rebuild {
			m.planned[s.Image] = m.key(s.Image)
		}
	}
	return p
}

// isPure makes a plan again, from the same facts in another order: it must be the same, and the facts what they were.
func (m *model) isPure(p *plan.Plan) {
	m.t.Helper()
	f := m.facts()
	before, err := json.Marshal(f)
	if err != nil {
		m.t.Fatal(err)
	}
	m.rng.Shuffle(len(m.nodes), func(i, k int) { m.nodes[i], m.nodes[k] = m.nodes[k], m.nodes[i] })
	m.rng.Shuffle(len(m.edges), func(i, k int) { m.edges[i], m.edges[k] = m.edges[k], m.edges[i] })
	if again := m.make(f); again.ID != p.ID || steps(again) != steps(p) {
		m.t.Fatalf("seed %d: the same facts in another order give another plan:\n%s\n\n%s", m.seed, steps(p), steps(again))
	}
	if after, _ := json.Marshal(f); string(after) != string(before) {
		m.t.Fatalf("seed %d: planning changed the facts", m.seed)
	}
}

func (m *model) make(f plan.Facts) *plan.Plan {
	c := &catalog.Catalog{Watch: catalog.Watch{Settle: 10 * time.Minute}}
	return plan.Make(c, m.graph(), f, m.now)
}

func (m *model) wellFormed(p *plan.Plan, f plan.Facts) {
	m.t.Helper()
	wrong := func(format string, a ...any) {
		m.t.Helper()
		m.t.Fatalf("seed %d: %s\n%s\n%+v", m.seed, fmt.Sprintf(format, a...), steps(p), p.NotDone)
	}
	inOrder(m.t, p)
	at := map[string]int{}
	for i, s := range p.Steps {
		if _, twice := at[s.Image]; twice {
			wrong("%s is done twice", s.Image)
		}
		at[s.Image] = i
		if len(s.Reasons) == 0 || slices.Contains(s.Reasons, "") || s.Cause == "" {
			wrong("%s has no reason", s.Image)
		}
	}
	together := map[string]plan.Step{}
	for _, s := range p.Steps {
		a, ok := f.Applications[s.Image]
		if first, told := together[a.Application]; ok && told && (!slices.Equal(first.Parents, s.Parents) || first.Tier != s.Tier) {
			wrong("%s and %s are of one application and do not wait for the same", first.Image, s.Image)
		}
		together[a.Application] = s
	}
	said := map[string]bool{}
	for _, n := range p.NotDone {
		if n.Reason == "" {
			wrong("no reason is given for %s", n.Image)
		}
		if !n.Next.IsZero() && !n.Next.After(m.now) {
			wrong("%s is to be looked at again in the past", n.Image)
		}
		said[n.Image] = true
	}
	for _, e := range m.edges {
		parent, first := at[e.Parent]
		child, second := at[e.Child]
		if first && second && (parent >= child || !slices.Contains(p.Steps[child].Parents, e.Parent)) {
			wrong("%s does not wait for %s", e.Child, e.Parent)
		}
		if first && !second && !said[e.Child] {
			wrong("%s stands on %s and nothing is said of it", e.Child, e.Parent)
		}
	}
	for name, b := range f.Bases {
		_, planned := at[name]
		own := slices.ContainsFunc(b.Patches, func(q plan.Patch) bool { return q.Inherited == "" })
		if (own || !b.Exists()) && !planned && !said[name] {
			wrong("%s has something to be done, and nothing is said", name)
		}
		if !planned {
			continue
		}
		if p.Steps[at[name]].Cause == plan.CausePackage && !own {
			wrong("%s is rebuilt for packages that it inherits", name)
		}
		for _, q := range b.Parents {
			if _, first := at[q.Name]; !first && !m.image(q.Name).Exists() {
				wrong("%s is built before there is a %s", name, q.Name)
			}
		}
	}
	for name, a := range f.Applications {
		_, planned := at[name]
		for _, r := range a.References {
			proven := r.Kind == graph.Inherits && a.StandsOn(f.Bases[r.Base].Image)
			if !proven && !planned && !said[name] && !slices.ContainsFunc(a.References, func(o plan.Reference) bool { return o.Kind == graph.Inherits }) {
				wrong("nothing proves that %s has what it takes from %s, and nothing is said", name, r.Base)
			}
			if !proven && !planned && !said[name] && r.Kind == graph.Inherits {
				wrong("%s does not stand on %s, and nothing is said", name, r.Base)
			}
		}
	}
}

// asItShouldBe is the end of all cases: what is not as it should be has a reason that only a person can remove.
func (m *model) asItShouldBe() {
	f := m.facts()
	p := m.plan()
	stuck := map[string]bool{} // an image, or one that it is made from, waits for a person
	for _, name := range m.order {
		b := f.Bases[name]
		stuck[name] = m.bases[name].holds[m.bases[name].recipe] || b.Promoted != "" && b.Promoted != b.Digest.String() || b.Exists() && b.BuiltFrom == ""
		for _, q := range b.Parents {
			stuck[name] = stuck[name] || stuck[q.Name]
		}
		if stuck[name] {
			continue
		}
		made := b.Attempt != nil && (b.Attempt.Outcome == "unchanged" || b.Attempt.Digest == b.Digest.String()) // by the inputs of now
		if !b.Exists() || len(b.Patches) > 0 || b.BuiltFrom != b.Recipe && !made {
			m.t.Fatalf("seed %d: %s is not as it should be: %+v\n%+v", m.seed, name, b, p.NotDone)
		}
		for _, q := range b.Parents {
			if q.Used != m.image(q.Name).Digest.String() && !made {
				m.t.Fatalf("seed %d: %s is made with an old %s, %+v", m.seed, name, q.Name, p.NotDone)
			}
		}
	}
	for name, a := range f.Applications {
		person := a.Strategy == "observe" || !a.Exists() || a.Told != nil && a.Told.State == "closed"
		copies := true
		for _, r := range a.References {
			person = person || !r.Rewritable || a.Strategy == "dispatch" && r.Pinned.Hex != ""
			copies = copies && r.Kind != graph.Inherits
		}
		for _, o := range f.Applications { // one that cannot be rewritten holds the images of its repository
			person = person || o.Application == a.Application && slices.ContainsFunc(o.References, func(r plan.Reference) bool { return !r.Rewritable })
		}
		if person {
			continue
		}
		if copies {
			m.seen["copies only"]++
			if !slices.ContainsFunc(p.NotDone, func(n plan.NotDone) bool { return n.Image == name && n.Unknown }) {
				m.t.Fatalf("seed %d: %s only copies, and is not said to be unproven: %+v", m.seed, name, p.NotDone)
			}
		}
		for _, r := range a.References {
			b := f.Bases[r.Base].Image
			if r.Kind == graph.Inherits && !a.StandsOn(b) || r.Kind != graph.Inherits && r.Pinned.Hex != "" && r.Pinned != b.Digest {
				m.t.Fatalf("seed %d: %s does not have the newest %s: %+v\n%+v", m.seed, name, r.Base, a, p.NotDone)
			}
		}
	}
}

// onlyAChild publishes a package that one base alone installs: neither what it stands on nor what has nothing to do with it
// may be planned.
func (m *model) onlyAChild() {
	name := pick(m, m.order)
	b := m.bases[name]
	if b.holds[b.recipe] || !b.Exists() || b.packages["own-"+name] == 0 || b.promoted != "" && b.promoted != b.Digest.String() {
		return
	}
	for _, o := range m.facts().Bases {
		if len(o.Patches) > 0 || o.Attempt != nil && (o.BuiltFrom != o.Recipe || o.Attempt.Outcome == "not-taken" || o.Attempt.Outcome == "unchanged") {
			return // another state of the repositories is another try for it
		}
	}
	m.newer("own-" + name)
	p := m.plan()
	below := append(m.graph().Affected(name), name)
	for _, s := range p.Steps {
		if !slices.Contains(below, s.Image) {
			m.t.Fatalf("seed %d: own-%s is only in %s and below, and %s is planned: %v", m.seed, name, name, s.Image, s.Reasons)
		}
	}
	if s, ok := p.Find(name); !ok || s.Cause != plan.CausePackage {
		m.t.Fatalf("seed %d: own-%s is newer, and %s is not planned: %+v", m.seed, name, name, p.NotDone)
	}
	m.seen["only a child"]++
}
