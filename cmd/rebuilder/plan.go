package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newPlan(c *cli) *cobra.Command {
	var gate bool
	cmd := &cobra.Command{
		Use:   "plan [ID]",
		Short: "Look now and show what would be done, and what not, each with its reason",
		Long: `Look at registries, package repositories and the forge now, and show what would be done: exactly what
"rebuilder apply" with the printed id does, how far that reaches, and about how long the rebuilds take, as far as past
builds tell. Nothing is started. With an ID, show a plan that was made before; how far it reaches is always as of now.`,
		Args: wants(0, 1, "a plan's id"),
	}
	o := output(cmd, "table", "json")
	cmd.Flags().BoolVar(&gate, "exit-code", false, "exit with 2 when there is something to do, with 3 when that is not known")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := getPlan(c, cmd, args)
		if err != nil {
			return err
		}
		if o.value == "json" {
			err = printJSON(cmd, p)
		} else {
			clean(&p)
			c.printer(cmd, p.Now).plan(p, len(args) == 1)
		}
		if err == nil && gate {
			return verdict(p)
		}
		return err
	}
	return cmd
}

func getPlan(c *cli, cmd *cobra.Command, args []string) (api.Plan, error) {
	if len(args) == 1 {
		return c.client().StoredPlan(cmd.Context(), args[0])
	}
	return c.client().Plan(cmd.Context())
}

func verdict(p api.Plan) error {
	switch {
	case len(p.Steps) > 0:
		return &exit{code: exitChanges}
	case p.Unknown > 0:
		return &exit{code: exitUnknown}
	}
	return nil
}

// plan shows a plan; stored says that it was made before, so that more may have happened since.
func (p *printer) plan(pl api.Plan, stored bool) {
	if len(pl.Steps) > 0 {
		p.line("Cause    %s", pl.Title)
	}
	if !pl.Published.IsZero() {
		p.line("         published %s", p.when(pl.Published))
	}
	p.line("Looked   at %s, %s, %d unknown", api.Count(pl.Images, "image"), p.when(pl.AsOf), pl.Unknown)
	p.steps(pl.Steps)
	p.notDone(pl.NotDone)
	p.impact(pl)
	p.line("Plan     %s", totals(pl))
	switch {
	case len(pl.Steps) == 0:
		p.line("%s", nothingToDo(pl))
		return
	case stored:
		p.line("It can be applied once, as long as nothing that it rests on has moved: rebuilder apply %s", pl.ID)
		return
	case !pl.Automatic:
		p.line("Starts   when a person applies it ([rollout] automatic = false)")
	case pl.NotBefore.After(p.now):
		p.line("Starts   by itself at %s, when the settle window is over", p.when(pl.NotBefore))
	default:
		p.line("Starts   by itself at the next look")
	}
	p.line("Saved as plan %s. Run: rebuilder apply %s", pl.ID, pl.ID)
}

// nothingToDo says that a plan has no steps, and whether that is the whole truth.
func nothingToDo(pl api.Plan) string {
	switch {
	case pl.Unknown > 0:
		return "Nothing to do, as far as is known: see what is marked with ? above."
	case len(pl.NotDone) > 0:
		return "Nothing to do now: see the reasons above."
	}
	return "Nothing to do."
}

// impact says how far a plan reaches, and about how long it takes.
func (p *printer) impact(pl api.Plan) {
	im := pl.Impact
	if im == nil || len(pl.Steps) == 0 {
		return
	}
	p.line("Reaches  %s", reach(im))
	for i, t := range im.Tiers {
		p.line("%s%s", label("By tier", i), tier(t))
	}
	for i, o := range im.Owners {
		if i == maxOwners {
			p.line("%s… %d more owners (-o json has all)", label("", i), len(im.Owners)-i)
			break
		}
		p.line("%s%s: %s", label("By owner", i), owner(o), kinds(o.Kinds))
	}
	p.line("Time     %s", im.Estimate.Sentence)
}

const maxOwners = 8

// label stands before the first line of several.
func label(s string, i int) string {
	if i > 0 {
		s = ""
	}
	return fmt.Sprintf("%-9s", s)
}

func reach(im *api.Impact) string {
	all := im.Reached + len(im.Below)
	s := fmt.Sprintf("%d of %s: %s", all, api.Count(im.Images, "image"), kinds(im.Kinds))
	if n := len(im.Below); n > 0 {
		s += fmt.Sprintf("; for %d of them, which stand below, nothing is done yet", n)
	}
	return s
}

func tier(t api.Share) string {
	if t.Tier == 0 {
		return "below: " + kinds(t.Kinds)
	}
	return fmt.Sprintf("%d: %s", t.Tier, kinds(t.Kinds))
}

func owner(s api.Share) string {
	if s.Owner == "" {
		return "of nobody"
	}
	return s.Owner
}

// kinds says how many images of which kind, those that we build first.
func kinds(n map[string]int) string {
	order := []string{"upstream", "base", "application"}
	for _, k := range slices.Sorted(maps.Keys(n)) {
		if !slices.Contains(order, k) {
			order = append(order, k)
		}
	}
	var out []string
	for _, k := range order {
		if n[k] > 0 && k == "observed" {
			out = append(out, fmt.Sprintf("%d observed", n[k]))
		} else if n[k] > 0 {
			out = append(out, api.Count(n[k], k))
		}
	}
	return strings.Join(out, ", ")
}

func (p *printer) steps(steps []api.Step) {
	if len(steps) == 0 {
		return
	}
	p.line("Do")
	var rows [][]string
	for _, s := range steps {
		rows = append(rows, []string{"~ " + s.Image, s.Action, "tier " + fmt.Sprint(s.Tier+1) + said(", wave ", s.Wave), first(s.Reasons)})
		for _, r := range slices.Concat(s.Reasons[min(1, len(s.Reasons)):], s.Notes) {
			rows = append(rows, []string{"", "", "", r})
		}
	}
	p.table("  ", rows)
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}

func (p *printer) notDone(all []api.NotDone) {
	if len(all) == 0 {
		return
	}
	p.line("Not done")
	var rows [][]string
	for _, n := range all {
		mark := "! "
		if n.Unknown {
			mark = "? "
		}
		rows = append(rows, []string{mark + n.Image, n.Reason})
		for _, more := range p.notDoneMore(n) {
			rows = append(rows, []string{"", more})
		}
	}
	p.table("  ", rows)
}

// notDoneMore says since when, what comes next, and who can act.
func (p *printer) notDoneMore(n api.NotDone) []string {
	var out []string
	if !n.Since.IsZero() {
		out = append(out, "since "+p.when(n.Since))
	}
	if !n.Next.IsZero() {
		out = append(out, "tried again "+p.when(n.Next))
	}
	if n.Who != "" {
		out = append(out, "can act: "+n.Who)
	}
	if len(out) == 0 {
		return nil
	}
	return []string{strings.Join(out, "; ")}
}

func totals(pl api.Plan) string {
	count := map[string]int{}
	for _, s := range pl.Steps {
		count[s.Action]++
	}
	unknown := 0
	for _, n := range pl.NotDone {
		if n.Unknown {
			unknown++
		}
	}
	return fmt.Sprintf("%s, %s, %s, %d not done, %d unknown, of %s.",
		api.Count(count["rebuild"], "rebuild"), api.Count(count["pull-request"], "pull request"), api.Count(count["dispatch"], "dispatch"), len(pl.NotDone)-unknown, unknown, api.Count(pl.Images, "image"))
}
