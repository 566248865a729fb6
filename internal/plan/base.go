package plan

import (
	"fmt"
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
	m.input(name, b.Digest.String()+" recipe "+b.Recipe+" state "+b.State)
	if b.Stale != "" {
		m.skip(NotDone{Image: name, Reason: "its package repositories: " + b.Stale, Unknown: true})
	}
	s := Step{Image: name, Kind: string(graph.Base), Action: Rebuild}
	if b.Exists() {
		s.Before = b.Digest.String()
	}
	m.causes(&s, b)
	if len(s.Reasons) == 0 || m.tried(s, b) {
		return
	}
	m.settle(s, b)
	m.add(s)
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
		if p.Inherited == "" {
			s.Patches = append(s.Patches, p)
			because(CausePackage, "%s %s -> %s is in %s%s", p.Package, p.From, p.To, p.Repository, heldNote(p))
			continue
		}
		if _, ok := m.planned[p.Inherited]; ok {
			s.Patches = append(s.Patches, p)
		}
	}
	if b.Exists() && b.BuiltFrom != "" && b.BuiltFrom != b.Recipe {
		because(CauseRecipe, "its recipe changed")
	}
	for _, p := range b.Parents {
		m.parent(s, b, p, because)
	}
}

func heldNote(p Patch) string {
	if p.Held {
		return " (held in the image)"
	}
	return ""
}

// parent adds the causes that one parent brings.
func (m *maker) parent(s *Step, b Base, p Parent, because func(Cause, string, ...any)) {
	if _, ok := m.planned[p.Name]; ok {
		s.Parents = append(s.Parents, p.Name)
		because(CauseParent, "%s %s, which is rebuilt first", p.Kind, p.Name)
		return
	}
	if !b.Exists() {
		return
	}
	now, cause := m.f.Bases[p.Name].Image, CauseParent
	if u, ok := m.f.Upstreams[p.Name]; ok {
		now, cause = u, CauseUpstream
	}
	switch {
	case now.Unknown != "" || !now.Exists():
		m.skip(NotDone{Image: s.Image, Reason: "cannot tell whether it stands on " + p.Name + ": " + orMissing(now), Unknown: true})
	case p.Kind == graph.Inherits && !b.StandsOn(now):
		because(cause, "stands on an older %s than %s", p.Name, short(now.Digest.String()))
	case p.Kind != graph.Inherits && p.Used != "" && p.Used != now.Digest.String():
		because(cause, "%s %s, which is now %s", p.Kind, p.Name, short(now.Digest.String()))
	}
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
	if a == nil || len(s.Parents) > 0 || !b.Exists() && a.Outcome != "failed" {
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
	default:
		n.Reason = "built with the same inputs as " + short(a.Digest) + "; still: " + s.Reasons[0]
		if a.Digest != b.Digest.String() {
			n.Reason = fmt.Sprintf("%s was moved by somebody else from %s to %s", b.Reference, short(a.Digest), short(b.Digest.String()))
		}
	}
	m.skip(n)
	return true
}

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
	if end := since.Add(m.c.Watch.Settle); end.After(m.plan.NotBefore) {
		m.plan.NotBefore = end
	}
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
