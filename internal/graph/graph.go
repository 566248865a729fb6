// Package graph holds the images of an organisation and which of them stand on which.
// It is pure: no I/O, no clock, no context. Nodes are named by their catalog name.
package graph

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
)

// Evidence says why an edge is believed. Layers are the strongest.
type Evidence string

const (
	FromRecipe     Evidence = "recipe"
	FromProvenance Evidence = "provenance"
	FromLayers     Evidence = "layers"
)

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
	Where    string   `json:"where,omitempty"` // "Dockerfile:3" for recipe evidence
}
