package hygiene

import (
	"slices"

	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
)

func forbiddenPackages(inv *inventory.Inventory, c Context) []policy.Finding {
	if len(c.ForbidPackages) == 0 {
		return nil
	}
	var found []policy.Finding
	for _, p := range inv.Packages {
		if like(c.ForbidPackages, p.Name) {
			found = append(found, policy.Finding{
				Title: p.Name + " " + p.Version + " is installed", Type: p.Type, Package: p.Name, Version: p.Version, Source: p.Source,
				Path: p.Path, Layer: p.Layer,
			})
		}
	}
	return found
}

func missingPackages(inv *inventory.Inventory, c Context) []policy.Finding {
	var found []policy.Finding
	for _, want := range c.RequirePackages {
		has := func(p inventory.Package) bool { return like([]string{want}, p.Name) }
		if !slices.ContainsFunc(inv.Packages, has) {
			f := whole(want + " is not installed")
			f.Package = want
			found = append(found, f)
		}
	}
	return found
}

func missingLabels(inv *inventory.Inventory, c Context) []policy.Finding {
	var found []policy.Finding
	for _, want := range c.RequireLabels {
		if inv.Config.Labels[want] == "" {
			found = append(found, whole("the label "+want+" is missing or empty"))
		}
	}
	return found
}
