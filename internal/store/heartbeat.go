package store

import "context"

// ForgetWatcher removes the heartbeat of something that does not run any more, so that nobody waits for it.
func ForgetWatcher(ctx context.Context, q Querier, name string) error {
	_, err := q.Exec(ctx, `DELETE FROM watcher WHERE name=$1`, name)
	return err
}

// PostponeWatcher changes when something runs next, which its last run could not know.
func PostponeWatcher(ctx context.Context, q Querier, name string, next int64) error {
	_, err := q.Exec(ctx, `UPDATE watcher SET next_run=$2 WHERE name=$1`, name, next)
	return err
}
