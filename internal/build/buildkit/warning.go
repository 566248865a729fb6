package buildkit

import (
	"slices"

	"github.com/moby/buildkit/client"

	"rebuilder/internal/build"
)

const (
	maxWarnings     = 100
	maxWarningBytes = 1 << 10
)

// warn notes a remark of the engine's on the Dockerfile, once, with the lines as their author wrote them, and takes our
// own words out of w, too.
func (p *progress) warn(w *client.VertexWarning) {
	clean := func(b []byte) []byte {
		return []byte(p.redactor.string(unmark(string(b[:min(len(b), maxWarningBytes)]))))
	}
	w.Short = clean(w.Short)
	for i := range w.Detail {
		w.Detail[i] = clean(w.Detail[i])
	}
	noted := build.Warning{Text: string(w.Short), URL: w.URL}
	if w.SourceInfo != nil {
		w.SourceInfo.Data = []byte(p.redactor.string(unmark(string(w.SourceInfo.Data))))
		for _, r := range w.Range {
			noted.Lines = appendLines(noted.Lines, w.SourceInfo.Filename, string(w.SourceInfo.Data), int(r.Start.GetLine()), int(r.End.GetLine()))
		}
	}
	same := func(o build.Warning) bool { return o.Text == noted.Text && slices.Equal(o.Lines, noted.Lines) }
	if len(p.warnings) < maxWarnings && !slices.ContainsFunc(p.warnings, same) {
		p.warnings = append(p.warnings, noted)
	}
}
