// Package hygiene says how an image is made that should be made otherwise: runs as root, holds keys, stands on a base
// that nobody rebuilds. It takes values and gives findings; what they do is for internal/policy to say.
//
// What each rule is for, and what its finding tells people to do, is in Rules. A rule that needs to know something which
// is not in the context finds nothing.
package hygiene

import (
	"time"

	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
)

// Context is what rules look at besides what is inside the image.
type Context struct {
	Now time.Time

	// What policies set, as a catalog has it. Packages are names or patterns as of path.Match.
	ForbidPackages, RequirePackages, RequireLabels []string
	// AllowSetuid are paths that may have the bits. None: those that come with every distribution.
	AllowSetuid []string
	MaxSize     int64 // compressed bytes; 0: any
	MaxAge      time.Duration

	Base Base
	// References are the images that the Dockerfile names and does not build itself.
	References []Reference
	Lint       []Warning
	// PreviousSize is of the image that this one takes the place of, in compressed bytes; 0: of none.
	PreviousSize int64
}

// Base is what an image stands on, as far as policy asks.
type Base struct {
	State BaseState
	Name  string // "docker.io/library/node:20"; empty when it is not known
	// Want is the approved base that it should stand on, where one is at hand.
	Want string
}

// BaseState says whether a base is approved.
type BaseState string

const (
	BaseNotAsked   BaseState = "" // upstream images, and what stands on nothing
	BaseApproved   BaseState = "approved"
	BaseUnapproved BaseState = "unapproved"
	BaseUnknown    BaseState = "unknown" // neither layers nor recipe tell
)

// Reference is an image as a Dockerfile names it.
type Reference struct {
	Name string // "node:20", variables filled in
	File string // "Dockerfile"
	Line int
}

// Warning is a remark of the build engine on a Dockerfile.
type Warning struct {
	Text  string
	Lines []string // "Dockerfile:3: RUN ..."
	URL   string   // where it is explained
}

// Check returns what the rules find, rule by rule in the order of Rules, in each by path. It asks no clock, and of the
// image's own words it repeats few, without control characters.
func Check(inv *inventory.Inventory, c Context) []policy.Finding {
	var all []policy.Finding
	for _, r := range rules {
		found := r.find(inv, c)
		for i := range found {
			r.complete(&found[i])
		}
		all = append(all, bounded(found, r.Title)...)
	}
	return all
}

// complete says of a finding what is the same for all of its rule.
func (r rule) complete(f *policy.Finding) {
	f.Kind, f.ID, f.Severity, f.Why = policy.Hygiene, r.ID, r.Severity, r.Why
	if f.Do == "" {
		f.Do = r.Do
	}
	finish(f)
}
