package dockerfile

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// reference is what may be written into a Dockerfile: nothing that its syntax, or a mount's, gives a meaning. A registry
// may be an IPv6 address.
var reference = regexp.MustCompile(`^(\[[0-9A-Fa-f:]+\](:[0-9]+)?/)?[A-Za-z0-9][A-Za-z0-9._:/@+-]*$`)

// Rewrite asks change for the new text of every reference to an image and returns the file with those for which it
// says true replaced; no other byte is touched, and without changes the result equals the source. What several
// references share, such as the default of an ARG, is written once.
//
// The new text is the whole reference, with all variables resolved. It is an error to change what is not Rewritable,
// and one whose change would alter another reference that change left as it was: the result is parsed again to be
// sure that exactly what was asked for has changed. Rewriting twice is rewriting once.
func (f *File) Rewrite(change func(Reference) (string, bool)) ([]byte, error) {
	want := make([]string, len(f.References))
	var edits []edit
	for i, r := range f.References {
		want[i] = r.Name
		if r.Stage != "" {
			continue
		}
		name, ok := change(r)
		if !ok || name == r.Name {
			continue
		}
		e, err := r.edit(name)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", f.Path, r.Line, err)
		}
		want[i] = name
		edits = append(edits, e)
	}
	out, err := apply(f.src, edits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	if len(edits) > 0 {
		if err := f.verify(out, want); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// edit is the change that gives r the name.
func (r Reference) edit(name string) (edit, error) {
	if !r.Rewritable {
		return edit{}, fmt.Errorf("%s cannot be rewritten: %s", r.Raw, r.Why)
	}
	if !reference.MatchString(name) {
		return edit{}, fmt.Errorf("%q is not an image reference", name)
	}
	rest, ok := strings.CutPrefix(name, r.slot.prefix)
	if !ok || rest == "" {
		return edit{}, fmt.Errorf("%s cannot become %s: its variables make it begin with %s", r.Raw, name, r.slot.prefix)
	}
	return edit{r.Start, r.End, rest}, nil
}

// edit replaces the bytes from start to end.
type edit struct {
	start, end int
	text       string
}

func apply(src []byte, edits []edit) ([]byte, error) {
	slices.SortFunc(edits, func(a, b edit) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end), strings.Compare(a.text, b.text))
	})
	edits = slices.Compact(edits)
	var out bytes.Buffer
	at := 0
	for _, e := range edits {
		if e.start < at {
			return nil, fmt.Errorf("%q is shared by references that are to become different ones", src[e.start:e.end])
		}
		out.Write(src[at:e.start])
		out.WriteString(e.text)
		at = e.end
	}
	out.Write(src[at:])
	return out.Bytes(), nil
}

// verify parses the result: its references must be the old ones with the wanted names.
func (f *File) verify(out []byte, want []string) error {
	after, err := Parse(f.Path, out, f.args)
	if err != nil {
		return fmt.Errorf("%s: the rewritten file would not parse: %w", f.Path, err)
	}
	if len(after.References) != len(want) {
		return fmt.Errorf("%s: the rewritten file would have %d references, not %d", f.Path, len(after.References), len(want))
	}
	for i, r := range after.References {
		was := f.References[i]
		if r.Role != was.Role || r.Stage != was.Stage || r.Name != want[i] {
			return fmt.Errorf("%s:%d: the change would also turn %s from %s into %s", f.Path, was.Line, was.Raw, was.Name, r.Name)
		}
		if r.Platform != was.Platform {
			return fmt.Errorf("%s:%d: the change would also turn %s from %s into %s", f.Path, was.Line, was.Raw, was.Platform, r.Platform)
		}
	}
	return nil
}
