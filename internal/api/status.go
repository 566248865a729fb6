package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"rebuilder/internal/pace"
	"rebuilder/internal/rollout"
	"rebuilder/internal/store"
)

const (
	recentRollouts = 10
	firstObserved  = 20
	pingPatience   = 2 * time.Second
)

// Status tells how things are and what needs a person.
func (r *Reader) Status(ctx context.Context) (Status, error) {
	v, err := r.view(ctx)
	if err != nil {
		return Status{}, err
	}
	images := v.images()
	s := Status{Version: r.Version, Now: v.now, AsOf: v.asOf(), NextLook: utc(v.snap.Next), Problem: v.snap.Problem, Fleet: fleet(images),
		Running: []Rollout{}, Needs: []Need{}, Recent: []Rollout{}, Untaken: v.allUntaken(), Observed: observed(images), Watchers: []Watcher{}}
	s.Unknown = s.Fleet.States[Unknown]
	if c := v.snap.Catalog; c != nil {
		s.Catalog = CatalogState{File: c.File, SHA256: c.SHA256, Organization: c.Organization, Automatic: c.Rollout.Automatic}
	}
	s.Catalog.Problem = v.snap.CatalogProblem
	if p := v.snap.Plan; p != nil {
		s.Plan = &PlanSummary{ID: p.ID, Title: p.Title, Steps: len(p.Steps), NotDone: len(p.NotDone), NotBefore: utc(p.NotBefore)}
	}
	s.Builder = r.builder(ctx)
	if err := r.statusRollouts(ctx, &s); err != nil {
		return Status{}, err
	}
	watchers, err := store.Watchers(ctx, r.Store.Q())
	if err != nil {
		return Status{}, err
	}
	for _, w := range watchers {
		s.Watchers = append(s.Watchers, watcherOf(w).judged(v.now))
	}
	judged, err := r.verdicts(ctx, images)
	if err != nil {
		return Status{}, err
	}
	s.Verdicts = verdictsOf(images, judged)
	exceptions, err := r.exceptions(ctx, v, images)
	if err != nil {
		return Status{}, err
	}
	untold, err := r.untold(ctx, v.now)
	if err != nil {
		return Status{}, err
	}
	hands, err := r.handNeeds(ctx)
	if err != nil {
		return Status{}, err
	}
	quarantined, err := r.quarantineNeeds(ctx)
	if err != nil {
		return Status{}, err
	}
	s.Needs = slices.Concat(needs(v, s, images), hands, quarantined, failing(images, judged), exceptionNeeds(exceptions.Exceptions), untold)
	return s, nil
}

// observed are the first of the images that nobody declared.
func observed(images []Image) []Image {
	out := []Image{}
	for _, i := range images {
		if !i.declared() && len(out) < firstObserved {
			out = append(out, i)
		}
	}
	return out
}

func (r *Reader) builder(ctx context.Context) *BuilderState {
	if r.Engine == nil {
		return nil
	}
	b := &BuilderState{Address: r.Engine.Address(), Workers: r.Engine.State()}
	ctx, cancel := context.WithTimeout(ctx, pingPatience)
	defer cancel()
	if err := r.Engine.Ping(ctx); err != nil {
		b.Problem = err.Error()
	}
	return b
}

// statusRollouts fills in those that run, with their images, and the last that ended.
func (r *Reader) statusRollouts(ctx context.Context, s *Status) error {
	running, err := store.RunningRollouts(ctx, r.Store.Q())
	if err != nil {
		return err
	}
	w, err := r.waits(ctx)
	if err != nil {
		return err
	}
	for _, ro := range running {
		full, err := r.rollout(ctx, ro, true, w)
		if err != nil {
			return err
		}
		full.Proposals = nil // there may be as many as images; GET /api/v1/rollouts/{id} has them
		s.Running = append(s.Running, full)
	}
	last, err := store.Rollouts(ctx, r.Store.Q(), recentRollouts+len(running))
	if err != nil {
		return err
	}
	for _, ro := range last {
		if len(s.Recent) == recentRollouts || ro.EndedAt == 0 {
			continue
		}
		short, err := r.rollout(ctx, ro, false, rollout.Waits{})
		if err != nil {
			return err
		}
		s.Recent = append(s.Recent, short)
	}
	return nil
}

// needs lists what a person can do something about: first what stops everything, then what is stuck, then what waits
// for a merge.
func needs(v *view, s Status, images []Image) []Need {
	out := []Need{}
	if p := s.Catalog.Problem; p != "" {
		out = append(out, Need{What: "catalog", State: "broken", Reason: "the catalog on disk is not used; the one before is", Who: "who keeps the catalog", Command: "rebuilder catalog check " + s.Catalog.File})
	}
	if s.Problem != "" {
		out = append(out, Need{What: "watch", State: "failed", Reason: s.Problem, Next: s.NextLook, Who: "who runs the daemon"})
	}
	out = append(out, stopped(s)...)
	if s.Builder != nil && s.Builder.Problem != "" {
		out = append(out, Need{What: "builder", State: "unreachable", Reason: s.Builder.Problem, Who: "who runs the daemon"})
	}
	if p := s.Plan; p != nil && p.Steps > 0 && !s.Catalog.Automatic {
		out = append(out, Need{What: "plan", State: "waiting", Reason: fmt.Sprintf("%s: %s, started by a person only ([rollout] automatic = false)", p.Title, Count(p.Steps, "step")), Command: "rebuilder plan"})
	}
	for _, r := range s.Running {
		if r.State == string(store.Paused) || r.State == string(store.Halted) {
			out = append(out, Need{What: r.ID, State: r.State, Reason: r.Reason, Since: r.HeldSince, Who: pace.Operator, Command: "rebuilder resume " + r.ID})
		}
	}
	for _, i := range images {
		if i.State == Stuck || i.State == Unknown && i.Who != "" {
			out = append(out, need(i))
		}
	}
	for _, i := range images {
		if i.State == Awaiting && !v.merged(i.Name) {
			out = append(out, need(i))
		}
	}
	return out
}

func need(i Image) Need {
	return Need{What: i.Name, State: string(i.State), Reason: i.Sentence, Since: i.Since, Next: i.Next, Who: i.Who, URL: i.URL, Command: "rebuilder why " + i.Name}
}

// merged says that an application did its part: only its own CI is waited for.
func (v *view) merged(name string) bool {
	if n, ok := v.live[name]; ok {
		p, ok := v.proposals[n.Detail.Key]
		return ok && (p.State == store.ProposalMerged || p.Number == 0)
	}
	if v.snap.World == nil {
		return false
	}
	t := v.snap.World.Facts.Applications[name].Told
	return t != nil && (t.State == string(store.ProposalMerged) || t.Number == 0)
}

// Rollouts lists the newest rollouts, newest first.
func (r *Reader) Rollouts(ctx context.Context, limit int) (Rollouts, error) {
	now := r.Now().UTC()
	out := Rollouts{Now: now, AsOf: now, Rollouts: []Rollout{}}
	all, err := store.Rollouts(ctx, r.Store.Q(), limit)
	if err != nil {
		return out, err
	}
	for _, ro := range all {
		short, err := r.rollout(ctx, ro, false, rollout.Waits{})
		if err != nil {
			return out, err
		}
		out.Rollouts = append(out.Rollouts, short)
	}
	counts, err := store.CountByState(ctx, r.Store.Q(), "rollout")
	for _, n := range counts {
		out.Total += n
	}
	return out, err
}

// Rollout returns one rollout with its images and proposals.
func (r *Reader) Rollout(ctx context.Context, id string) (RolloutDetail, error) {
	now := r.Now().UTC()
	ro, err := store.GetRollout(ctx, r.Store.Q(), id)
	if errors.Is(err, store.ErrNoRows) {
		return RolloutDetail{}, notFound("list them: rebuilder rollouts", "there is no rollout %q", id)
	}
	if err != nil {
		return RolloutDetail{}, err
	}
	var w rollout.Waits
	if !ro.State.Ended() {
		if w, err = r.waits(ctx); err != nil {
			return RolloutDetail{}, err
		}
	}
	full, err := r.rollout(ctx, ro, true, w)
	if err != nil {
		return RolloutDetail{}, err
	}
	return RolloutDetail{Now: now, AsOf: now, Rollout: full}, nil
}

// rollout counts a rollout's images. When full is set it has them, what became of those who were told, and where the fix is.
func (r *Reader) rollout(ctx context.Context, ro store.Rollout, full bool, w rollout.Waits) (Rollout, error) {
	nodes, err := store.Nodes(ctx, r.Store.Q(), ro.ID)
	for i := range nodes {
		nodes[i] = held(nodes[i], w)
	}
	out := rolloutOf(ro, nodes, full)
	out.Waves = wavesOf(w.Waves[ro.ID])
	if err != nil || !full {
		return out, err
	}
	proposals, err := store.Proposals(ctx, r.Store.Q(), ro.ID)
	for _, p := range proposals {
		out.Proposals = append(out.Proposals, proposalOf(p))
	}
	out.Stages = stages(ro, nodes, proposals)
	return out, err
}

// Graph returns every image with its state and every edge with its evidence. Before the first look there are no edges.
func (r *Reader) Graph(ctx context.Context) (Graph, error) {
	v, err := r.view(ctx)
	if err != nil {
		return Graph{}, err
	}
	g := Graph{Now: v.now, AsOf: v.asOf(), Images: v.images(), Edges: []Edge{}, Disagreements: []Disagreement{}, Unlisted: []Unlisted{}}
	g.Fleet = fleet(g.Images)
	names := map[string]bool{}
	for _, i := range g.Images {
		names[i.Name] = true
	}
	if w := v.snap.World; w != nil {
		for _, e := range w.Graph.Edges() {
			if names[e.Parent] && names[e.Child] { // the catalog may be newer than the look
				g.Edges = append(g.Edges, edgeOf(e))
			}
		}
		for _, d := range w.Graph.Disagreements() {
			if names[d.Image] {
				g.Disagreements = append(g.Disagreements, Disagreement{Image: d.Image, Platform: d.Platform, Sentence: d.Sentence})
			}
		}
		for _, u := range v.unlisted("") {
			if names[u.Image] {
				g.Unlisted = append(g.Unlisted, u)
			}
		}
	}
	return g, nil
}
