package graph

import "fmt"

// Disagreement is where what is known of an image does not fit together: its recipe and what was built, or a claim and
// the layers.
type Disagreement struct {
	Image    string `json:"image"`
	Platform string `json:"platform,omitempty"` // empty: all that are known
	Says     *Edge  `json:"says,omitempty"`     // what the recipe or the claim says; nil when the recipe says nothing
	Is       Edge   `json:"is"`                 // what is believed of the published image
	Sentence string `json:"sentence"`           // about Image, without its name
}

// Disagreements returns every image whose published form is not of the parents that its recipe names, or not of the
// digests that they have now, and every claim that the layers refute; by image, then platform. That an image follows its
// recipe only at its next build is one, too: it says what is still to come.
func (g *Graph) Disagreements() []Disagreement {
	var out []Disagreement
	for i := range g.nodes {
		edges := make([]Edge, 0, len(g.in.of(int32(i))))
		for _, k := range g.in.of(int32(i)) {
			edges = append(edges, g.edge(k))
		}
		out = append(out, disagreements(edges, g.Built(g.nodes[i].Name))...)
	}
	return out
}

// disagreements are those of one image: edges are all that lead to it, built what it inherits from.
func disagreements(edges, built []Edge) (out []Disagreement) {
	for _, is := range built {
		if says, ok := recipe(edges, is, Inherits); ok && says.Parent != is.Parent {
			out = append(out, differ(&says, is, fmt.Sprintf("its recipe says %s, %s stands on %s by its %s", says.saying(), is.published(), is.saying(), is.Evidence)))
		} else if ok && other(says, is) {
			out = append(out, differ(&says, is, fmt.Sprintf("its recipe says %s, now %s; %s still stands on %s by its %s", says.saying(), short(says.Digest), is.published(), short(is.Digest), is.Evidence)))
		} else if !ok && named(edges) {
			out = append(out, differ(nil, is, fmt.Sprintf("%s stands on %s by its %s, from which its recipe does not inherit", is.published(), is.saying(), is.Evidence)))
		}
		out = append(out, refuted(edges, is)...)
	}
	return append(out, copied(edges)...)
}

// copied are the disagreements about what an image is built with or copies from.
func copied(edges []Edge) (out []Disagreement) {
	if !named(edges) {
		return nil
	}
	for _, is := range edges {
		if is.Kind == Inherits || !is.Evidence.built() {
			continue
		}
		switch says, ok := recipe(edges, is, is.Kind); {
		case !ok:
			out = append(out, differ(nil, is, fmt.Sprintf("%s was made with %s by its %s, which its recipe does not name", is.published(), is.saying(), is.Evidence)))
		case other(says, is):
			out = append(out, differ(&says, is, fmt.Sprintf("its recipe says %s, now %s; %s was made with %s by its %s", says.saying(), short(says.Digest), is.published(), short(is.Digest), is.Evidence)))
		}
	}
	return out
}

// refuted are the claims that the layers of the same platform show to be wrong.
func refuted(edges []Edge, is Edge) (out []Disagreement) {
	if is.Evidence != FromLayers {
		return nil
	}
	for _, claim := range edges {
		if claim.Kind != Inherits || claim.Platform != is.Platform || claim.Evidence != FromAnnotation && claim.Evidence != FromProvenance {
			continue
		}
		if claim.Parent != is.Parent || other(claim, is) {
			out = append(out, differ(&claim, is, fmt.Sprintf("its %s claims %s, its layers are those of %s", claim.Evidence, claim.exact(), is.exact())))
		}
	}
	return out
}

func differ(says *Edge, is Edge, sentence string) Disagreement {
	return Disagreement{Image: is.Child, Platform: is.Platform, Says: says, Is: is, Sentence: sentence}
}

// recipe finds what a recipe says about the way in which is uses its parent: of that parent where it names it, else any
// that it inherits from.
func recipe(edges []Edge, is Edge, kind EdgeKind) (says Edge, ok bool) {
	for _, e := range edges {
		if e.Evidence.built() || e.Kind != kind {
			continue
		}
		if e.Parent == is.Parent {
			return e, true
		}
		if kind == Inherits && !ok {
			says, ok = e, true
		}
	}
	return says, ok
}

// named says that there is a recipe that names anything at all.
func named(edges []Edge) bool {
	for _, e := range edges {
		if !e.Evidence.built() {
			return true
		}
	}
	return false
}

// other says that two edges name different digests, as far as both name one.
func other(a, b Edge) bool { return a.Digest != "" && b.Digest != "" && a.Digest != b.Digest }

func (e Edge) published() string {
	if e.Platform == "" {
		return "the published image"
	}
	return "the published image for " + e.Platform
}

// saying is the parent and where it is named.
func (e Edge) saying() string {
	if e.Where == "" || e.Evidence.built() {
		return e.Parent
	}
	return e.Parent + " (" + e.Where + ")"
}

// exact is the parent and its digest.
func (e Edge) exact() string {
	if e.Digest == "" {
		return e.Parent
	}
	return e.Parent + " " + short(e.Digest)
}

// short is a digest as people read it: twelve digits.
func short(d string) string {
	const prefix = len("sha256:")
	if len(d) > prefix+12 {
		return d[prefix : prefix+12]
	}
	return d
}
