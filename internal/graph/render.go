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
// uses. Elsewhere it is a single line that says how it uses that parent. label returns the text of an image; nil is
// its name. An unknown root gives an empty string.
func (g *Graph) Tree(root string, label func(name string) string) string {
	if label == nil {
		label = func(name string) string { return name }
	}
	d := tree{g: g, label: label, home: g.homes()}
	for i, n := range g.nodes {
		if n.Name == root || root == "" && len(g.up[i]) == 0 {
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
		if !slices.Contains(u.kinds, Inherits) {
			text += "  (" + u.words() + ")"
		}
		t.line(indent+branch, text)
		t.below(u.child, indent+further)
	}
}

// homes says for each image that has parents under which of them Tree draws it in full.
func (g *Graph) homes() map[string]string {
	home := make(map[string]string, len(g.nodes))
	for i, n := range g.nodes {
		if len(g.up[i]) == 0 {
			continue
		}
		if p, ok := g.ParentOf(n.Name); ok {
			home[n.Name] = p
		} else {
			home[n.Name] = g.nodes[g.up[i][0]].Name
		}
	}
	return home
}

// use is a child and the ways in which it uses one parent.
type use struct {
	child string
	kinds []EdgeKind // each once
}

func (u use) words() string {
	words := make([]string, len(u.kinds))
	for i, k := range u.kinds {
		words[i] = string(k)
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
		if u := &out[len(out)-1]; !slices.Contains(u.kinds, e.Kind) {
			u.kinds = append(u.kinds, e.Kind)
		}
	}
	return out
}

// DOT returns the graph in Graphviz's language, parents to the left.
func (g *Graph) DOT() string {
	shape := map[Kind]string{Upstream: "ellipse", Base: "box", Application: "box, style=rounded"}
	style := map[EdgeKind]string{BuildsWith: "dashed", CopiesFrom: "dotted"}
	var b strings.Builder
	b.WriteString("digraph images {\n  rankdir=LR;\n")
	for _, n := range g.nodes {
		fmt.Fprintf(&b, "  %s", quoteDOT(n.Name))
		if s, ok := shape[n.Kind]; ok {
			fmt.Fprintf(&b, " [shape=%s]", s)
		}
		b.WriteString(";\n")
	}
	g.eachUse(func(parent, child string, kind EdgeKind) {
		fmt.Fprintf(&b, "  %s -> %s", quoteDOT(parent), quoteDOT(child))
		if s, ok := style[kind]; ok {
			fmt.Fprintf(&b, " [style=%s, label=%s]", s, quoteDOT(string(kind)))
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
	g.eachUse(func(parent, child string, kind EdgeKind) {
		arrow := "-->"
		if kind != Inherits {
			arrow = "-. " + string(kind) + " .->"
		}
		fmt.Fprintf(&b, "  n%d %s n%d\n", g.index[parent], arrow, g.index[child])
	})
	return b.String()
}

func escapeMermaid(s string) string {
	return strings.NewReplacer("&", "&amp;", `"`, "&quot;", "<", "&lt;", ">", "&gt;", "\n", " ").Replace(s)
}

// eachUse calls do for every distinct parent, child and kind: evidence and place make no second arrow.
func (g *Graph) eachUse(do func(parent, child string, kind EdgeKind)) {
	for _, n := range g.nodes {
		for _, u := range g.uses(n.Name) {
			for _, kind := range u.kinds {
				do(n.Name, u.child, kind)
			}
		}
	}
}
