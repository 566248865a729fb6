package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"rebuilder/internal/api"
	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
)

func newGraph(c *cli) *cobra.Command {
	var up, down bool
	var depth int
	cmd := &cobra.Command{
		Use:   "graph [IMAGE]",
		Short: "What stands on what, and how each image is",
		Long: `Show which image stands on which. With IMAGE, show what it stands on and what stands on it, and on what evidence; --up
and --down show one of the two, --depth only so many steps away. The evidence is, from the strongest to the weakest:
layers (proof), provenance, annotation (claims of the image), recipe (what the next build will stand on). Where they
differ it is said below.`,
		Example: `  rebuilder graph base/debian --down --depth 1
  rebuilder graph -o dot | dot -Tsvg > images.svg`,
		Args:              wants(0, 1, "an image"),
		ValidArgsFunction: c.completeImages,
	}
	o := output(cmd, "tree", "dot", "mermaid", "json")
	cmd.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "format" { // as other tools have it
			name = "output"
		}
		return pflag.NormalizedName(name)
	})
	cmd.Flags().BoolVar(&up, "up", false, "only what IMAGE stands on")
	cmd.Flags().BoolVar(&down, "down", false, "only what stands on IMAGE")
	cmd.Flags().IntVar(&depth, "depth", 0, "only so many steps away from IMAGE, or from the top; 0: all")
	cmd.MarkFlagsMutuallyExclusive("up", "down")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0 && (up || down):
			return usage(cmd, fmt.Errorf("--up and --down need an IMAGE"))
		case depth < 0:
			return usage(cmd, fmt.Errorf("--depth %d: want 1 or more, or 0 for all", depth))
		}
		answer, err := c.client().Graph(cmd.Context())
		if err != nil {
			return err
		}
		answer, err = part{image: strings.Join(args, ""), up: !down, down: !up, depth: depth}.of(answer)
		if err != nil {
			return err
		}
		return c.printGraph(cmd, answer, args, o.value)
	}
	return cmd
}

func (c *cli) printGraph(cmd *cobra.Command, answer api.Graph, args []string, format string) error {
	if format == "json" {
		return printJSON(cmd, answer)
	}
	clean(&answer)
	g, err := drawable(answer)
	if err != nil {
		return err
	}
	p := c.printer(cmd, answer.Now)
	switch format {
	case "dot":
		fmt.Fprint(p.w, g.DOT())
	case "mermaid":
		fmt.Fprint(p.w, g.Mermaid())
	default:
		p.tree(g, answer, args)
	}
	return nil
}

// drawable is the daemon's answer as a graph.
func drawable(a api.Graph) (*graph.Graph, error) {
	var nodes []graph.Node
	for _, i := range a.Images {
		nodes = append(nodes, graph.Node{Name: i.Name, Kind: graph.Kind(i.Kind)})
	}
	var edges []graph.Edge
	for _, e := range a.Edges {
		edges = append(edges, graph.Edge{Parent: e.Parent, Child: e.Child, Kind: graph.EdgeKind(e.Kind), Evidence: graph.Evidence(e.Evidence), Platform: e.Platform, Digest: e.Digest, Where: e.Where})
	}
	return graph.New(nodes, edges)
}

// part is a part of a graph: around an image, or all of it.
type part struct {
	image    string // empty: everything, from the top
	up, down bool
	depth    int // steps away; 0: all
}

// of cuts the part out of an answer. The fleet that it counts stays the whole.
func (c part) of(a api.Graph) (api.Graph, error) {
	if c.image == "" && c.depth == 0 {
		return a, nil
	}
	g, err := drawable(a)
	if err != nil {
		return a, err
	}
	keep, err := c.names(g)
	if err != nil {
		return a, err
	}
	a.Images = slices.DeleteFunc(slices.Clone(a.Images), func(i api.Image) bool { return !keep[i.Name] })
	a.Edges = slices.DeleteFunc(slices.Clone(a.Edges), func(e api.Edge) bool { return !keep[e.Parent] || !keep[e.Child] })
	a.Disagreements = slices.DeleteFunc(slices.Clone(a.Disagreements), func(d api.Disagreement) bool { return !keep[d.Image] })
	a.Unlisted = slices.DeleteFunc(slices.Clone(a.Unlisted), func(u api.Unlisted) bool { return !keep[u.Image] })
	return a, nil
}

func (c part) names(g *graph.Graph) (map[string]bool, error) {
	parents := func(name string) (out []string) {
		for _, e := range g.Parents(name) {
			out = append(out, e.Parent)
		}
		return out
	}
	children := func(name string) (out []string) {
		for _, e := range g.Children(name) {
			out = append(out, e.Child)
		}
		return out
	}
	if c.image == "" {
		tiers := append(g.Tiers(), nil) // a graph may be empty
		return within(tiers[0], children, c.depth), nil
	}
	if _, ok := g.Node(c.image); !ok {
		return nil, unknownImage(c.image, g)
	}
	keep := map[string]bool{c.image: true}
	if c.up {
		maps.Copy(keep, within([]string{c.image}, parents, c.depth))
	}
	if c.down {
		maps.Copy(keep, within([]string{c.image}, children, c.depth))
	}
	return keep, nil
}

func unknownImage(name string, g *graph.Graph) error {
	err := fmt.Errorf("there is no image %q", name)
	var names []string
	for _, n := range g.Nodes() {
		names = append(names, n.Name)
	}
	if near := catalog.Nearest(name, names); near != "" {
		return hint(err, "did you mean %s? See all: rebuilder graph", near)
	}
	return hint(err, "see all: rebuilder graph")
}

// within are the names that are at most so many steps away; 0: however many.
func within(from []string, next func(string) []string, steps int) map[string]bool {
	seen := map[string]bool{}
	for _, name := range from {
		seen[name] = true
	}
	for n := 0; len(from) > 0 && (steps == 0 || n < steps); n++ {
		var more []string
		for _, name := range from {
			for _, to := range next(name) {
				if !seen[to] {
					seen[to] = true
					more = append(more, to)
				}
			}
		}
		from = more
	}
	return seen
}

func (p *printer) tree(g *graph.Graph, a api.Graph, args []string) {
	images := map[string]api.Image{}
	for _, i := range a.Images {
		images[i.Name] = i
	}
	text := g.Tree("", func(name string) string {
		i := images[name]
		label := name + "\t" + p.state(string(i.State)) + "\t"
		if i.State != api.Current {
			label += i.Sentence
		}
		if len(args) == 1 && args[0] == name {
			label += "  <- this one"
		}
		return label
	})
	var rows [][]string
	for line := range strings.Lines(text) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	p.table("", rows)
	p.believed(g, args)
	p.disagreements(a.Disagreements)
	p.unlisted(a.Unlisted)
	f := a.Fleet
	p.line("%d of %s shown, %d unknown%s%s  (%s)", len(a.Images), api.Count(f.Images+f.Observed, "image"), f.States[api.Unknown], observed(f), evidence(g), p.asOf(a.AsOf))
}

// believed says on what evidence an image stands on its parents, and others on it.
func (p *printer) believed(g *graph.Graph, args []string) {
	if len(args) == 0 || g.Len() < 2 {
		return
	}
	p.line("Evidence")
	p.some(evidenceRows(slices.Concat(g.Parents(args[0]), g.Children(args[0]))), mostRows)
}

// evidenceRows is a row for each child, parent, kind and platform, with all evidence for it, the strongest first.
func evidenceRows(edges []graph.Edge) (rows [][]string) {
	slices.SortStableFunc(edges, func(a, b graph.Edge) int { return strength(b.Evidence) - strength(a.Evidence) })
	place := map[graph.Edge]int{}
	for _, e := range edges {
		same := graph.Edge{Parent: e.Parent, Child: e.Child, Kind: e.Kind, Platform: e.Platform}
		i, known := place[same]
		if !known {
			place[same] = len(rows)
			rows = append(rows, []string{e.Child, string(e.Kind), at(e.Parent, e.Digest), string(e.Evidence), strings.TrimSpace(e.Platform + " " + e.Where)})
			continue
		}
		if !strings.Contains(rows[i][3], string(e.Evidence)) {
			rows[i][3] += ", " + string(e.Evidence)
		}
		if e.Where != "" && !strings.Contains(rows[i][4], e.Where) {
			rows[i][4] = strings.TrimSpace(rows[i][4] + " " + e.Where)
		}
	}
	slices.SortStableFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return rows
}

// strength orders evidence from what only a recipe says to what the layers prove.
func strength(e graph.Evidence) int {
	return slices.Index([]graph.Evidence{graph.FromRecipe, graph.FromAnnotation, graph.FromProvenance, graph.FromLayers}, e)
}

// at is an image with its digest, if that is known.
func at(name, digest string) string {
	if digest == "" {
		return name
	}
	return name + "@" + api.Short(digest)
}

// disagreements are where what is known of images does not fit together.
func (p *printer) disagreements(all []api.Disagreement) {
	var rows [][]string
	for _, d := range all {
		rows = append(rows, []string{"! " + d.Image, api.On(d.Platform, d.Sentence)})
	}
	p.titled("Does not fit together", rows)
}

// unlisted are parents that the graph cannot show.
func (p *printer) unlisted(all []api.Unlisted) {
	var rows [][]string
	for _, u := range all {
		rows = append(rows, []string{"? " + u.Image, u.Sentence})
	}
	p.titled("Not in the catalog", rows)
}

// titled are rows below a title, as many as stand beside a tree; nothing when there is none.
func (p *printer) titled(title string, rows [][]string) {
	const most = 20
	if len(rows) > 0 {
		p.line("%s", title)
		p.some(rows, most)
	}
}

// evidence counts on what the edges are believed.
func evidence(g *graph.Graph) string {
	count := map[graph.Evidence]int{}
	edges := 0
	for _, n := range g.Nodes() {
		for _, e := range g.Believed(n.Name) {
			count[e.Evidence]++
			edges++
		}
	}
	var out []string
	for _, e := range []graph.Evidence{graph.FromLayers, graph.FromProvenance, graph.FromAnnotation, graph.FromRecipe} {
		if count[e] > 0 {
			out = append(out, fmt.Sprintf("%d by %s", count[e], e))
		}
	}
	if edges == 0 {
		return ""
	}
	return "; " + api.Count(edges, "edge") + ": " + strings.Join(out, ", ")
}
