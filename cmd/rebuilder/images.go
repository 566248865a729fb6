package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newImages(c *cli) *cobra.Command {
	var f api.ImageFilter
	cmd := &cobra.Command{
		Use:   "images",
		Short: "All images in a table, or some of them",
		Long: `List images with their state, the last verdict on what they are now, what they stand on and how many packages are in them. The last line says how many of how
many are listed. Of several values of one flag, one must fit; of several flags, all must.`,
		Example: `  rebuilder images --stale                      what is not known to be current
  rebuilder images --on base/debian --kind application
  rebuilder images --owner "" -o json           what nobody owns`,
		Args: wants(0, 0, ""),
	}
	o := output(cmd, "table", "json")
	cmd.Flags().StringArrayVar(&f.Kinds, "kind", nil, "only this kind: upstream, base, application, observed")
	cmd.Flags().StringArrayVar(&f.States, "state", nil, "only this state: "+words(api.ImageStates())+" (behind: a fix is available)")
	cmd.Flags().StringArrayVar(&f.Owners, "owner", nil, `only of this owner; "" for those of nobody`)
	cmd.Flags().StringVar(&f.On, "on", "", "only what stands on this image, directly or not")
	cmd.Flags().BoolVar(&f.Stale, "stale", false, "only what is not known to be current")
	_ = cmd.RegisterFlagCompletionFunc("on", c.completeImages) // only fails when there is no such flag
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		all, err := c.client().Images(cmd.Context(), f)
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, all)
		}
		clean(&all)
		c.printer(cmd, all.Now).images(all)
		return nil
	}
	return cmd
}

func words[S ~string](all []S) string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = string(s)
	}
	return strings.Join(out, ", ")
}

func (p *printer) images(all api.Images) {
	if len(all.Images) > 0 {
		rows := [][]string{{"IMAGE", "KIND", "STATE", "VERDICT", "DIGEST", "SEEN", "STANDS ON", "PACKAGES", "OWNER"}}
		for _, i := range all.Images {
			rows = append(rows, []string{i.Name, i.Kind, p.state(string(i.State)), p.judged(i.Verdict), orDash(api.Short(i.Digest)), p.since(i), standsOn(i), packages(i.Packages), orDash(i.Owner)})
		}
		p.table("", rows)
	}
	f := all.Fleet
	p.line("%d of %s listed; of all: %s%s  (%s)", len(all.Images), api.Count(f.Images+f.Observed, "image"), states(f), observed(f), p.asOf(all.AsOf))
}

// judged is a verdict, of one that fails with how many findings do.
func (p *printer) judged(j *api.Judged) string {
	switch {
	case j == nil:
		return "-"
	case j.Fails > 0:
		return p.state(fmt.Sprintf("%s (%s)", j.Outcome, api.Thousands(j.Fails)))
	}
	return p.state(j.Outcome)
}

// since is how long ago a digest was first seen at its reference.
func (p *printer) since(i api.Listed) string {
	if i.SeenAt.IsZero() {
		return "-"
	}
	return p.age(i.SeenAt) + " ago"
}

func standsOn(i api.Listed) string {
	switch {
	case i.StandsOn == "":
		return "-"
	case i.Standing == "older":
		return i.StandsOn + " (an older one)"
	case i.Standing != "proven":
		return i.StandsOn + " (not proven)"
	}
	return i.StandsOn
}

// packages is a number, or ? when nobody counted.
func packages(n *int) string {
	if n == nil {
		return "?"
	}
	return fmt.Sprint(*n)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
