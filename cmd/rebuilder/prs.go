package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
	"rebuilder/internal/catalog"
)

const maxPullRequests = 1000 // that the daemon lists

func newPullRequests(c *cli) *cobra.Command {
	var waiting bool
	var limit int
	cmd := &cobra.Command{
		Use:   "prs",
		Short: "List pull requests, what they wait for and for whom",
		Example: `  rebuilder prs --waiting
  rebuilder prs -o json`,
		Args: wants(0, 0, ""),
	}
	o := output(cmd, "table", "json")
	cmd.Flags().BoolVar(&waiting, "waiting", false, "only those that are not over")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many to list: what waits first, then the newest")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if limit < 1 || limit > maxPullRequests {
			return usage(cmd, fmt.Errorf("--limit %d: want a number from 1 to %d", limit, maxPullRequests))
		}
		all, err := c.client().Proposals(cmd.Context(), waiting, limit)
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, all)
		}
		clean(&all)
		c.printer(cmd, all.Now).pullRequests(all)
		return nil
	}
	return cmd
}

func (p *printer) pullRequests(all api.Proposals) {
	p.line("%s of %s, %s", api.Thousands(len(all.Proposals)), api.Count(all.Total, "proposal"), waitsFor(all.Waiting))
	if len(all.Proposals) == 0 {
		return
	}
	rows := [][]string{{"REPOSITORY", "HOW", "STATE", "FOR", "WAITS FOR", "WHAT"}}
	for _, f := range all.Proposals {
		how := f.Strategy
		if f.Strategy == string(catalog.PullRequest) {
			how = "-"
			if f.Number > 0 {
				how = fmt.Sprintf("#%d", f.Number)
			}
		}
		rows = append(rows, []string{f.Repository, how, p.state(f.State), p.age(f.Since), orDash(f.Who), f.Sentence})
		for _, more := range p.followedMore(f) {
			rows = append(rows, []string{"", "", "", "", "", more})
		}
	}
	p.table("", rows)
	p.line("Follow a rollout: rebuilder watch %s", all.Proposals[0].Rollout)
}

func (p *printer) followedMore(f api.Followed) (out []string) {
	if !f.Next.IsZero() {
		out = append(out, "next: "+p.when(f.Next))
	}
	if f.URL != "" && f.Waits {
		out = append(out, f.URL)
	}
	return out
}

func waitsFor(n int) string {
	if n == 1 {
		return "1 waits"
	}
	return api.Thousands(n) + " wait"
}

// stages says in one line where a fix is now: "index 1/1 → built 2/2 → told 1/2 (9 min ago)". The age is that of the furthest
// stage that anything has come to.
func (p *printer) stages(all []api.Stage) string {
	var parts []string
	last := -1
	for i, s := range all {
		if s.Done > 0 {
			last = i
		}
	}
	for i, s := range all {
		part := fmt.Sprintf("%s %d/%d", s.Name, s.Done, s.Of)
		if i == last && !s.Since.IsZero() {
			part += " (" + p.age(s.Since) + " ago)"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " → ")
}
