package observe_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/inventory"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

func TestWhoseAPatchIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		build func(w *world)
		want  map[string]string // base -> its patches
	}{
		{"inherited: the parent's", func(w *world) {
			d := w.image(nil, join(debian("libfoo 1.0"), w.main.sources("main")))
			w.push(d, "upstream/debian:12")
			d = w.image(d, files{"d": ""})
			w.push(d, "base/debian:stable")
			w.push(w.image(d, files{"p": ""}), "base/python:stable")
		}, map[string]string{"base/debian": "libfoo 1.0 -> 1.1 of ", "base/python": "libfoo 1.0 -> 1.1 of base/debian"}},
		{"only the child has it: its own", func(w *world) {
			d := w.image(nil, join(debian("libfoo 1.1"), w.main.sources("main")))
			w.push(d, "base/debian:stable")
			w.push(w.image(d, debian("libbar 1.0", "libfoo 1.1")), "base/python:stable")
		}, map[string]string{"base/debian": "", "base/python": "libbar 1.0 -> 1.1 of "}},
		{"the child had upgraded it: its own, as well as the parent's", func(w *world) {
			d := w.image(nil, join(debian("libfoo 1.0"), w.main.sources("main")))
			w.push(d, "base/debian:stable")
			w.push(w.image(d, debian("libfoo 1.0.5")), "base/python:stable")
		}, map[string]string{"base/debian": "libfoo 1.0 -> 1.1 of ", "base/python": "libfoo 1.0.5 -> 1.1 of "}},
		{"the parent has it, the child stands on an older one: comes down", func(w *world) {
			d := w.image(nil, join(debian("libfoo 1.0"), w.main.sources("main")))
			w.push(w.image(d, files{"p": ""}), "base/python:stable")
			w.push(w.image(d, debian("libfoo 1.1")), "base/debian:stable")
		}, map[string]string{"base/debian": "", "base/python": "libfoo 1.0 -> 1.1 of base/debian"}},
		{"only the child's repositories offer it: its own", func(w *world) {
			extra := newRepository(w.t)
			extra.publish("libfoo 1.2")
			d := w.image(nil, join(debian("libfoo 1.1"), w.main.sources("main")))
			w.push(d, "base/debian:stable")
			w.push(w.image(d, extra.sources("extra")), "base/python:stable")
		}, map[string]string{"base/debian": "", "base/python": "libfoo 1.1 -> 1.2 of "}},
		{"the child's repositories offer more than the parent's: its own", func(w *world) {
			extra := newRepository(w.t)
			extra.publish("libfoo 1.2")
			d := w.image(nil, join(debian("libfoo 1.0"), w.main.sources("main")))
			w.push(d, "base/debian:stable")
			w.push(w.image(d, extra.sources("extra")), "base/python:stable")
		}, map[string]string{"base/debian": "libfoo 1.0 -> 1.1 of ", "base/python": "libfoo 1.0 -> 1.2 of "}},
		{"the parent has no image: nobody could give it", func(w *world) {
			w.push(w.image(nil, join(debian("libfoo 1.0"), w.main.sources("main"))), "base/python:stable")
		}, map[string]string{"base/debian": "", "base/python": "libfoo 1.0 -> 1.1 of "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.main.publish("libfoo 1.1", "libbar 1.1")
			c.build(w)
			seen := w.look(w.twoBases())
			for base, want := range c.want {
				var got []string
				for _, p := range seen.Facts.Bases[base].Patches {
					got = append(got, fmt.Sprintf("%s %s -> %s of %s", p.Package, p.From, p.To, p.Inherited))
				}
				if s := strings.Join(got, "; "); s != want {
					t.Errorf("%s: %q, want %q", base, s, want)
				}
			}
		})
	}
}

// The memory of what was built is found by a key that rollouts and looks must compute alike, else nothing is ever
// remembered and everything is built again and again.
// sameKeys checks that a look remembers of each base what a build of it wrote down.
func (w *world) sameKeys(c *catalog.Catalog) {
	w.t.Helper()
	for _, b := range c.Bases {
		in, _, err := w.obs.Base(w.t.Context(), c, b)
		if err != nil {
			w.t.Fatal(err)
		}
		w.remember(func(ctx context.Context, q store.Querier) error {
			return store.SaveAttempt(ctx, q, store.Attempt{Key: in.Key(), Image: b.Name, Outcome: "failed", Reason: b.Name, Tries: 1, At: 1, Next: 2})
		})
	}
	for name, b := range w.look(c).Facts.Bases {
		if b.Attempt == nil || b.Attempt.Reason != name {
			w.t.Errorf("%s: the look finds %+v", name, b.Attempt)
		}
	}
}

func TestTheKeyOfALookIsThatOfABuild(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, python string
		first        bool // base/python has no image yet
	}{
		{"as usual", "FROM HOST/base/debian:stable\n", false},
		{"first build", "FROM HOST/base/debian:stable\n", true},
		{"a parent by digest", "FROM HOST/base/debian@sha256:" + strings.Repeat("0", 64) + "\n", true},
		{"a parent by tag and digest", "FROM HOST/base/debian:stable@sha256:" + strings.Repeat("0", 64) + "\n", false},
		{"several parents, one of them twice", "FROM HOST/upstream/debian:12 AS a\nFROM HOST/base/debian:stable AS b\nFROM HOST/base/debian:stable\nCOPY --from=a /d /d\nCOPY --from=b /d /e\n", false},
		{"scratch", "FROM scratch\nCOPY . /\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.main.publish("libfoo 1.0")
			d := w.image(nil, join(debian("libfoo 1.0"), w.main.sources("main")))
			w.push(d, "upstream/debian:12")
			d = w.image(d, files{"d": ""})
			w.push(d, "base/debian:stable")
			if !c.first {
				w.push(w.image(d, files{"p": ""}), "base/python:stable")
			}
			cat := w.twoBases()
			w.write("python/Dockerfile", c.python)
			w.sameKeys(cat)
			if in, _, err := w.obs.Base(t.Context(), cat, cat.Bases[0]); err != nil || in.State == "" {
				t.Errorf("the repositories have no state: %v", err)
			}
			// And another state of the world has another key.
			w.main.publish("libfoo 1.1")
			if a := w.look(cat).Facts.Bases["base/debian"].Attempt; a != nil {
				t.Errorf("after the index changed: %+v", a)
			}
		})
	}
}

func TestWhatCannotBeSeenIsUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.main.publish("libfoo 1.0")
	d := w.image(nil, join(debian("libfoo 1.0"), w.main.sources("main")))
	up := w.push(d, "upstream/debian:12")
	w.push(w.image(d, files{"d": ""}), "base/debian:stable")
	c := w.twoBases()
	before := w.look(c).Facts

	w.fail("/upstream/")
	w.now = w.now.Add(time.Hour)
	f := w.look(c).Facts
	if u := f.Upstreams["upstream/debian"]; !strings.Contains(u.Unknown, "403") || u.Exists() {
		t.Errorf("upstream/debian: %+v", u)
	}
	if b := f.Bases["base/debian"]; b.Unknown != "" || !b.Exists() {
		t.Errorf("base/debian: %+v", b.Image)
	}
	if b := f.Bases["base/python"]; b.Unknown != "" || b.Exists() {
		t.Errorf("base/python has no image, which is known: %+v", b.Image)
	}

	w.fail("")
	w.now = w.now.Add(time.Hour)
	after := w.look(c).Facts.Upstreams["upstream/debian"]
	if after.Digest != up || !after.FirstSeen.Equal(before.Upstreams["upstream/debian"].FirstSeen) {
		t.Errorf("an outage made it new: first seen %s", after.FirstSeen)
	}
}

func TestAPackageRepositoryThatIsGoneIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.main.publish("libfoo 1.1")
	gone := newRepository(t)
	sources := gone.sources("gone")
	d := w.image(nil, join(debian("libfoo 1.0"), w.main.sources("main"), sources)) // nothing was published there
	w.push(d, "base/debian:stable")
	b := w.look(w.twoBases()).Facts.Bases["base/debian"]
	if !strings.Contains(b.Stale, gone.url) || len(b.Patches) != 1 || b.State == "" {
		t.Errorf("stale %q, patches %v, state %q", b.Stale, b.Patches, b.State)
	}
}

func TestPackagesThatAreNotWatchedAreSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		files files
		want  string
	}{
		{"another distribution", files{"etc/os-release": "ID=alpine\nVERSION_ID=3.22.0\n"}, "no package database was found in alpine 3.22.0"},
		{"packages, and nowhere to get newer ones", debian("libfoo 1.0"), "names none"},
		{"nothing but files", files{"app": ""}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.push(w.image(nil, c.files), "base/debian:stable")
			got := w.look(w.twoBases()).Facts.Bases["base/debian"].Stale
			if !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestRecipesThatCannotBeBuilt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(w *world)
		want  string
	}{
		{"mistake in the Dockerfile", func(w *world) { w.write("python/Dockerfile", "FROM HOST/base/debian:stable\nRUUN true\n") }, "Dockerfile:2"},
		{"no Dockerfile", func(w *world) { _ = os.Remove(filepath.Join(w.dir, "python/Dockerfile")) }, "python/Dockerfile: no such file"},
		{"too large", func(w *world) { w.write("python/Dockerfile", strings.Repeat("#\n", 3<<20)) }, "larger than"},
		{"broken .dockerignore", func(w *world) { w.write("python/.dockerignore", "[\n") }, "syntax error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			cat := w.twoBases()
			c.spoil(w)
			f := w.look(cat).Facts
			if got := f.Bases["base/python"].Problem; !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			if got := f.Bases["base/debian"].Problem; got != "" {
				t.Errorf("base/debian has nothing to do with it: %s", got)
			}
			if _, _, err := w.obs.Base(t.Context(), cat, cat.Bases[1]); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("for a build: %v", err)
			}
		})
	}
}

// A recipe of which nobody can tell what installs packages is one of which the plan says so.
func TestDoubtOverPackageSteps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.twoBases()
	w.write("python/Dockerfile", "FROM HOST/base/debian:stable\nCOPY setup /setup\nRUN /setup\n")
	w.write("debian/Dockerfile", "FROM HOST/upstream/debian:12\nRUN apt-get update && apt-get -y upgrade\n")
	facts := w.look(c).Facts
	if got, want := facts.Bases["base/python"].Doubt, "no RUN is recognised as one that installs packages: all are run again"; got != want {
		t.Errorf("doubt %q, want %q", got, want)
	}
	if got := facts.Bases["base/debian"].Doubt; got != "" {
		t.Errorf("doubt of base/debian: %q", got)
	}
}

func TestParentsThatTheCatalogDoesNotKnow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.twoBases()
	w.write("python/Dockerfile", "FROM ubuntu:24.04 AS tools\nFROM HOST/base/debian:12.1\nCOPY --from=tools /x /x\n")
	got := w.look(c).Facts.Bases["base/python"]
	want := []string{"ubuntu:24.04 (Dockerfile:1)", w.host + "/base/debian:12.1 (Dockerfile:2)"}
	if !slices.Equal(got.Unwatched, want) || len(got.Parents) != 0 {
		t.Errorf("unwatched %q, parents %+v", got.Unwatched, got.Parents)
	}
}

func TestPlatformsMustAgree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("debian/Dockerfile", "FROM HOST/upstream/debian:12\n")
	w.write("python/Dockerfile", "FROM HOST/base/debian:stable\n")
	w.write("arm/Dockerfile", "FROM HOST/upstream/debian:12\n")
	c := w.catalog(strings.Replace(twoBases, "context = \"python\"", "context = \"python\"\nplatform = \"linux/arm64\"", 1) + "[[base]]\nname = \"base/arm\"\ncontext = \"arm\"\nplatform = \"linux/arm64\"\n")
	f := w.look(c).Facts.Bases
	for _, name := range []string{"base/python", "base/arm"} {
		if !strings.Contains(f[name].Problem, "it is built for linux/arm64, but") {
			t.Errorf("%s: %q", name, f[name].Problem)
		}
	}
	if f["base/debian"].Problem != "" {
		t.Error(f["base/debian"].Problem)
	}
}

const oneApplication = `
[[application]]
name = "web"
repository = "acme/web"
image = "HOST/apps/web:main"
`

func TestReferencesOfAnApplication(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("ab", 32)
	for _, c := range []struct {
		name, dockerfile, bases string
		refs                    string
		strays                  string
	}{
		{"by tag", "FROM HOST/base/debian:stable\n", twoBases, "base/debian inherits - :1", ""},
		{"by tag and digest", "FROM HOST/base/debian:stable@" + digest + "\n", twoBases, "base/debian inherits abab :1", ""},
		{"by digest alone", "FROM HOST/base/debian@" + digest + "\n", twoBases, "base/debian inherits abab :1", ""},
		{"by another tag", "FROM HOST/base/debian:12.1\n", twoBases, "", "base/debian by tag 12.1 (Dockerfile:1)"},
		{"by no tag, where the channel is another", "FROM HOST/base/debian\n", twoBases, "", "base/debian by tag latest (Dockerfile:1)"},
		{"copied and built with", "FROM HOST/base/python:stable AS b\nFROM HOST/base/debian:stable\nCOPY --from=b /x /x\nCOPY --from=HOST/base/python:stable /y /y\n", twoBases,
			"base/python builds-with - :1; base/debian inherits - :2; base/python copies-from - :4", ""},
		{"an upstream is no base", "FROM HOST/upstream/debian:12\n", twoBases, "", ""},
		{"one of two channels of a repository", "FROM HOST/base/java:21\n", twoChannels, "base/java-21 inherits - :1", ""},
		{"neither of two channels", "FROM HOST/base/java:11\n", twoChannels, "", "base/java-17 or base/java-21 by tag 11 (Dockerfile:1)"},
		{"a digest that may be of either", "FROM HOST/base/java@" + digest + "\n", twoChannels, "", "base/java-17 or base/java-21 by digest alone (Dockerfile:1)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for _, dir := range []string{"debian", "python", "java"} {
				w.write(dir+"/Dockerfile", "FROM scratch\n")
			}
			w.obs.Forge = forge{"acme/web/Dockerfile": strings.ReplaceAll(c.dockerfile, "HOST", w.host)}
			a := w.look(w.catalog(c.bases + oneApplication)).Facts.Applications["web"]
			var got []string
			for _, r := range a.References {
				pinned := "-"
				if r.Pinned.Hex != "" {
					pinned = r.Pinned.Hex[:4]
				}
				got = append(got, fmt.Sprintf("%s %s %s :%d", r.Base, r.Kind, pinned, r.Line))
			}
			if s := strings.Join(got, "; "); s != c.refs {
				t.Errorf("references %q, want %q", s, c.refs)
			}
			if s := strings.Join(a.Strays, "; "); s != c.strays {
				t.Errorf("strays %q, want %q", s, c.strays)
			}
		})
	}
}

const twoChannels = `
[[base]]
name = "base/java-17"
image = "HOST/base/java"
context = "java"
channel = "17"
[[base]]
name = "base/java-21"
image = "HOST/base/java"
context = "java"
channel = "21"
`

func TestApplicationsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		forge forge
		want  string
	}{
		{"no Dockerfile", forge{"acme/web/README.md": ""}, "acme/web has no Dockerfile at c0ffee"},
		{"a broken Dockerfile", forge{"acme/web/Dockerfile": "FROM a\nRUUN b\n"}, "acme/web: Dockerfile:2"},
		{"no repository", forge{}, "the forge has no acme/web with a branch main"},
		{"no forge", nil, "the catalog has no [forge]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.forge != nil {
				w.obs.Forge = c.forge
			} else {
				w.obs.Forge = nil
			}
			w.twoBases()
			a := w.look(w.catalog(twoBases + oneApplication)).Facts.Applications["web"]
			if !strings.Contains(a.Problem, c.want) {
				t.Errorf("%q, want %q", a.Problem, c.want)
			}
		})
	}
}

func TestTheGraphSaysWhatIsProven(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.image(nil, files{"d": ""})
	w.push(d, "base/debian:stable")
	w.push(w.image(d, files{"p": ""}), "base/python:stable")
	w.push(w.image(nil, files{"other": ""}), "apps/web:main")
	w.obs.Forge = forge{"acme/web/Dockerfile": "FROM " + w.host + "/base/debian:stable\n"}
	w.twoBases()
	g := w.look(w.catalog(twoBases + oneApplication)).Graph
	for child, want := range map[string]graph.Evidence{"base/python": graph.FromLayers, "web": graph.FromRecipe, "base/debian": graph.FromRecipe} {
		if e := g.Believed(child); len(e) != 1 || e[0].Evidence != want || e[0].Where != "Dockerfile:1" {
			t.Errorf("%s: %+v, want evidence from %s", child, e, want)
		}
	}
}

// ours makes base/debian an image that we built from its present recipe, and promoted.
func (w *world) ours(c *catalog.Catalog, up string) (digest string, recipe string) {
	w.t.Helper()
	f := w.look(c).Facts.Bases["base/debian"]
	digest = f.Digest.String()
	w.remember(func(ctx context.Context, q store.Querier) error {
		if err := store.SaveBuild(ctx, q, store.Build{ID: "b-1", Image: "base/debian", Key: "k1", State: "done", Started: 10, Ended: 20, Digest: digest,
			Detail: store.BuildDetail{Recipe: f.Recipe, Parents: map[string]string{"upstream/debian": up}}}); err != nil {
			return err
		}
		_, err := store.SavePromotion(ctx, q, store.Promotion{Key: "p-1", Image: "base/debian", Channel: "stable", To: digest, At: 30})
		return err
	})
	return digest, f.Recipe
}

func TestWhatAnImageWasMadeFrom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.image(nil, files{"u": ""})
	up := w.push(d, "upstream/debian:12").String()
	w.push(w.image(d, files{"d": ""}), "base/debian:stable")
	c := w.twoBases()
	if f := w.look(c).Facts.Bases["base/debian"]; f.BuiltFrom != "" || f.Promoted != "" || f.Parents[0].Used != "" {
		t.Errorf("nothing is known, and yet: %+v", f)
	}
	digest, recipe := w.ours(c, up)
	f := w.look(c).Facts.Bases["base/debian"]
	if f.BuiltFrom != recipe || f.Promoted != digest || f.Parents[0].Used != up {
		t.Errorf("built from %q, promoted %q, used %q", f.BuiltFrom, f.Promoted, f.Parents[0].Used)
	}
}

// A rebuild of a new recipe on a new upstream changed nothing, so that the old image stays. It must not be rebuilt again
// with each new state of the package repositories.
func TestARebuildThatChangedNothingSettlesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.main.publish("libfoo 1.0")
	d := w.image(nil, join(debian("libfoo 1.0"), w.main.sources("main")))
	up := w.push(d, "upstream/debian:12").String()
	w.push(w.image(d, files{"d": ""}), "base/debian:stable")
	w.push(w.image(d, files{"d": "", "p": ""}), "base/python:stable")
	c := w.twoBases()
	digest, _ := w.ours(c, up)
	w.write("debian/Dockerfile", "FROM HOST/upstream/debian:12\nRUN true # said otherwise\n")
	moved := w.push(w.image(nil, join(debian("libfoo 1.0"), w.main.sources("main"), files{"moved": ""})), "upstream/debian:12").String()
	f := w.look(c).Facts.Bases["base/debian"]
	if s, ok := w.plan(c).Find("base/debian"); !ok || len(s.Reasons) != 2 {
		t.Fatalf("two causes to rebuild it, and: %+v", s)
	}
	w.remember(func(ctx context.Context, q store.Querier) error {
		if err := store.SaveBuild(ctx, q, store.Build{ID: "b-2", Image: "base/debian", Key: "k2", State: "done", Started: 40, Ended: 50, Digest: "sha256:other",
			Detail: store.BuildDetail{Recipe: f.Recipe, Parents: map[string]string{"upstream/debian": moved}}}); err != nil {
			return err
		}
		n := store.Node{Rollout: "r-1", Image: "base/debian", Kind: "base", State: store.Unchanged, Since: 60, Attempt: 1, Before: digest, Detail: store.NodeDetail{Build: "b-2", Step: plan.Step{Image: "base/debian"}}}
		_, err := store.CreateRollout(ctx, q, store.Rollout{ID: "r-1", State: store.Finished}, []store.Node{n})
		return err
	})
	w.main.publish("libbar 1.0") // another state, so that no attempt is remembered
	if s, ok := w.plan(c).Find("base/debian"); ok {
		t.Errorf("rebuilt again: %v", s.Reasons)
	}
	w.write("debian/Dockerfile", "FROM HOST/upstream/debian:12\nRUN false\n")
	if s, ok := w.plan(c).Find("base/debian"); !ok || s.Cause != plan.CauseRecipe {
		t.Errorf("another recipe is another recipe: %+v", s)
	}
}

func TestWhoHasItInHandAndWhatItWasTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push(w.image(nil, files{"d": ""}), "base/debian:stable")
	w.obs.Forge = forge{"acme/web/Dockerfile": "FROM " + w.host + "/base/debian:stable\n"}
	w.twoBases()
	c := w.catalog(twoBases + oneApplication)
	node := func(image string, s store.NodeState, key string) store.Node {
		return store.Node{Rollout: "r-1", Image: image, State: s, Attempt: 1, Detail: store.NodeDetail{Key: key, Step: plan.Step{Image: image}}}
	}
	w.remember(func(ctx context.Context, q store.Querier) error {
		_, err := store.CreateRollout(ctx, q, store.Rollout{ID: "r-1", State: store.Running}, []store.Node{node("base/debian", store.Building, ""), node("web", store.Telling, "tell r-1 web")})
		if err != nil {
			return err
		}
		return store.SaveProposal(ctx, q, store.Proposal{Key: "tell r-1 web", Rollout: "r-1", Application: "web", State: store.ProposalOpen, Number: 7, OpenedAt: 1000, Wants: map[string]string{"base/debian": "sha256:x"}})
	})
	f := w.look(c).Facts
	if got := f.Bases["base/debian"].Busy; got != "r-1" {
		t.Errorf("base/debian is in hand of %q", got)
	}
	a := f.Applications["web"]
	if a.Busy != "" || a.Told == nil || a.Told.Number != 7 || a.Told.Wants["base/debian"] != "sha256:x" {
		t.Errorf("web, which is told and waited for: busy %q, told %+v", a.Busy, a.Told)
	}
}

// A telling that failed and was made good is no reason to tell again: who only copies has nothing else that ends it.
func TestATellingThatFailedIsForgottenWhenItSucceeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.push(w.image(nil, files{"d": ""}), "base/debian:stable").String()
	w.push(w.image(nil, files{"web": ""}), "apps/web:main")
	w.obs.Forge = forge{"acme/web/Dockerfile": "FROM scratch\nCOPY --from=" + w.host + "/base/debian:stable /d /d\n"}
	w.twoBases()
	c := w.catalog(twoBases + oneApplication)
	wants := map[string]string{"base/debian": d}
	w.remember(func(ctx context.Context, q store.Querier) error {
		return store.SaveAttempt(ctx, q, store.Attempt{Key: plan.TellKey("web", wants), Image: "web", Outcome: "failed", Reason: "403", Tries: 1, At: 1000, Next: 2000})
	})
	for _, p := range []struct {
		name   string
		opened int64
		wants  map[string]string
		failed bool
	}{
		{"nothing was told", 0, wants, true},
		{"told before", 500, wants, true},
		{"told of something else since", 1500, map[string]string{"base/debian": "sha256:other"}, true},
		{"told since", 1500, wants, false},
	} {
		w.remember(func(ctx context.Context, q store.Querier) error {
			return store.SaveProposal(ctx, q, store.Proposal{Key: "tell r-1 web", Rollout: "r-1", Application: "web", State: store.ProposalBuilt, OpenedAt: p.opened, Wants: p.wants})
		})
		a := w.look(c).Facts.Applications["web"]
		if (a.Attempt != nil) != p.failed {
			t.Errorf("%s: attempt %+v", p.name, a.Attempt)
		}
		if _, planned := w.plan(c).Find("web"); planned != p.failed {
			t.Errorf("%s: planned %v", p.name, planned)
		}
	}
}

// What is inside a digest is decoded once, however often it is looked at, and let go when nothing points to it any more.
func TestLooksRememberWhatIsInside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.image(nil, debian("libfoo 1.0"))
	first := w.push(d, "base/debian:stable")
	c := w.twoBases()
	inventoryOf := func(d fmt.Stringer) *inventory.Inventory {
		t.Helper()
		inv, err := w.obs.Inventory(t.Context(), "base/debian", w.host+"/base/debian@"+d.String(), "linux/amd64")
		if err != nil {
			t.Fatal(err)
		}
		return inv
	}
	if once, again := inventoryOf(first), inventoryOf(first); once == again {
		t.Error("kept before anybody looked")
	}
	w.look(c)
	held := inventoryOf(first)
	if w.look(c); inventoryOf(first) != held {
		t.Error("decoded again")
	}
	second := w.push(w.image(d, debian("libfoo 1.1")), "base/debian:stable")
	if p := w.look(c).Facts.Bases["base/debian"]; p.Digest != second {
		t.Errorf("sees %s, want %s", p.Digest, second)
	}
	if inventoryOf(first) == held {
		t.Error("the old one is still held")
	}
	if once, again := inventoryOf(second), inventoryOf(second); once != again {
		t.Error("the new one is not held")
	}
}
