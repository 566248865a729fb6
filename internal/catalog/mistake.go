package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Mistake is one thing that is wrong with a catalog, and the way out.
type Mistake struct {
	File    string // as given to Load or Parse
	Line    int    // 1 is the first; 0 when the whole file is meant
	Column  int    // of what is marked in the line, in bytes; 1 is the first, 0 marks nothing
	Width   int    // of what is marked, in bytes
	Text    string // the line itself; secrets in it are masked
	Message string // what is wrong
	Hint    string // what to do about it
}

// String is the mistake as people read it:
//
//	catalog.toml:12: base "base/python" has no context directory "bases/pyton"
//	    context = "bases/pyton"
//	              ^^^^^^^^^^^^^
//	  hint: did you mean "bases/python"?
func (m Mistake) String() string {
	var b strings.Builder
	b.WriteString(m.File)
	if m.Line > 0 {
		fmt.Fprintf(&b, ":%d", m.Line)
	}
	b.WriteString(": " + m.Message)
	if strings.TrimSpace(m.Text) != "" {
		b.WriteString("\n    " + m.Text)
	}
	if c := m.caret(); c != "" {
		b.WriteString("\n    " + c)
	}
	if m.Hint != "" {
		b.WriteString("\n  hint: " + m.Hint)
	}
	return b.String()
}

// caret is the line that marks a part of Text. Tabs are kept so that it stands right at any tab width.
func (m Mistake) caret() string {
	start := m.Column - 1
	if start < 0 || m.Width <= 0 || start+m.Width > len(m.Text) {
		return ""
	}
	lead := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, m.Text[:start])
	return lead + strings.Repeat("^", len([]rune(m.Text[start:start+m.Width])))
}

// Errors is every mistake of a catalog, in the order of its lines. Load and Parse return it as the error, to be taken
// out with errors.As.
type Errors []Mistake

func (e Errors) Error() string {
	texts := make([]string, len(e))
	for i, m := range e {
		texts[i] = m.String()
	}
	return strings.Join(texts, "\n")
}

// notes gathers mistakes while a catalog is read.
type notes struct {
	file     string
	lines    []string // of the source, without line ends
	secrets  []string // never to be printed
	mistakes Errors
}

func (n *notes) add(at span, hint, format string, args ...any) {
	m := Mistake{File: n.file, Line: at.line, Message: fmt.Sprintf(format, args...), Hint: hint}
	if at.line >= 1 && at.line <= len(n.lines) {
		m.Text = n.lines[at.line-1]
		if at.width > 0 && at.col+at.width <= len(m.Text) {
			m.Column, m.Width = at.col+1, at.width
		}
	}
	n.mistakes = append(n.mistakes, m)
}

// err returns what was gathered: sorted, nothing twice, no secret in it.
func (n *notes) err() error {
	if len(n.mistakes) == 0 {
		return nil
	}
	for i := range n.mistakes {
		n.mask(&n.mistakes[i])
	}
	slices.SortStableFunc(n.mistakes, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(n.mistakes)
}

func (n *notes) mask(m *Mistake) {
	text := m.Text
	for _, secret := range n.secrets {
		for _, s := range []*string{&m.Text, &m.Message, &m.Hint} {
			*s = strings.ReplaceAll(*s, secret, "…")
		}
	}
	if m.Text != text {
		m.Column, m.Width = 0, 0
	}
	m.Text = strings.TrimRight(m.Text, " \t")
}
