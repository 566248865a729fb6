package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
)

// application decides about one image of an application; all bases have been decided before it.
func (m *maker) application(name string) {
	a := m.f.Applications[name]
	if a.Problem != "" {
		m.skip(NotDone{Image: name, Reason: a.Problem, Who: "owner of " + a.Repository, Unknown: true})
		return
	}
	if a.Unknown != "" {
		m.skip(NotDone{Image: name, Reason: a.Unknown, Unknown: true})
		return
	}
	if a.Busy != "" && !(a.Held && m.newer(a)) {
		m.skip(NotDone{Image: name, Reason: "rollout " + a.Busy + " has it in hand"})
		return
	}
	if len(a.Strays) > 0 {
		m.skip(NotDone{Image: name, Reason: "it names " + strings.Join(a.Strays, ", ") + ", so that it is not told of new ones", Who: "owner of " + a.Repository})
	}
	if len(a.Named()) == 0 {
		if len(a.Strays) == 0 {
			m.skip(NotDone{Image: name, Reason: "its Dockerfile names no base of the catalog", Who: "owner of " + a.Repository})
		}
		return
	}
	m.input(name, a.Commit+" "+digestOrNone(a.Image)+tries(a.Attempt))
	if !a.Exists() {
		m.skip(NotDone{Image: name, Reason: a.Reference + " has no image yet", Who: "CI of " + a.Repository})
		return
	}
	s := Step{Image: name, Kind: string(graph.Application), Cause: CauseParent, Action: action(a), Before: a.Digest.String()}
	m.references(&s, a)
	if len(s.Reasons) == 0 {
		m.unproven(name, a)
		return
	}
	if reason, ok := m.held(s, a); ok {
		reason.Image = name
		m.skip(reason)
		return
	}
	m.add(s)
}

// newer says that a base which an application names is rebuilt by this plan.
func (m *maker) newer(a Application) bool {
	return slices.ContainsFunc(a.References, func(r Reference) bool {
		_, planned := m.planned[r.Base]
		return planned
	})
}

func action(a Application) Action {
	switch catalog.Strategy(a.Strategy) {
	case catalog.Dispatch:
		return Dispatch
	case catalog.RebuildByUs:
		return Rebuild
	case catalog.RebaseByUs:
		return Rebase
	}
	return PullRequest
}

// byUs says that we make the application's image.
func byUs(a Application) bool {
	return a.Strategy == string(catalog.RebuildByUs) || a.Strategy == string(catalog.RebaseByUs)
}

// references adds a reason for each base that the application does not stand on as it should.
func (m *maker) references(s *Step, a Application) {
	for _, r := range a.Named() {
		b := m.f.Bases[r.Base]
		where := fmt.Sprintf("%s:%d", r.File, r.Line)
		if _, ok := m.planned[r.Base]; ok {
			if !slices.Contains(s.Parents, r.Base) {
				s.Parents = append(s.Parents, r.Base)
			}
			if c := m.onward(r.Base); len(s.Reasons) == 0 || c == CauseParent || c == CauseRollback {
				s.Cause = c
			}
			s.Reasons = append(s.Reasons, fmt.Sprintf("%s %s (%s), which is rebuilt first", r.Kind, r.Base, where))
			s.Patches = append(s.Patches, m.patchesOf(r.Base, s.Patches)...)
			continue
		}
		if !b.known() {
			m.skip(NotDone{Image: s.Image, Reason: "cannot tell whether it stands on " + r.Base + ": " + orMissing(b.Image), Unknown: true})
			continue
		}
		old := behind(a, r, b)
		if reason := unfit(r.Base, b); reason != "" {
			if old != "" {
				m.skip(NotDone{Image: s.Image, Reason: fmt.Sprintf("%s %s (%s); it %s", old, r.Base, where, reason), Who: "who answers for " + r.Base})
			}
			continue
		}
		digest, z, bad := standsOnBad(a, r, b)
		switch {
		case bad && b.Busy == "":
			s.Cause = CauseRollback
			s.Reasons = append(s.Reasons, fmt.Sprintf("stands on %s %s (%s), which is %s", r.Base, short(digest), where, z))
		case old != "" && b.Busy != "":
			m.skip(NotDone{Image: s.Image, Reason: fmt.Sprintf("%s %s (%s); it waits for it, rollout %s has it in hand", old, r.Base, where, b.Busy)})
		case old != "":
			s.Reasons = append(s.Reasons, fmt.Sprintf("%s %s (%s)", old, r.Base, where))
		}
	}
}

// behind says how an application lags behind a base that is not being rebuilt; empty when it does not.
func behind(a Application, r Reference, b Base) string {
	stands := r.Kind == graph.Inherits && a.StandsOn(b.Image)
	switch {
	case stands:
		return "" // the layers prove it, whatever the recipe says
	case byUs(a) && r.Kind != graph.Inherits:
		if a.Attempt != nil {
			return "could not be built on the newest digest of"
		}
		return "" // what is copied is built along, whatever the recipe pins, and proven by nothing
	case r.Pinned.Hex != "" && r.Pinned != b.Digest:
		return "pins an older digest of"
	case r.Kind == Runs && r.Pinned.Hex == "":
		return "names by its tag alone"
	case r.Kind == graph.Inherits:
		return "stands on an older digest of"
	case r.Pinned.Hex == "" && a.Attempt != nil:
		return "could not be told of the newest digest of" // nothing else remembers that it is to be told
	}
	return "" // copied from a tag: nothing can be proven, the tag is followed at its next build
}

// unproven says of an application that is as it should be, as far as its Dockerfile goes, that nobody can know whether its
// image is: layers prove what an image stands on, and this one stands on no base of the catalog.
func (m *maker) unproven(name string, a Application) {
	if len(a.References) == 0 {
		return // it is about what runs, and that is as it should be
	}
	pinned, from := true, []string(nil)
	for _, r := range a.References {
		if r.Kind == graph.Inherits || !m.f.Bases[r.Base].known() {
			return // proven, or said already
		}
		pinned = pinned && r.Pinned.Hex != ""
		if !slices.Contains(from, r.Base) {
			from = append(from, r.Base)
		}
	}
	if t := a.Told; t != nil && t.State != "closed" && maps.Equal(t.Wants, m.wants[a.Application]) {
		m.skip(NotDone{Image: name, Reason: told(a), Since: t.Since, Who: "owner of " + a.Repository})
		return
	}
	how := "follows the tag"
	if pinned {
		how = "pins the newest digest"
	}
	m.skip(NotDone{Image: name, Reason: fmt.Sprintf("its Dockerfile %s of %s and only copies from there: layers cannot prove that its image has it", how, strings.Join(from, ", ")), Unknown: true})
}

// patchesOf are the patches that a planned base brings down, without those already listed.
func (m *maker) patchesOf(base string, have []Patch) []Patch {
	var out []Patch
	for _, p := range m.plan.Steps[m.step[base]].Patches {
		if !slices.ContainsFunc(have, func(h Patch) bool { return h.Package == p.Package }) {
			out = append(out, p)
		}
	}
	return out
}

// held says why an application that should be told is not.
func (m *maker) held(s Step, a Application) (NotDone, bool) {
	owner := "owner of " + a.Repository
	if a.Strategy == string(catalog.Observe) {
		return NotDone{Reason: "observed only: " + s.Reasons[0], Who: owner}, true
	}
	wants := m.wants[a.Application]
	if len(s.Parents) == 0 {
		if t := a.Attempt; t != nil && m.now.Before(t.Next) {
			verb := "told"
			if byUs(a) {
				verb = "built"
			}
			return NotDone{Reason: fmt.Sprintf("it could not be %s, tried %s: %s", verb, times(t.Tries), t.Reason), Since: t.At, Next: t.Next, Who: owner}, true
		}
		if t := a.Told; t != nil && maps.Equal(t.Wants, wants) {
			return NotDone{Reason: told(a), Since: t.Since, Who: owner}, true
		}
	}
	if s.Action != PullRequest {
		return NotDone{}, false
	}
	var why []string
	left := true
	for _, r := range a.Named() {
		if _, planned := m.planned[r.Base]; !planned && (wants[r.Base] == "" || r.Pinned.String() == wants[r.Base]) {
			continue
		}
		if r.Rewritable {
			return NotDone{}, false
		}
		left = left && r.Left
		why = append(why, fmt.Sprintf("%s:%d %s", r.File, r.Line, r.Why))
	}
	if len(why) > 0 && left {
		return NotDone{Reason: "left to another bot (proposals.with_bots): " + strings.Join(why, "; "), Who: owner}, true
	}
	if len(why) > 0 {
		return NotDone{Reason: "its Dockerfile cannot be rewritten: " + strings.Join(why, "; "), Who: owner}, true
	}
	return NotDone{Reason: "its Dockerfile already pins the wanted digests; its next image is awaited at " + a.Image.Reference, Who: owner}, true
}

func told(a Application) string {
	t := a.Told
	switch {
	case t.State == "closed" && t.Reason != "":
		return t.Reason
	case t.State == "closed":
		return fmt.Sprintf("pull request #%d was closed without merging: this digest is not proposed again", t.Number)
	case t.State == "merged":
		return fmt.Sprintf("pull request #%d is merged; its next image is awaited at %s", t.Number, a.Reference)
	case t.Number > 0:
		return fmt.Sprintf("pull request #%d is open", t.Number)
	}
	return "its CI was dispatched; its next image is awaited at " + a.Reference
}
