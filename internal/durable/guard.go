package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"rebuilder/internal/store"
)

// guard closes what the engine leaves open without its proprietary controller:
//
//   - work of a replica that is gone: somebody else's PENDING workflows;
//   - work that this replica owns and does not run: a claim was committed and its answer lost, or an outcome could not
//     be recorded.
//
// Both go back to their queues. A workflow that runs nevertheless is parked by the engine at its next checkpoint.
type guard struct {
	dbos  dbos.Context
	store *store.Store
	claim *store.Claim
	me    string
	every time.Duration
	log   *slog.Logger

	active   active
	replicas census // others' heartbeats
	orphans  census // own workflows that nobody here runs
}

func newGuard(e *Engine) *guard {
	return &guard{
		dbos: e.dbos, store: e.store, claim: e.claim, me: e.cfg.ExecutorID, every: e.cfg.Heartbeat, log: e.cfg.Log,
		replicas: census{lapse: e.cfg.Lapse}, orphans: census{lapse: e.cfg.Lapse},
	}
}

// run looks after this replica and the others until ctx ends.
func (g *guard) run(ctx context.Context) {
	tick := time.NewTicker(g.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// A look that cannot end is no heartbeat: bounded, so that it counts as an absence.
		ctx, cancel := context.WithTimeout(ctx, 2*g.every)
		if err := g.turn(ctx); err != nil && !errors.Is(err, context.Canceled) {
			g.log.Warn("heartbeat", "error", err)
		}
		cancel()
	}
}

func (g *guard) turn(ctx context.Context) error {
	if err := g.claim.Keep(ctx); err != nil {
		return err
	}
	if err := g.beat(ctx); err != nil {
		return err
	}
	beats, err := g.beats(ctx)
	if err != nil {
		return err
	}
	pending, err := g.pending(ctx)
	if err != nil {
		return err
	}
	lost := g.judge(time.Now(), beats, pending)
	if len(lost(pending)) == 0 {
		return nil
	}
	_, err = g.store.Guard(ctx, func(ctx context.Context) error {
		pending, err := g.pending(ctx) // again: another replica may have been faster
		if err != nil {
			return err
		}
		return g.resume(ctx, lost(pending))
	})
	return err
}

// judge returns the function that picks what must be taken up again out of a list of pending workflows.
func (g *guard) judge(now time.Time, beats map[string]int64, pending []dbos.WorkflowStatus) (lost func([]dbos.WorkflowStatus) []dbos.WorkflowStatus) {
	others, own := map[string]int64{}, map[string]int64{}
	for id, beat := range beats {
		others[id] = beat
	}
	for _, w := range pending {
		if w.ExecutorID != g.me {
			others[w.ExecutorID] = beats[w.ExecutorID] // 0: it has no heartbeat at all
		} else if !g.active.has(w.ID) {
			own[w.ID] = 0
		}
	}
	delete(others, g.me)
	dead, orphaned := g.replicas.observe(now, others), g.orphans.observe(now, own)
	return func(pending []dbos.WorkflowStatus) (lost []dbos.WorkflowStatus) {
		for _, w := range pending {
			if dead[w.ExecutorID] || w.ExecutorID == g.me && orphaned[w.ID] && !g.active.has(w.ID) {
				lost = append(lost, w)
			}
		}
		return lost
	}
}

func (g *guard) beat(ctx context.Context) error {
	_, err := g.store.Q().Exec(ctx, `INSERT INTO replica(id, seen_at) VALUES($1, $2) ON CONFLICT(id) DO UPDATE SET seen_at=excluded.seen_at`,
		g.me, time.Now().UnixMilli())
	return err
}

func (g *guard) beats(ctx context.Context) (map[string]int64, error) {
	type replica struct {
		id   string
		beat int64
	}
	all, err := store.Collect(ctx, g.store.Q(), func(row interface{ Scan(...any) error }) (r replica, err error) {
		return r, row.Scan(&r.id, &r.beat)
	}, `SELECT id, seen_at FROM replica`)
	beats := make(map[string]int64, len(all))
	for _, r := range all {
		beats[r.id] = r.beat
	}
	return beats, err
}

func (g *guard) pending(ctx context.Context) ([]dbos.WorkflowStatus, error) {
	return dbos.ListWorkflows(within(ctx, g.dbos), dbos.WithFilterStatus(dbos.WorkflowStatusPending), dbos.WithFilterLoadInput(false), dbos.WithFilterLoadOutput(false))
}

// resume puts workflows back into the queues that they came from; those that came from none go to the engine's own.
func (g *guard) resume(ctx context.Context, lost []dbos.WorkflowStatus) error {
	type source struct{ queue, executor string }
	ids := map[source][]string{}
	for _, w := range lost {
		s := source{w.QueueName, w.ExecutorID}
		ids[s] = append(ids[s], w.ID)
	}
	var errs []error
	for s, ids := range ids {
		if _, err := dbos.ResumeWorkflows[any](within(ctx, g.dbos), ids, dbos.WithResumeQueue(s.queue)); err != nil {
			errs = append(errs, fmt.Errorf("take over %d workflows of replica %s: %w", len(ids), s.executor, err))
			continue
		}
		g.log.Warn("took over work that nobody was doing", "replica", s.executor, "queue", s.queue, "workflows", len(ids))
	}
	return errors.Join(errs...)
}
