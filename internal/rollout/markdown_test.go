package rollout

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	markdown "github.com/yuin/goldmark/text"
)

const maxVisible = 60 // lines of a body that are seen without a click

// sound checks what holds of every letter.
func sound(t *testing.T, got text) {
	t.Helper()
	if n := utf8.RuneCountInString(got.Title); n > maxTitle || strings.ContainsAny(got.Title, "\n\r@#`<>") || closes.MatchString(got.Title) {
		t.Errorf("title of %d characters: %q", n, got.Title)
	}
	if len(got.Body) > maxBody {
		t.Errorf("the body has %d bytes", len(got.Body))
	}
	if !utf8.ValidString(got.Title + got.Body) {
		t.Error("not UTF-8")
	}
	for _, s := range got.Trailers {
		if !trailerLine.MatchString(s) || strings.ContainsAny(s, "@#`<>") && !strings.HasPrefix(s, "Base-Image: ") || closes.MatchString(s) {
			t.Errorf("no trailer: %q", s)
		}
	}
	if n := visible(got.Body); n > maxVisible {
		t.Errorf("%d lines are seen without a click", n)
	}
	for _, wrong := range foreign(got.Body) {
		t.Error(wrong)
	}
}

var (
	closes      = regexp.MustCompile(`(?i)gh-[0-9]|://`)
	trailerLine = regexp.MustCompile(`^(Fixes-CVE|Base-Image|Rebuilder-Wave): \S+$`)
)

// visible counts the lines that are not empty, a fold as one.
func visible(body string) (n int) {
	folded := false
	for line := range strings.Lines(body) {
		switch s := strings.TrimSpace(line); {
		case s == "</details>":
			folded = false
		case folded || s == "":
		default:
			n++
			folded = strings.HasPrefix(s, "<details>")
		}
	}
	return n
}

var (
	// ours is the HTML that letters hold. What is inside of code is foreign, and escaped.
	ours    = regexp.MustCompile(`^(<details><summary>[^<@#]*(<code>[^<>]*</code>[^<@#]*)?</summary>|</details>|<sub>|</sub>|<!-- rebuilder:[a-z]+ -->)$`)
	calling = regexp.MustCompile(`@\w|#[0-9]|(?i:gh-[0-9])|[0-9a-f]{40}`)
)

// foreign is what a parser of Markdown sees in a body that can only have come from foreign text.
func foreign(body string) (wrong []string) {
	src := []byte(body)
	see := func(what, s string) { wrong = append(wrong, what+": "+s) }
	folds := 0
	_ = ast.Walk(goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(markdown.NewReader(src)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link, *ast.AutoLink, *ast.Image, *ast.Heading, *ast.Blockquote, *ast.CodeBlock, *ast.ThematicBreak, *extast.Strikethrough:
			see(n.Kind().String(), string(content(n, src)))
		case *ast.FencedCodeBlock:
			if lang := string(n.Language(src)); lang != "mermaid" && lang != "text" {
				see("block", lang)
			}
			return ast.WalkSkipChildren, nil
		case *ast.CodeSpan:
			return ast.WalkSkipChildren, nil
		case *ast.RawHTML:
			if s := string(n.Segments.Value(src)); !ours.MatchString(s) {
				see("HTML", s)
			}
		case *ast.HTMLBlock:
			for line := range strings.Lines(string(n.Lines().Value(src))) {
				s := strings.TrimSpace(line)
				if !ours.MatchString(s) {
					see("HTML", s)
				}
				folds += strings.Count(s, "<details>") - strings.Count(s, "</details>")
			}
		case *extast.TableRow:
			if want := n.Parent().FirstChild().ChildCount(); n.ChildCount() != want {
				see("row", string(content(n, src)))
			}
		case *ast.Text:
			if s := string(n.Value(src)); calling.MatchString(s) {
				see("text", s)
			}
		}
		return ast.WalkContinue, nil
	})
	if folds != 0 {
		see("folds", "left open")
	}
	return wrong
}

// content is the text of all that is below a node.
func content(n ast.Node, src []byte) (out []byte) {
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		if t, ok := c.(*ast.Text); ok {
			out = append(out, t.Value(src)...)
		}
		out = append(out, content(c, src)...)
	}
	return out
}

func TestForeignIsSeen(t *testing.T) {
	for _, body := range []string{"[a](b)", "![a](b)", "<b>x</b>", "a @all", "see #12", "GH-12", "# A", "> a", "www.example.com", "https://example.com", "<details><summary>x", "<!-- rebuilder:v1 A -->", "~~a~~"} {
		if len(foreign(body)) == 0 {
			t.Errorf("nothing foreign in %q", body)
		}
	}
	if wrong := foreign("<details><summary>x</summary>\n\na\n\n</details>\n\n- [ ] <!-- rebuilder:skip --> x\n\n<sub>a</sub>\n"); wrong != nil {
		t.Error(wrong)
	}
}

func FuzzWords(f *testing.F) {
	for _, s := range []string{hostile, "``` \n```", "~~~", "<code>", "</code></summary>", "| a |", "\\|", "`", "&#64;all &lt;", "]", "\"]; click n0 href", "GH-1 https://x.example/1", "\u2028", "---", "</details>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { sound(t, hostileLetter(s).text()) })
}
