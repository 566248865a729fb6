package observe_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/observe"
	"rebuilder/internal/plan"
)

// cross is a base for linux/arm64 whose builder is of linux/amd64.
const cross = `
[[upstream]]
name = "upstream/debian"
image = "HOST/upstream/debian:12"
[[upstream]]
name = "upstream/go"
image = "HOST/upstream/go:1"
[[base]]
name = "base/tool"
context = "tool"
platform = "linux/arm64"
args = { BUILDPLATFORM = "linux/amd64" }
`

const crossRecipe = "FROM --platform=$BUILDPLATFORM HOST/upstream/go:1 AS build\nRUN true\nFROM HOST/upstream/debian:12\nCOPY --from=build /a /a\n"

// pair is an image for linux/amd64 and linux/arm64, and the digests of both.
func (w *world) pair(content string) (idx v1.ImageIndex, amd, arm v1.Hash) {
	w.t.Helper()
	images := []v1.Image{w.image(nil, files{content: ""}), w.platform(w.image(nil, files{content: "", "arm": ""}), "linux/arm64")}
	var digests [2]v1.Hash
	for i, img := range images {
		d, err := img.Digest()
		if err != nil {
			w.t.Fatal(err)
		}
		digests[i] = d
	}
	return w.index(images...), digests[0], digests[1]
}

// pinned are the parents of a base with what a build of now would pin.
func (w *world) pinned(c *catalog.Catalog, base string) map[string]v1.Hash {
	w.t.Helper()
	i := slices.IndexFunc(c.Bases, func(b catalog.Base) bool { return b.Name == base })
	in, _, err := w.obs.Base(w.t.Context(), c, c.Bases[i])
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]v1.Hash{}
	for _, p := range in.Parents {
		out[p.Name] = p.Digest
	}
	return out
}

// A builder's platform is the builder's: its manifest is pinned and watched, and the base has no problem.
func TestABuilderOfAnotherPlatform(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	debian, _, debianArm := w.pair("debian")
	golang, goAmd, _ := w.pair("go")
	w.pushIndex(debian, "upstream/debian:12")
	index := w.pushIndex(golang, "upstream/go:1")
	w.write("tool/Dockerfile", crossRecipe)
	c := w.catalog(cross)
	seen := w.look(c)
	if p := seen.Facts.Bases["base/tool"].Problem; p != "" {
		t.Fatal(p)
	}
	if got := w.pinned(c, "base/tool"); got["upstream/go"] != goAmd || got["upstream/debian"] != debianArm {
		t.Errorf("pinned %v, want go %s and debian %s", got, goAmd, debianArm)
	}
	e := seen.Graph.Parents("base/tool")
	i := slices.IndexFunc(e, func(e graph.Edge) bool { return e.Parent == "upstream/go" })
	if i < 0 || e[i].Platform != "linux/amd64" || e[i].Digest != index.String() || e[i].Kind != graph.BuildsWith {
		t.Errorf("edges %+v", e)
	}
	w.sameKeys(c)
	p := w.plan(c)
	if s, ok := p.Find("base/tool"); !ok || s.Cause != plan.CauseFirst {
		t.Errorf("plan %+v, not done %+v", p.Steps, p.NotDone)
	}
}

// A builder that is looked into for one base's platform is pinned for that of another base all the same.
func TestABuilderOfSeveralPlatforms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	debian, _, _ := w.pair("debian")
	golang, goAmd, goArm := w.pair("go")
	w.pushIndex(debian, "upstream/debian:12")
	w.pushIndex(debian, "upstream/arm:12")
	w.pushIndex(golang, "upstream/go:1")
	w.write("tool/Dockerfile", strings.Replace(crossRecipe, "debian:12", "arm:12", 1))
	w.write("native/Dockerfile", "FROM HOST/upstream/go:1 AS build\nFROM HOST/upstream/debian:12\nCOPY --from=build /a /a\n")
	w.write("arm/Dockerfile", "FROM HOST/upstream/go:1 AS build\nFROM HOST/upstream/arm:12\nCOPY --from=build /a /a\n")
	c := w.catalog(cross + `
[[upstream]]
name = "upstream/arm"
image = "HOST/upstream/arm:12"
[[base]]
name = "base/native"
context = "native"
[[base]]
name = "base/arm"
context = "arm"
platform = "linux/arm64"
`)
	f := w.look(c).Facts
	for base, want := range map[string]v1.Hash{"base/tool": goAmd, "base/native": goAmd, "base/arm": goArm} {
		if f.Bases[base].Problem != "" {
			t.Errorf("%s: %s", base, f.Bases[base].Problem)
			continue
		}
		if got := w.pinned(c, base)["upstream/go"]; got != want {
			t.Errorf("%s is built with %s, want %s", base, got, want)
		}
		ps := f.Bases[base].Parents
		i := slices.IndexFunc(ps, func(p plan.Parent) bool { return p.Name == "upstream/go" })
		if got := f.Upstreams["upstream/go"].For(ps[i].Platform).Digest; got != want {
			t.Errorf("%s is watched to be built with %s, want %s", base, got, want)
		}
	}
	w.sameKeys(c)
	// One that is not there for all of them yet is not taken.
	w.push(w.image(nil, files{"go": "", "only": "amd64"}), "upstream/go:1")
	if n := w.notDone(w.plan(c), "upstream/go"); !strings.Contains(n.Reason, "has no linux/arm64 yet") {
		t.Errorf("not done: %+v", n)
	}
}

// A builder that is not there for the platform that is asked for is missing for that base alone, and said to be.
func TestABuilderWithoutThePlatform(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	debian, _, _ := w.pair("debian")
	w.pushIndex(debian, "upstream/debian:12")
	w.push(w.image(nil, files{"go": ""}), "upstream/go:1")
	w.write("native/Dockerfile", "FROM HOST/upstream/go:1 AS build\nFROM scratch\nCOPY --from=build /a /a\n")
	w.write("tool/Dockerfile", "FROM HOST/upstream/go:1 AS build\nFROM HOST/upstream/debian:12\nCOPY --from=build /a /a\n")
	c := w.catalog(cross + "[[base]]\nname = \"base/native\"\ncontext = \"native\"\n")
	p := w.plan(c)
	if n := w.notDone(p, "base/tool"); !n.Unknown || !strings.Contains(n.Reason, "upstream/go: "+w.host+"/upstream/go:1 has no image for linux/arm64") {
		t.Errorf("not done: %+v", n)
	}
	if s, ok := p.Find("base/native"); !ok || s.Cause != plan.CauseFirst {
		t.Errorf("the other base: %+v, not done %+v", s, p.NotDone)
	}
}

func TestRecipesOfMixedPlatforms(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ recipe, want string }{
		"the last stage": {"FROM --platform=linux/amd64 HOST/upstream/debian:12\n", "it is built for linux/arm64, but stands on upstream/debian for linux/amd64 (Dockerfile:1)"},
		"one reference for two": {"FROM --platform=linux/amd64 HOST/upstream/debian:12 AS build\nFROM HOST/upstream/debian:12\nCOPY --from=build /a /a\n",
			"it takes upstream/debian for linux/amd64 (Dockerfile:1) and for linux/arm64 (Dockerfile:2)"},
		"the platform itself":    {"FROM --platform=linux/arm64/v8 HOST/upstream/debian:12\n", ""},
		"the target's":           {"FROM --platform=$TARGETPLATFORM HOST/upstream/debian:12\n", ""},
		"one that is not needed": {"FROM --platform=linux/s390x HOST/upstream/debian:12 AS unused\nFROM HOST/upstream/debian:12\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("tool/Dockerfile", c.recipe)
			got := w.look(w.catalog(cross)).Facts.Bases["base/tool"].Problem
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("problem %q, want %q", got, c.want)
			}
		})
	}
}

// onBuild gives an image instructions for what is built on it.
func (w *world) onBuild(img v1.Image, on ...string) v1.Image {
	w.t.Helper()
	return w.configured(img, func(c *v1.ConfigFile) { c.Config.OnBuild = on })
}

// parents are what the facts say that a base is made from.
func parents(seen *observe.World, base string) string {
	var out []string
	for _, p := range seen.Facts.Bases[base].Parents {
		out = append(out, fmt.Sprint(p.Kind, " ", p.Name, " ", p.Where))
	}
	return strings.Join(out, "; ")
}

// What an image has those copy that are built on it counts for them, in a look as in a build.
func TestONBUILDsOfParents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tools := w.image(nil, files{"tool": ""})
	w.push(tools, "upstream/tools:1")
	w.push(w.onBuild(w.image(nil, files{"d": ""}), "COPY --from="+w.host+"/upstream/tools:1 /a /a", "RUN true"), "upstream/debian:12")
	w.twoBases()
	c := w.catalog(twoBases + "[[upstream]]\nname = \"upstream/tools\"\nimage = \"HOST/upstream/tools:1\"\n")
	const want = "inherits upstream/debian Dockerfile:1; copies-from upstream/tools Dockerfile"
	seen := w.look(c)
	if got := parents(seen, "base/debian"); got != want {
		t.Fatalf("parents %s, want %s", got, want)
	}
	if got := seen.Facts.Bases["base/debian"].Doubt; got != "upstream/debian brings an ONBUILD RUN: everything is run again" {
		t.Errorf("doubt %q", got)
	}
	if in, _, err := w.obs.Base(t.Context(), c, c.Bases[0]); err != nil || !in.Uncached {
		t.Errorf("inputs %+v, %v", in, err)
	}
	if got := seen.Graph.Affected("upstream/tools"); !slices.Equal(got, []string{"base/debian", "base/python"}) {
		t.Errorf("affected %q", got)
	}
	first := w.pinned(c, "base/debian")["upstream/tools"]
	if d, _ := tools.Digest(); first != d {
		t.Errorf("pinned %s, want %s", first, d)
	}
	w.push(w.image(nil, files{"d": "", "b": ""}), "base/debian:stable")
	w.sameKeys(c)
	// What is built on that is not concerned: BuildKit takes an ONBUILD away once it was run.
	if got := parents(w.look(c), "base/python"); got != "inherits base/debian Dockerfile:1" {
		t.Errorf("parents of the next: %s", got)
	}
	// And once it has none, there is none.
	w.push(w.image(nil, files{"d": "2"}), "upstream/debian:12")
	w.now = w.now.Add(1)
	if got := parents(w.look(c), "base/debian"); got != "inherits upstream/debian Dockerfile:1" {
		t.Errorf("parents without: %s", got)
	}
}

// Somebody else's image may name anything in its ONBUILDs: it spoils what is built on it, and no look.
func TestONBUILDsThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ on, want string }{
		"what is made from the base": {"COPY --from=HOST/base/python:stable /a /a", "an ONBUILD of what it is built on needs base/python, which is itself made from it"},
		"the base itself":            {"COPY --from=HOST/base/debian:stable /a /a", "needs base/debian, which is itself made from it"},
		"no instruction":             {"RUN <<EOF", "ONBUILD of HOST/upstream/debian:12"},
		"an instruction too long":    {"RUN " + strings.Repeat("x", 1<<20), "is too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.push(w.onBuild(w.image(nil, files{"d": ""}), strings.ReplaceAll(c.on, "HOST", w.host)), "upstream/debian:12")
			seen := w.look(w.twoBases())
			b := seen.Facts.Bases["base/debian"]
			if want := strings.ReplaceAll(c.want, "HOST", w.host); !strings.Contains(b.Problem, want) {
				t.Errorf("problem %q, want %q", b.Problem, want)
			}
			if got := parents(seen, "base/debian"); got != "inherits upstream/debian Dockerfile:1" {
				t.Errorf("parents %s", got)
			}
			if p := seen.Facts.Bases["base/python"].Problem; p != "" {
				t.Errorf("the other base: %s", p)
			}
		})
	}
}
