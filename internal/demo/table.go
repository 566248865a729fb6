package demo

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Table writes the report as a plain, aligned table with a closing sentence.
func Table(w io.Writer, r Report) error {
	rows := [][]string{{"IMAGE", "OLD", "NEW", "BEFORE", "AFTER", "PROVEN AFTER"}}
	for _, i := range r.Images {
		rows = append(rows, []string{i.Name, short(i.OldDigest), short(i.NewDigest), dash(i.From), dash(i.To), proven(i)})
	}
	if p := r.packages(); len(p) > 0 {
		if _, err := fmt.Fprintf(w, "\n%s, before and after:\n\n", strings.Join(p, ", ")); err != nil {
			return err
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", r.sentence())
	return err
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

// sentence sums the report up.
func (r Report) sentence() string {
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
	return fmt.Sprintf("%d of %d images proven %s after publication; %s, %s, %s; set-up took %s.",
		good, len(r.Images), took(r.LoopSeconds), noticed, count(r.PullRequests, "pull request"),
		count(r.Dispatches, "dispatch"), took(r.SetupSeconds))
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
