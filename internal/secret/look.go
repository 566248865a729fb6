package secret

import (
	"bytes"
	"iter"
	"regexp"
)

// look is a rule that is worth trying on a window, and where.
type look struct {
	rule  int
	parts []part // ascending
}

// part is a part of a window's text.
type part struct{ start, end int }

// reach is how far a rule's matches go from the word that called for it: from so many bytes before the word to the end of
// the line that so many bytes after it are on.
type reach struct{ before, after int }

// reaches are of the rules whose words are in most files. They are read off their regular expressions; all others are
// tried on the whole window.
var reaches = map[string]reach{
	"generic-api-key":     {before: 50, after: 32},
	"jwt":                 {before: 1, after: 1},
	"vault-service-token": {before: 1, after: 1},
}

// looks are the rules that a text calls for by its words, in their order.
func (f *Finder) looks(text []byte) []look {
	all := make([][]part, len(f.rules))
	whole := []part{{0, len(text)}}
	for _, i := range f.always {
		all[i] = whole
	}
	f.words.Walk(lower(text), func(last, length, word int64) bool {
		for _, i := range f.byWord[word] {
			if r, ok := f.reaches[i]; ok {
				all[i] = r.extend(all[i], text, int(last-length)+1, int(last)+1)
			} else {
				all[i] = whole
			}
		}
		return true
	})
	var looks []look
	for i, parts := range all {
		if parts != nil {
			looks = append(looks, look{i, parts})
		}
	}
	return looks
}

// extend adds the part around a word. Words come in the order of their ends.
func (r reach) extend(parts []part, text []byte, start, end int) []part {
	p := part{max(0, start-r.before), len(text)}
	at := min(len(text), end+r.after)
	var before *part
	if n := len(parts); n > 0 {
		before = &parts[n-1]
	}
	if before != nil && at < before.end {
		p.end = before.end // which is the end of a line
	} else if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
		p.end = at + i + 1
	}
	if before == nil || p.start > before.end {
		return append(parts, p)
	}
	before.start, before.end = min(before.start, p.start), p.end
	return parts
}

// lower makes small letters of capital ones, and keeps every byte in its place.
func lower(text []byte) []byte {
	small := bytes.Clone(text)
	for i, c := range small {
		if 'A' <= c && c <= 'Z' {
			small[i] = c + 'a' - 'A'
		}
	}
	return small
}

// work is how many bytes are looked at.
func (l look) work() int {
	n := 0
	for _, p := range l.parts {
		n += p.end - p.start
	}
	return n
}

// matches are where a regular expression and its groups match.
func (l look) matches(re *regexp.Regexp, text []byte) iter.Seq[[]int] {
	return func(yield func([]int) bool) {
		left := maxMatches
		for _, p := range l.parts {
			for _, m := range re.FindAllSubmatchIndex(text[p.start:p.end], left) {
				for i := range m {
					if m[i] >= 0 {
						m[i] += p.start
					}
				}
				if left--; !yield(m) {
					return
				}
			}
			if left <= 0 {
				return
			}
		}
	}
}
