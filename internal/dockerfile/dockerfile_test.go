package dockerfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rebuilder/internal/golden"
)

// sample is a file of the corpus. Beside it stand the expected references, as .golden, and where a build of it is given
// something, .args: lines of "arg NAME=VALUE", "target STAGE", and "refused WORDS" when BuildKit does not build it.
type sample struct {
	name    string
	src     []byte
	args    map[string]string
	target  string
	refused string
}

func corpus(t testing.TB) []sample {
	t.Helper()
	files, err := filepath.Glob("testdata/corpus/*.Dockerfile")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var out []sample
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		base := strings.TrimSuffix(file, ".Dockerfile")
		s := sample{name: filepath.Base(base), src: src, args: map[string]string{}}
		s.given(t, base+".args")
		out = append(out, s)
	}
	return out
}

// given reads what a build of the sample is given, if that is anything.
func (s *sample) given(t testing.TB, file string) {
	t.Helper()
	src, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return
	} else if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(src)) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch word {
		case "arg":
			key, value, _ := strings.Cut(rest, "=")
			s.args[key] = value
		case "target":
			s.target = rest
		case "refused":
			s.refused = rest
		default:
			t.Fatalf("%s: %q", file, line)
		}
	}
}

func (s sample) parse(t testing.TB) *File {
	t.Helper()
	f, err := Parse("Dockerfile", s.src, s.args)
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	return f
}

func TestCorpus(t *testing.T) {
	for _, s := range corpus(t) {
		t.Run(s.name, func(t *testing.T) {
			f := s.parse(t)
			golden.Compare(t, "testdata/corpus/"+s.name+".golden", describe(t, f, s.target))
			checkRewrites(t, f)
		})
	}
}

// TestCorpusHasNoMore makes sure that every file beside the corpus belongs to a Dockerfile of it.
func TestCorpusHasNoMore(t *testing.T) {
	entries, err := os.ReadDir("testdata/corpus")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		base := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))
		if _, err := os.Stat(filepath.Join("testdata/corpus", base+".Dockerfile")); err != nil {
			t.Errorf("%s has no Dockerfile: %v", e.Name(), err)
		}
	}
}

// describe is a file as its golden file shows it.
func describe(t testing.TB, f *File, target string) string {
	t.Helper()
	used, refused := f.Uses(target)
	var b strings.Builder
	f, err := f.built(target)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range f.References {
		b.WriteString(line(f, r, used))
	}
	base, ok := f.Base(target)
	if !ok {
		base.Name = "none"
	}
	if refused != nil {
		fmt.Fprintf(&b, "refused: %v\n", refused)
	}
	for _, u := range used {
		if u.Role == "" {
			fmt.Fprintf(&b, "in no line: %s %s\n   %s\n", u.Name, u.Platform, u.Use)
		}
	}
	fmt.Fprintf(&b, "base: %s\n", base.Name)
	return b.String()
}

// line is a reference as the golden file shows it.
func line(f *File, r Reference, used []Used) string {
	var b strings.Builder
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
	if r.Platform != "" && r.Platform != defaultPlatform {
		fmt.Fprintf(&b, ", %s", r.Platform)
	}
	if r.End > 0 {
		fmt.Fprintf(&b, "\n   bytes %d to %d: %q", r.Start, r.End, f.src[r.Start:r.End])
	}
	if r.Arg != "" {
		fmt.Fprintf(&b, " of ARG %s", r.Arg)
	}
	if r.slot.prefix != "" && r.Rewritable {
		fmt.Fprintf(&b, " behind %s", r.slot.prefix)
	}
	if r.Why != "" {
		fmt.Fprintf(&b, "\n   not rewritable: %s", r.Why)
	}
	return b.String() + "\n"
}

// TestCorpusHasEverything holds the corpus to the width that its name claims.
func TestCorpusHasEverything(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range corpus(t) {
		used, err := s.parse(t).Uses(s.target)
		if (err != nil) != (s.refused != "") {
			t.Errorf("%s: %v", s.name, err)
		}
		for _, u := range used {
			seen[string(u.Role)], seen[string(u.Use)] = true, true
		}
	}
	for _, want := range []string{
		"syntax", "from", "copy-from", "mount-from", "onbuild-copy-from", "onbuild-mount-from",
		"inherits", "builds-with", "copies-from", "frontend", "unreachable", "unknown",
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

// FuzzParse: whatever the bytes, Parse returns, what it found lies in the file and says what it promises.
func FuzzParse(f *testing.F) {
	for _, s := range corpus(f) {
		f.Add(s.src, "BASE", "debian:13")
		for key, value := range s.args {
			f.Add(s.src, key, value)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte, key, value string) {
		file, err := Parse("Dockerfile", src, map[string]string{key: value})
		if err != nil {
			return
		}
		for _, r := range file.References {
			checkReference(t, src, r)
		}
		for _, s := range file.Stages {
			if _, err := file.found(s.Name); err != nil {
				t.Fatalf("target %q: %v", s.Name, err)
			}
			if _, err := file.Uses(s.Name); err != nil && !strings.HasPrefix(err.Error(), file.Path) {
				t.Fatalf("target %q: %v does not say where", s.Name, err)
			}
		}
	})
}

func checkReference(t *testing.T, src []byte, r Reference) {
	t.Helper()
	if r.Start < 0 || r.End < r.Start || r.End > len(src) || r.Line < 1 || r.Line > 1+bytes.Count(src, []byte("\n")) {
		t.Fatalf("%+v lies outside the file", r)
	}
	if r.Rewritable && r.slot.prefix+string(src[r.Start:r.End]) != r.Name {
		t.Fatalf("%+v: %q and the bytes %q are not the name", r, r.slot.prefix, src[r.Start:r.End])
	}
	if r.Rewritable != (r.Why == "") {
		t.Fatalf("%+v does not say why", r)
	}
}
