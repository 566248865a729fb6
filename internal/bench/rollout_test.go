package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/demo"
)

// TestTree holds the tree to what the measures say of it.
func TestTree(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, treeFiles); err != nil {
		t.Fatal(err)
	}
	tr, err := readTree(&demo.World{Catalog: filepath.Join(dir, "tree", "catalog.toml")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range tr.images {
		name := i.target
		for p := i.parent; p != nil; p = p.parent {
			name = p.target + " > " + name
		}
		got = append(got, name)
		if n := strings.Count(marked(i.recipe), "--mount=type=bind,from=state"); n != 1 {
			t.Errorf("%d package steps of %s would run again, want its only one", n, i.name)
		}
	}
	want := "debian, debian > python, debian > nginx, debian > python > python-nginx, debian > nginx > nginx-python"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("the tree is %s, want %s", s, want)
	}
	if len(tr.roots()) != 1 || len(tr.leaves()) != 2 {
		t.Errorf("%d roots and %d leaves", len(tr.roots()), len(tr.leaves()))
	}
}

// TestPeersKeepTheOrder has programs that write down what they are asked for.
func TestPeersKeepTheOrder(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	script := `#!/bin/sh
echo "$@" >> asked
while [ $# -gt 0 ]; do
	case $1 in --metadata-file) file=$2 ;; esac
	shift
done
[ -z "$file" ] || echo '{"containerimage.digest":"sha256:new","base":{"containerimage.digest":"sha256:b"},"child":{"containerimage.digest":"sha256:c"}}' > "$file"
`
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	base := &treeImage{name: "base/base", target: "base", from: "upstream", recipe: "FROM upstream\nRUN a\n"}
	child := &treeImage{name: "base/child", target: "child", from: "r/base:stable", parent: base, recipe: "FROM r/base:stable\nRUN b\n"}
	base.children = []*treeImage{child}
	p := &peers{buildctl: program, buildx: program, engine: "unix:///e", registry: "r", dir: dir, tree: &tree{[]*treeImage{base, child}}}
	if err := p.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	var passed []string
	digests, err := p.inOrder(t.Context(), "x", func(_ context.Context, repository, digest string) error {
		passed = append(passed, repository+"@"+digest)
		return nil
	})
	if err != nil || digests[child] != "sha256:new" {
		t.Errorf("got %v, %v", digests, err)
	}
	if digests, err = p.withBake(t.Context()); err != nil || digests[base] != "sha256:b" || digests[child] != "sha256:c" {
		t.Errorf("bake: got %v, %v", digests, err)
	}
	if s := strings.Join(passed, " "); s != "r/x/base@sha256:new r/x/child@sha256:new" {
		t.Errorf("gates of %s", s)
	}
	b, err := os.ReadFile(filepath.Join(dir, "asked"))
	if err != nil {
		t.Fatal(err)
	}
	asked := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(asked) != 4 || strings.Contains(asked[1], "docker-image") || !strings.Contains(asked[2], "context:r/base:stable=docker-image://r/x/base@sha256:new") {
		t.Errorf("asked for:\n%s", b)
	}
	file, err := os.ReadFile(filepath.Join(dir, "docker-bake.json"))
	if err != nil || !strings.Contains(string(file), `"r/base:stable":"target:base"`) {
		t.Errorf("the bake file is %s (%v)", file, err)
	}
}

func TestComparedByLaps(t *testing.T) {
	s := func(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
	slow := lap{daemon: s(40), buildctl: s(20), gated: s(40), bake: s(20), chain: chain{solves: s(30), gates: s(9)}}
	laps := []lap{
		{daemon: s(10), buildctl: s(8), gated: s(10), bake: s(5), chain: chain{solves: s(7), gates: s(2)}},
		slow, // everybody was, by the same
		{daemon: s(11), buildctl: s(8), gated: s(10), bake: s(5), chain: chain{solves: s(7), gates: s(2)}},
	}
	got := map[string]float64{}
	for _, m := range compared(laps) {
		got[m.Name] = m.Value
		if m.Name == "rollout to buildctl with gates" && (m.Goal != "<= 1.05" || !m.Holds) {
			t.Errorf("%+v", m)
		}
	}
	for name, want := range map[string]float64{
		"five images in a tree, by a rollout": 11, "rollout to buildctl with gates": 1, "rollout to buildctl, gates in the rollout alone": 1.38,
		"rollout to bake, gates in the rollout alone": 2, "of that, neither solves nor gates on its longest chain": 1, "rollout to the solves and gates of its longest chain": 1.11,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s: %v, want %v", name, v, want)
		}
	}
}
