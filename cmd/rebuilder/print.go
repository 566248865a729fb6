package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

// printer writes for people: aligned, coloured only on a terminal that wants it.
type printer struct {
	w      io.Writer
	colour bool
	now    time.Time // the daemon's clock: ages are its ages
}

func (c *cli) printer(cmd *cobra.Command, now time.Time) *printer {
	return &printer{w: cmd.OutOrStdout(), colour: c.colour(cmd.OutOrStdout()), now: now}
}

func (c *cli) colour(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || c.noColor || c.env("NO_COLOR") != "" || c.env("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (p *printer) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// table aligns rows of cells.
func (p *printer) table(indent string, rows [][]string) {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(t, indent+strings.Join(r, "\t"))
	}
	_ = t.Flush() // into memory: cannot fail
	for line := range strings.Lines(b.String()) {
		fmt.Fprintln(p.w, strings.TrimRight(line, " \n"))
	}
}

// Every painted cell is longer by the same number of bytes, whatever its colour, so that columns stay aligned.
const (
	plain  = "39"
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
)

func (p *printer) paint(colour, s string) string {
	if !p.colour {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[39m"
}

// head is a table's first row, painted as its cells are.
func (p *printer) head(painted int, names ...string) []string {
	if painted >= 0 {
		names[painted] = p.paint(plain, names[painted])
	}
	return names
}

// state paints a state's word, with a mark that needs no colour.
func (p *printer) state(s string) string {
	switch s {
	case "current", "done", "unchanged", "built", "ok":
		return p.paint(green, "✓ "+s)
	case "skipped":
		return p.paint(plain, "- "+s)
	case "rebuilding", "building", "testing", "scanning", "promoting", "running", "planned":
		return p.paint(blue, "◐ "+s)
	case "awaiting", "telling", "waiting", "open", "merged", "paused":
		return p.paint(yellow, "◌ "+s)
	case "behind":
		return p.paint(yellow, "! fix available")
	case "unknown":
		return p.paint(yellow, "? "+s)
	}
	return p.paint(red, "✗ "+s)
}

func (p *printer) when(t time.Time) string { return api.When(t, p.now) }

// age is how long ago; empty when not known.
func (p *printer) age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return api.Age(p.now.Sub(t))
}

// asOf says how old the facts are.
func (p *printer) asOf(t time.Time) string {
	if t.IsZero() {
		return "not looked yet"
	}
	return "data " + api.Age(p.now.Sub(t)) + " old"
}

// printJSON writes the daemon's answer as it is.
func printJSON(cmd *cobra.Command, v any) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}
