package hygiene

import (
	"fmt"
	"strings"
	"unicode"

	"rebuilder/internal/policy"
)

const (
	maxShown = 20  // findings of one rule; of the others only their number is said
	maxText  = 400 // characters of a title or a path
)

// bounded keeps the first findings of one rule and puts the number of the others into one more.
func bounded(found []policy.Finding, what string) []policy.Finding {
	if len(found) <= maxShown {
		return found
	}
	more := found[maxShown]
	more.Title = fmt.Sprintf("%d more: %s", len(found)-maxShown, what)
	more.Path, more.Line, more.Layer, more.Deleted = "", 0, -1, false
	more.Type, more.Package, more.Version, more.Source = "", "", "", ""
	return append(found[:maxShown:maxShown], more)
}

// finish makes a finding's text fit to be shown: much of it is an image's own.
func finish(f *policy.Finding) {
	f.FoundBy = []string{"rebuilder"}
	for _, text := range []*string{&f.Title, &f.Path, &f.Package, &f.Version, &f.Source, &f.Do} {
		*text = clean(*text)
	}
}

// clean bounds a text and takes out what is not to be seen: control characters, marks that turn the direction of
// writing.
func clean(s string) string {
	if len(s) > 4*maxText {
		s = s[:4*maxText]
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, strings.ToValidUTF8(s, "?"))
	if runes := []rune(s); len(runes) > maxText {
		return string(runes[:maxText]) + "…"
	}
	return s
}

// megabytes is a size as people say it.
func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
