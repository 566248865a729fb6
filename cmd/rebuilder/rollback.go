package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newRollback(c *cli) *cobra.Command {
	var q api.MoveRequest
	cmd := &cobra.Command{
		Use:   "rollback BASE",
		Short: "Move a base's channel back to the image before, and keep the bad one from being used",
		Long: `Move a base's channel back, at once and by digest. What was there is put in quarantine, with all that was made from it:
nobody promotes it, proposes it or builds on it again, not the nightly refresh either, until a person clears it. Rollouts stop
what they do with it, open pull requests for it are withdrawn, and who stands on it is shown the way back.

A rebuild takes the channel from there by itself only when it has nothing of what came with the bad one: another version of
each package that came in, another recipe where that was what changed. What is like it is held back; see "rebuilder quarantine".

The second time nothing happens: to go farther back, say --to. A channel that somebody else moved is not touched without
--override; --accept keeps it where it is, and goes on from there.`,
		Example: `  rebuilder rollback base/debian --reason "TLS handshakes fail"
  rebuilder rollback base/debian --to 3c4d5e6f --reason "so does the one before"`,
		Args: wants(1, 1, "the name of a base", "list them: rebuilder images --kind base"), ValidArgsFunction: c.completeImages,
	}
	f := cmd.Flags()
	f.StringVar(&q.To, "to", "", "the digest to go back to, or its beginning; without it the one before")
	f.BoolVar(&q.Override, "override", false, "also when somebody else moved the channel, or the digest is in quarantine, which is cleared; the audit log shows it")
	f.BoolVar(&q.Accept, "accept", false, "move nothing: keep the channel where somebody else moved it")
	c.byHand(cmd, &q)
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q.Image = args[0]
		if err := reasoned(q.Reason); err != nil {
			return err
		}
		if q.Accept && q.To != "" {
			return usage(cmd, errors.New("--accept moves nothing, and --to says where to"))
		}
		m, err := c.client().Rollback(cmd.Context(), q)
		if err != nil {
			return err
		}
		return c.moved(cmd, o, m)
	}
	return cmd
}

// byHand adds what all verbs that move channels have.
func (c *cli) byHand(cmd *cobra.Command, q *api.MoveRequest) {
	cmd.Flags().StringVar(&q.Reason, "reason", "", "why, for who reads it later")
	cmd.Flags().StringVar(&q.ID, "id", "", "an id of your own: the same one again changes nothing")
	c.by(cmd, &q.By)
}

func reasoned(reason string) error {
	if strings.TrimSpace(reason) == "" {
		return &exit{exitUsage, hint(fmt.Errorf("--reason is missing"), `say why, for who reads it later: --reason "TLS handshakes fail"`)}
	}
	return nil
}

func (c *cli) moved(cmd *cobra.Command, o *format, m api.HandMoved) error {
	if o.value == "json" {
		return printJSON(cmd, m)
	}
	clean(&m)
	c.printer(cmd, time.Time{}).moved(m)
	return nil
}

func (p *printer) moved(m api.HandMoved) {
	channel := m.Image + ":" + m.Channel
	switch {
	case m.Again && m.By != "" && !m.AskedAt.IsZero():
		p.line("%s is at %s already, by the %s of %s: %s", channel, api.Short(m.To), m.Verb, m.By, m.Reason)
	case m.Again:
		p.line("%s is at %s already: nothing was changed.", channel, api.Short(m.To))
	case m.Verb == "accept":
		p.line("%s stays at %s, where somebody else moved it from %s.", channel, api.Short(m.To), api.Short(m.From))
	default:
		p.line("%s is at %s now%s.", channel, api.Short(m.To), said("; it was at ", api.Short(m.From)))
	}
	if m.State == "withdrawing" {
		p.line("Pull requests are still being withdrawn, by themselves: %s", orDash(m.Problem))
	}
	p.quarantined("In quarantine now", m.Quarantined)
	p.quarantined("Cleared", m.Cleared)
	p.dependents(m)
}

func (p *printer) quarantined(title string, all []api.Quarantine) {
	if len(all) == 0 {
		return
	}
	p.line("%s", title)
	var rows [][]string
	for _, z := range all {
		rows = append(rows, []string{z.Image + "@" + api.Short(z.Digest), z.Reason})
	}
	p.table("  ", rows)
}

func (p *printer) dependents(m api.HandMoved) {
	if m.Again || len(m.Quarantined) == 0 {
		return
	}
	if len(m.Dependents) == 0 {
		p.line("Nobody stands on it, as far as the last look shows.")
		return
	}
	p.line("Stand on it, and are shown the way back (%s)", api.Count(len(m.Dependents), "image"))
	var rows [][]string
	for _, d := range m.Dependents {
		rows = append(rows, []string{d.Image, "on " + d.On + "@" + api.Short(d.Digest), d.WayBack})
	}
	p.table("  ", rows)
	if m.Automatic {
		p.line("That starts with the next look, which is at once: rebuilder status")
		return
	}
	p.line("That starts when somebody applies the plan: rebuilder plan")
}
