package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/pace"
	"rebuilder/internal/patch"
	"rebuilder/internal/plan"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

// Waits is what the images of running rollouts wait for by order and pace, and how far the waves are.
type Waits struct {
	Holds map[pace.Ref]pace.Hold // by rollout and image
	Waves map[string][]pace.Progress
}

// WaitsOf says what is waited for now. It only reads.
func WaitsOf(ctx context.Context, q store.Querier, c *catalog.Catalog, now time.Time) (Waits, error) {
	s, err := standOf(ctx, q, c, now)
	if err != nil {
		return Waits{}, err
	}
	d := pace.Decide(s.fleet, now)
	w := Waits{Holds: map[pace.Ref]pace.Hold{}, Waves: d.Waves}
	for ref, h := range d.Holds {
		for _, image := range s.images[ref] {
			w.Holds[pace.Ref{Rollout: ref.Rollout, Name: image}] = h
		}
	}
	for _, n := range s.nodes {
		if n.Kind != string(graph.Application) && n.State == store.Waiting {
			if h := heldBy(s.rollouts[n.Rollout], n.Tier); h != nil {
				w.Holds[pace.Ref{Rollout: n.Rollout, Name: n.Image}] = *h
			}
		}
	}
	return w, nil
}

// stand is how things stand with all that runs.
type stand struct {
	rollouts map[string]store.Rollout
	nodes    []store.Node
	fleet    pace.Fleet
	images   map[pace.Ref][]string // of an application in a rollout
	told     map[pace.Ref]bool
}

func standOf(ctx context.Context, q store.Querier, c *catalog.Catalog, now time.Time) (s stand, err error) {
	s = stand{rollouts: map[string]store.Rollout{}, images: map[pace.Ref][]string{}, told: map[pace.Ref]bool{}}
	running, err := store.RunningRollouts(ctx, q)
	if err != nil {
		return s, err
	}
	if s.nodes, err = store.NodesOfRunning(ctx, q); err != nil {
		return s, err
	}
	told, err := store.LetGo(ctx, q, now.Add(-time.Hour).UnixMilli())
	if err != nil {
		return s, err
	}
	proposals, err := store.ProposalsOfRunning(ctx, q)
	if err != nil {
		return s, err
	}
	s.fleet.Limits = c.Pace.Limits
	for _, f := range c.Pace.Freezes {
		s.fleet.Windows = append(s.fleet.Windows, f.Window())
	}
	at := map[pace.Ref]time.Time{}
	for _, t := range told {
		ref := pace.Ref{Rollout: t.Rollout, Name: t.Application}
		at[ref], s.told[ref] = time.UnixMilli(t.At), true
		s.fleet.Past = append(s.fleet.Past, pace.Tell{Repository: t.Repository, Lane: t.Lane, At: at[ref]})
	}
	became := map[pace.Ref]store.Proposal{}
	for _, p := range proposals {
		became[pace.Ref{Rollout: p.Rollout, Name: p.Application}] = p
	}
	byApp := map[pace.Ref][]store.Node{}
	names := applicationsOf(c)
	for _, n := range s.nodes {
		if n.Kind == string(graph.Application) {
			ref := pace.Ref{Rollout: n.Rollout, Name: names.of(n.Image)}
			byApp[ref] = append(byApp[ref], n)
			s.images[ref] = append(s.images[ref], n.Image)
		}
	}
	for _, r := range running {
		s.rollouts[r.ID] = r
		s.fleet.Rollouts = append(s.fleet.Rollouts, paced(r, c))
	}
	for i := range s.fleet.Rollouts {
		r := &s.fleet.Rollouts[i]
		for _, n := range s.nodes {
			if n.Rollout != r.ID || n.Kind != string(graph.Application) {
				continue
			}
			ref := pace.Ref{Rollout: r.ID, Name: names.of(n.Image)}
			if all := byApp[ref]; all != nil { // once an application
				r.Items = append(r.Items, item(ref, all, names[n.Image], at[ref], became[ref], s.rollouts[r.ID]))
				delete(byApp, ref)
			}
		}
	}
	return s, nil
}

// applications are those of a catalog by their images.
type applications map[string]*catalog.Application

func applicationsOf(c *catalog.Catalog) applications {
	out := applications{}
	for i := range c.Applications {
		for _, img := range c.Applications[i].Images {
			out[img.Name] = &c.Applications[i]
		}
	}
	return out
}

// of is the application of an image. One that is no longer in the catalog goes by the image's name: its turn says so.
func (a applications) of(image string) string {
	if app := a[image]; app != nil {
		return app.Name
	}
	return image
}

// paced is a rollout without its applications.
func paced(r store.Rollout, c *catalog.Catalog) pace.Rollout {
	out := pace.Rollout{ID: r.ID, Started: time.UnixMilli(r.CreatedAt), Lane: pace.Usual, Waves: r.Pace.Waves, Budget: c.Pace.FailureBudget, Forgiven: r.Pace.Forgiven, Held: heldBy(r, 0)}
	switch {
	case r.Pace.Critical != "":
		out.Lane = pace.Critical
	case r.Cause == string(plan.CausePackage) || r.Cause == string(plan.CauseAdvisory):
		out.Lane = pace.Security
	}
	return out
}

// heldBy is what a person, or the failure budget, has said of the images of a tier; nil: nothing.
func heldBy(r store.Rollout, tier int) *pace.Hold {
	h := &pace.Hold{Since: time.UnixMilli(r.Pace.Since), Who: pace.Operator + ": rebuilder resume " + r.ID}
	switch {
	case r.State == store.Paused:
		h.Reason = "its rollout is paused" + said(" ", r.Reason)
	case r.State == store.Halted:
		h.Reason = "its rollout is halted" + said(": ", r.Reason)
	case r.Pace.StopAt > 0 && tier >= r.Pace.StopAt:
		h.Reason, h.Since = fmt.Sprintf("its rollout stops at tier %d%s", r.Pace.StopAt, said(" ", r.Pace.StopWhy)), time.Time{}
	default:
		return nil
	}
	return h
}

func said(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// item is one application of a rollout; nodes are those of its images.
func item(ref pace.Ref, nodes []store.Node, app *catalog.Application, told time.Time, p store.Proposal, r store.Rollout) pace.Item {
	i := pace.Item{Name: ref.Name, Wave: nodes[0].Detail.Step.Wave, Told: told, State: pace.Left, Held: heldBy(r, nodes[0].Tier)}
	if app != nil {
		i.Repository, i.Labels = app.Repository, map[string]string{"owner": app.Owner}
		for k, v := range app.Labels {
			i.Labels[k] = v
		}
	}
	var live, waiting, ready bool
	for _, n := range nodes {
		i.Images = append(i.Images, n.Image)
		if at := time.UnixMilli(n.Since); n.State.Ended() && at.After(i.Ended) {
			i.Ended = at
		}
		if at := time.UnixMilli(n.Detail.ReadyAt); n.Detail.ReadyAt > 0 && at.After(i.Ready) {
			i.Ready = at
		}
		live = live || !n.State.Ended()
		waiting = waiting || n.State == store.Waiting
		ready = ready || n.State == store.Waiting && n.Waiting == 0
	}
	switch {
	case live && (!told.IsZero() || !waiting):
		i.State = pace.Open
	case ready:
		i.State = pace.Ready
	case live:
		i.State = pace.Unready
	case !told.IsZero():
		i.State, i.Why = became(nodes, p)
	}
	return i
}

// became is how an application ended that was told.
func became(nodes []store.Node, p store.Proposal) (pace.State, string) {
	if i := slices.IndexFunc(nodes, func(n store.Node) bool { return n.State == store.Failed || builtByUs(n) && !n.State.Good() }); i >= 0 {
		return pace.Failed, nodes[i].Reason
	}
	if p.State == store.ProposalClosed && p.OpenedAt > 0 {
		return pace.Failed, p.Reason
	}
	if slices.ContainsFunc(nodes, func(n store.Node) bool { return n.State == store.Done }) {
		return pace.Proven, ""
	}
	return pace.Left, ""
}

// admit lets those go who may be told now, and halts what has spent its failure budget, in one transaction that no other
// replica is in. It returns who has been let go in running rollouts, and when somebody's waiting ends by itself.
func (r *Runner) admit(ctx context.Context) (s stand, next time.Time, err error) {
	now := r.cfg.Now()
	err = r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		if err := store.LockPace(ctx, q); err != nil {
			return err
		}
		running, err := store.RunningRollouts(ctx, q)
		if err != nil {
			return err
		}
		slices.SortFunc(running, func(a, b store.Rollout) int { return strings.Compare(a.ID, b.ID) }) // everybody locks in this order
		for _, ro := range running {
			if _, err := store.LockRollout(ctx, q, ro.ID); err != nil {
				return err
			}
		}
		if s, err = standOf(ctx, q, r.catalog(), now); err != nil {
			return err
		}
		d := pace.Decide(s.fleet, now)
		next = d.Next
		for _, ro := range running {
			if reason := d.Halts[ro.ID]; reason != "" {
				if err := store.SetRollout(ctx, q, ro.ID, store.Halted, reason, now.UnixMilli(), "failure budget"); err != nil {
					return err
				}
				halted := s.rollouts[ro.ID]
				halted.State = store.Halted
				s.rollouts[ro.ID] = halted
			}
		}
		names := applicationsOf(r.catalog())
		for _, g := range d.Go {
			t := store.Told{Rollout: g.Rollout, Application: g.Name, Lane: g.Lane, Rule: g.Rule, At: now.UnixMilli()}
			if app := names[s.images[g.Ref][0]]; app != nil {
				t.Repository = app.Repository
			}
			if err := store.SaveTold(ctx, q, t); err != nil {
				return err
			}
			s.told[g.Ref] = true
		}
		return nil
	})
	return s, next, err
}

// letGo starts every image that waits for nobody and that nothing holds.
func (r *Runner) letGo(ctx context.Context) error {
	s, next, err := r.admit(ctx)
	if err != nil {
		return err
	}
	r.alarm.set(next.Sub(r.cfg.Now()), next.IsZero(), r.cfg.Changed)
	names := applicationsOf(r.catalog())
	for _, n := range s.nodes {
		if n.State != store.Waiting || n.Waiting > 0 || n.Detail.HeldUntil > r.cfg.Now().UnixMilli() || heldBy(s.rollouts[n.Rollout], n.Tier) != nil {
			continue
		}
		if n.Kind == string(graph.Application) && !s.told[pace.Ref{Rollout: n.Rollout, Name: names.of(n.Image)}] {
			continue
		}
		if err := r.run(r.engine.DBOS(), turnOf(n)); err != nil {
			return err
		}
	}
	return nil
}

// alarm wakes the reconcile when somebody's waiting ends by itself. It is a hint: without it the next look finds it.
type alarm struct {
	mu sync.Mutex
	t  *time.Timer
}

func (a *alarm) set(in time.Duration, never bool, f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.t != nil {
		a.t.Stop()
	}
	if a.t = nil; !never {
		a.t = time.AfterFunc(max(in, time.Second), f)
	}
}

// critical says why a plan does not wait: one of its patches fixes what is of critical severity or known to be exploited, as
// the last verdict on the image says; empty when none does, or nobody knows.
func critical(ctx context.Context, q store.Querier, p *plan.Plan) (string, error) {
	for _, s := range p.Steps {
		if s.Before == "" || len(s.Patches) == 0 {
			continue
		}
		j, found, err := store.GetJudgement(ctx, q, s.Before)
		if err != nil {
			return "", err
		}
		if why := urgent(j.Body, s.Patches); found && why != "" {
			return why, nil
		}
	}
	return "", nil
}

// urgent names what is critical among the findings of a verdict that some patches fix.
func urgent(body string, patches []plan.Patch) string {
	var v policy.Verdict
	if json.Unmarshal([]byte(body), &v) != nil { // what cannot be read says nothing
		return ""
	}
	for _, j := range v.Findings {
		f := j.Finding
		if f.Kind != policy.Vulnerability || f.FixedIn == "" || f.Severity != policy.SeverityCritical && !f.Exploited {
			continue
		}
		if !slices.ContainsFunc(patches, func(p plan.Patch) bool {
			return p.Package == f.Package && (patch.Patch{Type: p.Type, To: f.FixedIn}).TakenBy(p.To)
		}) {
			continue
		}
		if f.Exploited {
			return f.ID + " in " + f.Package + " is known to be exploited"
		}
		return f.ID + " in " + f.Package + " is of critical severity"
	}
	return ""
}
