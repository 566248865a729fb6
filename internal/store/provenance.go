package store

import (
	"context"
	"errors"
)

const maxProvenance = 4 << 20 // bytes of one that is kept; a larger one is not

// SaveProvenance keeps how a build was made, a SLSA v1 predicate in JSON. An empty one, and one of more than 4 MiB, is not
// kept.
func SaveProvenance(ctx context.Context, q Querier, build string, predicate []byte) error {
	if len(predicate) == 0 || len(predicate) > maxProvenance {
		return nil
	}
	_, err := q.Exec(ctx, `INSERT INTO provenance(build, body) VALUES($1,$2) ON CONFLICT(build) DO UPDATE SET body=excluded.body`, build, string(predicate))
	return err
}

// GetProvenance returns how a build was made; nil when that is not known.
func GetProvenance(ctx context.Context, q Querier, build string) ([]byte, error) {
	var body string
	err := q.QueryRow(ctx, `SELECT body FROM provenance WHERE build=$1`, build).Scan(&body)
	if errors.Is(err, ErrNoRows) {
		return nil, nil
	}
	return []byte(body), err
}
