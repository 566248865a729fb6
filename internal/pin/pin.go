// Package pin finds the image references in YAML files that say what runs where - Kubernetes manifests, Kustomize files, Helm
// values, Compose files - and pins them to digests. Nothing but the reference is touched: comments, quotes, order and line ends
// stay as they are.
//
// What kind a document is of is seen from the document. Templates are no YAML, and are refused with their line.
package pin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"go.yaml.in/yaml/v3"
)

// Bounds of what is read: more is refused.
const (
	MaxSize    = 1 << 20 // bytes of a file
	maxNodes   = 100_000 // of all its documents; an alias counts as one
	maxDepth   = 200
	maxDigests = 1000 // references of a file
)

// Kind says what a document is for.
type Kind string

// The kinds of documents.
const (
	Kubernetes Kind = "kubernetes" // a manifest: it has apiVersion and kind
	Kustomize  Kind = "kustomize"  // a kustomization: images with newName, newTag and digest
	Compose    Kind = "compose"    // services with an image each
	Helm       Kind = "helm"       // values: "image" as text, or as repository, tag and digest
)

// Reference is one image that a file names.
type Reference struct {
	Kind Kind
	// Name is the whole reference, as far as the file has it: "registry.example.com/base/nginx:stable@sha256:...".
	Name string
	Line int // where it stands; 1 is the first
	// Rewritable says whether Pin can change it; Why says why not.
	Rewritable bool
	Why        string

	set func(digest string) edit
}

// Repository is the name without tag and digest.
func (r Reference) Repository() string {
	named, err := reference.Parse(r.Name)
	if n, ok := named.(reference.Named); err == nil && ok {
		return n.Name()
	}
	return r.Name
}

// Digest is what the reference is pinned to; empty when it is not.
func (r Reference) Digest() string {
	_, d, _ := strings.Cut(r.Name, "@")
	return d
}

// File is one file, read.
type File struct {
	Path       string
	References []Reference // in the order of their lines

	src []byte
}

// Parse reads a file. An error names path and line; references that cannot be rewritten are no error.
func Parse(path string, src []byte) (*File, error) {
	if len(src) > MaxSize {
		return nil, fmt.Errorf("%s: %d bytes: at most %d are read", path, len(src), MaxSize)
	}
	docs, err := documents(path, src)
	if err != nil {
		return nil, err
	}
	s := source{src, lines(src)}
	f := &File{Path: path, src: src}
	for _, doc := range docs {
		w := walker{source: s, kind: kindOf(doc)}
		w.document(doc)
		f.References = append(f.References, w.found...)
	}
	if len(f.References) > maxDigests {
		return nil, fmt.Errorf("%s: %d image references: at most %d are read", path, len(f.References), maxDigests)
	}
	slices.SortStableFunc(f.References, func(a, b Reference) int { return a.Line - b.Line })
	return f, nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// documents are the roots of the file's documents.
func documents(path string, src []byte) ([]*yaml.Node, error) {
	budget := maxNodes
	var docs []*yaml.Node
	for d := yaml.NewDecoder(bytes.NewReader(src)); ; {
		var doc yaml.Node
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, wrong(path, src, err)
		}
		if len(doc.Content) != 1 {
			continue
		}
		if !within(&doc, maxDepth, &budget) {
			return nil, fmt.Errorf("%s: more than %d values, or nested deeper than %d: it is not read", path, maxNodes, maxDepth)
		}
		docs = append(docs, doc.Content[0])
	}
}

func wrong(path string, src []byte, err error) error {
	at := yamlLine.FindStringSubmatch(err.Error())
	text := yamlLine.ReplaceAllLiteralString(err.Error(), "")
	if bytes.Contains(src, []byte("{{")) {
		text += " (a template is no YAML: name the file with its values instead)"
	}
	if len(at) == 2 && at[1] != "" {
		path += ":" + at[1]
	}
	return fmt.Errorf("%s: %s", path, text)
}

func within(n *yaml.Node, depth int, budget *int) bool {
	if *budget--; *budget < 0 || depth < 0 {
		return false
	}
	for _, c := range n.Content {
		if !within(c, depth-1, budget) {
			return false
		}
	}
	return true
}

func kindOf(doc *yaml.Node) Kind {
	switch {
	case text(doc, "kind") == "Kustomization":
		return Kustomize
	case text(doc, "apiVersion") != "" && text(doc, "kind") != "":
		return Kubernetes
	case isMap(get(doc, "services")):
		return Compose
	case get(doc, "images") != nil && (get(doc, "resources") != nil || get(doc, "bases") != nil):
		return Kustomize // kind may be left out
	}
	return Helm
}

// Pin asks want for the digest of every reference and returns the file with those pinned for which it gives one; all other
// bytes stay. Empty leaves a reference as it is. Pinning twice is pinning once. It is an error to pin what is not Rewritable.
// The result is parsed again, to be sure that exactly what was asked for has changed.
func (f *File) Pin(want func(Reference) string) ([]byte, error) {
	names := make([]string, len(f.References))
	var edits []edit
	for i, r := range f.References {
		names[i] = r.Name
		d := want(r)
		if d == "" || d == r.Digest() {
			continue
		}
		if _, err := digest.Parse(d); err != nil {
			return nil, fmt.Errorf("%s:%d: %s is pinned to no digest: %q: %w", f.Path, r.Line, r.Name, d, err)
		}
		if !r.Rewritable {
			return nil, fmt.Errorf("%s:%d: %s cannot be pinned: %s", f.Path, r.Line, r.Name, r.Why)
		}
		edits = append(edits, r.set(d))
		name, _, _ := strings.Cut(r.Name, "@")
		names[i] = name + "@" + d
	}
	if len(edits) == 0 {
		return f.src, nil
	}
	out := apply(f.src, edits)
	again, err := Parse(f.Path, out)
	if err != nil {
		return nil, fmt.Errorf("%s: pinning would break it: %w", f.Path, err)
	}
	if got := again.names(); !slices.Equal(got, names) {
		return nil, fmt.Errorf("%s: pinning would change more than was asked for: it would name %s", f.Path, quoted(got))
	}
	return out, nil
}

func (f *File) names() []string {
	names := make([]string, len(f.References))
	for i, r := range f.References {
		names[i] = r.Name
	}
	return names
}

func quoted(names []string) string {
	var out []string
	for _, n := range names[:min(len(names), 10)] {
		out = append(out, strconv.Quote(n))
	}
	return strings.Join(out, ", ")
}
