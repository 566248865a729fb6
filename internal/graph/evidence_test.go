package graph

import (
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
)

// fleet makes a graph of bases from edges written "child kind parent evidence [platform] [digest] [where]", with "-"
// for what is empty.
func fleet(t *testing.T, lines ...string) *Graph {
	t.Helper()
	names := map[string]bool{}
	var edges []Edge
	for _, line := range lines {
		f := append(strings.Fields(strings.ReplaceAll(line, " -", " \x00")), "", "", "")
		for i := range f {
			f[i] = strings.TrimPrefix(f[i], "\x00")
		}
		e := Edge{Child: f[0], Kind: EdgeKind(f[1]), Parent: f[2], Evidence: Evidence(f[3]), Platform: f[4], Digest: f[5], Where: f[6]}
		names[e.Child], names[e.Parent] = true, true
		edges = append(edges, e)
	}
	var nodes []Node
	for n := range names {
		nodes = append(nodes, Node{Name: n, Kind: Base})
	}
	g, err := New(nodes, edges)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestStrongestEvidenceWins(t *testing.T) {
	g := fleet(t,
		"app inherits java recipe - d2 Dockerfile:1",
		"app inherits java layers - d1",
		"app inherits java provenance - d1",
		"app inherits node annotation - n1",
		"app copies-from tools provenance - t1",
		"app copies-from tools recipe - t2 Dockerfile:4",
		"multi inherits java layers linux/amd64 d2",
		"multi inherits java layers linux/arm64 d1",
		"multi inherits node provenance linux/arm64",
		"multi inherits java recipe - d2 Dockerfile:1",
		"cross builds-with go recipe linux/amd64 g2 Dockerfile:1",
		"cross builds-with go provenance - g1",
		"cross builds-with node recipe linux/amd64 n1 Dockerfile:2",
		"cross builds-with node recipe - n1 Dockerfile:3",
	)
	say := func(edges []Edge) string {
		var out []string
		for _, e := range edges {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", e.Kind, e.Parent, e.Evidence, e.Digest, e.Platform)))
		}
		return strings.Join(out, "; ")
	}
	for _, c := range []struct{ name, got, want string }{
		{"believed", say(g.Believed("app")), "inherits java layers d1; inherits node annotation n1; copies-from tools provenance t1"},
		{"built", say(g.Built("app")), "inherits java layers d1"},
		{"believed of each platform", say(g.Believed("multi")), "inherits java layers d2 linux/amd64; inherits java layers d1 linux/arm64; inherits node provenance  linux/arm64"},
		{"believed of builders of another platform", say(g.Believed("cross")), "builds-with go provenance g1; builds-with node recipe n1; builds-with node recipe n1 linux/amd64"},
		{"built of each platform", say(g.Built("multi")), "inherits java layers d2 linux/amd64; inherits java layers d1 linux/arm64"},
		{"nothing was built", say(g.Built("java")), ""},
		{"unknown name", say(g.Built("nothing")) + say(g.Believed("nothing")), ""},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
	for _, c := range []struct{ lines, want string }{
		{"app inherits a annotation; app inherits b provenance", "b"},
		{"app inherits a provenance; app inherits b layers", "b"},
		{"app inherits a recipe; app inherits b layers", "a"},
		{"app copies-from a recipe", ""},
	} {
		if p, _ := fleet(t, strings.Split(c.lines, "; ")...).ParentOf("app"); p != c.want {
			t.Errorf("%s: parent %q, want %q", c.lines, p, c.want)
		}
	}
}

func TestDisagreements(t *testing.T) {
	d := func(c string) string { return "sha256:" + strings.Repeat(c, 64) }
	for _, c := range []struct {
		name  string
		edges []string
		want  string
	}{
		{"as the recipe says", []string{"app inherits java recipe - " + d("1") + " Dockerfile:1", "app inherits java layers - " + d("1")}, ""},
		{"nothing was built", []string{"app inherits java recipe - " + d("1") + " Dockerfile:1"}, ""},
		{"an older digest", []string{"app inherits java recipe - " + d("2") + " Dockerfile:1", "app inherits java layers - " + d("1")},
			"app: its recipe says java (Dockerfile:1), now 222222222222; the published image still stands on 111111111111 by its layers"},
		{"no digest is known", []string{"app inherits java recipe - " + d("2") + " Dockerfile:1", "app inherits java annotation"}, ""},
		{"another parent", []string{"app inherits java recipe - - Dockerfile:1", "app inherits node provenance - " + d("1")},
			"app: its recipe says java (Dockerfile:1), the published image stands on node by its provenance"},
		{"on one platform", []string{"app inherits java recipe - " + d("2") + " Dockerfile:1", "app inherits java layers linux/amd64 " + d("2"), "app inherits java layers linux/arm64 " + d("1")},
			"app linux/arm64: its recipe says java (Dockerfile:1), now 222222222222; the published image for linux/arm64 still stands on 111111111111 by its layers"},
		{"the recipe only copies", []string{"app copies-from java recipe - - Dockerfile:2", "app inherits node layers"},
			"app: the published image stands on node by its layers, from which its recipe does not inherit"},
		{"no recipe is known", []string{"app inherits node layers", "app copies-from tools provenance"}, ""},
		{"copied from another digest", []string{"app copies-from tools recipe - " + d("2") + " Dockerfile:2", "app copies-from tools provenance - " + d("1")},
			"app: its recipe says tools (Dockerfile:2), now 222222222222; the published image was made with 111111111111 by its provenance"},
		{"made with what the recipe does not name", []string{"app copies-from tools recipe - - Dockerfile:2", "app uses old provenance"},
			"app: the published image was made with old by its provenance, which its recipe does not name"},
		{"a claim that the layers refute", []string{"app inherits java recipe - - Dockerfile:1", "app inherits java layers - " + d("1"), "app inherits node annotation - " + d("3")},
			"app: its annotation claims node 333333333333, its layers are those of java 111111111111"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, x := range fleet(t, c.edges...).Disagreements() {
				got = append(got, strings.TrimSpace(x.Image+" "+x.Platform)+": "+x.Sentence)
			}
			if s := strings.Join(got, "\n"); s != c.want {
				t.Errorf("%s\nwant\n%s", s, c.want)
			}
		})
	}
}

// What images claim of themselves may be wrong in any way, and must never stop what recipes say.
func TestClaimsCloseNoCircle(t *testing.T) {
	g := fleet(t,
		"b inherits a recipe", "c inherits b recipe", // what will be
		"a inherits c annotation", "b inherits b annotation", "d inherits c layers", "e inherits d layers", "d inherits e annotation")
	if got := strings.Join(g.Subgraph("a", "b", "c").Order(), " "); got != "a b c" {
		t.Errorf("order %s", got)
	}
	if got := strings.Join(g.Affected("b"), " "); !strings.Contains(got, "a") || !strings.Contains(got, "e") {
		t.Errorf("affected by b: %s", got)
	}
	if p, ok := g.ParentOf("a"); ok {
		t.Errorf("the parent of a is %s", p)
	}
	if len(g.Edges()) != 7 {
		t.Errorf("%d edges are kept", len(g.Edges()))
	}
	_, err := New([]Node{{"a", Base}, {"b", Base}}, []Edge{{Parent: "a", Child: "b", Kind: Inherits, Evidence: FromRecipe}, {Parent: "b", Child: "a", Kind: Inherits, Evidence: FromRecipe}, {Parent: "a", Child: "a", Evidence: FromLayers}})
	if c := (*CycleError)(nil); !errors.As(err, &c) || strings.Join(c.Images, " ") != "a b a" {
		t.Errorf("a circle of recipes: %v", err)
	}
}

// TestClaimsProperties throws edges of any direction at graphs of recipes.
func TestClaimsProperties(t *testing.T) {
	evidence := []Evidence{FromAnnotation, FromProvenance, FromLayers}
	circles := 0
	for seed := range int64(300) {
		r := rand.New(rand.NewSource(seed))
		nodes, recipes := random(r, 2+r.Intn(20), r.Intn(30))
		for i := range recipes {
			recipes[i].Evidence = FromRecipe
		}
		all := slices.Clone(recipes)
		for range r.Intn(20) {
			all = append(all, Edge{Parent: nodes[r.Intn(len(nodes))].Name, Child: nodes[r.Intn(len(nodes))].Name, Kind: Inherits, Evidence: evidence[r.Intn(3)], Platform: []string{"", "linux/arm64"}[r.Intn(2)]})
		}
		g, err := New(nodes, all)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		order := g.Order()
		if len(order) != len(nodes) {
			t.Fatalf("seed %d: %d of %d in order", seed, len(order), len(nodes))
		}
		for _, e := range recipes {
			if slices.Index(order, e.Parent) >= slices.Index(order, e.Child) {
				t.Fatalf("seed %d: %s comes before its parent %s", seed, e.Child, e.Parent)
			}
		}
		if len(g.firm.all) < len(g.up.all) {
			circles++
		}
		start := nodes[r.Intn(len(nodes))].Name
		want := reachable(all, start)
		delete(want, start)
		if got := g.Affected(start); len(got) != len(want) || slices.ContainsFunc(got, func(n string) bool { return !want[n] }) {
			t.Fatalf("seed %d: affected by %s: %v, want %v", seed, start, got, want)
		}
		for _, n := range nodes {
			for at, steps := n.Name, 0; ; steps++ {
				p, ok := g.ParentOf(at)
				if !ok {
					break
				}
				if at = p; steps > len(nodes) {
					t.Fatalf("seed %d: no end above %s", seed, n.Name)
				}
			}
			if tree := g.Tree("", nil); !strings.Contains(tree, n.Name) {
				t.Fatalf("seed %d: %s is not drawn:\n%s", seed, n.Name, tree)
			}
		}
		g.Disagreements()
	}
	if circles == 0 {
		t.Error("no case had a circle")
	}
}

func TestWhatNoRecipeSaysIsDrawnApart(t *testing.T) {
	g := fleet(t, "app inherits java layers", "app copies-from tools provenance", "app copies-from node recipe", "app copies-from node provenance")
	if got, want := g.Tree("java", nil), "java\n└─ app  (by layers only)\n"; got != want {
		t.Errorf("tree\n%s\nwant\n%s", got, want)
	}
	if got, want := g.Tree("tools", nil), "tools\n└─ app  (copies-from, by provenance only)\n"; got != want {
		t.Errorf("tree\n%s\nwant\n%s", got, want)
	}
	for _, want := range []string{
		`"java" -> "app" [color=gray, label="inherits, by layers only"];`,
		`"tools" -> "app" [style=dotted, color=gray, label="copies-from, by provenance only"];`,
		`"node" -> "app" [style=dotted, label="copies-from"];`,
	} {
		if got := g.DOT(); !strings.Contains(got, want) {
			t.Errorf("DOT\n%s\nhas no\n%s", got, want)
		}
	}
	if got, want := g.Mermaid(), "n1 -. inherits, by layers only .-> n0\n"; !strings.Contains(got, want) {
		t.Errorf("Mermaid\n%s\nhas no\n%s", got, want)
	}
}
