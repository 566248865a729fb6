package discover

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/notify"
	"rebuilder/internal/store"
)

func TestPick(t *testing.T) {
	sig := "sha256-" + strings.Repeat("0", 64)
	for name, c := range map[string]struct{ tags, followed, want string }{
		"nothing":                       {"", "stable", ""},
		"usual names in their order":    {"main stable latest x", "", "latest stable main"},
		"what the catalog follows":      {"main 17 latest", "17 18", "17 latest main"},
		"the newest versions":           {"1.9 1.10 v1.11 1.2 0.9", "", "v1.11 1.10"},
		"numbers without end":           {"20261121 " + strings.Repeat("9", 60) + " 1", "", strings.Repeat("9", 60) + " 20261121"},
		"variants are no versions":      {"1.2-alpine 1.3-rc1 1.1", "", "1.1"},
		"two spellings":                 {"1 1.0 v1.0", "", "v1.0 1.0"},
		"none of these":                 {"abc def " + sig + ".sig", "", "def"},
		"only what tools keep":          {sig + " " + sig + ".att", "", ""},
		"no more than asked for":        {"latest stable main master prod dev edge 1 2", "nightly", "latest stable main master prod"},
		"a commit is not among the few": {"main sha-0a1b2c3", "", "main"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range pick(strings.Fields(c.tags), strings.Fields(c.followed), 5) {
				got = append(got, p.tag)
				if p.why == "" {
					t.Errorf("%s: it does not say why", p.tag)
				}
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
}

func FuzzPick(f *testing.F) {
	f.Add("latest 1.2 v3 0 00 v 1..2 sha256-x")
	f.Fuzz(func(t *testing.T, list string) {
		tags := strings.Fields(list)
		got := pick(tags, nil, 5)
		if len(got) > 5 {
			t.Errorf("%d tags", len(got))
		}
		for _, p := range got {
			if !slices.Contains(tags, p.tag) {
				t.Errorf("%q is none of them", p.tag)
			}
		}
		slices.Reverse(tags)
		if again := pick(tags, nil, 5); !slices.Equal(got, again) {
			t.Errorf("in another order: %q, %q", got, again)
		}
	})
}

func TestCandidates(t *testing.T) {
	file := func(path string) notify.TreeEntry {
		return notify.TreeEntry{Path: path, Kind: notify.RegularFile, Size: 10}
	}
	link, large := file("links/Dockerfile"), file("large/Dockerfile")
	link.Kind, large.Size = notify.Other, maxFile+1
	entries := []notify.TreeEntry{link, large, file("z/Dockerfile"), {Path: "Dockerfile", Kind: notify.Directory}}
	for _, p := range []string{"Dockerfile", "dockerfile", "Dockerfile.prod", "prod.Dockerfile", "Containerfile", "a/b/x.containerfile",
		"Dockerfile.dockerignore", ".dockerignore", "Dockerfiles", "MyDockerfile", "node_modules/a/Dockerfile", "go/vendor/b/Dockerfile", "vendors/Dockerfile", strings.Repeat("d/", 300) + "Dockerfile"} {
		entries = append(entries, file(p))
	}
	files, unread := candidates(entries)
	var got []string
	for _, e := range files {
		got = append(got, e.Path)
	}
	want := []string{"Containerfile", "Dockerfile", "Dockerfile.prod", "dockerfile", "prod.Dockerfile", "vendors/Dockerfile", "z/Dockerfile", "a/b/x.containerfile"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if s := strings.Join(unread, "; "); s != "large/Dockerfile was not read: it has 262145 bytes, more than 262144; a Dockerfile whose path has 610 bytes was not read" {
		t.Errorf("unread: %s", s)
	}
	entries = nil
	for i := range maxFiles + 7 {
		entries = append(entries, file(fmt.Sprintf("%03d/Dockerfile", i)))
	}
	if files, unread := candidates(entries); len(files) != maxFiles || len(unread) != 1 || unread[0] != "7 of its 47 Dockerfiles were not read" {
		t.Errorf("%d files, %q", len(files), unread)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("FROM a\nCOPY --from=b / /\n")
	f.Add("FROM ${X}\n")
	f.Fuzz(func(t *testing.T, src string) {
		got := parse(notify.TreeEntry{Path: "Dockerfile"}, []byte(src))
		if len(got.References) > maxReferences || len(got.Problem) > maxProblem {
			t.Errorf("%+v", got)
		}
		row := store.Observed{Detail: store.ObservedDetail{Files: []store.ObservedFile{got}}}
		judge{known: knownOf(&catalog.Catalog{Bases: []catalog.Base{{Name: "base/a", Image: "a", Channel: "latest"}}})}.repository(&row)
		if got.Problem != "" && row.Unknown == "" {
			t.Error("what is unknown is not said")
		}
	})
}

func TestKnown(t *testing.T) {
	k := knownOf(&catalog.Catalog{
		Bases: []catalog.Base{
			{Name: "base/debian", Image: "reg.example.com:5000/base/debian", Channel: "stable"},
			{Name: "base/java17", Image: "reg.example.com:5000/base/java", Channel: "17"},
			{Name: "base/java21", Image: "reg.example.com:5000/base/java", Channel: "21"},
		},
		Upstreams: []catalog.Upstream{{Name: "upstream/debian", Image: "debian:12"}},
	})
	const digest = "@sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for ref, want := range map[string]string{
		"reg.example.com:5000/base/debian:stable":          "base/debian",
		"reg.example.com:5000/base/debian:stable" + digest: "base/debian",
		"reg.example.com:5000/base/debian" + digest:        "base/debian?",
		"reg.example.com:5000/base/debian":                 "base/debian?",
		"reg.example.com:5000/base/debian:old":             "base/debian?",
		"reg.example.com:5000/base/java:21":                "base/java21",
		"reg.example.com:5000/base/java:11":                "",
		"docker.io/library/debian:12":                      "upstream/debian",
		"library/debian:12":                                "upstream/debian",
		"debian":                                           "upstream/debian?",
		"golang:1.26":                                      "",
		"":                                                 "",
		"://":                                              "",
	} {
		got, exact, ok := k.find(ref)
		if ok && !exact {
			got += "?"
		}
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", ref, got, want)
		}
	}
}

func TestNodes(t *testing.T) {
	c := &catalog.Catalog{
		Bases: []catalog.Base{{Name: "base/debian", Image: "r.example/base/debian", Channel: "stable"}},
		Applications: []catalog.Application{{Name: "web", Repository: "acme/web", Images: []catalog.ApplicationImage{
			{Name: "web", Image: "r.example/web:main", Dockerfile: "Dockerfile"}}}},
	}
	image := func(name string, change ...func(*store.Observed)) store.Observed {
		o := store.Observed{Key: "image " + name, Kind: store.ObservedImage, Name: name,
			Parents: []store.ObservedParent{{Name: "base/debian", Kind: "inherits", Evidence: "layers", Digest: "d", Platform: "linux/amd64"}}}
		for _, f := range change {
			f(&o)
		}
		return o
	}
	repository := func(name string, parents ...store.ObservedParent) store.Observed {
		return store.Observed{Key: name, Kind: store.ObservedRepository, Name: "f.example/" + name, Repository: name, Parents: parents}
	}
	recipe := func(base, file string) store.ObservedParent {
		return store.ObservedParent{Name: base, Kind: "builds-with", Evidence: "recipe", File: file, Line: 3}
	}
	unknown := func(o *store.Observed) { o.Parents, o.Unknown = nil, "something" }
	nodes, edges := Nodes([]store.Observed{
		image("r.example/other:main"),
		image("r.example/gone:main", func(o *store.Observed) { o.GoneAt = 1 }),
		image("r.example/web:main"),           // declared
		image("r.example/web:old"),            // of a declared repository, and not the one that is followed
		image("r.example/base/debian:stable"), // a base
		image("r.example/base/debian:20260101"),
		image("r.example/odd:main", unknown),
		image("r.example/former:main", func(o *store.Observed) { o.Parents[0].Name = "base/former" }),
		image("base/debian"), // a name that the catalog has
		repository("acme/web", recipe("base/debian", "Dockerfile")),
		repository("Acme/Web", recipe("base/debian", "Dockerfile"), recipe("base/debian", "job/Dockerfile")),
		repository("acme/lib"),
		repository("acme/job", recipe("base/debian", "Dockerfile"), recipe("base/former", "Dockerfile")),
	}, c)
	var got []string
	for _, n := range nodes {
		got = append(got, n.Name)
		if n.Kind != graph.Observed {
			t.Errorf("%+v", n)
		}
	}
	want := []string{"r.example/other:main", "r.example/web:old", "r.example/odd:main", "base/debian (observed)", "f.example/Acme/Web", "f.example/acme/job"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(edges) != 5 {
		t.Errorf("edges %+v", edges)
	}
	if e := edges[0]; e != (graph.Edge{Parent: "base/debian", Child: "r.example/other:main", Kind: graph.Inherits, Evidence: graph.FromLayers, Digest: "d", Platform: "linux/amd64"}) {
		t.Errorf("%+v", e)
	}
	if e := edges[3]; e != (graph.Edge{Parent: "base/debian", Child: "f.example/Acme/Web", Kind: graph.BuildsWith, Evidence: graph.FromRecipe, Where: "job/Dockerfile:3"}) {
		t.Errorf("%+v", e)
	}
	all := append([]graph.Node{{Name: "base/debian", Kind: graph.Base}, {Name: "web", Kind: graph.Application}}, nodes...)
	if _, err := graph.New(all, edges); err != nil {
		t.Errorf("they make no graph: %v", err)
	}
}

// The forge's budget is one, however many organisations there are.
func TestOrganizationsShareABudget(t *testing.T) {
	d := &Discoverer{cfg: Config{ForgeRequests: 200, RegistryRequests: 1000}}
	sum := 0
	for _, p := range d.places(&catalog.Catalog{Discovery: catalog.Discovery{Registries: []string{"r.example/", "r.example"}, Organizations: []string{"a", "b", "c", "a"}}}) {
		if p.org == "" {
			if p.name != "r.example" || p.budget != 1000 {
				t.Errorf("%+v", p)
			}
			continue
		}
		sum += p.budget
	}
	if sum == 0 || sum > 200 {
		t.Errorf("%d requests", sum)
	}
}
