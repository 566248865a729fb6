package catalog

import (
	"strings"

	"github.com/BurntSushi/toml"
)

// span is a part of one line of the source.
type span struct {
	line  int // 1 is the first
	col   int // bytes before it in the line
	width int // in bytes
}

// place says where a value of the document stands. The toml package keeps no positions of keys, and none at all that
// tell the elements of an array of tables apart, so the source is walked once more here. Only documents that package
// has accepted are walked; whatever is not understood ends the walk and leaves the rest without a place.
type place struct {
	key   span              // the key or header that names it
	value span              // its first line; a header's for tables
	keys  map[string]*place // of a table
	elems []*place          // of an array
}

func (p *place) child(key string) *place {
	if p.keys == nil {
		p.keys = map[string]*place{}
	}
	c, ok := p.keys[key]
	if !ok {
		c = &place{}
		p.keys[key] = c
	}
	return c
}

// into is child, but an array of tables stands for its last element, as in TOML headers.
func (p *place) into(key string) *place {
	c := p.child(key)
	if n := len(c.elems); n > 0 {
		return c.elems[n-1]
	}
	return c
}

// of returns the place of a key, or p's own when it is not known.
func (p *place) of(key string) *place {
	if c, ok := p.keys[key]; ok && c.key.line > 0 {
		return c
	}
	return &place{key: p.key, value: p.key}
}

// elem returns the place of an element, or p's own when it is not known.
func (p *place) elem(i int) *place {
	if i < len(p.elems) {
		return p.elems[i]
	}
	return &place{key: p.key, value: p.value}
}

// walk returns the place of everything in src.
func walk(src string) *place {
	w := walker{src: src, line: 1}
	if strings.HasPrefix(src, "\xef\xbb\xbf") {
		w.at = 3
	}
	root := &place{}
	root.key = span{line: 1}
	w.document(root)
	return root
}

type walker struct {
	src   string
	at    int // next byte
	line  int
	begin int // of the line
}

func (w *walker) document(root *place) {
	table := root
	for w.blank(); w.at < len(w.src); w.blank() {
		start := w.at
		if w.peek() == '[' {
			table = w.header(root)
		} else {
			w.keyValue(table)
		}
		w.restOfLine()
		if w.at == start {
			return
		}
	}
}

func (w *walker) peek() byte {
	if w.at < len(w.src) {
		return w.src[w.at]
	}
	return 0
}

func (w *walker) next() {
	if w.peek() == '\n' {
		w.line++
		w.begin = w.at + 1
	}
	w.at++
}

// blank skips white space, line ends and comments.
func (w *walker) blank() {
	for w.at < len(w.src) {
		switch w.peek() {
		case ' ', '\t', '\r', '\n':
			w.next()
		case '#':
			w.restOfLine()
		default:
			return
		}
	}
}

func (w *walker) spaces() {
	for w.peek() == ' ' || w.peek() == '\t' {
		w.at++
	}
}

func (w *walker) restOfLine() {
	for w.at < len(w.src) && w.peek() != '\n' {
		w.at++
	}
}

// spanFrom is what was read since start on the line on which it began.
func (w *walker) spanFrom(start, line, begin int) span {
	end := w.at
	if w.line != line {
		end = start + strings.IndexByte(w.src[start:], '\n')
		end = start + len(strings.TrimRight(w.src[start:end], "\r"))
	}
	return span{line: line, col: start - begin, width: end - start}
}

// header reads [a.b] or [[a.b]] and returns the place of the table it opens.
func (w *walker) header(root *place) *place {
	start, line, begin := w.at, w.line, w.begin
	w.at++
	array := w.peek() == '['
	if array {
		w.at++
	}
	parts, _ := w.dotted()
	for w.peek() == ']' || w.peek() == ' ' || w.peek() == '\t' {
		w.at++
	}
	here := w.spanFrom(start, line, begin)
	here.width = len(strings.TrimRight(w.src[start:start+here.width], " \t"))
	if len(parts) == 0 {
		return root
	}
	table := root
	for _, part := range parts[:len(parts)-1] {
		table = table.into(part)
		if table.key.line == 0 {
			table.key, table.value = here, here
		}
	}
	last := parts[len(parts)-1]
	if !array {
		table = table.into(last)
		table.key, table.value = here, here
		return table
	}
	list := table.child(last)
	if list.key.line == 0 {
		list.key, list.value = here, here
	}
	elem := &place{key: here, value: here}
	list.elems = append(list.elems, elem)
	return elem
}

func (w *walker) keyValue(table *place) {
	start, line, begin := w.at, w.line, w.begin
	parts, ok := w.dotted()
	if !ok || w.peek() != '=' {
		return
	}
	here := w.spanFrom(start, line, begin)
	here.width = len(strings.TrimRight(w.src[start:start+here.width], " \t"))
	for _, part := range parts {
		table = table.into(part)
		table.key, table.value = here, here
	}
	w.at++
	w.spaces()
	w.value(table)
}

// dotted reads a.b."c" and the spaces around it.
func (w *walker) dotted() (parts []string, ok bool) {
	for {
		w.spaces()
		part, ok := w.key()
		if !ok {
			return parts, false
		}
		parts = append(parts, part)
		w.spaces()
		if w.peek() != '.' {
			return parts, true
		}
		w.at++
	}
}

func (w *walker) key() (string, bool) {
	start := w.at
	if c := w.peek(); c == '"' || c == '\'' {
		w.text()
		return unquote(w.src[start:w.at])
	}
	for w.at < len(w.src) && !strings.ContainsRune(" \t\r\n.=]#[{},\"'", rune(w.src[w.at])) {
		w.at++
	}
	return w.src[start:w.at], w.at > start
}

// unquote leaves the escapes of a quoted key to the toml package.
func unquote(quoted string) (string, bool) {
	if !strings.Contains(quoted, `\`) && len(quoted) >= 2 {
		return quoted[1 : len(quoted)-1], true
	}
	var doc map[string]any
	if err := toml.Unmarshal([]byte(quoted+" = 0"), &doc); err != nil {
		return "", false
	}
	for key := range doc {
		return key, true
	}
	return "", false
}

// value reads any value and notes where it stands.
func (w *walker) value(p *place) {
	start, line, begin := w.at, w.line, w.begin
	switch w.peek() {
	case '"', '\'':
		w.text()
	case '[':
		w.at++
		for w.blank(); w.at < len(w.src) && w.peek() != ']'; w.separator(']') {
			elem := &place{}
			w.value(elem)
			elem.key = elem.value
			p.elems = append(p.elems, elem)
		}
		w.at = min(w.at+1, len(w.src))
	case '{':
		w.at++
		for w.blank(); w.at < len(w.src) && w.peek() != '}'; w.separator('}') {
			w.keyValue(p)
		}
		w.at = min(w.at+1, len(w.src))
	default:
		for w.at < len(w.src) && !strings.ContainsRune(" \t\r\n,]}#", rune(w.src[w.at])) {
			w.at++
		}
	}
	p.value = w.spanFrom(start, line, begin)
}

// separator skips to the next element of an array or inline table, or to what closes it.
func (w *walker) separator(end byte) {
	for w.blank(); w.at < len(w.src); w.blank() {
		switch w.peek() {
		case ',':
			w.at++
			w.blank()
			return
		case end:
			return
		}
		w.at++
	}
}

// text reads a string of any of the four kinds.
func (w *walker) text() {
	quote := w.src[w.at : w.at+1]
	if long := strings.Repeat(quote, 3); strings.HasPrefix(w.src[w.at:], long) {
		quote = long
	}
	w.at += len(quote)
	for w.at < len(w.src) && !strings.HasPrefix(w.src[w.at:], quote) {
		if w.peek() == '\\' && quote[0] == '"' {
			w.next()
			if w.at == len(w.src) {
				return
			}
		}
		w.next()
	}
	w.at = min(w.at+len(quote), len(w.src))
	// Up to two quotes may stand before the three that close a long string.
	for range len(quote) - 1 {
		if w.peek() == quote[0] {
			w.at++
		}
	}
}
