package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"rebuilder/internal/catalog"
)

func newInit() *cobra.Command {
	return &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a commented catalog to start from (catalog.toml); never over another",
		Args:  wants(0, 1, "a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := fileOr(args)
			if err := writeNew(file, catalog.Commented()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is written: every key with its meaning and default. Next:\n  edit it, then: rebuilder catalog check %s\n", file, file)
			return nil
		},
	}
}

func fileOr(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	return "catalog.toml"
}

// writeNew writes a file that must not be there yet.
func writeNew(file string, content []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) // #nosec G302 G304 -- a catalog holds no secret
	if errors.Is(err, fs.ErrExist) {
		return hint(fmt.Errorf("%s is there already and was left alone", file), "name another file: rebuilder init FILE")
	}
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Close(), os.Remove(file))
	}
	return f.Close()
}
