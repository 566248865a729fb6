package discover

import (
	"fmt"
	"slices"
	"strings"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/store"
)

// Nodes returns what was observed and nobody declared as nodes of the graph, and what it stands on as edges from images of
// the catalog. What is gone, what the catalog declares, and what is known to have nothing to do with the catalog is left
// out; what is unknown is not. It is pure.
func Nodes(rows []store.Observed, c *catalog.Catalog) (nodes []graph.Node, edges []graph.Edge) {
	d := declaredBy(c)
	taken := map[string]bool{}
	for _, row := range rows {
		parents := slices.DeleteFunc(slices.Clone(row.Parents), func(p store.ObservedParent) bool { return !d.image[p.Name] || d.file[fileKey(row.Repository, p.File)] })
		if row.GoneAt > 0 || d.has(row) || len(parents) == 0 && (row.Unknown == "" || d.repository[strings.ToLower(row.Repository)]) {
			continue
		}
		name := row.Name
		for d.image[name] || taken[name] {
			name += " (observed)"
		}
		taken[name] = true
		nodes = append(nodes, graph.Node{Name: name, Kind: graph.Observed})
		for _, p := range parents {
			e := graph.Edge{Parent: p.Name, Child: name, Kind: graph.EdgeKind(p.Kind), Evidence: graph.Evidence(p.Evidence), Platform: p.Platform, Digest: p.Digest}
			if p.File != "" {
				e.Where = fmt.Sprintf("%s:%d", p.File, p.Line)
			}
			edges = append(edges, e)
		}
	}
	return nodes, edges
}

// declared is what a catalog has.
type declared struct {
	image      map[string]bool // by name in the graph
	reference  map[string]bool // in full
	own        map[string]bool // repositories of bases, in full: their releases and channels are ours
	repository map[string]bool // of applications, in small letters
	file       map[string]bool // Dockerfiles of applications
}

func declaredBy(c *catalog.Catalog) declared {
	d := declared{map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}}
	refer := func(name, ref string) {
		d.image[name] = true
		if repo, tag, ok := parts(ref); ok {
			d.reference[repo+":"+tag] = true
		}
	}
	for _, b := range c.Bases {
		refer(b.Name, b.Reference())
		repo, _, _ := parts(b.Reference())
		d.own[repo] = true
	}
	for _, u := range c.Upstreams {
		refer(u.Name, u.Image)
	}
	for _, a := range c.Applications {
		d.repository[strings.ToLower(a.Repository)] = true
		for _, i := range a.Images {
			refer(i.Name, i.Image)
			d.file[fileKey(a.Repository, i.Dockerfile)] = true
		}
	}
	return d
}

func fileKey(repository, file string) string { return strings.ToLower(repository) + " " + file }

// has says that an image is declared. Of a repository it is its Dockerfiles that are.
func (d declared) has(row store.Observed) bool {
	if row.Kind != store.ObservedImage {
		return false
	}
	repo, tag, ok := parts(row.Name)
	return ok && (d.own[repo] || d.reference[repo+":"+tag])
}
