package advisory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"rebuilder/internal/inventory"
)

// The kinds of events in a range, in OSV's words.
const (
	introduced   = "introduced"
	fixed        = "fixed"
	lastAffected = "last_affected"
	limit        = "limit"
)

// event is one point of a range.
type event struct {
	Kind    string `json:"k"`
	Version string `json:"v"`
}

// affects says which versions of a package a record affects, and how bad that is there. It is what is stored of a package,
// and is changed by nobody once it is made: any number may match by it at once.
type affects struct {
	Ranges   [][]event `json:"r,omitempty"` // each in the order of versions
	Versions []string  `json:"l,omitempty"` // those that are in none of the ranges
	Severity string    `json:"s,omitempty"` // where the record has another for this package
	Vector   string    `json:"c,omitempty"`
	Score    float64   `json:"n,omitempty"`
}

// hits says whether a version is affected, as OSV's schema evaluates it, and the first version with the fix, empty when none
// is known.
func (a affects) hits(family, version string) (hit bool, fix string, err error) {
	if family == inventory.RPM && a.modular() != modular(version) {
		return false, "", nil // a module's builds and those outside of it are fixed apart
	}
	for _, r := range a.Ranges {
		in, f, err := within(family, version, r)
		if err != nil {
			return false, "", err
		}
		if in && (!hit || fix == "") {
			hit, fix = true, f
		}
	}
	return hit || slices.Contains(a.Versions, version), fix, nil
}

// within evaluates one range.
func within(family, version string, events []event) (in bool, fix string, err error) {
	limited, below := false, false
	for _, e := range events {
		if e.Kind == limit {
			limited = true
			if e.Version == "*" {
				below = true
				continue
			}
			c, err := compare(family, version, e.Version)
			if err != nil {
				return false, "", err
			}
			below = below || c < 0
			continue
		}
		c, err := compare(family, version, e.Version)
		if err != nil {
			return false, "", err
		}
		switch {
		case e.Kind == introduced && c >= 0:
			in = true
		case e.Kind == fixed && c >= 0, e.Kind == lastAffected && c > 0:
			in = false
		case e.Kind == fixed && in && fix == "":
			fix = e.Version
		}
	}
	return in && (!limited || below), fix, nil
}

// sorted is a range in the order of versions, those of one version as they are. One with what is no version stays as it
// is: nothing can be told by it.
func sorted(family string, events []event) []event {
	out := slices.Clone(events)
	bad := false
	slices.SortStableFunc(out, func(a, b event) int {
		if a.Version == beginning && b.Version == beginning && a.Kind != b.Kind { // fixed in 0 is never affected, in whatever order
			return cmp.Compare(bit(a.Kind != introduced), bit(b.Kind != introduced))
		}
		if a.Version == "*" || b.Version == "*" {
			return strings.Compare(b.Version, a.Version)
		}
		c, err := compare(family, a.Version, b.Version)
		bad = bad || err != nil
		return c
	})
	if bad {
		return events
	}
	return out
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// fixes are the versions with the fix, one for each line of versions.
func (a affects) fixes() (out []string) {
	for _, r := range a.Ranges {
		for _, e := range r {
			if e.Kind == fixed && e.Version != beginning {
				out = append(out, e.Version)
			}
		}
	}
	return unique(out)
}

// beyond are the versions that are in none of the ranges: a list repeats what the ranges say, mostly.
func (a affects) beyond(family string, versions []string) (out []string) {
	for _, v := range versions {
		hit, _, err := affects{Ranges: a.Ranges}.hits(family, v)
		if err != nil || !hit {
			out = append(out, v)
		}
	}
	return out
}

// modular says that a version is of a build of a module: "1.20-1.module_el8.6.0+2736", "1.20-1.module+el8.1.0+4066".
func modular(version string) bool { return strings.Contains(version, ".module") }

func (a affects) modular() bool {
	return slices.ContainsFunc(a.Ranges, func(r []event) bool {
		return slices.ContainsFunc(r, func(e event) bool { return modular(e.Version) })
	}) || slices.ContainsFunc(a.Versions, modular)
}

// check bounds what a record says of one package.
func checkEvents(events []event) error {
	const most = 10_000
	if len(events) > most {
		return fmt.Errorf("a range has %d events, more than %d", len(events), most)
	}
	return nil
}
