package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"rebuilder/internal/api"
	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

func newShow(c *cli) *cobra.Command {
	var w what
	cmd := &cobra.Command{
		Use:   "show IMAGE|DIGEST|REFERENCE",
		Short: "The fact sheet of an image: what it is, what is in it, what was found, how it came to be",
		Long: `Print the fact sheet of an image, the same for everybody who asks: how it is, what it stands on, what is in it and how it
is started, what was found in it and what the policies make of that, what is another than in the digest before, what its
tests and trials said, and who was told of it. What is not known is said.

DIGEST is sha256: and at least six digits of one that was read. A REFERENCE that the catalog does not have is read from its
registry by the daemon, which asks for its token.`,
		Example: `  rebuilder show base/debian
  rebuilder show sha256:1f0c2d
  rebuilder show registry.example.com/elsewhere/tool:1 -o json`,
		Args:              wants(1, 1, "an image", "see all images: rebuilder images"),
		ValidArgsFunction: c.completeImages,
	}
	o := output(cmd, "table", "json")
	w.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		w.name = args[0]
		s, err := c.sheet(cmd, w)
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, s)
		}
		clean(&s)
		c.printer(cmd, s.Now).sheet(s)
		return nil
	}
	return cmd
}

// fact prints a line with what it is about; nothing when there is nothing to say.
func (p *printer) fact(about, text string) {
	if text != "" {
		p.line("%-10s %s", about, text)
	}
}

func (p *printer) sheet(s api.Sheet) {
	p.head(s)
	p.verdict(s)
	p.content(s.Content)
	p.standsOn(s)
	p.provenance(s)
	for _, e := range s.Exceptions {
		p.fact("Exception", fmt.Sprintf("%s excuses %s (%s) until %s: %s; owner %s, approved by %s", e.ID, api.Count(e.Findings, "finding"), e.Finding, p.when(e.Expires), e.Reason, orDash(e.Owner), orDash(e.Approver)))
	}
	for _, e := range s.Verdict.Expired {
		p.fact("Expired", fmt.Sprintf("%s excused %s until %s; owner %s", e.ID, e.Finding, p.when(e.Expires), orDash(e.Owner)))
	}
	for _, r := range s.Proposals {
		p.fact("Told", fmt.Sprintf("%s by %s%s, %s, since %s%s", r.Application, strings.ReplaceAll(r.Strategy, "-", " "), numberOf(r.Number), r.State, p.when(r.CreatedAt), said("  ", r.URL)))
	}
	switch {
	case s.Image == nil:
		p.line("Next: rebuilder scan %s", s.Name)
	case s.Earlier:
		p.line("Next: rebuilder diff %s %s", s.Digest, s.Name)
	default:
		p.line("Next: rebuilder scan %s | rebuilder why %s", s.Name, s.Name)
	}
}

func numberOf(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" #%d", n)
}

// head says what is looked at, and how that is.
func (p *printer) head(s api.Sheet) {
	switch {
	case s.Image == nil:
		p.line("%s  not in the catalog", s.Name)
	case s.Earlier:
		p.line("%s  %s  an earlier digest: it is %s now", s.Name, s.Kind, orDash(api.Short(s.Image.Digest)))
	default:
		p.line("%s  %s  %s  %s  (%s)", s.Name, s.Kind, p.state(string(s.Image.State)), s.Image.Sentence, p.asOf(s.AsOf))
	}
	p.fact("Owner", orDash(s.Owner))
	p.fact("Digest", s.Reference)
	if s.Image != nil && !s.Earlier && !s.Image.SeenAt.IsZero() {
		p.fact("", s.Image.Reference+" points to it since "+p.when(s.Image.SeenAt))
	}
}

// verdict says what the policies make of it, by how many findings, and how old that knowledge is.
func (p *printer) verdict(s api.Sheet) {
	since := ""
	if !s.Since.IsZero() {
		since = ", since " + p.when(s.Since)
	}
	p.fact("Verdict", p.state(string(s.Verdict.Outcome))+since+"; "+policiesOf(s.Verdict))
	p.fact("Findings", findings(s.Verdict))
	p.fact("Open", open(s.Verdict))
	about := "Sources"
	for _, src := range s.Sources {
		p.fact(about, fmt.Sprintf("%s: %s%s", src.Name, api.Count(src.Found, "finding"), p.knownAt(src.AsOf, s.JudgedAt)))
		about = ""
	}
	for _, u := range s.Verdict.Unknown {
		p.fact("Unknown", "? "+u)
	}
	if d := s.Compared; d != nil {
		p.fact("Before", fmt.Sprintf("%s, until %s: %s", api.Short(d.Before.Digest), p.when(d.After.Since), differs(*d)))
	} else {
		p.fact("Before", said("? ", s.NotCompared))
	}
}

// knownAt is how old what a source rests on is; nothing when it looked for this answer.
func (p *printer) knownAt(at, judged time.Time) string {
	switch {
	case at.IsZero():
		return ", as of a time that is not known"
	case judged.Sub(at) < time.Second:
		return ""
	}
	return ", as of " + p.when(at)
}

func policiesOf(v policy.Verdict) string {
	if len(v.Policies) == 0 {
		return "no policy is for it: nothing can fail"
	}
	return "policies: " + strings.Join(v.Policies, ", ")
}

// findings counts them by what became of them. What fails is counted also when that is nothing.
func findings(v policy.Verdict) string {
	parts := []string{}
	for _, o := range policy.Outcomes() {
		if n := v.Outcomes[o]; n > 0 || o == policy.Fails {
			parts = append(parts, api.Thousands(n)+" "+outcomeWords[o])
		}
	}
	out := api.Count(len(v.Findings), "finding") + ": " + strings.Join(parts, " · ")
	if v.Off > 0 {
		out += fmt.Sprintf("; besides %d of rules that are off", v.Off)
	}
	return out
}

// outcomeWords are an outcome as it is said after a number.
var outcomeWords = map[policy.Outcome]string{
	policy.Fails: "failing", policy.Grace: "in grace", policy.Observed: "observed", policy.Below: "below what counts", policy.Excepted: "excepted", policy.NotAffected: "not affected",
}

// open counts vulnerabilities that nobody has accepted.
func open(v policy.Verdict) string {
	all, fixable := 0, 0
	var parts []string
	for _, c := range v.Vulnerabilities {
		all, fixable = all+c.Open, fixable+c.Fixable
		if c.Open > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", api.Thousands(c.Open), c.Severity))
		}
	}
	if all == 0 {
		return "0 vulnerabilities, as far as is known"
	}
	return fmt.Sprintf("%s: %s; there is a fix for %d", api.Count(all, "vulnerability"), strings.Join(parts, " · "), fixable)
}

func (p *printer) content(c api.Content) {
	made := ""
	if !c.Created.IsZero() {
		made = ", made " + p.when(c.Created)
	}
	p.fact("Image", fmt.Sprintf("%s%s; %s in %s%s", c.Platform, made, bytes(c.Size), api.Count(c.Layers, "layer"), said("; ", c.OS)))
	p.fact("Packages", types(c))
	for _, u := range c.Unknown {
		p.fact("", "? "+u)
	}
	p.runs(c.Config)
}

// bytes is a size with the digits that differ from one build to the next.
func bytes(n int64) string { return humanize.SIWithDigits(float64(n), 2, "B") }

func types(c api.Content) string {
	var parts []string
	for _, t := range slices.Sorted(maps.Keys(c.Types)) {
		parts = append(parts, fmt.Sprintf("%s %s", api.Thousands(c.Types[t]), cleanLine(t)))
	}
	return strings.TrimSuffix(api.Thousands(c.Packages)+": "+strings.Join(parts, " · "), ": ")
}

// runs says how a container of it is started.
func (p *printer) runs(c inventory.Config) {
	user := c.User
	if user == "" {
		user = "root (no user is set)"
	}
	line := "as " + user
	for _, part := range []struct {
		what string
		all  []string
	}{{"entrypoint", c.Entrypoint}, {"command", c.Cmd}, {"ports", c.ExposedPorts}, {"volumes", c.Volumes}} {
		if len(part.all) > 0 {
			line += fmt.Sprintf("; %s %s", part.what, strings.Join(part.all, " "))
		}
	}
	p.fact("Runs", line+said("; in ", c.WorkingDir))
	p.fact("Variables", strings.Join(c.Env, " "))
	about := "Labels"
	for _, k := range slices.Sorted(maps.Keys(c.Labels)) {
		p.fact(about, cleanLine(k)+"="+c.Labels[k])
		about = ""
	}
}

func (p *printer) standsOn(s api.Sheet) {
	about := "Stands on"
	for _, l := range s.Chain {
		how := l.Standing
		if how == "older" {
			how = "an older one than"
		}
		p.fact(about, fmt.Sprintf("%s %s  %s%s%s", l.Parent, orDash(api.Short(l.ParentDigest)), how, said("  ", l.Where), said("  ", l.Note)))
		about = ""
	}
}

// provenance says how the digest came to be and what was tried with it.
func (p *printer) provenance(s api.Sheet) {
	if t := s.Tests; t != nil {
		p.fact("Tests", fmt.Sprintf("%d of %d passed in %s", t.Passed, t.Total, api.Age(time.Duration(t.Took)*time.Millisecond)))
		for _, f := range t.Failed {
			p.fact("", "✗ "+f)
		}
	}
	if len(s.Trials) > 0 {
		p.fact("Trials", trials(s.Trials))
	}
	if b := s.Build; b != nil {
		p.fact("Build", fmt.Sprintf("%s, %s; took %s%s; %s steps from the cache", b.ID, p.when(b.Started), buildTook(*b), said(" on ", b.Worker), cached(*b)))
		p.fact("", said("all package steps were run anew: ", b.Doubt))
	}
}

// trials counts the dependents that were built on it, and names those that do not build.
func trials(all []store.Trial) string {
	passed := 0
	var rest []string
	for _, t := range all {
		if t.Outcome == store.TrialPassed {
			passed++
			continue
		}
		rest = append(rest, fmt.Sprintf("%s %s%s", t.Image, t.Outcome, said(": ", t.Reason)))
	}
	return strings.TrimSuffix(fmt.Sprintf("%d of %s built on it; %s", passed, api.Count(len(all), "dependent"), strings.Join(rest, "; ")), "; ")
}
