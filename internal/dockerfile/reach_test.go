package dockerfile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// uses are the references of a file as "line use name platform", without the platform that is built for by default.
func uses(t *testing.T, src string, args map[string]string, target string, triggers Triggers) []string {
	t.Helper()
	f, err := Parse("Dockerfile", []byte(src), args)
	if err != nil {
		t.Fatal(err)
	}
	used, err := f.UsesOn(target, triggers)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, u := range used {
		s := fmt.Sprintf("%d %s %s", u.Line, u.Use, u.Name)
		if u.Platform != "" && u.Platform != defaultPlatform {
			s += " " + u.Platform
		}
		out = append(out, s)
	}
	return out
}

// What a parent's ONBUILDs name is reached, and found in the file where it stands there.
func TestUsesOnKnownTriggers(t *testing.T) {
	for name, tc := range map[string]struct {
		src      string
		triggers Triggers
		want     []string
	}{
		"an image that the file does not name": {
			"FROM base:1\n",
			Triggers{"base:1": {"COPY --from=tools:1 /a /a"}},
			[]string{"1 inherits base:1", "0 copies-from docker.io/library/tools:1"},
		},
		"the parent spelt in full": {
			"FROM base\n",
			Triggers{"docker.io/library/base:latest": {"RUN --mount=from=tools,target=/t true"}},
			[]string{"1 inherits base", "0 copies-from docker.io/library/tools:latest"},
		},
		"a stage of the file": {
			"FROM golang:1 AS build\nFROM base:1\n",
			Triggers{"base:1": {"COPY --from=build /app /app"}},
			[]string{"1 builds-with golang:1", "2 inherits base:1"},
		},
		"the same without them": {
			"FROM golang:1 AS build\nFROM base:1\n", nil,
			[]string{"1 unreachable golang:1", "2 inherits base:1"},
		},
		"of a parent that is not reached": {
			"FROM base:1 AS a\nFROM debian:12\n",
			Triggers{"base:1": {"COPY --from=tools:1 /a /a"}},
			[]string{"1 unreachable base:1", "2 inherits debian:12"},
		},
		"nothing that names an image": {
			"FROM base:1\n",
			Triggers{"base:1": {"RUN make", "USER app"}},
			[]string{"1 inherits base:1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := uses(t, tc.src, nil, "", tc.triggers); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// What stands nowhere can be neither found nor rewritten, and says so.
func TestWhatStandsNowhere(t *testing.T) {
	f, err := Parse("Dockerfile", []byte("FROM base:1\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	used, err := f.UsesOn("", Triggers{"base:1": {"COPY --from=tools:1 /a /a"}})
	if err != nil {
		t.Fatal(err)
	}
	last := used[len(used)-1]
	if last.Rewritable || last.Role != "" || last.StageIndex != -1 || !strings.Contains(last.Why, "ONBUILD") || last.Platform != defaultPlatform {
		t.Errorf("%+v", last)
	}
}

// The same file reaches other images on another platform.
func TestUsesOfPlatforms(t *testing.T) {
	const src = "FROM --platform=$BUILDPLATFORM golang:1 AS build\n" +
		"FROM debian:12 AS base-amd64\nFROM arm:12 AS base-arm64\nFROM --platform=linux/arm/v7 base:1 AS fixed\n" +
		"FROM base-${TARGETARCH}\nCOPY --from=build /a /a\nCOPY --from=fixed /b /b\nCOPY --from=tools:1 /c /c\n"
	for platform, want := range map[string][]string{
		"linux/amd64": {"1 builds-with golang:1", "2 inherits debian:12", "3 unreachable arm:12", "4 builds-with base:1 linux/arm/v7", "8 copies-from tools:1"},
		"linux/arm64": {"1 builds-with golang:1", "2 unreachable debian:12 linux/arm64", "3 inherits arm:12 linux/arm64", "4 builds-with base:1 linux/arm/v7", "8 copies-from tools:1 linux/arm64"},
	} {
		if got := uses(t, src, map[string]string{targetPlatform: platform}, "", nil); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", platform, got, want)
		}
	}
}

// BuildKit decides: what it does not reach is dropped, what it reaches is found again, and it says what is stood on.
func TestSettle(t *testing.T) {
	const amd64 = defaultPlatform
	ref := func(role Role, name string) Reference { return Reference{Role: role, Name: name, Platform: amd64} }
	own := []Used{
		{ref(From, "a:1"), Inherits},
		{ref(From, "b:1"), BuildsWith},
		{ref(CopyFrom, "c:1"), Unreachable},
		{ref(CopyFrom, "d:1"), CopiesFrom},
		{ref(OnbuildCopyFrom, "e:1"), CopiesFrom},
		{Reference{Role: Syntax, Name: "docker/dockerfile:1"}, Frontend},
	}
	im := func(name string) image { return image{"docker.io/library/" + name, amd64} }
	a := &answer{images: map[image]bool{im("a:1"): true, im("b:1"): true, im("c:1"): true, im("z:1"): true}, inherits: im("b:1")}
	want := []Use{BuildsWith, Inherits, CopiesFrom, Unreachable, CopiesFrom, Frontend, CopiesFrom}
	var got []Use
	settled := a.settle(own)
	for _, u := range settled {
		got = append(got, u.Use)
	}
	if !slices.Equal(got, want) || settled[6].Name != "docker.io/library/z:1" {
		t.Errorf("got %q, want %q: %+v", got, want, settled)
	}

	a = &answer{images: map[image]bool{im("z:1"): true}, inherits: im("z:1")}
	if settled = a.settle([]Used{{ref(From, "a:1"), Inherits}}); settled[0].Use != Unreachable || settled[1].Use != Inherits {
		t.Errorf("the target stands on z:1 alone: %+v", settled)
	}
}

func TestFrontend(t *testing.T) {
	for syntax, want := range map[string]string{
		"docker/dockerfile:1":                           "",
		"docker/dockerfile-upstream:master":             "",
		"docker.io/docker/dockerfile:1.7-labs":          "",
		"mirror.example.com/docker/dockerfile:1":        "",
		"mirror.example.com:5000/hub/docker/dockerfile": "",
		"r.example.com/team/dockerfile:1":               "r.example.com/team/dockerfile:1",
		"notdocker/dockerfile":                          "notdocker/dockerfile",
		"r.example.com/mopy":                            "r.example.com/mopy",
		"NOT:a:reference":                               "NOT:a:reference",
	} {
		f, err := Parse("Dockerfile", []byte("# syntax="+syntax+"\nFROM debian\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Frontend(); got != want {
			t.Errorf("%s: got %q, want %q", syntax, got, want)
		}
		used, err := f.Uses("")
		if err != nil || used[0].Use != Frontend || (used[1].Use == Unknown) != (want != "") {
			t.Errorf("%s: %+v, %v", syntax, used, err)
		}
	}
}

// Files that would take BuildKit all memory or minutes are refused before they are shown to it.
func TestHostileFilesAreRefused(t *testing.T) {
	many := func(n int, s string) string { return strings.Repeat(s, n) }
	value := many(4000, "x")
	for name, tc := range map[string]struct {
		src      string
		triggers Triggers
		want     string
	}{
		"an ENV that doubles":       {"FROM a\nENV A=" + value + "\n" + many(60, "ENV A=$A$A\n"), nil, "Dockerfile:12: with all variables expanded"},
		"an ARG that doubles":       {"FROM a\nARG A=" + value + "\n" + many(60, "ARG A=${A}${A}\n"), nil, "with all variables expanded"},
		"a replacement that grows":  {"FROM a\nENV A=" + value + "\n" + many(3, "ENV A=${A//x/"+value+"}\n"), nil, "with all variables expanded"},
		"doubling over stages":      {"FROM a AS s0\nENV A=" + value + "\n" + stages(100), nil, "with all variables expanded"},
		"a large ENV for many":      {"FROM a\nENV A=" + many(15, value) + "\n" + many(900, "RUN true\n"), nil, "with all variables expanded"},
		"a label of many":           {"FROM a\nENV A=" + value + "\nLABEL l=\"" + many(10000, "$A") + "\"\n", nil, "with all variables expanded"},
		"a heredoc of many":         {"FROM a\nENV A=" + value + "\nCOPY <<EOF /x\n" + many(10000, "$A\n") + "EOF\n", nil, "with all variables expanded"},
		"sources of many":           {"FROM a\nENV A=" + value + "\nCOPY " + many(10000, "$A ") + "/x/\n", nil, "with all variables expanded"},
		"many stages":               {many(300, "FROM a\n"), nil, "300 stages are too many, the most is 250"},
		"many instructions":         {"FROM a\n" + many(3000, "RUN x\n"), nil, "more than 1000 instructions are too many"},
		"many that an ONBUILD adds": {"FROM a AS b\n" + many(300, "ONBUILD RUN x\n") + many(200, "FROM b\n"), nil, "more than 1000 instructions are too many"},
		"many that a parent adds":   {"FROM a\n", Triggers{"a": slices.Repeat([]string{"RUN x"}, 3000)}, "more than 1000 instructions are too many"},
		"a parent's that doubles":   {"FROM a\nENV A=" + value, Triggers{"a": append([]string{"ENV A=" + value}, slices.Repeat([]string{"ENV A=$A$A"}, 60)...)}, "with all variables expanded"},
		"a parent's that is none":   {"FROM a\n", Triggers{"a": {"RUN <<EOF"}}, "Dockerfile:1: ONBUILD of a: "},
		"a parent's that is long":   {"FROM a\n", Triggers{"a": {"RUN " + many(maxSize, "x")}}, "an ONBUILD of a is too long"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Parse("Dockerfile", []byte(tc.src), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = f.UsesOn("", tc.triggers); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

// stages are n of them, each on the one before.
func stages(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "FROM s%d AS s%d\nENV A=$A$A\n", i, i+1)
	}
	return b.String()
}

// What is allowed must be affordable, at the edge of each bound, too; the benchmark says how long it takes.
func TestLargeFilesAreAllowed(t *testing.T) {
	for name, src := range largeFiles() {
		if got := uses(t, src, nil, "", nil); len(got) == 0 {
			t.Errorf("%s: nothing is used", name)
		}
	}
}

func largeFiles() map[string]string {
	many := strings.Repeat
	var wide strings.Builder
	for i := range 200 {
		fmt.Fprintf(&wide, "FROM image%d:1 AS s%d\nCOPY --from=tools%d:1 /a /a\n", i, i, i)
		if i > 1 {
			fmt.Fprintf(&wide, "COPY --from=s%d / /\nCOPY --from=s%d / /\n", i-1, i-2)
		}
	}
	return map[string]string{
		"ordinary":          "# syntax=docker/dockerfile:1\nFROM golang:1 AS build\nWORKDIR /src\nCOPY . .\nRUN go build -o /app\nFROM base/java:17\nENV A=b PATH=/x:$PATH\nCOPY --from=build /app /app\nUSER app\nENTRYPOINT [\"/app\"]\n",
		"many instructions": "FROM a\n" + many("RUN true\n", 950),
		"a long chain":      "FROM a AS s0\nENV A=x\n" + strings.ReplaceAll(stages(240), "$A$A", "$A"),
		"wide":              wide.String(),
		"much to expand":    "FROM a\nENV A=" + many("x", 4000) + "\n" + many("RUN true\n", 950),
	}
}

func BenchmarkUses(b *testing.B) {
	for name, src := range largeFiles() {
		b.Run(name, func(b *testing.B) {
			f, err := Parse("Dockerfile", []byte(src), nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Uses(""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
