package graph

import (
	"fmt"
	"slices"
	"strings"
)

// Tree draws what stands on root, or everything when root is empty, as indented text:
//
//	upstream/debian
//	└─ base/debian
//	   ├─ base/java
//	   │  └─ shop
//	   └─ shop  (copies-from)
//
// An image is drawn with all below it once: under the image it inherits from or, without one, under the first it
// uses. Elsewhere it is a single line that says how it uses that parent. Where no recipe names the parent, the line says
// by what it is known. label returns the text of an image; nil is its name. An unknown root gives an empty string.
func (g *Graph) Tree(root string, label func(name string) string) string {
	if label == nil {
		label = func(name string) string { return name }
	}
	d := tree{g: g, label: label, home: g.homes()}
	for i, n := range g.nodes {
		if n.Name == root || root == "" && len(g.firm.of(int32(i))) == 0 {
			d.line("", label(n.Name))
			d.below(n.Name, "")
		}
	}
	return d.out.String()
}

type tree struct {
	g     *Graph
	label func(string) string
	home  map[string]string // image -> the parent under which it is drawn in full
	out   strings.Builder
}

func (t *tree) line(indent, text string) { t.out.WriteString(indent + text + "\n") }

func (t *tree) below(name, indent string) {
	kinds := t.g.uses(name)
	for i, u := range kinds {
		branch, further := "├─ ", "│  "
		if i == len(kinds)-1 {
			branch, further = "└─ ", "   "
		}
		if t.home[u.child] != name {
			t.line(indent+branch, t.label(u.child)+"  ("+u.words()+")")
			continue
		}
		text := t.label(u.child)
		if i := slices.IndexFunc(u.ways, func(w way) bool { return w.kind == Inherits }); i < 0 {
			text += "  (" + u.words() + ")"
		} else if w := u.ways[i]; !w.said {
			text += "  (" + w.only() + ")"
		}
		t.line(indent+branch, text)
		t.below(u.child, indent+further)
	}
}

// homes says for each image that has parents under which of them Tree draws it in full.
func (g *Graph) homes() map[string]string {
	home := make(map[string]string, len(g.nodes))
	for i, n := range g.nodes {
		up := g.firm.of(int32(i))
		if len(up) == 0 {
			continue
		}
		if p, ok := g.ParentOf(n.Name); ok {
			home[n.Name] = p
		} else {
			home[n.Name] = g.nodes[up[0]].Name
		}
	}
	return home
}

// use is a child and the ways in which it uses one parent.
type use struct {
	child string
	ways  []way // by kind, each once
}

type way struct {
	kind     EdgeKind
	evidence Evidence // the strongest
	said     bool     // a recipe says so, too
}

func (w way) words() string {
	if w.said {
		return string(w.kind)
	}
	return string(w.kind) + ", " + w.only()
}

func (w way) only() string { return "by " + string(w.evidence) + " only" }

func (u use) words() string {
	words := make([]string, len(u.ways))
	for i, w := range u.ways {
		words[i] = w.words()
	}
	return strings.Join(words, ", ")
}

// uses returns the children of name, each once, by name.
func (g *Graph) uses(name string) []use {
	var out []use
	for _, e := range g.Children(name) {
		if len(out) == 0 || out[len(out)-1].child != e.Child {
			out = append(out, use{child: e.Child})
		}
		u := &out[len(out)-1]
		if len(u.ways) == 0 || u.ways[len(u.ways)-1].kind != e.Kind {
			u.ways = append(u.ways, way{kind: e.Kind, evidence: e.Evidence}) // the strongest comes first
		}
		if w := &u.ways[len(u.ways)-1]; !e.Evidence.built() || e.Where != "" {
			w.said = true
		}
	}
	return out
}

// DOT returns the graph in Graphviz's language, parents to the left.
func (g *Graph) DOT() string {
	shape := map[Kind]string{Upstream: "ellipse", Base: "box", Application: "box, style=rounded"}
	style := map[EdgeKind]string{BuildsWith: "dashed", CopiesFrom: "dotted", Uses: "dotted"}
	var b strings.Builder
	b.WriteString("digraph images {\n  rankdir=LR;\n")
	for _, n := range g.nodes {
		fmt.Fprintf(&b, "  %s", quoteDOT(n.Name))
		if s, ok := shape[n.Kind]; ok {
			fmt.Fprintf(&b, " [shape=%s]", s)
		}
		b.WriteString(";\n")
	}
	g.eachUse(func(parent, child string, w way) {
		fmt.Fprintf(&b, "  %s -> %s", quoteDOT(parent), quoteDOT(child))
		var attributes []string
		if s, ok := style[w.kind]; ok {
			attributes = append(attributes, "style="+s)
		}
		if !w.said {
			attributes = append(attributes, "color=gray")
		}
		if len(attributes) > 0 {
			fmt.Fprintf(&b, " [%s, label=%s]", strings.Join(attributes, ", "), quoteDOT(w.words()))
		}
		b.WriteString(";\n")
	})
	b.WriteString("}\n")
	return b.String()
}

func quoteDOT(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// Mermaid returns the graph as a Mermaid flowchart, as forges draw it in pull requests.
func (g *Graph) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for i, n := range g.nodes {
		open, shut := "[", "]"
		switch n.Kind {
		case Upstream:
			open, shut = "([", "])"
		case Application:
			open, shut = "(", ")"
		}
		fmt.Fprintf(&b, "  n%d%s\"%s\"%s\n", i, open, escapeMermaid(n.Name), shut)
	}
	g.eachUse(func(parent, child string, w way) {
		arrow := "-->"
		if w.kind != Inherits || !w.said {
			arrow = "-. " + w.words() + " .->"
		}
		fmt.Fprintf(&b, "  n%d %s n%d\n", g.index[parent], arrow, g.index[child])
	})
	return b.String()
}

func escapeMermaid(s string) string {
	return strings.NewReplacer("&", "&amp;", `"`, "&quot;", "<", "&lt;", ">", "&gt;", "\n", " ").Replace(s)
}

// eachUse calls do for every distinct parent, child and kind: evidence, platform and place make no second arrow.
func (g *Graph) eachUse(do func(parent, child string, w way)) {
	for _, n := range g.nodes {
		for _, u := range g.uses(n.Name) {
			for _, w := range u.ways {
				do(n.Name, u.child, w)
			}
		}
	}
}
