package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newWhy(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "why IMAGE [PACKAGE|CVE]",
		Short: "Everything about one image: what it stands on, what is newer, what is waited for",
		Long: `Say what an image stands on and on what evidence, whether it is current, which patches are available and who must
bring them in, what was done with it last, and what is waited for.

With PACKAGE, say which layer and which image brought that package in, what holds or pins it, whether a newer one is known,
who can bring it in, and what is planned. PACKAGE may be a source: openssl explains libssl3.

With an advisory's id, say whether it hits the image, by which package, which image brought that in, where the fix is, what
is planned, and which policy, exception or statement decides on it. The answer is "unknown", exit status 3, when that is not
known, as without a source of advisories.`,
		Example: `  rebuilder why web
  rebuilder why web CVE-2026-1234
  rebuilder why web openssl`,
		Args:              wants(1, 2, "an image", "see all: rebuilder images"),
		ValidArgsFunction: c.completeImages,
	}
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		w, err := c.client().Why(cmd.Context(), args[0], strings.Join(args[1:], ""))
		if err != nil {
			return err
		}
		if o.value == "json" {
			if err := printJSON(cmd, w); err != nil {
				return err
			}
			return whyVerdict(w)
		}
		clean(&w)
		p := c.printer(cmd, w.Now)
		if w.Package != nil {
			p.whyPackage(w)
		} else {
			p.why(w)
		}
		return whyVerdict(w)
	}
	return cmd
}

// whyVerdict is the exit status: a question without an answer never ends as if all were well.
func whyVerdict(w api.Why) error {
	if w.Package != nil && w.Package.Advisory && w.Package.Unknown != "" {
		return &exit{code: exitUnknown}
	}
	return nil
}

func (p *printer) why(w api.Why) {
	i := w.Image
	p.line("%s  %s  %s  (%s)", at(i.Name, i.Digest), p.state(string(i.State)), i.Sentence, p.asOf(w.AsOf))
	p.pointed(i, w.Untaken)
	if i.Owner != "" {
		p.line("Owner    %s", i.Owner)
	}
	p.links("Stands on", "nothing that the catalog names", w.Chain)
	if len(w.Uses) > 0 {
		p.links("Uses also", "", w.Uses)
	}
	p.platforms(w.Built)
	for _, d := range w.Disagreements {
		p.line("But      %s", d)
	}
	for _, u := range w.Unlisted {
		p.line("But      %s", u.Sentence)
	}
	p.patches(w)
	p.waits(w.Waits)
	p.last(w)
}

// pointed says what an image's reference points to, and what of that images are made from.
func (p *printer) pointed(i api.Image, u *api.Untaken) {
	switch {
	case i.Digest == "" && i.Reference == "":
		p.line("Image    none is known")
	case i.Digest == "":
		p.line("Image    none is known at %s", i.Reference)
	case i.SeenAt.IsZero():
		p.line("Image    %s points to %s", i.Reference, api.Short(i.Digest))
	case u != nil:
		p.line("Image    %s is what images are made from, seen at %s since %s", api.Short(i.Digest), i.Reference, p.when(i.SeenAt))
		p.line("Not yet  %s, to which it points since %s; taken at the latest %s", api.Short(u.Digest), p.when(u.Since), p.when(u.Next))
	default:
		p.line("Image    %s has pointed to %s since %s", i.Reference, api.Short(i.Digest), p.when(i.SeenAt))
	}
}

// platforms says what the image of each platform inherits from, where these differ.
func (p *printer) platforms(built []api.Edge) {
	var rows [][]string
	for _, e := range built {
		if e.Platform != "" {
			rows = append(rows, []string{e.Platform, at(e.Parent, e.Digest), "by its " + e.Evidence})
		}
	}
	if len(rows) > 1 {
		p.line("By platform")
		p.table("  ", rows)
	}
}

func (p *printer) links(title, none string, links []api.Link) {
	if len(links) == 0 {
		p.line("%s %s", title, none)
		return
	}
	p.line("%s", title)
	var rows [][]string
	for _, l := range links {
		rows = append(rows, []string{at(l.Parent, l.ParentDigest), l.Child + " " + l.Kind, strings.TrimSpace(l.Platform + " " + l.Where), standing(l)})
	}
	p.table("  ", rows)
}

func standing(l api.Link) string {
	switch l.Standing {
	case "proven":
		return "proven by its layers"
	case "older":
		if l.Evidence == "layers" && l.Digest != "" && l.Digest != l.ParentDigest {
			return "stands on " + api.Short(l.Digest) + ", an older one, as its layers show"
		}
		return "stands on an older one, as its layers show"
	}
	s := "not proven" + said(": ", l.Note)
	if l.Digest != "" && l.Digest != l.ParentDigest {
		s += "; by its " + l.Evidence + " it is of " + api.Short(l.Digest)
	}
	return s
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
	if k.Facts != nil {
		p.advisory(k.Facts)
	}
	if !k.Installed {
		p.in(k.In)
		return
	}
	for _, l := range w.Chain {
		p.line("  because  %s %s %s  %s; %s", l.Child, l.Kind, l.Parent, l.Where, standing(l))
		if l.Parent == k.BroughtBy {
			break
		}
	}
	source := ""
	if k.Source != "" && k.Source != k.Name && k.Source != k.Package && len(k.Binaries) == 0 {
		source = ", from source " + k.Source
	}
	p.line("Version  %s (%s%s)%s", k.Version, k.Architecture, source, held(k.Held))
	if len(k.Binaries) > 1 {
		p.line("Packages %s", strings.Join(k.Binaries, ", "))
	}
	for _, pin := range k.Pins {
		p.line("Pinned   %s, in %s of the image", pin.Rule, pin.Where)
	}
	p.newer(k)
	if k.FixedBy != "" && (k.Newer == nil || len(k.Hits) == 0 || k.Hits[0].Offered) {
		p.line("%s", fix(k, w.Image.Name))
	}
	p.hits(w.Image.Name, k)
	if k.Newer != nil {
		if k.Planned != "" {
			p.line("Planned  %s", k.Planned)
		}
		p.waits(w.Waits)
	}
}

// hits says what becomes of each package that an advisory hits.
func (p *printer) hits(image string, k *api.PackageWhy) {
	open := false
	for _, h := range k.Hits {
		p.line("Hit      %s %s: %s", h.Package, h.Version, h.Fix)
		if h.Outcome != "" {
			p.line("Verdict  %s: %s", h.Outcome, h.Reason)
		}
		open = open || h.Outcome != "excepted" && h.Outcome != "not-affected"
	}
	if open && len(k.Hits) > 0 {
		p.line("You can  rebuilder exception request %s --image %s", k.Name, image)
	}
}

func (p *printer) newer(k *api.PackageWhy) {
	switch q := k.Newer; {
	case q == nil && k.NewerUnknown != "":
		p.line("Newer    unknown: %s", k.NewerUnknown)
	case q == nil:
		p.line("Newer    none is known")
	case q.PublishedAt.IsZero():
		p.line("Newer    %s in %s", q.To, q.Repository)
	default:
		p.line("Newer    %s in %s, published %s", q.To, q.Repository, p.when(q.PublishedAt))
	}
}

// in lists the images that have what another one has not.
func (p *printer) in(images []string) {
	const most = 10
	if len(images) == 0 {
		return
	}
	line := "In       " + strings.Join(images[:min(len(images), most)], ", ")
	if n := len(images) - most; n > 0 {
		line += fmt.Sprintf(" and %d more: rebuilder affected", n)
	}
	p.line("%s", line)
}

func held(h bool) string {
	if h {
		return ", held: the package manager does not upgrade it"
	}
	return ""
}

func fix(k *api.PackageWhy, image string) string {
	switch {
	case k.Newer == nil:
		return "Fixable  by a rebuild of " + k.FixedBy + ", once there is a newer one"
	case k.Newer.Held:
		return "Fixable  by a rebuild of " + k.FixedBy + ", once its rules let the newer one in"
	case k.FixedBy == image:
		return "Fix      rebuild " + image
	case k.Newer.Repository == k.FixedBy:
		return fmt.Sprintf("Fix      stand %s on %s as it is now", image, k.FixedBy)
	}
	return fmt.Sprintf("Fix      rebuild %s, then stand %s on it", k.FixedBy, image)
}
