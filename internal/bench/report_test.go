package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// TestProseAndFiguresAgree keeps docs/performance.md to bench.json.
func TestProseAndFiguresAgree(t *testing.T) {
	all := committed(t)
	doc, err := os.ReadFile(filepath.Join(root, "docs", "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []source{general, comparison, fanOut} {
		var measures []Measure
		for _, m := range all {
			if m.From == from.command {
				measures = append(measures, m)
			}
		}
		got, err := section(string(doc), from.figures)
		if err != nil {
			t.Fatal(err)
		}
		if want := figures(measures); got != want {
			t.Errorf("docs/performance.md does not have the figures of bench.json: run %s\n%s\nwant\n%s", from.command, got, want)
		}
		if here, err := section(string(doc), from.machine); err != nil || len(here) < 20 {
			t.Errorf("docs/performance.md does not say on what machine %s was: %q, %v", from.command, here, err)
		}
	}
}

// TestCommittedFigures looks whether bench.json is what its readers expect, and says what its goals say.
func TestCommittedFigures(t *testing.T) {
	all := committed(t)
	seen := map[string]bool{}
	for _, m := range all {
		if m.Name == "" || m.Unit == "" || m.From == "" || seen[m.Name] {
			t.Errorf("%+v: want a name of its own, a unit and a command", m)
		}
		seen[m.Name] = true
		limit, ok := m.limit()
		if !ok && m.Goal != noGoal {
			t.Errorf("%s: goal %q is none", m.Name, m.Goal)
		}
		if !ok && !m.Holds || ok && m.Holds && m.Value > limit || ok && !m.Holds && m.Value < limit {
			t.Errorf("%+v: holds is wrong", m)
		}
	}
	for _, name := range []string{ // what was promised first
		"publication to last application proven", "daemon at rest, resident", "start to ready, managed buildkitd included",
		"rollout to buildctl with gates",
	} {
		if !seen[name] {
			t.Errorf("bench.json lacks %q", name)
		}
	}
}

func committed(t *testing.T) []Measure {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "bench.json"))
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.DisallowUnknownFields()
	var all []Measure
	if err := dec.Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

func sample() []Measure {
	return []Measure{
		atMost(120, "loop", 41.5, "s"),
		atMost(100, "memory", 125.004, "MB"),
		atMost(0, "writes", 0, "requests"),
		known("looks", 3, "looks"),
	}
}

func TestFigures(t *testing.T) {
	const want = `| measure | value | goal | of the goal | holds |
|---|---:|---:|---:|---|
| loop | 41.5 s | <= 120 | 35 % | yes |
| memory | 125 MB | <= 100 | 125 % | NO |
| writes | 0 requests | <= 0 |  | yes |
| looks | 3 looks |  |  |  |
`
	if got := figures(sample()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestReportWritesAndFails(t *testing.T) {
	dir := t.TempDir()
	doc := filepath.Join(dir, "docs", "performance.md")
	if err := os.Mkdir(filepath.Dir(doc), 0o755); err != nil {
		t.Fatal(err)
	}
	prose := "# Prose\n\n" + begin(partMachine) + "an old machine\n" + end(partMachine) + "\nbetween\n" + begin(partFigures) + end(partFigures) + "after\n"
	if err := os.WriteFile(doc, []byte(prose), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for range 2 { // the second finds what the first has written
		err := report(&out, dir, general, sample())
		if err == nil || err.Error() != "missed: memory is 125 MB, the goal is <= 100" {
			t.Errorf("error %v", err)
		}
	}
	if !strings.Contains(out.String(), "loop     41.5   s") {
		t.Errorf("table:\n%s", out.String())
	}
	b, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	got := string(b)
	if !strings.HasPrefix(got, "# Prose\n\n"+begin(partMachine)+"Measured on ") || strings.Contains(got, "an old machine") ||
		!strings.HasSuffix(got, "between\n"+begin(partFigures)+figures(sample())+end(partFigures)+"after\n") {
		t.Errorf("prose:\n%s", got)
	}
	if b, err = os.ReadFile(filepath.Join(dir, "bench.json")); err != nil || !strings.Contains(string(b), `"goal": "<= 120"`) {
		t.Errorf("bench.json: %v\n%s", err, b)
	}
}

func TestReportWithoutMarks(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "docs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "docs", "performance.md"), []byte("no marks\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := report(&strings.Builder{}, dir, general, sample()); err == nil || !strings.Contains(err.Error(), "<!-- bench: machine -->") {
		t.Errorf("error %v does not say which line is needed", err)
	}
}

func TestMergedKeepsWhatOthersMeasured(t *testing.T) {
	a, b := source{command: "a"}, source{command: "b"}
	of := func(from source, names ...string) (out []Measure) {
		for _, n := range names {
			out = append(out, Measure{Name: n, From: from.command})
		}
		return out
	}
	both := append(of(a, "1", "2"), of(b, "3", "4")...)
	for name, c := range map[string]struct {
		before []Measure
		from   source
		all    []Measure
		want   []Measure
	}{
		"nothing there":      {nil, a, of(a, "1"), of(a, "1")},
		"in their place":     {both, a, of(a, "5"), append(of(a, "5"), of(b, "3", "4")...)},
		"the last ones":      {both, b, of(b, "4", "5"), append(of(a, "1", "2"), of(b, "4", "5")...)},
		"for the first time": {of(a, "1"), b, of(b, "3"), append(of(a, "1"), of(b, "3")...)},
		"mixed up":           {append(both, of(a, "6")...), a, of(a, "1"), append(of(a, "1"), of(b, "3", "4")...)},
	} {
		if got := merged(c.before, c.from, c.all); !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
