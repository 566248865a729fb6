package plan

import (
	"path"
	"slices"

	"rebuilder/internal/catalog"
	"rebuilder/internal/pace"
)

// waves says in which wave each application of the plan is told.
func (m *maker) waves() {
	if len(m.c.Pace.Waves) < 2 {
		return
	}
	planned := map[string]bool{}
	for _, s := range m.plan.Steps {
		if a, ok := m.f.Applications[s.Image]; ok {
			planned[a.Application] = true
		}
	}
	if len(planned) == 0 {
		return
	}
	var members []pace.Member
	for _, a := range m.c.Applications {
		if planned[a.Name] {
			members = append(members, pace.Member{Name: a.Name, Owner: a.Owner, Canary: canary(m.c.Pace, a), Tried: tried(m.c, a)})
		}
	}
	m.plan.Waves = m.c.Pace.Waves
	in := pace.Assign(m.plan.Waves, members)
	for i := range m.plan.Steps {
		if a, ok := m.f.Applications[m.plan.Steps[i].Image]; ok {
			m.plan.Steps[i].Wave = in[a.Application]
		}
	}
}

// canary says that the catalog names an application as one.
func canary(p catalog.Pace, a catalog.Application) bool {
	if len(p.CanaryLabels) > 0 && !slices.ContainsFunc(keys(p.CanaryLabels), func(k string) bool { return label(a, k) != p.CanaryLabels[k] }) {
		return true
	}
	return slices.ContainsFunc(p.Canaries, func(pattern string) bool {
		return slices.ContainsFunc(names(a), func(name string) bool {
			ok, err := path.Match(pattern, name)
			return ok && err == nil
		})
	})
}

func keys(m map[string]string) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}

// label is a label of an application; its owner is one.
func label(a catalog.Application, key string) string {
	if key == "owner" {
		return a.Owner
	}
	return a.Labels[key]
}

// names are those of an application and of its images.
func names(a catalog.Application) []string {
	out := []string{a.Name}
	for _, i := range a.Images {
		out = append(out, i.Name)
	}
	return out
}

// tried says that a base has an application built on its candidates.
func tried(c *catalog.Catalog, a catalog.Application) bool {
	return slices.ContainsFunc(c.Bases, func(b catalog.Base) bool {
		return slices.ContainsFunc(b.Trial, func(image string) bool { return slices.Contains(names(a), image) })
	})
}
