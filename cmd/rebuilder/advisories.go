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
	p.line("Covered  %s of %s: all their packages; %s not read  (%s)", api.Thousands(a.Covered), api.Count(a.Images, "image"), api.Thousands(a.Unread), p.asOf(a.AsOf))
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
		p.line("  ? %s, %s: %s of %s", u.Why, api.Count(u.Images, "image"), api.Count(u.Packages, "package"), u.Type)
		p.line("      %s", firstOf(u.Names, u.Images))
	}
}

func (p *printer) source(s api.AdvisorySource) {
	how := "last read " + p.when(s.OKAt)
	if !s.ChangedAt.IsZero() && !s.ChangedAt.Equal(s.OKAt) {
		how += "; last changed " + p.when(s.ChangedAt)
	}
	if !s.ListedAt.IsZero() {
		how += "; as of " + until(s.ListedAt)
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
		p.line("      ! %s; what was known before counts", s.Error)
	}
	if s.Broken > 0 {
		p.line("      ! %s of them could not be read:", api.Thousands(s.Broken))
	}
	for _, b := range s.Problems {
		p.line("        %s", b)
	}
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
