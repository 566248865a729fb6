package observe_test

import (
	"strings"
	"testing"
)

// An application's CI may build with arguments that the catalog does not know: what does not depend on them is known all
// the same, and what may be a base of ours is said.
func TestApplicationsBuiltWithUnknownArguments(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ dockerfile, bases, strays, problem string }{
		"a builder's version":       {"ARG GO\nFROM golang:${GO} AS build\nFROM HOST/base/debian:stable\nCOPY --from=build /a /a\n", "base/debian", "", ""},
		"a base's tag":              {"ARG TAG\nFROM HOST/base/debian:${TAG}\n", "", "base/debian by build arguments that are not known (Dockerfile:2)", ""},
		"all of it":                 {"ARG BASE\nFROM ${BASE}\nCOPY --from=HOST/base/debian:stable /a /a\n", "base/debian", "${BASE} by build arguments that are not known (Dockerfile:2)", ""},
		"a registry":                {"ARG REG\nFROM ${REG}/base/debian:stable\n", "", "${REG}/base/debian:stable by build arguments that are not known (Dockerfile:2)", ""},
		"a mistake of another kind": {"FROM HOST/base/debian:stable AS a\nCOPY --from=a / /\n", "", "", "acme/web: Dockerfile:2: circular dependency"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.obs.Forge = forge{"acme/web/Dockerfile": strings.ReplaceAll(c.dockerfile, "HOST", w.host)}
			w.twoBases()
			a := w.look(w.catalog(twoBases + oneApplication)).Facts.Applications["web"]
			var bases []string
			for _, r := range a.References {
				bases = append(bases, r.Base)
			}
			if strings.Join(bases, " ") != c.bases || strings.Join(a.Strays, "; ") != c.strays || !strings.HasPrefix(a.Problem, c.problem) || (a.Problem != "") != (c.problem != "") {
				t.Errorf("bases %q, strays %q, problem %q", bases, a.Strays, a.Problem)
			}
		})
	}
}
