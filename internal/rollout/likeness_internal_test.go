package rollout

import (
	"strings"
	"testing"
)

func TestLike(t *testing.T) {
	packages := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	before := inside{Fingerprint: "f1", Packages: packages("libfoo", "1.0", "libbar", "1.0", "old", "1"), Recipe: "r1", Parents: packages("upstream/debian", "u1")}
	bad := inside{Fingerprint: "f2", Packages: packages("libfoo", "1.1", "libbar", "1.0", "new", "1"), Recipe: "r1", Parents: packages("upstream/debian", "u1")}
	recipe := inside{Fingerprint: "f2", Packages: before.Packages, Recipe: "r2", Parents: before.Parents}
	upstream := inside{Fingerprint: "f2", Packages: before.Packages, Recipe: "r1", Parents: packages("upstream/debian", "u2")}
	download := inside{Fingerprint: "f2", Packages: before.Packages, Recipe: "r1", Parents: before.Parents}
	with := func(c inside, f func(*inside)) inside {
		f(&c)
		c.Fingerprint = "f3"
		return c
	}
	for _, c := range []struct {
		name                   string
		candidate, bad, before inside
		want                   string // empty: it is no more like it
	}{
		{"the same content under another digest", with(bad, func(*inside) {}), with(bad, func(*inside) {}), before, "its content is that of"},
		{"the package at the version that came in", with(bad, func(c *inside) { c.Packages = packages("libfoo", "1.1", "libbar", "2.0", "old", "1") }), bad, before, "libfoo 1.1"},
		{"a newer version of each", with(bad, func(c *inside) { c.Packages = packages("libfoo", "1.2", "libbar", "1.0", "new", "2", "old", "1") }), bad, before, ""},
		{"a newer version of one of them", with(bad, func(c *inside) { c.Packages = packages("libfoo", "1.2", "libbar", "1.0", "new", "1", "old", "1") }), bad, before, "new 1"},
		{"what went away is still gone", with(bad, func(c *inside) { c.Packages = packages("libfoo", "1.2", "libbar", "1.0") }), bad, before, "no old"},
		{"the recipe that was changed", with(recipe, func(c *inside) { c.Packages = packages("libfoo", "1.1", "libbar", "1.0", "old", "1") }), recipe, before, "the same recipe"},
		{"a recipe that was changed again", with(recipe, func(c *inside) { c.Recipe = "r3" }), recipe, before, ""},
		{"the upstream that moved", with(upstream, func(c *inside) { c.Packages = packages("libfoo", "1.1", "libbar", "1.0", "old", "1") }), upstream, before, "the same upstream/debian"},
		{"an upstream that moved again", with(upstream, func(c *inside) { c.Parents = packages("upstream/debian", "u3") }), upstream, before, ""},
		{"nothing is known that came with it", with(download, func(c *inside) { c.Packages = packages("libfoo", "1.1", "libbar", "1.0", "old", "1") }), download, before, "nothing that is known tells it from"},
		{"what is in the bad one is not known", with(bad, func(*inside) {}), inside{}, before, "nobody can tell it from"},
		{"there was none before it", with(bad, func(c *inside) { c.Packages = packages("libfoo", "1.2", "libbar", "1.0") }), bad, inside{}, "libbar 1.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := like(c.candidate, c.bad, c.before)
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
