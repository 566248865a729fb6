package observe_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"rebuilder/internal/observe"
	"rebuilder/internal/store"
)

// annotate says that an image was made from another.
func (w *world) annotate(img v1.Image, base string, digest v1.Hash) v1.Image {
	notes := map[string]string{"org.opencontainers.image.base.name": strings.ReplaceAll(base, "HOST", w.host)}
	if digest.Hex != "" {
		notes["org.opencontainers.image.base.digest"] = digest.String()
	}
	return mutate.Annotations(mutate.MediaType(img, types.OCIManifestSchema1), notes).(v1.Image)
}

// attest attaches provenance to what a reference points to, as registries without a list of referrers have it.
func (w *world) attest(ref string, materials ...string) {
	w.t.Helper()
	r, err := name.ParseReference(w.host + "/" + ref)
	if err != nil {
		w.t.Fatal(err)
	}
	d, err := remote.Head(r)
	if err != nil {
		w.t.Fatal(err)
	}
	var list []string
	for _, m := range materials {
		list = append(list, fmt.Sprintf(`{"uri":%q}`, strings.ReplaceAll(m, "HOST", strings.ReplaceAll(w.host, ":", "%3A"))))
	}
	doc := fmt.Sprintf(`{"predicateType":"https://slsa.dev/provenance/v1","subject":[{"digest":{"sha256":%q}}],"predicate":{"buildDefinition":{"resolvedDependencies":[%s]}}}`, d.Digest.Hex, strings.Join(list, ","))
	att, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), static.NewLayer([]byte(doc), "application/vnd.in-toto+json"))
	if err != nil {
		w.t.Fatal(err)
	}
	att = mutate.Subject(mutate.ConfigMediaType(att, "application/vnd.in-toto+json"), *d).(v1.Image)
	h, err := att.Digest()
	if err == nil {
		err = remote.Write(r.Context().Digest(h.String()), att) // the client keeps the list under a tag
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// edges says what leads to an image: "inherits base/debian layers 0123 linux/arm64".
func (w *world) edges(seen *observe.World, image string, digests map[string]v1.Hash) string {
	names := map[string]string{}
	for n, d := range digests {
		names[d.String()] = n
	}
	var out []string
	for _, e := range seen.Graph.Parents(image) {
		digest := e.Digest
		if n := names[e.Digest]; n != "" {
			digest = n
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", e.Kind, e.Parent, e.Evidence, digest, e.Platform)))
	}
	return strings.Join(out, "\n")
}

func TestEdgesByEvidence(t *testing.T) {
	t.Parallel()
	const fromDebian, fromPython = "FROM HOST/base/debian:stable\n", "FROM HOST/base/python:stable\n"
	// u1, d1 and p1 are looked at before d2 and p2 are pushed; then comes web.
	for _, c := range []struct {
		name       string
		dockerfile string
		build      func(w *world, d map[string]v1.Hash, img map[string]v1.Image) // apps/web:main
		want       string
		disagree   string
		unlisted   string
	}{
		{"the newest", fromPython, func(w *world, _ map[string]v1.Hash, img map[string]v1.Image) {
			w.push(w.image(img["p2"], files{"web": ""}), "apps/web:main")
		}, "inherits base/python layers p2\ninherits base/python recipe p2", "", ""},
		{"an earlier digest", fromPython, func(w *world, _ map[string]v1.Hash, img map[string]v1.Image) {
			w.push(w.image(img["p1"], files{"web": ""}), "apps/web:main")
		}, "inherits base/python layers p1\ninherits base/python recipe p2", "its recipe says base/python (Dockerfile:1), now p2; the published image still stands on p1 by its layers", ""},
		{"another base than the recipe says", fromPython, func(w *world, _ map[string]v1.Hash, img map[string]v1.Image) {
			w.push(w.image(img["d2"], files{"web": ""}), "apps/web:main")
		}, "inherits base/debian layers d2\ninherits base/python recipe p2", "its recipe says base/python (Dockerfile:1), the published image stands on base/debian by its layers", ""},
		{"nothing added to its base", fromDebian, func(w *world, _ map[string]v1.Hash, img map[string]v1.Image) {
			w.push(img["d1"], "apps/web:main")
		}, "inherits base/debian layers d1\ninherits base/debian recipe d2", "its recipe says base/debian (Dockerfile:1), now d2; the published image still stands on d1 by its layers", ""},
		{"an upstream of the catalog", "FROM HOST/upstream/debian:12\n", func(w *world, _ map[string]v1.Hash, img map[string]v1.Image) {
			w.push(w.image(img["u1"], files{"web": ""}), "apps/web:main")
		}, "inherits upstream/debian layers u1\ninherits upstream/debian recipe u1", "", ""},
		{"squashed, and an annotation", fromPython, func(w *world, d map[string]v1.Hash, _ map[string]v1.Image) {
			w.push(w.annotate(w.image(nil, files{"web": ""}), "HOST/base/python:stable", d["p1"]), "apps/web:main")
		}, "inherits base/python annotation p1\ninherits base/python recipe p2", "its recipe says base/python (Dockerfile:1), now p2; the published image still stands on p1 by its annotation", ""},
		{"an annotation that is wrong", fromPython, func(w *world, _ map[string]v1.Hash, img map[string]v1.Image) {
			w.push(w.annotate(w.image(img["p2"], files{"web": ""}), "HOST/base/debian:stable", v1.Hash{}), "apps/web:main")
		}, "inherits base/debian annotation\ninherits base/python layers p2\ninherits base/python recipe p2", "its annotation claims base/debian, its layers are those of base/python p2", ""},
		{"an image that nobody listed", fromPython, func(w *world, _ map[string]v1.Hash, _ map[string]v1.Image) {
			w.push(w.annotate(w.image(nil, files{"web": ""}), "docker.io/library/node:22", v1.Hash{}), "apps/web:main")
		}, "inherits base/python recipe p2", "", "web annotation docker.io/library/node:22"},
		{"its own former self", fromPython, func(w *world, _ map[string]v1.Hash, img map[string]v1.Image) {
			w.push(w.annotate(w.image(img["p2"], files{"web": ""}), "HOST/apps/web:main", v1.Hash{}), "apps/web:main")
		}, "inherits base/python layers p2\ninherits base/python recipe p2", "", "web annotation HOST/apps/web:main"},
		{"provenance does not say what for; the layers and the recipe do", "FROM HOST/base/debian:stable AS b\nFROM HOST/base/python:stable\nCOPY --from=b /d /d\n",
			func(w *world, d map[string]v1.Hash, img map[string]v1.Image) {
				w.push(w.image(img["p2"], files{"web": ""}), "apps/web:main")
				w.attest("apps/web:main", "pkg:docker/HOST/base/debian@stable?digest="+d["d1"].String(), "pkg:docker/HOST/base/python@stable?digest="+d["p2"].String(),
					"pkg:docker/HOST/upstream/debian@12?digest="+d["u1"].String(), "pkg:docker/scanner@1", "https://example.com/x")
			}, "builds-with base/debian provenance d1\nbuilds-with base/debian recipe d2\ninherits base/python layers p2\ninherits base/python provenance p2\ninherits base/python recipe p2\nuses upstream/debian provenance u1",
			"its recipe says base/debian (Dockerfile:1), now d2; the published image was made with d1 by its provenance\nthe published image was made with upstream/debian by its provenance, which its recipe does not name",
			"web provenance scanner:1"},
		{"by a digest whose name is another", fromPython, func(w *world, d map[string]v1.Hash, _ map[string]v1.Image) {
			w.push(w.image(nil, files{"web": ""}), "apps/web:main")
			w.attest("apps/web:main", "pkg:docker/mirror.example.com/x@1?digest="+d["p1"].String())
		}, "inherits base/python provenance p1\ninherits base/python recipe p2", "its recipe says base/python (Dockerfile:1), now p2; the published image still stands on p1 by its provenance", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.twoBases()
			w.obs.Forge = forge{"acme/web/Dockerfile": strings.ReplaceAll(c.dockerfile, "HOST", w.host)}
			cat := w.catalog(twoBases + oneApplication)
			img, d := map[string]v1.Image{}, map[string]v1.Hash{}
			push := func(n string, i v1.Image, ref string) {
				img[n], d[n] = i, w.push(i, ref)
			}
			push("u1", w.image(nil, files{"u": "1"}), "upstream/debian:12")
			push("d1", w.image(img["u1"], files{"d": "1"}), "base/debian:stable")
			push("p1", w.image(img["d1"], files{"p": "1"}), "base/python:stable")
			w.look(cat)
			w.now = w.now.Add(time.Hour)
			push("d2", w.image(img["u1"], files{"d": "2"}), "base/debian:stable")
			push("p2", w.image(img["d2"], files{"p": "2"}), "base/python:stable")
			c.build(w, d, img)
			w.look(cat)
			seen := w.look(cat) // from what is remembered
			if got := w.edges(seen, "web", d); got != c.want {
				t.Errorf("edges\n%s\nwant\n%s", got, c.want)
			}
			var disagree, unlisted []string
			for _, x := range seen.Graph.Disagreements() {
				if x.Image != "web" {
					continue
				}
				s := x.Sentence
				for n, h := range d {
					s = strings.ReplaceAll(s, h.Hex[:12], n)
				}
				disagree = append(disagree, s)
			}
			for _, u := range seen.Unlisted {
				unlisted = append(unlisted, fmt.Sprintf("%s %s %s", u.Image, u.Evidence, strings.ReplaceAll(u.Reference, w.host, "HOST")))
			}
			if got := strings.Join(disagree, "\n"); got != c.disagree {
				t.Errorf("disagreements\n%s\nwant\n%s", got, c.disagree)
			}
			if got := strings.Join(unlisted, "\n"); got != c.unlisted {
				t.Errorf("unlisted\n%s\nwant\n%s", got, c.unlisted)
			}
		})
	}
}

func TestEdgesOfEachPlatform(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.twoBases()
	w.obs.Forge = forge{"acme/web/Dockerfile": "FROM " + w.host + "/upstream/debian:12\nCOPY . /\n"}
	c := w.catalog(twoBases + oneApplication)
	releases := map[string]v1.Hash{}
	var images [2][2]v1.Image // release, platform
	for i := range images {
		images[i] = [2]v1.Image{w.image(nil, files{"release": fmt.Sprint(i)}), w.platform(w.image(nil, files{"release": fmt.Sprint(i), "arm": ""}), "linux/arm64")}
		releases[fmt.Sprint("r", i)] = w.pushIndex(w.index(images[i][0], images[i][1]), "upstream/debian:12")
		w.now = w.now.Add(time.Hour)
		w.look(c)
	}
	app := func(amd, arm v1.Image) {
		w.pushIndex(w.index(w.image(amd, files{"web": ""}), w.platform(w.image(arm, files{"web": ""}), "linux/arm64")), "apps/web:main")
	}
	app(images[1][0], images[1][1])
	if got, want := w.edges(w.look(c), "web", releases), "inherits upstream/debian layers r1\ninherits upstream/debian recipe r1"; got != want {
		t.Errorf("the same on both\n%s\nwant\n%s", got, want)
	}
	app(images[1][0], images[0][1])
	seen := w.look(c)
	if got, want := w.edges(seen, "web", releases), "inherits upstream/debian layers r1 linux/amd64\ninherits upstream/debian layers r0 linux/arm64\ninherits upstream/debian recipe r1"; got != want {
		t.Errorf("one is behind\n%s\nwant\n%s", got, want)
	}
	if all := seen.Graph.Disagreements(); len(all) != 1 || all[0].Platform != "linux/arm64" {
		t.Errorf("%+v", all)
	}
	// An index that got a new digest and nothing else is no other image.
	again := mutate.Annotations(w.index(images[1][0], images[1][1]), map[string]string{"built": "again"}).(v1.ImageIndex)
	app(images[1][0], images[1][1])
	w.pushIndex(again, "upstream/debian:12")
	if all := w.look(c).Graph.Disagreements(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

func TestWhatWeBuiltIsKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.twoBases()
	u := w.image(nil, files{"u": ""})
	up := w.push(u, "upstream/debian:12")
	w.push(w.image(nil, files{"squashed": ""}), "base/debian:stable")
	w.ours(c, up.String())
	digest := w.look(c).Facts.Bases["base/debian"].Digest.String()
	w.remember(func(ctx context.Context, q store.Querier) error {
		return store.SaveBuild(ctx, q, store.Build{ID: "b-2", Image: "base/debian", Key: "k2", State: "done", Started: 40, Ended: 50, Digest: digest,
			Detail: store.BuildDetail{Parents: map[string]string{"upstream/debian": up.String(), "upstream/gone": up.String()}}})
	})
	want := "inherits upstream/debian provenance u\ninherits upstream/debian recipe u"
	if got := w.edges(w.look(c), "base/debian", map[string]v1.Hash{"u": up}); got != want {
		t.Errorf("edges\n%s\nwant\n%s", got, want)
	}
}

// Images may claim anything; a look goes on.
func TestClaimsStopNoLook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.twoBases()
	d := w.annotate(w.image(nil, files{"d": ""}), "HOST/base/python:stable", v1.Hash{})
	w.push(d, "base/debian:stable")
	w.push(w.annotate(w.image(d, files{"p": ""}), strings.Repeat("x", 10_000), v1.Hash{}), "base/python:stable")
	seen := w.look(c)
	if got := w.edges(seen, "base/debian", nil); !strings.Contains(got, "inherits base/python annotation") {
		t.Error(got)
	}
	if o := seen.Graph.Order(); slices.Index(o, "base/debian") > slices.Index(o, "base/python") {
		t.Errorf("order %v", o)
	}
}

// What images were made from is read once a digest, and what may be attached later asked for once a day.
func TestOriginsAreReadOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.twoBases()
	d := w.image(nil, files{"d": ""})
	w.push(d, "base/debian:stable")
	w.push(w.image(d, files{"p": ""}), "base/python:stable")
	requests := func() (heads, others int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, r := range w.requests {
			if strings.HasPrefix(r, "HEAD ") {
				heads++
			} else if r != "GET /v2/" {
				others++
			}
		}
		w.requests = nil
		return heads, others
	}
	w.look(c)
	requests()
	w.look(c)
	if heads, others := requests(); heads != 3 || others != 0 {
		t.Errorf("at rest: %d HEAD and %d other requests", heads, others)
	}
	w.attest("base/python:stable", "pkg:docker/HOST/base/debian@stable")
	w.now = w.now.Add(25 * time.Hour)
	requests()
	if got := w.edges(w.look(c), "base/python", nil); !strings.Contains(got, "provenance") {
		t.Errorf("a day later: %s", got)
	}
	if _, others := requests(); others == 0 {
		t.Error("a day later nothing was asked")
	}
}
