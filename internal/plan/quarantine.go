package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/graph"
)

// Quarantined says why a digest of an image is not to be used.
type Quarantined struct {
	Reason string
	By     string // who put it there
	Since  time.Time
	// Because is the digest that it is like or is made from; empty: a person named it.
	Because string
	DiffIDs []v1.Hash // its layers; nil when they are not known
}

// String says since when, by whom and why: "in quarantine since 21 Nov 2026 10:02 UTC, by ada: TLS is broken".
func (z Quarantined) String() string {
	return fmt.Sprintf("in quarantine since %s, by %s: %s", z.Since.UTC().Format("2 Jan 2006 15:04 UTC"), z.By, z.Reason)
}

// usable says that the image that is there now may be built upon and proposed.
func (b Base) usable() bool {
	_, bad := b.Quarantined[b.Digest.String()]
	return !bad
}

// judged makes a plan another one than the one before a quarantine, or before that was cleared, so that it can be applied, too.
func judged(b Base) string {
	if b.Judged.IsZero() {
		return ""
	}
	return " judged " + b.Judged.UTC().Format(time.RFC3339Nano)
}

// clearedBy is how a quarantine ends.
func clearedBy(image, digest string) string {
	return fmt.Sprintf("who answers for it: rebuilder quarantine clear %s %s --reason ..", image, short(digest))
}

// displaced says that a channel is not where we moved it last. It is somebody else's decision: nothing is built over it until a
// person says which of the two counts.
func (m *maker) displaced(name string, b Base) bool {
	if !b.Exists() || b.Promoted == "" || b.Promoted == b.Digest.String() {
		return false
	}
	m.skip(NotDone{Image: name, Reason: movedByOthers(b, b.Promoted), Since: b.FirstSeen,
		Who: fmt.Sprintf("who keeps it: rebuilder rollback %s --accept takes it over, --override moves it back", name)})
	return true
}

// quarantined notes an image that a person does not want used and that is on its channel all the same.
func (m *maker) quarantined(name string, b Base) {
	if z, bad := b.Quarantined[b.Digest.String()]; bad && z.Because == "" {
		m.skip(NotDone{Image: name, Reason: fmt.Sprintf("%s points to %s, which is %s", b.Reference, short(b.Digest.String()), z), Since: z.Since,
			Who: fmt.Sprintf("who answers for it: rebuilder rollback %s --reason ..", name)})
	}
}

// pinned says that the present inputs make a digest that is in quarantine, so that the image stays as it is.
func (m *maker) pinned(s Step, b Base) bool {
	if b.Attempt == nil || len(s.Parents) > 0 {
		return false
	}
	z, bad := b.Quarantined[b.Attempt.Digest]
	if !bad {
		return false
	}
	m.skip(NotDone{Image: s.Image, Reason: fmt.Sprintf("stays as it is: what is built of it now, %s, is %s; not done: %s", short(b.Attempt.Digest), z, strings.Join(s.Reasons, "; ")),
		Since: z.Since, Who: clearedBy(s.Image, b.Attempt.Digest)})
	return true
}

// gateQuarantine is the gate of an attempt that was held back because it is like what is in quarantine.
const gateQuarantine = "quarantine"

// released says that a candidate was held back by a quarantine that stands no more.
func released(b Base) bool {
	_, bad := b.Quarantined[b.Attempt.Digest]
	return b.Attempt.Gate == gateQuarantine && !bad
}

// unfit says that an image that is not being rebuilt is in quarantine, and what that means for one that is to stand on it.
func unfit(parent string, i Base) string {
	z, bad := i.Quarantined[i.Digest.String()]
	if !bad {
		return ""
	}
	return fmt.Sprintf("waits for another image of %s: %s is %s", parent, short(i.Digest.String()), z)
}

// standsOnBad returns the quarantined digest of a base that an application's recipe pins or its image stands on.
func standsOnBad(a Application, r Reference, b Base) (digest string, z Quarantined, bad bool) {
	if z, bad := b.Quarantined[r.Pinned.String()]; bad {
		return r.Pinned.String(), z, true
	}
	if r.Kind != graph.Inherits {
		return "", z, false
	}
	for _, digest := range slices.Sorted(maps.Keys(b.Quarantined)) {
		z := b.Quarantined[digest]
		if a.beginsWith(z.DiffIDs) {
			return digest, z, true
		}
	}
	return "", z, false
}

// On names the images that stand on a digest of a base, or pin it, as far as that was seen: bases first. layers are the digest's own;
// without them only what names it is found.
func (f Facts) On(image, digest string, layers []v1.Hash) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(f.Bases)) {
		b := f.Bases[name]
		if slices.ContainsFunc(b.Parents, func(p Parent) bool {
			return p.Name == image && (p.Used == digest || p.Used == "" && p.Kind == graph.Inherits && b.beginsWith(layers))
		}) {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Applications)) {
		a := f.Applications[name]
		if slices.ContainsFunc(a.Named(), func(r Reference) bool {
			return r.Base == image && (r.Pinned.String() == digest || r.Kind == graph.Inherits && a.beginsWith(layers))
		}) {
			names = append(names, name)
		}
	}
	return names
}
