package plan_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/graph"
	"rebuilder/internal/plan"
)

// rollout is a plan that is being carried out, step by step.
type rollout struct {
	id      int
	steps   []plan.Step       // those that are left
	keys    map[string]string // the build keys when it was planned
	outcome map[string]string
	asked   map[string]bool // applications
	alone   bool            // nothing happens between its steps
}

// start begins a rollout: from now on it has its images in hand.
func (m *model) start(p *plan.Plan) *rollout {
	m.count++
	r := &rollout{id: m.count, steps: p.Steps, keys: m.planned, outcome: map[string]string{}, asked: map[string]bool{}}
	m.running = append(m.running, r)
	return r
}

// busy names the rollout that has an image in hand.
func (m *model) busy(image string) string {
	for _, r := range m.running {
		if slices.ContainsFunc(r.steps, func(s plan.Step) bool { return s.Image == image }) {
			return fmt.Sprint("r-", r.id)
		}
	}
	return ""
}

// end lets a rollout go, whether or not it is done.
func (m *model) end(r *rollout) {
	m.running = slices.DeleteFunc(m.running, func(o *rollout) bool { return o == r })
}

// apply carries out a plan at once.
func (m *model) apply(p *plan.Plan) {
	r := m.start(p)
	for r.alone = true; len(r.steps) > 0; {
		m.advance(r)
	}
	m.end(r)
}

// advance does the next step of a rollout, and remembers it.
func (m *model) advance(r *rollout) {
	s := r.steps[0]
	defer func() { r.steps = r.steps[1:] }()
	if s.Action == plan.Rebuild {
		r.outcome[s.Image] = m.rebuild(s, r)
		m.seen[r.outcome[s.Image]]++
		return
	}
	if len(s.Parents) > 0 && !slices.ContainsFunc(s.Parents, func(q string) bool { return r.outcome[q] == "done" }) {
		m.seen["skipped"]++
		return
	}
	if a := m.apps[s.Image]; !r.asked[a.application] {
		r.asked[a.application] = true
		m.tell(s, a, r)
	}
}

func (m *model) rebuild(s plan.Step, r *rollout) string {
	b := m.bases[s.Image]
	if s.Follows() && len(s.Parents) > 0 && b.Exists() && !slices.ContainsFunc(s.Parents, func(q string) bool { return r.outcome[q] == "done" }) {
		return "skipped"
	}
	if !m.parentsExist(b) {
		return "failed" // before there is a key to remember it by
	}
	key := m.key(s.Image)
	fresh, _ := m.fresh(s.Image)
	if r.keys[s.Image] == key {
		m.inItsSlot(s, m.attempts[key])
	}
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
		m.built[s.Image]++
		img = m.build(s.Image)
	}
	if b.wanted != b.done && fresh == b.wanted {
		m.seen["fresh"]++
	}
	b.done = fresh
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
		if have := version(p.Package, img.packages[p.Package]); !p.TakenBy(have) {
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
func (m *model) tell(s plan.Step, a *modelApp, r *rollout) {
	wants := m.facts().Wants()[a.application]
	if r.alone {
		m.inItsSlot(s, m.attempts[plan.TellKey(a.application, wants)])
	}
	if !m.calm && m.chance(20) {
		m.remember(plan.TellKey(a.application, wants), "failed", "403", "")
		m.seen["untold"]++
		return
	}
	if t := m.told[a.application]; r.alone && t != nil && len(s.Parents) == 0 && maps.Equal(t.Wants, wants) {
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
