package main

import (
	"cmp"
	"os/user"
	"time"

	"github.com/spf13/cobra"
)

func newApply(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply ID",
		Short: "Do exactly what a plan shows, and nothing else",
		Long: `Start the rollout of a plan that "rebuilder plan" printed. It is refused when what the plan rests on has moved
since, or when it was applied before: make a new plan then.`,
		Args:              wants(1, 1, "a plan's id", "make one: rebuilder plan"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := c.client().Apply(cmd.Context(), args[0], whoami(c.env))
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, a)
		}
		clean(&a)
		p := c.printer(cmd, time.Time{})
		p.line("Plan %s is rollout %s now. It goes on by itself.", a.Plan, a.Rollout)
		p.line("Follow it: rebuilder rollouts %s", a.Rollout)
		return nil
	}
	return cmd
}

// whoami is the person for the audit log, as far as this machine knows.
func whoami(env func(string) string) string {
	name := ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return cmp.Or(env("SUDO_USER"), name, env("USER"))
}
