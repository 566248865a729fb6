package watch

import (
	"rebuilder/internal/inventory"
	"rebuilder/internal/patch"
)

// Patches lists, for each installed package, the version that the image's package manager would upgrade it to, were it
// asked to now. indexes are those of the image's own repositories. The result is in the order of inv.Packages.
//
// It follows apt's default policy: repositories have priority 500, those marked NotAutomatic 1, or 100 when they are
// ButAutomaticUpgrades; what is installed has 100 or that of the repositories which offer it. The highest priority
// wins, then the highest version, and never an older one. Pinning in /etc/apt/preferences is not looked at.
//
// Held packages are listed, with Held set. Packages with a version that is none are left out.
func Patches(inv *inventory.Inventory, indexes []*Index) []Patch {
	native := inventory.DebianArchitecture(inv.Platform)
	var patches []Patch
	for _, p := range inv.Packages {
		best, ok := candidate(p, native, indexes)
		if !ok {
			continue
		}
		patches = append(patches, Patch{
			Type: p.Type, Package: p.Name, Architecture: p.Architecture, Source: best.source, From: p.Version, To: best.version,
			Repository: best.index.offeredBy(best.offer), Held: p.Held, PublishedAt: best.published,
		})
	}
	return patches
}

type ranked struct {
	offer
	index    *Index
	priority int
}

const installedPriority = 100

func candidate(p inventory.Package, native string, indexes []*Index) (best ranked, ok bool) {
	installed := installedPriority
	for _, ix := range indexes {
		for _, o := range ix.packages[p.Name] {
			if !fits(p.Architecture, o.arch, native) {
				continue
			}
			newer, err := patch.Compare(p.Type, o.version, p.Version)
			switch {
			case err != nil || newer < 0:
			case newer == 0:
				installed = max(installed, ix.priority())
			default:
				if c := (ranked{o, ix, ix.priority()}); !ok || c.beats(best) {
					best, ok = c, true
				}
			}
		}
	}
	return best, ok && best.priority >= installed
}

func (r ranked) beats(o ranked) bool {
	if r.priority != o.priority {
		return r.priority > o.priority
	}
	newer, err := patch.Compare(r.index.Repository.Type, r.version, o.version)
	return err == nil && newer > 0
}

func (ix *Index) priority() int {
	switch {
	case ix.NotAutomatic && ix.ButAutomaticUpgrades:
		return 100
	case ix.NotAutomatic:
		return 1
	}
	return 500
}

func (ix *Index) offeredBy(o offer) string {
	repo := ix.Repository
	repo.Components = nil
	if o.component != "" {
		repo.Components = []string{o.component}
	}
	return repositoryName(repo)
}

// fits says whether an offer may replace an installed package: the same architecture, or one of the two is "all".
func fits(installed, offered, native string) bool {
	return offered == installed || offered == "all" || installed == "all" && offered == native
}
