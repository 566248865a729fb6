package plan_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/patch"
	"rebuilder/internal/plan"
)

const (
	modelCases = 200
	retryAfter = time.Hour
)

// TestModel plays random organisations: graphs of any shape, packages and recipes that change, builds that fail, are not
// taken or change nothing, people who close pull requests and move channels. Whatever happens, each plan is well formed;
// once the world is quiet, the daemon is, too; and once builds work again, everything is as it should be.
func TestModel(t *testing.T) {
	var seen tally
	for seed := range uint64(modelCases) {
		m := newModel(t, seed)
		m.play()
		seen.add(m.seen)
	}
	seen.check(t)
}

func (m *model) play() {
	for range 6 { // anything may happen
		m.disturb()
		m.apply(m.plan())
		m.people()
	}
	// Nothing happens any more, not even time passes: each failure is remembered, so that there is an end.
	m.quiet("no time passes", func() {})
	// Builds and forges work, CI builds what is merged, and slots come.
	m.calm = true
	m.quiet("all works", func() {
		m.people()
		m.now = m.now.Add(48 * time.Hour)
	})
	m.asItShouldBe()
	m.onlyAChild()
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

// model is a world and its memory, kept as internal/observe and internal/rollout do.
type model struct {
	t    *testing.T
	seed uint64
	rng  *rand.Rand
	now  time.Time
	calm bool // nothing fails, nobody says no
	seen tally

	nodes []graph.Node
	edges []graph.Edge
	order []string // bases, parents first

	state     int            // of the package repositories
	versions  map[string]int // package -> newest version
	upstreams map[string]*modelImage
	bases     map[string]*modelBase
	apps      map[string]*modelApp // by image
	told      map[string]*plan.Told
	attempts  map[string]*plan.Attempt
	made      map[string]*modelImage // by digest: everything there ever was
	count     int
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

func (s tally) check(t *testing.T) {
	for _, k := range []string{"done", "failed", "unchanged", "not-taken", "skipped", "told", "untold", "merged", "closed", "moved by hand", "only a child", "copies only", "reused"} {
		if s[k] == 0 {
			t.Errorf("no case met %q", k)
		}
	}
	t.Log(s)
}

type modelImage struct {
	plan.Image
	content  string
	packages map[string]int
}

type modelBase struct {
	modelImage
	recipe    int
	own       []string     // packages that its recipe installs
	holds     map[int]bool // recipes that hold these packages
	parents   []plan.Parent
	builtFrom string
	used      map[string]string
	promoted  string
	since     time.Time // of the state
}

func (b *modelBase) held(p string) bool { return b.holds[b.recipe] && slices.Contains(b.own, p) }

type modelApp struct {
	modelImage
	application, strategy string
	commit                int
	refs                  []plan.Reference
}

func digest(s string) v1.Hash {
	sum := sha256.Sum256([]byte(s))
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

func (m *model) chance(percent int) bool { return m.rng.IntN(100) < percent }

func pick[T any](m *model, from []T) T { return from[m.rng.IntN(len(from))] }

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 20261121)), now: noon, seen: tally{}, state: 1, versions: map[string]int{},
		upstreams: map[string]*modelImage{}, bases: map[string]*modelBase{}, apps: map[string]*modelApp{}, told: map[string]*plan.Told{},
		attempts: map[string]*plan.Attempt{}, made: map[string]*modelImage{}}
	var names []string
	for i := range 1 + m.rng.IntN(2) {
		name := fmt.Sprintf("up/%d", i)
		m.nodes = append(m.nodes, graph.Node{Name: name, Kind: graph.Upstream})
		m.versions["lib"+name] = 1
		m.upstreams[name] = &modelImage{Image: plan.Image{Reference: "r/" + name}}
		m.moveUpstream(name)
		names = append(names, name)
	}
	for i := range 1 + m.rng.IntN(7) {
		// In an order of names that is not that of the graph.
		name := fmt.Sprintf("base/%c%d", 'a'+rune(m.rng.IntN(26)), i)
		m.addBase(name, names)
		names = append(names, name)
	}
	for i := range m.rng.IntN(7) {
		m.addApplication(fmt.Sprintf("app%d", i))
	}
	return m
}

func (m *model) addBase(name string, above []string) {
	b := &modelBase{modelImage: modelImage{Image: plan.Image{Reference: "r/" + name + ":stable"}}, own: []string{"own-" + name}, holds: map[int]bool{}, since: m.now.Add(-time.Hour)}
	m.versions["own-"+name] = 1
	for i, kind := range []graph.EdgeKind{graph.Inherits, graph.BuildsWith, graph.CopiesFrom} {
		if i == 0 && m.chance(90) || i > 0 && m.chance(20) {
			p := pick(m, above)
			b.parents = append(b.parents, plan.Parent{Name: p, Reference: "r/" + p, Kind: kind, Where: fmt.Sprintf("Dockerfile:%d", i+1)})
			m.edges = append(m.edges, graph.Edge{Parent: p, Child: name, Kind: kind, Evidence: graph.FromRecipe})
		}
	}
	m.nodes = append(m.nodes, graph.Node{Name: name, Kind: graph.Base})
	m.bases[name] = b
	m.order = append(m.order, name)
	if m.chance(30) && m.parentsExist(b) { // somebody else built it, once
		img := m.build(name)
		b.modelImage = *img
	}
}

func (m *model) addApplication(application string) {
	strategy := pick(m, []string{"pull-request", "pull-request", "dispatch", "observe"})
	for i := range 1 + m.rng.IntN(2) {
		name := application
		if i > 0 {
			name += "/second"
		}
		a := &modelApp{modelImage: modelImage{Image: plan.Image{Reference: "r/" + name + ":main"}}, application: application, strategy: strategy}
		for k := range 1 + m.rng.IntN(3) {
			kind := graph.CopiesFrom
			if k == 0 && m.chance(75) {
				kind = graph.Inherits
			}
			base := pick(m, m.order)
			r := plan.Reference{Base: base, Reference: "r/" + base + ":stable", Kind: kind, File: name + "/Dockerfile", Line: k + 1, Rewritable: m.chance(90), Why: "is composed of build args"}
			a.refs = append(a.refs, r)
			m.edges = append(m.edges, graph.Edge{Parent: base, Child: name, Kind: kind, Evidence: graph.FromRecipe, Where: fmt.Sprintf("%s:%d", r.File, r.Line)})
		}
		m.nodes = append(m.nodes, graph.Node{Name: name, Kind: graph.Application})
		m.apps[name] = a
	}
}

func (m *model) image(name string) *modelImage {
	if u, ok := m.upstreams[name]; ok {
		return u
	}
	return &m.bases[name].modelImage
}

func (m *model) parentsExist(b *modelBase) bool {
	return !slices.ContainsFunc(b.parents, func(p plan.Parent) bool { return !m.image(p.Name).Exists() })
}

// publish gives an image a digest of its own: builds are not reproducible.
func (m *model) publish(img *modelImage, below []v1.Hash) *modelImage {
	m.count++
	img.Digest = digest(fmt.Sprintf("%s #%d", img.content, m.count))
	img.DiffIDs = append(slices.Clip(slices.Clone(below)), digest(img.content))
	m.made[img.Digest.String()] = img
	return img
}

func (m *model) moveUpstream(name string) {
	m.count++
	img := &modelImage{Image: plan.Image{Reference: "r/" + name}, content: fmt.Sprintf("%s %d", name, m.count), packages: map[string]int{"lib" + name: m.versions["lib"+name]}}
	if old := m.upstreams[name]; old.Exists() && m.chance(30) {
		img.content, img.packages = old.content, old.packages // pushed again
	}
	m.upstreams[name] = m.publish(img, nil)
	m.upstreams[name].FirstSeen = m.now
}

// build makes what a recipe makes of its parents and the package repositories now.
func (m *model) build(name string) *modelImage {
	b := m.bases[name]
	img := &modelImage{Image: plan.Image{Reference: b.Reference}, packages: map[string]int{}}
	var below []v1.Hash
	content := []string{fmt.Sprintf("%s recipe %d", name, b.recipe/2)} // every other change is a comment
	upgrades := slices.Clone(b.own)
	for _, p := range b.parents {
		above := m.image(p.Name)
		content = append(content, string(p.Kind)+" "+above.content)
		if p.Kind != graph.Inherits {
			continue
		}
		below = above.DiffIDs
		maps.Copy(img.packages, above.packages)
		if _, up := m.upstreams[p.Name]; up {
			upgrades = slices.AppendSeq(upgrades, maps.Keys(above.packages))
		}
	}
	for _, p := range upgrades {
		if have := b.packages[p]; !b.held(p) || have == 0 {
			img.packages[p] = m.versions[p]
		} else {
			img.packages[p] = max(have, img.packages[p])
		}
	}
	for _, p := range slices.Sorted(maps.Keys(img.packages)) {
		content = append(content, fmt.Sprint(p, img.packages[p]))
	}
	img.content = strings.Join(content, "; ")
	return m.publish(img, below)
}

// facts is what internal/observe would find.
func (m *model) facts() plan.Facts {
	f := plan.Facts{At: m.now, Upstreams: map[string]plan.Image{}, Bases: map[string]plan.Base{}, Applications: map[string]plan.Application{}}
	for name, u := range m.upstreams {
		f.Upstreams[name] = u.Image
	}
	for name, b := range m.bases {
		f.Bases[name] = m.baseFacts(name, b)
	}
	for name, a := range m.apps {
		f.Applications[name] = plan.Application{Image: a.Image, Application: a.application, Strategy: a.strategy, Repository: "acme/" + a.application, Branch: "main",
			Commit: fmt.Sprint("c", a.commit), References: slices.Clone(a.refs), Told: m.told[a.application]}
	}
	wants := f.Wants()
	for name, a := range f.Applications {
		a.Attempt = m.attempts[plan.TellKey(a.Application, wants[a.Application])]
		f.Applications[name] = a
	}
	return f
}

func (m *model) baseFacts(name string, b *modelBase) plan.Base {
	f := plan.Base{Image: b.Image, Recipe: fmt.Sprint("recipe", b.recipe), State: fmt.Sprint("state", m.state), StateSince: b.since, Parents: slices.Clone(b.parents)}
	if b.Exists() {
		f.BuiltFrom, f.Promoted = b.builtFrom, b.promoted
		for i := range f.Parents {
			f.Parents[i].Used = b.used[f.Parents[i].Name]
		}
	}
	for _, p := range slices.Sorted(maps.Keys(b.packages)) {
		have, newest := b.packages[p], m.versions[p]
		if have == newest {
			continue
		}
		q := plan.Patch{Patch: patch.Patch{Package: p, From: fmt.Sprint(have), To: fmt.Sprint(newest), Held: b.held(p)}}
		if above, ok := m.inherits(b); ok && m.image(above).packages[p] > 0 && m.bases[above] != nil {
			q.Inherited = above
		}
		f.Patches = append(f.Patches, q)
	}
	f.Attempt = m.attempts[m.key(name)]
	return f
}

func (m *model) inherits(b *modelBase) (string, bool) {
	i := slices.IndexFunc(b.parents, func(p plan.Parent) bool { return p.Kind == graph.Inherits })
	if i < 0 {
		return "", false
	}
	return b.parents[i].Name, true
}

func (m *model) key(name string) string {
	b := m.bases[name]
	in := plan.Inputs{Image: name, Recipe: fmt.Sprint("recipe", b.recipe), State: fmt.Sprint("state", m.state)}
	for _, p := range b.parents {
		in.Parents = append(in.Parents, plan.Pinned{Parent: p, Digest: m.image(p.Name).Digest})
	}
	return in.Key()
}

// plan makes a plan and checks what must hold of every one.
func (m *model) plan() *plan.Plan {
	m.t.Helper()
	f := m.facts()
	before, err := json.Marshal(f)
	if err != nil {
		m.t.Fatal(err)
	}
	p := m.make(f)
	if after, _ := json.Marshal(f); string(after) != string(before) {
		m.t.Fatalf("seed %d: planning changed the facts", m.seed)
	}
	m.rng.Shuffle(len(m.nodes), func(i, k int) { m.nodes[i], m.nodes[k] = m.nodes[k], m.nodes[i] })
	m.rng.Shuffle(len(m.edges), func(i, k int) { m.edges[i], m.edges[k] = m.edges[k], m.edges[i] })
	if again := m.make(m.facts()); again.ID != p.ID || steps(again) != steps(p) {
		m.t.Fatalf("seed %d: the same facts in another order give another plan:\n%s\n\n%s", m.seed, steps(p), steps(again))
	}
	m.wellFormed(p, f)
	return p
}

func (m *model) make(f plan.Facts) *plan.Plan {
	g, err := graph.New(m.nodes, m.edges)
	if err != nil {
		m.t.Fatal(err)
	}
	c := &catalog.Catalog{Watch: catalog.Watch{Settle: 10 * time.Minute}}
	return plan.Make(c, g, f, m.now)
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

// disturb lets the world change.
func (m *model) disturb() {
	m.now = m.now.Add(time.Duration(m.rng.IntN(180)) * time.Minute)
	for _, p := range slices.Sorted(maps.Keys(m.versions)) {
		if m.chance(15) {
			m.newer(p)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.upstreams)) {
		if m.chance(15) {
			m.moveUpstream(name)
		}
	}
	for _, name := range m.order {
		b := m.bases[name]
		if m.chance(15) {
			b.recipe += 1 + m.rng.IntN(2)
		}
		if m.chance(10) {
			b.recipe++
			b.holds[b.recipe] = true
		}
		if m.chance(10) {
			b.recipe = max(0, b.recipe-1-m.rng.IntN(2)) // taken back
		}
		if m.chance(5) && m.parentsExist(b) && b.Exists() {
			b.modelImage, b.builtFrom, b.used = *m.build(name), "", nil
			m.seen["moved by hand"]++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.apps)) {
		if a := m.apps[name]; m.chance(30) {
			m.ci(a)
		}
	}
}

func (m *model) newer(p string) {
	m.versions[p]++
	m.state++
	for _, b := range m.bases {
		b.since = m.now
	}
}

// apply does what a rollout does, and remembers it.
func (m *model) apply(p *plan.Plan) {
	outcome := map[string]string{}
	for _, s := range p.Steps {
		if s.Action == plan.Rebuild {
			outcome[s.Image] = m.rebuild(s, outcome)
			m.seen[outcome[s.Image]]++
		}
	}
	asked := map[string]bool{}
	for _, s := range p.Steps {
		if s.Action == plan.Rebuild {
			continue
		}
		if len(s.Parents) > 0 && !slices.ContainsFunc(s.Parents, func(q string) bool { return outcome[q] == "done" }) {
			m.seen["skipped"]++
			continue
		}
		if a := m.apps[s.Image]; !asked[a.application] {
			asked[a.application] = true
			m.tell(s, a)
		}
	}
}

func (m *model) rebuild(s plan.Step, outcome map[string]string) string {
	b := m.bases[s.Image]
	if s.Cause == plan.CauseParent && len(s.Parents) > 0 && b.Exists() && !slices.ContainsFunc(s.Parents, func(q string) bool { return outcome[q] == "done" }) {
		return "skipped"
	}
	if !m.parentsExist(b) {
		return "failed" // before there is a key to remember it by
	}
	key := m.key(s.Image)
	m.inItsSlot(s, m.attempts[key])
	var img *modelImage
	switch a := m.attempts[key]; {
	case a != nil && a.Outcome == "not-taken":
		return a.Outcome
	case a != nil && a.Outcome == "built":
		img = m.made[a.Digest]
		m.seen["reused"]++
	case !m.calm && m.chance(20):
		return m.remember(key, "failed", "exit 100", "")
	default:
		img = m.build(s.Image)
	}
	if why := missing(s.Patches, img); len(why) > 0 && len(why) == len(s.Patches) {
		return m.remember(key, "not-taken", strings.Join(why, "; "), "")
	}
	used := map[string]string{}
	for _, p := range b.parents {
		used[p.Name] = m.image(p.Name).Digest.String()
	}
	if b.Exists() && img.content == b.content {
		b.builtFrom, b.used = fmt.Sprint("recipe", b.recipe), used // the image is as good as made by this build
		return m.remember(key, "unchanged", "", "")
	}
	b.modelImage, b.builtFrom, b.used, b.promoted = *img, fmt.Sprint("recipe", b.recipe), used, img.Digest.String()
	m.remember(key, "built", "", img.Digest.String())
	return "done"
}

// inItsSlot checks that what failed with the inputs of now is not tried again early. What a parent will be is not known
// when a step is planned.
func (m *model) inItsSlot(s plan.Step, a *plan.Attempt) {
	if a != nil && len(s.Parents) == 0 && m.now.Before(a.Next) {
		m.t.Fatalf("seed %d: %s failed with these inputs and is tried again before %s", m.seed, s.Image, a.Next)
	}
}

func missing(patches []plan.Patch, img *modelImage) (why []string) {
	for _, p := range patches {
		if have := fmt.Sprint(img.packages[p.Package]); !p.TakenBy(have) {
			why = append(why, p.Package+" is still "+have)
		}
	}
	return why
}

func (m *model) remember(key, outcome, reason, made string) string {
	a := &plan.Attempt{Outcome: outcome, Reason: reason, Digest: made, Tries: 1, At: m.now}
	if old := m.attempts[key]; old != nil {
		a.Tries += old.Tries
	}
	if outcome == "failed" {
		a.Next = m.now.Add(retryAfter << min(a.Tries-1, 5))
	}
	m.attempts[key] = a
	return outcome
}

// tell opens a pull request or dispatches.
func (m *model) tell(s plan.Step, a *modelApp) {
	wants := m.facts().Wants()[a.application]
	m.inItsSlot(s, m.attempts[plan.TellKey(a.application, wants)])
	if !m.calm && m.chance(20) {
		m.remember(plan.TellKey(a.application, wants), "failed", "403", "")
		m.seen["untold"]++
		return
	}
	if t := m.told[a.application]; t != nil && len(s.Parents) == 0 && maps.Equal(t.Wants, wants) {
		m.t.Fatalf("seed %d: %s is told of the same again", m.seed, a.application)
	}
	delete(m.attempts, plan.TellKey(a.application, wants))
	t := &plan.Told{Rollout: "r", State: "open", Since: m.now, Wants: wants}
	if a.strategy == "pull-request" {
		m.count++
		t.Number = m.count
	}
	m.told[a.application] = t
	m.seen["told"]++
}

// people merge and close, and their CI builds.
func (m *model) people() {
	for _, name := range slices.Sorted(maps.Keys(m.told)) {
		t := m.told[name]
		var images []*modelApp
		for _, i := range slices.Sorted(maps.Keys(m.apps)) {
			if m.apps[i].application == name {
				images = append(images, m.apps[i])
			}
		}
		if t == nil || t.State == "closed" || !m.calm && m.chance(30) {
			continue
		}
		if t.Number > 0 && t.State == "open" && !m.calm && m.chance(20) {
			m.told[name] = &plan.Told{Rollout: t.Rollout, State: "closed", Number: t.Number, Since: t.Since, Wants: t.Wants}
			m.seen["closed"]++
			continue
		}
		if t.Number > 0 && t.State == "open" {
			m.merge(images, t)
			continue // its CI takes until the next look
		}
		built := true
		for _, a := range images {
			m.ci(a)
			built = built && m.arrived(a, t.Wants)
		}
		if built {
			m.told[name] = nil
		}
	}
}

func (m *model) merge(images []*modelApp, t *plan.Told) {
	for _, a := range images {
		a.commit++
		for i, r := range a.refs {
			if want := t.Wants[r.Base]; want != "" && r.Rewritable {
				a.refs[i].Pinned = m.made[want].Digest
			}
		}
	}
	merged := *t
	merged.State = "merged"
	m.told[images[0].application] = &merged
	m.seen["merged"]++
}

// ci builds an application from its Dockerfile, when that can be built.
func (m *model) ci(a *modelApp) {
	var below []v1.Hash
	for _, r := range a.refs {
		on := &m.bases[r.Base].modelImage
		if r.Pinned.Hex != "" {
			on = m.made[r.Pinned.String()]
		}
		if !on.Exists() {
			return
		}
		if r.Kind == graph.Inherits {
			below = on.DiffIDs
		}
	}
	a.modelImage = *m.publish(&modelImage{Image: plan.Image{Reference: a.Reference}, content: a.Reference}, below)
}

// arrived says that an image that was built after it was told is as wanted.
func (m *model) arrived(a *modelApp, wants map[string]string) bool {
	for _, r := range a.refs {
		b := m.bases[r.Base]
		if r.Pinned.Hex != "" && r.Pinned.String() != wants[r.Base] || r.Kind == graph.Inherits && (b.Digest.String() != wants[r.Base] || !a.StandsOn(b.Image)) {
			return false
		}
	}
	return a.Exists()
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
	g, err := graph.New(m.nodes, m.edges)
	if err != nil {
		m.t.Fatal(err)
	}
	name := pick(m, m.order)
	b := m.bases[name]
	if b.holds[b.recipe] || !b.Exists() || b.packages["own-"+name] == 0 {
		return
	}
	for _, o := range m.facts().Bases {
		if len(o.Patches) > 0 || o.Attempt != nil && (o.BuiltFrom != o.Recipe || o.Attempt.Outcome == "not-taken" || o.Attempt.Outcome == "unchanged") {
			return // another state of the repositories is another try for it
		}
	}
	m.newer("own-" + name)
	p := m.plan()
	below := append(g.Affected(name), name)
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
