package policy

import (
	"slices"
	"strings"
)

// Comparison says what became of findings from one image to the next.
type Comparison struct {
	Fixed     []Finding `json:"fixed"` // as they were before
	New       []Finding `json:"new"`
	Remaining []Finding `json:"remaining"` // as they are now
}

// Replacement is what two digests of an image are found to be when one takes the place of the other.
type Replacement struct {
	Was, Is  Verdict
	Findings Comparison
	Unknown  []string // what could not be told of the second, or not be compared, a sentence each
}

// Compare compares what was found in an image with what was found in the one before. A vulnerability remains if the same
// advisory hits the same package, whatever its version; a secret or a rule if it is in the same file, whatever its line, as
// often as it was there before: a second key in a file is new, be it the first or the last of them that is called so.
func Compare(before, after []Finding) Comparison {
	names := nameAll(slices.Concat(before, after))
	was, is := things(before, names[:len(before)]), things(after, names[len(before):])
	c := Comparison{Fixed: []Finding{}, New: []Finding{}, Remaining: []Finding{}}
	for i, f := range before {
		if !is.take(f, names[i]) {
			c.Fixed = append(c.Fixed, f)
		}
	}
	for i, f := range after {
		if was.take(f, names[len(before)+i]) {
			c.Remaining = append(c.Remaining, f)
		} else {
			c.New = append(c.New, f)
		}
	}
	for _, list := range [][]Finding{c.Fixed, c.New, c.Remaining} {
		slices.SortFunc(list, ordered)
	}
	return c
}

// thing is what a finding is about, whatever the version.
type thing struct {
	kind              Kind
	name              string
	family, pkg, path string
}

// thingsOf are several of a vulnerability that is known by several CVEs.
func thingsOf(f Finding, names []string) (out []thing) {
	if f.Kind != Vulnerability {
		return []thing{{f.Kind, strings.ToUpper(f.ID), f.Type, f.Package, f.Path}}
	}
	for _, name := range names {
		out = append(out, thing{f.Kind, name, f.Type, f.Package, ""})
	}
	return out
}

// counted is how often each thing was found.
type counted map[thing]int

func things(list []Finding, names [][]string) counted {
	out := make(counted, len(list))
	for i, f := range list {
		for _, t := range thingsOf(f, names[i]) {
			out[t]++
		}
	}
	return out
}

// take says that a finding is among those counted. Of a vulnerability any number is one: it may hit a package in many places.
func (c counted) take(f Finding, names []string) bool {
	for _, t := range thingsOf(f, names) {
		if c[t] > 0 {
			if f.Kind != Vulnerability {
				c[t]--
			}
			return true
		}
	}
	return false
}
