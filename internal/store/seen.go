package store

import (
	"context"
	"encoding/json"
	"fmt"
)

// Sighting is a digest that a reference was seen to point to.
type Sighting struct {
	Reference string
	Digest    string            // index, or manifest where there is no index
	Platforms map[string]string // platform -> manifest
	FirstSeen int64
	Since     int64 // when the last unbroken time began at which it pointed there
	LastSeen  int64
	TakenAt   int64 // when it was last decided that images are made from it; 0: never
}

// sightings bounds how far back the history of a reference is read.
const sightings = 100

// Sightings returns what a reference pointed to, at most the last 100 digests. The first is what it points to now.
func Sightings(ctx context.Context, q Querier, reference string) ([]Sighting, error) {
	return Collect(ctx, q, func(row interface{ Scan(...any) error }) (s Sighting, err error) {
		var platforms string
		if err := row.Scan(&s.Reference, &s.Digest, &platforms, &s.FirstSeen, &s.Since, &s.LastSeen, &s.TakenAt); err != nil {
			return s, err
		}
		if err := json.Unmarshal([]byte(platforms), &s.Platforms); err != nil {
			return s, fmt.Errorf("what %s was seen to point to: %w", reference, err)
		}
		return s, nil
	}, `SELECT reference, digest, platforms, first_seen, since, last_seen, taken_at FROM seen WHERE reference=$1 ORDER BY run DESC LIMIT $2`, reference, sightings)
}

// SaveSighting records that a reference points to a digest now. Seen again after another one, an unbroken time begins
// anew; seen without a break, only when it was last seen changes.
func SaveSighting(ctx context.Context, q Querier, reference, digest string, platforms map[string]string, at int64) error {
	body, err := json.Marshal(platforms)
	if err != nil {
		return err
	}
	const last = `(SELECT COALESCE(MAX(o.run),0) FROM seen AS o WHERE o.reference=$1)`
	_, err = q.Exec(ctx, `INSERT INTO seen(reference, digest, platforms, first_seen, since, last_seen, run) VALUES($1,$2,$3,$4,$4,$4,`+last+`+1)
		ON CONFLICT(reference, digest) DO UPDATE SET platforms=excluded.platforms, last_seen=excluded.last_seen,
		since=CASE WHEN seen.run=`+last+` THEN seen.since ELSE excluded.since END,
		run=CASE WHEN seen.run=`+last+` THEN seen.run ELSE excluded.run END`, reference, digest, string(body), at)
	return err
}

// TakeSighting records that images are made from a digest that was seen at a reference.
func TakeSighting(ctx context.Context, q Querier, reference, digest string, at int64) error {
	_, err := q.Exec(ctx, `UPDATE seen SET taken_at=$3 WHERE reference=$1 AND digest=$2`, reference, digest, at)
	return err
}
