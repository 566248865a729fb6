package demo

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Table writes the report as a plain, aligned table with a closing sentence. Where the terminal's width is known (not 0) and
// too small, each image has a few lines of its own instead of a row.
func Table(w io.Writer, r Report, width int) error {
	var b strings.Builder
	if p := r.packages(); len(p) > 0 {
		fmt.Fprintf(&b, "\n%s, before and after:\n\n", strings.Join(p, ", "))
	}
	rows := table(r)
	if width > 0 && len(rows[:strings.IndexByte(rows, '\n')]) >= width {
		rows = paragraphs(r)
	}
	b.WriteString(rows + "\n")
	for _, s := range r.sentences() {
		b.WriteString(s + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func table(r Report) string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "IMAGE\tOLD\tNEW\tBEFORE\tAFTER\tPROVEN AFTER")
	for _, i := range r.Images {
		fmt.Fprintln(t, strings.Join([]string{i.Name, short(i.OldDigest), short(i.NewDigest), dash(i.From), dash(i.To), proven(i)}, "\t"))
	}
	_ = t.Flush() // into memory
	return b.String()
}

func paragraphs(r Report) string {
	var b strings.Builder
	for _, i := range r.Images {
		after := "proven after " + took(i.Seconds)
		if !i.Proven {
			after = "NOT proven"
		}
		fmt.Fprintf(&b, "%s: %s\n  %s -> %s\n  %s -> %s\n", i.Name, after, short(i.OldDigest), short(i.NewDigest), dash(i.From), dash(i.To))
	}
	return b.String()
}

// packages are those that the images were rebuilt for; one, as a rule.
func (r Report) packages() []string {
	var out []string
	for _, i := range r.Images {
		if i.Package != "" && !slices.Contains(out, i.Package) {
			out = append(out, i.Package)
		}
	}
	return out
}

// proven says how long after publication, in tenths aligned for up to 999 seconds.
func proven(i ReportImage) string {
	if !i.Proven {
		return "      NO"
	}
	return fmt.Sprintf("%8s", took(i.Seconds))
}

// sentences sum the report up.
func (r Report) sentences() []string {
	good := 0
	for _, i := range r.Images {
		if i.Proven {
			good++
		}
	}
	noticed := "not noticed"
	if !r.NoticedAt.IsZero() {
		noticed = "noticed after " + took(r.NoticedAt.Sub(r.PublishedAt).Seconds())
	}
	return []string{
		fmt.Sprintf("%d of %d images proven %s after publication; %s.", good, len(r.Images), took(r.LoopSeconds), noticed),
		fmt.Sprintf("%s, %s; set-up took %s.", count(r.PullRequests, "pull request"), count(r.Dispatches, "dispatch"), took(r.SetupSeconds)),
	}
}

func count(n int, what string) string {
	plural := "s"
	if strings.HasSuffix(what, "h") {
		plural = "es"
	}
	if n == 1 {
		plural = ""
	}
	return fmt.Sprintf("%d %s%s", n, what, plural)
}

// short is the part of a digest that people compare.
func short(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return dash(hex[:min(len(hex), 12)])
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
