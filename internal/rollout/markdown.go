package rollout

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxWord is how many characters of a name, a version or a reference are shown.
const maxWord = 160

// code is a code span of Markdown, also inside a table: no mark-up, no HTML, no mention, no reference, no address. What
// could end it is replaced; it is bounded, one line, and never empty.
func code(s string) string {
	s = strings.NewReplacer("`", "'", "|", "/", "\\", "/").Replace(oneLine(s, maxWord))
	if s == "" {
		s = "?"
	}
	return "`" + s + "`"
}

func codes(all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = code(s)
	}
	return out
}

// plain makes text harmless in a title, which is a commit's subject, too: there a #12 closes an issue and an @name calls
// somebody.
func plain(s string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune("@#`<>", c) {
			return '?'
		}
		return c
	}, oneLine(s, maxWord))
}

// oneLine is s as one line of at most n characters that can be seen: white space is one blank, what is no text or cannot
// be seen (control characters, direction overrides) is gone.
func oneLine(s string, n int) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c):
			return ' '
		case c == utf8.RuneError || !unicode.IsPrint(c):
			return -1
		}
		return c
	}, s)
	return cut(strings.Join(strings.Fields(s), " "), n)
}

// cut shortens s to at most n characters, the last of which says so.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
