package observe

import (
	"path/filepath"
	"slices"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
)

// Lineage names what an image of the catalog is made from, as the recipes say now: the farthest first, the image itself
// last. It reads Dockerfiles and nothing else, and returns nil when one on the way cannot be read.
func (o *Observer) Lineage(c *catalog.Catalog, name string) []string {
	known := namesOf(c)
	var line []string
	for name != "" && !slices.Contains(line, name) {
		line = append(line, name)
		parent, err := inherited(c, known, name)
		if err != nil {
			return nil
		}
		name = parent
	}
	slices.Reverse(line)
	return line
}

// inherited is the image of the catalog that a base is made from; empty at the end of what the catalog knows.
func inherited(c *catalog.Catalog, known names, name string) (string, error) {
	i := slices.IndexFunc(c.Bases, func(b catalog.Base) bool { return b.Name == name })
	if i < 0 {
		return "", nil
	}
	b := c.Bases[i]
	src, err := readFile(filepath.Join(b.Context, filepath.FromSlash(b.Dockerfile)))
	if err != nil {
		return "", err
	}
	refs, err := references(b, src, nil)
	if err != nil {
		return "", err
	}
	for _, ref := range refs {
		if image, _, ok := known.find(ref); ok && ref.kind == graph.Inherits {
			return image.name, nil
		}
	}
	return "", nil
}
