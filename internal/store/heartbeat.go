package store

import "context"

// ForgetWatcher removes the heartbeat of something that does not run any more, so that nobody waits for it.
func ForgetWatcher(ctx context.Context, q Querier, name string) error {
	_, err := q.Exec(ctx, `DELETE FROM watcher WHERE name=$1`, name)
	return err
}
