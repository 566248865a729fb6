package demo

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Table writes the report as a plain, aligned table with a closing sentence.
func Table(w io.Writer, r Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "IMAGE\tKIND\tOLD\tNEW\tPACKAGE\tBEFORE\tAFTER\tPROVEN\tSECONDS")
	for _, i := range r.Images {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.1f\n", i.Name, i.Kind, short(i.OldDigest), short(i.NewDigest),
			dash(i.Package), dash(i.From), dash(i.To), yesNo(i.Proven), i.Seconds)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", r.sentence())
	return err
}

// sentence sums the report up.
func (r Report) sentence() string {
	proven := 0
	for _, i := range r.Images {
		if i.Proven {
			proven++
		}
	}
	noticed := "not noticed"
	if !r.NoticedAt.IsZero() {
		noticed = "noticed after " + seconds(r.NoticedAt.Sub(r.PublishedAt).Seconds())
	}
	return fmt.Sprintf("%d of %d images proven %s after publication; %s, %s, %s; set-up took %s.",
		proven, len(r.Images), seconds(r.LoopSeconds), noticed, count(r.PullRequests, "pull request"),
		count(r.Dispatches, "dispatch"), seconds(r.SetupSeconds))
}

func seconds(s float64) string {
	return (time.Duration(s*10) * time.Second / 10).String()
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

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "NO"
}
