package main

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"rebuilder/internal/catalog"
	"rebuilder/internal/demo"
)

//go:embed tree
var treeFiles embed.FS

// tree is the catalog of treeFiles, as a world has it: five bases, of which each but the first stands on another.
type tree struct {
	images []*treeImage // parents first
}

type treeImage struct {
	name     string // "base/debian"
	target   string // "debian": a name without what some programs do not like in one
	recipe   string // its Dockerfile
	from     string // what the recipe stands on, as it says
	parent   *treeImage
	children []*treeImage
}

// readTree reads the world's copy of the recipes.
func readTree(w *demo.World) (*tree, error) {
	c, err := catalog.Load(w.Catalog)
	if err != nil {
		return nil, err
	}
	t := &tree{}
	byReference := map[string]*treeImage{}
	for _, b := range c.Bases {
		recipe, err := os.ReadFile(filepath.Join(b.Context, b.Dockerfile))
		if err != nil {
			return nil, err
		}
		i := &treeImage{name: b.Name, target: strings.TrimPrefix(b.Name, "base/"), recipe: string(recipe)}
		first, _, _ := strings.Cut(i.recipe, "\n")
		var ok bool
		if i.from, ok = strings.CutPrefix(first, "FROM "); !ok {
			return nil, fmt.Errorf("the recipe of %s does not begin with FROM", i.name)
		}
		if i.parent = byReference[i.from]; i.parent != nil {
			i.parent.children = append(i.parent.children, i)
		}
		byReference[b.Reference()] = i
		t.images = append(t.images, i)
	}
	return t, nil
}

// roots are the images that stand on none of the others.
func (t *tree) roots() (out []*treeImage) {
	for _, i := range t.images {
		if i.parent == nil {
			out = append(out, i)
		}
	}
	return out
}

// leaves are the images that no other stands on.
func (t *tree) leaves() (out []*treeImage) {
	for _, i := range t.images {
		if len(i.children) == 0 {
			out = append(out, i)
		}
	}
	return out
}
