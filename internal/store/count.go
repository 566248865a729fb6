package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// CountByState counts the rows of a table by state: "rollout", "rollout_node", "build" or "proposal". Other tables have
// no states and are an error. A state without rows is not in the map.
func CountByState(ctx context.Context, q Querier, table string) (map[string]int, error) {
	tables := []string{"rollout", "rollout_node", "build", "proposal"}
	if !slices.Contains(tables, table) {
		return nil, fmt.Errorf("count %s: it has no states; want one of %s", table, strings.Join(tables, ", "))
	}
	type row struct {
		state string
		n     int
	}
	rows, err := Collect(ctx, q, func(s interface{ Scan(...any) error }) (r row, err error) { return r, s.Scan(&r.state, &r.n) },
		`SELECT state, count(*) FROM `+table+` GROUP BY state`)
	if err != nil {
		return nil, fmt.Errorf("count %s: %w", table, err)
	}
	counts := make(map[string]int, len(rows))
	for _, r := range rows {
		counts[r.state] = r.n
	}
	return counts, nil
}

// Durations sums up how long the ended builds of one state took.
type Durations struct {
	State   string
	Count   int
	Sum     int64 // milliseconds
	Buckets []int // how many took at most the bound of the same place, so that each includes those before it
}

// BuildDurations returns the durations of ended builds by state, in order of the state, with a bucket for each bound in
// seconds. It is one pass over the table, however many bounds there are.
func BuildDurations(ctx context.Context, q Querier, bounds []int) ([]Durations, error) {
	var query strings.Builder
	query.WriteString(`SELECT state, count(*), CAST(sum(ended_at-started_at) AS BIGINT)`)
	for _, b := range bounds {
		fmt.Fprintf(&query, `, CAST(sum(CASE WHEN ended_at-started_at<=%d THEN 1 ELSE 0 END) AS BIGINT)`, b*1000)
	}
	query.WriteString(` FROM build WHERE ended_at>0 GROUP BY state ORDER BY state`)
	return Collect(ctx, q, func(s interface{ Scan(...any) error }) (Durations, error) {
		d := Durations{Buckets: make([]int, len(bounds))}
		into := []any{&d.State, &d.Count, &d.Sum}
		for i := range d.Buckets {
			into = append(into, &d.Buckets[i])
		}
		return d, s.Scan(into...)
	}, query.String())
}

// LastFix returns the newest rollout that ended well and brought a patched package; found is false when there is none.
func LastFix(ctx context.Context, q Querier) (r Rollout, found bool, err error) {
	all, err := Collect(ctx, q, scanRollout, `SELECT `+rolloutColumns+` FROM rollout WHERE state='done' AND cause='package' ORDER BY ended_at DESC, id DESC LIMIT 1`)
	if err != nil || len(all) == 0 {
		return r, false, err
	}
	return all[0], true, nil
}
