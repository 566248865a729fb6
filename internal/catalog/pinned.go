package catalog

import (
	"path"
	"path/filepath"
	"strings"
)

// pinned reads the files of an application that name bases and are no Dockerfiles.
func (r *reader) pinned(t *table) []string {
	files, at := t.words("files", "deploy/web.yaml")
	for i, f := range files {
		ext := path.Ext(f)
		switch {
		case !filepath.IsLocal(f) || path.Clean(f) != f || strings.ContainsAny(f, "*?["):
			t.add(at[i], `name each file by its path in the repository: "deploy/web.yaml"`, "%s: %q is no path of a file", t.name, f)
		case ext != ".yaml" && ext != ".yml":
			t.add(at[i], "manifests, kustomizations, values and Compose files go here; dockerfile names the Dockerfile", "%s: %q is no YAML file", t.name, f)
		}
	}
	return files
}
