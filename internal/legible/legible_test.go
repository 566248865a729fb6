package legible

import (
	"strings"
	"testing"
)

func TestNothingTakesOverTheTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain → text":                 "plain → text",
		"\x1b[31mred\x1b[0m":           "red",
		"\x1b]0;title\x07after":        "after",
		"\x1b]8;;http://x\x1b\\link":   "link",
		"over\rwritten":                "over written",
		"two\nlines\tand a tab":        "two lines and a tab",
		"bell\x07":                     `bell\u0007`,
		"one byte escape \u009b2J":     `one byte escape \u009b2J`,
		"turned \u202eround":           `turned \u202eround`,
		"a bare \x1b stays visible":    `a bare \u001b stays visible`,
		"unended \x1b]0;title and all": "unended ",
	} {
		if got := Line(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestTextKeepsItsLines(t *testing.T) {
	if got := Text("a\r\nb\tc\x1b[1md\u202e"); got != "a\nb\tcd\\u202e" {
		t.Errorf("%q", got)
	}
}

func FuzzLine(f *testing.F) {
	f.Add("\x1b[31m\x1b]0;x\x07\u202e\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		if got := Line(s); strings.ContainsFunc(got, hostile) {
			t.Errorf("%q became %q", s, got)
		}
	})
}
