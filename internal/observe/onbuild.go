package observe

import (
	"fmt"
	"strings"

	"rebuilder/internal/catalog"
	"rebuilder/internal/dockerfile"
	"rebuilder/internal/inventory"
	"rebuilder/internal/plan"
)

// fire reads a recipe again with the ONBUILDs of what it is built on, once: of says what is inside a parent, nil where that
// is not known. It says whether there was any; what they name is among the parents then. Those of a builder for another
// platform are taken to be as on the one that was looked into.
func (r *recipe) fire(known names, b catalog.Base, of func(parent string) *inventory.Inventory) bool {
	if r.fired || r.problem != "" {
		return false
	}
	triggers := dockerfile.Triggers{}
	for _, p := range r.parents {
		if inv := of(p.Name); inv != nil && len(inv.OnBuild) > 0 {
			triggers[p.Reference] = inv.OnBuild
			r.triggered(p, inv.OnBuild)
		}
	}
	r.fired = true
	if len(triggers) == 0 {
		return false
	}
	r.madeFrom(known, b, triggers)
	return true
}

// triggered notes an ONBUILD that runs something. It is in no recipe's text, where its step could be keyed by the state of
// the package repositories: the build is made without a cache, all of it.
func (r *recipe) triggered(p plan.Parent, onBuild []string) {
	for _, instruction := range onBuild {
		if word, _, _ := strings.Cut(strings.TrimSpace(instruction), " "); strings.EqualFold(word, "RUN") {
			r.uncached = true
			r.doubt = fmt.Sprintf("%s brings an ONBUILD RUN: everything is run again", p.Name)
			return
		}
	}
}

// fired reads the recipes again on whose parents ONBUILDs wait. Somebody else's image may name whatever it likes in them:
// where that closes a circle, the recipe has a problem, and all others are as they were.
func (l *looking) fired() {
	for _, b := range l.c.Bases {
		r := l.recipes[b.Name]
		own := r.parents
		if !r.fire(l.names, b, func(parent string) *inventory.Inventory { return l.inventories[parent] }) {
			continue
		}
		for _, p := range r.parents {
			if l.madeWith(p.Name, b.Name) {
				r.parents, r.problem = own, fmt.Sprintf("an ONBUILD of what it is built on needs %s, which is itself made from it: take that away there", p.Name)
				break
			}
		}
	}
}

// madeWith says that an image is another one, or is made from it, as the recipes say.
func (l *looking) madeWith(image, other string) bool {
	seen := map[string]bool{}
	todo := []string{image}
	for ; len(todo) > 0; todo = todo[1:] {
		if todo[0] == other {
			return true
		}
		if r := l.recipes[todo[0]]; r != nil && !seen[todo[0]] {
			for _, p := range r.parents {
				todo = append(todo, p.Name)
			}
		}
		seen[todo[0]] = true
	}
	return false
}
