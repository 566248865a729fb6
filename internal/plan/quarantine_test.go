package plan_test

import (
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/graph"
	"rebuilder/internal/plan"
)

// bad is a digest that ada put in quarantine, and whose last layer is its own.
func bad(digest string, layers ...string) map[string]plan.Quarantined {
	z := plan.Quarantined{Reason: "TLS is broken", By: "ada", Since: noon.Add(-time.Hour)}
	for _, l := range layers {
		z.DiffIDs = append(z.DiffIDs, hash(l))
	}
	return map[string]plan.Quarantined{hash(digest).String(): z}
}

func TestQuarantine(t *testing.T) {
	d2 := hash("D2").String()
	for _, c := range []struct {
		name  string
		world func() *world
		want  string // steps
		said  string // in a reason, of a step or of what is not done
	}{
		{"what the present inputs make is in quarantine: the image stays as it is", func() *world {
			w := patched()
			w.base("base/debian", func(b *plan.Base) {
				b.Promoted, b.Quarantined = b.Digest.String(), bad("D2")
				b.Attempt = &plan.Attempt{Outcome: "built", Digest: d2, Tries: 1}
			})
			return w
		}, "", "stays as it is: what is built of it now, 443200000000, is in quarantine since 21 Nov 2026 11:00 UTC, by ada: TLS is broken; not done: libssl3 3.0.20 -> 3.0.22"},
		{"other inputs are tried", func() *world {
			w := patched()
			w.base("base/debian", func(b *plan.Base) { b.Promoted, b.Quarantined = b.Digest.String(), bad("D2") })
			return w
		}, "rebuild base/debian package tier 0 after \nrebuild base/python parent tier 1 after base/debian\npull-request app parent tier 2 after base/python", "libssl3"},
		{"a candidate that is like it is held back", func() *world {
			w := patched()
			w.base("base/debian", func(b *plan.Base) {
				b.Promoted, b.Quarantined = b.Digest.String(), bad("D3")
				b.Attempt = &plan.Attempt{Outcome: "failed", Gate: "quarantine", Digest: hash("D3").String(), Tries: 1}
			})
			return w
		}, "", "stays as it is: what is built of it now, 443300000000"},
		{"until that is cleared", func() *world {
			w := patched()
			w.base("base/debian", func(b *plan.Base) {
				b.Promoted = b.Digest.String()
				b.Attempt = &plan.Attempt{Outcome: "failed", Gate: "quarantine", Digest: hash("D3").String(), Tries: 1}
			})
			return w
		}, "rebuild base/debian package tier 0 after \nrebuild base/python parent tier 1 after base/debian\npull-request app parent tier 2 after base/python", "libssl3"},
		{"a base that was built on it goes back, and what stands on that", func() *world {
			w := current()
			w.base("base/debian", func(b *plan.Base) { b.Quarantined = bad("D2", "u1", "d2") })
			w.base("base/python", func(b *plan.Base) {
				b.Image = image(b.Reference, "P2", "u1", "d2", "p2")
				b.Parents[0].Used, b.Quarantined = d2, bad("P2", "u1", "d2", "p2")
			})
			w.app("app", func(a *plan.Application) { a.References[0].Pinned = hash("P2") })
			return w
		}, "rebuild base/python rollback tier 0 after \npull-request app rollback tier 1 after base/python", "inherits base/debian 443200000000, which is in quarantine"},
		{"an application that pins it goes back", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) { b.Quarantined = bad("P2") })
			w.app("app", func(a *plan.Application) {
				a.Image, a.References[0].Pinned = image(a.Image.Reference, "A2", "u1", "d1", "p2", "a1"), hash("P2")
			})
			return w
		}, "pull-request app rollback tier 0 after ", "stands on base/python 503200000000 (Dockerfile:1), which is in quarantine"},
		{"one that follows the tag is known by its layers", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) { b.Quarantined = bad("P2", "u1", "d1", "p2") })
			w.app("app", func(a *plan.Application) {
				a.Image, a.References[0].Pinned, a.Strategy = image(a.Image.Reference, "A2", "u1", "d1", "p2", "a1"), v1.Hash{}, "dispatch"
			})
			return w
		}, "dispatch app rollback tier 0 after ", "in quarantine"},
		{"that it was closed does not stop the way back, which is to another digest", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) { b.Quarantined = bad("P2") })
			w.app("app", func(a *plan.Application) {
				a.Image, a.References[0].Pinned = image(a.Image.Reference, "A2", "u1", "d1", "p2", "a1"), hash("P2")
				a.Told = &plan.Told{State: "closed", Number: 7, Wants: map[string]string{"base/python": hash("P2").String()}}
			})
			return w
		}, "pull-request app rollback tier 0 after ", "in quarantine"},
		{"what is on its channel and in quarantine is built upon by nobody, and told to nobody", func() *world {
			w := behind()
			w.base("base/python", func(b *plan.Base) { b.Quarantined = bad("P2") })
			return w
		}, "", "it waits for another image of base/python: 503200000000 is in quarantine"},
		{"nor does a base take it", func() *world {
			w := current()
			w.base("base/debian", func(b *plan.Base) {
				b.Image, b.Quarantined = image(b.Reference, "D2", "u1", "d2"), bad("D2")
			})
			w.base("base/python", func(b *plan.Base) { b.Recipe = "changed" })
			return w
		}, "", "its recipe changed; it waits for another image of base/debian: 443200000000 is in quarantine"},
		{"a channel moved by somebody else is not overwritten, whatever is newer", func() *world {
			w := patched()
			w.base("base/debian", func(b *plan.Base) { b.Promoted = hash("D0").String() })
			w.base("base/python", func(b *plan.Base) { b.Patches = nil })
			return w
		}, "", "r/base/debian:stable was moved by somebody else from 443000000000 to 443100000000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.world().make(t)
			if got := steps(p); got != c.want {
				t.Errorf("steps:\n%s\nwant:\n%s\n%+v", got, c.want, p.NotDone)
			}
			var said []string
			for _, s := range p.Steps {
				said = append(said, s.Reasons...)
			}
			for _, n := range p.NotDone {
				said = append(said, n.Reason)
			}
			if !strings.Contains(strings.Join(said, "\n"), c.said) {
				t.Errorf("it is not said that %q:\n%s", c.said, strings.Join(said, "\n"))
			}
		})
	}
}

// The way back is as urgent as a person's wish.
func TestTheWayBackWaitsForNoWindow(t *testing.T) {
	w := current()
	w.base("base/debian", func(b *plan.Base) {
		b.Patches, b.State, b.StateSince = []plan.Patch{openssl("")}, "s2", noon.Add(-time.Minute)
	})
	w.f.Applications["other"] = plan.Application{Image: image("r/other:main", "O1", "u1", "x"), Application: "other", Strategy: "pull-request", Repository: "acme/other", Commit: "c",
		References: []plan.Reference{{Base: "base/tools", Reference: "r/base/tools:stable", Pinned: hash("T2"), Kind: graph.Inherits, File: "Dockerfile", Line: 1, Rewritable: true}}}
	w.f.Bases["base/tools"] = plan.Base{Image: image("r/base/tools:stable", "T1", "t1"), Recipe: "rt", BuiltFrom: "rt", Quarantined: bad("T2")}
	w.nodes = append(w.nodes, graph.Node{Name: "base/tools", Kind: graph.Base}, graph.Node{Name: "other", Kind: graph.Application})
	w.edges = append(w.edges, graph.Edge{Parent: "base/tools", Child: "other", Kind: graph.Inherits})
	p := w.make(t)
	if p.Cause != plan.CauseRollback || !p.NotBefore.IsZero() || !strings.HasPrefix(p.Title, "other: stands on base/tools 543200000000") {
		t.Errorf("%s %q, not before %s", p.Cause, p.Title, p.NotBefore)
	}
}

// A plan is another one after a quarantine was cleared than it was before, though all inputs are the same: it can be applied
// again.
func TestAClearedQuarantineMakesAnotherPlan(t *testing.T) {
	before, after := patched(), patched()
	after.base("base/debian", func(b *plan.Base) { b.Judged = noon })
	if before.make(t).ID == after.make(t).ID {
		t.Error("the same plan")
	}
}
