package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newAffected(c *cli) *cobra.Command {
	var all, gate bool
	cmd := &cobra.Command{
		Use:   "affected PACKAGE[@VERSION] | DIGEST | CVE",
		Short: "Which images have a package, are hit by an advisory, or stand on a digest",
		Long: `Say which images have a package, in which version and layer, which image brought it in, and whether a newer one is
offered; then which images may have it from those, since nobody read what is inside or since what was copied or compiled in
does not show; and of which images nothing is known. What was read and has another version is not listed.

PACKAGE is the name of a package, or of a source: openssl finds libssl3, too. PACKAGE@VERSION finds only that version,
'PACKAGE<VERSION' only older ones, 'PACKAGE<=VERSION' also that one; quote them, for < means something to the shell. Of
what is found by its source, the source's version is compared. What is in no package database, such as a library inside
of a static binary, is not found.

DIGEST is sha256: and some of its digits, or an image with its digest. It finds who is it, who stands on it by its layers,
and who names it.

With an advisory's id, of whatever kind, it says which images it hits and in which package, which version has the fix and
whether that is on offer or there is no patch yet, and what policies, exceptions and statements make of it. Images of which
that is not known, since they were not read or no source covers them, are listed apart. The answer is "unknown", exit status
3, when no source of advisories is configured, none was read yet, or none has it.`,
		Example: `  rebuilder affected openssl
  rebuilder affected CVE-2026-1234 --exit-code
  rebuilder affected 'openssl<3.0.17-1~deb12u3' --exit-code
  rebuilder affected sha256:1f0c2d`,
		Args: wants(1, 1, "a package, a digest or an advisory", "like: rebuilder affected openssl"),
	}
	o := output(cmd, "table", "json")
	cmd.Flags().BoolVar(&all, "all", false, "list also earlier digests, which no image points to any more")
	cmd.Flags().BoolVar(&gate, "exit-code", false, "exit with 2 when an image is affected, with 3 when none is, as far as is known, but something is not known")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := c.client().Affected(cmd.Context(), args[0], all)
		if err != nil {
			return err
		}
		if o.value == "json" {
			err = printJSON(cmd, a)
		} else {
			clean(&a)
			c.printer(cmd, a.Now).affected(a)
		}
		if err != nil {
			return err
		}
		return affectedVerdict(a, gate)
	}
	return cmd
}

// affectedVerdict is the exit status: a question without an answer never ends as if all were well.
func affectedVerdict(a api.Affected, gate bool) error {
	switch {
	case a.Unanswered != "":
		return &exit{code: exitUnknown}
	case !gate:
		return nil
	case a.Has > 0:
		return &exit{code: exitChanges}
	case a.Unknown > 0:
		return &exit{code: exitUnknown}
	}
	return nil
}

func (p *printer) affected(a api.Affected) {
	p.line("%s  (%s)", a.Sentence, p.ages(a))
	if a.Unanswered != "" {
		return
	}
	if a.Advisory != nil {
		p.advisory(a.Advisory)
	}
	if len(a.Near) > 0 {
		p.line("Did you mean %s?", strings.Join(a.Near, " or "))
	}
	p.found(a)
	p.downstream(a.Downstream)
	p.notKnown(a.NotKnown)
	p.earlier(a)
	switch {
	case len(a.Found) == 0:
	case a.Kind == api.TargetPackage:
		p.line("Next     rebuilder why %s %s", a.Found[0].Image, a.Found[0].Package)
	case a.Kind == api.TargetAdvisory:
		p.line("Next     rebuilder why %s %s", a.Found[0].Image, a.Name)
	}
}

// advisory says what is known of an advisory.
func (p *printer) advisory(f *api.AdvisoryFacts) {
	bad := f.Severity
	if bad == "unknown" {
		bad = "how bad is not known"
	}
	if f.Score > 0 {
		bad += fmt.Sprintf(" %.1f", f.Score)
	}
	if f.Exploited {
		bad += ", known to be exploited"
		if !f.ExploitedSince.IsZero() {
			bad += " since " + day(f.ExploitedSince)
		}
	}
	if f.EPSS != nil {
		bad += fmt.Sprintf(", EPSS %.2f", *f.EPSS)
	}
	if !f.PublishedAt.IsZero() {
		bad += ", published " + day(f.PublishedAt)
	}
	p.line("Advisory %s: %s%s", f.ID, bad, said("; ", f.Summary))
	if len(f.Aliases) > 0 {
		p.line("Also     %s", firstOf(f.Aliases, len(f.Aliases)))
	}
	var rows [][]string
	for _, q := range f.Packages[:min(len(f.Packages), mostAbout)] {
		fixed := "no patch yet"
		if len(q.Fixed) > 0 {
			fixed = "fixed in " + strings.Join(q.Fixed, ", ")
		}
		rows = append(rows, []string{q.Ecosystem, q.Name, fixed})
	}
	p.table("  ", rows)
	if n := len(f.Packages) - mostAbout; n > 0 {
		p.line("  … %d more: -o json has all", n)
	}
}

const mostAbout = 10 // packages of an advisory that a person reads

// ages says how old the look and the package indexes are.
func (p *printer) ages(a api.Affected) string {
	out := p.asOf(a.AsOf) + "; " + p.indexes(a.Indexes)
	if !a.AdvisoriesAt.IsZero() {
		out += "; advisories read " + p.age(a.AdvisoriesAt) + " ago"
	}
	return out
}

func (p *printer) indexes(x api.Indexes) string {
	if x.Count == 0 {
		return "no package index was read"
	}
	s := "1 package index"
	if x.Count != 1 {
		s = fmt.Sprintf("%d package indexes", x.Count)
	}
	s += " read " + p.age(x.CheckedAt) + " ago"
	if x.Problems > 0 {
		s += fmt.Sprintf(", %d of them not anew", x.Problems)
	}
	return s
}

func (p *printer) found(a api.Affected) {
	if len(a.Found) == 0 {
		return
	}
	if a.Kind == api.TargetDigest {
		rows := [][]string{{"IMAGE", "KIND", "STATE", "OWNER", "HOW"}}
		for _, f := range a.Found {
			rows = append(rows, []string{f.Image, f.Kind, p.state(string(f.State)), orDash(f.Owner), f.How})
		}
		p.some(rows, mostRows+1)
		return
	}
	if a.Kind == api.TargetAdvisory {
		rows := [][]string{{"IMAGE", "KIND", "OWNER", "PACKAGE", "FROM", "VERDICT", "FIX"}}
		for _, f := range a.Found {
			rows = append(rows, []string{f.Image, f.Kind, orDash(f.Owner), f.Package + " " + f.Version, broughtBy(f), outcome(f), f.Fix})
		}
		p.some(rows, mostRows+1)
		return
	}
	rows := [][]string{{"IMAGE", "KIND", "OWNER", "PACKAGE", "FROM", "NEWER"}}
	for _, f := range a.Found {
		rows = append(rows, []string{f.Image, f.Kind, orDash(f.Owner), f.Package + " " + f.Version, broughtBy(f), newer(f)})
	}
	p.some(rows, mostRows+1)
}

const mostRows = 100 // of a list that a person reads

// some prints as many rows as a person reads.
func (p *printer) some(rows [][]string, most int) {
	p.table("  ", rows[:min(len(rows), most)])
	if n := len(rows) - most; n > 0 {
		p.line("  … %d more: -o json has all", n)
	}
}

func broughtBy(f api.Found) string {
	layer := fmt.Sprintf("layer %d of %d", f.Layer, f.Layers)
	switch {
	case !f.Proven:
		return layer + ", of whom is not proven"
	case f.BroughtBy == f.Image:
		return layer + ", its own"
	}
	return layer + ", by " + f.BroughtBy
}

// outcome is what becomes of what an advisory hits, in few words.
func outcome(f api.Found) string {
	switch {
	case f.Exception != "":
		return f.Outcome + " by " + f.Exception + " until " + day(f.Until)
	case f.Outcome == "grace":
		return f.Outcome + " until " + day(f.Until)
	}
	return orDash(f.Outcome)
}

func newer(f api.Found) string {
	switch n := f.Newer; {
	case n == nil && f.NewerUnknown != "":
		return "unknown: " + f.NewerUnknown
	case n == nil:
		return "none known"
	case n.Held:
		return n.To + ", held back by the image's rules"
	case n.FixedBy == n.Repository:
		return n.To + " in " + n.Repository
	case n.FixedBy == f.Image:
		return n.To + ", by a rebuild"
	default:
		return n.To + ", by a rebuild of " + n.FixedBy
	}
}

func (p *printer) downstream(all []api.Downstream) {
	if len(all) == 0 {
		return
	}
	p.line("May be affected")
	var rows [][]string
	for _, d := range all {
		rows = append(rows, []string{"? " + d.Image, d.Kind, orDash(d.Owner), d.Edge + " " + d.Via, d.Note})
	}
	p.some(rows, mostRows)
}

func (p *printer) notKnown(all []api.NotKnown) {
	if len(all) == 0 {
		return
	}
	p.line("Unknown")
	var rows [][]string
	for _, n := range all {
		rows = append(rows, []string{"? " + n.Image, n.Kind, n.Reason})
	}
	p.some(rows, mostRows)
}

func (p *printer) earlier(a api.Affected) {
	switch {
	case a.EarlierCount == 0:
		return
	case len(a.Earlier) == 0:
		p.line("Earlier  %s that no image points to any more %s it: see them with --all", api.Count(a.EarlierCount, "digest"), verb(a.EarlierCount))
		return
	}
	p.line("Earlier  %s that no image points to any more", api.Count(a.EarlierCount, "digest"))
	var rows [][]string
	for _, f := range a.Earlier {
		what := f.Package + " " + f.Version
		if f.Package == "" {
			what = f.How
		}
		rows = append(rows, []string{f.Image + "@" + api.Short(f.Digest), what, "read " + p.age(f.ReadAt) + " ago"})
	}
	p.some(rows, mostRows)
	if shown := distinct(a.Earlier); shown < a.EarlierCount {
		p.line("  … %d more", a.EarlierCount-shown)
	}
}

func verb(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}

func distinct(all []api.Found) int {
	seen := map[string]bool{}
	for _, f := range all {
		seen[f.Digest] = true
	}
	return len(seen)
}
