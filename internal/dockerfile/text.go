package dockerfile

import (
	"bytes"
	"sort"
	"strings"
	"unicode"
)

// text is a piece of an instruction with the offset in the file of each of its bytes. Continuations, and comments
// between them, make the offsets jump.
type text struct {
	s  string
	at []int
}

func (t text) slice(from, to int) text { return text{t.s[from:to], t.at[from:to]} }

// span returns the bytes of the file that t covers, if they are nothing but t.
func (t text) span() (start, end int, ok bool) {
	if len(t.s) == 0 {
		return 0, 0, false
	}
	start, end = t.at[0], t.at[len(t.at)-1]+1
	return start, end, end-start == len(t.s)
}

// source is a file cut into lines.
type source struct {
	src    []byte
	begins []int // of each line, and the end of the file
	escape byte
}

func newSource(src []byte, escape rune) *source {
	s := &source{src: src, escape: byte(escape), begins: []int{0}}
	for i, c := range src {
		if c == '\n' && i+1 < len(src) {
			s.begins = append(s.begins, i+1)
		}
	}
	s.begins = append(s.begins, len(src))
	return s
}

// lineOf returns the line of an offset; 1 is the first.
func (s *source) lineOf(offset int) int {
	return sort.SearchInts(s.begins, offset+1)
}

// line returns a line without its end, and where it begins.
func (s *source) line(number int) (string, int) {
	begin := s.begins[number-1]
	raw := s.src[begin:s.begins[number]]
	if number == 1 {
		if rest, ok := bytes.CutPrefix(raw, []byte("\xef\xbb\xbf")); ok {
			raw, begin = rest, 3
		}
	}
	return string(bytes.TrimRight(raw, "\r\n")), begin
}

// instruction returns the instruction that begins on a line as one text, joined as BuildKit's parser joins it. The
// bodies of heredocs are not part of it.
func (s *source) instruction(number int) text {
	var t text
	var joined strings.Builder
	for first := true; number < len(s.begins); number++ {
		line, begin := s.line(number)
		trimmed := strings.TrimLeftFunc(line, unicode.IsSpace)
		if !first && (trimmed == "" || trimmed[0] == '#') {
			continue
		}
		if first {
			begin += len(line) - len(trimmed)
			line, first = trimmed, false
		}
		line, more := s.continued(line)
		joined.WriteString(line)
		for i := range len(line) {
			t.at = append(t.at, begin+i)
		}
		if !more {
			break
		}
	}
	t.s = joined.String()
	return t
}

// continued cuts the escape token off a line that goes on. A doubled one is no continuation.
func (s *source) continued(line string) (string, bool) {
	cut := strings.TrimRight(line, " \t")
	n := len(cut)
	if n == 0 || cut[n-1] != s.escape || n > 1 && cut[n-2] == s.escape {
		return line, false
	}
	return cut[:n-1], true
}

// isBlank is the white space at which BuildKit's parser splits an instruction.
func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' && c != '\n' }

// words splits an instruction as BuildKit's parser does: its name, its flags with quotes and escapes taken away, and
// the rest without white space around it.
func (t text) words(escape byte) (name string, flags []text, rest text) {
	t = t.trim()
	end := strings.IndexFunc(t.s, func(r rune) bool { return r < 0x80 && isBlank(byte(r)) })
	if end < 0 {
		return t.s, nil, text{}
	}
	name = t.s[:end]
	for end < len(t.s) && isBlank(t.s[end]) {
		end++
	}
	flags, rest = t.slice(end, len(t.s)).flags(escape)
	return name, flags, rest.trim()
}

func (t text) trim() text {
	s := strings.TrimLeftFunc(t.s, unicode.IsSpace)
	from := len(t.s) - len(s)
	return t.slice(from, from+len(strings.TrimRightFunc(s, unicode.IsSpace)))
}

// flags follows extractBuilderFlags of BuildKit's parser, byte for byte, and keeps where each byte came from.
func (t text) flags(escape byte) (flags []text, rest text) {
	for pos := 0; ; {
		for pos < len(t.s) && unicode.IsSpace(rune(t.s[pos])) {
			pos++
		}
		if !strings.HasPrefix(t.s[pos:], "--") {
			return flags, t.slice(pos, len(t.s))
		}
		word, end := t.flag(pos, escape)
		pos = end
		if word.s == "--" {
			return flags, t.slice(pos, len(t.s))
		}
		flags = append(flags, word)
	}
}

// flag reads one flag from pos up to white space.
func (t text) flag(pos int, escape byte) (word text, end int) {
	keep := func(i int) {
		word.s += string(rune(t.s[i]))
		for len(word.at) < len(word.s) {
			word.at = append(word.at, t.at[i])
		}
	}
	quote := byte(0)
	for ; pos < len(t.s); pos++ {
		switch c := t.s[pos]; {
		case quote == 0 && unicode.IsSpace(rune(c)):
			return word, pos
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		case c == escape:
			if pos++; pos < len(t.s) {
				keep(pos)
			}
		default:
			keep(pos)
		}
	}
	return word, pos
}

// arguments splits the rest of an ARG as parseWords of BuildKit's parser does: at white space outside quotes. Quotes
// and escapes stay.
func (t text) arguments(escape byte) []text {
	var out []text
	start, quote := -1, byte(0)
	for i := 0; i < len(t.s); i++ {
		c := t.s[i]
		space := quote == 0 && unicode.IsSpace(rune(c)) && c < 0x80
		switch {
		case space && start >= 0:
			out = append(out, t.slice(start, i))
			start = -1
		case space:
		default:
			if start < 0 {
				start = i
			}
			switch {
			case quote == 0 && (c == '\'' || c == '"'):
				quote = c
			case quote != 0 && c == quote:
				quote = 0
			case c == escape && quote != '\'':
				i++
			}
		}
	}
	if start >= 0 {
		out = append(out, t.slice(start, len(t.s)))
	}
	return out
}
