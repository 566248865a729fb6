// Package rollout carries a plan out, durably. One workflow function an image, read top to bottom as the story of that
// image: Base builds, asserts, promotes and releases; Application tells. The graph is data (store.Node with waiting and
// state), so that SQL, pages and `why` can show it. All truth is in the store: a workflow is a straight list of
// idempotent steps that can be killed between any two instructions.
package rollout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/build"
	"rebuilder/internal/catalog"
	"rebuilder/internal/durable"
	"rebuilder/internal/graph"
	"rebuilder/internal/inventory"
	"rebuilder/internal/notify"
	"rebuilder/internal/plan"
	"rebuilder/internal/promote"
	"rebuilder/internal/store"
)

// Facts is what the workflows ask of the world while they run. All of it only reads.
type Facts interface {
	// Base returns the inputs of a build now, and the image on the channel now.
	Base(ctx context.Context, c *catalog.Catalog, b catalog.Base) (plan.Inputs, plan.Image, error)
	// Application returns what is known of one image of an application now, its repository's tip included.
	Application(ctx context.Context, c *catalog.Catalog, a catalog.Application, i catalog.ApplicationImage) (plan.Application, error)
	// Wants returns the digest on the channel of a base.
	Wants(ctx context.Context, b catalog.Base) (v1.Hash, error)
	// Inventory reads what is inside a digest, once.
	Inventory(ctx context.Context, image, reference, platform string) (*inventory.Inventory, error)
	// Lineage names what an image is made from, as the recipes say: the farthest first, itself last; nil when unknown.
	Lineage(c *catalog.Catalog, name string) []string
}

// Config holds what a Runner can do without.
type Config struct {
	Parallel int           // trials at once that are handed to the builder, which has a line of its own; 0: 200
	Timeout  time.Duration // of one build; 0: 1h
	Logs     string        // directory of build logs
	Patience time.Duration // first wait between two tries of a step; it doubles; 0: 500ms
	Lag      time.Duration // until a forge surely shows a run that was asked for; 0: 15s
	Now      func() time.Time
	Log      *slog.Logger
	// Changed is called after each change of state, to wake the reconcile; may be nil. It must not block.
	Changed func()
	Gates   Gates
}

// Runner carries out rollouts.
type Runner struct {
	engine   *durable.Engine
	store    *store.Store
	facts    Facts
	builder  build.Builder
	registry promote.Registry
	forge    notify.Forge // nil when the catalog has none
	catalog  func() *catalog.Catalog
	cfg      Config
	nodes    dbos.Queue
	tells    dbos.Queue
	builds   dbos.Queue // trials; what an older version left of builds is taken from it, too
	telling  turns
	merging  merges
	replaced replacements
	checks   checking
	channels turns // one at a time moves a base's channel
	closing  atomic.Bool
	alarm    alarm
}

// New registers the workflows with the engine, which must not be launched yet.
func New(engine *durable.Engine, st *store.Store, facts Facts, b build.Builder, reg promote.Registry, forge notify.Forge, c func() *catalog.Catalog, cfg Config) (*Runner, error) {
	if cfg.Parallel == 0 {
		cfg.Parallel = 200
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Hour
	}
	if cfg.Patience == 0 {
		cfg.Patience = 500 * time.Millisecond
	}
	if cfg.Lag == 0 {
		cfg.Lag = 15 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Changed == nil {
		cfg.Changed = func() {}
	}
	r := &Runner{engine: engine, store: st, facts: facts, builder: b, registry: reg, forge: forge, catalog: c, cfg: cfg}
	dbos.RegisterWorkflow(engine.DBOS(), r.Base, dbos.WithWorkflowName("base"), dbos.WithMaxRecoveryAttempts(1000))
	dbos.RegisterWorkflow(engine.DBOS(), r.Application, dbos.WithWorkflowName("application"), dbos.WithMaxRecoveryAttempts(1000))
	dbos.RegisterWorkflow(engine.DBOS(), r.Build, dbos.WithWorkflowName("build"), dbos.WithMaxRecoveryAttempts(1000))
	dbos.RegisterWorkflow(engine.DBOS(), r.Trial, dbos.WithWorkflowName("trial"), dbos.WithMaxRecoveryAttempts(1000))
	var err error
	// Nodes hold nothing scarce: the builder has a line of its own.
	if r.nodes, err = engine.RegisterQueue("nodes", dbos.WithWorkerConcurrency(500)); err != nil {
		return nil, err
	}
	// Who waits for the forge, for hours, keeps nobody from building.
	if r.tells, err = engine.RegisterQueue("tells", dbos.WithWorkerConcurrency(5000)); err != nil {
		return nil, err
	}
	// Trials take long: nobody minds when they are found a little later, and looking for them costs.
	r.builds, err = engine.RegisterQueue("builds", dbos.WithWorkerConcurrency(cfg.Parallel), dbos.WithQueueBasePollingInterval(500*time.Millisecond))
	return r, err
}

// Stopping makes the steps in flight hold still instead of failing, so that nothing that happens while the process goes
// down is taken for an answer. They are repeated at the next start.
func (r *Runner) Stopping() { r.closing.Store(true) }

// ErrMoved is returned by Start when the plan's inputs are not what they were.
var ErrMoved = errors.New("the plan's inputs moved")

// Actor is who started something, and under which rule.
type Actor struct {
	Name string // "rebuilder", or a person
	Kind string // "automation" or "human"
	Rule string // "watch", "manual"
}

// Start makes a rollout of a plan and starts the images that wait for nobody. Starting the same plan twice at the same
// time makes one rollout: the second call returns the first one's id.
func (r *Runner) Start(ctx context.Context, p *plan.Plan, by Actor) (id string, err error) {
	now := r.cfg.Now().UnixMilli()
	err = r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		n, err := store.RolloutsOfPlan(ctx, q, p.ID)
		if err != nil {
			return err
		}
		id = fmt.Sprintf("r-%s-%d", p.ID[len("p-"):], n+1)
		if err := store.SavePlan(ctx, q, p); err != nil {
			return err
		}
		ro := store.Rollout{ID: id, Plan: p.ID, Cause: string(p.Cause), Title: p.Title, State: store.Running, CreatedAt: now, StartedAt: now, NoticedAt: now, PublishedAt: published(p)}
		if !p.NoticedAt.IsZero() {
			ro.NoticedAt = p.NoticedAt.UnixMilli()
		}
		chains, err := chains(ctx, q, p)
		if err != nil {
			return err
		}
		ro.Pace.Waves = p.Waves
		if ro.Pace.Critical, err = critical(ctx, q, p); err != nil {
			return err
		}
		created, err := store.CreateRollout(ctx, q, ro, r.newNodes(id, p, chains, now))
		if err != nil || !created {
			return err
		}
		if err := r.supersede(ctx, q, id, p, now); err != nil {
			return err
		}
		if err := store.PlanApplied(ctx, q, p.ID, id, now); err != nil {
			return err
		}
		return store.Audit(ctx, q, store.Event{At: now, Actor: by.Name, Kind: by.Kind, Rule: by.Rule, Action: "start rollout", Object: id, Detail: p.Title})
	})
	if err != nil {
		return "", fmt.Errorf("start plan %s: %w", p.ID, err)
	}
	r.cfg.Changed()
	return id, r.Resume(ctx)
}

const pastBuilds = 5 // of an image, that tell how long the next one takes

// chains are how long what waits for each rebuild takes.
func chains(ctx context.Context, q store.Querier, p *plan.Plan) (map[string]time.Duration, error) {
	var rebuilds []string
	for _, s := range p.Steps {
		if s.Action == plan.Rebuild {
			rebuilds = append(rebuilds, s.Image)
		}
	}
	past, err := store.Paces(ctx, q, rebuilds, pastBuilds)
	return plan.Chains(p, plan.Pace{Builds: past}), err
}

func (r *Runner) newNodes(id string, p *plan.Plan, chains map[string]time.Duration, now int64) []store.Node {
	var nodes []store.Node
	for _, s := range p.Steps {
		n := store.Node{Rollout: id, Image: s.Image, Kind: s.Kind, Tier: s.Tier, Waiting: len(s.Parents), State: store.Waiting, Since: now, Attempt: 1, Before: s.Before}
		n.Reason = "its turn comes next"
		if len(s.Parents) > 0 {
			n.Reason = fmt.Sprintf("waits for %d of its parents", len(s.Parents))
		} else {
			n.Detail.ReadyAt = now
		}
		n.Detail.Step, n.Detail.Seen, n.Detail.Chain = s, s.Before, chains[s.Image].Milliseconds()
		nodes = append(nodes, n)
	}
	return nodes
}

func published(p *plan.Plan) (at int64) {
	for _, s := range p.Steps {
		for _, q := range s.Patches {
			at = max(at, q.PublishedAt)
		}
	}
	return at
}

// supersede ends what older rollouts still wait for at the applications of this one, and what they have not begun there.
// Their pull requests stay: this one updates those that it names, too, and the others are withdrawn.
func (r *Runner) supersede(ctx context.Context, q store.Querier, id string, p *plan.Plan, now int64) error {
	live, err := store.LiveNodes(ctx, q)
	if err != nil {
		return err
	}
	for _, n := range live {
		if _, again := p.Find(n.Image); !again || n.Rollout == id || n.State != store.Telling && !held(n) {
			continue
		}
		reason := "superseded by rollout " + id
		if _, err := store.MoveNode(ctx, q, store.Move{Rollout: n.Rollout, Image: n.Image, To: store.Skipped, Reason: reason, At: now, Rule: "newest first"}); err != nil {
			return err
		}
		if err := r.supersedeProposals(ctx, q, n, reason, now); err != nil {
			return err
		}
		if err := store.Finish(ctx, q, n.Rollout, now); err != nil {
			return err
		}
	}
	return nil
}

// held says that an application waits for its turn only.
func held(n store.Node) bool {
	return n.Kind == string(graph.Application) && n.State == store.Waiting && n.Waiting == 0
}

// supersedeProposals ends all that a node's application was told in its rollout.
func (r *Runner) supersedeProposals(ctx context.Context, q store.Querier, n store.Node, reason string, now int64) error {
	all, err := store.Proposals(ctx, q, n.Rollout)
	if err != nil {
		return err
	}
	app := ""
	for _, p := range all {
		if p.Key == n.Detail.Key {
			app = p.Application
		}
	}
	if app == "" {
		return nil
	}
	return endProposals(ctx, q, n.Rollout, app, reason, now)
}

// endProposals ends what an application was told in a rollout and what has not come to an end.
func endProposals(ctx context.Context, q store.Querier, rollout, app, reason string, now int64) error {
	all, err := store.Proposals(ctx, q, rollout)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.Application != app || p.EndedAt > 0 {
			continue
		}
		p.State, p.Reason, p.EndedAt = store.ProposalSuperseded, reason, now
		if err := store.SaveProposal(ctx, q, p); err != nil {
			return err
		}
	}
	return nil
}

// Resume starts every image that waits for nobody, that may go by order and pace, and has no workflow yet. It is safe to
// call at any time: a workflow is started once by its id.
func (r *Runner) Resume(ctx context.Context) error {
	live, err := store.LiveNodes(ctx, r.store.Q())
	if err != nil {
		return err
	}
	if err := r.stranded(ctx, live); err != nil {
		return err
	}
	if !slices.ContainsFunc(live, func(n store.Node) bool { return n.State == store.Waiting && n.Waiting == 0 }) {
		return nil
	}
	return r.letGo(ctx)
}

// turnsOf is how many turns an image gets in a rollout when its workflows end without an answer.
const turnsOf = 3

// stranded gives the nodes whose workflow ended without saying how another turn, and fails them after the last one: it is
// a fault of ours, which must not look like work.
func (r *Runner) stranded(ctx context.Context, live []store.Node) error {
	byID := map[string]int{}
	var ids []string
	for i, n := range live {
		if n.State == store.Telling && n.Detail.Key != "" {
			continue // told: its workflow ended as it should
		}
		id := turnOf(n).ID()
		byID[id] = i
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil
	}
	dead, err := dbos.ListWorkflows(dbos.From(r.engine.DBOS(), ctx), dbos.WithFilterWorkflowIDs(ids...),
		dbos.WithFilterStatus(dbos.WorkflowStatusError, dbos.WorkflowStatusCancelled, dbos.WorkflowStatusMaxRecoveryAttemptsExceeded))
	if err != nil {
		return err
	}
	for _, w := range dead {
		n := live[byID[w.ID]]
		r.cfg.Log.Error("workflow ended without an answer", "workflow", w.ID, "status", w.Status, "error", w.Error)
		reason := fmt.Sprintf("its workflow ended as %s", w.Status)
		if w.Error != nil {
			reason += ": " + w.Error.Error()
		}
		if err := r.again(ctx, n, reason); err != nil {
			return err
		}
	}
	return nil
}

// again gives a node another turn, or fails it for the reason when it had its last one.
func (r *Runner) again(ctx context.Context, n store.Node, reason string) error {
	m := store.Move{Rollout: n.Rollout, Image: n.Image, To: store.Waiting, Reason: "another try: " + reason, At: r.cfg.Now().UnixMilli(), Rule: "guard"}
	if n.Attempt >= turnsOf {
		m.To, m.Reason, m.Who = store.Failed, reason, "who keeps rebuilder"
	}
	return r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		_, err := store.MoveNode(ctx, q, m)
		if err != nil {
			return err
		}
		if m.To == store.Waiting {
			_, err = store.NextAttempt(ctx, q, n.Rollout, n.Image)
			return err
		}
		_, err = r.release(ctx, q, m)
		return err
	})
}

// Turn names one image's turn in one rollout.
type Turn struct {
	Rollout string
	Image   string
	Kind    string // whose way it takes: that of a base, or of an application that is told
	Attempt int
}

func turnOf(n store.Node) Turn {
	kind := graph.Application
	if builtByUs(n) {
		kind = graph.Base
	}
	return Turn{n.Rollout, n.Image, string(kind), n.Attempt}
}

// ID is the workflow's id: a turn is taken once.
func (t Turn) ID() string { return fmt.Sprintf("%s/%s/%d", t.Rollout, t.Image, t.Attempt) }

func (r *Runner) run(ctx dbos.Context, t Turn) error {
	story, queue := r.Base, r.nodes
	if t.Kind == string(graph.Application) {
		story, queue = r.Application, r.tells
	}
	_, err := dbos.RunWorkflow(ctx, story, t, dbos.WithWorkflowID(t.ID()), dbos.WithQueue(queue))
	return err
}
