package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/patch"
	"rebuilder/internal/plan"
)

func nightly(b *plan.Base) {
	b.Refresh = &plan.Refresh{Wanted: "slot 1", Cause: plan.CauseRefresh, Reason: "the nightly refresh of 03:00", Since: noon}
	b.Fresh = "slot 1"
}

func asked(b *plan.Base) {
	b.Refresh = &plan.Refresh{Wanted: "request 1", Cause: plan.CauseManual, Reason: "ada asked for it: the mirror was wrong", Since: noon}
	b.Fresh = "request 1"
}

func newer(b *plan.Base) {
	b.State, b.StateSince = "s2", noon.Add(-time.Minute)
	b.Patches = []plan.Patch{{Patch: patch.Patch{Package: "libssl3", From: "1", To: "2", Repository: "http://d stable main"}}}
}

func TestRefresh(t *testing.T) {
	both := func(f func(*plan.Base)) func(w *world) {
		return func(w *world) { w.base("base/debian", f); w.base("base/python", f) }
	}
	for _, c := range []struct {
		name   string
		set    func(w *world)
		cause  plan.Cause
		title  string
		steps  []string // image, cause, what it makes
		due    bool
		reason string // among those of the last base
	}{
		{"of all", both(nightly), plan.CauseRefresh, "base/debian: the nightly refresh of 03:00, and 2 more images",
			[]string{"base/debian refresh slot 1", "base/python refresh slot 1", "app refresh "}, true, "the nightly refresh of 03:00"},
		{"of the upper one: the rest follows", func(w *world) { w.base("base/debian", nightly) }, plan.CauseRefresh, "base/debian: the nightly refresh of 03:00, and 2 more images",
			[]string{"base/debian refresh slot 1", "base/python refresh ", "app refresh "}, true, "inherits base/debian, which is rebuilt first"},
		{"any other cause names the plan", func(w *world) { both(nightly)(w); w.base("base/python", newer) }, plan.CausePackage, "libssl3 1 -> 2 in base/python",
			[]string{"base/debian refresh slot 1", "base/python package slot 1", "app parent "}, false, "the nightly refresh of 03:00"},
		{"a person asks: at once, whatever else settles", func(w *world) { w.base("base/debian", asked); w.base("base/python", newer) }, plan.CausePackage, "libssl3 1 -> 2 in base/python",
			[]string{"base/debian manual request 1", "base/python package ", "app parent "}, true, "inherits base/debian"},
		{"a person asks for what has a patch", func(w *world) { w.base("base/debian", newer); w.base("base/debian", asked) }, plan.CausePackage, "libssl3 1 -> 2 in base/debian",
			[]string{"base/debian package request 1", "base/python parent ", "app parent "}, true, "inherits base/debian"},
		{"asked and scheduled", func(w *world) { w.base("base/debian", asked); w.base("base/python", nightly) }, plan.CauseManual, "base/debian: ada asked for it: the mirror was wrong, and 2 more images",
			[]string{"base/debian manual request 1", "base/python manual slot 1", "app manual "}, true, "the nightly refresh of 03:00"},
		{"an advisory", func(w *world) {
			w.base("base/python", func(b *plan.Base) {
				b.Advisories = []plan.Advisory{{Image: "base/python", ID: "CVE-2026-1"}}
			})
		}, plan.CauseAdvisory, "base/python: CVE-2026-1 hits it",
			[]string{"base/python advisory ", "app parent "}, true, "CVE-2026-1 hits it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := current()
			c.set(w)
			p := w.make(t)
			var steps []string
			for _, s := range p.Steps {
				steps = append(steps, s.Image+" "+string(s.Cause)+" "+s.Refresh)
			}
			if !slices.Equal(steps, c.steps) {
				t.Errorf("%q, want %q", steps, c.steps)
			}
			if p.Cause != c.cause || !strings.HasPrefix(p.Title, c.title) || p.Due(noon) != c.due {
				t.Errorf("%s %q due %v, want %s %q %v", p.Cause, p.Title, p.Due(noon), c.cause, c.title, c.due)
			}
			if s, _ := p.Find("base/python"); !slices.ContainsFunc(s.Reasons, func(r string) bool { return strings.HasPrefix(r, c.reason) }) {
				t.Errorf("%q is not among %q", c.reason, s.Reasons)
			}
		})
	}
}

func TestAdvisoryInWords(t *testing.T) {
	for want, a := range map[string]plan.Advisory{
		"CVE-2026-1234 hits it":             {ID: "CVE-2026-1234"},
		"CVE-2026-1234 (high) hits it":      {ID: "CVE-2026-1234", Severity: "high"},
		"CVE-2026-1234 hits libssl3 3.0.20": {ID: "CVE-2026-1234", Severity: "unknown", Package: "libssl3", Version: "3.0.20"},
		"CVE-2026-1234 (high, known exploited) hits libssl3 3.0.20, fixed in 3.0.22": {ID: "CVE-2026-1234", Severity: "high", Exploited: true, Package: "libssl3", Version: "3.0.20", FixedIn: "3.0.22"},
		"CVE-2026-1234 (known exploited) hits libssl3 3.0.20, fixed in 3.0.22":       {ID: "CVE-2026-1234", Exploited: true, Package: "libssl3", Version: "3.0.20", FixedIn: "3.0.22"},
	} {
		if a.String() != want {
			t.Errorf("%q, want %q", a, want)
		}
	}
}

// A plan names a few advisories; all of them make it the plan that it is.
func TestManyAdvisories(t *testing.T) {
	w := current()
	advise := func(n int) *plan.Plan {
		w.base("base/python", func(b *plan.Base) {
			b.Advisories = nil
			for i := range n {
				b.Advisories = append(b.Advisories, plan.Advisory{ID: fmt.Sprint("CVE-2026-", i)})
			}
		})
		return w.make(t)
	}
	for n, want := range map[int]string{6: "CVE-2026-5 hits it", 7: "2 more advisories hit it"} {
		s, _ := advise(n).Find("base/python")
		if len(s.Reasons) != 6 || s.Reasons[4] != "CVE-2026-4 hits it" || s.Reasons[5] != want {
			t.Errorf("%d: %q", n, s.Reasons)
		}
	}
	if advise(8).ID == advise(9).ID {
		t.Error("one more advisory, and the same plan")
	}
}

// A fresh build that failed waits for its slot, is said, and stops nothing else.
func TestAFreshBuildThatFailed(t *testing.T) {
	w := current()
	w.base("base/debian", nightly)
	w.base("base/debian", func(b *plan.Base) {
		b.Fresh = ""
		b.Refresh.Failed = &plan.Attempt{Outcome: "failed", Reason: "curl exited with 6", Tries: 2, At: noon.Add(-time.Hour), Next: noon.Add(time.Hour)}
	})
	p := w.make(t)
	if !p.Empty() || len(p.NotDone) != 1 || p.NotDone[0].Reason != "the nightly refresh of 03:00; its fresh build failed 2 times: curl exited with 6" || !p.NotDone[0].Next.Equal(noon.Add(time.Hour)) {
		t.Errorf("%+v", p)
	}
	w.base("base/debian", newer)
	if s, ok := w.make(t).Find("base/debian"); !ok || s.Cause != plan.CausePackage || s.Refresh != "" {
		t.Errorf("the patch waits: %+v", s)
	}
	w.base("base/debian", func(b *plan.Base) { b.Refresh.Failed.Next = noon })
	if s, ok := w.make(t).Find("base/debian"); !ok || s.Refresh == "" {
		t.Errorf("not tried again: %+v", s)
	}
}

// What was built fresh is an input of all later builds, and those from before there was any keep their keys.
func TestKeyOfAFreshBuild(t *testing.T) {
	in := plan.Inputs{Image: "base/debian", Recipe: "r", Platform: "linux/amd64", State: "s"}
	before := in.Key()
	in.Fresh = "slot 1"
	one := in.Key()
	in.Fresh = "slot 2"
	if before == one || one == in.Key() {
		t.Error("the same key")
	}
}

func TestFollows(t *testing.T) {
	for _, c := range []struct {
		s    plan.Step
		want bool
	}{
		{plan.Step{Cause: plan.CauseParent}, true}, {plan.Step{Cause: plan.CauseRefresh}, true}, {plan.Step{Cause: plan.CauseManual}, true},
		{plan.Step{Cause: plan.CauseRefresh, Refresh: "slot 1"}, false}, {plan.Step{Cause: plan.CausePackage}, false}, {plan.Step{Cause: plan.CauseAdvisory}, false},
	} {
		if c.s.Follows() != c.want {
			t.Errorf("%+v", c.s)
		}
	}
}
