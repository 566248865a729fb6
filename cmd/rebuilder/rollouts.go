package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
	"rebuilder/internal/catalog"
)

const maxRollouts = 200 // that the daemon lists

func newRollouts(c *cli) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:               "rollouts [ID]",
		Short:             "List rollouts, or show one with all its images",
		Args:              wants(0, 1, "a rollout's id"),
		ValidArgsFunction: c.completeRollouts,
	}
	o := output(cmd, "table", "json")
	cmd.Flags().IntVar(&limit, "limit", 20, "how many to list, the newest first")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return c.showRollout(cmd, args[0], o.value)
		}
		if limit < 1 || limit > maxRollouts {
			return usage(cmd, fmt.Errorf("--limit %d: want a number from 1 to %d", limit, maxRollouts))
		}
		all, err := c.client().Rollouts(cmd.Context(), limit)
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, all)
		}
		clean(&all)
		c.printer(cmd, all.Now).rollouts(all)
		return nil
	}
	return cmd
}

func (c *cli) showRollout(cmd *cobra.Command, id, format string) error {
	r, err := c.client().Rollout(cmd.Context(), id)
	if err != nil {
		return err
	}
	if format == "json" {
		return printJSON(cmd, r)
	}
	clean(&r)
	c.printer(cmd, r.Now).rollout(r.Rollout)
	return nil
}

func (p *printer) rollouts(all api.Rollouts) {
	p.line("%d of %s, the newest first", len(all.Rollouts), api.Count(all.Total, "rollout"))
	if len(all.Rollouts) == 0 {
		return
	}
	rows := [][]string{{"ROLLOUT", "STATE", "IMAGES", "STARTED", "TOOK", "CAUSE"}}
	for _, r := range all.Rollouts {
		rows = append(rows, p.rolloutRow(r))
	}
	p.table("", rows)
}

func (p *printer) rolloutRow(r api.Rollout) []string {
	return []string{r.ID, p.state(r.State), outcomes(r), p.when(r.CreatedAt), p.took(r), strings.TrimRight(r.Title+". "+r.Reason, ". ")}
}

// outcomes says how far a rollout is, or how its images ended, the worst first: "2 failed, 6 skipped".
func outcomes(r api.Rollout) string {
	if r.EndedAt.IsZero() {
		return fmt.Sprintf("%d of %d finished", r.Ended, r.Images)
	}
	return api.Outcomes(r)
}

// whole is how long an ended rollout took.
func (p *printer) whole(r api.Rollout) string {
	if r.EndedAt.IsZero() {
		return ""
	}
	return p.took(r)
}

func (p *printer) took(r api.Rollout) string {
	if r.EndedAt.IsZero() {
		return p.age(r.CreatedAt) + " so far"
	}
	return api.Age(r.EndedAt.Sub(r.CreatedAt))
}

func (p *printer) rollout(r api.Rollout) {
	p.line("%s  %s  %s", r.ID, p.state(r.State), r.Title)
	if r.Reason != "" {
		p.line("Reason   %s", r.Reason)
	}
	p.line("Started  %s%s", p.when(r.CreatedAt), said("; took ", p.whole(r)))
	if !r.PublishedAt.IsZero() {
		p.line("Patch    published %s%s", p.when(r.PublishedAt), p.lead(r))
	}
	if r.Critical != "" {
		p.line("Critical %s: it waits for no wave, no soak and no freeze", r.Critical)
	}
	if r.StopAt > 0 {
		p.line("Stops    at tier %d; rebuilder resume %s lets it go on", r.StopAt, r.ID)
	}
	if !r.HeldSince.IsZero() {
		p.line("Waits    since %s for a person: rebuilder resume %s", p.when(r.HeldSince), r.ID)
	}
	p.waves(r.Waves)
	p.line("Images   %s", outcomes(r))
	if len(r.Stages) > 0 {
		p.line("Fix      %s", p.stages(r.Stages))
	}
	rows := [][]string{{"IMAGE", "STATE", "FOR", "WHAT IT DOES OR WAITS FOR"}}
	for _, n := range r.Nodes {
		rows = append(rows, []string{n.Image, p.state(n.State), p.age(n.Since), n.Sentence})
		for _, more := range p.nodeMore(n) {
			rows = append(rows, []string{"", "", "", more})
		}
	}
	p.table("  ", rows)
	p.proposals(r.Proposals)
}

func (p *printer) lead(r api.Rollout) string {
	if r.EndedAt.IsZero() || r.State != "done" {
		return ""
	}
	return "; everywhere " + api.Age(r.EndedAt.Sub(r.PublishedAt)) + " later"
}

// nodeMore are the facts of one image that do not fit in its row.
func (p *printer) nodeMore(n api.Node) []string {
	var out []string
	if n.Before != n.After && n.After != "" {
		from := api.Short(n.Before)
		if from == "" {
			from = "nothing"
		}
		s := from + " -> " + api.Short(n.After)
		if changed := api.Count(len(n.Changes), "package") + " changed"; len(n.Changes) > 0 && !strings.Contains(n.Sentence, changed) {
			s += ", " + changed
		}
		if n.Proven && n.Kind == "base" { // an application that is done says so itself
			s += ", proven by its layers"
		}
		out = append(out, s)
	}
	out = append(append(out, n.Missing...), n.Checks...)
	if !n.Ended && n.Who != "" {
		out = append(out, "can act: "+n.Who)
	}
	if !n.Next.IsZero() {
		out = append(out, "next: "+p.when(n.Next))
	}
	if n.URL != "" {
		out = append(out, n.URL)
	}
	if n.Build != "" && n.State == "failed" {
		out = append(out, "rebuilder logs "+n.Build)
	}
	return out
}

func (p *printer) proposals(all []api.Proposal) {
	if len(all) == 0 {
		return
	}
	p.line("Told     %s", api.Count(len(all), "application"))
	rows := [][]string{{"APPLICATION", "HOW", "STATE", "WHAT BECAME OF IT"}}
	for _, q := range all {
		how := q.Strategy
		if q.Number > 0 {
			how += fmt.Sprintf(" #%d", q.Number)
		}
		rows = append(rows, []string{q.Application, how, p.state(q.State), p.became(q)})
	}
	p.table("  ", rows)
}

// told is what was done to tell somebody.
func told(strategy string) string {
	if strategy == string(catalog.Dispatch) {
		return "started"
	}
	return "opened"
}

func (p *printer) became(q api.Proposal) string {
	var out []string
	for _, step := range []struct {
		word string
		at   time.Time
	}{{told(q.Strategy), q.OpenedAt}, {"merged", q.MergedAt}, {"its image was built", q.BuiltAt}} {
		if !step.at.IsZero() {
			out = append(out, step.word+" "+p.age(step.at)+" ago")
		}
	}
	return strings.Join(out, ", ")
}

// waves says how far the waves of a rollout are, and what each waits for.
func (p *printer) waves(all []api.Wave) {
	if len(all) == 0 {
		return
	}
	p.line("Waves")
	rows := [][]string{{"WAVE", "TOLD", "PROVEN", "FAILED", "WHAT IT WAITS FOR"}}
	for i, w := range all {
		waits := w.Waits
		if waits != "" && !w.Until.IsZero() {
			waits += ", until " + p.when(w.Until)
		}
		of := func(n int) string { return fmt.Sprintf("%d of %d", n, w.Images) }
		rows = append(rows, []string{fmt.Sprintf("%d %s", i+1, w.Name), of(w.Told), of(w.Proven), of(w.Failed), waits})
	}
	p.table("  ", rows)
}
