package durable

import (
	"context"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"rebuilder/internal/store"
)

// Step runs fn as one step of the workflow and keeps what it returned: a repetition of the workflow gets that without
// running fn. A crash in or right after fn runs it again, so fn looks before it acts. T goes through JSON.
//
// The error is kept too, as text (see Traps in the package's doc), and is final for this workflow: retry inside of fn or
// with dbos.WithStepMaxRetries.
func Step[T any](ctx dbos.Context, name string, fn func(context.Context) (T, error), options ...dbos.StepOption) (T, error) {
	return dbos.RunAsStep(ctx, fn, named(name, options)...)
}

// Transaction runs fn in one transaction of the store, which commits together with the step's checkpoint: exactly once,
// whatever dies. It is run again where it lost against another transaction, so fn must do nothing but SQL through q.
func Transaction[T any](ctx dbos.Context, e *Engine, name string, fn func(context.Context, store.Querier) (T, error), options ...dbos.StepOption) (T, error) {
	return dbos.RunAsTransaction(ctx, e.ds, func(ctx context.Context, tx dbos.Tx) (T, error) {
		return fn(ctx, store.In(tx))
	}, named(name, options)...)
}

// named puts the name first: the engine keeps the first of several.
func named(name string, options []dbos.StepOption) []dbos.StepOption {
	return append([]dbos.StepOption{dbos.WithStepName(name)}, options...)
}
