package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newRefresh(c *cli) *cobra.Command {
	var q api.RefreshRequest
	cmd := &cobra.Command{
		Use:   "refresh BASE...",
		Short: "Build bases fresh, now: every step again, whether or not anything is known to be newer",
		Long: `Ask for fresh builds of bases. Every RUN of their recipes runs again, and what comes out is promoted only if its
content is another. It starts with the next look, which is at once; what else is due goes along. With [rollout]
automatic = false a plan is made, and waits for "rebuilder apply".

It is written down who asked for what and why. Give --id to be able to ask again without asking twice.`,
		Example: `  rebuilder refresh base/debian --reason "the mirror was wrong"`,
		Args:    wants(1, 1000, "the name of a base", "list them: rebuilder graph"),
	}
	cmd.Flags().StringVar(&q.Reason, "reason", "", "why, for the audit log and the plan")
	cmd.Flags().StringVar(&q.ID, "id", "", "an id of your own: the same one again changes nothing")
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q.Images, q.By = args, whoami(c.env)
		r, err := c.client().Refresh(cmd.Context(), q)
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, r)
		}
		clean(&r)
		c.printer(cmd, time.Time{}).refreshing(r)
		return nil
	}
	return cmd
}

func (p *printer) refreshing(r api.Refreshing) {
	if r.Again {
		p.line("Request %s was made before, by %s: nothing is asked for twice.", r.ID, r.By)
	} else {
		p.line("Fresh builds of %s are wanted (request %s).", strings.Join(r.Images, ", "), r.ID)
	}
	if !r.Automatic {
		p.line("They start when somebody applies the plan: rebuilder plan")
		return
	}
	p.line("Follow them: rebuilder status")
}
