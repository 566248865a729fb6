package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Sighting is one digest that an upstream's reference was seen to point to.
type Sighting struct {
	Digest    v1.Hash            // index, or manifest where there is no index
	Manifests map[string]v1.Hash // by platform
	FirstSeen time.Time
	Since     time.Time // when the last unbroken time began at which it pointed there
	Taken     time.Time // when images were last decided to be made from it; zero: never
}

// Untaken is what an upstream's reference points to now and images are not made from yet.
type Untaken struct {
	Digest v1.Hash
	Reason string // "points to 0123456789ab, which .."
	Since  time.Time
	Next   time.Time // when it is taken at the latest, if it stays
	Who    string
}

// standing is how long what looks like a passing state must last until it is believed: an index that is not complete, or
// a reference that points back to where it pointed before, as mirrors that lag make it do.
const standing = 24 * time.Hour

// Take decides from which of the digests in the history of an upstream's reference images are made now, and why not from
// the one that the reference points to, history's first. needs are the platforms that bases of the catalog are built for;
// gone says that the digest that was taken last is not in the registry any more. The history must not be empty.
//
// A digest that was never there before is taken as soon as it has every platform that is needed or that the one before it
// had; one that was there before, when it stood for a day.
func Take(history []Sighting, needs []string, gone bool, now time.Time) (Sighting, *Untaken) {
	current, taken := history[0], lastTaken(history)
	end := current.Since.Add(standing)
	if taken.Digest == (v1.Hash{}) || taken.Digest == current.Digest || gone || !now.Before(end) {
		return current, nil
	}
	u := &Untaken{Digest: current.Digest, Since: current.Since, Next: end, Who: "who publishes it"}
	if !current.Taken.IsZero() || current.Since.After(current.FirstSeen) {
		u.Reason = fmt.Sprintf("points back to %s, where it was before %s: it is taken if it still points there after a day", short(current.Digest.String()), short(taken.Digest.String()))
		return taken, u
	}
	if lacks := current.lacks(taken, needs); len(lacks) > 0 {
		u.Reason = fmt.Sprintf("points to %s, which has no %s yet: it is taken when it is complete, or after a day", short(current.Digest.String()), strings.Join(lacks, ", "))
		return taken, u
	}
	return current, nil
}

// lastTaken is the digest that was taken last; zero when none ever was.
func lastTaken(history []Sighting) (last Sighting) {
	for _, s := range history {
		if s.Taken.After(last.Taken) {
			last = s
		}
	}
	return last
}

// lacks are the platforms that s should have and has not, sorted.
func (s Sighting) lacks(before Sighting, needs []string) []string {
	wanted := slices.Clone(needs)
	for platform := range before.Manifests {
		wanted = append(wanted, platform)
	}
	slices.Sort(wanted)
	return slices.DeleteFunc(slices.Compact(wanted), func(platform string) bool { return s.Manifests[platform] != (v1.Hash{}) })
}

// upstream notes what an upstream is now.
func (m *maker) upstream(name string) {
	u := m.f.Upstreams[name]
	if !u.known() {
		m.skip(NotDone{Image: name, Reason: orMissing(u), Unknown: true})
		return
	}
	if w := u.Untaken; w != nil {
		m.skip(NotDone{Image: name, Reason: u.Reference + " " + w.Reason, Since: w.Since, Next: w.Next, Who: w.Who})
	}
	m.input(name, u.Digest.String())
}
