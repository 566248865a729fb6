package dockerfile

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// corpusArgs are the build arguments and targets of the files that need some.
var (
	corpusArgs = map[string]map[string]string{
		"arg-given":         {"BASE": "debian:13", "REG": "mirror.example.com", "NOT_DECLARED": "x"},
		"arg-platform-last": {"TARGETPLATFORM": "linux/arm64"},
	}
	corpusTargets = map[string]string{"target-in-middle": "RUN"}
)

type sample struct {
	name string
	src  []byte
}

func corpus(t testing.TB) []sample {
	t.Helper()
	files, err := filepath.Glob("testdata/corpus/*.Dockerfile")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var out []sample
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, sample{strings.TrimSuffix(filepath.Base(file), ".Dockerfile"), src})
	}
	return out
}

func TestCorpus(t *testing.T) {
	for _, s := range corpus(t) {
		t.Run(s.name, func(t *testing.T) {
			f, err := Parse("Dockerfile", s.src, corpusArgs[s.name])
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "testdata/corpus/"+s.name+".golden", describe(t, f, corpusTargets[s.name]))
			checkRewrites(t, f)
		})
	}
}

// describe is a file as its golden file shows it.
func describe(t testing.TB, f *File, target string) string {
	t.Helper()
	used, err := f.Uses(target)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, r := range f.References {
		fmt.Fprintf(&b, "%d: %s %s", r.Line, r.Role, r.Raw)
		if r.Name != r.Raw {
			fmt.Fprintf(&b, " = %s", r.Name)
		}
		if r.Stage != "" {
			fmt.Fprintf(&b, "\n   stage %s", r.Stage)
		}
		for _, u := range used {
			if u.Reference == r {
				fmt.Fprintf(&b, "\n   %s", u.Use)
			}
		}
		if r.StageIndex >= 0 {
			fmt.Fprintf(&b, " in stage %d", r.StageIndex)
		}
		if r.Final {
			b.WriteString(", final")
		}
		if r.Rewritable {
			fmt.Fprintf(&b, "\n   bytes %d to %d: %q", r.Start, r.End, f.src[r.Start:r.End])
		}
		if r.Arg != "" {
			fmt.Fprintf(&b, " of ARG %s", r.Arg)
		}
		if r.slot.prefix != "" && r.Rewritable {
			fmt.Fprintf(&b, " behind %s", r.slot.prefix)
		}
		if r.Why != "" {
			fmt.Fprintf(&b, "\n   no: %s", r.Why)
		}
		b.WriteString("\n")
	}
	base, ok := f.Base(target)
	if !ok {
		base.Name = "none"
	}
	fmt.Fprintf(&b, "base: %s\n", base.Name)
	return b.String()
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update rewrites it); got\n%s\nwant\n%s", file, got, want)
	}
}

// TestCorpusHasEverything holds the corpus to the width that its name claims.
func TestCorpusHasEverything(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range corpus(t) {
		f, err := Parse("Dockerfile", s.src, corpusArgs[s.name])
		if err != nil {
			t.Fatal(err)
		}
		used, err := f.Uses(corpusTargets[s.name])
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range used {
			seen[string(u.Role)], seen[string(u.Use)] = true, true
		}
	}
	for _, want := range []string{
		"syntax", "from", "copy-from", "mount-from", "onbuild-copy-from", "onbuild-mount-from",
		"inherits", "builds-with", "copies-from", "frontend", "unreachable",
	} {
		if !seen[want] {
			t.Errorf("no file of the corpus has a %s", want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	doubling := "ARG A=aaaaaaaaaaaaaaaa\n" + strings.Repeat("ARG A=$A$A\n", 60) + "FROM $A\n"
	for name, tc := range map[string]struct{ src, want string }{
		"empty":               {"", "Dockerfile:1: file with no instructions"},
		"no FROM":             {"ARG A=1\n", "Dockerfile: there is no FROM"},
		"unknown instruction": {"FROM debian\n\nRUM true\n", "Dockerfile:3: unknown instruction: RUM"},
		"before FROM":         {"RUN true\nFROM debian\n", "Dockerfile:1: no build stage"},
		"open heredoc":        {"FROM debian\nRUN <<EOF\nx\n", "Dockerfile:2: unterminated heredoc"},
		"mount with variable": {"FROM debian\nRUN --mount=from=$X,target=/x true\n", "Dockerfile:2: 'from' doesn't support variable"},
		"required variable":   {"FROM debian:${V:?say which}\n", "Dockerfile:1: "},
		"a huge value":        {doubling, "too long"},
		"a huge file":         {strings.Repeat("#\n", maxSize), "too long"},
		"too many ARGs":       {strings.Repeat("ARG A=1\n", maxArgs+1) + "FROM debian\n", "Dockerfile:1001: more than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("Dockerfile", []byte(tc.src), nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestTargets(t *testing.T) {
	f, err := Parse("Dockerfile", []byte("FROM a:1 AS one\nFROM b:1 AS Two\nFROM scratch AS three\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{"one": "a:1", "TWO": "b:1", "three": "", "": "", "four": ""} {
		if r, ok := f.Base(target); r.Name != want || ok != (want != "") {
			t.Errorf("Base(%q) = %q, %v, want %q", target, r.Name, ok, want)
		}
	}
	if _, err := f.Uses("four"); err == nil || !strings.Contains(err.Error(), `no stage "four", there are ["one" "two" "three"]`) {
		t.Errorf("error %v does not name the stages", err)
	}
}

// FuzzParse: whatever the bytes, Parse returns, offsets lie in the file, and Rewrite keeps its promises.
func FuzzParse(f *testing.F) {
	for _, s := range corpus(f) {
		f.Add(s.src, "BASE", "debian:13")
	}
	f.Fuzz(func(t *testing.T, src []byte, key, value string) {
		file, err := Parse("Dockerfile", src, map[string]string{key: value})
		if err != nil {
			return
		}
		for _, r := range file.References {
			if r.Start < 0 || r.End < r.Start || r.End > len(src) || r.Line < 1 || r.Line > 1+bytes.Count(src, []byte("\n")) {
				t.Fatalf("%+v lies outside the file", r)
			}
			if r.Rewritable && r.slot.prefix+string(src[r.Start:r.End]) != r.Name {
				t.Fatalf("%+v: %q and the bytes %q are not the name", r, r.slot.prefix, src[r.Start:r.End])
			}
			if !r.Rewritable && r.Why == "" {
				t.Fatalf("%+v does not say why", r)
			}
		}
		checkRewrites(t, file)
	})
}
