package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
	"rebuilder/internal/catalog"
	"rebuilder/internal/notify/github"
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
the line itself and a way out. It needs neither daemon nor network, so it fits in CI. Exit code 1 when there is one.

With --forge it also asks the forge, with the token or the App that the catalog names, what is missing at the repository of
each application: whether it is there, whether the App is installed, which permissions it lacks. It writes nothing.`,
		Args: wants(0, 1, "a file"),
	}
	o := output(cmd, "table", "json")
	ask := cmd.Flags().Bool("forge", false, "also ask the forge what is missing there")
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
		if *ask {
			return checkForge(cmd, c)
		}
		return nil
	}
	return cmd
}

// checkForge prints what is missing at the forge. Exit code 1 when something cannot work without it.
func checkForge(cmd *cobra.Command, c *catalog.Catalog) error {
	a := &App{cfg: AppConfig{Env: os.Getenv, Log: slog.New(slog.DiscardHandler)}}
	cfg, err := a.forgeConfig(c, newTraffic())
	if err != nil || cfg == nil {
		return err
	}
	client, err := github.New(*cfg)
	if err != nil {
		return err
	}
	broken, seen := false, map[string]bool{}
	for _, app := range c.Applications {
		if seen[app.Repository] {
			continue
		}
		seen[app.Repository] = true
		lacks, err := client.Check(cmd.Context(), app.Repository)
		if err != nil {
			return err
		}
		for _, l := range lacks {
			broken = broken || !l.Option
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n  hint: %s\n", app.Repository, l.What, l.Hint)
		}
	}
	if broken {
		return &exit{code: exitError}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "nothing is missing at the forge; repositories asked for: %d\n", len(seen))
	return nil
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
