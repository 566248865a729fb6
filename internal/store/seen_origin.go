package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// Origin is what a platform manifest shows and claims of what it was made from.
type Origin struct {
	Digest   string
	Image    string // of the catalog
	Kind     string // as graph.Kind
	Platform string
	Layers   []string // diff ids, the lowest first
	Claims   []Claimed
	Problem  string // what might hold more claims and could not be read
	ReadAt   int64
}

// Claimed is an image that another one says it was made from. Nothing proves it.
type Claimed struct {
	Evidence  string `json:"evidence"`            // as graph.Evidence
	Reference string `json:"reference,omitempty"` // without digest
	Digest    string `json:"digest,omitempty"`    // index or manifest
	Platform  string `json:"platform,omitempty"`
}

// Layered is a platform manifest whose layers are known.
type Layered struct {
	Digest   string
	Image    string
	Platform string
	Chain    string // see Chains
	SeenAt   int64
}

// Chains are the chain ids of the OCI image specification: of the first layer, of the first two, and so on. Images whose
// layers begin with those of another have that one's last chain id among theirs.
func Chains(diffIDs []string) []string { return chains(diffIDs) }

// SaveOrigins stores what the platforms of one image show and claim now. An application's earlier ones are forgotten: no
// other image stands on them.
func SaveOrigins(ctx context.Context, q Querier, image, kind string, platforms []Origin, at int64) error {
	for _, o := range platforms {
		layers, err := json.Marshal(slices.Concat([]string{}, o.Layers))
		if err != nil {
			return err
		}
		claims, err := json.Marshal(slices.Concat([]Claimed{}, o.Claims))
		if err != nil {
			return err
		}
		chain := ""
		if all := chains(o.Layers); len(all) > 0 {
			chain = all[len(all)-1]
		}
		if _, err := q.Exec(ctx, `INSERT INTO origin(digest, image, kind, platform, chain, layers, claims, problem, read_at) VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9)
			ON CONFLICT(digest) DO UPDATE SET claims=excluded.claims, problem=excluded.problem, read_at=excluded.read_at`,
			o.Digest, image, kind, o.Platform, chain, string(layers), string(claims), bounded(o.Problem), at); err != nil {
			return err
		}
	}
	if kind != "application" {
		return nil
	}
	args := []any{image}
	for _, o := range platforms {
		args = append(args, o.Digest)
	}
	keep := ""
	if len(platforms) > 0 {
		keep = ` AND digest NOT IN (` + numbered(2, len(platforms)) + `)`
	}
	_, err := q.Exec(ctx, `DELETE FROM origin WHERE image=$1 AND kind='application'`+keep, args...)
	return err
}

// GetOrigins returns what is stored of some platform manifests, by digest.
func GetOrigins(ctx context.Context, q Querier, digests []string) (map[string]Origin, error) {
	out := make(map[string]Origin, len(digests))
	for part := range slices.Chunk(digests, rowsPerWrite) {
		args := make([]any, len(part))
		for i, d := range part {
			args[i] = d
		}
		rows, err := Collect(ctx, q, scanOrigin, `SELECT digest, image, kind, platform, layers, claims, problem, read_at FROM origin WHERE digest IN (`+numbered(1, len(part))+`)`, args...)
		if err != nil {
			return nil, err
		}
		for _, o := range rows {
			out[o.Digest] = o
		}
	}
	return out, nil
}

func scanOrigin(row interface{ Scan(...any) error }) (o Origin, err error) {
	var layers, claims string
	if err := row.Scan(&o.Digest, &o.Image, &o.Kind, &o.Platform, &layers, &claims, &o.Problem, &o.ReadAt); err != nil {
		return o, err
	}
	if err := json.Unmarshal([]byte(layers), &o.Layers); err != nil {
		return o, fmt.Errorf("layers of %s: %w", o.Digest, err)
	}
	if err := json.Unmarshal([]byte(claims), &o.Claims); err != nil {
		return o, fmt.Errorf("claims of %s: %w", o.Digest, err)
	}
	return o, nil
}

// LayeredParents returns every digest with layers of images that others are made from: those that were seen at their
// references, and those whose inventories are indexed (see IndexAncestors). The youngest come first.
func LayeredParents(ctx context.Context, q Querier) ([]Layered, error) {
	return Collect(ctx, q, func(row interface{ Scan(...any) error }) (l Layered, err error) {
		return l, row.Scan(&l.Digest, &l.Image, &l.Platform, &l.Chain, &l.SeenAt)
	}, `SELECT digest, image, platform, chain, read_at FROM origin WHERE kind<>'application' AND chain<>''
		UNION SELECT digest, image, platform, chain, read_at FROM inventory_chain
			WHERE chain<>'' AND image IN (SELECT name FROM image WHERE kind<>'application') AND digest NOT IN (SELECT digest FROM origin)
		ORDER BY 5 DESC, 1`)
}

// LayeredParentsMark changes whenever LayeredParents may answer something else.
func LayeredParentsMark(ctx context.Context, q Querier) (mark string, err error) {
	var seen, seenAt, read, images int64
	err = q.QueryRow(ctx, `SELECT (SELECT COUNT(*) FROM origin WHERE kind<>'application'), (SELECT COALESCE(MAX(read_at),0) FROM origin WHERE kind<>'application'),
		(SELECT COUNT(*) FROM inventory_chain), (SELECT COUNT(*) FROM image WHERE kind<>'application')`).Scan(&seen, &seenAt, &read, &images)
	return fmt.Sprint(seen, " ", seenAt, " ", read, " ", images), err
}
