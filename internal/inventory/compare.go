package inventory

import (
	"cmp"
	"maps"
	"slices"
)

// Package finds an installed package by name. When it is installed for several architectures, the first by name of
// the architecture is returned; a library only when no other package has the name.
func (i *Inventory) Package(name string) (Package, bool) {
	at, ok := slices.BinarySearchFunc(i.Packages, name, func(p Package, name string) int { return cmp.Compare(p.Name, name) })
	if !ok {
		return Package{}, false
	}
	return i.Packages[at], true
}

// Installed finds the package of an architecture, or, where it is installed for others only, as Package does: a package
// may change its architecture between "all" and a real one. A library was installed by no package manager.
func (i *Inventory) Installed(name, architecture string) (Package, bool) {
	for _, p := range i.Packages {
		if p.Name == name && p.Architecture == architecture && !p.Library() {
			return p, true
		}
	}
	p, ok := i.Package(name)
	if !ok || p.Library() {
		return Package{}, false
	}
	return p, true
}

// StandsOn says that i is built on parent, or is parent, as its layers prove: the parent's diff ids are the first of
// i's. Nothing stands on an image without layers.
func (i *Inventory) StandsOn(parent *Inventory) bool {
	n := len(parent.DiffIDs)
	return n > 0 && n <= len(i.DiffIDs) && slices.Equal(i.DiffIDs[:n], parent.DiffIDs)
}

// Inherited returns a function that says of a child's packages whether they came with the parent: child stands on
// parent, the layer that brought the package is the parent's, and the parent has it in the same version.
func Inherited(child, parent *Inventory) func(Package) bool {
	if !child.StandsOn(parent) {
		return func(Package) bool { return false }
	}
	theirs := make(map[packageKey]struct{}, len(parent.Packages))
	for _, p := range parent.Packages {
		theirs[keyOf(p)] = struct{}{}
	}
	return func(p Package) bool {
		_, ok := theirs[keyOf(p)]
		return ok && p.Layer < len(parent.DiffIDs)
	}
}

// ChangeKind says what happened to a package between two inventories.
type ChangeKind string

const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed" // another version, newer or older
)

// Change is one package that two inventories differ in.
type Change struct {
	Type         string     `json:"type,omitempty"` // of a library: Golang, Maven, NPM or PyPI
	Name         string     `json:"name"`
	Architecture string     `json:"architecture"` // the new one's, or the removed one's
	From         string     `json:"from,omitempty"`
	To           string     `json:"to,omitempty"`
	Kind         ChangeKind `json:"kind"`
}

// Diff lists what changed from old to new, sorted by name, then architecture. A nil inventory has no packages.
//
// Copies of a library count once, wherever they are. A library that is a package's of the distribution changes with it and
// is left out.
func Diff(old, new *Inventory) []Change {
	before, after := byName(old), byName(new)
	var changes []Change
	for _, name := range union(before, after) {
		if name.typ == "" {
			changes = append(changes, diffName(before[name], after[name])...)
		} else {
			changes = append(changes, diffLibrary(name.typ, before[name], after[name])...)
		}
	}
	return changes
}

// diffed are the packages that are compared with each other.
type diffed struct {
	name string
	typ  string // of a library; empty for packages of a distribution
}

func byName(i *Inventory) map[diffed][]Package {
	m := map[diffed][]Package{}
	if i == nil {
		return m
	}
	for _, p := range i.Packages {
		name := diffed{name: p.Name}
		if p.Library() {
			if p.Owner != "" {
				continue
			}
			name.typ = p.Type
		}
		m[name] = append(m[name], p)
	}
	return m
}

func union(a, b map[diffed][]Package) []diffed {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.SortFunc(names, func(a, b diffed) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.typ, b.typ)) })
	return slices.Compact(names)
}

// diffLibrary compares the versions of one library. One that went and one that came are a change.
func diffLibrary(kind string, before, after []Package) (changes []Change) {
	went, came := without(before, after), without(after, before)
	if len(went) == 1 && len(came) == 1 {
		return []Change{{Type: kind, Name: after[0].Name, From: went[0], To: came[0], Kind: Changed}}
	}
	for _, v := range went {
		changes = append(changes, Change{Type: kind, Name: before[0].Name, From: v, Kind: Removed})
	}
	for _, v := range came {
		changes = append(changes, Change{Type: kind, Name: after[0].Name, To: v, Kind: Added})
	}
	return changes
}

// without are the versions among some packages that others do not have.
func without(some, others []Package) []string {
	versions := map[string]struct{}{}
	for _, p := range some {
		versions[p.Version] = struct{}{}
	}
	for _, p := range others {
		delete(versions, p.Version)
	}
	return sortedKeys(versions)
}

// diffName compares the packages of one name. One on each side is the same package, also when it became
// architecture-independent.
func diffName(before, after []Package) (changes []Change) {
	if len(before) == 1 && len(after) == 1 {
		return changed(before[0], after[0])
	}
	for _, b := range before {
		if at := slices.IndexFunc(after, sameArchitecture(b)); at >= 0 {
			changes = append(changes, changed(b, after[at])...)
		} else {
			changes = append(changes, Change{Name: b.Name, Architecture: b.Architecture, From: b.Version, Kind: Removed})
		}
	}
	for _, a := range after {
		if !slices.ContainsFunc(before, sameArchitecture(a)) {
			changes = append(changes, Change{Name: a.Name, Architecture: a.Architecture, To: a.Version, Kind: Added})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Architecture, b.Architecture) })
	return changes
}

func changed(b, a Package) []Change {
	if b.Version == a.Version {
		return nil
	}
	return []Change{{Name: a.Name, Architecture: a.Architecture, From: b.Version, To: a.Version, Kind: Changed}}
}

func sameArchitecture(p Package) func(Package) bool {
	return func(o Package) bool { return o.Architecture == p.Architecture }
}
