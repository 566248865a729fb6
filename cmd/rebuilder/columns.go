package main

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// columns lays rows of cells out as aligned text. On a terminal a last cell that does not fit goes on below itself, or
// below its row where there is no room beside it: nothing is cut off, and nothing runs into another column.
type columns struct {
	indent string
	width  int // of the terminal; 0: lines may be of any length
}

const (
	gap      = 2  // between columns
	readable = 32 // a narrower last column is not: its text goes below the row instead
)

// text is the rows as lines, each with its line end.
func (c columns) text(rows [][]string) string {
	widths := widths(rows)
	var b strings.Builder
	for _, row := range rows {
		b.WriteString(c.row(row, widths))
	}
	return b.String()
}

// widths are those of the columns. A row's last cell stands in nobody's way.
func widths(rows [][]string) []int {
	var out []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(out) {
				out = append(out, 0)
			}
			if i < len(row)-1 {
				out[i] = max(out[i], visible(cell))
			}
		}
	}
	return out
}

func (c columns) row(row []string, widths []int) string {
	if len(row) == 0 {
		return "\n"
	}
	var b strings.Builder
	b.WriteString(c.indent)
	start := visible(c.indent)
	last := len(row) - 1
	for i, cell := range row[:last] {
		b.WriteString(cell + strings.Repeat(" ", widths[i]+gap-visible(cell)))
		start += widths[i] + gap
	}
	if c.width == 0 || row[last] == "" || start+visible(row[last]) <= c.width {
		return strings.TrimRight(b.String()+row[last], " ") + "\n"
	}
	lead := start
	if c.width-start < readable {
		lead = visible(c.indent) + 2*gap
		if filled := strings.TrimRight(b.String(), " "); filled != "" {
			b.Reset()
			b.WriteString(filled + "\n")
		} else {
			b.Reset()
		}
		b.WriteString(strings.Repeat(" ", lead))
	}
	lines := wrap(row[last], max(c.width-lead, readable))
	return b.String() + strings.Join(lines, "\n"+strings.Repeat(" ", lead)) + "\n"
}

// wrap breaks a text between words. A word that is too long for a line stays whole: it may be an address to be copied.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		switch {
		case line == "":
			line = word
		case visible(line)+1+visible(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

// colours are what paint adds; they take no room.
var colours = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// visible is how many columns a text takes, as far as it is made of ordinary characters.
func visible(s string) int { return utf8.RuneCountInString(colours.ReplaceAllString(s, "")) }
