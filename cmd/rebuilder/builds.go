package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newBuilds(c *cli) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "builds [IMAGE|BUILD]",
		Short: "The newest builds, of an image, or the record of one",
		Long: `List the newest builds, of all images or of one. With the id of a build, say what went in by digest, how long each step
took and whether it came from the cache, what was warned of with its lines, and, where that was recorded, what was fetched.`,
		Example: `  rebuilder builds
  rebuilder builds base/debian
  rebuilder builds b-1f2e3d-1-base-debian-1 -o json`,
		Args:              wants(0, 1, "an image or a build", "see all images: rebuilder graph"),
		ValidArgsFunction: c.completeImages,
	}
	o := output(cmd, "table", "json")
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "list at most so many, up to 200")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		what := ""
		if len(args) > 0 {
			what = args[0]
		}
		if isBuild(what) {
			b, err := c.client().Build(cmd.Context(), what)
			if err != nil {
				return err
			}
			if o.value == "json" {
				return printJSON(cmd, b)
			}
			clean(&b)
			c.printer(cmd, b.Now).build(b)
			return nil
		}
		all, err := c.client().Builds(cmd.Context(), what, limit)
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, all)
		}
		clean(&all)
		c.printer(cmd, all.Now).builds(all)
		return nil
	}
	return cmd
}

// isBuild tells a build's id from an image's name: builds, tests and trials have ids of their own.
func isBuild(s string) bool {
	for _, kind := range []string{"b-", "t-", "try-"} {
		if strings.HasPrefix(s, kind) && !strings.Contains(s, "/") {
			return true
		}
	}
	return false
}

func (p *printer) builds(all api.Builds) {
	if len(all.Builds) == 0 {
		p.line("no build yet%s", said(" of ", all.Image))
		return
	}
	rows := [][]string{{"BUILD", "IMAGE", "STATE", "STARTED", "TOOK", "CACHED", "DIGEST", "REMARK"}}
	for _, b := range all.Builds {
		rows = append(rows, []string{b.ID, b.Image, p.state(b.State), p.when(b.Started), buildTook(b), cached(b), orDash(api.Short(b.Digest)), remark(b)})
	}
	p.table("", rows)
	if all.More {
		p.line("%d listed, there are older ones: --limit", len(all.Builds))
	}
}

func buildTook(b api.Build) string {
	if b.Ended.IsZero() {
		return "-"
	}
	return api.Age(b.Ended.Sub(b.Started))
}

func cached(b api.Build) string {
	if b.Steps == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d", b.Cached, b.Steps)
}

func remark(b api.Build) string {
	if b.Trial != "" {
		return strings.TrimSuffix("trial of "+b.Trial+"; "+b.Problem, "; ")
	}
	return b.Problem
}

func (p *printer) build(b api.Build) {
	p.line("%s  %s  %s", b.ID, p.state(b.State), b.Image)
	p.line("Started  %s; took %s%s", p.when(b.Started), buildTook(b), said(" on ", b.Worker))
	if b.Trial != "" {
		p.line("Trial    of %s with %s", b.Trial, b.Source)
	}
	if b.Digest != "" {
		p.line("Digest   %s%s", b.Digest, said("  ", b.Platform))
	}
	if b.Problem != "" {
		p.line("Problem  %s", b.Problem)
	}
	for _, l := range b.Lines {
		p.line("         %s", l)
	}
	if b.Doubt != "" {
		p.line("Doubt    %s", b.Doubt)
	}
	for _, name := range slices.Sorted(maps.Keys(b.Parents)) {
		p.line("From     %s %s", name, api.Short(b.Parents[name]))
	}
	for _, k := range slices.Sorted(maps.Keys(b.Args)) {
		p.line("Arg      %s=%s", k, b.Args[k])
	}
	if len(b.Secrets) > 0 {
		p.line("Secrets  %s (values are kept nowhere)", strings.Join(b.Secrets, ", "))
	}
	p.buildSteps(b)
	for _, w := range b.Warnings {
		p.line("Warning  %s%s", w.Text, said("  ", w.URL))
		for _, l := range w.Lines {
			p.line("         %s", l)
		}
	}
	p.materials("Inputs", b.Inputs)
	p.materials("Fetched", b.Fetched)
	p.line("Next: rebuilder logs %s", b.ID)
}

func (p *printer) buildSteps(b api.Build) {
	if len(b.Took) == 0 {
		return
	}
	p.line("Steps    %s from the cache", cached(b))
	rows := [][]string{{"TOOK", "", "STEP"}}
	for _, s := range b.Took {
		mark := ""
		switch {
		case s.Problem != "":
			mark = p.paint(red, "✗")
		case s.Cached:
			mark = "cached"
		}
		rows = append(rows, []string{s.Took.Round(10 * time.Millisecond).String(), mark, s.Name})
	}
	p.table("  ", rows)
}

func (p *printer) materials(title string, all []api.Material) {
	if len(all) == 0 {
		return
	}
	p.line("%-8s %s", title, api.Count(len(all), "resource"))
	for _, m := range all {
		digest := ""
		for _, k := range slices.Sorted(maps.Keys(m.Digest)) {
			digest += "  " + k + ":" + m.Digest[k]
		}
		p.line("  %s%s", m.URI, digest)
	}
}
