package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"rebuilder/internal/api"
)

// printer writes for people: aligned, coloured only on a terminal that wants it.
type printer struct {
	w      io.Writer
	colour bool
	width  int       // columns of the terminal; 0: not a terminal, lines may be of any length
	now    time.Time // the daemon's clock: ages are its ages
}

func (c *cli) printer(cmd *cobra.Command, now time.Time) *printer {
	w := cmd.OutOrStdout()
	return &printer{w: w, colour: c.colour(w), width: terminalWidth(w), now: now}
}

func (c *cli) colour(w io.Writer) bool {
	return terminalWidth(w) > 0 && !c.noColor && c.env("NO_COLOR") == "" && c.env("TERM") != "dumb"
}

// terminalWidth is the number of columns of a terminal, 0 when w is none.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

func (p *printer) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// table aligns rows of cells.
func (p *printer) table(indent string, rows [][]string) {
	fmt.Fprint(p.w, columns{indent: indent, width: p.width}.text(rows))
}

const (
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

// state paints a state's word, with a mark that needs no colour.
func (p *printer) state(s string) string {
	switch s {
	case "current", "done", "unchanged", "built", "ok", "ready", "pass", "approved", "delivered":
		return p.paint(green, "✓ "+s)
	case "skipped", "rejected", "revoked", "cleared":
		return "- " + s
	case "rebuilding", "building", "testing", "scanning", "promoting", "running", "planned", "full":
		return p.paint(blue, "◐ "+s)
	case "awaiting", "telling", "waiting", "open", "merged", "paused", "draining", "requested", "expiring", "pending":
		return p.paint(yellow, "◌ "+s)
	case "behind":
		return p.paint(yellow, "! fix available")
	case "unknown", "never", "new":
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
