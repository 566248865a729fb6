package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

const places = "\xef\xbb\xbf" + `# [not] = "a table"
top = "x" # c
'quo ted' = 1
a.b."c.d" = [1, 2,
  { deep = "\"]" }, # ]
]
long = """
[[base]]
name = "no"""""
other = '''
[x]'''
date = 1979-05-27 07:32:00
inline = { x = 1, y.z = { w = "}" } }
[table] # c
  key = true
[table.sub."s.t"]
k=1
[[list]]
name = "one"
[list.args]
A = "1"
[[list]]
	name = "two"
[[list.inner]]
v = 1
[[list.inner]]
v = 2
`

func TestWalk(t *testing.T) {
	root := walk(places)
	for path, want := range map[string]string{
		"top":                   `2 top | "x"`,
		"quo ted":               `3 'quo ted' | 1`,
		"a/b/c.d":               `4 a.b."c.d" | [1, 2,`,
		"a/b/c.d/#1":            `4 2 | 2`,
		"a/b/c.d/#2/deep":       `5 deep | "\"]"`,
		"long":                  `7 long | """`,
		"other":                 `10 other | '''`,
		"date":                  `12 date | 1979-05-27`,
		"inline/y/z/w":          `13 w | "}"`,
		"table":                 `14 [table] | [table]`,
		"table/key":             `15 key | true`,
		"table/sub/s.t/k":       `17 k | 1`,
		"list/#0":               `18 [[list]] | [[list]]`,
		"list/#0/name":          `19 name | "one"`,
		"list/#0/args/A":        `21 A | "1"`,
		"list/#1/name":          `23 name | "two"`,
		"list/#1/inner/#0/v":    `25 v | 1`,
		"list/#1/inner/#1/v":    `27 v | 2`,
		"list/#1/inner/#1/none": `26 [[list.inner]] | [[list.inner]]`,
	} {
		p := root
		for part := range strings.SplitSeq(path, "/") {
			if i, ok := strings.CutPrefix(part, "#"); ok {
				p = p.elem(int(i[0] - '0'))
			} else {
				p = p.of(part)
			}
		}
		lines := splitLines(places)
		cut := func(s span) string { return lines[s.line-1][s.col : s.col+s.width] }
		if got := fmt.Sprintf("%d %s | %s", p.key.line, cut(p.key), cut(p.value)); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// FuzzParse: whatever the bytes, Parse returns; and in whatever the toml package accepts, every key has a place.
func FuzzParse(f *testing.F) {
	f.Add([]byte(places))
	files, err := filepath.Glob("testdata/*/*.toml")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := Parse("testdata/full/catalog.toml", src, now)
		if (c == nil) == (err == nil) {
			t.Fatalf("catalog %v and error %v", c, err)
		}
		if err != nil && err.Error() == "" {
			t.Fatal("an error that says nothing")
		}
		doc := map[string]any{}
		if tooDeep(string(src)) == 0 {
			if _, err := toml.Decode(string(src), &doc); err == nil {
				placed(t, doc, walk(string(src)), len(splitLines(string(src))))
			}
		}
	})
}

func placed(t *testing.T, table map[string]any, at *place, lines int) {
	t.Helper()
	for key, v := range table {
		p, ok := at.keys[key]
		if !ok {
			t.Fatalf("%q has no place", key)
		}
		if p.key.line > lines || p.value.line > lines || p.key.width < 0 || p.value.width < 0 {
			t.Fatalf("%q stands at %+v and %+v", key, p.key, p.value)
		}
		if m, ok := v.(map[string]any); ok {
			placed(t, m, p, lines)
		}
		elems, _ := asTables(v)
		for i, m := range elems {
			placed(t, m, p.elem(i), lines)
		}
	}
}
