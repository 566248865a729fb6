// Package durable runs workflows that survive the death of the process: DBOS Transact on the store's own database.
//
//	e, err := durable.Open(ctx, st, durable.Config{Log: log})
//	q, err := e.RegisterQueue("nodes", dbos.WithWorkerConcurrency(500))
//	dbos.RegisterWorkflow(e.DBOS(), r.Base, dbos.WithWorkflowName("base"), dbos.WithMaxRecoveryAttempts(1000))
//	err = e.Launch(ctx) // from here on unfinished workflows go on
//	defer e.Close(30 * time.Second)
//
//	func (r *Runner) Base(ctx dbos.Context, t Turn) (string, error) {
//		defer r.engine.Track(ctx)()
//		digest, err := durable.Step(ctx, "build", func(ctx context.Context) (string, error) { .. })
//		..
//		_, err = durable.Transaction(ctx, r.engine, "promoted", func(ctx context.Context, q store.Querier) (bool, error) { .. })
//	}
//
// A workflow is repeated from its beginning after a crash; each step that had ended answers with what it returned then.
// So a workflow's code is deterministic between its steps (no clocks, no map order, no goroutines around steps), its
// steps are safe to repeat, and their names and order stay as they are while old runs may be unfinished; dbos.Patch
// guards a change. All truth is in the store's tables, and a workflow stays a thin list of steps.
//
// # The five conditions
//
// DBOS v1.2.0 needs five things from us, each found by killing processes and servers under it:
//
//  1. A guard. The engine takes unfinished work up again only in Launch of a process with the same executor id. A replica
//     that never comes back, and a claim whose answer was lost on the wire, would stall a rollout for ever. The guard
//     (guard.go) hands both kinds back to their queues. It judges by heartbeats that it saw standing still for a lapse,
//     by its own clock and while its own heartbeats succeeded, so clocks that differ and databases that were away kill
//     nobody. A replica that was frozen and comes back finds its work done: the engine parks it.
//  2. A lost server is a net.Error, which the engine retries; see lostConn in package store.
//  3. Tables are made under Store.Startup: two replicas that migrate at once break the migration.
//  4. The application version is fixed. By default it is the hash of the binary, and an upgrade would never touch the
//     work that its predecessor left. The executor id is stable over restarts, and held by one live process only.
//  5. Steps are few and thin, so that another engine could run them.
//
// # Traps
//
//   - Cancelling a workflow does not stop its running step: the step watches for that itself.
//   - Errors come back from a checkpoint as text: errors.Is and errors.As see the first run's error only. What a
//     workflow decides on is in the step's result.
//   - Retries inside of a step are forgotten in a crash and keep the queue's slot: beyond minutes, end the workflow and
//     start the next one with dbos.WithDelay.
//   - A workflow that ended in ERROR stays so: a retry is another workflow id (put the attempt in it).
//   - No I/O inside Transaction: on SQLite it holds the only write lock.
//   - Do not wait for days inside a workflow; end it, and let a webhook or the reconcile start the next one by its id.
package durable
