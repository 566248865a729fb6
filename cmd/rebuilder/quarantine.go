package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newQuarantine(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "Digests that are never promoted, proposed or built upon: list, add, clear",
		Long: `A digest in quarantine is used by nobody: not promoted, not proposed, not built upon, until a person clears it. "rebuilder
rollback" puts what it moves a channel away from there. What is made from such a digest, and what is built later and has something
of what came with it, is there because of it, and is cleared along with it.`,
		SuggestionsMinimumDistance: 2,
		Args:                       func(cmd *cobra.Command, args []string) error { return unknownCommand(cmd, args) },
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newQuarantineList(c),
		newQuarantineVerb(c, "add", "Keep a digest from being used; its channel stays where it is", func(ctx context.Context, q api.QuarantineRequest) (api.Quarantines, error) {
			return c.client().AddQuarantine(ctx, q)
		}),
		newQuarantineVerb(c, "clear", "Let a digest be used again, with what is in quarantine because of it", func(ctx context.Context, q api.QuarantineRequest) (api.Quarantines, error) {
			return c.client().ClearQuarantine(ctx, q)
		}))
	return cmd
}

func newQuarantineList(c *cli) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "list [IMAGE]", Short: "What is in quarantine, since when, by whom and why", Args: wants(0, 1, ""), ValidArgsFunction: c.completeImages,
	}
	cmd.Flags().BoolVar(&all, "all", false, "list also what was cleared")
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		z, err := c.client().Quarantines(cmd.Context(), strings.Join(args, ""), all)
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, z)
		}
		clean(&z)
		c.printer(cmd, z.Now).quarantines(z)
		return nil
	}
	return cmd
}

func (p *printer) quarantines(all api.Quarantines) {
	p.line("Quarantine  %s  (%s)", api.Count(all.Standing, "digest"), p.asOf(all.AsOf))
	for _, z := range all.Quarantines {
		state := "quarantined"
		if !z.Stands {
			state = "cleared"
		}
		p.table("  ", [][]string{{z.Image, api.Short(z.Digest), p.state(state), z.Reason}})
		line := "since " + p.when(z.Since) + ", by " + z.By
		if z.Because != "" {
			line += " · because of " + api.Short(z.Because)
		}
		if z.Stands {
			line += " · " + api.Count(z.Dependents, "image") + " on it"
		} else {
			line += " · cleared " + p.when(z.ClearedAt) + " by " + z.ClearedBy + ": " + z.ClearedWhy
		}
		p.line("      %s", line)
	}
}

func newQuarantineVerb(c *cli, verb, short string, do func(context.Context, api.QuarantineRequest) (api.Quarantines, error)) *cobra.Command {
	var q api.QuarantineRequest
	cmd := &cobra.Command{
		Use: verb + " IMAGE DIGEST", Short: short,
		Args: wants(2, 2, "an image or a digest", "list what there is: rebuilder quarantine list"), ValidArgsFunction: c.completeImages,
	}
	cmd.Flags().StringVar(&q.Reason, "reason", "", "why, for who reads it later")
	c.by(cmd, &q.By)
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q.Image, q.Digest = args[0], args[1]
		if err := reasoned(q.Reason); err != nil {
			return err
		}
		z, err := do(cmd.Context(), q)
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, z)
		}
		clean(&z)
		title := map[string]string{"add": "In quarantine now", "clear": "Cleared"}[verb]
		p := c.printer(cmd, time.Time{})
		p.quarantined(title, z.Quarantines)
		p.line("%s in quarantine in all: rebuilder quarantine list", api.Count(z.Standing, "digest"))
		return nil
	}
	return cmd
}
