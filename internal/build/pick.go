package build

import (
	"bytes"
	"crypto/sha256"
	"slices"
)

// Worker is a builder as the choice among several sees it.
type Worker struct {
	Name string
	// Platforms that it builds for, normalised: "linux/amd64", "linux/arm/v7". None: any.
	Platforms []string
	Parallel  int // builds at once, and its weight; below 1 means 1
	InFlight  int // our builds there now
	Others    int // builds of others there now
}

// Builds says whether the worker builds for platform; an empty one is the worker's own.
func (w Worker) Builds(platform string) bool {
	return platform == "" || len(w.Platforms) == 0 || slices.Contains(w.Platforms, platform)
}

// Full says that none of our builds finds a place there.
func (w Worker) Full() bool { return w.InFlight >= w.parallel() }

func (w Worker) parallel() int { return max(w.Parallel, 1) }

// Pick chooses the worker for a build: of those that build for platform and are not full the one with the fewest builds
// for its weight, of several the one that affinity falls on, then by name. It returns its index, or -1.
//
// An affinity falls on the same worker as long as that one is there: one that joins or leaves moves only its own share.
func Pick(workers []Worker, platform, affinity string) int {
	best := -1
	for i, w := range workers {
		if w.Builds(platform) && !w.Full() && (best < 0 || before(w, workers[best], affinity)) {
			best = i
		}
	}
	return best
}

func before(a, b Worker, affinity string) bool {
	if x, y := (a.InFlight+a.Others)*b.parallel(), (b.InFlight+b.Others)*a.parallel(); x != y {
		return x < y
	}
	if affinity != "" && a.Name != b.Name {
		return bytes.Compare(share(affinity, a.Name), share(affinity, b.Name)) > 0
	}
	return a.Name < b.Name
}

// share is how much of an affinity falls on a worker (rendezvous hashing: the largest share wins).
func share(affinity, name string) []byte {
	h := sha256.Sum256([]byte(affinity + "\x00" + name))
	return h[:]
}
