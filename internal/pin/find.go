package pin

import (
	"strings"

	"github.com/distribution/reference"
	"go.yaml.in/yaml/v3"
)

// walker finds the references of one document.
type walker struct {
	source
	kind  Kind
	found []Reference
}

func (w *walker) document(doc *yaml.Node) {
	switch w.kind {
	case Kustomize:
		w.kustomization(doc)
	case Compose:
		w.services(get(doc, "services"))
	default:
		w.images(doc)
	}
}

// images finds what stands below a key "image", at any depth: containers, also those of custom resources, and values.
func (w *walker) images(n *yaml.Node) {
	if n.Kind == yaml.SequenceNode {
		for _, c := range n.Content {
			w.images(c)
		}
	}
	if w.kind == Helm && isMap(n) {
		w.values(n)
	}
	for key, value := range pairs(n) {
		switch {
		case key.Value == "image" && w.kind == Kubernetes && isMap(value):
			w.text(get(value, "reference")) // a volume
			w.images(value)
		case key.Value == "image" && value.Kind != yaml.MappingNode:
			w.text(value)
		default:
			w.images(value)
		}
	}
}

func (w *walker) services(n *yaml.Node) {
	for _, s := range pairs(n) {
		if get(s, "build") == nil { // else the image is what is built
			w.text(get(s, "image"))
		}
	}
}

// text is a reference that is written as one.
func (w *walker) text(n *yaml.Node) {
	if n == nil || n.Kind != yaml.ScalarNode && n.Kind != yaml.AliasNode {
		return
	}
	r := Reference{Kind: w.kind, Name: n.Value, Line: n.Line}
	if n.Kind == yaml.AliasNode {
		r.Name, r.Why = n.Alias.Value, "it is an alias: write the reference there"
	}
	if r.Why == "" && variable(r.Name) {
		r.Why = "it has a variable: its value is not in this file"
	}
	if r.Why == "" && !isReference(r.Name) {
		return
	}
	name, _, _ := strings.Cut(r.Name, "@")
	w.add(r, n, func(t token) func(string) edit {
		return func(d string) edit { return edit{t.start, t.end, name + "@" + d} }
	})
}

// values is an image whose parts have a key each. Where there is a key for the digest it is set, else the tag gets it, as
// in "stable@sha256:...": charts put the two together.
func (w *walker) values(n *yaml.Node) {
	repository := get(n, "repository")
	tag, digest := get(n, "tag"), get(n, "digest")
	if repository == nil || repository.Kind != yaml.ScalarNode || tag == nil && digest == nil {
		return
	}
	name := repository.Value
	if registry := text(n, "registry"); registry != "" {
		name = registry + "/" + name
	}
	r := Reference{Kind: w.kind, Name: name, Line: repository.Line}
	bare, pinned, _ := strings.Cut(scalar(tag), "@")
	if bare != "" {
		r.Name += ":" + bare
	}
	if d := scalar(digest); d != "" {
		pinned = d
	}
	if pinned != "" {
		r.Name += "@" + pinned
	}
	switch {
	case !isReference(r.Name) && !variable(r.Name):
		return
	case variable(r.Name):
		r.Why = "it has a variable: its value is not in this file"
	}
	if _, ok := w.token(digest); ok {
		w.add(r, digest, func(t token) func(string) edit {
			return func(d string) edit { return edit{t.start, t.end, d} }
		})
		return
	}
	if bare == "" && r.Why == "" {
		r.Why = "its tag is the chart's own: write tag, or digest, beside repository"
	}
	w.add(r, tag, func(t token) func(string) edit {
		return func(d string) edit { return edit{t.start, t.end, bare + "@" + d} }
	})
}

// kustomization: newName and newTag replace parts of what manifests name; digest, when it is there, pins.
func (w *walker) kustomization(doc *yaml.Node) {
	images := get(doc, "images")
	if images == nil || images.Kind != yaml.SequenceNode {
		return
	}
	for _, n := range images.Content {
		if !isMap(n) || text(n, "name") == "" {
			continue
		}
		r := Reference{Kind: Kustomize, Name: text(n, "name"), Line: get(n, "name").Line}
		if name := text(n, "newName"); name != "" {
			r.Name = name
		}
		if tag := text(n, "newTag"); tag != "" {
			r.Name += ":" + tag
		}
		digest := get(n, "digest")
		if d := scalar(digest); d != "" {
			r.Name += "@" + d
		}
		if !isReference(r.Name) {
			continue
		}
		if digest != nil {
			w.add(r, digest, func(t token) func(string) edit {
				return func(d string) edit { return edit{t.start, t.end, d} }
			})
			continue
		}
		w.insert(r, n)
	}
}

// insert gives an entry of a kustomization the key that it does not have, below the last one that says what the image is.
func (w *walker) insert(r Reference, n *yaml.Node) {
	for _, name := range []string{"newTag", "newName", "name"} {
		for key, value := range pairs(n) {
			if key.Value != name {
				continue
			}
			w.add(r, value, func(t token) func(string) edit {
				if n.Style&yaml.FlowStyle != 0 {
					return func(d string) edit { return edit{t.close, t.close, ", digest: " + d} }
				}
				end, eol := w.endOfLine(t.close)
				indent := strings.Repeat(" ", key.Column-1)
				return func(d string) edit { return edit{end, end, eol + indent + "digest: " + d} }
			})
			return
		}
	}
}

// add takes a reference whose digest is set at the scalar n, by what set makes of it.
func (w *walker) add(r Reference, n *yaml.Node, set func(token) func(string) edit) {
	t, ok := w.token(n)
	if r.Why == "" && !ok {
		r.Why = "it is not written in one piece on one line"
	}
	if r.Rewritable = r.Why == ""; r.Rewritable {
		r.set = set(t)
	}
	w.found = append(w.found, r)
}

func variable(s string) bool { return strings.ContainsAny(s, "${}") }

func isReference(s string) bool {
	r, err := reference.Parse(s)
	_, named := r.(reference.Named)
	return err == nil && named
}
