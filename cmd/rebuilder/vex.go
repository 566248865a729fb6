package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newVEX(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vex",
		Short: "What is said of vulnerabilities in images (OpenVEX): export, import, list, remove",
		Long: `Statements say which vulnerabilities do not affect an image, or are fixed in it; findings that they speak of are not held
against it. They are read where the catalog says ([[advisories]] with kind = "openvex"), and from documents that are imported.`,
		SuggestionsMinimumDistance: 2,
		Args:                       func(cmd *cobra.Command, args []string) error { return unknownCommand(cmd, args) },
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newVEXExport(c), newVEXImport(c), newVEXList(c), newVEXRemove(c))
	return cmd
}

func newVEXExport(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "export [IMAGE...]",
		Short: "Write what is accepted, not affected and fixed in images as an OpenVEX document",
		Long: `Write an OpenVEX document on images, or on all bases: the vulnerabilities that an exception accepts (affected, with what is
done about it), those that statements say do not affect them, and those that the digest before had and that are fixed in this
one, because the package has the fix or is gone. It rests on the last verdicts. Images of which nothing is known are named on
standard error, and the exit status is 3 then.`,
		Example:           `  rebuilder vex export base/debian > debian.vex.json`,
		Args:              wants(0, 1000, ""),
		ValidArgsFunction: c.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := c.client().ExportVEX(cmd.Context(), args)
			if err != nil {
				return err
			}
			for _, n := range e.NotKnown {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s is left out: %s\n", cleanLine(n.Image), cleanLine(n.Reason))
			}
			if known := e.Images - len(e.NotKnown); len(e.Document) == 0 || string(e.Document) == "null" {
				fmt.Fprintf(cmd.ErrOrStderr(), "There is nothing to say: of %s, nothing is accepted, not affected or fixed.\n", api.Count(known, "image"))
			} else if err := printJSON(cmd, e.Document); err != nil {
				return err
			}
			if len(e.NotKnown) > 0 {
				return &exit{code: exitUnknown}
			}
			return nil
		},
	}
}

const longestVEX = 15 << 20 // bytes of a document

func newVEXImport(c *cli) *cobra.Command {
	var q api.VEXImport
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Import the statements of an OpenVEX document, or check what they would do",
		Long: `Import an OpenVEX document; - reads standard input. Its statements count at once, and it is written down who imported
them. A document is known by its @id: a higher version of it takes the place of the one before, and the same one again changes
nothing. With --check nothing is changed, and it is said what would be.

Statements that are kept in a file of yours, or published at a URL, are better named in the catalog: they are read again when
they change.`,
		Args: wants(1, 1, "a file", "like: rebuilder vex import vendor.vex.json --check"),
	}
	cmd.Flags().BoolVar(&q.Check, "check", false, "only say what it would do")
	c.by(cmd, &q.By)
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		doc, err := readDocument(cmd, args[0])
		if err != nil {
			return err
		}
		q.Document = doc
		i, err := c.client().ImportVEX(cmd.Context(), q)
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, i)
		}
		clean(&i)
		c.printer(cmd, i.Now).imported(i)
		return nil
	}
	return cmd
}

// readDocument reads a JSON document from a file, or from standard input.
func readDocument(cmd *cobra.Command, name string) ([]byte, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	doc, err := io.ReadAll(io.LimitReader(in, longestVEX+1))
	switch {
	case err != nil:
		return nil, err
	case len(doc) > longestVEX:
		return nil, hint(fmt.Errorf("%s has more than %d bytes", name, longestVEX), `name it in the catalog: [[advisories]] with kind = "openvex" and its path`)
	case !json.Valid(doc):
		return nil, hint(fmt.Errorf("%s is no JSON, so it is no OpenVEX document", name), "see: https://openvex.dev")
	}
	return doc, nil
}

func (p *printer) imported(i api.VEXImported) {
	what := fmt.Sprintf("%s, version %d, of %s: %s", i.ID, i.Version, i.Author, api.Count(i.Statements, "statement"))
	switch {
	case !i.Imported:
		p.line("Checked   %s. Nothing is changed.", what)
	case i.Again:
		p.line("There     %s. It was imported by %s, %s: nothing is changed.", what, i.By, p.when(i.At))
	default:
		p.line("Imported  %s. It counts now.", what)
	}
	if i.Unanswered != "" {
		p.line("Hits      unknown: %s", i.Unanswered)
	} else {
		p.line("Clears    %s in %s", api.Count(i.Clears, "finding"), api.Count(i.In, "image"))
	}
	rows := [][]string{{"VULNERABILITY", "STATUS", "ABOUT"}}
	for _, m := range i.Vulnerabilities {
		about := "nothing that is there"
		if m.Findings > 0 {
			about = api.Count(m.Findings, "finding") + " in " + api.Count(m.Images, "image")
		}
		rows = append(rows, []string{m.Vulnerability, strings.Join(m.Statuses, ", "), about})
	}
	p.some(rows, mostRows+1)
	if i.More > 0 {
		p.line("  … of %d more it is not looked up", i.More)
	}
	if len(i.Problems) > 0 {
		p.line("Left out")
		for _, s := range i.Problems {
			p.line("  ! %s", s)
		}
	}
}

func newVEXList(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "The OpenVEX documents that were imported", Args: wants(0, 0, "")}
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := c.client().VEXDocuments(cmd.Context())
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, d)
		}
		clean(&d)
		p := c.printer(cmd, d.Now)
		p.line("Imported  %s; those of the catalog: rebuilder advisories", api.Count(len(d.Documents), "document"))
		var rows [][]string
		for _, x := range d.Documents {
			rows = append(rows, []string{x.ID, fmt.Sprintf("version %d", x.Version), x.Author, api.Count(x.Statements, "statement"), "imported by " + x.By + ", " + p.when(x.At)})
		}
		p.table("  ", rows)
		return nil
	}
	return cmd
}

func newVEXRemove(c *cli) *cobra.Command {
	var q api.VEXRemoval
	cmd := &cobra.Command{Use: "remove ID", Short: "Remove an imported document: what it said does not count any more", Args: wants(1, 1, "a document's id", "list them: rebuilder vex list")}
	cmd.Flags().StringVar(&q.Reason, "reason", "", "why, for the audit log")
	c.by(cmd, &q.By)
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if strings.TrimSpace(q.Reason) == "" {
			return &exit{exitUsage, hint(fmt.Errorf("--reason is missing"), `say why, for the audit log: --reason "it is about another product"`)}
		}
		q.ID = args[0]
		d, err := c.client().RemoveVEX(cmd.Context(), q)
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, d)
		}
		clean(&d)
		c.printer(cmd, time.Time{}).line("Removed  %s, version %d, of %s: %s. Images are judged again now.", d.ID, d.Version, d.Author, api.Count(d.Statements, "statement"))
		return nil
	}
	return cmd
}
