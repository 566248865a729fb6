// Package depcheck holds the packages of this module to who may import what: each heavy or effectful dependency has
// one home, pure packages do no I/O, and effects do not know each other. ARCHITECTURE.md draws the same picture.
package depcheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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
		imports: []string{"github.com/google/go-github/...", "github.com/bradleyfalzon/ghinstallation/..."},
		homes:   []string{"internal/notify/github", "internal/demo"},
		tests:   []string{"internal/demo/...", "internal/githubspec/...", "internal/contract", "internal/rollout", "internal/observe", "internal/e2e", "cmd/rebuilder"},
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
		imports: []string{"github.com/google/osv-scalibr/semantic"},
		homes:   []string{"internal/patch"},
	},
	{
		why:     "of scalibr, parts are used, and few",
		imports: []string{"github.com/google/osv-scalibr/..."},
		homes:   []string{"internal/patch", "internal/inventory"},
	},
	{
		why:     "apko's package manager brings the clients of several clouds along: only what it writes is wanted, by tests",
		imports: []string{"chainguard.dev/apko/pkg/apk/apk", "chainguard.dev/apko/pkg/apk/fs"},
		tests:   []string{"..."},
	},
	{
		why:     "secrets are found in one place",
		imports: []string{"github.com/zricethezav/gitleaks/..."},
		homes:   []string{"internal/secret"},
	},
	{
		why:     "bills of materials and verdicts are written for others in one place each",
		imports: []string{"github.com/CycloneDX/cyclonedx-go", "github.com/spdx/tools-golang/...", "github.com/owenrumney/go-sarif/...", "github.com/openvex/go-vex/..."},
		homes:   []string{"internal/sbom", "internal/export"},
	},
	{
		why:     "signatures are made and read in one place",
		imports: []string{"github.com/sigstore/...", "github.com/secure-systems-lab/go-securesystemslib/..."},
		homes:   []string{"internal/sign"},
	},
	{
		why:     "other bots' configurations are read in one place",
		imports: []string{"github.com/titanous/json5", "github.com/bmatcuk/doublestar/..."},
		homes:   []string{"internal/coexist"},
	},
	{
		why:     "schedules are read in one place, on a clock that never jumps",
		imports: []string{"github.com/netresearch/go-cron"},
		homes:   []string{"internal/schedule"},
	},
}

// frontend are the parts of BuildKit that reading a Dockerfile takes, and those that say what a build of it would ask
// for: a conversion of values, answered by a resolver that waits for nobody. It takes a context all the same, which has
// nothing to cancel, and a mutex, as the resolver is asked by many at once.
var frontend = []string{
	"context",
	"github.com/containerd/platforms",
	"github.com/distribution/reference",
	"github.com/moby/buildkit/client/llb",
	"github.com/moby/buildkit/client/llb/sourceresolver",
	"github.com/moby/buildkit/frontend/dockerfile/command",
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb",
	"github.com/moby/buildkit/frontend/dockerfile/instructions",
	"github.com/moby/buildkit/frontend/dockerfile/parser",
	"github.com/moby/buildkit/frontend/dockerfile/shell",
	"github.com/moby/buildkit/frontend/dockerui",
	"github.com/moby/buildkit/solver/pb",
	"github.com/opencontainers/go-digest",
	"github.com/opencontainers/image-spec/specs-go/v1",
	"mvdan.cc/sh/v3/syntax", // what a RUN runs is in a shell's language
}

// pure are the packages that take values and give values, and what even they may import besides the harmless part of the
// standard library. Of ours they import only each other, so that nothing effectful can be reached from them by any way
// round; what a package itself is given here it alone is trusted with. internal/inventory is not among them: it takes a
// context and reads images.
var pure = map[string][]string{
	"internal/graph":      nil,
	"internal/coexist":    {"github.com/bmatcuk/doublestar/v4", "github.com/titanous/json5", "go.yaml.in/yaml/v3"},
	"internal/policy":     {"github.com/package-url/packageurl-go"},
	"internal/patch":      {"github.com/google/osv-scalibr/semantic"},
	"internal/plan":       {"github.com/google/go-containerregistry/pkg/v1"},
	"internal/dockerfile": frontend,
	"internal/schedule":   {"github.com/netresearch/go-cron"},
	"internal/pin":        {"github.com/distribution/reference", "github.com/opencontainers/go-digest", "go.yaml.in/yaml/v3"},
	"internal/pace":       nil,
	"internal/catalog":    {"os", "github.com/BurntSushi/toml", "github.com/dustin/go-humanize", "github.com/google/go-containerregistry/pkg/name"}, // Load reads the file it is named
}

// effectful is the part of the standard library that is not harmless.
var effectful = []string{"net", "net/http/...", "net/rpc/...", "net/smtp", "os", "os/...", "io/fs", "io/ioutil", "database/sql/...", "context", "log", "log/slog", "syscall", "plugin",
	"crypto/rand", "math/rand/...", "runtime/...", "testing/...", "unsafe"}

// clock are the functions of package time that ask or use a clock: pure packages are given now.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// effects are the packages that change or watch the world. They hand values to internal/rollout and never to each
// other; implementations below them may import the contract above.
var effects = []string{"internal/build", "internal/watch", "internal/promote", "internal/notify", "internal/registry", "internal/scan", "internal/advisory", "internal/sign"}

func TestHomes(t *testing.T) {
	for _, mistake := range astray(packages(t)) {
		t.Error(mistake)
	}
}

// astray says who imports what has another home.
func astray(all []listed) (mistakes []string) {
	for _, p := range all {
		for _, r := range homes {
			for _, imported := range p.Imports {
				if matches(imported, r.imports) && !matches(p.path(), r.homes) {
					mistakes = append(mistakes, fmt.Sprintf("%s imports %s: %s", p.path(), imported, r.why))
				}
			}
			for _, imported := range p.tests() {
				if matches(imported, r.imports) && !matches(p.path(), slices.Concat(r.homes, r.tests)) {
					mistakes = append(mistakes, fmt.Sprintf("the tests of %s import %s: %s", p.path(), imported, r.why))
				}
			}
		}
	}
	return mistakes
}

// TestAstray makes sure that TestHomes can fail.
func TestAstray(t *testing.T) {
	const client, github = "github.com/moby/buildkit/client", "github.com/google/go-github/v57/github"
	for _, c := range []struct {
		name string
		p    listed
		want string
	}{
		{"at home", listed{ImportPath: module + "internal/build/buildkit", Imports: []string{client}}, ""},
		{"below home", listed{ImportPath: module + "internal/build/buildkit/x", TestImports: []string{client}}, ""},
		{"above home", listed{ImportPath: module + "internal/build", Imports: []string{client}}, "internal/build imports " + client + ": " + homes[0].why},
		{"beside home", listed{ImportPath: module + "internal/rollout", Imports: []string{client}}, "internal/rollout imports " + client + ": " + homes[0].why},
		{"a command", listed{ImportPath: module + "cmd/rebuilder", Imports: []string{client}}, "cmd/rebuilder imports " + client + ": " + homes[0].why},
		{"a test", listed{ImportPath: module + "internal/e2e", XTestImports: []string{client}}, "the tests of internal/e2e import " + client + ": " + homes[0].why},
		{"a test that may", listed{ImportPath: module + "internal/e2e", XTestImports: []string{github}}, ""},
		{"only a test may", listed{ImportPath: module + "internal/e2e", Imports: []string{github}}, "internal/e2e imports " + github + ": " + homes[1].why},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(astray([]listed{c.p}), "\n"); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
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
				case !ok && (thirdParty(imported) || matches(imported, effectful)) && !slices.Contains(pure[at], imported):
					mistakes = append(mistakes, fmt.Sprintf("%s is pure and reaches %s: %s", path, imported, ways[at]))
				}
			}
		}
	}
	return mistakes
}

// thirdParty says that a package is neither ours nor of the standard library, whose paths begin with no host's name.
func thirdParty(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".")
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
		{"what another is trusted with", []listed{pkg("internal/plan", "github.com/BurntSushi/toml")}, "internal/plan is pure and reaches github.com/BurntSushi/toml: internal/plan"},
		{"somebody else's", []listed{pkg("internal/graph", "golang.org/x/sys/unix")}, "internal/graph is pure and reaches golang.org/x/sys/unix: internal/graph"},
		{"more of a module than is harmless", []listed{pkg("internal/dockerfile", "github.com/moby/buildkit/client")}, "internal/dockerfile is pure and reaches github.com/moby/buildkit/client: internal/dockerfile"},
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

// TestPurePackagesAskNoClock reads the pure packages' sources: an import does not say what of package time is used.
func TestPurePackagesAskNoClock(t *testing.T) {
	for _, p := range packages(t) {
		if _, ok := pure[p.path()]; !ok {
			continue
		}
		for _, name := range p.GoFiles {
			file := filepath.Join(p.Dir, name)
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if p.path() == "internal/catalog" && name == "load.go" {
				continue // Load reads a file and the clock: how long an exception may last is counted from now
			}
			for _, mistake := range asksClock(t, name, string(src)) {
				t.Errorf("%s: %s", p.path(), mistake)
			}
		}
	}
}

// asksClock lists where a file names a function of the clock.
func asksClock(t *testing.T, name, src string) (mistakes []string) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	called := ""
	for _, i := range f.Imports {
		if i.Path.Value == `"time"` {
			if called = "time"; i.Name != nil {
				called = i.Name.Name
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && called != "" && x.Name == called && slices.Contains(clock, sel.Sel.Name) {
				mistakes = append(mistakes, fmt.Sprintf("%s uses time.%s: it is given now", fset.Position(sel.Pos()), sel.Sel.Name))
			}
		}
		return true
	})
	return mistakes
}

func TestAsksClock(t *testing.T) {
	for src, want := range map[string]string{
		"package p\nimport \"time\"\nvar d time.Duration = time.Hour\nfunc f(now time.Time) bool { return now.After(now) }":            "",
		"package p\nimport \"time\"\nfunc f() time.Time { return time.Now() }":                                                         "p.go:3:29 uses time.Now: it is given now",
		"package p\nimport x \"time\"\nvar now = x.Now":                                                                                "p.go:3:11 uses time.Now: it is given now",
		"package p\nimport \"time\"\nfunc f(t time.Time) time.Duration { return time.Since(t) }\nfunc g() { time.Sleep(time.Second) }": "p.go:3:44 uses time.Since: it is given now\np.go:4:12 uses time.Sleep: it is given now",
	} {
		if got := strings.Join(asksClock(t, "p.go", src), "\n"); got != want {
			t.Errorf("%s\ngot %q, want %q", src, got, want)
		}
	}
}

// TestLeaves holds the packages to what design and ARCHITECTURE.md draw: these import none of ours.
func TestLeaves(t *testing.T) {
	joined := map[string][]string{
		"internal/catalog": {module + "internal/schedule", module + "internal/pace"}, // a schedule is right or wrong in one place, and a wave is one thing
		"internal/policy":  {module + "internal/patch"},                              // so is the order of versions
	}
	leaves := []string{"internal/catalog", "internal/dockerfile", "internal/graph", "internal/inventory", "internal/build", "internal/registry", "internal/notify", "internal/patch", "internal/policy", "internal/schedule"}
	for _, p := range packages(t) {
		if !slices.Contains(leaves, p.path()) {
			continue
		}
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, module) && !slices.Contains(joined[p.path()], imported) {
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
	ImportPath, Dir                    string
	GoFiles, IgnoredGoFiles            []string
	Imports, TestImports, XTestImports []string
}

func (p listed) path() string { return strings.TrimPrefix(p.ImportPath, module) }

func (p listed) tests() []string { return slices.Concat(p.TestImports, p.XTestImports) }

// packages lists this module. Packages that do not compile are listed all the same: their own tests say so.
func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Dir,GoFiles,IgnoredGoFiles,Imports,TestImports,XTestImports", module+"...")
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
		p.unhide(t)
		all = append(all, p)
	}
}

// unhide adds what is imported by files that are not built here, being for another system or under a build tag.
func (p *listed) unhide(t *testing.T) {
	t.Helper()
	for _, name := range p.IgnoredGoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(name, "_test.go") {
				p.TestImports = append(p.TestImports, path)
			} else {
				p.Imports = append(p.Imports, path)
			}
		}
	}
}

func TestUnhide(t *testing.T) {
	dir := t.TempDir()
	for name, src := range map[string]string{"x_plan9.go": "package x\nimport \"os\"\n", "y_test.go": "//go:build never\n\npackage x\nimport q \"net\"\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := listed{Dir: dir, IgnoredGoFiles: []string{"x_plan9.go", "y_test.go"}, Imports: []string{"fmt"}}
	p.unhide(t)
	if !slices.Equal(p.Imports, []string{"fmt", "os"}) || !slices.Equal(p.TestImports, []string{"net"}) {
		t.Errorf("%+v", p)
	}
}
