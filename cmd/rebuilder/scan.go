package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
	"rebuilder/internal/export"
	"rebuilder/internal/policy"
)

func newScan(c *cli) *cobra.Command {
	var w what
	var all, gate bool
	cmd := &cobra.Command{
		Use:   "scan IMAGE|DIGEST|REFERENCE",
		Short: "What was found in an image, and what the policies make of it",
		Long: `List what was found in an image: vulnerabilities, secrets, and how it is made; what fails first, then the worst. Each has
what became of it and why, the version with the fix, and the base that brought it in. What is below what counts, excepted
or not affected is counted, and listed with --all.

Of an image that the catalog names nothing is pulled. A REFERENCE that it does not have is read from its registry by the
daemon, which asks for its token.`,
		Example: `  rebuilder scan base/debian
  rebuilder scan registry.example.com/elsewhere/tool:1 --exit-code
  rebuilder scan base/debian -o sarif > base-debian.sarif`,
		Args:              wants(1, 1, "an image", "see all images: rebuilder images"),
		ValidArgsFunction: c.completeImages,
	}
	o := output(cmd, append([]string{"table", "json"}, export.Formats()...)...)
	w.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "list everything, also what is below what counts, excepted or not affected")
	cmd.Flags().BoolVar(&gate, "exit-code", false, "exit as verify does: with 2 when it fails, with 3 when that is not known")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		w.name = args[0]
		if o.value != "table" && o.value != "json" {
			if gate {
				return usage(cmd, fmt.Errorf("--exit-code goes with -o table and json, not with %s", o.value))
			}
			return c.export(cmd, w, o.value)
		}
		s, err := c.sheet(cmd, w)
		if err != nil {
			return err
		}
		if o.value == "json" {
			err = printJSON(cmd, s)
		} else {
			clean(&s)
			c.printer(cmd, s.Now).scan(s, all)
		}
		if err != nil || !gate {
			return err
		}
		return gateOn(s.Verdict.Outcome)
	}
	return cmd
}

// gateOn is the exit status of a verdict.
func gateOn(o policy.VerdictOutcome) error {
	switch o {
	case policy.Pass:
		return nil
	case policy.Fail:
		return &exit{code: exitChanges}
	}
	return &exit{code: exitUnknown}
}

func (p *printer) scan(s api.Sheet, all bool) {
	p.line("%s  %s  %s", imageAt(s.Name, s.Digest), p.state(string(s.Verdict.Outcome)), policiesOf(s.Verdict))
	for _, o := range policy.Outcomes() {
		p.group(s, o, all)
	}
	for _, u := range s.Verdict.Unknown {
		p.line("? %s", u)
	}
	p.line("%s  (%s)", findings(s.Verdict), p.asOfAdvisories(s))
}

// imageAt is an image with the digest that is meant.
func imageAt(image, digest string) string { return image + "@" + api.Short(digest) }

// asOfAdvisories says how old what is known of vulnerabilities is.
func (p *printer) asOfAdvisories(s api.Sheet) string {
	for _, src := range s.Sources {
		if src.Name == "advisories" && !src.AsOf.IsZero() {
			return "advisories " + p.age(src.AsOf) + " old"
		}
	}
	return "advisories: none"
}

// mostOfGroup are listed of findings that fail nothing, when not all are asked for.
const mostOfGroup = 20

// group lists the findings of one outcome.
func (p *printer) group(s api.Sheet, o policy.Outcome, all bool) {
	n := s.Verdict.Outcomes[o]
	quiet := o == policy.Below || !o.Open()
	if n == 0 || quiet && !all {
		return
	}
	p.line("%s, %s", api.Count(n, "finding"), outcomeWords[o])
	rows := [][]string{{"SEVERITY", "ID", "WHAT", "FIXED IN", "FROM", "WHY"}}
	for _, f := range s.Verdict.Findings {
		if f.Outcome == o {
			rows = append(rows, []string{p.severity(f.Finding), f.ID, thingOf(f.Finding), fixedIn(f.Finding), p.from(s, f.Finding), f.Reason})
		}
	}
	most := len(rows)
	if !all && o != policy.Fails {
		most = min(most, 1+mostOfGroup)
	}
	p.table("  ", rows[:most])
	if more := len(rows) - most; more > 0 {
		p.line("  … %s more: --all lists them", api.Thousands(more))
	}
}

// severity says how bad it is, and how likely it is to be used.
func (p *printer) severity(f policy.Finding) string {
	s := string(f.Severity)
	if f.Severity.AtLeast(policy.SeverityHigh) {
		s = p.paint(red, s)
	}
	if f.Exploited {
		s += ", exploited"
	}
	if f.EPSS != nil {
		s += fmt.Sprintf(", EPSS %.0f %%", *f.EPSS*100)
	}
	return s
}

// thingOf is what a finding is about.
func thingOf(f policy.Finding) string {
	switch {
	case f.Package != "":
		return strings.TrimSpace(shortened(f.Package) + " " + shortened(f.Version))
	case f.Path == "":
		return "the image"
	}
	s := shortened(f.Path)
	if f.Line > 0 {
		s += fmt.Sprintf(":%d", f.Line)
	}
	if f.Deleted {
		s += " (deleted in a later layer)"
	}
	return s
}

// shortened keeps what an image says of itself from making a table unreadable. Where it matters, the end of a path tells more
// than its beginning.
func shortened(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		return "…" + string(r[len(r)-most+1:])
	}
	return s
}

func fixedIn(f policy.Finding) string {
	switch {
	case f.Kind != policy.Vulnerability:
		return "-"
	case f.FixedIn == "":
		return "no patch yet"
	}
	return shortened(f.FixedIn)
}

// from is what brought a finding in.
func (p *printer) from(s api.Sheet, f policy.Finding) string {
	switch {
	case f.Inherited != "":
		return f.Inherited
	case f.Layer < 0:
		return "its configuration"
	}
	return fmt.Sprintf("layer %d of %d", f.Layer+1, s.Content.Layers)
}
