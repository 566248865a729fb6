package main

import (
	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newSBOM(c *cli) *cobra.Command {
	var w what
	cmd := &cobra.Command{
		Use:   "sbom IMAGE|DIGEST|REFERENCE",
		Short: "What is in an image, as a bill of materials",
		Long: `Write the packages of an image as a bill of materials, in CycloneDX or SPDX. Other scanners find in it what they find in the
image. The same image gives the same bytes.`,
		Example: `  rebuilder sbom base/debian > base-debian.cdx.json
  rebuilder sbom registry.example.com/elsewhere/tool:1 -o spdx`,
		Args:              wants(1, 1, "an image", "see all images: rebuilder images"),
		ValidArgsFunction: c.completeImages,
	}
	o := output(cmd, "cyclonedx", "spdx")
	w.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		w.name = args[0]
		format := api.SBOMCycloneDX
		if o.value == "spdx" {
			format = api.SBOMSPDX
		}
		return c.export(cmd, w, format)
	}
	return cmd
}
