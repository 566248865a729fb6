package judge

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"strconv"
	"strings"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/hygiene"
	"rebuilder/internal/inventory"
	"rebuilder/internal/observe"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

// subject fills in what the catalog and the inventory say of an image.
func (j *Judge) subject(c *catalog.Catalog, s policy.Subject, inv *inventory.Inventory) policy.Subject {
	s.Digest, s.Platform, s.Created = inv.Digest.String(), inv.Platform, inv.Config.Created
	return said(c, s.Image).of(s)
}

// saying is what the catalog says of an image; the zero saying is for one that it does not name.
type saying struct {
	kind   string
	labels map[string]string
	owner  string
}

// of is an image as the catalog has it.
func (y saying) of(s policy.Subject) policy.Subject {
	labels := maps.Clone(s.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	s.Kind = cmp.Or(y.kind, s.Kind)
	maps.Copy(labels, y.labels)
	if y.owner != "" {
		labels["owner"] = y.owner
	}
	s.Labels = labels
	return s
}

// sayings are what the catalog says of its images, by their names in the graph.
func sayings(c *catalog.Catalog) iter.Seq2[string, saying] {
	return func(yield func(string, saying) bool) {
		for _, u := range c.Upstreams {
			if !yield(u.Name, saying{kind: string(graph.Upstream)}) {
				return
			}
		}
		for _, b := range c.Bases {
			if !yield(b.Name, saying{string(graph.Base), b.Labels, b.Owner}) {
				return
			}
		}
		for _, a := range c.Applications {
			for _, i := range a.Images {
				if !yield(i.Name, saying{string(graph.Application), a.Labels, a.Owner}) {
					return
				}
			}
		}
	}
}

// said is what the catalog says of one image.
func said(c *catalog.Catalog, image string) saying {
	for name, y := range sayings(c) {
		if name == image {
			return y
		}
	}
	return saying{}
}

// around is what rules of hygiene look at besides what is inside the image.
func (j *Judge) around(ctx context.Context, c *catalog.Catalog, s policy.Subject, e policy.Effective, before *inventory.Inventory) (hygiene.Context, error) {
	out := hygiene.Context{
		Now: j.Now(), ForbidPackages: e.ForbidPackages.Value, RequirePackages: e.RequirePackages.Value, RequireLabels: e.RequireLabels.Value,
		AllowSetuid: e.AllowSetuid.Value, MaxSize: e.MaxSize.Value, MaxAge: e.MaxAge.Value,
	}
	if before != nil {
		out.PreviousSize = before.Size
	}
	if w := j.world(); w != nil {
		out.Base, out.References = baseOf(w, s), references(w, s)
	}
	rec, found, err := store.BuildOf(ctx, j.Store.Q(), s.Image, s.Digest)
	if err != nil || !found {
		return out, err
	}
	for _, w := range rec.Detail.Warnings {
		out.Lint = append(out.Lint, hygiene.Warning{Text: w.Text, Lines: w.Lines, URL: w.URL})
	}
	return out, nil
}

// baseOf says whether an application stands on what the organisation approves.
func baseOf(w *observe.World, s policy.Subject) hygiene.Base {
	if s.Kind != string(graph.Application) && s.Kind != string(graph.Observed) {
		return hygiene.Base{}
	}
	parent, ok := w.Graph.ParentOf(s.Image)
	if !ok {
		return hygiene.Base{State: hygiene.BaseUnknown}
	}
	n, _ := w.Graph.Node(parent)
	switch n.Kind {
	case graph.Base:
		return hygiene.Base{State: hygiene.BaseApproved, Name: parent}
	case graph.Upstream:
		return hygiene.Base{State: hygiene.BaseUnapproved, Name: parent, Want: approvedOn(w, parent)}
	}
	return hygiene.Base{State: hygiene.BaseUnknown, Name: parent}
}

// approvedOn is the first base that stands on an upstream; empty when none does.
func approvedOn(w *observe.World, upstream string) string {
	for _, e := range w.Graph.Children(upstream) {
		if n, ok := w.Graph.Node(e.Child); ok && n.Kind == graph.Base && e.Kind == graph.Inherits {
			return e.Child
		}
	}
	return ""
}

// references are the images that an image's Dockerfile names.
func references(w *observe.World, s policy.Subject) (out []hygiene.Reference) {
	if a, ok := w.Facts.Applications[s.Image]; ok {
		for _, r := range a.References {
			out = append(out, hygiene.Reference{Name: r.Reference, File: r.File, Line: r.Line})
		}
	}
	for _, p := range w.Facts.Bases[s.Image].Parents {
		file, line := place(p.Where)
		out = append(out, hygiene.Reference{Name: p.Reference, File: file, Line: line})
	}
	return out
}

// place takes "Dockerfile:3" apart.
func place(where string) (file string, line int) {
	i := strings.LastIndexByte(where, ':')
	if i < 0 {
		return where, 0
	}
	line, err := strconv.Atoi(where[i+1:])
	if err != nil {
		return where, 0
	}
	return where[:i], line
}

// policiesOf are the catalog's policies.
func policiesOf(c *catalog.Catalog) []policy.Policy {
	var out []policy.Policy
	for _, p := range c.Policies {
		rules := make(map[string]policy.Level, len(p.Rules))
		for id, l := range p.Rules {
			rules[id] = policy.Level(l)
		}
		out = append(out, policy.Policy{
			Name: p.Name, Images: p.Images, Match: p.Match, Vulnerabilities: policy.Level(p.Vulnerabilities), Secrets: policy.Level(p.Secrets), Rules: rules,
			Severity: policy.Severity(p.Severity), OnlyFixable: p.OnlyFixable, Grace: p.Grace, Exploited: p.Exploited, EPSS: p.EPSS,
			ForbidPackages: p.ForbidPackages, RequirePackages: p.RequirePackages, RequireLabels: p.RequireLabels, AllowSetuid: p.AllowSetuid,
			MaxSize: p.MaxSize, MaxAge: p.MaxAge,
		})
	}
	return out
}

// exceptions are the catalog's and those that were asked for.
func (j *Judge) exceptions(ctx context.Context, c *catalog.Catalog) ([]policy.Exception, error) {
	var out []policy.Exception
	for _, e := range c.Exceptions {
		out = append(out, policy.Exception{ID: e.ID, Finding: e.Finding, Images: e.Images, Package: e.Package, Reason: e.Reason, Owner: e.Owner, Approver: e.Approver, Expires: e.Expires})
	}
	asked, err := store.ListExceptions(ctx, j.Store.Q())
	if err != nil {
		return nil, err
	}
	for _, e := range asked {
		out = append(out, e.Policy())
	}
	return out, nil
}
