package observe_test

import (
	"strings"
	"testing"
)

// A recipe is read as BuildKit would build it: what it refuses, and what is read by another frontend than Docker's, is a
// problem of that base and says why.
func TestRecipesThatCannotBeKnown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ dockerfile, want string }{
		"another frontend":        {"# syntax=r.example.com/mopy:1\nFROM HOST/upstream/debian:12\n", "Dockerfile: its # syntax= has r.example.com/mopy:1 read it, not docker/dockerfile"},
		"what BuildKit refuses":   {"FROM HOST/upstream/debian:12 AS a\nCOPY --from=a / /\n", "Dockerfile:2: circular dependency detected on stage: a"},
		"what would never end":    {"FROM HOST/upstream/debian:12\nENV A=0123456789abcdef\n" + strings.Repeat("ENV A=$A$A\n", 60), "with all variables expanded"},
		"Docker's own frontend":   {"# syntax=docker/dockerfile:1\nFROM HOST/upstream/debian:12\n", ""},
		"a mirror of it":          {"# syntax=r.example.com/docker/dockerfile:1\nFROM HOST/upstream/debian:12\n", ""},
		"a stage for each system": {"FROM scratch AS base-arm64\nFROM HOST/upstream/debian:12 AS base-amd64\nFROM base-$TARGETARCH\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("debian/Dockerfile", c.dockerfile)
			cat := w.catalog("[[upstream]]\nname = \"upstream/debian\"\nimage = \"HOST/upstream/debian:12\"\n[[base]]\nname = \"base/debian\"\ncontext = \"debian\"\n")
			b := w.look(cat).Facts.Bases["base/debian"]
			if c.want == "" {
				if len(b.Parents) != 1 || b.Parents[0].Kind != "inherits" {
					t.Errorf("parents %+v, problem %q", b.Parents, b.Problem)
				}
			} else if !strings.Contains(b.Problem, c.want) {
				t.Errorf("problem %q, want %q", b.Problem, c.want)
			}
		})
	}
}

// The platform of a base in the catalog is the one for which its Dockerfile is read.
func TestRecipesOfAnotherPlatform(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("debian/Dockerfile", "FROM HOST/upstream/arm:12 AS base-arm64\nFROM HOST/upstream/debian:12 AS base-amd64\nFROM base-$TARGETARCH\n")
	cat := w.catalog(`[[upstream]]
name = "upstream/debian"
image = "HOST/upstream/debian:12"
[[upstream]]
name = "upstream/arm"
image = "HOST/upstream/arm:12"
[[base]]
name = "base/debian"
context = "debian"
platform = "linux/arm64"
`)
	if p := w.look(cat).Facts.Bases["base/debian"].Parents; len(p) != 1 || p[0].Name != "upstream/arm" {
		t.Errorf("parents %+v", p)
	}
}
