// Package plan decides what must happen and why. It is pure: a catalog, a graph and what was observed go in, a Plan
// with a reason for each step and for each thing not done comes out. The same facts always give the same plan.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/coexist"
	"rebuilder/internal/graph"
	"rebuilder/internal/patch"
)

// Facts is what was observed of the world at one moment. Nothing in it is a wish.
type Facts struct {
	At           time.Time
	Upstreams    map[string]Image
	Bases        map[string]Base
	Applications map[string]Application // by image name in the graph
}

// Image is what a registry says of one reference.
type Image struct {
	Reference string
	Digest    v1.Hash   // platform manifest; zero when there is none
	DiffIDs   []v1.Hash // its layers
	Platform  string    // that Digest is for: "linux/amd64"
	FirstSeen time.Time // when this digest was first seen at this reference
	Unknown   string    // why nothing is known: "connection refused"; then the rest means nothing
	// Manifests are the digests of all platforms behind the reference.
	Manifests map[string]v1.Hash
	// Untaken is what an upstream's reference points to now, when Digest is still the one before; nil otherwise.
	Untaken *Untaken
}

// Exists says that the reference was there.
func (i Image) Exists() bool { return i.Digest != (v1.Hash{}) }

// known says that there is an image and that we could see it.
func (i Image) known() bool { return i.Unknown == "" && i.Exists() }

// For is what the reference is on another platform, of which no layers are known. An empty platform is the image's own.
func (i Image) For(platform string) Image {
	if platform == "" || platform == i.Platform || !i.known() {
		return i
	}
	digest, ok := i.Manifests[platform]
	if !ok {
		i.Unknown = fmt.Sprintf("%s has no image for %s", i.Reference, platform)
	}
	i.Digest, i.DiffIDs, i.Platform = digest, nil, platform
	return i
}

// StandsOn says that the parent's layers are the first layers of i: proof, not a label.
func (i Image) StandsOn(parent Image) bool {
	return i.Exists() && parent.Exists() && i.beginsWith(parent.DiffIDs)
}

// beginsWith says that its first layers are these; none are nobody's.
func (i Image) beginsWith(layers []v1.Hash) bool {
	return len(layers) > 0 && len(i.DiffIDs) >= len(layers) && slices.Equal(i.DiffIDs[:len(layers)], layers)
}

// Base is what is known of one base.
type Base struct {
	Image
	Recipe  string // hash of the recipe as it is now; empty when unreadable, then Problem says why
	Problem string // why the recipe cannot be read or built: "Dockerfile:3: unknown instruction"
	// BuiltFrom is the recipe hash that the current digest was built from, or with which a rebuild changed nothing; empty
	// when we did not build it.
	BuiltFrom string
	// Revision says which commit changed the recipe's directory last, when that is known and the recipe is another than
	// BuiltFrom: "commit 1a2b3c4 by Ada Lovelace".
	Revision string
	// Promoted is the digest that we moved its channel to last; empty when we never did.
	Promoted string
	// Unwatched are the images that the recipe names and the catalog does not: "ubuntu:24.04 (Dockerfile:1)".
	Unwatched []string
	// Doubt says why a rebuild runs more steps again than those that are known to install packages; empty when it does not.
	Doubt string
	// Parents are the images of the catalog that the recipe names.
	Parents []Parent
	// Patches are the newer packages for the current digest, inherited ones included.
	Patches []Patch
	// State is the hash of the package repositories' state; empty when the image uses none.
	State string
	// StateSince is when that state was first seen; the settle window counts from it.
	StateSince time.Time
	// Stale says why the newest repository state could not be had: the facts are older than they should be.
	Stale string
	// Attempt is the memory of the last build with exactly the inputs of now (see Key); nil when there was none.
	Attempt *Attempt
	// Busy names the running rollout that has this image in hand.
	Busy string
	// Refresh is the fresh build that is wanted of it; nil when none is.
	Refresh *Refresh
	// Fresh is what goes into a build of now as Inputs.Fresh.
	Fresh string
	// Advisories are those that are new since it was judged.
	Advisories []Advisory
	// Quarantined are the digests of it that are not to be used.
	Quarantined map[string]Quarantined
	// Judged is when a person last put a digest of it in quarantine or cleared one; zero: nobody ever did.
	Judged time.Time
}

// Patch is a newer package for an image, and whose it is to fix.
type Patch struct {
	patch.Patch
	// Inherited names the base that brought the package in; empty when this image did (or its upstream).
	Inherited string
}

// Parent is one image of the catalog that a recipe names.
type Parent struct {
	Name      string // in the graph
	Reference string // as the recipe names it, resolved
	Kind      graph.EdgeKind
	Where     string // "Dockerfile:3"
	// Platform is the one for which it is taken, which for a builder need not be the one that is built for; empty: the one
	// for which it was looked at.
	Platform string `json:",omitempty"`
	// Used is the digest that the current image was built with, or with which a rebuild changed nothing; empty: unknown.
	Used string
}

// Attempt is the memory of a build key: a key is built once, and after a failure again in each back-off slot.
type Attempt struct {
	Outcome string // built, unchanged, not-taken, failed
	Reason  string
	Digest  string
	Tries   int
	At      time.Time
	Next    time.Time // zero: not before the inputs change
	Gate    string    // of a failed one, that Digest did not pass; empty: it came to no gate
}

// Application is what is known of one image of an application.
type Application struct {
	Image
	Application string
	Strategy    string
	Repository  string
	Branch      string
	Commit      string // tip of Branch when looked
	Problem     string // why its repository or Dockerfile cannot be read
	References  []Reference
	// Upstreams are its references to upstreams of the catalog, of which nobody is told.
	Upstreams []Reference
	// Pins are its references to bases in other files than Dockerfiles, at its first image. Nothing is built from them: they say
	// what runs, and are brought along.
	Pins []Reference
	// Strays are references to a base that follow no channel of it: "base/debian by the tag 12.1 (Dockerfile:1)".
	Strays []string
	// Told is the newest proposal or dispatch for it that is open or was closed by a person.
	Told *Told
	// Attempt is the memory of the last time that telling it of exactly the digests of now failed; nil when it did not, or
	// when it was told of them since.
	Attempt *Attempt
	// Busy names the running rollout that is about to tell it. Held says that it has not let it go yet: one that brings a
	// newer base may take it over.
	Busy string
	Held bool
}

// Runs is the kind of a reference in a file that says what runs: no edge of the graph, for nothing is built from it.
const Runs graph.EdgeKind = "runs"

// Named are all references to bases, whatever file they are in.
func (a Application) Named() []Reference { return append(slices.Clip(a.References), a.Pins...) }

// Reference is one reference to an image of the catalog in a file of an application's repository.
type Reference struct {
	Base       string // in the graph
	Reference  string // without digest: "registry/base/debian:stable"
	Pinned     v1.Hash
	Kind       graph.EdgeKind
	File       string
	Line       int
	Rewritable bool
	Why        string // why it cannot be rewritten
	// Bots are the other bots that update it, or may; Left says that it is left to them.
	Bots []coexist.Answer
	Left bool
}

// TellKey is the key under which it is remembered that an application could not be told of these digests.
func TellKey(application string, wants map[string]string) string {
	lines := []string{"tell " + application}
	for _, base := range slices.Sorted(maps.Keys(wants)) {
		lines = append(lines, base+" "+wants[base])
	}
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}

// Wants are the digests that applications should stand on, by application, then base: those on the channels now, but for
// what is in quarantine.
func (f Facts) Wants() map[string]map[string]string {
	wants := map[string]map[string]string{}
	for _, a := range f.Applications {
		w := wants[a.Application]
		if w == nil {
			w = map[string]string{}
			wants[a.Application] = w
		}
		for _, r := range a.Named() {
			if b := f.Bases[r.Base]; b.Exists() && b.usable() {
				w[r.Base] = b.Digest.String()
			}
		}
	}
	return wants
}

// Told is what an application was told last.
type Told struct {
	Rollout string
	State   string // open, merged, closed
	Number  int
	URL     string
	Since   time.Time
	Reason  string            // why it was closed
	Wants   map[string]string // base -> digest
}

// Inputs are everything that decides what a build of a base makes.
type Inputs struct {
	Image    string   `json:"image"`
	Recipe   string   `json:"recipe"`
	Platform string   `json:"platform"`
	State    string   `json:"state"` // of the package repositories
	Parents  []Pinned `json:"parents"`
	// Fresh is what the last fresh build is known by, or the one that this is; empty: there was none.
	Fresh string `json:"fresh,omitempty"`
	// Uncached builds take no step from the cache: not all of them can be keyed by State.
	Uncached bool `json:"uncached,omitempty"`
	// Epoch is the time of the newest of all inputs that have one, which times in the image are bounded by; zero: none has.
	// It is told by the others, and not part of the key.
	Epoch time.Time `json:"epoch,omitzero"`
}

// Pinned is a parent with the digest that a build stands on.
type Pinned struct {
	Parent
	Digest v1.Hash `json:"digest"`
}

// Key is the build key: the same inputs give the same key, and a key is built once.
func (i Inputs) Key() string {
	lines := make([]string, 0, len(i.Parents))
	for _, p := range i.Parents {
		lines = append(lines, p.Reference+" "+p.Digest.String())
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	if i.Fresh != "" {
		lines = append(lines, "fresh "+i.Fresh)
	}
	sum := sha256.Sum256([]byte(strings.Join(append([]string{i.Image, i.Recipe, i.Platform, i.State}, lines...), "\n")))
	return hex.EncodeToString(sum[:])
}
