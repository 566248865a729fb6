package store

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Ages after which what nobody needs any more is removed.
const (
	planAge       = 90 * 24 * time.Hour  // of plans that were shown and not applied
	requestAge    = 90 * 24 * time.Hour  // askers repeat themselves within minutes
	refreshAge    = 90 * 24 * time.Hour  // of bases that left the catalog: they may come back
	sightingAge   = 180 * 24 * time.Hour // nobody waits as long for an upstream's platforms
	referenceAge  = 365 * 24 * time.Hour // of references that nobody follows
	originAge     = 365 * 24 * time.Hour // applications stand on old digests for long; of what is there it is read again
	repositoryAge = 90 * 24 * time.Hour  // of package repositories that no image uses
	goneAge       = 90 * 24 * time.Hour  // of what discovery found to be there no more
	verdictAge    = 180 * 24 * time.Hour // of digests that an image has left behind; it is made again when somebody asks
	scannedAge    = 30 * 24 * time.Hour  // what other scanners said counts for hours
	toldAge       = 30 * 24 * time.Hour  // limits count an hour
)

// aged are the rows that are too old; $1 is their age's beginning.
var aged = []struct {
	age    time.Duration
	remove string
}{
	{planAge, `DELETE FROM plan WHERE created_at<$1 AND applied_at=0 AND rollout=''`},
	{requestAge, `DELETE FROM request WHERE at<$1`},
	// What it points to now and what was taken from it last stay.
	{sightingAge, `DELETE FROM seen WHERE last_seen<$1 AND EXISTS (SELECT 1 FROM seen AS o WHERE o.reference=seen.reference AND o.run>seen.run)
		AND (taken_at=0 OR EXISTS (SELECT 1 FROM seen AS o WHERE o.reference=seen.reference AND o.taken_at>seen.taken_at))`},
	{referenceAge, `DELETE FROM seen WHERE last_seen<$1 AND NOT EXISTS (SELECT 1 FROM seen AS o WHERE o.reference=seen.reference AND o.last_seen>=$1)`},
	{originAge, `DELETE FROM origin WHERE read_at<$1`},
	{repositoryAge, `DELETE FROM repository WHERE checked_at<$1`},
	{goneAge, `DELETE FROM observed WHERE gone_at>0 AND gone_at<$1`},
	{verdictAge, `DELETE FROM judgement WHERE at<$1 AND EXISTS (SELECT 1 FROM judgement AS o WHERE o.image=judgement.image AND o.at>judgement.at)`},
	{scannedAge, `DELETE FROM scanned WHERE at<$1`},
	{toldAge, `DELETE FROM told WHERE at<$1 AND rollout NOT IN (SELECT id FROM rollout WHERE state IN ('planned','running','paused','halted'))`},
}

// Prune removes what is too old at now, in epoch milliseconds, to matter to anybody, and returns how many rows those were.
// The fresh builds that were wanted of images, the names in the catalog, are kept at any age: builds have them as inputs.
// It is safe to repeat, and to be cut off in the middle.
func Prune(ctx context.Context, q Querier, now int64, images []string) (removed int64, err error) {
	remove := func(query string, args ...any) error {
		res, err := q.Exec(ctx, query, args...)
		if err != nil {
			return fmt.Errorf("remove old rows: %w", err)
		}
		n, err := res.RowsAffected()
		removed += n
		return err
	}
	for _, a := range aged {
		if err := remove(a.remove, now-a.age.Milliseconds()); err != nil {
			return removed, err
		}
	}
	all, err := Refreshes(ctx, q)
	if err != nil {
		return removed, err
	}
	before := now - refreshAge.Milliseconds()
	for image := range all {
		if slices.Contains(images, image) {
			continue
		}
		if err := remove(`DELETE FROM refresh WHERE image=$1 AND since<$2 AND done_at<$2`, image, before); err != nil {
			return removed, err
		}
	}
	return removed, nil
}
