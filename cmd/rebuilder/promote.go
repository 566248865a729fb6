package main

import (
	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newPromote(c *cli) *cobra.Command {
	var q api.MoveRequest
	cmd := &cobra.Command{
		Use:   "promote BASE DIGEST|candidate",
		Short: "Move a base's channel to a digest by hand, through the same gates",
		Long: `Move a base's channel to a digest that is in its repository. It passes the same gates as any other: the policy is asked now, and
its tests and trials must have passed when it was built. "candidate" is the newest image that was built and not promoted.

With --override it is promoted whatever the gates say, and a quarantine of it is cleared. The audit log shows who did that, and
why.`,
		Example: `  rebuilder promote base/debian candidate --reason "the test is wrong" --override`,
		Args:    wants(2, 2, "a base or a digest", "like: rebuilder promote base/debian candidate --reason ..", "list bases: rebuilder images --kind base"),
	}
	cmd.Flags().BoolVar(&q.Override, "override", false, "whatever the gates say, also when somebody else moved the channel; the audit log shows it")
	c.byHand(cmd, &q)
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q.Image, q.To = args[0], args[1]
		if err := reasoned(q.Reason); err != nil {
			return err
		}
		m, err := c.client().Promote(cmd.Context(), q)
		if err != nil {
			return err
		}
		return c.moved(cmd, o, m)
	}
	return cmd
}
