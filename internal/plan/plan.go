package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/pace"
)

// Plan is what would be done. It is data: it can be shown, stored, compared and applied once.
type Plan struct {
	// ID is the hash of Inputs and of what Steps do, not of how that is explained: it stays the same for as long as nothing
	// has changed, also when git does not answer this time, or another replica looks.
	ID        string    `json:"id"`
	Title     string    `json:"title"` // "libssl3 3.0.20 -> 3.0.22 in base/debian"
	Cause     Cause     `json:"cause"`
	MadeAt    time.Time `json:"made_at"`
	NoticedAt time.Time `json:"noticed_at,omitzero"` // when the youngest change was first seen; zero: at no known moment
	NotBefore time.Time `json:"not_before"`          // end of the settle window; zero: now
	Steps     []Step    `json:"steps"`               // in an order in which they can be done
	NotDone   []NotDone `json:"not_done"`
	// Waves in which applications are told, when there are several; Step.Wave is which.
	Waves   []pace.Wave `json:"waves,omitempty"`
	Inputs  []Input     `json:"inputs"`  // what the plan rests on; apply refuses when one of them moved
	Images  int         `json:"images"`  // how many images were looked at
	Unknown int         `json:"unknown"` // of how many of them something is not known
}

// Cause says what a plan answers to. The first that holds, in this order, names the plan.
type Cause string

const (
	CauseRollback Cause = "rollback" // an image stands on what is in quarantine now
	CausePackage  Cause = "package"  // a patched package
	CauseUpstream Cause = "upstream" // an upstream image moved
	CauseRecipe   Cause = "recipe"   // a recipe changed
	CauseFirst    Cause = "first"    // the channel has no image yet
	CauseAdvisory Cause = "advisory" // a new advisory hits an image
	CauseManual   Cause = "manual"   // a person asked for a fresh build
	CauseParent   Cause = "parent"   // an image stands on an old digest of its parent
	CauseRefresh  Cause = "refresh"  // everything is built fresh at set times
)

// Action is what a step does.
type Action string

const (
	Rebuild     Action = "rebuild"      // build, assert, promote
	PullRequest Action = "pull-request" // pin the new digest
	Dispatch    Action = "dispatch"     // start the application's CI
	Rebase      Action = "rebase"       // put its layers on the new base, assert, promote
)

// Step is one effect on one image.
type Step struct {
	Image   string   `json:"image"`
	Kind    string   `json:"kind"` // base or application
	Action  Action   `json:"action"`
	Tier    int      `json:"tier"`
	Cause   Cause    `json:"cause"`
	Reasons []string `json:"reasons"`
	Notes   []string `json:"notes,omitempty"` // what is to be known of how it is done
	Parents []string `json:"parents"`         // steps of this plan that come first
	Before  string   `json:"before"`          // digest now; empty when none
	Patches []Patch  `json:"patches"`         // those that this step must bring in
	Wave    int      `json:"wave,omitempty"`  // of Plan.Waves; the first is 0
	// Refresh is the fresh build that this step makes; empty: none is wanted of it.
	Refresh string `json:"refresh,omitempty"`
}

// NotDone is something that one could expect to be done and is not, with the reason.
type NotDone struct {
	Image  string    `json:"image"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since,omitzero"`
	Next   time.Time `json:"next,omitzero"` // when it is looked at again; zero: when its inputs change
	Who    string    `json:"who,omitempty"` // who can act
	// Unknown says that we do not know whether something is to be done.
	Unknown bool `json:"unknown,omitempty"`
}

// Input is one fact that the plan rests on.
type Input struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Empty says that nothing is to be done.
func (p *Plan) Empty() bool { return len(p.Steps) == 0 }

// Due says that the settle window is over.
func (p *Plan) Due(now time.Time) bool { return !now.Before(p.NotBefore) }

// Find returns the step for an image.
func (p *Plan) Find(image string) (Step, bool) {
	i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Image == image })
	if i < 0 {
		return Step{}, false
	}
	return p.Steps[i], true
}

// Make decides. g must hold every image of the catalog; now decides back-off and settle windows.
func Make(c *catalog.Catalog, g *graph.Graph, f Facts, now time.Time) *Plan {
	m := &maker{c: c, g: g, f: f, now: now, plan: &Plan{MadeAt: now}, planned: map[string]int{}, step: map[string]int{}, wants: f.Wants()}
	for _, name := range g.Order() {
		n, _ := g.Node(name)
		if n.Kind != graph.Observed { // nothing is decided about what nobody declared
			m.plan.Images++
		}
		switch n.Kind {
		case graph.Upstream:
			m.upstream(name)
		case graph.Base:
			m.base(name)
		case graph.Application:
			m.application(name)
		}
	}
	m.gather()
	m.waves()
	m.finish()
	return m.plan
}

type maker struct {
	c       *catalog.Catalog
	g       *graph.Graph
	f       Facts
	now     time.Time
	plan    *Plan
	planned map[string]int               // image -> tier
	step    map[string]int               // image -> place in plan.Steps, until they are put in order
	wants   map[string]map[string]string // application -> base -> digest
}

func (m *maker) input(name, value string) { m.plan.Inputs = append(m.plan.Inputs, Input{name, value}) }

func (m *maker) skip(n NotDone) { m.plan.NotDone = append(m.plan.NotDone, n) }

func (m *maker) add(s Step) {
	for _, p := range s.Parents {
		s.Tier = max(s.Tier, m.planned[p]+1)
	}
	m.planned[s.Image], m.step[s.Image] = s.Tier, len(m.plan.Steps)
	m.plan.Steps = append(m.plan.Steps, s)
}

// gather lets all images of one application wait for the parents of all of them: they share one pull request.
func (m *maker) gather() {
	parents := map[string][]string{}
	for _, s := range m.plan.Steps {
		if a, ok := m.f.Applications[s.Image]; ok {
			parents[a.Application] = append(parents[a.Application], s.Parents...)
		}
	}
	for i := range m.plan.Steps {
		s := &m.plan.Steps[i]
		a, ok := m.f.Applications[s.Image]
		if !ok {
			continue
		}
		s.Parents = slices.Compact(slices.Sorted(slices.Values(parents[a.Application])))
		for _, p := range s.Parents {
			s.Tier = max(s.Tier, m.planned[p]+1)
		}
	}
}

// finish names the plan after its strongest cause and gives it its ID.
func (m *maker) finish() {
	p := m.plan
	unknown := map[string]bool{}
	for _, n := range p.NotDone {
		if n.Unknown {
			unknown[n.Image] = true
		}
	}
	p.Unknown = len(unknown)
	// What gather put off may stand before what it waits for now.
	slices.SortStableFunc(p.Steps, func(a, b Step) int { return a.Tier - b.Tier })
	order := []Cause{CauseRollback, CausePackage, CauseAdvisory, CauseUpstream, CauseRecipe, CauseFirst, CauseManual, CauseParent, CauseRefresh}
	best := len(order)
	for _, s := range p.Steps {
		if i := slices.Index(order, s.Cause); i < best {
			best, p.Cause = i, s.Cause
		}
	}
	p.Title = title(p)
	m.atOnce()
	slices.SortFunc(p.Inputs, func(a, b Input) int { return strings.Compare(a.Name, b.Name) })
	p.ID = identity(p.Inputs, p.Steps)
}

// identity is the ID of a plan.
func identity(inputs []Input, steps []Step) string {
	steps = slices.Clone(steps)
	for i := range steps {
		s := &steps[i]
		s.Reasons, s.Notes, s.Patches = nil, nil, slices.Clone(s.Patches)
		for k := range s.Patches {
			s.Patches[k].PublishedAt = 0 // as this replica's watcher knows it
		}
	}
	sum := sha256.New()
	_ = json.NewEncoder(sum).Encode(struct { // strings, numbers and lists of them cannot fail
		Inputs []Input
		Steps  []Step
	}{inputs, steps})
	return "p-" + hex.EncodeToString(sum.Sum(nil))[:12]
}

// title is one line: the first step for the plan's cause, and how much more there is for the same cause.
func title(p *Plan) string {
	steps := slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return s.Cause != p.Cause })
	if len(steps) == 0 {
		return "nothing to do"
	}
	first := steps[0]
	t := first.Image + ": " + first.Reasons[0]
	packages := map[string]bool{}
	if p.Cause == CausePackage && len(first.Patches) > 0 {
		q := first.Patches[0]
		t = fmt.Sprintf("%s %s -> %s in %s", q.Package, q.From, q.To, first.Image)
		for _, s := range steps {
			for _, q := range s.Patches {
				packages[q.Package] = true
			}
		}
	}
	switch n, images := len(packages)-1, len(steps)-1; {
	case n > 0 && images > 0:
		return fmt.Sprintf("%s, %s in %s", t, more(n, "package"), count(images+1, "image"))
	case n > 0:
		return t + ", and " + more(n, "package")
	case images > 0:
		return t + ", and " + more(images, "image")
	}
	return t
}

func more(n int, what string) string { return strings.Replace(count(n, what), " ", " more ", 1) }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
