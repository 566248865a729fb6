package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newAdvisories(c *cli) *cobra.Command {
	var gate bool
	cmd := &cobra.Command{
		Use:   "advisories",
		Short: "Where advisories come from, how old they are, and which images none covers",
		Long: `List the sources of advisories, of facts on them, and of statements: how much is in each, what of it is broken, when it was
looked at and when it changed. Then say which packages of which images no source has advisories for: that nothing is found
in them means nothing.`,
		Args: wants(0, 0, ""),
	}
	o := output(cmd, "table", "json")
	cmd.Flags().BoolVar(&gate, "exit-code", false, "exit with 3 when the packages of an image are covered by no source, or a source could not be read")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		a, err := c.client().Advisories(cmd.Context())
		if err != nil {
			return err
		}
		if o.value == "json" {
			err = printJSON(cmd, a)
		} else {
			clean(&a)
			c.printer(cmd, a.Now).advisories(a)
		}
		if err == nil && gate && !allKnown(a) {
			return &exit{code: exitUnknown}
		}
		return err
	}
	return cmd
}

// allKnown says that nothing is left to know.
func allKnown(a api.Advisories) bool {
	for _, s := range a.Sources {
		if s.State != api.SourceOK || s.Broken > 0 || len(s.Problems) > 0 {
			return false
		}
	}
	return a.Unanswered == "" && len(a.Uncovered) == 0 && a.Unread == 0
}

func (p *printer) advisories(a api.Advisories) {
	p.line("Covered  %s of %s, with all their packages; %s not read  (%s)", api.Thousands(a.Covered), api.Count(a.Images, "image"), were(a.Unread), p.asOf(a.AsOf))
	if a.Unanswered != "" {
		p.line("Unknown  %s", a.Unanswered)
	}
	if len(a.Sources) > 0 {
		p.line("Sources")
	}
	for _, s := range a.Sources {
		p.source(s)
	}
	if a.Imported > 0 {
		p.line("Imported %s with statements: rebuilder vex list", api.Count(a.Imported, "document"))
	}
	if len(a.Uncovered) == 0 {
		return
	}
	p.line("Not covered")
	for _, u := range a.Uncovered {
		p.line("  ? %s: %s in %s", u.Why, api.Count(u.Packages, u.Type+" package"), api.Count(u.Images, "image"))
		p.line("      %s", firstOf(u.Names, u.Images))
	}
}

func (p *printer) source(s api.AdvisorySource) {
	how := "last read " + p.when(s.OKAt)
	if !s.ChangedAt.IsZero() && !s.ChangedAt.Equal(s.OKAt) {
		how += "; last changed " + p.when(s.ChangedAt)
	}
	if !s.ListedAt.IsZero() {
		how += "; as of " + day(s.ListedAt)
	}
	records := api.Count(s.Records, map[string]string{"openvex": "statement", "osv": "record"}[s.Kind])
	if s.Kind == "kev" || s.Kind == "epss" {
		records = api.Count(s.Records, "CVE")
	}
	p.table("  ", [][]string{{s.Name, p.state(s.State), s.Kind, records, how}})
	if s.Place != "" {
		p.line("      %s%s", s.Place, said(": ", strings.Join(s.Ecosystems, ", ")))
	}
	if s.Error != "" {
		p.line("      ! %s%s", s.Error, known(s))
	}
	if s.Broken > 0 {
		p.line("      ! %s of them could not be read:", api.Thousands(s.Broken))
	}
	for _, b := range s.Problems {
		p.line("        %s", b)
	}
}

// known says that a source that could not be read anew counts as it was.
func known(s api.AdvisorySource) string {
	if s.OKAt.IsZero() {
		return ""
	}
	return "; what was known before counts"
}

func were(n int) string {
	if n == 1 {
		return "1 was"
	}
	return api.Thousands(n) + " were"
}

// firstOf names the first of some.
func firstOf(names []string, of int) string {
	const most = 5
	line := strings.Join(names[:min(len(names), most)], ", ")
	if n := of - most; n > 0 {
		line += fmt.Sprintf(" and %d more", n)
	}
	return line
}
