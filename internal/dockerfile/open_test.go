package dockerfile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestUsesOpen(t *testing.T) {
	for name, tc := range map[string]struct {
		src     string
		args    map[string]string
		target  string
		want    []string
		refused string
	}{
		"all is known": {"FROM a:1\n", nil, "", []string{"1 inherits a:1"}, ""},
		"a builder's version": {
			"ARG GO\nFROM golang:${GO} AS build\nFROM base:1\nCOPY --from=build / /\n", nil, "",
			[]string{"2 builds-with ", "3 inherits base:1"}, "",
		},
		"the same, given": {
			"ARG GO\nFROM golang:${GO} AS build\nFROM base:1\nCOPY --from=build / /\n", map[string]string{"GO": "1"}, "",
			[]string{"2 builds-with golang:1", "3 inherits base:1"}, "",
		},
		"what another stage stands on": {"ARG TEST\nFROM base:1 AS app\nFROM $TEST\n", nil, "app", []string{"2 inherits base:1", "3 unreachable "}, ""},
		"what it stands on":            {"ARG BASE\nFROM $BASE\nCOPY --from=tools:1 / /\n", nil, "", []string{"2 inherits ", "3 copies-from tools:1"}, ""},
		"where it comes from":          {"ARG REG\nFROM ${REG}/base:1\n", nil, "", []string{"2 inherits "}, ""},
		"a part that may be empty":     {"ARG SUFFIX\nFROM base:1${SUFFIX}\n", nil, "", []string{"2 inherits base:1"}, ""},
		"a stage, perhaps":             {"ARG X\nFROM a:1 AS not-known\nFROM $X\n", nil, "", nil, "Dockerfile:3: base name ($X) should not be blank"},
		"an argument nobody declares":  {"FROM $X\n", nil, "", nil, "Dockerfile:1: base name ($X) should not be blank"},
		"another mistake":              {"ARG X\nFROM a:1 AS a\nCOPY --from=a / /\n", nil, "", nil, "circular dependency"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Parse("Dockerfile", []byte(tc.src), tc.args)
			if err != nil {
				t.Fatal(err)
			}
			used, err := f.UsesOpen(tc.target)
			if tc.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("error %v, want %q", err, tc.refused)
				}
				return
			}
			var got []string
			for _, u := range used {
				got = append(got, fmt.Sprintf("%d %s %s", u.Line, u.Use, u.Name))
			}
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}
