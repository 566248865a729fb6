package rollout

import (
	"fmt"
	"html"
	"regexp"
	"slices"
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

// htmlCode is code where Markdown is not read, as in the summary of a fold.
func htmlCode(s string) string {
	return "<code>" + html.EscapeString(strings.Trim(code(s), "`")) + "</code>"
}

// block is lines of foreign text as they are, in a block that none of them can end.
func block(b *strings.Builder, lines []string, width int) {
	b.WriteString("```text\n")
	for _, s := range lines {
		b.WriteString(strings.ReplaceAll(oneLine(s, width), "`", "'") + "\n")
	}
	b.WriteString("```\n\n")
}

// plain makes text harmless in a title, which is a commit's subject, too: there a #12, a GH-12 and an address close an
// issue, and an @name calls somebody.
func plain(s string) string {
	s = strings.Map(func(c rune) rune {
		if strings.ContainsRune("@#`<>", c) {
			return '?'
		}
		return c
	}, oneLine(s, maxWord))
	return closing.ReplaceAllStringFunc(s, func(m string) string { return strings.NewReplacer("-", "?", "://", "???").Replace(m) })
}

var closing = regexp.MustCompile(`(?i)gh-|://`)

// word is a value of a trailer: plain, and without blanks.
func word(s string) string {
	if s = strings.ReplaceAll(plain(s), " ", "?"); s == "" {
		return "?"
	}
	return s
}

// picture is a small graph in Mermaid, which forges draw.
type picture struct {
	ids   map[string]int
	seen  [][2]string
	edges []string
}

// chain adds names that each lead to the next, the last one to the reader's repository.
func (p *picture) chain(names []string) {
	for i, from := range names {
		to := here
		if i+1 < len(names) {
			to = names[i+1]
		}
		if e := [2]string{from, to}; !slices.Contains(p.seen, e) {
			p.seen, p.edges = append(p.seen, e), append(p.edges, p.node(from)+" --> "+p.node(to))
		}
	}
}

const here = "this repository"

// node is a name in the picture. All but the plainest characters are replaced: it is read by two programs of others.
func (p *picture) node(name string) string {
	if p.ids == nil {
		p.ids = map[string]int{}
	}
	if id, ok := p.ids[name]; ok {
		return fmt.Sprintf("n%d", id)
	}
	id := len(p.ids)
	p.ids[name] = id
	return fmt.Sprintf(`n%d["%s"]`, id, cut(unfitForPicture.ReplaceAllString(oneLine(name, maxWord), "?"), 60))
}

var unfitForPicture = regexp.MustCompile(`[^\pL\pN._/:… -]`)

func (p *picture) write(b *strings.Builder) {
	b.WriteString("```mermaid\nflowchart LR\n")
	for _, e := range p.edges[:min(maxEdges, len(p.edges))] {
		b.WriteString("  " + e + "\n")
	}
	b.WriteString("```\n\n")
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
