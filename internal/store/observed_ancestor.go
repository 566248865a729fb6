package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
)

// Ancestor is an inventory whose layers another image's begin with.
type Ancestor struct {
	Image    string // in the catalog, as the inventory was read for it
	Digest   string
	Platform string
	Layers   int
	ReadAt   int64
}

// IndexAncestors makes the layers of at most limit inventories findable that are not yet so, and returns how many it did.
func IndexAncestors(ctx context.Context, q Querier, limit int) (done int, err error) {
	type row struct {
		Ancestor
		body string
	}
	rows, err := Collect(ctx, q, func(s interface{ Scan(...any) error }) (r row, err error) {
		return r, s.Scan(&r.Digest, &r.Image, &r.Platform, &r.ReadAt, &r.body)
	}, `SELECT digest, image, platform, read_at, body FROM inventory i WHERE NOT EXISTS (SELECT 1 FROM inventory_chain c WHERE c.digest=i.digest) ORDER BY digest LIMIT $1`, limit)
	if err != nil {
		return 0, err
	}
	for _, r := range rows {
		var body struct {
			DiffIDs []string `json:"diff_ids"`
		}
		if err := json.Unmarshal([]byte(r.body), &body); err != nil {
			return done, fmt.Errorf("stored inventory of %s: %w", r.Digest, err)
		}
		chain := ""
		if all := chains(body.DiffIDs); len(all) > 0 {
			chain = all[len(all)-1]
		}
		if _, err := q.Exec(ctx, `INSERT INTO inventory_chain(digest, image, platform, chain, layers, read_at) VALUES($1,$2,$3,$4,$5,$6) ON CONFLICT(digest) DO NOTHING`,
			r.Digest, r.Image, r.Platform, chain, len(body.DiffIDs), r.ReadAt); err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}

// Ancestors returns the indexed inventories whose layers are all of diffIDs or their beginning: those with most layers
// first, the youngest first among equals. Inventories without layers are nobody's ancestors.
func Ancestors(ctx context.Context, q Querier, diffIDs []string) ([]Ancestor, error) {
	all := chains(diffIDs)
	if len(all) == 0 {
		return []Ancestor{}, nil
	}
	var in []string
	args := make([]any, len(all))
	for i, c := range all {
		in, args[i] = append(in, "$"+strconv.Itoa(i+1)), c
	}
	return Collect(ctx, q, func(s interface{ Scan(...any) error }) (a Ancestor, err error) {
		return a, s.Scan(&a.Image, &a.Digest, &a.Platform, &a.Layers, &a.ReadAt)
	}, `SELECT image, digest, platform, layers, read_at FROM inventory_chain WHERE chain IN (`+strings.Join(in, ",")+`) ORDER BY layers DESC, read_at DESC, digest`, args...)
}

// chains are the chain ids of the first layer, the first two, and so on.
func chains(diffIDs []string) []string {
	ids := make([]digest.Digest, len(diffIDs))
	for i, d := range diffIDs {
		ids[i] = digest.Digest(d)
	}
	out := make([]string, len(ids))
	for i, id := range identity.ChainIDs(ids) {
		out[i] = id.String()
	}
	return out
}
