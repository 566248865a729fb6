package plan_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/graph"
	"rebuilder/internal/patch"
	"rebuilder/internal/plan"
)

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
	versions  map[string]int // package -> newest version, counted
	web       int            // what recipes download, and only fresh builds download again
	slots     int            // of the schedule
	upstreams map[string]*modelImage
	bases     map[string]*modelBase
	apps      map[string]*modelApp // by image
	told      map[string]*plan.Told
	attempts  map[string]*plan.Attempt
	made      map[string]*modelImage // by digest: everything there ever was
	count     int

	built   map[string]int    // how often each base was built
	planned map[string]string // the build keys of the newest plan
	plans   int               // how many were made
	running []*rollout
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
	wanted    string // the fresh build that is wanted, until it is done
	done      string
	downloads map[string]int // by fresh build: what it downloaded
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

// firstVersion is such that the second one after it has a digit more.
const firstVersion = 8

var families = []string{"deb", "apk", "rpm"}

// family is the package family of a package.
func family(p string) string { return families[int(p[len(p)-1])%len(families)] }

// version spells the nth version of a package as its family does, so that only the family's own order puts it right.
func version(p string, n int) string {
	switch family(p) {
	case "apk":
		return fmt.Sprintf("1.%d_p1-r0", n)
	case "rpm":
		return fmt.Sprintf("1:2.%d~rc1-3.el9", n)
	}
	return fmt.Sprintf("2:1.%d~rc1-1+deb12u%d", n, n)
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
		attempts: map[string]*plan.Attempt{}, made: map[string]*modelImage{}, built: map[string]int{}}
	var names []string
	for i := range 1 + m.rng.IntN(2) {
		name := fmt.Sprintf("up/%d%c", i, 'a'+rune(m.rng.IntN(26)))
		m.nodes = append(m.nodes, graph.Node{Name: name, Kind: graph.Upstream})
		m.versions["lib"+name] = firstVersion
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
	b := &modelBase{modelImage: modelImage{Image: plan.Image{Reference: "r/" + name + ":stable"}}, own: []string{"own-" + name}, holds: map[int]bool{}, downloads: map[string]int{}, since: m.now.Add(-time.Hour)}
	m.versions["own-"+name] = firstVersion
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
	fresh, _ := m.fresh(name)
	if _, ok := b.downloads[fresh]; !ok {
		b.downloads[fresh] = m.web
	}
	content := []string{fmt.Sprintf("%s recipe %d download %d", name, b.recipe/2, b.downloads[fresh])} // every other change is a comment
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
			Commit: fmt.Sprint("c", a.commit), References: slices.Clone(a.refs), Told: m.told[a.application], Busy: m.busy(name)}
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
		q := plan.Patch{Patch: patch.Patch{Type: family(p), Package: p, Architecture: "amd64", From: version(p, have), To: version(p, newest), Held: b.held(p)}}
		if above, ok := m.inherits(b); ok && m.image(above).packages[p] > 0 && m.bases[above] != nil {
			q.Inherited = above
		}
		f.Patches = append(f.Patches, q)
	}
	f.Busy = m.busy(name)
	f.Fresh, f.Refresh = m.fresh(name)
	f.Attempt = m.attempts[m.key(name)]
	return f
}

// fresh is the fresh build that goes into one of now, and the one that is wanted.
func (m *model) fresh(name string) (string, *plan.Refresh) {
	b := m.bases[name]
	if b.wanted == b.done {
		return b.done, nil
	}
	r := &plan.Refresh{Wanted: b.wanted, Cause: plan.CauseRefresh, Reason: "the nightly refresh", Since: m.now}
	if strings.HasPrefix(b.wanted, "request") {
		r.Cause, r.Reason = plan.CauseManual, "ada asked for it"
	}
	if a := m.attempts[m.keyWith(name, b.wanted)]; a != nil && a.Outcome == "failed" && m.now.Before(a.Next) {
		r.Failed = a
		return b.done, r
	}
	return b.wanted, r
}

func (m *model) inherits(b *modelBase) (string, bool) {
	i := slices.IndexFunc(b.parents, func(p plan.Parent) bool { return p.Kind == graph.Inherits })
	if i < 0 {
		return "", false
	}
	return b.parents[i].Name, true
}

func (m *model) key(name string) string {
	fresh, _ := m.fresh(name)
	return m.keyWith(name, fresh)
}

func (m *model) keyWith(name, fresh string) string {
	b := m.bases[name]
	in := plan.Inputs{Image: name, Recipe: fmt.Sprint("recipe", b.recipe), State: fmt.Sprint("state", m.state), Fresh: fresh}
	for _, p := range b.parents {
		in.Parents = append(in.Parents, plan.Pinned{Parent: p, Digest: m.image(p.Name).Digest})
	}
	return in.Key()
}

// disturb lets the world change.
func (m *model) disturb() {
	m.now = m.now.Add(time.Duration(m.rng.IntN(180)) * time.Minute)
	m.change(15)
	for _, name := range m.order {
		if b := m.bases[name]; m.chance(5) && m.parentsExist(b) && b.Exists() {
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

// change lets each thing become another that may become one while a rollout runs, with a chance in a hundred.
func (m *model) change(percent int) {
	for _, p := range slices.Sorted(maps.Keys(m.versions)) {
		if m.chance(percent) {
			m.newer(p)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.upstreams)) {
		if m.chance(percent) {
			m.moveUpstream(name)
		}
	}
	if m.chance(percent) {
		m.web++
	}
	if m.chance(percent / 3) {
		m.slots++
		for _, name := range m.order {
			m.want(name, fmt.Sprint("slot ", m.slots))
		}
	}
	for _, name := range m.order {
		b := m.bases[name]
		if m.chance(percent) {
			b.recipe += 1 + m.rng.IntN(2)
		}
		if m.chance(percent * 2 / 3) {
			b.recipe++
			b.holds[b.recipe] = true
		}
		if m.chance(percent * 2 / 3) {
			b.recipe = max(0, b.recipe-1-m.rng.IntN(2)) // taken back
		}
		if m.chance(percent / 5) {
			m.count++
			m.want(name, fmt.Sprint("request ", m.count))
		}
	}
}

// want asks for a fresh build. What a schedule wants does not take the place of what a person asked for.
func (m *model) want(name, fresh string) {
	b := m.bases[name]
	if b.wanted == b.done || strings.HasPrefix(fresh, "request") || !strings.HasPrefix(b.wanted, "request") {
		b.wanted = fresh
	}
}

func (m *model) newer(p string) {
	m.versions[p]++
	m.state++
	for _, b := range m.bases {
		b.since = m.now
	}
}
