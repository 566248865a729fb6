package graph

import "testing"

func TestTree(t *testing.T) {
	got := shop(t).Tree("", nil)
	want := `upstream/debian
└─ base/debian
   ├─ base/java
   │  └─ shop
   └─ base/node
      ├─ shop  (copies-from)
      ├─ tool  (copies-from)
      └─ web
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTreeOfOneImageWithLabels(t *testing.T) {
	got := shop(t).Tree("base/java", func(name string) string { return name + " ✓" })
	if want := "base/java ✓\n└─ shop ✓\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := shop(t).Tree("nothing", nil); got != "" {
		t.Errorf("unknown root drew %q", got)
	}
}

func TestDOT(t *testing.T) {
	got := shop(t).Subgraph("base/node", "web", "tool").DOT()
	want := `digraph images {
  rankdir=LR;
  "base/node" [shape=box];
  "tool" [shape=box, style=rounded];
  "web" [shape=box, style=rounded];
  "base/node" -> "tool" [style=dotted, label="copies-from"];
  "base/node" -> "web";
}
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMermaid(t *testing.T) {
	got := shop(t).Subgraph("upstream/debian", "base/debian", "base/node", "tool").Mermaid()
	want := `flowchart LR
  n0["base/debian"]
  n1["base/node"]
  n2("tool")
  n3(["upstream/debian"])
  n0 --> n1
  n1 -. copies-from .-> n2
  n3 --> n0
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNamesAreEscaped(t *testing.T) {
	g, err := New([]Node{{Name: "a\"b\\c\n<d>", Kind: Base}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := g.DOT(), "digraph images {\n  rankdir=LR;\n  \"a\\\"b\\\\c\\n<d>\" [shape=box];\n}\n"; got != want {
		t.Errorf("DOT %q, want %q", got, want)
	}
	if got, want := g.Mermaid(), "flowchart LR\n  n0[\"a&quot;b\\c &lt;d&gt;\"]\n"; got != want {
		t.Errorf("Mermaid %q, want %q", got, want)
	}
}
