// Package graph holds the images of an organisation and which of them stand on which, with the evidence for it.
// It is pure: no I/O, no clock, no context. Nodes are named by their catalog name.
//
// Recipes say what the next build will stand on; everything else tells of what was built. Where they differ the layers
// win on what is and the recipe on what will be, and Disagreements says so.
package graph

import "slices"

// Kind says who makes an image.
type Kind string

const (
	Upstream    Kind = "upstream"    // made by somebody else; we only watch its digest
	Base        Kind = "base"        // built by us from a recipe
	Application Kind = "application" // built by its own repository
	Observed    Kind = "observed"    // found by discovery; nobody declared it
)

// EdgeKind says how a child uses its parent.
type EdgeKind string

const (
	Inherits   EdgeKind = "inherits"    // final stage FROM: packages flow down
	BuildsWith EdgeKind = "builds-with" // a builder stage's FROM
	CopiesFrom EdgeKind = "copies-from" // COPY --from, RUN --mount=from, ONBUILD
	Uses       EdgeKind = "uses"        // the evidence does not say how: provenance lists what a build read, not what for
)

// Evidence says why an edge is believed.
type Evidence string

const (
	FromRecipe     Evidence = "recipe"     // what the next build will do
	FromAnnotation Evidence = "annotation" // the image says so itself: a claim
	FromProvenance Evidence = "provenance" // the builder says so: a claim, unless the builder was ours
	FromLayers     Evidence = "layers"     // the parent's layers are the child's first ones: proof
)

// strength is how well e proves what an image is: the layers best, a recipe, which only tells of the next one, least.
func (e Evidence) strength() int {
	return slices.Index([]Evidence{FromRecipe, FromAnnotation, FromProvenance, FromLayers}, e)
}

// built says that e tells of an image that was built.
func (e Evidence) built() bool { return e.strength() > FromRecipe.strength() }

// Node is one image.
type Node struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
}

// Edge says that Child is built on Parent.
type Edge struct {
	Parent   string   `json:"parent"`
	Child    string   `json:"child"`
	Kind     EdgeKind `json:"kind"`
	Evidence Evidence `json:"evidence"`
	// Platform is the child's, "linux/arm64", where what was built differs between them; empty: all that are known. Where a
	// recipe takes the parent for another platform than the child's, as for a builder, it is that one.
	Platform string `json:"platform,omitempty"`
	// Digest is the parent's: what the child stands on or, of a recipe, what its next build will; empty when the
	// evidence does not say.
	Digest string `json:"digest,omitempty"`
	Where  string `json:"where,omitempty"` // the line of the recipe that names the parent: "Dockerfile:3"
}
