package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
	"rebuilder/internal/graph"
)

func newGraph(c *cli) *cobra.Command {
	var up, down bool
	cmd := &cobra.Command{
		Use:   "graph [IMAGE]",
		Short: "What stands on what, and how each image is",
		Long: `Show which image stands on which. With IMAGE, show what it stands on and what stands on it; --up and --down show
one of the two. "rebuilder why IMAGE" says on what evidence.`,
		Args:              wants(0, 1, "an image"),
		ValidArgsFunction: c.completeImages,
	}
	o := output(cmd, "tree", "dot", "mermaid", "json")
	cmd.Flags().BoolVar(&up, "up", false, "only what IMAGE stands on")
	cmd.Flags().BoolVar(&down, "down", false, "only what stands on IMAGE")
	cmd.MarkFlagsMutuallyExclusive("up", "down")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && (up || down) {
			return usage(cmd, fmt.Errorf("--up and --down need an IMAGE"))
		}
		answer, err := c.client().Graph(cmd.Context())
		if err != nil {
			return err
		}
		if len(args) == 1 {
			if answer, err = around(answer, args[0], up, down); err != nil {
				return err
			}
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
		edges = append(edges, graph.Edge{Parent: e.Parent, Child: e.Child, Kind: graph.EdgeKind(e.Kind), Evidence: graph.Evidence(e.Evidence), Where: e.Where})
	}
	return graph.New(nodes, edges)
}

// around is the part of the answer that has to do with one image. The fleet it counts stays the whole.
func around(a api.Graph, image string, up, down bool) (api.Graph, error) {
	g, err := drawable(a)
	if err != nil {
		return a, err
	}
	if _, ok := g.Node(image); !ok {
		return a, hint(fmt.Errorf("the catalog has no image %q", image), "see all: rebuilder graph")
	}
	keep := []string{image}
	if !down {
		keep = append(keep, g.Ancestors(image)...)
	}
	if !up {
		keep = append(keep, g.Affected(image)...)
	}
	a.Images = slices.DeleteFunc(slices.Clone(a.Images), func(i api.Image) bool { return !slices.Contains(keep, i.Name) })
	a.Edges = slices.DeleteFunc(slices.Clone(a.Edges), func(e api.Edge) bool {
		return !slices.Contains(keep, e.Parent) || !slices.Contains(keep, e.Child)
	})
	return a, nil
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
	p.line("%d of %s shown, %d unknown  (%s)", len(a.Images), api.Count(a.Fleet.Images, "image"), a.Fleet.States[api.Unknown], p.asOf(a.AsOf))
}
