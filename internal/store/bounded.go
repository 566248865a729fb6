package store

import "unicode/utf8"

const (
	maxText  = 2000 // bytes of a text that people read: a reason, an error
	maxLines = 100  // of a log's tail
)

// bounded cuts a text that came from outside, an error's or a build's, at a length that a page can show.
func bounded(s string) string {
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + " …"
}

// boundedLines keeps the last lines, each bounded.
func boundedLines(lines []string) []string {
	if len(lines) > maxLines {
		lines = lines[len(lines)-maxLines:]
	}
	var out []string
	for _, l := range lines {
		out = append(out, bounded(l))
	}
	return out
}
