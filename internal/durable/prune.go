package durable

import (
	"context"
	"fmt"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
)

// Prune forgets workflows that ended longer ago than age, with their steps, and returns how many. What they did stays in
// the store's tables. A forgotten workflow's id could be started again, so age is longer than anything that starts
// workflows by an id may repeat itself: days. Those that a living parent may still ask about are kept, and those that
// were given up after too many crashes, for a human to see.
func (e *Engine) Prune(ctx context.Context, age time.Duration) (deleted int, err error) {
	const batch = 500
	living, err := e.living(ctx)
	if err != nil {
		return 0, fmt.Errorf("durable: prune: %w", err)
	}
	for skip := 0; ctx.Err() == nil; {
		ended, err := dbos.ListWorkflows(within(ctx, e.dbos), dbos.WithFilterCompletedBefore(time.Now().Add(-age)), dbos.WithFilterLimit(batch), dbos.WithFilterOffset(skip),
			dbos.WithFilterStatus(dbos.WorkflowStatusSuccess, dbos.WorkflowStatusError, dbos.WorkflowStatusCancelled),
			dbos.WithFilterLoadInput(false), dbos.WithFilterLoadOutput(false))
		if err != nil {
			return deleted, fmt.Errorf("durable: prune: %w", err)
		}
		var ids []string
		for _, w := range ended {
			if !living[w.ParentWorkflowID] {
				ids = append(ids, w.ID)
			}
		}
		if len(ids) > 0 {
			if err := dbos.DeleteWorkflows(within(ctx, e.dbos), ids); err != nil {
				return deleted, fmt.Errorf("durable: prune: %w", err)
			}
		}
		deleted += len(ids)
		skip += len(ended) - len(ids)
		if len(ended) < batch {
			return deleted, nil
		}
	}
	return deleted, context.Cause(ctx)
}

// living returns the ids of the workflows that have not ended.
func (e *Engine) living(ctx context.Context) (map[string]bool, error) {
	all, err := dbos.ListWorkflows(within(ctx, e.dbos), dbos.WithFilterStatus(dbos.WorkflowStatusPending, dbos.WorkflowStatusEnqueued, dbos.WorkflowStatusDelayed),
		dbos.WithFilterLoadInput(false), dbos.WithFilterLoadOutput(false))
	ids := make(map[string]bool, len(all))
	for _, w := range all {
		ids[w.ID] = true
	}
	return ids, err
}
