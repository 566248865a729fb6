package plan

import (
	"slices"
	"time"
)

// Pace is what past builds say about the next ones.
type Pace struct {
	Builds   map[string][]time.Duration // by image: how long its last builds took
	Parallel int                        // builds at once; less than 1 counts as 1
}

// Estimate is about how long the rebuilds of a plan take, from the first start to the last end. What comes after, tests
// and merges of others, is not in it.
type Estimate struct {
	// Known is false when no image of the plan was built before: then Takes means nothing, and is not zero time.
	Known    bool          `json:"known"`
	Takes    time.Duration `json:"takes,omitempty"`
	Rebuilds int           `json:"rebuilds"` // steps that are builds of ours
	Builds   int           `json:"builds"`   // past builds that it rests on
	Images   int           `json:"images"`   // of Rebuilds: those that were built before
	// Never are the images that were not built before. Each is taken to need what the median of the others does.
	Never []string `json:"never"`
	// Path is the longest chain of rebuilds that wait for each other, first to last: no number of builders makes it
	// shorter than Least.
	Path  []string      `json:"path"`
	Least time.Duration `json:"least,omitempty"`
}

// EstimateOf foretells how long a plan's rebuilds take, each as long as the median of its past builds, as many at once as
// the builder does, each after its parents.
func EstimateOf(p *Plan, pace Pace) Estimate {
	e := Estimate{Never: []string{}, Path: []string{}}
	var rebuilds []Step
	takes := map[string]time.Duration{}
	var known []time.Duration
	for _, s := range p.Steps {
		if s.Action != Rebuild {
			continue
		}
		rebuilds = append(rebuilds, s)
		past := pace.Builds[s.Image]
		if len(past) == 0 {
			e.Never = append(e.Never, s.Image)
			continue
		}
		e.Builds += len(past)
		takes[s.Image] = median(past)
		known = append(known, takes[s.Image])
	}
	e.Rebuilds, e.Images = len(rebuilds), len(known)
	if e.Known = len(known) > 0; !e.Known {
		return e
	}
	for _, name := range e.Never {
		takes[name] = median(known)
	}
	e.Path, e.Least = longest(rebuilds, takes)
	e.Takes = schedule(rebuilds, takes, max(pace.Parallel, 1))
	return e
}

// unknownBuild is how long a build is taken to need when no build of its plan was ever made.
const unknownBuild = time.Minute

// Chains are about how long each rebuild of a plan and all that waits for it take, one after the other, along the longest
// chain: of those that could begin, the one with the longest is best begun first.
func Chains(p *Plan, pace Pace) map[string]time.Duration {
	takes := map[string]time.Duration{}
	var known []time.Duration
	for _, s := range p.Steps {
		if past := pace.Builds[s.Image]; s.Action == Rebuild && len(past) > 0 {
			takes[s.Image] = median(past)
			known = append(known, takes[s.Image])
		}
	}
	usual := unknownBuild
	if len(known) > 0 {
		usual = median(known)
	}
	out := map[string]time.Duration{}
	for _, s := range slices.Backward(p.Steps) { // steps come after their parents
		if s.Action != Rebuild {
			continue
		}
		took, ok := takes[s.Image]
		if !ok {
			took = usual
		}
		out[s.Image] += took
		for _, parent := range s.Parents {
			out[parent] = max(out[parent], out[s.Image])
		}
	}
	return out
}

// median is the middle one, of an even number the mean of the two in the middle. There must be one.
func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	m := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[m]
	}
	return sorted[m-1] + (sorted[m]-sorted[m-1])/2
}

// longest is the chain of steps, each a parent of the next, that takes longest. Steps come after their parents.
func longest(steps []Step, takes map[string]time.Duration) ([]string, time.Duration) {
	end, before := map[string]time.Duration{}, map[string]string{}
	last := ""
	for _, s := range steps {
		for _, p := range s.Parents {
			if end[p] > end[before[s.Image]] {
				before[s.Image] = p
			}
		}
		end[s.Image] = end[before[s.Image]] + takes[s.Image]
		if last == "" || end[s.Image] > end[last] {
			last = s.Image
		}
	}
	var path []string
	for name := last; name != ""; name = before[name] {
		path = append(path, name)
	}
	slices.Reverse(path)
	return path, end[last]
}

// schedule is when the last step ends if the steps go in the order of the plan, each to the builder that is free first,
// as soon as its parents have ended. Steps come after their parents.
func schedule(steps []Step, takes map[string]time.Duration, parallel int) (last time.Duration) {
	free := make([]time.Duration, min(parallel, len(steps))) // when each builder is
	end := make(map[string]time.Duration, len(steps))
	for _, s := range steps {
		b := slices.Index(free, slices.Min(free))
		start := free[b]
		for _, p := range s.Parents {
			start = max(start, end[p])
		}
		free[b] = start + takes[s.Image]
		end[s.Image] = free[b]
		last = max(last, free[b])
	}
	return last
}
