package watch

import (
	"slices"
	"strings"

	"rebuilder/internal/inventory"
	"rebuilder/internal/patch"
)

// chooser follows apk: of what the world's constraints take, the highest version, from the repositories without a tag. A
// package with a tag comes from the repositories with it, be it older, as long as they have one that is taken. One that
// only tagged repositories have comes from those whose tags are used: it is there because a tagged one needs it. Where
// constraints keep a newer version away, and there is no other, that is held. What other packages demand of a version is
// not looked at.
func (apkFamily) chooser(inv *inventory.Inventory, indexes []*Index) chooser {
	world := readWorld(inv.Pins)
	world.unread = unreadTags(inv, indexes)
	return func(p inventory.Package) (best ranked, held, ok bool) {
		allowed := func(version string) bool { return world.allows(p.Name, version) }
		best, ok = newestAPK(world.offers(p, indexes, allowed))
		if ok && isNewerAPK(best.version, p.Version) {
			return best, false, true
		}
		best, ok = newestAPK(world.offers(p, indexes, func(string) bool { return true }))
		return best, true, ok && isNewerAPK(best.version, p.Version) && !allowed(best.version)
	}
}

func isNewerAPK(version, than string) bool {
	order, err := patch.Compare(inventory.APK, version, than)
	return err == nil && order > 0
}

// newestAPK is the first of the highest version.
func newestAPK(offers []ranked) (best ranked, ok bool) {
	for _, o := range offers {
		if !ok || o.beats(best) {
			best, ok = o, true
		}
	}
	return best, ok
}

// apkWorld is what an image's world asks for, by the name of the package.
type apkWorld struct {
	tags  map[string][]string
	rules map[string][]string // "<3.1", "!~1.2"
	used  []string            // all tags
	// unread are the tags of repositories that were never read, "" of those without: what they have is not known, and so
	// not that they have nothing.
	unread []string
}

func unreadTags(inv *inventory.Inventory, indexes []*Index) []string {
	var tags []string
	for _, r := range inv.Repositories {
		read := func(ix *Index) bool { return ix.Repository.URI == r.URI && ix.Repository.ID == r.ID }
		if r.Type == inventory.APK && !slices.ContainsFunc(indexes, read) {
			tags = append(tags, r.ID)
		}
	}
	return tags
}

func readWorld(pins []inventory.Pin) apkWorld {
	w := apkWorld{tags: map[string][]string{}, rules: map[string][]string{}}
	for _, pin := range pins {
		if pin.Type != inventory.APK {
			continue
		}
		for _, name := range pin.Packages {
			if tag, ok := strings.CutPrefix(pin.Rule, "@"); ok {
				w.tags[name] = append(w.tags[name], tag)
				w.used = append(w.used, tag)
				continue
			}
			w.rules[name] = append(w.rules[name], pin.Rule)
		}
	}
	return w
}

// offers are those that apk would choose from, of the versions that are taken; none where that cannot be told.
func (w apkWorld) offers(p inventory.Package, indexes []*Index, takes func(version string) bool) []ranked {
	for _, tags := range [][]string{w.tags[p.Name], {""}, w.used} {
		if found := offersTagged(p, indexes, tags, takes); len(found) > 0 {
			return found
		}
		if slices.ContainsFunc(tags, func(tag string) bool { return slices.Contains(w.unread, tag) }) {
			return nil
		}
	}
	return nil
}

// offersTagged are those of the indexes with one of the tags, for the package's architecture.
func offersTagged(p inventory.Package, indexes []*Index, tags []string, takes func(version string) bool) []ranked {
	var all []ranked
	for _, ix := range indexes {
		if !slices.Contains(tags, ix.Repository.ID) {
			continue
		}
		for _, o := range ix.packages[p.Name] {
			if apkFits(p.Architecture, o.arch, ix.Repository.Architectures) && takes(o.version) {
				all = append(all, ranked{offer: o, index: ix})
			}
		}
	}
	return all
}

// apkFits says whether an offer may replace an installed package: of the same architecture, or one of the two of none.
func apkFits(installed, offered string, arches []string) bool {
	return offered == installed || offered == "noarch" || installed == "noarch" && slices.Contains(arches, offered)
}

// allows says that every constraint of the world takes a version. One that cannot be read takes none.
func (w apkWorld) allows(name, version string) bool {
	for _, rule := range w.rules[name] {
		constraint, not := strings.CutPrefix(rule, "!")
		if matches, known := apkMatches(constraint, version); !known || matches == not {
			return false
		}
	}
	return true
}

// apkMatches says whether a version is one that a constraint such as "<3.1", ">=2" or "~1.2" names; an empty one names
// all. known is false when that cannot be told.
func apkMatches(constraint, version string) (matches, known bool) {
	bare := strings.TrimLeft(constraint, "<>=~")
	op := constraint[:len(constraint)-len(bare)]
	switch {
	case constraint == "":
		return true, true
	case op == "><": // a certain build, by its checksum
		return false, true
	case strings.Contains(op, "~"):
		if matches, known = apkBegins(version, bare); matches || !known {
			return matches, known
		}
	}
	order, err := patch.Compare(inventory.APK, version, bare)
	matches = order < 0 && strings.Contains(op, "<") || order > 0 && strings.Contains(op, ">") || order == 0 && strings.ContainsAny(op, "=~")
	return err == nil && matches, err == nil && op != ""
}

// apkBegins says whether a version is one of those that begin with another: 1.2.3 and 1.2-r1 begin with 1.2, 1.20 does
// not. known is false when one of the two is no version.
func apkBegins(version, with string) (begins, known bool) {
	if !isDigit(version, 0) || !isDigit(with, 0) {
		return false, false
	}
	rest, ok := strings.CutPrefix(version, with)
	if !ok || rest == "" {
		return ok, true
	}
	last := len(with) - 1
	moreOfNumber := isDigit(with, last) && isDigit(rest, 0)
	moreOfWord := isLower(with, last) && isLower(rest, 0) // _p is no beginning of _pre
	return !moreOfNumber && !moreOfWord, true
}

func isDigit(s string, at int) bool { return at < len(s) && '0' <= s[at] && s[at] <= '9' }

func isLower(s string, at int) bool { return at < len(s) && 'a' <= s[at] && s[at] <= 'z' }
