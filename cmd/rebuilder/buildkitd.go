package main

import (
	"github.com/spf13/cobra"

	"rebuilder/internal/build/buildkit"
)

// newBuildkitd is what the daemon starts for a managed BuildKit: this binary again, in namespaces of its own.
func newBuildkitd() *cobra.Command {
	return &cobra.Command{
		Use:                buildkit.ChildVerb,
		Short:              "The managed BuildKit; the daemon starts it by itself",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE:               func(_ *cobra.Command, args []string) error { return buildkit.Child(args) },
	}
}
