package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newStatus(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "How things are, and what needs a person",
		Args:  wants(0, 0, ""),
	}
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := c.client().Status(cmd.Context())
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, s)
		}
		clean(&s)
		c.printer(cmd, s.Now).status(s)
		return nil
	}
	return cmd
}

func (p *printer) status(s api.Status) {
	p.line("Fleet    %s: %s%s  (%s)", api.Count(s.Fleet.Images, "image"), states(s.Fleet), observed(s.Fleet), p.asOf(s.AsOf))
	p.line("Verdicts %s", verdicts(s.Verdicts))
	p.running(s)
	if len(s.Needs) == 0 {
		p.line("Needs a person: %s, of %s", nothing(s), api.Count(s.Fleet.Images, "image"))
	} else {
		p.line("Needs a person")
		p.needs(s.Needs)
	}
	p.untaken(s.Untaken)
	p.builders(s.Builder)
	p.recent(s.Recent)
	p.watchers(s)
}

// builders says what each builder is doing; nothing when there is one, and it is ready.
func (p *printer) builders(b *api.BuilderState) {
	if b == nil || len(b.Workers) == 0 || len(b.Workers) == 1 && b.Workers[0].Why == "" {
		return
	}
	p.line("Builders")
	var rows [][]string
	for _, w := range b.Workers {
		rows = append(rows, []string{w.Name, p.state(w.State), fmt.Sprintf("%d of %d builds", w.InFlight, w.Parallel), strings.Join(w.Platforms, " "), "since " + p.when(w.Since) + said(": ", w.Why)})
	}
	p.table("  ", rows)
}

// untaken says which new digests of upstreams are not taken yet, why, and until when.
func (p *printer) untaken(all []api.Untaken) {
	if len(all) == 0 {
		return
	}
	p.line("Not taken yet")
	var rows [][]string
	for _, u := range all {
		rows = append(rows, []string{"◌ " + u.Image, u.Reference + " " + u.Reason})
		rows = append(rows, []string{"", strings.Join([]string{"since " + p.when(u.Since), "taken at the latest " + p.when(u.Next), "can act: " + orDash(u.Who)}, "; ")})
	}
	p.table("  ", rows)
}

// verdicts counts the images by the last verdict on them; what nobody judged is never left out.
func verdicts(v api.Verdicts) string {
	return fmt.Sprintf("%s pass · %s fail · %s unknown · %s not judged, of %s", api.Thousands(v.Pass), api.Thousands(v.Fail), api.Thousands(v.Unknown), api.Thousands(v.NotJudged), api.Count(v.Images, "image"))
}

func nothing(s api.Status) string {
	if s.AsOf.IsZero() {
		return "nothing that is known; nothing was looked at yet"
	}
	return "nothing"
}

// observed says how many images were found besides those of the fleet; empty when none was.
func observed(f api.Fleet) string {
	if f.Observed == 0 {
		return ""
	}
	return fmt.Sprintf("; + %s observed, not declared", api.Thousands(f.Observed))
}

// states says how many images are in which state; a state of none is left out, unknown never is.
func states(f api.Fleet) string {
	words := map[api.ImageState]string{api.Current: "current", api.Rebuilding: "rebuilding", api.Awaiting: "told and waiting", api.Behind: "fix available", api.Stuck: "stuck", api.Unknown: "unknown"}
	var out []string
	for _, s := range api.ImageStates() {
		if n := f.States[s]; n > 0 || s == api.Unknown || s == api.Current {
			out = append(out, api.Thousands(n)+" "+words[s])
		}
	}
	return strings.Join(out, " · ")
}

func (p *printer) running(s api.Status) {
	if len(s.Running) == 0 {
		line := "Running  nothing"
		if s.Plan != nil && s.Plan.Steps > 0 {
			line += fmt.Sprintf("; a plan of %s waits: %s", api.Count(s.Plan.Steps, "step"), s.Plan.Title)
			if s.Plan.NotBefore.After(p.now) {
				line += " (starts at " + p.when(s.Plan.NotBefore) + ")"
			}
		}
		p.line("%s", line)
		return
	}
	p.line("Running")
	for _, r := range s.Running {
		p.line("  %s  %s  %d of %s finished  started %s", r.ID, r.Title, r.Ended, api.Count(r.Images, "image"), p.when(r.CreatedAt))
		if len(r.Stages) > 0 {
			p.line("    fix: %s", p.stages(r.Stages))
		}
		var rows [][]string
		for _, n := range r.Nodes {
			if !n.Ended {
				rows = append(rows, []string{n.Image, p.state(n.State), n.Sentence, "for " + p.age(n.Since)})
			}
		}
		p.table("    ", rows)
	}
}

func (p *printer) needs(all []api.Need) {
	var rows [][]string
	for _, n := range all {
		why := n.Reason
		if !n.Since.IsZero() {
			why += ", since " + p.when(n.Since)
		}
		rows = append(rows, []string{n.What, p.state(n.State), why})
		for _, more := range []string{said("can act: ", n.Who), n.URL, n.Command} {
			if more != "" {
				rows = append(rows, []string{"", "", more})
			}
		}
	}
	p.table("  ", rows)
}

func said(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func (p *printer) recent(all []api.Rollout) {
	const shown = 3
	if len(all) == 0 {
		return
	}
	p.line("Recent rollouts (the last %d that ended; all: rebuilder rollouts)", min(shown, len(all)))
	var rows [][]string
	for _, r := range all[:min(shown, len(all))] {
		rows = append(rows, p.rolloutRow(r))
	}
	p.table("  ", rows)
}

func (p *printer) watchers(s api.Status) {
	if len(s.Watchers) == 0 {
		p.line("Watchers none has run yet")
		return
	}
	p.line("Watchers")
	var rows [][]string
	for _, w := range s.Watchers {
		row := []string{w.Name, p.state(w.State), "last success " + p.when(w.LastOK)}
		rows = append(rows, append(row, p.next(w), w.Problem))
	}
	p.table("  ", rows)
}

// next says when a watcher runs again. One that is due and not late is about to: the loop takes a moment.
func (p *printer) next(w api.Watcher) string {
	switch {
	case w.NextRun.IsZero():
		return "next not known"
	case w.State == api.WatcherLate:
		return "was due " + p.when(w.NextRun)
	case w.NextRun.Sub(p.now) < time.Second:
		return "next now"
	}
	return "next " + p.when(w.NextRun)
}
