package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
	"rebuilder/internal/catalog"
)

func newCatalog() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "catalog",
		Short: "Work with the catalog file; needs no daemon",
		Args:  unknownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(newCatalogCheck())
	return cmd
}

// checked is the answer of catalog check as data.
type checked struct {
	File     string            `json:"file"`
	OK       bool              `json:"ok"`
	Mistakes []catalog.Mistake `json:"mistakes"`
}

func newCatalogCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say everything that is wrong with a catalog, and what to do about it",
		Long: `Read a catalog (catalog.toml when no FILE is named) as the daemon would and print every mistake with file and line,
the line itself and a way out. It needs neither daemon nor network, so it fits in CI. Exit code 1 when there is one.`,
		Args: wants(0, 1, "a file"),
	}
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		file := fileOr(args)
		c, err := catalog.Load(file)
		var mistakes catalog.Errors
		if o.value == "json" && (err == nil || errors.As(err, &mistakes)) {
			return checkJSON(cmd, file, mistakes)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s is right: %s\n", file, summary(c))
		return nil
	}
	return cmd
}

func checkJSON(cmd *cobra.Command, file string, mistakes catalog.Errors) error {
	out := checked{File: file, OK: len(mistakes) == 0, Mistakes: mistakes}
	if out.OK {
		out.Mistakes = []catalog.Mistake{}
	}
	if err := printJSON(cmd, out); err != nil || out.OK {
		return err
	}
	return &exit{code: exitError}
}

func summary(c *catalog.Catalog) string {
	images := 0
	for _, a := range c.Applications {
		images += len(a.Images)
	}
	return fmt.Sprintf("%s, %s, %s with %s", api.Count(len(c.Upstreams), "upstream"), api.Count(len(c.Bases), "base"), api.Count(len(c.Applications), "application"), api.Count(images, "image"))
}
