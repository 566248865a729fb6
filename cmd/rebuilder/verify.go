package main

import (
	"errors"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
	"rebuilder/internal/policy"
)

func newVerify(c *cli) *cobra.Command {
	var w what
	var against string
	cmd := &cobra.Command{
		Use:   "verify IMAGE|DIGEST|REFERENCE",
		Short: "Whether an image passes its policies: a gate for CI",
		Long: `Judge an image and end with the verdict as exit status: 0 it passes, 2 it fails, 3 that cannot be told, as where
vulnerabilities are enforced and nothing is known of them. What fails is listed with what to do about it.

With --against only what is new in comparison with another image fails: for images that are better than what they replace,
and not yet good.`,
		Example: `  rebuilder verify registry.example.com/shop/api:$GIT_COMMIT
  rebuilder verify registry.example.com/shop/api:$GIT_COMMIT --against shop/api
  rebuilder verify base/debian -o json`,
		Args:              wants(1, 1, "an image", "see all images: rebuilder images"),
		ValidArgsFunction: c.completeImages,
	}
	o := output(cmd, "table", "json")
	w.flags(cmd)
	cmd.Flags().StringVar(&against, "against", "", "an image, digest or reference: fail only for what that one does not have")
	_ = cmd.RegisterFlagCompletionFunc("against", c.completeImages) // only fails when there is no such flag
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		w.name = args[0]
		if against != "" {
			return c.verifyAgainst(cmd, w, against, o.value == "json")
		}
		s, err := c.sheet(cmd, w)
		if err != nil {
			return notReadIsUnknown(err)
		}
		if o.value == "json" {
			err = printJSON(cmd, s)
		} else {
			clean(&s)
			c.printer(cmd, s.Now).verified(s)
		}
		if err != nil {
			return err
		}
		return gateOn(s.Verdict.Outcome)
	}
	return cmd
}

func (c *cli) verifyAgainst(cmd *cobra.Command, w what, against string, asJSON bool) error {
	d, err := c.difference(cmd, api.DiffRequest{Before: against, After: w.name, Platform: w.platform})
	if err != nil {
		return notReadIsUnknown(err)
	}
	outcome := outcomeAgainst(d)
	if asJSON {
		err = printJSON(cmd, d)
	} else {
		clean(&d)
		c.printer(cmd, d.Now).verifiedAgainst(d, outcome)
	}
	if err != nil {
		return err
	}
	return gateOn(outcome)
}

// outcomeAgainst is the verdict on what is new. What could not be looked for may be new, too.
func outcomeAgainst(d api.Difference) policy.VerdictOutcome {
	switch {
	case len(d.Failing) > 0:
		return policy.Fail
	case d.After.Outcome != policy.Pass && len(d.After.Unknown) > 0:
		return policy.Undecided
	}
	return policy.Pass
}

// notReadIsUnknown gives an image that nobody has looked into the exit status of what is not known.
func notReadIsUnknown(err error) error {
	var e *api.Error
	if errors.As(err, &e) && e.Code == api.CodeNotRead {
		return &exit{exitUnknown, err}
	}
	return err
}

func (p *printer) verified(s api.Sheet) {
	p.line("%s  %s: failing are %d of %s; %s  (%s)", p.state(string(s.Verdict.Outcome)), imageAt(s.Name, s.Digest), s.Verdict.Outcomes[policy.Fails], api.Count(len(s.Verdict.Findings), "finding"), policiesOf(s.Verdict), p.asOfAdvisories(s))
	var failing []policy.Judged
	for _, f := range s.Verdict.Findings {
		if f.Outcome == policy.Fails {
			failing = append(failing, f)
		}
	}
	p.failing(failing)
	if s.Verdict.Outcome != policy.Pass {
		p.unknown(s.Verdict.Unknown)
	}
	for _, e := range s.Verdict.Expiring {
		p.line("! %s excuses %s only until %s; owner %s", e.ID, e.Finding, p.when(e.Expires), orDash(e.Owner))
	}
}

func (p *printer) verifiedAgainst(d api.Difference, outcome policy.VerdictOutcome) {
	p.line("%s  %s against %s: failing are %d of %s; in all %d of %s, and %d fixed", p.state(string(outcome)), imageAt(d.After.Image, d.After.Digest), imageAt(d.Before.Image, d.Before.Digest),
		len(d.Failing), api.Count(d.Counts.New, "new finding"), d.After.Fails, api.Count(d.After.Findings, "finding"), d.Counts.Fixed)
	p.failing(d.Failing)
	if outcome == policy.Undecided {
		p.unknown(d.After.Unknown)
	}
}

// failing lists what fails, and what to do about it.
func (p *printer) failing(all []policy.Judged) {
	var rows [][]string
	for _, f := range all {
		rows = append(rows, []string{p.paint(red, "✗"), p.severity(f.Finding), f.ID, thingOf(f.Finding), f.Reason + said(". ", f.Do)})
	}
	p.some(rows, mostRows)
}

func (p *printer) unknown(all []string) {
	for _, u := range all {
		p.line("  %s %s", p.paint(yellow, "?"), u)
	}
}
