package observe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"rebuilder/internal/catalog"
)

// names finds the image of the catalog that a reference means, however the reference is spelt: "debian:12" and
// "docker.io/library/debian:12" are one.
type names map[string][]named // by repository

type named struct {
	name string // in the graph
	tag  string
	base bool
}

func namesOf(c *catalog.Catalog) names {
	n := names{}
	for _, b := range c.Bases {
		n.add(b.Reference(), b.Name, true)
	}
	for _, u := range c.Upstreams {
		n.add(u.Image, u.Name, false)
	}
	return n
}

func (n names) add(ref, image string, base bool) {
	if repo, tag, ok := parts(ref); ok {
		n[repo] = append(n[repo], named{image, tag, base})
	}
}

// find returns the image that a reference means. One that names the repository of bases and none of their channels is a
// stray: it says in words what is wrong with it, for it follows nothing that we move.
func (n names) find(ref reference) (image named, stray string, ok bool) {
	repo, tag, ok := parts(ref.name)
	if !ok || len(n[repo]) == 0 {
		return named{}, "", false
	}
	at := n[repo]
	byDigest := ref.digest != "" && !tagged(ref.name)
	if byDigest && len(at) == 1 {
		return at[0], "", true // by digest alone: there is only one that it can be
	}
	if i := slices.IndexFunc(at, func(o named) bool { return o.tag == tag }); i >= 0 {
		return at[i], "", true
	}
	var bases []string
	for _, o := range at {
		if o.base {
			bases = append(bases, o.name)
		}
	}
	if len(bases) == 0 {
		return named{}, "", false
	}
	by := "tag " + tag
	if byDigest {
		by = "digest alone"
	}
	return named{}, fmt.Sprintf("%s by %s (%s:%d)", strings.Join(bases, " or "), by, ref.file, ref.line), false
}

// parts are the repository in full and the tag of a reference without digest; no tag means "latest".
func parts(ref string) (repo, tag string, ok bool) {
	ref, _ = splitDigest(ref)
	t, err := name.NewTag(ref, name.WeakValidation)
	if err != nil {
		return "", "", false
	}
	return t.Context().Name(), t.TagStr(), true
}

// tagged says that a reference without digest has a tag; the port of a registry is none.
func tagged(ref string) bool {
	i := strings.LastIndex(ref, ":")
	return i >= 0 && !strings.Contains(ref[i:], "/")
}

func splitDigest(ref string) (name, digest string) {
	name, digest, _ = strings.Cut(ref, "@")
	return name, digest
}

// withDigest names an image of the same repository by digest.
func withDigest(ref string, d fmt.Stringer) string {
	ref, _ = splitDigest(ref)
	if tagged(ref) {
		ref = ref[:strings.LastIndex(ref, ":")]
	}
	return ref + "@" + d.String()
}
