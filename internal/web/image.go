package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/dustin/go-humanize"

	"rebuilder/internal/api"
	"rebuilder/internal/policy"
)

// maxFindings bounds how many findings a page shows; the rest is counted.
const maxFindings = 200

// sheet is the page's view of an image's fact sheet.
type sheet struct {
	api.Sheet
	Style   string
	Shown   []policy.Judged
	More    int
	Counts  []counted
	Failing int
}

// counted is how many findings had one outcome.
type counted struct {
	Outcome policy.Outcome
	Count   int
}

func newSheet(s api.Sheet, style string) sheet {
	v := sheet{Sheet: s, Style: style, Shown: s.Verdict.Findings, Failing: s.Verdict.Outcomes[policy.Fails]}
	if n := len(v.Shown) - maxFindings; n > 0 {
		v.Shown, v.More = v.Shown[:maxFindings], n
	}
	for _, o := range policy.Outcomes() {
		v.Counts = append(v.Counts, counted{o, s.Verdict.Outcomes[o]})
	}
	return v
}

// image is the fact sheet of an image by its name in the graph, or of a digest that was read.
func (p *pages) image(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	s, err := p.sheet(ctx, r.PathValue("name"))
	var e *api.Error
	switch {
	case errors.As(err, &e) && e.Status < http.StatusInternalServerError:
		p.write(w, e.Status, "error.html", failure{p.style, e.Message, e.Hint})
	case errors.As(err, &e):
		p.write(w, e.Status, "error.html", failure{p.style, "The image cannot be shown now", e.Message})
	case err != nil:
		p.log.Error("image page", "image", r.PathValue("name"), "error", err)
		p.write(w, http.StatusInternalServerError, "error.html", failure{p.style, "The image could not be read", "The daemon's log says why. /readyz says whether it can do its work."})
	default:
		p.write(w, http.StatusOK, "image.html", newSheet(s, p.style))
	}
}

// of names what a finding is about.
func of(f policy.Finding) string {
	switch {
	case f.Package != "":
		return fmt.Sprintf("%s %s", f.Package, f.Version)
	case f.Line > 0:
		return fmt.Sprintf("%s:%d", f.Path, f.Line)
	}
	return f.Path
}

// setting is one side of a setting that is another.
func setting(name, value string) string {
	if n, err := strconv.ParseInt(value, 10, 64); name == "size" && err == nil {
		return size(n)
	}
	return cmp.Or(value, "none")
}

func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
