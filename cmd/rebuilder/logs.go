package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newLogs(c *cli) *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs IMAGE|BUILD|TESTS",
		Short: "The log of a build, of an image's newest build, or of tests inside an image",
		Long: `Print the log of a build as BuildKit wrote it. With the name of an image, its newest build is meant. The ids of
builds are on "rebuilder rollouts ID" and "rebuilder why IMAGE". The tests inside an image that was built as b-1-base-java-1
are t-1-base-java-1.`,
		Args:              wants(1, 1, "an image or a build", "see all images: rebuilder graph"),
		ValidArgsFunction: c.completeImages,
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the build has ended")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		log, err := findLog(cmd.Context(), c.client(), args[0], follow)
		if err != nil {
			return err
		}
		defer log.Close()
		return copyClean(cmd.OutOrStdout(), log)
	}
	return cmd
}

// findLog takes its argument for what it looks like, and for the other when there is no such thing. The error is that
// of the first.
func findLog(ctx context.Context, client *api.Client, what string, follow bool) (io.ReadCloser, error) {
	first, second := client.ImageLog, client.BuildLog
	if strings.HasPrefix(what, "b-") || strings.HasPrefix(what, "t-") {
		first, second = second, first
	}
	log, err := first(ctx, what, follow)
	if !missing(err) {
		return log, err
	}
	if log, again := second(ctx, what, follow); again == nil {
		return log, nil
	}
	return nil, err
}

func missing(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code == api.CodeNotFound
}
