package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Refresh is a fresh build that is wanted of a base: every RUN of its recipe is run again, whether or not anything is known
// to be newer. What it makes is promoted only if its content is another.
type Refresh struct {
	Wanted string // what the build is known by, once and for all: a slot of the schedule, or a request
	Cause  Cause  // CauseRefresh, or CauseManual
	Reason string
	Since  time.Time
	// Failed is the memory of this very build while it waits for its next try; nil when it does not. Until then the base
	// is built without it when something else asks for that.
	Failed *Attempt
}

// Advisory is a new advisory that hits an image of ours, as whoever judges images says.
type Advisory struct {
	Image string    // in the graph
	ID    string    // "CVE-2026-1234"
	Since time.Time // when it was published; zero: not known
	// What it is about, as far as that is known.
	Severity  string // "high"; "unknown" or empty: not known
	Exploited bool   // it is known to be
	Package   string // the first that it hits, as installed, with its version
	Version   string
	FixedIn   string // the first version with the fix; empty: no patch yet
}

// String says what it hits: "CVE-2026-1234 (high, known exploited) hits libssl3 3.0.20, fixed in 3.0.22".
func (a Advisory) String() string {
	var how []string
	if a.Severity != "" && a.Severity != "unknown" {
		how = append(how, a.Severity)
	}
	if a.Exploited {
		how = append(how, "known exploited")
	}
	s := a.ID
	if len(how) > 0 {
		s += " (" + strings.Join(how, ", ") + ")"
	}
	if a.Package == "" {
		return s + " hits it"
	}
	s += " hits " + strings.TrimSpace(a.Package+" "+a.Version)
	if a.FixedIn != "" {
		s += ", fixed in " + a.FixedIn
	}
	return s
}

// Follows says that a step is only for its parents' sake: when none of them changed after all, there is nothing to do.
func (s Step) Follows() bool {
	return s.Refresh == "" && (s.Cause == CauseParent || s.Cause == CauseManual || s.Cause == CauseRefresh || s.Cause == CauseRollback)
}

// mostAdvisories are named in a plan; whoever judges names all of them.
const mostAdvisories = 5

// asked adds what a new advisory or a person asks for.
func (m *maker) asked(s *Step, b Base, because func(Cause, string, ...any)) {
	for i, a := range b.Advisories {
		if rest := len(b.Advisories) - i; i == mostAdvisories && rest > 1 { // one more takes no more room by its name
			because(CauseAdvisory, "%d more advisories hit it", rest)
			break
		}
		because(CauseAdvisory, "%s", a)
	}
	if r := b.Refresh; r != nil && r.Cause == CauseManual && !m.failed(s, r) {
		s.Refresh = r.Wanted
		because(CauseManual, "%s", r.Reason)
	}
}

// refresh adds what the schedule asks for; every other cause is a stronger one.
func (m *maker) refresh(s *Step, b Base, because func(Cause, string, ...any)) {
	if r := b.Refresh; r != nil && r.Cause != CauseManual && !m.failed(s, r) {
		s.Refresh = r.Wanted
		because(CauseRefresh, "%s", r.Reason)
	}
}

// failed notes a fresh build that waits for its next try.
func (m *maker) failed(s *Step, r *Refresh) bool {
	a := r.Failed
	if a == nil || !m.now.Before(a.Next) {
		return false
	}
	m.skip(NotDone{Image: s.Image, Reason: fmt.Sprintf("%s; its fresh build failed %s: %s", r.Reason, times(a.Tries), a.Reason), Since: a.At, Next: a.Next, Who: "who keeps its recipe"})
	return true
}

// onward is the cause of a step whose parent is rebuilt first: a fresh build of a parent names the plan, and not those who
// may have to follow; a way back is one for all below.
func (m *maker) onward(parent string) Cause {
	if c := m.plan.Steps[m.step[parent]].Cause; c == CauseManual || c == CauseRefresh || c == CauseRollback {
		return c
	}
	return CauseParent
}

// atOnce lets nobody who asked wait for the settle window of others, nor the way back from what is in quarantine.
func (m *maker) atOnce() {
	for _, s := range m.plan.Steps {
		if r := m.f.Bases[s.Image].Refresh; s.Refresh != "" && r.Cause == CauseManual || s.Cause == CauseRollback {
			m.plan.NotBefore = time.Time{}
			return
		}
	}
}

// fresh makes a plan with a fresh build another plan than the one without, or with the next one.
func fresh(b Base) string {
	if b.Refresh == nil {
		return ""
	}
	return " fresh " + b.Refresh.Wanted
}

// advised makes a plan for a new advisory another plan than the one before it.
func advised(b Base) string {
	ids := make([]string, len(b.Advisories))
	for i, a := range b.Advisories {
		ids[i] = " advisory " + a.ID
	}
	slices.Sort(ids)
	return strings.Join(ids, "")
}
