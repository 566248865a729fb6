package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/coexist"
	"rebuilder/internal/notify"
	"rebuilder/internal/plan"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

// text is what a pull request says, and what its commit says besides.
type text struct {
	Title, Body string
	Trailers    []string // of the commit's message: "Fixes-CVE: CVE-2026-1234"
	Draft       bool     // it is not ready to be merged: the body says why
}

// letter is all that a pull request says. It is data, so that the words can be read without a world around them.
type letter struct {
	Application string   // its name in the catalog
	Images      []string // its images, by their names in the graph
	Rollout     store.Rollout
	Catalog     string    // SHA-256 of the catalog that said so
	Lines       []line    // what the pull request changes
	Stuck       []string  // references that it should change and cannot, each with the reason
	Bots        []rival   // other bots that update the same lines, or may
	Advise      bool      // say what to add to their configuration
	Bases       []newBase // those that Lines name, by name
	Siblings    siblings
	Due         due
	Failing     map[string][]string // the last lines of failed trials of the application, by build
	AutoMerge   bool                // it is merged by itself when its checks pass
	Paces       []string            // what is known of schedules and limits, a sentence each
	Controls    bool                // ticked boxes are heard
}

const (
	maxTitle = 120    // characters
	maxBody  = 50_000 // bytes; the forge takes some more
	maxBases = 10     // that are described; the rest is counted
	maxShown = 6      // rows of the change that are seen without a click
	maxTop   = 5      // findings of a kind that are named
	maxLog   = 20     // lines of a failed build
)

// bounds are how much is written before the rest is counted: rows of a table, and bases that are described.
type bounds struct{ rows, bases int }

func (l letter) text() text {
	out := text{Title: l.title(), Trailers: l.trailers()}
	for _, most := range []bounds{{100, maxBases}, {20, maxBases}, {5, maxBases}, {1, 3}, {1, 1}} {
		if out.Body = l.body(most); len(out.Body) <= maxBody {
			break
		}
	}
	out.Draft = slices.ContainsFunc(l.trials(), func(t ownTrial) bool { return t.Outcome == store.TrialFailed })
	return out
}

// title is one line: "Update base/debian:stable to 3f2a9c1b44d0 (libssl3 3.0.22-1~deb12u2: CVE-2026-1234, high)".
func (l letter) title() string {
	var parts []string
	for _, b := range l.Bases {
		parts = append(parts, plain(b.Name+l.tag(b.Name)+" to "+short(b.Digest)))
	}
	t := "Update " + some(parts, 2)
	for _, why := range l.reasons() {
		if whole := t + " (" + why + ")"; len([]rune(whole)) <= maxTitle {
			return whole
		}
	}
	return cut(t, maxTitle)
}

// reasons are what a title says in brackets, the one that says most first.
func (l letter) reasons() (out []string) {
	ps, fixed := l.patches(), l.fixed()
	what := ""
	if len(ps) > 0 {
		what = plain(ps[0].Package + " " + ps[0].To)
		if n := len(ps) - 1; n > 0 {
			what += fmt.Sprintf(" and %d more", n)
		}
	}
	why := ""
	if len(fixed) > 0 {
		why = plain(fixed[0].ID) + ", " + severity(fixed[0].Severity)
	}
	if what != "" && why != "" {
		out = append(out, what+": "+why)
	}
	for _, s := range []string{why, what} {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// trailers say the same to programs that read commits.
func (l letter) trailers() (out []string) {
	for _, f := range l.fixed() {
		if len(out) < maxTop*4 {
			out = append(out, "Fixes-CVE: "+word(f.ID))
		}
	}
	for _, b := range l.Bases {
		out = append(out, "Base-Image: "+word(b.Name)+"@"+word(b.Digest))
	}
	return append(out, "Rebuilder-Wave: "+word(l.Rollout.ID))
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

// patches are the newer packages that a rollout brought into the bases of the letter, by name, each once.
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

// fixed are the vulnerabilities that are gone for the reader, each once, the worst first.
func (l letter) fixed() (all []policy.Finding) {
	for _, b := range l.Bases {
		if b.Change == nil || b.Change.Judged == nil {
			continue
		}
		for _, f := range vulnerabilities(b.Change.Judged.Findings.Fixed) {
			if !slices.ContainsFunc(all, func(o policy.Finding) bool { return o.ID == f.ID }) {
				all = append(all, f)
			}
		}
	}
	slices.SortStableFunc(all, worst)
	return all
}

// body is Markdown. Everything that comes from images, repositories or people is in a code span. What is long is
// folded: unfolded it has sixty lines at most.
func (l letter) body(most bounds) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**Why you get this.** %s%s %s\n\n", l.why(), l.cures(), l.dockerfile())
	fmt.Fprintf(&b, "**If you do nothing,** %s\n\n", l.nothing())
	l.change(&b, most.rows)
	l.beside(&b)
	l.different(&b, most)
	l.sure(&b, most)
	l.comesFrom(&b)
	l.can(&b)
	l.foot(&b)
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
	var at int64
	for _, p := range ps {
		parts = append(parts, fmt.Sprintf("%s %s → %s", code(p.Package), code(p.From), code(p.To)))
		at = max(at, p.PublishedAt)
	}
	when := ""
	if at = cmp.Or(at, l.Rollout.PublishedAt); at > 0 {
		when = ", published " + time.UnixMilli(at).UTC().Format("2 January 2006 15:04") + " UTC,"
	}
	verb := "is"
	if len(ps) > 1 {
		verb = "are"
	}
	return fmt.Sprintf("%s%s %s in %s now.", some(parts, 3), when, verb, l.names())
}

// cures names the worst vulnerability that is gone with the change.
func (l letter) cures() string {
	all := l.fixed()
	if len(all) == 0 {
		return ""
	}
	s := fmt.Sprintf(" It fixes %s (%s)", code(all[0].ID), matters(all[0]))
	if n := len(all) - 1; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s + "."
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

// nothing says what becomes of the reader's application without him.
func (l letter) nothing() string {
	stays := fmt.Sprintf("%s stays on the old base%s.", code(l.Application), l.without())
	if l.AutoMerge {
		return "this is merged by itself when its required checks pass. Until then " + stays + l.Due.words()
	}
	return stays + l.Due.words() + " Nothing is blocked, and nothing is merged for you."
}

func (l letter) without() string {
	if n := len(l.patches()); n == 1 {
		return ", without this update"
	} else if n > 1 {
		return ", without these updates"
	}
	return ""
}

// words say when a policy fails the application; nothing when none does.
func (d due) words() string {
	what := code(d.ID)
	if d.Others > 0 {
		what += fmt.Sprintf(" and %d more", d.Others)
	}
	switch {
	case d.Policy == "":
		return ""
	case d.Now:
		return fmt.Sprintf(" It fails the policy %s for %s already.", code(d.Policy), what)
	}
	return fmt.Sprintf(" From %s on it fails the policy %s for %s: the time that the policy gives ends then.", day(d.At.UnixMilli()), code(d.Policy), what)
}

// day is a date without its time, which no reader compares.
func day(at int64) string { return time.UnixMilli(at).UTC().Format("2 January 2006") }

// change is the table of what the pull request changes, a row for each base and digest.
func (l letter) change(b *strings.Builder, listed int) {
	rows := l.rows()
	shown := min(maxShown, listed, len(rows))
	changeTable(b, rows[:shown])
	if rest := rows[shown:]; len(rest) > 0 {
		fmt.Fprintf(b, "<details><summary>and %d more</summary>\n\n", len(rest))
		changeTable(b, rest[:min(listed, len(rest))])
		if n := len(rest) - listed; n > 0 {
			fmt.Fprintf(b, "and %d more\n\n", n)
		}
		b.WriteString("</details>\n\n")
	}
	if len(l.Stuck) > 0 {
		fmt.Fprintf(b, "Not changed, because it cannot be rewritten: %s.\n\n", some(codes(l.Stuck), 3))
	}
}

const (
	maxBots  = 3   // that are told of
	maxLeave = 600 // characters of what is to be added: an image's name and some words
)

// beside says which other bots update the same lines: two pull requests for one line are one too many.
func (l letter) beside(b *strings.Builder) {
	for _, r := range l.Bots[:min(maxBots, len(l.Bots))] {
		verb := "updates"
		if r.Says == coexist.Unknown {
			verb = "may update"
		}
		fmt.Fprintf(b, "**%s %s** %s, too (%s: %s). ", r.Bot, verb, some(codes(r.Lines), 3), code(r.Where), code(r.Why))
		if !l.Advise {
			b.WriteString("One of the two pull requests is enough.\n\n")
			continue
		}
		fmt.Fprintf(b, "To leave this to these pull requests, add to %s, in %s:\n\n", code(r.Where), r.At)
		block(b, []string{r.Leave}, maxLeave)
	}
}

func changeTable(b *strings.Builder, rows []string) {
	b.WriteString("| Image | From | To | Kind | Where |\n|---|---|---|---|---|\n" + strings.Join(rows, "") + "\n")
}

func (l letter) rows() (out []string) {
	type key struct{ base, from, to string }
	var keys []key
	where := map[key][]string{}
	for _, ln := range l.Lines {
		k := key{ln.Base, ln.From, ln.To}
		if where[k] == nil {
			keys = append(keys, k)
		}
		where[k] = append(where[k], fmt.Sprintf("%s:%d", ln.File, ln.Line))
	}
	for _, k := range keys {
		i := slices.IndexFunc(l.Bases, func(b newBase) bool { return b.Name == k.base })
		base := newBase{Name: k.base}
		if i >= 0 {
			base = l.Bases[i]
		}
		_, to, _ := strings.Cut(k.to, "@")
		_, from, pins := strings.Cut(k.from, "@")
		out = append(out, fmt.Sprintf("| %s | %s | %s | %s | %s |\n", code(k.base+l.tag(k.base)), base.was(from, pins), dated(to, base.Built), base.kind(), some(codes(where[k]), 3)))
	}
	return out
}

// was is the digest that a line names, with the day when it was built where that is known.
func (b newBase) was(digest string, pins bool) string {
	switch {
	case !pins:
		return "its tag"
	case b.Change != nil && b.Change.Pinned && b.Change.From == digest:
		return dated(digest, b.Change.Built)
	}
	return dated(digest, 0)
}

func dated(digest string, at int64) string {
	if at == 0 {
		return code(short(digest))
	}
	return code(short(digest)) + " of " + day(at)
}

// kind says what was done to a base between the two digests.
func (b newBase) kind() string {
	switch {
	case b.Change == nil || b.Change.Recipe == recipeUnknown:
		return "not known"
	case b.Change.Recipe == recipeChanged:
		return "Dockerfile of the base changed"
	}
	return "rebuild only"
}

// sure says what was looked at, and nothing that was not.
func (l letter) sure(b *strings.Builder, most bounds) {
	b.WriteString("**How sure we are**\n\n")
	shown := min(3, most.bases, len(l.Bases))
	for _, base := range l.Bases[:shown] {
		fmt.Fprintf(b, "- %s\n", base.evidence())
	}
	if s := l.Siblings; s.Images > 0 {
		fmt.Fprintf(b, "- Other images of this rollout that stood on their new base when this was written, by their layers: %d of %d.", s.Proven, s.Images)
		if s.Told > 0 {
			fmt.Fprintf(b, " Other pull requests: %d of %d merged, %d taken back.", s.Merged, s.Told, s.Taken)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(b, "- %s\n\n", l.own())
	if rest := l.Bases[shown:max(shown, min(most.bases, len(l.Bases)))]; len(rest) > 0 {
		b.WriteString("<details><summary>The other bases</summary>\n\n")
		for _, base := range rest {
			fmt.Fprintf(b, "- %s\n", base.evidence())
		}
		if n := len(l.Bases) - most.bases; n > 0 {
			fmt.Fprintf(b, "- and %d more\n", n)
		}
		b.WriteString("\n</details>\n\n")
	}
	l.failed(b)
}

// ownTrial is a trial of one of the reader's images on a base.
type ownTrial struct {
	store.Trial
	Base string
}

func (l letter) trials() (out []ownTrial) {
	for _, b := range l.Bases[:min(maxBases, len(l.Bases))] {
		if b.Node == nil {
			continue
		}
		for _, t := range b.Node.Detail.Trials {
			if slices.Contains(l.Images, t.Image) {
				out = append(out, ownTrial{t, b.Name})
			}
		}
	}
	return out
}

// own says whether the reader's own application was tried.
func (l letter) own() string {
	const checks = "your checks say whether it works"
	var said []string
	for _, t := range l.trials() {
		what := fmt.Sprintf("%s at commit %s", code(t.Image), code(t.Commit[:min(12, len(t.Commit))]))
		switch t.Outcome {
		case store.TrialPassed:
			said = append(said, fmt.Sprintf("Your application was built on %s here before that was promoted, %s: it builds, and %s.", code(t.Base), what, checks))
		case store.TrialBroken:
			said = append(said, fmt.Sprintf("Your application was tried on %s here, %s: it builds neither on it nor on the base of before, so that this is not the cause (%s).", code(t.Base), what, code(t.Reason)))
		case store.TrialFailed:
			said = append(said, fmt.Sprintf("**Your application does not build on %s**, and it did on the base of before: %s (%s). That is why this is a draft.", code(t.Base), what, code(t.Reason)))
		}
	}
	if len(said) == 0 {
		return "Your application was not built on it here: " + checks + "."
	}
	return strings.Join(said[:min(3, len(said))], " ")
}

// failed shows the last lines of trials that failed.
func (l letter) failed(b *strings.Builder) {
	for _, t := range l.trials() {
		lines := l.Failing[t.Build]
		if len(lines) == 0 {
			continue
		}
		fmt.Fprintf(b, "<details><summary>The end of its build, %s</summary>\n\n", htmlCode(t.Build))
		block(b, lines[max(0, len(lines)-maxLog):], maxWord)
		b.WriteString("</details>\n\n")
	}
}

// evidence is all that is known of how a base came to be.
func (b newBase) evidence() string {
	if b.Node == nil {
		return fmt.Sprintf("%s was not built by this rollout: its channel pointed to %s before.", code(b.Name), code(short(b.Digest)))
	}
	s := code(b.Name) + " was rebuilt and promoted"
	if b.Earlier != "" {
		s += " by rollout " + code(b.Earlier)
	}
	switch n := len(b.taken()); {
	case n == 1:
		s += "; the patched version was found inside"
	case n > 1:
		s += fmt.Sprintf("; the patched versions of %s were found inside", packages(n))
	}
	if b.Node.Detail.Proven {
		s += "; its layers prove that it stands on its parent"
	}
	s += "." + judged(b.Node.Detail.Verdict) + tested(b.Node.Detail.Tests) + triedOn(b.Node.Detail.Trials)
	if len(b.Attached) > 0 {
		s += " Beside it in its registry: " + some(b.Attached, 5) + "."
	}
	if m := b.Node.Detail.Missing; len(m) > 0 {
		s += " Not taken: " + some(codes(m), 3) + "."
	}
	return s
}

// judged says what the policies made of it.
func judged(v *store.Verdict) string {
	switch {
	case v == nil:
		return ""
	case len(v.Policies) == 0:
		return " No policy is for it."
	case v.Outcome == string(policy.Pass):
		return fmt.Sprintf(" It passes %s.", some(codes(v.Policies), 3))
	case v.Outcome == string(policy.Fail):
		return fmt.Sprintf(" It fails %s with %d of %d findings, of which %d are new.", some(codes(v.Policies), 3), v.Failing, v.Findings, v.BlockingCount)
	}
	return fmt.Sprintf(" Whether it passes %s is not known: %s.", some(codes(v.Policies), 3), some(codes(v.Unknown), 2))
}

func tested(t *store.Tests) string {
	if t == nil {
		return ""
	}
	return fmt.Sprintf(" %d of %d tests inside it passed.", t.Passed, t.Total)
}

// triedOn says how many applications were built on it before it was promoted.
func triedOn(all []store.Trial) string {
	built := 0
	var not []string
	for _, t := range all {
		switch t.Outcome {
		case store.TrialPassed:
			built++
		case store.TrialFailed:
			not = append(not, code(t.Image)+" does not build on it")
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

const (
	maxChain = 6  // images of one chain that are shown
	maxEdges = 10 // of the picture
)

// comesFrom draws how the bases lead from the farthest image to the reader's own.
func (l letter) comesFrom(b *strings.Builder) {
	g := new(picture)
	for _, base := range l.Bases {
		if names := base.Lineage; len(names) > 0 {
			if n := len(names); n > maxChain {
				names = append([]string{names[0], "…"}, names[n-maxChain+2:]...)
			}
			g.chain(names)
		}
	}
	if len(g.edges) == 0 {
		return
	}
	b.WriteString("**Where it comes from**\n\n")
	g.write(b)
}

// can says what the reader can do.
func (l letter) can(b *strings.Builder) {
	b.WriteString("**What you can do.** Merge it when your checks pass. Close it, and these digests are not proposed again; the next ones are. " +
		"Push a commit of your own to this branch, and it is yours: nothing here is overwritten.\n\n")
	if l.Controls {
		b.WriteString(notify.Box(notify.Rebase, "", " Rebase: make the commit again, on your branch as it is now") + "\n" +
			notify.Box(notify.Wait, "", " Wait: leave this as it is for a day") + "\n" +
			notify.Box(notify.Skip, "", " Skip this version: close this, and propose the next one") + "\n" +
			"\nWhoever may write to this repository may tick a box, or comment `/rebuilder rebase`, `/rebuilder wait 3d`, `/rebuilder skip`.\n\n")
	}
	if len(l.Paces) > 0 {
		b.WriteString(strings.Join(l.Paces[:min(5, len(l.Paces))], " ") + "\n\n")
	}
}

// foot says who wrote this, by what order, and whom to ask.
func (l letter) foot(b *strings.Builder) {
	fmt.Fprintf(b, "<sub>Opened by automation: rule %s, rollout %s", code(l.Rollout.Cause), code(l.Rollout.ID))
	if l.Catalog != "" {
		fmt.Fprintf(b, ", catalog %s", code(short(l.Catalog)))
	}
	b.WriteString(".")
	for _, base := range l.Bases[:min(3, len(l.Bases))] {
		if base.Owner != "" {
			fmt.Fprintf(b, " %s is kept by %s.", code(base.Name), code(base.Owner))
		}
	}
	fmt.Fprintf(b, " What was done and who did it: %s.</sub>\n", code("rebuilder rollouts "+l.Rollout.ID))
}
