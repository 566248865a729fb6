package export

import (
	"bytes"
	"encoding/csv"
	"strconv"
	"strings"
	"time"

	"rebuilder/internal/policy"
)

// column is one column of the table: its name and what is in it.
type column struct {
	name string
	cell func(r Report, f policy.Judged) string
}

// columns keep their names and their order; new ones come last.
var columns = []column{
	{"image", func(r Report, _ policy.Judged) string { return r.Subject.Image }},
	{"digest", func(r Report, _ policy.Judged) string { return r.Subject.Digest }},
	{"platform", func(r Report, _ policy.Judged) string { return r.Subject.Platform }},
	{"judged_at", func(r Report, _ policy.Judged) string { return stamp(r.At) }},
	{"kind", func(_ Report, f policy.Judged) string { return string(f.Kind) }},
	{"id", func(_ Report, f policy.Judged) string { return f.ID }},
	{"aliases", func(_ Report, f policy.Judged) string { return strings.Join(f.Aliases, " ") }},
	{"severity", func(_ Report, f policy.Judged) string { return string(f.Severity) }},
	{"score", func(_ Report, f policy.Judged) string { return number(f.Score) }},
	{"exploited", func(_ Report, f policy.Judged) string { return strconv.FormatBool(f.Exploited) }},
	{"epss", func(_ Report, f policy.Judged) string { return probability(f.EPSS) }},
	{"type", func(_ Report, f policy.Judged) string { return f.Type }},
	{"package", func(_ Report, f policy.Judged) string { return f.Package }},
	{"version", func(_ Report, f policy.Judged) string { return f.Version }},
	{"fixed_in", func(_ Report, f policy.Judged) string { return f.FixedIn }},
	{"source", func(_ Report, f policy.Judged) string { return f.Source }},
	{"purl", func(_ Report, f policy.Judged) string { return f.PURL }},
	{"path", func(_ Report, f policy.Judged) string { return f.Path }},
	{"line", func(_ Report, f policy.Judged) string { return count(f.Line) }},
	{"layer", func(_ Report, f policy.Judged) string { return layer(f.Layer) }},
	{"inherited", func(_ Report, f policy.Judged) string { return f.Inherited }},
	{"outcome", func(_ Report, f policy.Judged) string { return string(f.Outcome) }},
	{"policy", func(_ Report, f policy.Judged) string { return f.Policy }},
	{"reason", func(_ Report, f policy.Judged) string { return f.Reason }},
	{"until", func(_ Report, f policy.Judged) string { return stamp(f.Until) }},
	{"exception", func(_ Report, f policy.Judged) string { return exception(f) }},
	{"found_by", func(_ Report, f policy.Judged) string { return strings.Join(f.FoundBy, " ") }},
	{"title", func(_ Report, f policy.Judged) string { return f.Title }},
	{"do", func(_ Report, f policy.Judged) string { return f.Do }},
}

// CSVColumns are the names in the first line.
func CSVColumns() []string {
	names := make([]string, 0, len(columns))
	for _, c := range columns {
		names = append(names, c.name)
	}
	return names
}

// writeCSV writes a table as of RFC 4180, a line a finding.
func writeCSV(r Report) ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.UseCRLF = true
	if err := w.Write(CSVColumns()); err != nil {
		return nil, err
	}
	for _, f := range r.Verdict.Findings {
		row := make([]string, 0, len(columns))
		for _, c := range columns {
			row = append(row, harmless(c.cell(r, f)))
		}
		if err := w.Write(row); err != nil {
			return nil, err
		}
	}
	w.Flush()
	return out.Bytes(), w.Error()
}

// harmless keeps a spreadsheet from taking text for a formula: an apostrophe goes before it.
func harmless(s string) string {
	s = strings.ReplaceAll(s, "\x00", "")
	if first := strings.TrimLeft(s, " \u00a0"); first != "" && strings.ContainsRune("=+-@\t\r\n|%＝＋－＠", []rune(first)[0]) {
		return "'" + s
	}
	return s
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func number(f float64) string {
	if f == 0 {
		return ""
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func probability(p *float64) string {
	if p == nil {
		return ""
	}
	return strconv.FormatFloat(*p, 'f', -1, 64)
}

func count(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func layer(n int) string {
	if n < 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func exception(f policy.Judged) string {
	if f.Exception == nil {
		return ""
	}
	return f.Exception.ID
}
