package rollout

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// text is a pull request's title and body.
type text struct{ Title, Body string }

// letter is all that a pull request says. It is data, so that the words can be read without a world around them.
type letter struct {
	Application string   // its name in the catalog
	Images      []string // its images, by their names in the graph
	Rollout     store.Rollout
	Lines       []line    // what the pull request changes
	Bases       []newBase // those that Lines name, by name
	Others      int       // images of other applications in the rollout,
	Proven      int       // and how many of them stood on their new base at the moment of writing
}

// newBase is a base that an application is to stand on.
type newBase struct {
	Name    string
	Digest  string
	Lineage []string    // what it stands on, the farthest first; empty when that is not known
	Node    *store.Node // what this rollout did to it; nil when it was promoted before
}

// words gathers what there is to say, and says it.
func (r *Runner) words(ctx context.Context, t Turn, app catalog.Application, lines []line, wants map[string]string) (text, error) {
	ro, err := store.GetRollout(ctx, r.store.Q(), t.Rollout)
	if err != nil {
		return text{}, err
	}
	nodes, err := store.Nodes(ctx, r.store.Q(), t.Rollout)
	if err != nil {
		return text{}, err
	}
	l := letter{Application: app.Name, Rollout: ro, Lines: lines}
	for _, i := range app.Images {
		l.Images = append(l.Images, i.Name)
	}
	for _, n := range nodes {
		if n.Kind != string(graph.Application) || slices.ContainsFunc(app.Images, func(i catalog.ApplicationImage) bool { return i.Name == n.Image }) {
			continue
		}
		l.Others++
		if n.State == store.Done && n.Detail.Proven {
			l.Proven++
		}
	}
	for _, name := range basesOf(lines) {
		b := newBase{Name: name, Digest: wants[name], Lineage: r.facts.Lineage(r.catalog(), name)}
		i := slices.IndexFunc(nodes, func(n store.Node) bool { return n.Image == name && n.State == store.Done && n.After == b.Digest })
		if i >= 0 {
			b.Node = &nodes[i]
		}
		l.Bases = append(l.Bases, b)
	}
	return l.text(), nil
}

func basesOf(lines []line) []string {
	var names []string
	for _, l := range lines {
		names = append(names, l.Base)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

const (
	maxTitle = 120    // characters
	maxBody  = 50_000 // bytes; the forge takes some more
	maxBases = 10     // that are described; the rest is counted
)

func (l letter) text() text {
	body := l.body(100)
	for _, listed := range []int{20, 5, 1} {
		if len(body) > maxBody {
			body = l.body(listed)
		}
	}
	return text{Title: l.title(), Body: body}
}

// title is one line: "Update base/debian:stable to 3f2a9c1b44d0 (libssl3 3.0.22-1~deb12u2)".
func (l letter) title() string {
	var parts []string
	for _, b := range l.Bases {
		parts = append(parts, plain(b.Name+l.tag(b.Name)+" to "+short(b.Digest)))
	}
	t := "Update " + some(parts, 2)
	ps := l.patches()
	if len(ps) == 0 {
		return cut(t, maxTitle)
	}
	why := plain(ps[0].Package + " " + ps[0].To)
	if n := len(ps) - 1; n > 0 {
		why += fmt.Sprintf(" and %d more", n)
	}
	if whole := t + " (" + why + ")"; len([]rune(whole)) <= maxTitle {
		return whole
	}
	return cut(t, maxTitle)
}

// some lists at most n of parts and counts the rest: "a", "a and b", "a, b and 3 more".
func some(parts []string, n int) string {
	if len(parts) > n {
		parts = append(slices.Clone(parts[:n]), fmt.Sprintf("%d more", len(parts)-n))
	}
	last := len(parts) - 1
	if last < 1 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:last], ", ") + " and " + parts[last]
}

// tag is the tag by which the application names a base, with its colon; empty when it names none.
func (l letter) tag(base string) string {
	for _, ln := range l.Lines {
		name, _, _ := strings.Cut(ln.To, "@")
		if i := strings.LastIndex(name, ":"); ln.Base == base && i > strings.LastIndex(name, "/") {
			return name[i:]
		}
	}
	return ""
}

// patches are the newer packages that this rollout brought into the bases of the letter, by name, each once.
func (l letter) patches() []plan.Patch {
	var all []plan.Patch
	for _, b := range l.Bases {
		all = append(all, b.taken()...)
	}
	slices.SortStableFunc(all, func(a, b plan.Patch) int {
		return cmp.Or(cmp.Compare(a.Package, b.Package), cmp.Compare(a.To, b.To))
	})
	return slices.CompactFunc(all, func(a, b plan.Patch) bool { return a.Package == b.Package && a.To == b.To })
}

// taken are the patches that were wanted in a base and found inside.
func (b newBase) taken() []plan.Patch {
	var in []plan.Patch
	if b.Node == nil {
		return nil
	}
	for _, p := range b.Node.Detail.Step.Patches {
		if !slices.ContainsFunc(b.Node.Detail.Missing, func(m string) bool { return strings.HasPrefix(m, p.Package+" is still ") }) {
			in = append(in, p)
		}
	}
	return in
}

// body is Markdown. Everything that comes from images, repositories or people is in a code span. At most
// listed rows of each table are written, and the rest counted.
func (l letter) body(listed int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**Why you get this.** %s %s\n\n", l.why(), l.dockerfile())
	fmt.Fprintf(&b, "**If you do nothing,** %s stays on the old base%s. Nothing is blocked, and nothing is merged for you.\n\n", code(l.Application), l.without())
	l.change(&b, listed)
	l.different(&b, listed)
	l.sure(&b)
	l.comesFrom(&b)
	b.WriteString("**What you can do.** Merge it when your checks pass. Close it, and these digests are not proposed again; the next ones are. " +
		"Push a commit of your own to this branch, and it is yours: nothing here is overwritten.\n\n")
	fmt.Fprintf(&b, "<sub>Opened by automation: rule %s, rollout %s.</sub>\n", code(l.Rollout.Cause), code(l.Rollout.ID))
	return b.String()
}

func (l letter) why() string {
	ps := l.patches()
	switch {
	case len(ps) == 0 && l.Rollout.Cause == string(plan.CauseParent): // its title speaks of one image, perhaps another one
		return fmt.Sprintf("There is a newer image of %s than the one that %s stands on.", l.names(), code(l.Application))
	case len(ps) == 0:
		return fmt.Sprintf("There is a newer image of %s (%s).", l.names(), code(l.Rollout.Title))
	}
	var parts []string
	for _, p := range ps {
		parts = append(parts, fmt.Sprintf("%s %s → %s", code(p.Package), code(p.From), code(p.To)))
	}
	when := ""
	if at := l.Rollout.PublishedAt; at > 0 {
		when = ", published " + time.UnixMilli(at).UTC().Format("2 January 2006 15:04") + " UTC"
	}
	verb := "is"
	if len(ps) > 1 {
		verb = "are"
	}
	return fmt.Sprintf("%s%s, %s in %s now.", some(parts, 3), when, verb, l.names())
}

// dockerfile says what the reader's own part in it is.
func (l letter) dockerfile() string {
	if slices.ContainsFunc(l.Lines, func(ln line) bool { return !strings.Contains(ln.From, "@") }) {
		return "Your Dockerfile followed a tag; this pins the digest behind it, so that each change of the base is one that you can see, test and revert."
	}
	return "Your Dockerfile is fine: the change comes from the base image."
}

func (l letter) names() string {
	var names []string
	for _, b := range l.Bases {
		names = append(names, b.Name)
	}
	return some(codes(names), 5)
}

func (l letter) without() string {
	if n := len(l.patches()); n == 1 {
		return ", without this update"
	} else if n > 1 {
		return ", without these updates"
	}
	return ""
}

func (l letter) change(b *strings.Builder, listed int) {
	b.WriteString("| Where | From | To |\n|---|---|---|\n")
	for _, ln := range l.Lines[:min(listed, len(l.Lines))] {
		fmt.Fprintf(b, "| %s | %s | %s |\n", code(fmt.Sprintf("%s:%d", ln.File, ln.Line)), code(abbreviate(ln.From)), code(abbreviate(ln.To)))
	}
	if n := len(l.Lines) - listed; n > 0 {
		fmt.Fprintf(b, "| and %d more | | |\n", n)
	}
	b.WriteString("\n")
}

// abbreviate shortens the digest of a reference to what people compare.
func abbreviate(ref string) string {
	name, digest, ok := strings.Cut(ref, "@")
	if !ok {
		return ref
	}
	return name + "@" + short(digest)
}

const unfolded = 5 // packages shown without a click

func (l letter) different(b *strings.Builder, listed int) {
	for _, base := range l.described() {
		if base.Node == nil || base.Node.Before == "" {
			continue
		}
		cs := base.Node.Detail.Changes
		fmt.Fprintf(b, "**What is different** in %s since its last build: ", code(base.Name))
		switch {
		case len(cs) == 0:
			b.WriteString("no package, but files or settings.\n\n")
			continue
		case len(cs) <= unfolded:
			fmt.Fprintf(b, "%s.\n\n", packages(len(cs)))
			table(b, cs, listed)
			continue
		}
		fmt.Fprintf(b, "%s.\n\n<details><summary>The %s</summary>\n\n", packages(len(cs)), packages(len(cs)))
		table(b, cs, listed)
		b.WriteString("</details>\n\n")
	}
}

func packages(n int) string {
	if n == 1 {
		return "1 package"
	}
	return fmt.Sprintf("%d packages", n)
}

func table(b *strings.Builder, cs []store.Change, listed int) {
	b.WriteString("| Package | From | To |\n|---|---|---|\n")
	for _, c := range cs[:min(listed, len(cs))] {
		from, to := "new", "removed"
		if c.From != "" {
			from = code(c.From)
		}
		if c.To != "" {
			to = code(c.To)
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", code(c.Package), from, to)
	}
	if n := len(cs) - listed; n > 0 {
		fmt.Fprintf(b, "| and %d more | | |\n", n)
	}
	b.WriteString("\n")
}

// described are the bases about which details are told.
func (l letter) described() []newBase { return l.Bases[:min(maxBases, len(l.Bases))] }

// sure says what was looked at, and nothing that was not.
func (l letter) sure(b *strings.Builder) {
	b.WriteString("**How sure we are**\n\n")
	for _, base := range l.described() {
		fmt.Fprintf(b, "- %s\n", evidence(base))
	}
	if n := len(l.Bases) - maxBases; n > 0 {
		fmt.Fprintf(b, "- and %d more\n", n)
	}
	if l.Others > 0 {
		fmt.Fprintf(b, "- Other images of this rollout that stood on their new base when this was written, by their layers: %d of %d.\n", l.Proven, l.Others)
	}
	fmt.Fprintf(b, "- %s\n\n", l.own())
}

// own says whether the reader's own application was tried.
func (l letter) own() string {
	const checks = "your checks say whether it works"
	var said []string
	for _, base := range l.described() {
		if base.Node == nil {
			continue
		}
		for _, t := range base.Node.Detail.Trials {
			if !slices.Contains(l.Images, t.Image) {
				continue
			}
			what := fmt.Sprintf("%s at commit %s", code(t.Image), code(t.Commit[:min(12, len(t.Commit))]))
			switch t.Outcome {
			case store.TrialPassed:
				said = append(said, fmt.Sprintf("Your application was built on %s here before that was promoted, %s: it builds, and %s.", code(base.Name), what, checks))
			case store.TrialBroken:
				said = append(said, fmt.Sprintf("Your application was tried on %s here, %s: it builds neither on it nor on the base of before (%s).", code(base.Name), what, code(t.Reason)))
			}
		}
	}
	if len(said) == 0 {
		return "Your application was not built on it here: " + checks + "."
	}
	return strings.Join(said, " ")
}

func evidence(b newBase) string {
	if b.Node == nil {
		return fmt.Sprintf("%s was not built by this rollout: its channel pointed to %s before.", code(b.Name), code(short(b.Digest)))
	}
	s := code(b.Name) + " was rebuilt and promoted"
	switch n := len(b.taken()); {
	case n == 1:
		s += "; the patched version was found inside"
	case n > 1:
		s += fmt.Sprintf("; the patched versions of %s were found inside", packages(n))
	}
	if b.Node.Detail.Proven {
		s += "; its layers prove that it stands on its parent"
	}
	s += "." + tested(b.Node.Detail.Tests) + compared(b.Node.Detail.Verdict) + triedOn(b.Node.Detail.Trials)
	if m := b.Node.Detail.Missing; len(m) > 0 {
		s += " Not taken: " + some(codes(m), 3) + "."
	}
	return s
}

func tested(t *store.Tests) string {
	if t == nil {
		return ""
	}
	return fmt.Sprintf(" %d of %d tests inside it passed.", t.Passed, t.Total)
}

// compared says what became of vulnerabilities, and what could not be told.
func compared(v *store.Verdict) string {
	if v == nil {
		return ""
	}
	var s string
	if c := v.Compared; c != nil && c.Fixed+c.New+c.Remaining > 0 {
		s = fmt.Sprintf(" Of known vulnerabilities %d are fixed by it%s, %d are new, %d remain.", c.Fixed, named(c.FixedIDs), c.New, c.Remaining)
	}
	if len(v.Unknown) > 0 {
		s += " Not known: " + some(codes(v.Unknown), 2) + "."
	}
	return s
}

func named(ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return " (" + some(codes(ids), 5) + ")"
}

// triedOn says how many applications were built on it before it was promoted.
func triedOn(all []store.Trial) string {
	built := 0
	var not []string
	for _, t := range all {
		switch t.Outcome {
		case store.TrialPassed:
			built++
		case store.TrialBroken:
			not = append(not, code(t.Image)+" does not build on the base of before either")
		case store.TrialNotTried:
			not = append(not, fmt.Sprintf("%s was not tried (%s)", code(t.Image), code(t.Reason)))
		}
	}
	if len(all) == 0 {
		return ""
	}
	s := fmt.Sprintf(" Before it was promoted, %d of %d applications that were tried on it built", built, len(all))
	if len(not) > 0 {
		s += "; " + some(not, 3)
	}
	return s + "."
}

const maxChain = 6 // images of one chain that are shown

// comesFrom draws one line a base, from the farthest image to the reader's own.
func (l letter) comesFrom(b *strings.Builder) {
	var chains []string
	for _, base := range l.Bases {
		if len(base.Lineage) == 0 {
			continue
		}
		names := codes(base.Lineage)
		if n := len(names); n > maxChain {
			names = append([]string{names[0], "…"}, names[n-maxChain+2:]...)
		}
		chains = append(chains, strings.Join(append(names, "**this repository**"), " → "))
	}
	if n := len(chains) - maxBases; n > 0 {
		chains = append(chains[:maxBases], fmt.Sprintf("and %d more", n))
	}
	if len(chains) > 0 {
		fmt.Fprintf(b, "**Where it comes from.** %s\n\n", strings.Join(chains, "<br>"))
	}
}
