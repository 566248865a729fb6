package inventory

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

var planted = regexp.MustCompile(`SECRET-\w+`)

// findPlanted finds what tests plant.
func findPlanted(_ string, content []byte) (found []Secret) {
	for i, line := range strings.Split(string(content), "\n") {
		for _, m := range planted.FindAllString(line, -1) {
			found = append(found, Secret{Rule: "planted", Title: "planted", Line: i + 1, Mark: m})
		}
	}
	return found
}

func secretsOf(inv *Inventory) string {
	var s []string
	for _, f := range inv.Secrets {
		gone := ""
		if f.Deleted {
			gone = " deleted"
		}
		s = append(s, fmt.Sprintf("%s:%d %s @%d%s", f.Path, f.Line, f.Mark, f.Layer, gone))
	}
	return strings.Join(s, ", ")
}

func readSecrets(t testing.TB, img v1.Image, find func(string, []byte) []Secret) *Inventory {
	t.Helper()
	inv, err := Read(t.Context(), img, "", WithSecrets(find))
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func TestSecrets(t *testing.T) {
	const at = "etc/key"
	a, b := text(at, "x\nSECRET-a\n"), text(at, "SECRET-b")
	mode := a
	mode.Mode = 0o600
	for _, c := range []struct {
		name   string
		layers [][]entry
		want   string
	}{
		{"none", [][]entry{{text(at, "x")}}, ""},
		{"one", [][]entry{{a}}, "/etc/key:2 SECRET-a @0"},
		{"two of one file", [][]entry{{text(at, "SECRET-b SECRET-a")}}, "/etc/key:1 SECRET-a @0, /etc/key:1 SECRET-b @0"},
		{"deleted", [][]entry{{a}, {text("etc/.wh.key", "")}}, "/etc/key:2 SECRET-a @0 deleted"},
		{"directory deleted", [][]entry{{a}, {text(".wh.etc", "")}}, "/etc/key:2 SECRET-a @0 deleted"},
		{"replaced", [][]entry{{a}, {text(at, "x")}}, "/etc/key:2 SECRET-a @0 deleted"},
		{"replaced in one layer", [][]entry{{a, text(at, "x")}}, "/etc/key:2 SECRET-a @0 deleted"},
		{"replaced by another", [][]entry{{a}, {b}}, "/etc/key:2 SECRET-a @0 deleted, /etc/key:1 SECRET-b @1"},
		{"replaced by the same", [][]entry{{a}, {mode}}, "/etc/key:2 SECRET-a @0"},
		{"kept in a longer file", [][]entry{{a}, {text(at, "x\nx\nSECRET-a\n")}}, "/etc/key:3 SECRET-a @1"},
		{"deleted and back", [][]entry{{a}, {text("etc/.wh.key", "")}, {a}}, "/etc/key:2 SECRET-a @0"},
		{"in two files", [][]entry{{a, text("b", "SECRET-a")}}, "/b:1 SECRET-a @0, /etc/key:2 SECRET-a @0"},
		{"through a link", [][]entry{{dir("etc"), symlink("e", "etc")}, {text("e/key", "SECRET-a")}}, "/etc/key:1 SECRET-a @1"},
		{"a hard link that stays", [][]entry{{a, hardlink("etc/same", at)}, {text("etc/.wh.key", "")}}, "/etc/same:2 SECRET-a @0"},
		{"a copy that stays", [][]entry{{a, text("copy", a.content)}, {text("etc/.wh.key", "")}}, "/copy:2 SECRET-a @0, /etc/key:2 SECRET-a @0 deleted"},
		{"binary", [][]entry{{text(at, "\x00SECRET-a")}}, ""},
		{"of the largest size", [][]entry{{text(at, "SECRET-a"+strings.Repeat(" ", maxSearched-8))}}, "/etc/key:1 SECRET-a @0"},
		{"too large", [][]entry{{text(at, "SECRET-a"+strings.Repeat(" ", maxSearched-7))}}, ""},
		{"places of packages", [][]entry{{text("usr/share/x", "SECRET-a"), text("usr/lib/x", "SECRET-a"), text("usr/include/x", "SECRET-a"), text("var/lib/dpkg/diversions", "SECRET-a")}}, ""},
		{"behind a link to one", [][]entry{{dir("usr/lib"), symlink("lib", "usr/lib"), text("lib/x", "SECRET-a")}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			img := image(t, c.layers...)
			inv := readSecrets(t, img, findPlanted)
			if got := secretsOf(inv); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if !inv.SecretsRead || len(inv.Unknown)+len(inv.SecretsUnknown) > 0 {
				t.Errorf("read %v, unknown %q", inv.SecretsRead, inv.Unknown)
			}
			plain := mustRead(t, img)
			if plain.SecretsRead || plain.Secrets != nil || plain.Fingerprint != inv.Fingerprint {
				t.Errorf("without a way to find them: %+v", plain)
			}
		})
	}
}

func TestSecretsOfTheConfiguration(t *testing.T) {
	img := configured(t, image(t, []entry{text("a", "x")}), func(c *v1.ConfigFile) {
		c.Config.Env = []string{"A=1", "TOKEN=SECRET-env"}
		c.Config.Cmd = []string{"run", "SECRET-cmd"}
		c.Config.Labels = map[string]string{"l": "SECRET-label"}
		c.History = []v1.History{{CreatedBy: "RUN |1 TOKEN=SECRET-history"}}
	})
	inv := readSecrets(t, img, findPlanted)
	want := "config:2 SECRET-env @-1, config:4 SECRET-cmd @-1, config:5 SECRET-label @-1, config:6 SECRET-history @-1"
	if got := secretsOf(inv); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSecretsAreBounded(t *testing.T) {
	var entries []entry
	for i := range 3 * maxSecrets / 2 {
		entries = append(entries, text(fmt.Sprintf("f%04d", i), fmt.Sprint("SECRET-", i)))
	}
	inv := readSecrets(t, image(t, entries), findPlanted)
	if got, want := strings.Join(inv.SecretsUnknown, "\n"), "of 1500 secrets only 1000 are listed"; len(inv.Secrets) != maxSecrets || got != want || len(inv.Unknown) > 0 {
		t.Errorf("%d secrets, unknown %q (of its packages %q), want %q", len(inv.Secrets), got, inv.Unknown, want)
	}

	s := newSearch(t.Context(), findPlanted)
	s.left = 10
	for i := range 3 {
		if err := s.add(fmt.Sprint(i), [32]byte{}, []byte("SECRET-a")); err != nil {
			t.Fatal(err)
		}
	}
	inv = &Inventory{}
	if err := s.finish(newTree(defaultLimits()), &v1.ConfigFile{}, inv); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(inv.SecretsUnknown, "\n"); len(inv.Secrets) != 1 || !strings.HasPrefix(got, "2 files were not searched for secrets") {
		t.Errorf("%d secrets, unknown %q", len(inv.Secrets), got)
	}
}

func TestASearchThatPanics(t *testing.T) {
	inv := readSecrets(t, image(t, []entry{text("a", "SECRET-a"), text("b", "panic"), text("c", "SECRET-c")}), func(at string, content []byte) []Secret {
		if string(content) == "panic" {
			panic("as it says")
		}
		return findPlanted(at, content)
	})
	if got := secretsOf(inv); got != "/a:1 SECRET-a @0, /c:1 SECRET-c @0" {
		t.Error(got)
	}
	if got := strings.Join(inv.SecretsUnknown, "\n"); got != "the search for secrets failed in 1 files (/b)" {
		t.Error(got)
	}
}

// A search that hangs ends with the context of the reading, not later.
func TestASearchThatHangs(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	hangs := make(chan struct{})
	defer close(hangs)
	img := image(t, []entry{text("a", "x")})
	_, err := Read(ctx, img, "", WithSecrets(func(string, []byte) []Secret {
		cancel()
		<-hangs
		return nil
	}))
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
