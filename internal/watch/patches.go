package watch

import (
	"rebuilder/internal/inventory"
	"rebuilder/internal/patch"
)

// Patches lists, for each installed package, the version that the image's package manager would upgrade it to, were it
// asked to now, by that package manager's own rules. indexes are those of the image's own repositories. The result is in
// the order of inv.Packages.
//
// Newer versions that the image's own rules keep away (a hold, a pin, a lock) are listed with Held set. Packages with a
// version that is none are left out.
func Patches(inv *inventory.Inventory, indexes []*Index) []Patch {
	choose := choosers(inv, indexes)
	var patches []Patch
	for _, p := range inv.Packages {
		if found, ok := newer(p, choose); ok {
			patches = append(patches, found)
		}
	}
	return patches
}

// choosers are those of the families that an image has packages of.
func choosers(inv *inventory.Inventory, indexes []*Index) map[string]chooser {
	all := map[string]chooser{}
	for _, p := range inv.Packages {
		if _, ok := all[p.Type]; ok {
			continue
		}
		f, ok := familyOf(p.Type)
		if !ok {
			continue
		}
		var own []*Index
		for _, ix := range indexes {
			if of, _ := familyOf(ix.Repository.Type); of == f {
				own = append(own, ix)
			}
		}
		all[p.Type] = f.chooser(inv, own)
	}
	return all
}

func newer(p inventory.Package, choose map[string]chooser) (Patch, bool) {
	c := choose[p.Type]
	if c == nil {
		return Patch{}, false
	}
	best, held, ok := c(p)
	if !ok {
		return Patch{}, false
	}
	return Patch{
		Type: p.Type, Package: p.Name, Architecture: p.Architecture, Source: best.source, From: p.Version, To: best.version,
		Repository: best.index.offeredBy(best.offer), Held: held || p.Held, PublishedAt: best.published,
	}, true
}

// beats says that r is to be preferred: the higher priority, then the higher version.
func (r ranked) beats(o ranked) bool {
	if r.priority != o.priority {
		return r.priority > o.priority
	}
	newer, err := patch.Compare(r.index.Repository.Type, r.version, o.version)
	return err == nil && newer > 0
}

func (ix *Index) offeredBy(o offer) string {
	repo := ix.Repository
	repo.Components = nil
	if o.component != "" {
		repo.Components = []string{o.component}
	}
	return repositoryName(repo)
}
