package watch

import (
	"fmt"

	"github.com/google/osv-scalibr/semantic"

	"rebuilder/internal/inventory"
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
			Package: p.Name, Architecture: p.Architecture, Source: best.source, From: p.Version, To: best.version,
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
			newer, err := compare(o.version, p.Version)
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
	newer, err := compare(r.version, o.version)
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

const maxVersion = 256 // bytes; dpkg's own archives stay far below

// compare orders two Debian versions. It returns an error for what is no version, and never panics: the library
// promises that for Parse only.
func compare(a, b string) (order int, err error) {
	defer func() {
		if r := recover(); r != nil {
			order, err = 0, fmt.Errorf("compare versions %.100q and %.100q: %v", a, b, r)
		}
	}()
	if len(a) > maxVersion || len(b) > maxVersion {
		return 0, fmt.Errorf("version %.100q or %.100q is longer than %d bytes", a, b, maxVersion)
	}
	v, err := semantic.Parse(a, "Debian")
	if err != nil {
		return 0, fmt.Errorf("version %q: %w", a, err)
	}
	return v.CompareStr(b)
}
