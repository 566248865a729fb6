package catalog

import (
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
)

// claims says which table was the first to use a name or a reference.
type claims map[string]claim

type claim struct {
	by   string // "base"
	line int
}

// sortedNames are the names of the graph that were claimed.
func (r *reader) sortedNames() []string { return slices.Sorted(maps.Keys(r.names)) }

// claimName notes a name of the graph that is used twice.
func (r *reader) claimName(t *table, key, wanted string, line int) {
	if wanted == "" {
		return
	}
	first, taken := r.names[wanted]
	if !taken {
		r.names[wanted] = claim{t.path, line}
		return
	}
	hint := "give one of them another name"
	if first.by == "upstream" && t.path == "base" {
		hint = `a base is another image than the upstream it stands on: call that one "upstream/..." and this one "base/..."`
	}
	if t.has("name") {
		key = "name"
	} else {
		hint = "give this one a name of its own: name = " + quoted(wanted+"-2")
	}
	t.wrong(key, hint, ": the name %q is taken by the %s on line %d", wanted, first.by, first.line)
}

// claimReference notes an image reference that is used twice, however it is spelt.
func (r *reader) claimReference(t *table, image string, line int) {
	ref, err := name.ParseReference(image)
	if err != nil {
		return // noted where it was read
	}
	first, taken := r.refs[ref.Name()]
	if !taken {
		r.refs[ref.Name()] = claim{t.path, line}
		return
	}
	t.wrong("image", "each image has a reference of its own; several bases may share a repository on different channels",
		": %s is already the image of the %s on line %d", image, first.by, first.line)
}
