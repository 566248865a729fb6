package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
)

func newDiff(c *cli) *cobra.Command {
	var platform string
	var gate bool
	cmd := &cobra.Command{
		Use:   "diff BEFORE [AFTER]",
		Short: "What is another from one image to the next",
		Long: `Compare two images: findings that are fixed, new and remain, by today's advisories and policies; packages; how a container is
started. With one image only, it is compared with the digest that it had before.`,
		Example: `  rebuilder diff base/debian
  rebuilder diff sha256:1f0c2d sha256:7a33e1
  rebuilder diff shop/api registry.example.com/shop/api:next --exit-code`,
		Args:              wants(1, 2, "an image", "see all images: rebuilder images"),
		ValidArgsFunction: c.completeImages,
	}
	o := output(cmd, "table", "json")
	cmd.Flags().StringVar(&platform, "platform", "", "of what is read from a registry (default linux/amd64)")
	cmd.Flags().BoolVar(&gate, "exit-code", false, "exit with 2 when they differ")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q := api.DiffRequest{Before: args[0], Platform: platform}
		if len(args) > 1 {
			q.After = args[1]
		}
		d, err := c.difference(cmd, q)
		if err != nil {
			return err
		}
		if o.value == "json" {
			err = printJSON(cmd, d)
		} else {
			clean(&d)
			c.printer(cmd, d.Now).difference(d)
		}
		if err == nil && gate && !equal(d) {
			return &exit{code: exitChanges}
		}
		return err
	}
	return cmd
}

// equal says that nothing that is looked at differs.
func equal(d api.Difference) bool {
	return d.Same && d.Counts.Fixed+d.Counts.New+len(d.Packages)+len(d.Settings) == 0
}

func (p *printer) difference(d api.Difference) {
	p.line("%s  %s  ->  %s  %s", imageAt(d.Before.Image, d.Before.Digest), p.state(string(d.Before.Outcome)), imageAt(d.After.Image, d.After.Digest), p.state(string(d.After.Outcome)))
	if d.Same {
		p.line("Content  the same")
	}
	p.line("Findings %d fixed · %d new · %d remain; failing among the new: %d", d.Counts.Fixed, d.Counts.New, d.Counts.Remaining, len(d.Failing))
	p.some(changed(p, "+", d.New), mostRows)
	p.some(changed(p, "-", d.Fixed), mostRows)
	p.line("Packages %d changed", len(d.Packages))
	var rows [][]string
	for _, c := range d.Packages {
		rows = append(rows, []string{packageMark(c.Kind), c.Name, said(orDash(c.From)+" -> ", orDash(c.To)), c.Type})
	}
	p.some(rows, mostRows)
	p.line("Settings %d changed", len(d.Settings))
	rows = nil
	for _, s := range d.Settings {
		rows = append(rows, []string{"~", s.Name, setting(s, s.Before) + " -> " + setting(s, s.After)})
	}
	p.table("  ", rows)
	for _, side := range []api.Side{d.Before, d.After} {
		for _, u := range side.Unknown {
			p.line("? %s: %s", imageAt(side.Image, side.Digest), u)
		}
	}
}

func changed(p *printer, mark string, all []policy.Finding) (rows [][]string) {
	for _, f := range all {
		rows = append(rows, []string{mark, p.severity(f), f.ID, thingOf(f)})
	}
	return rows
}

func packageMark(k inventory.ChangeKind) string {
	switch k {
	case inventory.Added:
		return "+"
	case inventory.Removed:
		return "-"
	}
	return "~"
}

// setting is a value as people read it.
func setting(s inventory.Setting, value string) string {
	if s.Name != "size" {
		return orDash(value)
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return value
	}
	return bytes(n)
}

// differs says a difference in one line.
func differs(d api.Difference) string {
	parts := []string{fmt.Sprintf("%d fixed · %d new · %d remain", d.Counts.Fixed, d.Counts.New, d.Counts.Remaining), api.Count(len(d.Packages), "package") + " changed"}
	for _, s := range d.Settings {
		parts = append(parts, fmt.Sprintf("%s %s -> %s", s.Name, setting(s, s.Before), setting(s, s.After)))
	}
	return strings.Join(parts, "; ")
}
