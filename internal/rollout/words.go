package rollout

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rebuilder/internal/catalog"
	"rebuilder/internal/store"
)

// text is a pull request's title and body.
type text struct{ Title, Body string }

// words writes the pull request: why you get it, what changes, what differs, how sure we are, how to control it.
func (r *Runner) words(ctx context.Context, t Turn, app catalog.Application, lines []line, wants map[string]string) (text, error) {
	ro, err := store.GetRollout(ctx, r.store.Q(), t.Rollout)
	if err != nil {
		return text{}, err
	}
	nodes, err := store.Nodes(ctx, r.store.Q(), t.Rollout)
	if err != nil {
		return text{}, err
	}
	return text{Title: headline(lines, wants), Body: body(app, ro, lines, nodes)}, nil
}

// headline names image, tag and short digest of what is pinned: "Update base/debian:stable to 3f2a9c1b44d0".
func headline(lines []line, wants map[string]string) string {
	var parts []string
	for _, b := range slices.Sorted(maps.Keys(wants)) {
		i := slices.IndexFunc(lines, func(l line) bool { return l.Base == b })
		if i < 0 {
			continue
		}
		name, _, _ := strings.Cut(lines[i].To, "@")
		tag := name[strings.LastIndex(name, ":"):]
		parts = append(parts, fmt.Sprintf("%s%s to %s", b, tag, short(wants[b])))
	}
	return "Update " + strings.Join(parts, ", ")
}

// body is Markdown. Everything that comes from images, repositories or people is code or escaped.
func body(app catalog.Application, ro store.Rollout, lines []line, nodes []store.Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**Why you get this.** %s. Your Dockerfile is fine: the fix comes from the base image, which was rebuilt, checked and promoted.\n\n", escape(ro.Title))
	fmt.Fprintf(&b, "**If you do nothing,** `%s` stays on the old base. Nothing is blocked.\n\n", code(app.Name))
	b.WriteString("| Where | From | To |\n|---|---|---|\n")
	for _, l := range lines {
		fmt.Fprintf(&b, "| `%s:%d` | `%s` | `%s` |\n", code(l.File), l.Line, code(abbreviate(l.From)), code(abbreviate(l.To)))
	}
	for _, n := range nodes {
		if n.Kind != "base" || !slices.ContainsFunc(lines, func(l line) bool { return l.Base == n.Image }) {
			continue
		}
		difference(&b, n)
	}
	fmt.Fprintf(&b, "\n<sub>Opened by automation for `%s` (rule `%s`). Closing this means: not this version. A commit of yours on this branch means: hands off.</sub>\n", code(ro.ID), code(ro.Cause))
	return b.String()
}

const listed = 20 // packages shown by name; the rest is counted

func difference(b *strings.Builder, n store.Node) {
	fmt.Fprintf(b, "\n**What differs in `%s`:** %d packages.\n\n", code(n.Image), len(n.Detail.Changes))
	for i, c := range n.Detail.Changes {
		if i == listed {
			fmt.Fprintf(b, "- and %d more\n", len(n.Detail.Changes)-listed)
			break
		}
		fmt.Fprintf(b, "- `%s` %s\n", code(c.Package), versions(c))
	}
	if n.Detail.Proven {
		b.WriteString("\nThe patched versions were found inside the image, and its first layers are its parent's.\n")
	}
}

func versions(c store.Change) string {
	switch {
	case c.From == "":
		return "`" + code(c.To) + "` (new)"
	case c.To == "":
		return "`" + code(c.From) + "` (removed)"
	}
	return "`" + code(c.From) + "` → `" + code(c.To) + "`"
}

func abbreviate(ref string) string {
	name, digest, ok := strings.Cut(ref, "@")
	if !ok {
		return ref
	}
	return name + "@" + short(digest)
}

// code makes text safe inside a code span: one line, no back quotes, no table bars, bounded.
func code(s string) string {
	s = strings.NewReplacer("`", "'", "|", "/", "\n", " ", "\r", " ").Replace(s)
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return s
}

// escape makes text safe in Markdown prose: no mark-up, no mention, no issue reference.
func escape(s string) string {
	const special = "\\`*_{}[]()<>#+!|~@&"
	var b strings.Builder
	for _, c := range code(s) {
		if strings.ContainsRune(special, c) {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
		if c == '@' || c == '#' {
			b.WriteRune('\u200b') // no mention, no reference
		}
	}
	return b.String()
}
