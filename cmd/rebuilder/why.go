package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newWhy(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "why IMAGE [PACKAGE]",
		Short: "Everything about one image: what it stands on, what is newer, what is waited for",
		Long: `Say what an image stands on and on what evidence, whether it is current, which patches are available and who must
bring them in, what was done with it last, and what is waited for. With PACKAGE, say which layer and which image brought
that package in, and whether a newer one is known.`,
		Args:              wants(1, 2, "an image", "see all: rebuilder graph"),
		ValidArgsFunction: c.completeImages,
	}
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		w, err := c.client().Why(cmd.Context(), args[0], strings.Join(args[1:], ""))
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, w)
		}
		clean(&w)
		p := c.printer(cmd, w.Now)
		if w.Package != nil {
			p.whyPackage(w)
		} else {
			p.why(w)
		}
		return nil
	}
	return cmd
}

func (p *printer) why(w api.Why) {
	i := w.Image
	p.line("%s  %s  %s  (%s)", titled(i), p.state(string(i.State)), i.Sentence, p.asOf(w.AsOf))
	if i.Digest == "" {
		p.line("Image    none is known at %s", i.Reference)
	} else {
		p.line("Image    %s has pointed to %s since %s", i.Reference, api.Short(i.Digest), p.when(i.SeenAt))
	}
	if i.Owner != "" {
		p.line("Owner    %s", i.Owner)
	}
	p.links("Stands on", "nothing that the catalog names", w.Chain)
	if len(w.Uses) > 0 {
		p.links("Uses also", "", w.Uses)
	}
	p.patches(w)
	p.waits(w.Waits)
	p.last(w)
}

func titled(i api.Image) string {
	if i.Digest == "" {
		return i.Name
	}
	return i.Name + "@" + api.Short(i.Digest)
}

func (p *printer) links(title, none string, links []api.Link) {
	if len(links) == 0 {
		p.line("%s %s", title, none)
		return
	}
	p.line("%s", title)
	var rows [][]string
	for _, l := range links {
		parent := l.Parent
		if l.ParentDigest != "" {
			parent += "@" + api.Short(l.ParentDigest)
		}
		rows = append(rows, []string{parent, l.Child + " " + l.Kind, l.Where, standing(l)})
	}
	p.table("  ", rows)
}

func standing(l api.Link) string {
	switch l.Standing {
	case "proven":
		return "proven by its layers"
	case "older":
		return "stands on an older one, as its layers show"
	}
	if l.Note != "" {
		return "not proven: " + l.Note
	}
	return "not proven"
}

func (p *printer) patches(w api.Why) {
	if len(w.Patches) == 0 {
		p.line("Patches  none is known  (%s)", p.asOf(w.AsOf))
		return
	}
	p.line("Patches  %s", api.Count(len(w.Patches), "newer package"))
	var rows [][]string
	for _, q := range w.Patches {
		who := "fixed by rebuilding " + q.FixedBy
		if q.FixedBy == w.Image.Name {
			who = "fixed by rebuilding this image"
		}
		if q.Held {
			who += " (held in the image)"
		}
		rows = append(rows, []string{q.Package, q.From + " -> " + q.To, who, q.Repository})
	}
	p.table("  ", rows)
}

func (p *printer) waits(w *api.Wait) {
	if w == nil {
		p.line("Waits    for nothing")
		return
	}
	s := "Waits    " + w.For
	if !w.Since.IsZero() {
		s += ", since " + p.when(w.Since)
	}
	p.line("%s", s)
	if w.Then != "" {
		next := w.Then
		if !w.Next.IsZero() {
			next += ": " + p.when(w.Next)
		}
		p.line("Next     %s", next)
	}
	if w.Who != "" {
		p.line("Can act  %s", w.Who)
	}
	if w.URL != "" {
		p.line("See      %s", w.URL)
	}
	if w.Rollout != "" {
		p.line("Rollout  rebuilder rollouts %s", w.Rollout)
	}
}

func (p *printer) last(w api.Why) {
	if len(w.Last) == 0 {
		p.line("History  no rollout has had it in hand")
		return
	}
	p.line("History  %s, the newest first", api.Count(len(w.Last), "rollout"))
	var rows [][]string
	for _, n := range w.Last {
		rows = append(rows, []string{n.Rollout, p.state(n.State), p.age(n.Since) + " ago", n.Sentence})
		for _, m := range n.Missing {
			if m != n.Sentence {
				rows = append(rows, []string{"", "", "", m})
			}
		}
	}
	p.table("  ", rows)
	for _, l := range w.LogTail {
		p.line("    | %s", l)
	}
	if n := w.Last[0]; n.Build != "" {
		p.line("Log      rebuilder logs %s", n.Build)
	}
}

func (p *printer) whyPackage(w api.Why) {
	k := w.Package
	p.line("%s  (%s)", k.Sentence, p.asOf(w.AsOf))
	if !k.Installed {
		return
	}
	for _, l := range w.Chain {
		p.line("  because  %s %s %s  %s; %s", l.Child, l.Kind, l.Parent, l.Where, standing(l))
		if l.Parent == k.BroughtBy {
			break
		}
	}
	source := ""
	if k.Source != "" && k.Source != k.Name {
		source = ", from source " + k.Source
	}
	p.line("Version  %s (%s%s)%s", k.Version, k.Architecture, source, held(k.Held))
	switch q := k.Newer; {
	case q == nil:
		p.line("Newer    none is known")
	case q.PublishedAt.IsZero():
		p.line("Newer    %s in %s", q.To, q.Repository)
	default:
		p.line("Newer    %s in %s, published %s", q.To, q.Repository, p.when(q.PublishedAt))
	}
	if k.FixedBy != "" {
		p.line("Fix      %s", fix(k, w.Image.Name))
	}
	if k.Newer != nil {
		p.waits(w.Waits)
	}
}

func held(h bool) string {
	if h {
		return ", held: the package manager does not upgrade it"
	}
	return ""
}

func fix(k *api.PackageWhy, image string) string {
	switch {
	case k.FixedBy == image:
		return "rebuild " + image
	case k.Newer != nil && k.Newer.Repository == k.FixedBy:
		return fmt.Sprintf("stand %s on %s as it is now", image, k.FixedBy)
	}
	return fmt.Sprintf("rebuild %s, then stand %s on it", k.FixedBy, image)
}
