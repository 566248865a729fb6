// Package depcheck holds the packages of this module to who may import what: each heavy or effectful dependency has
// one home, pure packages do no I/O, and effects do not know each other. ARCHITECTURE.md draws the same picture.
package depcheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "rebuilder/"

// rule says that what matches imports is imported only from homes. Packages that do not exist yet break no rule.
type rule struct {
	why     string
	imports []string // paths; a trailing /... means everything below, too
	homes   []string // paths inside the module
	tests   []string // further homes of which only the tests may
}

var homes = []rule{
	{
		why:     "BuildKit has one home, its Dockerfile parser another",
		imports: []string{"github.com/moby/buildkit/..."},
		homes:   []string{"internal/build/buildkit/...", "internal/dockerfile"},
	},
	{
		why:     "the forge's client has one home; the demo's reviewer and the tests of the forge use it from the other side",
		imports: []string{"github.com/google/go-github/..."},
		homes:   []string{"internal/notify/github", "internal/demo"},
		tests:   []string{"internal/demo/...", "internal/githubspec/...", "internal/rollout", "internal/observe", "internal/e2e", "cmd/rebuilder"},
	},
	{
		why:     "registries are talked to in one place; the demo's world and tests make images of their own",
		imports: []string{"github.com/google/go-containerregistry/pkg/v1/remote"},
		homes:   []string{"internal/registry", "internal/demo/..."},
		tests:   []string{"..."},
	},
	{
		why:     "catalog.toml is read in one place",
		imports: []string{"github.com/BurntSushi/toml"},
		homes:   []string{"internal/catalog"},
	},
	{
		why:     "versions are ordered in one place",
		imports: []string{"github.com/google/osv-scalibr/..."},
		homes:   []string{"internal/patch", "internal/scan"},
	},
}

// frontend are the parts of BuildKit that reading a Dockerfile takes.
var frontend = []string{
	"github.com/moby/buildkit/frontend/dockerfile/instructions",
	"github.com/moby/buildkit/frontend/dockerfile/parser",
	"github.com/moby/buildkit/frontend/dockerfile/shell",
}

// pure are the packages that take values and give values, and what even they may read from. Of ours they import only
// each other, so that nothing effectful can be reached from them by any way round; what a package itself may read from
// is what it alone is trusted with.
var pure = map[string][]string{
	"internal/graph":      nil,
	"internal/patch":      nil,
	"internal/plan":       nil,
	"internal/policy":     nil,
	"internal/dockerfile": nil,
	"internal/catalog":    {"os", "io/fs"}, // Load reads the file it is named
}

var effectful = []string{"net", "net/http/...", "os", "os/...", "io/fs", "database/sql/...", "context", "log", "log/slog", "syscall", "plugin"}

// effects are the packages that change or watch the world. They hand values to internal/rollout and never to each
// other; implementations below them may import the contract above.
var effects = []string{"internal/build", "internal/watch", "internal/promote", "internal/notify", "internal/registry", "internal/scan"}

func TestHomes(t *testing.T) {
	for _, p := range packages(t) {
		for _, r := range homes {
			for _, imported := range p.Imports {
				if matches(imported, r.imports) && !matches(p.path(), r.homes) {
					t.Errorf("%s imports %s: %s", p.path(), imported, r.why)
				}
			}
			for _, imported := range p.tests() {
				if matches(imported, r.imports) && !matches(p.path(), slices.Concat(r.homes, r.tests)) {
					t.Errorf("the tests of %s import %s: %s", p.path(), imported, r.why)
				}
			}
		}
	}
}

func TestDockerfileImportsOnlyTheParser(t *testing.T) {
	for _, p := range packages(t) {
		if p.path() != "internal/dockerfile" {
			continue
		}
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, "github.com/moby/buildkit/") && !matches(imported, frontend) {
				t.Errorf("%s imports %s", p.path(), imported)
			}
		}
	}
}

func TestPurePackages(t *testing.T) {
	for _, mistake := range impure(packages(t)) {
		t.Error(mistake)
	}
}

// impure says which pure packages reach an effect, directly or by way of others of ours, and which way.
func impure(all []listed) (mistakes []string) {
	byPath := map[string]listed{}
	for _, p := range all {
		byPath[p.path()] = p
	}
	for _, path := range slices.Sorted(maps.Keys(pure)) {
		ways := map[string]string{path: path}
		for queue := []string{path}; len(queue) > 0; queue = queue[1:] {
			at := queue[0]
			for _, imported := range byPath[at].Imports {
				ours, ok := strings.CutPrefix(imported, module)
				switch {
				case ok && ways[ours] == "":
					ways[ours] = ways[at] + " -> " + ours
					queue = append(queue, ours)
				case !ok && matches(imported, effectful) && !slices.Contains(pure[at], imported):
					mistakes = append(mistakes, fmt.Sprintf("%s is pure and reaches %s: %s", path, imported, ways[at]))
				}
			}
		}
	}
	return mistakes
}

func TestImpure(t *testing.T) {
	pkg := func(path string, imports ...string) listed {
		return listed{ImportPath: module + path, Imports: imports}
	}
	for _, c := range []struct {
		name string
		all  []listed
		want string
	}{
		{"values only", []listed{pkg("internal/plan", "fmt", module+"internal/graph"), pkg("internal/graph", "slices")}, ""},
		{"what it is trusted with", []listed{pkg("internal/catalog", "os")}, ""},
		{"another's trust is the other's", []listed{pkg("internal/plan", module+"internal/catalog"), pkg("internal/catalog", "os")}, ""},
		{"itself", []listed{pkg("internal/plan", "net/http")}, "internal/plan is pure and reaches net/http: internal/plan"},
		{"trust is not handed on", []listed{pkg("internal/plan", "os", module+"internal/catalog"), pkg("internal/catalog")}, "internal/plan is pure and reaches os: internal/plan"},
		{"by a way round", []listed{pkg("internal/plan", module+"internal/x"), pkg("internal/x", module+"internal/y"), pkg("internal/y", "database/sql")},
			"internal/plan is pure and reaches database/sql: internal/plan -> internal/x -> internal/y"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(impure(c.all), "\n"); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestLeaves holds the packages to what design and ARCHITECTURE.md draw: these import none of ours.
func TestLeaves(t *testing.T) {
	leaves := []string{"internal/catalog", "internal/dockerfile", "internal/graph", "internal/inventory", "internal/build", "internal/registry", "internal/notify", "internal/patch", "internal/policy"}
	for _, p := range packages(t) {
		if !slices.Contains(leaves, p.path()) {
			continue
		}
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, module) {
				t.Errorf("%s imports %s", p.path(), imported)
			}
		}
	}
}

func TestEffectsDoNotKnowEachOther(t *testing.T) {
	for _, p := range packages(t) {
		from := effect(p.path())
		if from == "" {
			continue
		}
		for _, imported := range p.Imports {
			ours, ok := strings.CutPrefix(imported, module)
			if to := effect(ours); ok && to != "" && to != from {
				t.Errorf("%s imports %s: effects are joined by internal/rollout", p.path(), ours)
			}
		}
	}
}

// effect returns the effect that a package belongs to, or "".
func effect(path string) string {
	for _, e := range effects {
		if matches(path, []string{e + "/..."}) {
			return e
		}
	}
	return ""
}

// TestMatches makes sure that the rules above can fail.
func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		path, pattern string
		want          bool
	}{
		{"net", "net", true}, {"net/url", "net", false}, {"net/http", "net/http/...", true}, {"net/http/httptest", "net/http/...", true},
		{"network", "net/...", false}, {"internal/build", "internal/build/buildkit/...", false}, {"anything/at/all", "...", true},
	} {
		if got := matches(tc.path, []string{tc.pattern}); got != tc.want {
			t.Errorf("matches(%q, %q) = %v", tc.path, tc.pattern, got)
		}
	}
	all := packages(t)
	for _, path := range []string{"internal/graph", "internal/catalog", "internal/dockerfile"} {
		if !slices.ContainsFunc(all, func(p listed) bool { return p.path() == path && len(p.Imports) > 0 }) {
			t.Errorf("go list does not show %s", path)
		}
	}
}

func matches(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if pattern == "..." {
			return true
		}
		if above, ok := strings.CutSuffix(pattern, "/..."); ok {
			return path == above || strings.HasPrefix(path, above+"/")
		}
		return path == pattern
	})
}

// listed is what go list says of a package.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func (p listed) path() string { return strings.TrimPrefix(p.ImportPath, module) }

func (p listed) tests() []string { return slices.Concat(p.TestImports, p.XTestImports) }

// packages lists this module. Packages that do not compile are listed all the same: their own tests say so.
func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
