package api

import (
	"fmt"
	"time"

	"rebuilder/internal/build"
	"rebuilder/internal/graph"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// at is a time of the store; 0 is "not yet".
func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// utc leaves "not yet" alone.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

func patchOf(image string, p plan.Patch) Patch {
	by := p.Inherited
	if by == "" {
		by = image
	}
	return Patch{Package: p.Package, Architecture: p.Architecture, Source: p.Source, From: p.From, To: p.To, Repository: p.Repository,
		Held: p.Held, PublishedAt: at(p.PublishedAt), FixedBy: by}
}

func patchesOf(image string, in []plan.Patch) []Patch {
	out := make([]Patch, 0, len(in))
	for _, p := range in {
		out = append(out, patchOf(image, p))
	}
	return out
}

func notDoneOf(n plan.NotDone) NotDone {
	return NotDone{Image: n.Image, Reason: n.Reason, Since: utc(n.Since), Next: utc(n.Next), Who: n.Who, Unknown: n.Unknown}
}

func planOf(p *plan.Plan, automatic bool, now time.Time) Plan {
	out := Plan{ID: p.ID, Title: p.Title, Cause: string(p.Cause), Now: now, AsOf: utc(p.MadeAt), NotBefore: utc(p.NotBefore), Automatic: automatic,
		Steps: []Step{}, NotDone: []NotDone{}, Inputs: []Input{}, Images: p.Images, Unknown: p.Unknown}
	for _, s := range p.Steps {
		step := Step{Image: s.Image, Kind: s.Kind, Action: string(s.Action), Tier: s.Tier, Cause: string(s.Cause), Reasons: orEmpty(s.Reasons), Notes: s.Notes,
			Parents: orEmpty(s.Parents), Before: s.Before, Patches: patchesOf(s.Image, s.Patches)}
		if len(p.Waves) > 1 && s.Kind == string(graph.Application) {
			step.Wave = fmt.Sprintf("%d of %d (%s)", s.Wave+1, len(p.Waves), p.Waves[min(s.Wave, len(p.Waves)-1)].Name)
		}
		for _, q := range step.Patches {
			if q.PublishedAt.After(out.Published) {
				out.Published = q.PublishedAt
			}
		}
		out.Steps = append(out.Steps, step)
	}
	for _, n := range p.NotDone {
		out.NotDone = append(out.NotDone, notDoneOf(n))
	}
	for _, i := range p.Inputs {
		out.Inputs = append(out.Inputs, Input(i))
	}
	return out
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func nodeOf(n store.Node) Node {
	out := Node{Rollout: n.Rollout, Image: n.Image, Kind: n.Kind, Tier: n.Tier, State: string(n.State), Sentence: sentence(n), Then: then(n), Since: at(n.Since), Next: at(n.Next),
		Who: n.Who, Attempt: n.Attempt, Action: string(n.Detail.Step.Action), Reasons: n.Detail.Step.Reasons, Before: n.Before, After: n.After, Build: n.Detail.Build,
		URL: n.Detail.URL, Number: n.Detail.Number, Missing: n.Detail.Missing, Proven: n.Detail.Proven, Checks: checks(n.Detail.Evidence), Ended: n.State.Ended()}
	for _, c := range n.Detail.Changes {
		out.Changes = append(out.Changes, Change(c))
	}
	return out
}

// rolloutOf counts nodes; they are only put in when full is set.
func rolloutOf(r store.Rollout, nodes []store.Node, full bool) Rollout {
	out := Rollout{ID: r.ID, Plan: r.Plan, Cause: r.Cause, Title: r.Title, State: string(r.State), Reason: r.Reason, CreatedAt: at(r.CreatedAt), StartedAt: at(r.StartedAt),
		EndedAt: at(r.EndedAt), PublishedAt: at(r.PublishedAt), NoticedAt: at(r.NoticedAt), Images: len(nodes), States: map[string]int{},
		Critical: r.Pace.Critical, StopAt: r.Pace.StopAt, HeldSince: at(r.Pace.Since)}
	for _, n := range nodes {
		out.States[string(n.State)]++
		if n.State.Ended() {
			out.Ended++
		}
		if n.State.Good() && n.State != store.Skipped {
			out.Good++
		}
		if full {
			out.Nodes = append(out.Nodes, nodeOf(n))
		}
	}
	return out
}

func proposalOf(p store.Proposal) Proposal {
	return Proposal{Application: p.Application, Repository: p.Repository, Branch: p.Branch, Strategy: p.Strategy, State: string(p.State), Number: p.Number, URL: p.URL,
		Wants: p.Wants, Reason: p.Reason, CreatedAt: at(p.CreatedAt), OpenedAt: at(p.OpenedAt), MergedAt: at(p.MergedAt), BuiltAt: at(p.BuiltAt), EndedAt: at(p.EndedAt)}
}

// buildOf is a build's record without what only one who looks at it alone wants.
func buildOf(b store.Build) Build {
	d := b.Detail
	return Build{ID: b.ID, Rollout: b.Rollout, Image: b.Image, State: b.State, Started: at(b.Started), Ended: at(b.Ended), Digest: b.Digest, Problem: b.Error,
		Recipe: d.Recipe, Parents: d.Parents, Steps: d.Steps, Cached: d.Cached, Platform: d.Platform, Source: d.Source, Trial: d.Trial, Worker: d.Worker}
}

// wholeBuild is all of a build's record.
func wholeBuild(b store.Build) Build {
	out, d := buildOf(b), b.Detail
	out.LogTail, out.Lines, out.Args, out.Secrets, out.Doubt = d.LogTail, d.Lines, d.Args, d.Secrets, d.Doubt
	for _, s := range d.Took {
		out.Took = append(out.Took, BuildStep{Name: s.Name, Cached: s.Cached, Took: s.Took, Problem: s.Error})
	}
	for _, w := range d.Warnings {
		out.Warnings = append(out.Warnings, Remark{Text: w.Text, Lines: w.Lines, URL: w.URL})
	}
	out.Inputs, out.Fetched = materialsOf(d.Materials), materialsOf(d.Fetched)
	return out
}

func materialsOf(all []build.Material) (out []Material) {
	for _, m := range all {
		out = append(out, Material{URI: m.URI, Digest: m.Digest})
	}
	return out
}

func edgeOf(e graph.Edge) Edge {
	return Edge{Parent: e.Parent, Child: e.Child, Kind: string(e.Kind), Evidence: string(e.Evidence), Platform: e.Platform, Digest: e.Digest, Where: e.Where}
}

func watcherOf(w store.Watcher) Watcher {
	return Watcher{Name: w.Name, LastRun: at(w.LastRun), LastOK: at(w.LastOK), NextRun: at(w.NextRun), Problem: w.Error}
}
