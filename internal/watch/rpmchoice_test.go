package watch

import (
	"fmt"
	"strings"
	"testing"

	"rebuilder/internal/inventory"
)

// rpmIndex is an index of offers "name version [architecture]"; lines that begin with "+" are artifacts of modules,
// "+nodejs:18 name version", and with "=" defaults.
func rpmIndex(id string, priority int, lines ...string) *Index {
	ix := &Index{
		Repository: inventory.Repository{Type: inventory.RPM, ID: id, URI: "http://h/" + id, Architectures: []string{"x86_64"}, Priority: priority},
		packages:   map[string][]offer{},
	}
	for _, line := range lines {
		f := append(strings.Fields(line), "x86_64", "x86_64")
		name, o := f[0], offer{version: f[1], arch: f[2], source: f[0]}
		if module, ok := strings.CutPrefix(f[0], "+"); ok {
			name, o = moduleArtifact+f[1], offer{version: f[2], arch: "x86_64", module: module}
		}
		if module, ok := strings.CutPrefix(f[0], "="); ok {
			name, o = moduleDefault, offer{module: module}
		}
		ix.packages[name] = append(ix.packages[name], o)
	}
	return ix
}

func hotfixes(ix *Index) *Index {
	ix.Repository.ModuleHotfixes = true
	return ix
}

// pinned are rules "rule: name name", for one repository with "rule @repository: name".
func pinned(rules ...string) []inventory.Pin {
	var pins []inventory.Pin
	for _, r := range rules {
		rule, names, _ := strings.Cut(r, ": ")
		rule, repository, _ := strings.Cut(rule, " @")
		pins = append(pins, inventory.Pin{Type: inventory.RPM, Rule: rule, Packages: strings.Fields(names), Repository: repository})
	}
	return pins
}

func TestDNFChoice(t *testing.T) {
	node := []string{"+nodejs:18 node 18.2-1", "+nodejs:20 node 20.1-1", "node 18.2-1", "node 20.1-1", "node 30-1"}
	for _, c := range []struct {
		name      string
		installed string
		indexes   []*Index
		pins      []inventory.Pin
		want      string // "version repository [held]"
	}{
		{"nothing", "a 1-1", nil, nil, ""},
		{"the same", "a 1-1", []*Index{rpmIndex("r", 99, "a 1-1")}, nil, ""},
		{"older", "a 2-1", []*Index{rpmIndex("r", 99, "a 1-1")}, nil, ""},
		{"the highest", "a 1-1", []*Index{rpmIndex("r", 99, "a 1-2", "a 1-10", "a 1-9")}, nil, "1-10 r"},
		{"of several repositories", "a 1-1", []*Index{rpmIndex("r", 99, "a 1-2"), rpmIndex("s", 99, "a 1-3")}, nil, "1-3 s"},
		{"epoch", "a 9-1", []*Index{rpmIndex("r", 99, "a 1:1-1", "a 10-1")}, nil, "1:1-1 r"},
		{"tilde and caret", "a 1.0~rc1-1", []*Index{rpmIndex("r", 99, "a 1.0-1", "a 1.0^git1-1")}, nil, "1.0^git1-1 r"},
		{"another architecture", "a 1-1", []*Index{rpmIndex("r", 99, "a 2-1 i686", "a 1-2 x86_64")}, nil, "1-2 r"},
		{"becomes noarch", "a 1-1", []*Index{rpmIndex("r", 99, "a 2-1 noarch")}, nil, "2-1 r"},
		{"was noarch", "a 1-1 noarch", []*Index{rpmIndex("r", 99, "a 3-1 i686", "a 2-1 x86_64")}, nil, "2-1 r"},
		{"no version", "a 1-1", []*Index{rpmIndex("r", 99, "a "+strings.Repeat("1", 300), "a 2-1")}, nil, "2-1 r"},
		{"least priority first, though lower", "a 1-1", []*Index{rpmIndex("r", 99, "a 3-1"), rpmIndex("s", 10, "a 2-1")}, nil, "2-1 s"},
		{"least priority has none newer", "a 2-1", []*Index{rpmIndex("r", 99, "a 3-1"), rpmIndex("s", 10, "a 1-1")}, nil, ""},
		{"least priority has another", "a 1-1", []*Index{rpmIndex("r", 99, "a 3-1"), rpmIndex("s", 10, "b 9-1")}, nil, "3-1 r"},

		{"excluded", "a 1-1", []*Index{rpmIndex("r", 99, "a 2-1")}, pinned("exclude: a"), "2-1 r held"},
		{"excluded by pattern", "a 1-1", []*Index{rpmIndex("r", 99, "a 2-1")}, pinned("exclude: b a*"), "2-1 r held"},
		{"excluded version", "a 1-1", []*Index{rpmIndex("r", 99, "a 2-1", "a 3-1")}, pinned("exclude: a-0:3-*"), "2-1 r"},
		{"excluded architecture", "a 1-1", []*Index{rpmIndex("r", 99, "a 2-1")}, pinned("exclude: a.i686 *.aarch64"), "2-1 r"},
		{"excluded in one repository", "a 1-1", []*Index{rpmIndex("r", 99, "a 2-1"), rpmIndex("s", 99, "a 3-1")}, pinned("exclude @s: a"), "2-1 r"},
		{"excluded in the one of least priority", "a 1-1", []*Index{rpmIndex("r", 99, "a 3-1"), rpmIndex("s", 10, "a 2-1")}, pinned("exclude @s: a"), "3-1 r"},
		{"included", "a 1-1", []*Index{rpmIndex("r", 99, "a 2-1")}, pinned("include @r: a b"), "2-1 r"},
		{"not included", "a 1-1", []*Index{rpmIndex("r", 99, "a 2-1")}, pinned("include @r: b"), "2-1 r held"},
		{"not included elsewhere", "a 1-1", []*Index{rpmIndex("r", 99, "a 2-1")}, pinned("include @s: b"), "2-1 r"},
		{"included in one of two lists", "a 1-1", []*Index{rpmIndex("r", 99, "a 2-1")}, pinned("include @r: a", "include: b"), "2-1 r"},
		{"not included in all", "a 1-1", []*Index{rpmIndex("r", 99, "a 2-1")}, pinned("include @s: a", "include: b"), "2-1 r held"},
		{"locked", "a 1-1", []*Index{rpmIndex("r", 99, "a 1-1", "a 2-1")}, pinned("lock 1-1: a"), "2-1 r held"},
		{"locked to a newer one", "a 1-1", []*Index{rpmIndex("r", 99, "a 2-1", "a 3-1")}, pinned("lock 2-1: a"), "2-1 r"},
		{"locked to a series", "a 1.1-1", []*Index{rpmIndex("r", 99, "a 1.2-1", "a 2.1-1")}, pinned("lock 1.*-*: a"), "1.2-1 r"},
		{"two locks", "a 1-1", []*Index{rpmIndex("r", 99, "a 2-1", "a 3-1")}, pinned("lock 1-1: a", "lock 2-1: a"), "2-1 r"},
		{"another is locked", "a 1-1", []*Index{rpmIndex("r", 99, "a 2-1")}, pinned("lock 1-1: b"), "2-1 r"},
		{"rules of others", "a 1-1", []*Index{rpmIndex("r", 99, "a 2-1")}, []inventory.Pin{{Type: inventory.APK, Packages: []string{"a"}, Rule: "exclude"}}, "2-1 r"},

		{"enabled stream", "node 18.1-1", []*Index{rpmIndex("r", 99, node...)}, pinned("stream 18: nodejs"), "18.2-1 r"},
		{"default stream", "node 18.1-1", []*Index{rpmIndex("r", 99, append(node, "=nodejs:20")...)}, nil, "20.1-1 r"},
		{"enabled before default", "node 18.1-1", []*Index{rpmIndex("r", 99, append(node, "=nodejs:20")...)}, pinned("stream 18: nodejs"), "18.2-1 r"},
		{"no stream: builds of none", "node 18.1-1", []*Index{rpmIndex("r", 99, node...)}, nil, "30-1 r"},
		{"disabled", "node 18.1-1", []*Index{rpmIndex("r", 99, append(node, "=nodejs:20")...)}, pinned("module disabled: nodejs"), "30-1 r"},
		{"modules hide other repositories", "node 18.1-1", []*Index{rpmIndex("r", 99, node...), rpmIndex("s", 99, "node 40-1")}, pinned("stream 18: nodejs"), "18.2-1 r"},
		{"hot fixes are not hidden", "node 18.1-1", []*Index{rpmIndex("r", 99, node...), hotfixes(rpmIndex("s", 99, "node 40-1"))}, pinned("stream 18: nodejs"), "40-1 s"},
		{"a build of two streams", "node 18.1-1", []*Index{rpmIndex("r", 99, append(node, "+nodejs:18 node 20.1-1")...)}, pinned("stream 18: nodejs"), "20.1-1 r"},
		{"other packages go free", "a 1-1", []*Index{rpmIndex("r", 99, append(node, "a 2-1")...)}, pinned("stream 18: nodejs"), "2-1 r"},
		{"another stream is not held back", "node 18.2-1", []*Index{rpmIndex("r", 99, node...)}, pinned("stream 18: nodejs"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inv := rpmImage(nil, c.installed)
			inv.Pins = c.pins
			got := ""
			if p := Patches(inv, c.indexes); len(p) > 0 {
				got = p[0].To + " " + strings.TrimSpace(strings.TrimPrefix(p[0].Repository, "http://h/"))
				if p[0].Held {
					got += " held"
				}
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// createrepo's modules.yaml is read with the packages, and dnf's choice follows it.
func TestRPMModulesOfARepository(t *testing.T) {
	w := newRPMWorld(t)
	const modules = "---\ndocument: modulemd\nversion: 2\ndata:\n  name: suite\n  stream: %s\n  version: 1\n  context: c0ffee\n  arch: x86_64\n  summary: s\n  description: d\n  license: {module: [MIT]}\n  artifacts:\n    rpms:\n    - lib-0:%s-1.x86_64\n...\n"
	w.publishRPM(rpmSuite{modules: fmt.Sprintf(modules, "one", "1.1~rc1") + fmt.Sprintf(modules, "two", "1.1")}, "lib 1.0", "lib 1.1~rc1", "lib 1.1")
	ix := state(t, w.watcher(t.TempDir()), w.rpmRepo())
	for rule, want := range map[string]string{"stream one: suite": "1.1~rc1-1", "stream two: suite": "1.1-1", "stream three: suite": ""} {
		inv := rpmImage(nil, "lib 1.0-1")
		inv.Pins = pinned(rule)
		got := ""
		if p := Patches(inv, []*Index{ix}); len(p) > 0 {
			got = p[0].To
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", rule, got, want)
		}
	}
}
