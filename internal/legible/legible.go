// Package legible makes text of others harmless to read. Reasons, log lines and names come from images, registries and
// repositories: a control character in them could take a terminal over, and one that turns the direction of writing makes
// a page say something else.
package legible

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// sequences are the terminal's own: colours and the like, which say nothing in plain text.
var sequences = regexp.MustCompile(`\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)?`)

// Text leaves line ends and tabs and makes other control characters visible.
func Text(s string) string {
	return scrub(strings.ReplaceAll(s, "\r\n", "\n"), "\n\t")
}

// Line makes one line of a text.
func Line(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(c rune) bool { return c == '\n' || c == '\r' }), " ")
	return scrub(strings.ReplaceAll(s, "\t", " "), "")
}

func scrub(s, allowed string) string {
	if strings.IndexFunc(s, func(c rune) bool { return hostile(c) && !strings.ContainsRune(allowed, c) }) < 0 {
		return s
	}
	s = sequences.ReplaceAllString(s, "")
	var b strings.Builder
	for _, c := range s {
		if hostile(c) && !strings.ContainsRune(allowed, c) {
			fmt.Fprintf(&b, "\\u%04x", c)
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}

// hostile are control characters and those that turn the direction of writing or cannot be seen.
func hostile(c rune) bool {
	return unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || c == '\u2028' || c == '\u2029'
}
