package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// source is a command that measures, and the two parts of docs/performance.md that it writes.
type source struct {
	command          string
	machine, figures string
}

var (
	general    = source{"make bench", partMachine, partFigures}
	comparison = source{"make bench-rollout", "rollout machine", "rollout figures"}
	fanOut     = source{"make bench-fanout", "fan-out machine", "fan-out figures"}
)

// updateJSON replaces the measures at path that are from the command, and keeps those of others.
func updateJSON(path string, from source, all []Measure) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var before []Measure
	if len(old) > 0 {
		if err := json.Unmarshal(old, &before); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return writeJSON(path, merged(before, from, all))
}

// merged puts the measures of a command in the place of those it had, or behind all others.
func merged(before []Measure, from source, all []Measure) []Measure {
	old := func(m Measure) bool { return m.From == from.command }
	at := slices.IndexFunc(before, old)
	if at < 0 {
		at = len(before)
	}
	out := slices.Clone(before[:at])
	for _, m := range all {
		m.From = from.command
		out = append(out, m)
	}
	return append(out, slices.DeleteFunc(slices.Clone(before[at:]), old)...)
}

// writeJSON replaces path.
func writeJSON(path string, all []Measure) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // "<=" stays legible
	enc.SetIndent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	return replace(path, b.Bytes())
}

// writeTable writes the measures for a terminal.
func writeTable(w io.Writer, all []Measure) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MEASURE\tVALUE\tUNIT\tGOAL\tOF GOAL\tHOLDS")
	for _, m := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, number(m.Value), m.Unit, m.Goal, m.share(), m.verdict())
	}
	return t.Flush()
}

// figures are the measures as the table in docs/performance.md.
func figures(all []Measure) string {
	var b strings.Builder
	b.WriteString("| measure | value | goal | of the goal | holds |\n|---|---:|---:|---:|---|\n")
	for _, m := range all {
		goal := m.Goal
		if goal == noGoal {
			goal = ""
		}
		fmt.Fprintf(&b, "| %s | %s %s | %s | %s | %s |\n", m.Name, number(m.Value), m.Unit, goal, m.share(), m.verdict())
	}
	return b.String()
}

// Parts of docs/performance.md that `make bench` writes; each is between two marks.
const (
	partMachine = "machine"
	partFigures = "figures"
)

func begin(part string) string { return "<!-- bench: " + part + " -->\n" }
func end(part string) string   { return "<!-- bench: end of " + part + " -->\n" }

// section returns what is between the marks of a part.
func section(doc, part string) (string, error) {
	_, rest, ok := strings.Cut(doc, begin(part))
	inside, _, closed := strings.Cut(rest, end(part))
	if !ok || !closed {
		return "", fmt.Errorf("no part %q: it needs the lines %q and %q", part, strings.TrimSpace(begin(part)), strings.TrimSpace(end(part)))
	}
	return inside, nil
}

// withSection replaces what is between the marks of a part and touches nothing else.
func withSection(doc, part, text string) (string, error) {
	old, err := section(doc, part)
	if err != nil {
		return "", err
	}
	return strings.Replace(doc, begin(part)+old+end(part), begin(part)+text+end(part), 1), nil
}

// updateDoc writes the machine and the figures into the prose at path.
func updateDoc(path string, from source, machine string, all []Measure) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	doc, err := withSection(string(b), from.machine, machine)
	if err == nil {
		doc, err = withSection(doc, from.figures, figures(all))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return replace(path, []byte(doc))
}

// replace writes a file anew in one step: a bench that is interrupted leaves the old one.
func replace(path string, b []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
