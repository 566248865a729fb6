package observe_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestFilesThatSayWhatRuns(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("ab", 32)
	for _, c := range []struct{ name, values, pins, problem string }{
		{"by tag, by digest, by another tag, of others, by a variable",
			"a: {image: HOST/base/debian:stable}\nb: {image: 'HOST/base/python:stable@" + digest + "'}\nc: {image: HOST/base/debian:12}\nd: {image: HOST/other:stable}\ne: {image: 'HOST/base/debian:${TAG}'}\n",
			"base/debian - values.yaml:1; base/python abab values.yaml:2", ""},
		{"in parts", "image:\n  repository: HOST/base/debian\n  tag: stable\n", "base/debian - values.yaml:2", ""},
		{"no file", "", "", "acme/web has no values.yaml at "},
		{"broken", "image: [\n", "", "acme/web: values.yaml:1: did not find expected node content"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("debian/Dockerfile", "FROM scratch\n")
			w.write("python/Dockerfile", "FROM scratch\n")
			files := forge{"acme/web/Dockerfile": "FROM scratch\n"}
			if c.values != "" {
				files["acme/web/values.yaml"] = strings.ReplaceAll(c.values, "HOST", w.host)
			}
			w.obs.Forge = files
			a := w.look(w.catalog(twoBases + oneApplication + "files = [\"values.yaml\"]\n")).Facts.Applications["web"]
			var got []string
			for _, r := range a.Pins {
				pinned := "-"
				if r.Pinned.Hex != "" {
					pinned = r.Pinned.Hex[:4]
				}
				got = append(got, fmt.Sprintf("%s %s %s:%d", r.Base, pinned, r.File, r.Line))
			}
			if s := strings.Join(got, "; "); s != c.pins || !strings.HasPrefix(a.Problem, c.problem) || (c.problem == "") != (a.Problem == "") {
				t.Errorf("pins %q, want %q; problem %q, want %q", s, c.pins, a.Problem, c.problem)
			}
		})
	}
}
