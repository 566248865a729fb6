package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

// control is a verb that asks something of one rollout.
func (c *cli) control(verb string, cmd *cobra.Command, q *api.ControlRequest, done func(p *printer, r api.Controlled)) *cobra.Command {
	cmd.Flags().StringVar(&q.Reason, "reason", "", "why, for the audit log and those who wait")
	o := output(cmd, "table", "json")
	cmd.ValidArgsFunction = c.completeRollouts
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q.By, q.Images = whoami(c.env), args[1:]
		r, err := c.client().Control(cmd.Context(), args[0], verb, *q)
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, r)
		}
		clean(&r)
		p := c.printer(cmd, time.Time{})
		if !r.Changed {
			p.line("Nothing changed: rollout %s is %s%s.", r.Rollout, r.State, said(", ", r.Reason))
			return nil
		}
		done(p, r)
		return nil
	}
	return cmd
}

// atWork says what goes on all the same.
func (p *printer) atWork(r api.Controlled) {
	if len(r.AtWork) == 0 {
		p.line("Nothing was at work.")
		return
	}
	const named = 5
	s := strings.Join(r.AtWork[:min(named, len(r.AtWork))], ", ")
	if n := len(r.AtWork) - named; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	p.line("What is at work goes on to its end: %s.", s)
}

func newPause(c *cli) *cobra.Command {
	var q api.ControlRequest
	return c.control("pause", &cobra.Command{
		Use:   "pause ROLLOUT",
		Short: "Begin nothing new of a rollout",
		Long: `Begin nothing new of a rollout: no build, and nobody is told. What is at work goes on to its end, and those who were told
are followed. A newer rollout that brings newer bases still tells of those.`,
		Example: `  rebuilder pause r-1a2b3c4d5e6f-1 --reason "the release is tonight"`,
		Args:    wants(1, 1, "a rollout's id", "list them: rebuilder rollouts"),
	}, &q, func(p *printer, r api.Controlled) {
		p.line("Rollout %s is paused.", r.Rollout)
		p.atWork(r)
		p.line("It goes on with: rebuilder resume %s", r.Rollout)
	})
}

func newResume(c *cli) *cobra.Command {
	var q api.ControlRequest
	return c.control("resume", &cobra.Command{
		Use:   "resume ROLLOUT",
		Short: "Let a rollout go on that is paused, halted or stopped at a tier",
		Long: `Let a rollout go on that is paused, halted or stopped at a tier. One that was halted, because more of those who were
told failed than its failure budget allows, needs a reason; the failures so far are forgiven then, and the budget counts anew.`,
		Example: `  rebuilder resume r-1a2b3c4d5e6f-1 --reason "web's CI was red before, too"`,
		Args:    wants(1, 1, "a rollout's id", "list them: rebuilder rollouts"),
	}, &q, func(p *printer, r api.Controlled) {
		p.line("Rollout %s goes on.", r.Rollout)
		p.line("Follow it: rebuilder rollouts %s", r.Rollout)
	})
}

func newRetry(c *cli) *cobra.Command {
	var q api.ControlRequest
	return c.control("retry", &cobra.Command{
		Use:   "retry ROLLOUT [IMAGE...]",
		Short: "Try again what failed in a rollout, without waiting for its back-off",
		Long: `Try again what failed in a rollout, or the named images of it, without waiting for their back-off. An application of a
rollout that runs gets another turn in it; bases, and what is left of a rollout that has ended, are planned again with the
next look.`,
		Example: `  rebuilder retry r-1a2b3c4d5e6f-1 web`,
		Args:    wants(1, 1000, "a rollout's id", "list them: rebuilder rollouts"),
	}, &q, func(p *printer, r api.Controlled) {
		p.line("Tried again: %s.", strings.Join(r.Again, ", "))
		p.line("Follow it: rebuilder status")
	})
}

func newStop(c *cli) *cobra.Command {
	var q api.ControlRequest
	cmd := c.control("stop", &cobra.Command{
		Use:   "stop ROLLOUT --at-tier N",
		Short: "Begin nothing of a rollout beyond a tier",
		Long: `Begin nothing of a rollout beyond a tier, as "rebuilder plan" counts them: the bases that come first are tier 1. What is at
work goes on to its end.`,
		Example: `  rebuilder stop r-1a2b3c4d5e6f-1 --at-tier 2 --reason "look at base/python first"`,
		Args:    wants(1, 1, "a rollout's id", "list them: rebuilder rollouts"),
	}, &q, func(p *printer, r api.Controlled) {
		p.line("Rollout %s stops at tier %d.", r.Rollout, q.Tier)
		p.atWork(r)
		p.line("It goes on with: rebuilder resume %s", r.Rollout)
	})
	cmd.Flags().IntVar(&q.Tier, "at-tier", 0, "the last tier that is begun")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if q.Tier < 1 {
			return usage(cmd, fmt.Errorf("--at-tier %d: want the number of a tier, 1 or more", q.Tier))
		}
		return nil
	}
	return cmd
}

func newCritical(c *cli) *cobra.Command {
	var q api.ControlRequest
	return c.control("critical", &cobra.Command{
		Use:   "critical ROLLOUT --reason WHY",
		Short: "Let a rollout wait for no wave, no soak and no freeze",
		Long: `Let a rollout wait for no wave, no soak and no freeze any more. It keeps to the limits of [budget], of which a part is kept
for what is critical, and to its failure budget. Rollouts whose patches fix what is critical or known to be exploited are so by
themselves.`,
		Example: `  rebuilder critical r-1a2b3c4d5e6f-1 --reason "exploited in the wild, not yet listed"`,
		Args:    wants(1, 1, "a rollout's id", "list them: rebuilder rollouts"),
	}, &q, func(p *printer, r api.Controlled) {
		p.line("Rollout %s is critical: it waits for no wave, no soak and no freeze.", r.Rollout)
		p.line("Follow it: rebuilder rollouts %s", r.Rollout)
	})
}
