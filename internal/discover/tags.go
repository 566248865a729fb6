package discover

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"rebuilder/internal/patch"
)

// choice is a tag to look at, and why it is looked at.
type choice struct{ tag, why string }

func (p choice) note(of, picked int, all bool) string {
	more := ""
	if !all {
		more = "more than "
	}
	return fmt.Sprintf("tag %s: %s; %d of %s%d tags of its repository were looked at", p.tag, p.why, picked, more, of)
}

// moving are names that people give to a tag that moves, those of most interest first.
var moving = []string{"latest", "stable", "main", "master", "production", "prod", "release", "staging", "develop", "dev", "edge", "nightly"}

var (
	version = regexp.MustCompile(`^v?([0-9]+(\.[0-9]+)*)$`)
	// besides are tags of what tools keep beside images: signatures, attestations and SBOMs of cosign, referrers by tag.
	besides = regexp.MustCompile(`^sha256-[0-9a-f]{64}(\.[a-z]+)?$`)
)

// pick chooses at most most of a repository's tags, the same ones each time: those that the catalog follows, the names of
// moving tags, the newest versions, and the last one by name when there is none of these.
func pick(tags, followed []string, most int) (picked []choice) {
	add := func(tag, why string) {
		if len(picked) < most && !slices.ContainsFunc(picked, func(p choice) bool { return p.tag == tag }) {
			picked = append(picked, choice{tag, why})
		}
	}
	for _, t := range followed {
		if slices.Contains(tags, t) {
			add(t, "the catalog follows it")
		}
	}
	for _, t := range moving {
		if slices.Contains(tags, t) {
			add(t, "a usual name of a tag that moves")
		}
	}
	for _, t := range newest(tags, 2) {
		add(t, "among the newest versions")
	}
	if len(picked) > 0 {
		return picked
	}
	others := slices.DeleteFunc(slices.Clone(tags), besides.MatchString)
	if len(others) > 0 {
		add(slices.Max(others), "the last one by name, as none is a version or has a usual name")
	}
	return picked
}

// newest are the n highest versions among tags, the highest first. Variants ("1.2-alpine") and versions to come ("2.0-rc1")
// are not among them. Of two spellings of one version the longer one names it more exactly.
func newest(tags []string, n int) []string {
	var versions []string
	for _, t := range tags {
		if version.MatchString(t) {
			versions = append(versions, t)
		}
	}
	slices.SortFunc(versions, func(a, b string) int {
		// Debian's order is right for numbers with dots, and of any length.
		if order, err := patch.Compare("deb", strings.TrimPrefix(b, "v"), strings.TrimPrefix(a, "v")); err == nil && order != 0 {
			return order
		}
		return strings.Compare(b, a)
	})
	return versions[:min(n, len(versions))]
}
