package api

import (
	"context"
	"fmt"

	"rebuilder/internal/store"
)

// countBy counts the rows of a table by state.
func countBy(ctx context.Context, q store.Querier, table string) (map[string]int, error) {
	type row struct {
		state string
		n     int
	}
	rows, err := store.Collect(ctx, q, func(s interface{ Scan(...any) error }) (r row, err error) { return r, s.Scan(&r.state, &r.n) },
		`SELECT state, count(*) FROM `+table+` GROUP BY state`)
	if err != nil {
		return nil, fmt.Errorf("count %s: %w", table, err)
	}
	counts := map[string]int{}
	for _, r := range rows {
		counts[r.state] = r.n
	}
	return counts, nil
}

// durations sums up how long ended builds took.
type durations struct {
	state   string
	count   int
	sum     int64 // milliseconds
	buckets []int // how many took at most buildBuckets[i]
}

// buildBuckets are the bounds of the histogram of builds, in seconds.
func buildBuckets() []int { return []int{5, 15, 30, 60, 120, 300, 600, 1800, 3600} }

// buildDurations is one pass over the table, so that a scrape costs the same however many buckets there are.
func buildDurations(ctx context.Context, q store.Querier) ([]durations, error) {
	query := `SELECT state, count(*), CAST(sum(ended_at-started_at) AS BIGINT)`
	for _, b := range buildBuckets() {
		query += fmt.Sprintf(`, CAST(sum(CASE WHEN ended_at-started_at<=%d THEN 1 ELSE 0 END) AS BIGINT)`, b*1000)
	}
	query += ` FROM build WHERE ended_at>0 GROUP BY state`
	return store.Collect(ctx, q, func(s interface{ Scan(...any) error }) (durations, error) {
		d := durations{buckets: make([]int, len(buildBuckets()))}
		into := []any{&d.state, &d.count, &d.sum}
		for i := range d.buckets {
			into = append(into, &d.buckets[i])
		}
		return d, s.Scan(into...)
	}, query)
}

// lastFix returns the newest rollout that ended well and brought a patch; found is false when there is none.
func lastFix(ctx context.Context, q store.Querier) (published, noticed, ended int64, found bool, err error) {
	type row struct{ published, noticed, ended int64 }
	rows, err := store.Collect(ctx, q, func(s interface{ Scan(...any) error }) (r row, err error) {
		return r, s.Scan(&r.published, &r.noticed, &r.ended)
	}, `SELECT published_at, noticed_at, ended_at FROM rollout WHERE state='done' AND cause='package' ORDER BY ended_at DESC LIMIT 1`)
	if err != nil || len(rows) == 0 {
		return 0, 0, 0, false, err
	}
	return rows[0].published, rows[0].noticed, rows[0].ended, true, nil
}
