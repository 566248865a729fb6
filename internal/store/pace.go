package store

import (
	"context"
	"slices"
	"time"
)

// Paces returns how long the last builds of some images took that worked, the newest first, at most most of each. An
// image without one is not in the map.
func Paces(ctx context.Context, q Querier, images []string, most int) (map[string][]time.Duration, error) {
	type row struct {
		image string
		took  int64
	}
	out := make(map[string][]time.Duration, len(images))
	for part := range slices.Chunk(images, rowsPerWrite) {
		args := []any{most}
		for _, i := range part {
			args = append(args, i)
		}
		rows, err := Collect(ctx, q, func(s interface{ Scan(...any) error }) (r row, err error) { return r, s.Scan(&r.image, &r.took) },
			`SELECT image, took FROM (SELECT image, ended_at-started_at AS took, row_number() OVER (PARTITION BY image ORDER BY started_at DESC, id DESC) AS place
				FROM build WHERE state='done' AND ended_at>=started_at AND started_at>0 AND image IN (`+numbered(2, len(part))+`)) AS b
			WHERE place<=$1 ORDER BY image, place`, args...)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			out[r.image] = append(out[r.image], time.Duration(r.took)*time.Millisecond)
		}
	}
	return out, nil
}

// Indexes is how old what is known of the package repositories is.
type Indexes struct {
	Count     int   // repositories read at the last look at them
	Problems  int   // of them could not be read anew
	CheckedAt int64 // when the first of them was read
}

// IndexAges says how old the package indexes of the last look are. Repositories that no image uses any more are not
// counted: they were not read within an hour of the newest.
func IndexAges(ctx context.Context, q Querier) (x Indexes, err error) {
	const look = 3_600_000 // milliseconds
	err = q.QueryRow(ctx, `SELECT count(*), CAST(coalesce(sum(CASE WHEN error<>'' THEN 1 ELSE 0 END),0) AS BIGINT), coalesce(min(checked_at),0) FROM repository
		WHERE checked_at>(SELECT coalesce(max(checked_at),0) FROM repository)-$1`, look).Scan(&x.Count, &x.Problems, &x.CheckedAt)
	return x, err
}
