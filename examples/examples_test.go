package examples

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rebuilder/internal/catalog"
	"rebuilder/internal/dockerfile"
	"rebuilder/internal/graph"
)

// root is where the project's own catalog.toml is. Its applications are those of the examples.
const root = ".."

// apps says where the examples keep what would stand in the root of an application's repository.
func apps(dir string, a catalog.Application) string {
	name := filepath.Base(a.Repository)
	if dir != root {
		return filepath.Join(dir, "apps", name)
	}
	found, err := filepath.Glob(filepath.Join("*", "apps", name))
	if err != nil || len(found) == 0 {
		return name // which is not there
	}
	return found[0]
}

// TestExamplesLoad loads each example as a stranger would who copied it, and draws its graph from the Dockerfiles: every
// image must stand on something that the catalog knows, as its README shows.
func TestExamplesLoad(t *testing.T) {
	for dir, want := range map[string]string{
		"alpine-node": `upstream/alpine
└─ base/alpine
   ├─ base/node
   │  ├─ api
   │  ├─ docs  (builds-with)
   │  └─ web
   └─ docs
`,
		"centos-java": `upstream/centos
└─ base/centos
   ├─ archive
   ├─ base/java-17
   │  ├─ archive  (builds-with)
   │  └─ shop/shop-api
   └─ base/java-21
      ├─ ledger
      └─ shop/jobs
`,
		root: `upstream/alpine
└─ base/alpine
   ├─ base/node
   │  ├─ docs  (builds-with)
   │  └─ web
   └─ docs
upstream/centos
└─ base/centos
   └─ base/java-21
      └─ ledger
`,
	} {
		t.Run(dir, func(t *testing.T) {
			c, err := catalog.Load(filepath.Join(dir, "catalog.toml"))
			if err != nil {
				t.Fatal(err)
			}
			if got := draw(t, dir, c).Tree("", nil); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// draw makes the graph that the Dockerfiles of an example say.
func draw(t *testing.T, dir string, c *catalog.Catalog) *graph.Graph {
	t.Helper()
	known := map[string]string{}
	var nodes []graph.Node
	var edges []graph.Edge
	for _, u := range c.Upstreams {
		known[u.Image] = u.Name
		nodes = append(nodes, graph.Node{Name: u.Name, Kind: graph.Upstream})
	}
	for _, b := range c.Bases {
		known[b.Reference()] = b.Name
		nodes = append(nodes, graph.Node{Name: b.Name, Kind: graph.Base})
	}
	stand := func(child, file, target string, args map[string]string) {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := dockerfile.Parse(file, src, args)
		if err != nil {
			t.Fatal(err)
		}
		used, err := f.Uses(target)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range used {
			if u.Use == dockerfile.Frontend || u.Use == dockerfile.Unreachable {
				continue
			}
			parent, ok := known[u.Name]
			if !ok {
				t.Errorf("%s:%d: the catalog does not know %s", file, u.Line, u.Name)
				continue
			}
			if !u.Rewritable {
				t.Errorf("%s:%d: %s could not be pinned: %s", file, u.Line, u.Raw, u.Why)
			}
			edges = append(edges, graph.Edge{Parent: parent, Child: child, Kind: graph.EdgeKind(u.Use), Evidence: graph.FromRecipe})
		}
	}
	for _, b := range c.Bases {
		stand(b.Name, filepath.Join(b.Context, b.Dockerfile), b.Target, b.Args)
	}
	for _, a := range c.Applications {
		for _, img := range a.Images {
			nodes = append(nodes, graph.Node{Name: img.Name, Kind: graph.Application})
			stand(img.Name, filepath.Join(apps(dir, a), img.Dockerfile), img.Target, img.Args)
		}
	}
	g, err := graph.New(nodes, edges)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestStrategiesDiffer(t *testing.T) {
	for _, dir := range []string{"alpine-node", "centos-java"} {
		c, err := catalog.Load(filepath.Join(dir, "catalog.toml"))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[catalog.Strategy]bool{}
		for _, a := range c.Applications {
			seen[a.Strategy] = true
		}
		if len(seen) < 2 {
			t.Errorf("%s shows only %v", dir, seen)
		}
	}
}

func TestEmbedded(t *testing.T) {
	for _, dir := range []string{"alpine-node", "centos-java", "demo"} {
		if _, err := fs.Stat(FS, dir+"/README.md"); err != nil {
			t.Error(err)
		}
	}
	src, err := fs.ReadFile(FS, "alpine-node/catalog.toml")
	if err != nil || !strings.Contains(string(src), "upstream/alpine") {
		t.Errorf("the catalog is not embedded: %v", err)
	}
}
