package main

import "testing"

func TestColumns(t *testing.T) {
	rows := [][]string{{"a", "long enough", ""}, {"image", "b", "a reason that is far too long to stand beside the others of its row"}}
	for name, c := range map[string]struct {
		columns
		want string
	}{
		"not a terminal": {columns{indent: "  "}, "  a      long enough\n  image  b            a reason that is far too long to stand beside the others of its row\n"},
		"beside the row": {columns{indent: "  ", width: 60}, "  a      long enough\n  image  b            a reason that is far too long to stand\n                      beside the others of its row\n"},
		"below the row":  {columns{indent: "  ", width: 40}, "  a      long enough\n  image  b\n      a reason that is far too long to\n      stand beside the others of its row\n"},
		"nothing to say": {columns{indent: "  ", width: 12}, "  a      long enough\n  image  b\n      a reason that is far too long to\n      stand beside the others of its\n      row\n"},
	} {
		if got := c.text(rows); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}
