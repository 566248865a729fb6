package watch

import (
	"path"
	"slices"
	"strings"

	"rebuilder/internal/inventory"
	"rebuilder/internal/patch"
)

// chooser follows dnf: of what modules, excludes, includes and locks leave, the repository with the least priority that
// has the package at all, and there the highest version, when it is higher than the installed one. What other packages
// demand of a version is not looked at.
func (rpmFamily) chooser(inv *inventory.Inventory, indexes []*Index) chooser {
	d := &dnfChoice{indexes: indexes, modules: readStreams(inv.Pins, indexes), rules: readRules(inv.Pins)}
	return func(p inventory.Package) (best ranked, held, ok bool) {
		if best, ok = d.candidate(p, true); ok || d.rules.none() {
			return best, false, ok
		}
		best, ok = d.candidate(p, false)
		return best, ok, ok
	}
}

// dnfChoice chooses as dnf does.
type dnfChoice struct {
	indexes []*Index
	modules streams
	rules   dnfRules
}

// candidate is what p would be upgraded to, with the image's own rules or without them.
func (d *dnfChoice) candidate(p inventory.Package, ruled bool) (best ranked, ok bool) {
	visible := d.modules.filter(p.Name, d.indexes)
	for _, ix := range d.indexes {
		for _, o := range ix.packages[p.Name] {
			c := ranked{o, ix, -ix.Repository.Priority}
			if !rpmFits(p.Architecture, o.arch, ix.Repository.Architectures) || !visible(ix, o) || ruled && !d.rules.allow(p.Name, c) {
				continue
			}
			if _, err := patch.Compare(inventory.RPM, o.version, p.Version); err == nil && (!ok || c.beats(best)) {
				best, ok = c, true
			}
		}
	}
	if !ok {
		return best, false
	}
	newer, err := patch.Compare(inventory.RPM, best.version, p.Version)
	return best, err == nil && newer > 0
}

// rpmFits says whether an offer may replace an installed package: of the same architecture, or one of the two of none.
func rpmFits(installed, offered string, native []string) bool {
	return offered == installed || offered == "noarch" || installed == "noarch" && slices.Contains(native, offered)
}

// streams says which module streams are active in an image.
type streams struct {
	active map[string]string // by module
}

// readStreams takes the enabled stream of each module, else its default, unless the module is disabled. Where
// repositories disagree on a default, the first counts.
func readStreams(pins []inventory.Pin, indexes []*Index) streams {
	s := streams{active: map[string]string{}}
	for _, p := range pins {
		stream, enabled := strings.CutPrefix(p.Rule, inventory.RuleStream)
		if p.Type != inventory.RPM || len(p.Packages) == 0 || !enabled && p.Rule != inventory.RuleDisabled {
			continue
		}
		if !enabled {
			stream = "" // no stream has this name
		}
		s.active[p.Packages[0]] = stream
	}
	for _, ix := range indexes {
		for _, o := range ix.packages[moduleDefault] {
			module, stream, _ := strings.Cut(o.module, ":")
			if _, ok := s.active[module]; !ok {
				s.active[module] = stream
			}
		}
	}
	return s
}

func (s streams) isActive(module string) bool {
	name, stream, _ := strings.Cut(module, ":")
	active, ok := s.active[name]
	return ok && active == stream && stream != ""
}

// filter says which offers of a package modules leave visible: builds of active streams; and builds of no module, unless
// an active stream has a package of that name. Repositories for hot fixes are not filtered.
func (s streams) filter(name string, indexes []*Index) func(*Index, offer) bool {
	type build struct{ version, arch string }
	modular := map[build]bool{} // and whether one of its streams is active
	hides := false
	for _, ix := range indexes {
		for _, o := range ix.packages[moduleArtifact+name] {
			b, active := build{o.version, o.arch}, s.isActive(o.module)
			modular[b] = modular[b] || active
			hides = hides || active
		}
	}
	return func(ix *Index, o offer) bool {
		if ix.Repository.ModuleHotfixes {
			return true
		}
		active, is := modular[build{o.version, o.arch}]
		if is {
			return active
		}
		return !hides
	}
}

// dnfRules are an image's excludes, includes and locks.
type dnfRules struct {
	excludes, includes []inventory.Pin
	locks              []inventory.Pin // Rule is the version alone
}

func readRules(pins []inventory.Pin) dnfRules {
	var r dnfRules
	for _, p := range pins {
		if p.Type != inventory.RPM {
			continue
		}
		version, lock := strings.CutPrefix(p.Rule, inventory.RuleLock)
		switch {
		case p.Rule == inventory.RuleExclude:
			r.excludes = append(r.excludes, p)
		case p.Rule == inventory.RuleInclude:
			r.includes = append(r.includes, p)
		case lock:
			p.Rule = version
			r.locks = append(r.locks, p)
		}
	}
	return r
}

func (r dnfRules) none() bool { return len(r.excludes)+len(r.includes)+len(r.locks) == 0 }

// allow says that dnf would take an offer: nothing excludes it; where its repository, or all, have includes, one of them
// names it; and where its name is locked, one of the locks has its version.
func (r dnfRules) allow(name string, c ranked) bool {
	forms := rpmForms(name, c.offer)
	of := func(p inventory.Pin) bool { return p.Repository == "" || p.Repository == c.index.Repository.ID }
	names := func(p inventory.Pin) bool { return matchesAny(p.Packages, forms) }
	if slices.ContainsFunc(r.excludes, func(p inventory.Pin) bool { return of(p) && names(p) }) {
		return false
	}
	asked := slices.ContainsFunc(r.includes, of)
	if asked && !slices.ContainsFunc(r.includes, func(p inventory.Pin) bool { return of(p) && names(p) }) {
		return false
	}
	return r.unlocked(name, c.version)
}

func (r dnfRules) unlocked(name, version string) bool {
	locked := false
	for _, p := range r.locks {
		if !matchesAny(p.Packages, []string{name}) {
			continue
		}
		if matchesAny([]string{p.Rule}, []string{version}) {
			return true
		}
		locked = true
	}
	return !locked
}

// rpmForms are the ways in which a pattern may name a package.
func rpmForms(name string, o offer) []string {
	epoch, rest, ok := strings.Cut(o.version, ":")
	if !ok {
		epoch, rest = "0", o.version
	}
	version, _, _ := strings.Cut(rest, "-")
	return []string{
		name, name + "." + o.arch, name + "-" + version, name + "-" + rest, name + "-" + rest + "." + o.arch,
		name + "-" + epoch + ":" + rest, name + "-" + epoch + ":" + rest + "." + o.arch, epoch + ":" + name + "-" + rest + "." + o.arch,
	}
}

func matchesAny(patterns, forms []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		return slices.ContainsFunc(forms, func(form string) bool {
			ok, _ := path.Match(pattern, form)
			return ok
		})
	})
}
