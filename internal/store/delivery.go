package store

import "context"

const (
	deliveryAge   = 7 * 24 * 3_600_000 // milliseconds that a delivery is remembered: senders repeat for three days at most
	deliveryCount = 50_000             // and how many at most
)

// FirstDelivery remembers the deliveries of a webhook and says how many of the ids are new; one that is empty is. Of one id
// that arrives at several replicas at the same moment one is told that it is new. Ids are remembered for a week, 50,000 of
// them at most.
func FirstDelivery(ctx context.Context, q Querier, webhook string, at int64, ids ...string) (n int, err error) {
	for _, id := range ids {
		if id == "" {
			n++
			continue
		}
		res, err := q.Exec(ctx, `INSERT INTO delivery(webhook, id, at) VALUES($1,$2,$3) ON CONFLICT(webhook, id) DO NOTHING`, webhook, id, at)
		if err != nil {
			return n, err
		}
		fresh, err := res.RowsAffected()
		if err != nil {
			return n, err
		}
		n += int(fresh)
	}
	return n, nil
}

// ForgetDeliveries removes those that are too old or too many.
func ForgetDeliveries(ctx context.Context, q Querier, now int64) error {
	if _, err := q.Exec(ctx, `DELETE FROM delivery WHERE at<$1`, now-deliveryAge); err != nil {
		return err
	}
	_, err := q.Exec(ctx, `DELETE FROM delivery WHERE at<(SELECT coalesce(min(at),0) FROM (SELECT at FROM delivery ORDER BY at DESC LIMIT $1) AS newest)`, deliveryCount)
	return err
}
