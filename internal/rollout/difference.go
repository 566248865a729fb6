package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

// different says what is another in each base. Of one base it is seen at once, of several behind a line each.
func (l letter) different(b *strings.Builder, most bounds) {
	var known []newBase
	for _, base := range l.Bases {
		if base.Change != nil {
			known = append(known, base)
		}
	}
	if len(known) == 1 {
		fmt.Fprintf(b, "**What is different** in %s since %s: %s.\n\n", code(known[0].Name), known[0].Change.since(), known[0].Change.sum())
		known[0].Change.write(b, most.rows)
		return
	}
	if len(known) > 0 {
		b.WriteString("**What is different**\n\n")
	}
	for _, base := range known[:min(most.bases, len(known))] {
		fmt.Fprintf(b, "<details><summary>in %s: %s</summary>\n\nSince %s.\n\n", htmlCode(base.Name), base.Change.sum(), base.Change.since())
		base.Change.write(b, most.rows)
		b.WriteString("</details>\n\n")
	}
	if n := len(known) - most.bases; n > 0 {
		fmt.Fprintf(b, "and %d more\n\n", n)
	}
}

func (d *difference) since() string {
	if d.Pinned {
		return "the digest that your Dockerfile names"
	}
	return "its last build"
}

// sum is the difference in numbers. It holds no foreign text.
func (d *difference) sum() string {
	s := packages(len(d.Packages))
	if len(d.Packages) == 0 {
		s = "no package"
	}
	if d.Judged == nil {
		return s
	}
	c := d.Judged.Findings
	fixed, fresh, left := len(vulnerabilities(c.Fixed)), len(vulnerabilities(c.New)), len(vulnerabilities(c.Remaining))
	if fixed+fresh+left == 0 && len(d.Judged.Unknown) > 0 {
		return s + "; known vulnerabilities could not be compared"
	}
	return s + fmt.Sprintf("; of known vulnerabilities %d fixed, %d new, %d remaining", fixed, fresh, left)
}

func packages(n int) string {
	if n == 1 {
		return "1 package"
	}
	return fmt.Sprintf("%d packages", n)
}

func (d *difference) write(b *strings.Builder, listed int) {
	var points []string
	if j := d.Judged; j != nil {
		points = append(points, top("Fixed", j.Findings.Fixed), top("**New**", j.Findings.New), unknown(j), fails(j))
	}
	points = append(points, settings(d.Settings))
	points = slices.DeleteFunc(points, func(s string) bool { return s == "" })
	for _, s := range points {
		fmt.Fprintf(b, "- %s\n", s)
	}
	if len(points) > 0 {
		b.WriteString("\n")
	}
	if n := len(d.Packages); n > 0 {
		fmt.Fprintf(b, "<details><summary>%s, from and to</summary>\n\n", packages(n))
		table(b, d.Packages, listed)
		b.WriteString("</details>\n\n")
	}
	if d.Judged != nil {
		remaining(b, vulnerabilities(d.Judged.Findings.Remaining))
	}
}

// vulnerabilities are those of findings, the worst first.
func vulnerabilities(all []policy.Finding) (out []policy.Finding) {
	for _, f := range all {
		if f.Kind == policy.Vulnerability {
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, worst)
	return out
}

// worst orders what matters most first: what is exploited, then by severity and likelihood.
func worst(a, b policy.Finding) int {
	exploited := func(f policy.Finding) int {
		if f.Exploited {
			return 0
		}
		return 1
	}
	all := policy.Severities()
	return cmp.Or(cmp.Compare(exploited(a), exploited(b)), cmp.Compare(slices.Index(all, severityOf(a)), slices.Index(all, severityOf(b))),
		cmp.Compare(likely(b), likely(a)), cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Package, b.Package))
}

func severityOf(f policy.Finding) policy.Severity { return policy.Severity(severity(f.Severity)) }

// severity is a word of ours, whatever was stored.
func severity(s policy.Severity) string {
	if !slices.Contains(policy.Severities(), s) {
		s = policy.SeverityUnknown
	}
	return string(s)
}

func likely(f policy.Finding) float64 {
	if f.EPSS == nil {
		return 0
	}
	return *f.EPSS
}

const worthSaying = 0.01 // of a probability of exploitation

// matters says why a vulnerability does.
func matters(f policy.Finding) string {
	s := severity(f.Severity)
	if s == string(policy.SeverityUnknown) {
		s = "severity not known"
	}
	if f.Exploited {
		s += ", known to be exploited"
	}
	if p := likely(f); p >= worthSaying && p <= 1 {
		s += fmt.Sprintf(", exploited within 30 days with a probability of %.0f %%", p*100)
	}
	return s
}

// top names the first findings of a list with why they matter; empty when there is none.
func top(what string, all []policy.Finding) string {
	all = vulnerabilities(all)
	if len(all) == 0 {
		return ""
	}
	var parts []string
	for _, f := range all[:min(maxTop, len(all))] {
		parts = append(parts, fmt.Sprintf("%s in %s (%s)", code(f.ID), code(f.Package), matters(f)))
	}
	s := what + ": " + strings.Join(parts, "; ")
	if n := len(all) - maxTop; n > 0 {
		s += fmt.Sprintf("; and %d more", n)
	}
	return s + "."
}

func unknown(j *policy.Replacement) string {
	if len(j.Unknown) == 0 {
		return ""
	}
	return "Not known: " + some(codes(j.Unknown), 2) + "."
}

// fails says how the number of findings that the policies forbid has changed; empty when there is and was none.
func fails(j *policy.Replacement) string {
	was, is := j.Was.Outcomes[policy.Fails], j.Is.Outcomes[policy.Fails]
	if was+is == 0 {
		return ""
	}
	return fmt.Sprintf("What the policies forbid: %d before, %d now.", was, is)
}

// settings says what is another for who starts the image. Sizes that read the same are, and layers nobody sees.
func settings(all []inventory.Setting) string {
	var parts []string
	for _, s := range all {
		before, after := s.Before, s.After
		switch s.Name {
		case "layers":
			continue
		case "size":
			if before, after = size(before), size(after); before == after {
				continue
			}
		}
		parts = append(parts, fmt.Sprintf("%s %s → %s", s.Name, orNone(before), orNone(after)))
	}
	if len(parts) == 0 {
		return ""
	}
	return "How it is started: " + some(parts, 10) + "."
}

func size(bytes string) string {
	n, err := strconv.ParseUint(bytes, 10, 64)
	if err != nil {
		return bytes
	}
	return humanize.IBytes(n)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return code(s)
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

// remaining shows the worst of what is still there, with the way out of each.
func remaining(b *strings.Builder, all []policy.Finding) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(b, "<details><summary>The worst of what remains: %d of %d</summary>\n\n", min(maxTop, len(all)), len(all))
	for _, f := range all[:min(maxTop, len(all))] {
		way := "no fix yet"
		if f.FixedIn != "" {
			way = "fixed in " + code(f.FixedIn)
		}
		fmt.Fprintf(b, "- %s in %s %s: %s; %s\n", code(f.ID), code(f.Package), code(f.Version), matters(f), way)
	}
	b.WriteString("\n</details>\n\n")
}
