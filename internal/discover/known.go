package discover

import (
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"rebuilder/internal/catalog"
)

// known finds the image of the catalog that a reference means, however it is spelt.
type known struct {
	byRepository map[string][]named
	repository   map[string]string // of an image of the catalog
	bases        map[string]bool
}

type named struct{ name, tag string }

func knownOf(c *catalog.Catalog) known {
	k := known{map[string][]named{}, map[string]string{}, map[string]bool{}}
	add := func(image, ref string) {
		if repo, tag, ok := parts(ref); ok {
			k.byRepository[repo] = append(k.byRepository[repo], named{image, tag})
			k.repository[image] = repo
		}
	}
	for _, b := range c.Bases {
		add(b.Name, b.Reference())
		k.bases[b.Name] = true
	}
	for _, u := range c.Upstreams {
		add(u.Name, u.Image)
	}
	return k
}

// find returns the image that a reference means. One by another tag than the channel's, or by digest alone, still stands on
// it when the repository holds no other image of the catalog; it is then not exact.
func (k known) find(ref string) (image string, exact, ok bool) {
	repo, tag, ok := parts(ref)
	if !ok || len(k.byRepository[repo]) == 0 {
		return "", false, false
	}
	at := k.byRepository[repo]
	if i := slices.IndexFunc(at, func(n named) bool { return n.tag == tag }); i >= 0 {
		return at[i].name, true, true
	}
	return at[0].name, false, len(at) == 1
}

// parts are the repository in full and the tag of a reference: empty when it is by digest alone, "latest" when it says
// nothing.
func parts(ref string) (repo, tag string, ok bool) {
	spelt, _, byDigest := strings.Cut(ref, "@")
	t, err := name.NewTag(spelt, name.WeakValidation)
	if err != nil {
		return "", "", false
	}
	if tag = t.TagStr(); byDigest && !strings.HasSuffix(spelt, ":"+tag) {
		tag = ""
	}
	return t.Context().Name(), tag, true
}
