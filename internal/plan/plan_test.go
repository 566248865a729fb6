package plan_test

import (
	"encoding/json"
	"fmt"
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

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func hash(s string) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", s) + strings.Repeat("0", 64-2*len(s))}
}

// image is a reference whose layers are named by words.
func image(ref, digest string, layers ...string) plan.Image {
	i := plan.Image{Reference: ref, Digest: hash(digest), FirstSeen: noon.Add(-time.Hour)}
	for _, l := range layers {
		i.DiffIDs = append(i.DiffIDs, hash(l))
	}
	return i
}

// world is upstream/debian <- base/debian <- base/python <- app, everything as it should be.
type world struct {
	c     *catalog.Catalog
	f     plan.Facts
	nodes []graph.Node
	edges []graph.Edge
}

func current() *world {
	w := &world{
		c: &catalog.Catalog{Watch: catalog.Watch{Settle: 10 * time.Minute}},
		f: plan.Facts{At: noon,
			Upstreams: map[string]plan.Image{"upstream/debian": image("r/upstream/debian:12", "U1", "u1")},
			Bases: map[string]plan.Base{
				"base/debian": {Image: image("r/base/debian:stable", "D1", "u1", "d1"), Recipe: "rd", BuiltFrom: "rd", State: "s1", StateSince: noon.Add(-time.Hour),
					Parents: []plan.Parent{{Name: "upstream/debian", Reference: "r/upstream/debian:12", Kind: graph.Inherits, Where: "Dockerfile:1"}}},
				"base/python": {Image: image("r/base/python:stable", "P1", "u1", "d1", "p1"), Recipe: "rp", BuiltFrom: "rp", State: "s1", StateSince: noon.Add(-time.Hour),
					Parents: []plan.Parent{{Name: "base/debian", Reference: "r/base/debian:stable", Kind: graph.Inherits, Where: "Dockerfile:1"}}},
			},
			Applications: map[string]plan.Application{
				"app": {Image: image("r/app:main", "A1", "u1", "d1", "p1", "a1"), Application: "app", Strategy: "pull-request", Repository: "acme/app", Branch: "main", Commit: "c1",
					References: []plan.Reference{{Base: "base/python", Reference: "r/base/python:stable", Pinned: hash("P1"), Kind: graph.Inherits, File: "Dockerfile", Line: 1, Rewritable: true}}},
			},
		},
		nodes: []graph.Node{{Name: "upstream/debian", Kind: graph.Upstream}, {Name: "base/debian", Kind: graph.Base}, {Name: "base/python", Kind: graph.Base}, {Name: "app", Kind: graph.Application}},
		edges: []graph.Edge{{Parent: "upstream/debian", Child: "base/debian", Kind: graph.Inherits}, {Parent: "base/debian", Child: "base/python", Kind: graph.Inherits}, {Parent: "base/python", Child: "app", Kind: graph.Inherits}},
	}
	return w
}

func (w *world) base(name string, f func(*plan.Base)) {
	b := w.f.Bases[name]
	f(&b)
	w.f.Bases[name] = b
}

func (w *world) app(name string, f func(*plan.Application)) {
	a := w.f.Applications[name]
	f(&a)
	w.f.Applications[name] = a
}

func (w *world) make(t *testing.T) *plan.Plan {
	t.Helper()
	g, err := graph.New(w.nodes, w.edges)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Make(w.c, g, w.f, noon)
}

func openssl(inherited string) plan.Patch {
	return plan.Patch{Patch: patch.Patch{Package: "libssl3", From: "3.0.20", To: "3.0.22", Repository: "http://d stable main"}, Inherited: inherited}
}

// libssl3 is newer: base/debian brought it in, base/python inherits it.
func patched() *world {
	w := current()
	w.base("base/debian", func(b *plan.Base) { b.Patches, b.State = []plan.Patch{openssl("")}, "s2" })
	w.base("base/python", func(b *plan.Base) { b.Patches, b.State = []plan.Patch{openssl("base/debian")}, "s2" })
	return w
}

// behind: base/python was rebuilt, the application stands on the one before and pins it.
func behind() *world {
	w := current()
	w.base("base/python", func(b *plan.Base) { b.Image = image(b.Reference, "P2", "u1", "d1", "p2") })
	return w
}

func steps(p *plan.Plan) string {
	var out []string
	for _, s := range p.Steps {
		out = append(out, fmt.Sprintf("%s %s %s tier %d after %s", s.Action, s.Image, s.Cause, s.Tier, strings.Join(s.Parents, "+")))
	}
	return strings.Join(out, "\n")
}

func TestMake(t *testing.T) {
	all := "rebuild base/debian package tier 0 after \nrebuild base/python parent tier 1 after base/debian\npull-request app parent tier 2 after base/python"
	for _, c := range []struct {
		name  string
		world func() *world
		steps string
		says  string // in the reasons of what is not done
	}{
		{"everything current: nothing", current, "", ""},
		{"a patch goes down in order", patched, all, ""},
		{"a patch that only the child installs triggers the child alone", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) { b.Patches = []plan.Patch{openssl("")} })
			return w
		}, "rebuild base/python package tier 0 after \npull-request app parent tier 1 after base/python", ""},
		{"an inherited package never triggers the child", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) { b.Patches = []plan.Patch{openssl("base/debian")} })
			return w
		}, "", ""},
		{"what the image's own rules hold back is said and left alone", func() *world {
			w := current()
			held := openssl("")
			held.Held = true
			w.base("base/python", func(b *plan.Base) { b.Patches = []plan.Patch{held} })
			return w
		}, "", "its own rules hold back libssl3 3.0.20 -> 3.0.22"},
		{"what is held back rides with nothing", func() *world {
			w := patched()
			held := openssl("")
			held.Package, held.Held = "libc6", true
			w.base("base/debian", func(b *plan.Base) { b.Patches = append(b.Patches, held) })
			return w
		}, all, "its own rules hold back libc6 3.0.20 -> 3.0.22"},
		{"no image yet: the first build", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) { b.Digest, b.DiffIDs = v1.Hash{}, nil })
			return w
		}, "rebuild base/python first tier 0 after \npull-request app parent tier 1 after base/python", ""},
		{"the recipe changed", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) { b.Recipe = "rp2" })
			return w
		}, "rebuild base/python recipe tier 0 after \npull-request app parent tier 1 after base/python", ""},
		{"the upstream moved", func() *world {
			w := current()
			w.f.Upstreams["upstream/debian"] = image("r/upstream/debian:12", "U2", "u2")
			return w
		}, strings.Replace(all, "base/debian package", "base/debian upstream", 1), ""},
		{"unknown is said, never taken for fine", func() *world {
			w := current()
			w.f.Upstreams["upstream/debian"] = plan.Image{Unknown: "connection refused"}
			return w
		}, "", "connection refused"},
		{"not taken: not again before something changes", func() *world {
			w := patched()
			w.base("base/debian", func(b *plan.Base) {
				b.Attempt = &plan.Attempt{Outcome: "not-taken", Reason: "libssl3 is still 3.0.20 (held)", At: noon}
			})
			return w
		}, "", "patch not taken: libssl3 is still 3.0.20 (held)"},
		{"failed: not again before its slot", func() *world {
			w := patched()
			w.base("base/debian", func(b *plan.Base) {
				b.Attempt = &plan.Attempt{Outcome: "failed", Reason: "exit 100", Tries: 2, At: noon, Next: noon.Add(time.Hour)}
			})
			return w
		}, "", "failed 2 times: exit 100"},
		{"failed: again in its slot", func() *world {
			w := patched()
			w.base("base/debian", func(b *plan.Base) {
				b.Attempt = &plan.Attempt{Outcome: "failed", Tries: 2, At: noon.Add(-2 * time.Hour), Next: noon.Add(-time.Hour)}
			})
			return w
		}, all, ""},
		{"a channel moved by hand is reported, not rebuilt", func() *world {
			w := patched()
			w.base("base/debian", func(b *plan.Base) { b.Attempt = &plan.Attempt{Outcome: "built", Digest: hash("D2").String(), At: noon} })
			return w
		}, "", "was moved by somebody else"},
		{"an image that is in hand is left alone", func() *world {
			w := patched()
			w.base("base/debian", func(b *plan.Base) { b.Busy = "r-1" })
			return w
		}, "", "rollout r-1 has it in hand"},
		{"a merged pull request waits for its image", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) { b.Image = image(b.Reference, "P2", "u1", "d1", "p2") })
			w.app("app", func(a *plan.Application) {
				a.References[0].Pinned = hash("P2")
				a.Told = &plan.Told{State: "merged", Number: 7, Wants: map[string]string{"base/python": hash("P2").String()}}
			})
			return w
		}, "", "#7 is merged; its next image is awaited"},
		{"a closed pull request is not opened again for the same digest", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) { b.Image = image(b.Reference, "P2", "u1", "d1", "p2") })
			w.app("app", func(a *plan.Application) {
				a.Told = &plan.Told{State: "closed", Number: 7, Wants: map[string]string{"base/python": hash("P2").String()}}
			})
			return w
		}, "", "closed without merging"},
		{"an older pull request does not stop the newer digest", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) { b.Image = image(b.Reference, "P2", "u1", "d1", "p2") })
			w.app("app", func(a *plan.Application) {
				a.Told = &plan.Told{State: "open", Number: 7, Wants: map[string]string{"base/python": hash("P1").String()}}
			})
			return w
		}, "pull-request app parent tier 0 after ", ""},
		{"observed only", func() *world {
			w := patched()
			w.app("app", func(a *plan.Application) { a.Strategy = "observe" })
			return w
		}, strings.Join(strings.Split(all, "\n")[:2], "\n"), "observed only"},
		{"dispatch", func() *world {
			w := patched()
			w.app("app", func(a *plan.Application) { a.Strategy, a.References[0].Pinned = "dispatch", v1.Hash{} })
			return w
		}, strings.Replace(all, "pull-request", "dispatch", 1), ""},
		{"a Dockerfile that cannot be rewritten is said", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) { b.Image = image(b.Reference, "P2", "u1", "d1", "p2") })
			w.app("app", func(a *plan.Application) {
				a.References[0].Rewritable, a.References[0].Why = false, "is composed of build args"
			})
			return w
		}, "", "Dockerfile:1 is composed of build args"},
		{"a Dockerfile that is left to another bot is said", func() *world {
			w := patched()
			w.app("app", func(a *plan.Application) {
				a.References[0].Rewritable, a.References[0].Left, a.References[0].Why = false, true, "is kept up to date by Renovate (renovate.json: nothing in it excludes the image)"
			})
			return w
		}, strings.Join(strings.Split(all, "\n")[:2], "\n"), "left to another bot (proposals.with_bots): Dockerfile:1 is kept up to date by Renovate (renovate.json: nothing in it excludes the image)"},
		{"a broken Dockerfile stops nobody else", func() *world {
			w := patched()
			w.app("app", func(a *plan.Application) { a.Problem = "Dockerfile:3: unknown instruction" })
			return w
		}, strings.Join(strings.Split(all, "\n")[:2], "\n"), "unknown instruction"},
		{"a patch needs the upstream, too: without it nothing is built, and that is said", func() *world {
			w := patched()
			w.f.Upstreams["upstream/debian"] = plan.Image{Unknown: "connection refused"}
			return w
		}, "", "libssl3 3.0.20 -> 3.0.22 is in http://d stable main; it cannot be built without upstream/debian: connection refused"},
		{"an upstream that is gone is said", func() *world {
			w := current()
			w.f.Upstreams["upstream/debian"] = plan.Image{Reference: "r/upstream/debian:12"}
			return w
		}, "", "cannot tell whether it stands on upstream/debian: r/upstream/debian:12 has no image"},
		{"a first build waits until its parent can be built", func() *world {
			w := current()
			w.base("base/debian", func(b *plan.Base) {
				b.Image = plan.Image{Reference: b.Reference}
				b.Attempt = &plan.Attempt{Outcome: "failed", Reason: "exit 100", Tries: 1, At: noon, Next: noon.Add(time.Hour)}
			})
			w.base("base/python", func(b *plan.Base) { b.Image = plan.Image{Reference: b.Reference} })
			return w
		}, "", "r/base/python:stable has no image yet; it cannot be built without base/debian: r/base/debian:stable has no image"},
		{"a child waits for a parent that is in hand", func() *world {
			w := current()
			w.base("base/debian", func(b *plan.Base) { b.Busy = "r-1" })
			w.base("base/python", func(b *plan.Base) { b.Recipe = "rp2" })
			return w
		}, "", "its recipe changed; it waits for base/debian, which rollout r-1 has in hand"},
		{"an application waits for a base that is in hand", func() *world {
			w := behind()
			w.base("base/python", func(b *plan.Base) { b.Busy = "r-1" })
			return w
		}, "", "it waits for it, rollout r-1 has it in hand"},
		{"a parent that a recipe names twice is waited for once", func() *world {
			w := patched()
			w.base("base/python", func(b *plan.Base) {
				b.Parents = append(b.Parents, plan.Parent{Name: "base/debian", Reference: "r/base/debian:stable", Kind: graph.BuildsWith, Where: "Dockerfile:2"})
			})
			return w
		}, all, ""},
		{"a parent of which only the configuration changed is noticed by what was built with it", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) { b.Parents[0].Used = hash("D0").String() })
			return w
		}, "rebuild base/python parent tier 0 after \npull-request app parent tier 1 after base/python", ""},
		{"a rebuild on the new upstream changed nothing: that is known, and not tried with each index again", func() *world {
			w := current()
			w.f.Upstreams["upstream/debian"] = image("r/upstream/debian:12", "U2", "u2")
			w.base("base/debian", func(b *plan.Base) { b.Parents[0].Used = hash("U2").String() })
			return w
		}, "", ""},
		{"a copied parent is compared with the digest that was copied from", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) {
				b.Parents = append(b.Parents, plan.Parent{Name: "upstream/debian", Kind: graph.CopiesFrom, Used: hash("U0").String()})
			})
			return w
		}, "rebuild base/python upstream tier 0 after \npull-request app parent tier 1 after base/python", ""},
		{"a recipe that went back to what it was is built, or found, again", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) {
				b.Recipe, b.Promoted = "rp0", b.Digest.String()
				b.Attempt = &plan.Attempt{Outcome: "built", Digest: hash("P0").String(), At: noon}
			})
			return w
		}, "rebuild base/python recipe tier 0 after \npull-request app parent tier 1 after base/python", ""},
		{"a recipe that went back to the one that made the image: nothing", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) {
				b.BuiltFrom = "rp2" // a rebuild that changed nothing
				b.Attempt = &plan.Attempt{Outcome: "built", Digest: b.Digest.String(), At: noon}
			})
			return w
		}, "", ""},
		{"a patch that the image's own build did not take is said", func() *world {
			w := patched()
			w.base("base/debian", func(b *plan.Base) { b.Attempt = &plan.Attempt{Outcome: "built", Digest: b.Digest.String(), At: noon} })
			return w
		}, "", "built with the same inputs as " + hash("D1").Hex[:12] + "; still: libssl3 3.0.20 -> 3.0.22"},
		{"a channel moved by somebody else is said, also when nothing else is amiss", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) { b.Promoted = hash("P9").String() })
			return w
		}, "", "r/base/python:stable was moved by somebody else from " + hash("P9").Hex[:12] + " to " + hash("P1").Hex[:12]},
		{"a channel moved by somebody else to what we did not build is not moved back", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) {
				b.BuiltFrom, b.Promoted = "", hash("P9").String()
				b.Image = image(b.Reference, "P1", "u0", "d0", "p1")
				b.Attempt = &plan.Attempt{Outcome: "built", Digest: b.Promoted, At: noon}
			})
			return w
		}, "", "was moved by somebody else"},
		{"an image that was not built here is not taken for one of the present recipe", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) { b.BuiltFrom = "" })
			return w
		}, "", "was not built here"},
		{"what the catalog does not watch is said", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) { b.Unwatched = []string{"ubuntu:24.04 (Dockerfile:1)"} })
			return w
		}, "", "nothing new of it is noticed: ubuntu:24.04 (Dockerfile:1)"},
		{"a base by another tag than its channel is said", func() *world {
			w := patched()
			w.app("app", func(a *plan.Application) {
				a.References, a.Strays = nil, []string{"base/python by the tag 3.11 (Dockerfile:1)"}
			})
			return w
		}, strings.Join(strings.Split(all, "\n")[:2], "\n"), "it names base/python by the tag 3.11 (Dockerfile:1), so that it is not told of new ones"},
		{"a base that cannot be seen is not taken for the one that the application stands on", func() *world {
			w := current()
			w.base("base/python", func(b *plan.Base) { b.Image = plan.Image{Reference: b.Reference, Unknown: "503"} })
			return w
		}, "", "cannot tell whether it stands on base/python: 503"},
		{"a Dockerfile that cannot be rewritten is said before anything is built", func() *world {
			w := patched()
			w.app("app", func(a *plan.Application) {
				a.References[0].Rewritable, a.References[0].Why = false, "is composed of build args"
			})
			return w
		}, strings.Join(strings.Split(all, "\n")[:2], "\n"), "Dockerfile:1 is composed of build args"},
		{"copied from a pinned digest that is wanted: nothing to tell, and nothing proven", func() *world {
			w := behind()
			w.app("app", func(a *plan.Application) {
				a.References[0].Kind, a.References[0].Pinned = graph.CopiesFrom, hash("P2")
			})
			return w
		}, "", "its Dockerfile pins the newest digest of base/python and only copies from there: layers cannot prove that its image has it"},
		{"copied from a tag: nothing to tell, and nothing proven", func() *world {
			w := behind()
			w.app("app", func(a *plan.Application) {
				a.References[0].Kind, a.References[0].Pinned = graph.CopiesFrom, v1.Hash{}
			})
			return w
		}, "", "its Dockerfile follows the tag of base/python and only copies from there"},
		{"copied from a tag, and could not be told: told in its slot", func() *world {
			w := behind()
			w.app("app", func(a *plan.Application) {
				a.References[0].Kind, a.References[0].Pinned, a.Strategy = graph.CopiesFrom, v1.Hash{}, "dispatch"
				a.Attempt = &plan.Attempt{Outcome: "failed", Reason: "403", Tries: 1, At: noon.Add(-time.Hour), Next: noon}
			})
			return w
		}, "dispatch app parent tier 0 after ", ""},
		{"copied from what is merged: its image is awaited", func() *world {
			w := behind()
			w.app("app", func(a *plan.Application) {
				a.References[0].Kind, a.References[0].Pinned = graph.CopiesFrom, hash("P2")
				a.Told = &plan.Told{State: "merged", Number: 7, Wants: map[string]string{"base/python": hash("P2").String()}}
			})
			return w
		}, "", "#7 is merged; its next image is awaited"},
		{"copied from a base that cannot be seen: that is what is not known", func() *world {
			w := behind()
			w.base("base/python", func(b *plan.Base) { b.Image = plan.Image{Unknown: "503"} })
			w.app("app", func(a *plan.Application) { a.References[0].Kind = graph.CopiesFrom })
			return w
		}, "", "cannot tell whether it stands on base/python: 503"},
		{"copied besides standing on a base: the layers prove what they can", func() *world {
			w := current()
			w.app("app", func(a *plan.Application) {
				a.References = append(a.References, plan.Reference{Base: "base/debian", Pinned: hash("D1"), Kind: graph.CopiesFrom, File: "Dockerfile", Line: 2, Rewritable: true})
			})
			return w
		}, "", ""},
		{"copied from an older pinned digest: told", func() *world {
			w := behind()
			w.app("app", func(a *plan.Application) { a.References[0].Kind = graph.CopiesFrom })
			return w
		}, "pull-request app parent tier 0 after ", ""},
		{"copied from a pinned digest, told already: not again", func() *world {
			w := behind()
			w.app("app", func(a *plan.Application) {
				a.References[0].Kind = graph.CopiesFrom
				a.Told = &plan.Told{State: "open", Number: 7, Wants: map[string]string{"base/python": hash("P2").String()}}
			})
			return w
		}, "", "pull request #7 is open"},
		{"who could not be told is not tried before its slot", func() *world {
			w := behind()
			w.app("app", func(a *plan.Application) {
				a.Attempt = &plan.Attempt{Outcome: "failed", Reason: "403", Tries: 2, At: noon, Next: noon.Add(time.Hour)}
			})
			return w
		}, "", "could not be told, tried 2 times: 403"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.world().make(t)
			if got := steps(p); got != c.steps {
				t.Errorf("steps:\n%s\nwant:\n%s", got, c.steps)
			}
			said := slices.ContainsFunc(p.NotDone, func(n plan.NotDone) bool { return strings.Contains(n.Reason, c.says) })
			if c.says != "" && !said {
				t.Errorf("%q is not said in %+v", c.says, p.NotDone)
			}
			for _, n := range p.NotDone {
				if c.says == "" && c.steps == "" {
					t.Errorf("nothing is to be said, and yet: %s: %s", n.Image, n.Reason)
				}
			}
			for _, s := range p.Steps {
				if len(s.Reasons) == 0 {
					t.Errorf("%s has no reason", s.Image)
				}
			}
		})
	}
}

// The ID of a plan is that of what is to be done and of what that rests on, however it is explained.
func TestWhatIsAnotherPlan(t *testing.T) {
	changed := func(w *world) *world {
		w.base("base/python", func(b *plan.Base) { b.Recipe = "rp2" })
		return w
	}
	was := changed(patched()).make(t).ID
	for _, c := range []struct {
		name    string
		change  func(w *world)
		another bool
	}{
		{"nothing", func(*world) {}, false},
		{"git answers", func(w *world) { w.base("base/python", func(b *plan.Base) { b.Revision = "commit 1a2b3c4 by Ada" }) }, false},
		{"another replica saw the repository at another time", func(w *world) {
			w.base("base/debian", func(b *plan.Base) { b.Patches[0].PublishedAt++ })
		}, false},
		{"another version is offered", func(w *world) { w.base("base/debian", func(b *plan.Base) { b.Patches[0].To += "+1" }) }, true},
		{"an advisory", func(w *world) {
			w.base("base/python", func(b *plan.Base) { b.Advisories = []plan.Advisory{{ID: "CVE-2026-1"}} })
		}, true},
		{"another recipe", func(w *world) { w.base("base/python", func(b *plan.Base) { b.Recipe = "rp3" }) }, true},
	} {
		w := changed(patched())
		c.change(w)
		if p := w.make(t); p.Empty() || (p.ID != was) != c.another {
			t.Errorf("%s: plan %s after %s", c.name, p.ID, was)
		}
	}
}

func TestTheSameFactsGiveTheSamePlan(t *testing.T) {
	a, b := patched().make(t), patched().make(t)
	if a.ID != b.ID {
		t.Errorf("%s != %s", a.ID, b.ID)
	}
	w := patched()
	w.app("app", func(a *plan.Application) { a.Commit = "c2" })
	if c := w.make(t); c.ID == a.ID {
		t.Error("a new commit of the application gave the same plan")
	}
	if j, _ := json.Marshal(a); len(j) == 0 {
		t.Error("a plan is not data")
	}
}

func TestPatchesOfAChildAreThoseThatComeDown(t *testing.T) {
	p := patched().make(t)
	for _, name := range []string{"base/python", "app"} {
		s, ok := p.Find(name)
		if !ok || len(s.Patches) != 1 || s.Patches[0].To != "3.0.22" {
			t.Errorf("%s must bring in %+v", name, s.Patches)
		}
	}
}

func TestSettleWindow(t *testing.T) {
	w := patched()
	w.base("base/debian", func(b *plan.Base) { b.StateSince = noon.Add(-4 * time.Minute) })
	p := w.make(t)
	if want := noon.Add(6 * time.Minute); !p.NotBefore.Equal(want) || p.Due(noon) || !p.Due(want) {
		t.Errorf("not before %s, want %s", p.NotBefore, want)
	}
}

// A repository that changes more often than a window is long must not put a patch off for ever.
func TestSettleWindowEnds(t *testing.T) {
	w := patched()
	w.base("base/debian", func(b *plan.Base) {
		b.StateSince = noon
		b.Patches[0].PublishedAt = noon.Add(-time.Hour).UnixMilli()
	})
	if p := w.make(t); !p.Due(noon) {
		t.Errorf("published an hour ago and still put off until %s", p.NotBefore)
	}
}

func TestAPatchThatTheParentHasComesDownToAStaleChild(t *testing.T) {
	w := patched()
	w.base("base/debian", func(b *plan.Base) { b.Image, b.Patches = image(b.Reference, "D2", "u1", "d2"), nil })
	p := w.make(t)
	s, ok := p.Find("base/python")
	if !ok || len(s.Patches) != 1 || s.Patches[0].Package != "libssl3" {
		t.Errorf("%+v must bring in libssl3", s)
	}
	if a, ok := p.Find("app"); !ok || len(a.Patches) != 1 {
		t.Errorf("the application is told of %+v", a.Patches)
	}
}

// After a failure the same facts make another plan: one that was applied cannot be applied again.
func TestAFailureMakesAnotherPlan(t *testing.T) {
	before := patched().make(t)
	w := patched()
	w.base("base/debian", func(b *plan.Base) {
		b.Attempt = &plan.Attempt{Outcome: "failed", Tries: 1, At: noon.Add(-2 * time.Hour), Next: noon.Add(-time.Hour)}
	})
	if after := w.make(t); steps(after) != steps(before) || after.ID == before.ID {
		t.Errorf("%s after %s", after.ID, before.ID)
	}
}

func TestUnknownCountsImages(t *testing.T) {
	w := current()
	w.f.Upstreams["upstream/debian"] = plan.Image{Unknown: "connection refused"}
	w.base("base/debian", func(b *plan.Base) { b.Stale = "503" })
	if p := w.make(t); p.Unknown != 2 || p.Images != 4 {
		t.Errorf("of %d images %d are unknown: %+v", p.Images, p.Unknown, p.NotDone)
	}
}

func TestImagesOfOneApplicationWaitForTheParentsOfAll(t *testing.T) {
	w := patched()
	a := w.f.Applications["app"]
	b := a
	b.References = []plan.Reference{{Base: "base/debian", Reference: "r/base/debian:stable", Kind: graph.Inherits, File: "worker/Dockerfile", Line: 1, Rewritable: true}}
	w.f.Applications["app/worker"] = b
	w.nodes = append(w.nodes, graph.Node{Name: "app/worker", Kind: graph.Application})
	w.edges = append(w.edges, graph.Edge{Parent: "base/debian", Child: "app/worker", Kind: graph.Inherits})
	p := w.make(t)
	for _, name := range []string{"app", "app/worker"} {
		if s, _ := p.Find(name); !slices.Equal(s.Parents, []string{"base/debian", "base/python"}) || s.Tier != 2 {
			t.Errorf("%s waits for %v in tier %d", name, s.Parents, s.Tier)
		}
	}
	inOrder(t, p)
}

func TestOneProposalServesAllImagesOfAnApplication(t *testing.T) {
	w := current()
	w.base("base/python", func(b *plan.Base) { b.Image = image(b.Reference, "P2", "u1", "d1", "p2") })
	told := &plan.Told{State: "open", Number: 7, Wants: map[string]string{"base/python": hash("P2").String(), "base/debian": hash("D1").String()}}
	w.app("app", func(a *plan.Application) { a.Told = told })
	b := w.f.Applications["app"]
	b.Image = image("r/worker:main", "W1", "u1", "d1", "w1")
	b.References = []plan.Reference{{Base: "base/debian", Reference: "r/base/debian:stable", Kind: graph.Inherits, File: "worker/Dockerfile", Line: 1, Rewritable: true}}
	w.f.Applications["app/worker"] = b
	w.nodes = append(w.nodes, graph.Node{Name: "app/worker", Kind: graph.Application})
	w.edges = append(w.edges, graph.Edge{Parent: "base/debian", Child: "app/worker", Kind: graph.Inherits})
	if p := w.make(t); !p.Empty() {
		t.Errorf("told again: %s", steps(p))
	}
}

func TestKeyDoesNotDependOnTheOrderOfParents(t *testing.T) {
	x := plan.Pinned{Parent: plan.Parent{Reference: "a"}, Digest: hash("A")}
	y := plan.Pinned{Parent: plan.Parent{Reference: "b"}, Digest: hash("B")}
	one := plan.Inputs{Image: "i", Recipe: "r", State: "s", Parents: []plan.Pinned{x, y}}
	two := plan.Inputs{Image: "i", Recipe: "r", State: "s", Parents: []plan.Pinned{y, x}}
	if one.Key() != two.Key() {
		t.Error("the order of parents changes the key")
	}
	two.State = "t"
	if one.Key() == two.Key() {
		t.Error("the repositories' state does not change the key")
	}
}

// inOrder checks that each step comes after the steps that it waits for.
func inOrder(t *testing.T, p *plan.Plan) {
	t.Helper()
	at := map[string]int{}
	for i, s := range p.Steps {
		for _, q := range s.Parents {
			if k, ok := at[q]; !ok || p.Steps[k].Tier >= s.Tier {
				t.Errorf("%s, in tier %d, does not come after %s", s.Image, s.Tier, q)
			}
		}
		at[s.Image] = i
	}
}

// A step says what of its build is not as exact as it should be; that is no cause, and no other plan.
func TestDoubtIsNoted(t *testing.T) {
	const doubt = "no RUN is recognised as one that installs packages: all are run again"
	w := current()
	w.base("base/python", func(b *plan.Base) { b.Doubt = doubt })
	if p := w.make(t); !p.Empty() {
		t.Errorf("steps %+v", p.Steps)
	}
	w.base("base/python", func(b *plan.Base) { b.BuiltFrom = "another" })
	p := w.make(t)
	if s, _ := p.Find("base/python"); !slices.Equal(s.Notes, []string{doubt}) || len(s.Reasons) != 1 {
		t.Errorf("step %+v", s)
	}
	w.base("base/python", func(b *plan.Base) { b.Doubt = "" })
	without := w.make(t)
	if s, _ := without.Find("base/python"); len(s.Notes) != 0 || without.ID != p.ID {
		t.Errorf("step %+v, plan %s, with the note %s", s, without.ID, p.ID)
	}
	w.base("base/python", func(b *plan.Base) { b.Doubt, b.State = doubt, "" })
	if s, _ := w.make(t).Find("base/python"); len(s.Notes) != 0 {
		t.Errorf("without package repositories: %+v", s)
	}
}
