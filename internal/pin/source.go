package pin

import (
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// source knows where its lines begin, as YAML counts them.
type source struct {
	src   []byte
	begin []int
}

// lines are the offsets at which lines begin.
func lines(src []byte) []int {
	begin := []int{0}
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		i += n
		switch {
		case r == '\r' && i < len(src) && src[i] == '\n':
			i++
			begin = append(begin, i)
		case strings.ContainsRune("\n\r\u0085\u2028\u2029", r):
			begin = append(begin, i)
		}
	}
	return begin
}

// token is a scalar in the source, without its quotes; close is behind them.
type token struct{ start, end, close int }

// token finds a scalar in the source; false when it is not there letter by letter, as what is folded or escaped is not.
func (s source) token(n *yaml.Node) (token, bool) {
	if n == nil || n.Kind != yaml.ScalarNode || n.Line < 1 || n.Line > len(s.begin) {
		return token{}, false
	}
	at := s.begin[n.Line-1]
	if n.Line == 1 && strings.HasPrefix(string(s.src[:min(3, len(s.src))]), "\ufeff") {
		at += len("\ufeff")
	}
	for range n.Column - 1 {
		if at >= len(s.src) {
			return token{}, false
		}
		_, width := utf8.DecodeRune(s.src[at:])
		at += width
	}
	quote := ""
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		quote = `"`
	case n.Style&yaml.SingleQuotedStyle != 0:
		quote = `'`
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) != 0, n.Value == "":
		return token{}, false
	}
	if n.Anchor != "" || !strings.HasPrefix(string(s.src[at:min(len(s.src), at+len(n.Value)+2)]), quote+n.Value+quote) {
		return token{}, false
	}
	start := at + len(quote)
	end := start + len(n.Value)
	return token{start, end, end + len(quote)}, true
}

// endOfLine is where the line of an offset ends, and what ends lines there.
func (s source) endOfLine(at int) (end int, eol string) {
	i, _ := slices.BinarySearch(s.begin, at+1)
	if i == len(s.begin) {
		end = len(s.src)
	} else {
		end = s.begin[i]
	}
	trimmed := len(strings.TrimRight(string(s.src[at:end]), "\r\n")) + at
	if eol = string(s.src[trimmed:end]); eol == "" {
		eol = "\n"
	}
	return trimmed, eol
}

// edit replaces the bytes from start to end.
type edit struct {
	start, end int
	text       string
}

func apply(src []byte, edits []edit) []byte {
	slices.SortStableFunc(edits, func(a, b edit) int { return a.start - b.start })
	var out []byte
	at := 0
	for _, e := range edits {
		out = append(append(out, src[at:e.start]...), e.text...)
		at = e.end
	}
	return append(out, src[at:]...)
}

// pairs are the keys and values of a mapping; of anything else there are none.
func pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		if !isMap(n) {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

func isMap(n *yaml.Node) bool { return n != nil && n.Kind == yaml.MappingNode }

func get(n *yaml.Node, name string) *yaml.Node {
	for key, value := range pairs(n) {
		if key.Value == name {
			return value
		}
	}
	return nil
}

// scalar is the text of a scalar; empty when it is none, or null.
func scalar(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return ""
	}
	return n.Value
}

func text(n *yaml.Node, name string) string { return scalar(get(n, name)) }
