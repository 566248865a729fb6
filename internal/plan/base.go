package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/graph"
)

// base decides about one base; its parents have been decided before it.
func (m *maker) base(name string) {
	b := m.f.Bases[name]
	switch {
	case b.Unknown != "":
		m.skip(NotDone{Image: name, Reason: b.Unknown, Unknown: true})
		return
	case b.Problem != "":
		m.skip(NotDone{Image: name, Reason: b.Problem, Who: "who keeps its recipe", Unknown: true})
		return
	case b.Busy != "":
		m.skip(NotDone{Image: name, Reason: "rollout " + b.Busy + " has it in hand"})
		return
	}
	m.input(name, fmt.Sprintf("%s recipe %s state %s%s%s%s%s", digestOrNone(b.Image), b.Recipe, b.State, fresh(b), advised(b), tries(b.Attempt), judged(b)))
	m.notes(name, b)
	if m.displaced(name, b) {
		return
	}
	s := Step{Image: name, Kind: string(graph.Base), Action: Rebuild}
	if b.Exists() {
		s.Before = b.Digest.String()
	}
	m.causes(&s, b)
	if m.hindered(s, b) || len(s.Reasons) == 0 || m.tried(s, b) {
		return
	}
	m.settle(s, b)
	if b.Doubt != "" && b.State != "" {
		s.Notes = append(s.Notes, b.Doubt)
	}
	m.add(s)
}

func digestOrNone(i Image) string {
	if !i.Exists() {
		return "no image"
	}
	return i.Digest.String()
}

// tries makes a plan after a failure another plan than the one before it, so that it can be applied, too.
func tries(a *Attempt) string {
	if a == nil {
		return ""
	}
	return fmt.Sprintf(" %s %s", a.Outcome, times(a.Tries))
}

// notes says what is not known of a base, or not as it should be, whether or not it is rebuilt.
func (m *maker) notes(name string, b Base) {
	if b.Stale != "" {
		m.skip(NotDone{Image: name, Reason: "its package repositories: " + b.Stale, Unknown: true})
	}
	if len(b.Unwatched) > 0 {
		m.skip(NotDone{Image: name, Reason: "the catalog has no [[upstream]] or channel for what it is made from, so that nothing new of it is noticed: " + strings.Join(b.Unwatched, ", "),
			Who: "who keeps the catalog", Unknown: true})
	}
	m.heldBack(name, b)
	m.quarantined(name, b)
	switch {
	case !b.Exists():
	case b.BuiltFrom == "":
		m.skip(NotDone{Image: name, Reason: "its image was not built here: whether it is of its present recipe is not known", Unknown: true})
	}
}

func movedByOthers(b Base, from string) string {
	return fmt.Sprintf("%s was moved by somebody else from %s to %s", b.Reference, short(from), short(b.Digest.String()))
}

// causes fills in why a base must be rebuilt, the strongest cause first.
func (m *maker) causes(s *Step, b Base) {
	because := func(c Cause, format string, a ...any) {
		if s.Cause == "" {
			s.Cause = c
		}
		s.Reasons = append(s.Reasons, fmt.Sprintf(format, a...))
	}
	if !b.Exists() {
		because(CauseFirst, "%s has no image yet", b.Reference)
	}
	for _, p := range b.Patches {
		if p.Held {
			continue // notes says so
		}
		if p.Inherited == "" {
			s.Patches = append(s.Patches, p)
			because(CausePackage, "%s %s -> %s is in %s", p.Package, p.From, p.To, p.Repository)
			continue
		}
		if m.comesDown(b, p) {
			s.Patches = append(s.Patches, p)
		}
	}
	if b.Exists() && b.BuiltFrom != "" && b.BuiltFrom != b.Recipe {
		because(CauseRecipe, "its recipe changed%s", revised(b))
	}
	m.asked(s, b, because)
	for _, p := range b.Parents {
		m.parent(s, b, p, because)
	}
	m.refresh(s, b, because)
}

// heldBack says which newer packages an image's own rules keep away: somebody decided that, and nobody else undoes it.
func (m *maker) heldBack(name string, b Base) {
	var held []string
	for _, p := range b.Patches {
		if p.Held && p.Inherited == "" {
			held = append(held, fmt.Sprintf("%s %s -> %s", p.Package, p.From, p.To))
		}
	}
	if len(held) == 0 {
		return
	}
	const most = 5
	if n := len(held) - most; n > 0 {
		held = append(held[:most], fmt.Sprintf("and %d more", n))
	}
	m.skip(NotDone{Image: name, Reason: "its own rules hold back " + strings.Join(held, ", "), Who: "who keeps its recipe"})
}

// comesDown says that a rebuild will inherit a patch: its parent is rebuilt first, or has it already while b stands on an
// older digest.
func (m *maker) comesDown(b Base, p Patch) bool {
	if _, ok := m.planned[p.Inherited]; ok {
		return true
	}
	above := m.f.Bases[p.Inherited]
	lacks := slices.ContainsFunc(above.Patches, func(o Patch) bool { return o.Package == p.Package && o.Architecture == p.Architecture })
	return above.known() && !lacks && slices.ContainsFunc(b.Parents, func(q Parent) bool { return q.Name == p.Inherited && outdated(b, q, above.Image) })
}

// above is what a parent's reference is on the platform that is taken of it, and the rollout that has the parent in hand.
func (m *maker) above(p Parent) (i Image, busy string) {
	if u, ok := m.f.Upstreams[p.Name]; ok {
		return u.For(p.Platform), ""
	}
	b := m.f.Bases[p.Name]
	return b.Image.For(p.Platform), b.Busy
}

// parent adds the causes that one parent brings.
func (m *maker) parent(s *Step, b Base, p Parent, because func(Cause, string, ...any)) {
	if _, ok := m.planned[p.Name]; ok {
		if !slices.Contains(s.Parents, p.Name) { // a recipe may name it more than once
			s.Parents = append(s.Parents, p.Name)
		}
		because(m.onward(p.Name), "%s %s, which is rebuilt first", p.Kind, p.Name)
		return
	}
	now, _ := m.above(p)
	if !b.Exists() || !now.known() || !outdated(b, p, now) || unfit(p.Name, m.f.Bases[p.Name]) != "" {
		return
	}
	if z, bad := m.f.Bases[p.Name].Quarantined[p.Used]; bad {
		because(CauseRollback, "%s %s %s, which is %s", p.Kind, p.Name, short(p.Used), z)
		return
	}
	cause := CauseParent
	if _, ok := m.f.Upstreams[p.Name]; ok {
		cause = CauseUpstream
	}
	if p.Kind == graph.Inherits {
		because(cause, "stands on an older %s than %s", p.Name, short(now.Digest.String()))
	} else {
		because(cause, "%s %s, which is now %s", p.Kind, p.Name, short(now.Digest.String()))
	}
}

// outdated says that an image was made with another digest of a parent than now's. Of what we built we know that exactly,
// also when only the parent's configuration changed; of the rest the layers prove what it stands on.
func outdated(b Base, p Parent, now Image) bool {
	switch {
	case p.Used != "":
		return p.Used != now.Digest.String()
	case p.Kind == graph.Inherits:
		return !b.StandsOn(now)
	}
	return false // copied into what somebody else built: nothing can be told, which notes says
}

// hindered says why a base cannot be judged, or built, as long as a parent is missing, unknown or in hand.
func (m *maker) hindered(s Step, b Base) bool {
	for _, p := range b.Parents {
		if _, ok := m.planned[p.Name]; ok {
			continue
		}
		now, busy := m.above(p)
		n := NotDone{Image: s.Image, Unknown: !now.known()}
		switch {
		case n.Unknown && len(s.Reasons) == 0:
			n.Reason = "cannot tell whether it stands on " + p.Name + ": " + orMissing(now)
		case n.Unknown:
			n.Reason = fmt.Sprintf("%s; it cannot be built without %s: %s", s.Reasons[0], p.Name, orMissing(now))
		case len(s.Reasons) > 0 && unfit(p.Name, m.f.Bases[p.Name]) != "":
			n.Reason, n.Who = s.Reasons[0]+"; it "+unfit(p.Name, m.f.Bases[p.Name]), "who answers for "+p.Name
		case busy != "" && len(s.Reasons) > 0:
			n.Reason = fmt.Sprintf("%s; it waits for %s, which rollout %s has in hand", s.Reasons[0], p.Name, busy)
		default:
			continue
		}
		m.skip(n)
		return true
	}
	return false
}

func orMissing(i Image) string {
	if i.Unknown != "" {
		return i.Unknown
	}
	return i.Reference + " has no image"
}

// tried says that the very same inputs were built before, and why that is the end of it for now.
func (m *maker) tried(s Step, b Base) bool {
	a := b.Attempt
	if m.pinned(s, b) {
		return true
	}
	if a == nil || len(s.Parents) > 0 || !b.Exists() && a.Outcome != "failed" || released(b) {
		return false
	}
	if !a.Next.IsZero() && !m.now.Before(a.Next) {
		return false
	}
	n := NotDone{Image: s.Image, Since: a.At, Next: a.Next, Who: "who keeps its recipe"}
	switch a.Outcome {
	case "failed":
		n.Reason = fmt.Sprintf("its build failed %s: %s", times(a.Tries), a.Reason)
	case "not-taken":
		n.Reason = "patch not taken: " + a.Reason
	case "unchanged":
		n.Reason = "a rebuild with the same inputs changed nothing"
	case "built":
		switch {
		case a.Digest == b.Digest.String() && s.Cause != CausePackage:
			return true // it is what these inputs make: a change was taken back, and what it made was the same
		case a.Digest == b.Digest.String():
			n.Reason = "built with the same inputs as " + short(a.Digest) + "; still: " + s.Reasons[0]
		case b.Promoted == b.Digest.String():
			return false // we promoted another one since: the inputs went back to what they were
		case b.Promoted != "":
			return true // said already
		default:
			n.Reason = movedByOthers(b, a.Digest)
		}
	}
	m.skip(n)
	return true
}

// windows bounds how often a patch may be put off by yet another change: some repositories never rest.
const windows = 6

// settle moves the plan's start to the end of the youngest change's window. A first build does not wait.
func (m *maker) settle(s Step, b Base) {
	var since time.Time
	switch s.Cause {
	case CausePackage:
		since = b.StateSince
	case CauseUpstream:
		for _, p := range b.Parents {
			if u, ok := m.f.Upstreams[p.Name]; ok && u.FirstSeen.After(since) {
				since = u.FirstSeen
			}
		}
	}
	if since.IsZero() {
		return
	}
	if since.After(m.plan.NoticedAt) {
		m.plan.NoticedAt = since
	}
	end := since.Add(m.c.Watch.Settle)
	if at := published(s); !at.IsZero() {
		end = earlier(end, at.Add(windows*m.c.Watch.Settle))
	}
	if end.After(m.plan.NotBefore) {
		m.plan.NotBefore = end
	}
}

// published is when the oldest patch of a step came out; zero when that is not known.
func published(s Step) (at time.Time) {
	for _, p := range s.Patches {
		if t := time.UnixMilli(p.PublishedAt); p.PublishedAt > 0 && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	return at
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// short is a digest as people read it: twelve digits.
func short(d string) string {
	const prefix = len("sha256:")
	if len(d) > prefix+12 {
		return d[prefix : prefix+12]
	}
	return d
}
