package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"rebuilder/internal/inventory"
)

// Package is one package of one version, as inventories have it.
type Package struct {
	Type          string // as inventory.Package has it
	Name          string
	Version       string
	Architecture  string
	Source        string // Name, where the inventory names none
	SourceVersion string // Version, where the inventory has none
}

// Holding is a package in an inventory.
type Holding struct {
	Package
	Digest string
	Layer  int // index in the inventory's layers
	Held   bool
	Owned  bool         // a library among the files of a package of the distribution
	OS     inventory.OS // of the inventory, without its codename
}

// packageRow is a package of one inventory with its key.
type packageRow struct {
	Package
	id    int64
	layer int
	held  bool
	owned bool
}

// rowsPerWrite bounds one statement: SQLite takes 32,766 parameters, and no writer should wait long for its turn.
const rowsPerWrite = 300

// list makes the packages of a stored inventory findable. It is safe to repeat, and marks the inventory as listed last,
// so that what was cut off in the middle is done again. was is the stored inventory that inv replaces; nil when none.
func list(ctx context.Context, q Querier, inv, was *inventory.Inventory) error {
	digest := inv.Digest.String()
	id := key(digest)
	if was != nil {
		if err := unlist(ctx, q, id, was); err != nil {
			return fmt.Errorf("packages of %s: %w", digest, err)
		}
	}
	rows := packageRows(inv)
	for part := range slices.Chunk(rows, rowsPerWrite) {
		if err := writePackages(ctx, q, id, part); err != nil {
			return fmt.Errorf("packages of %s: %w", digest, err)
		}
	}
	if err := writeTypes(ctx, q, id, rows); err != nil {
		return fmt.Errorf("types of the packages of %s: %w", digest, err)
	}
	_, err := q.Exec(ctx, `INSERT INTO listed(id, digest, packages, layers, unknown, os, os_version) VALUES($1,$2,$3,$4,$5,$6,$7)
		ON CONFLICT(id) DO UPDATE SET packages=excluded.packages, layers=excluded.layers, unknown=excluded.unknown, os=excluded.os, os_version=excluded.os_version`,
		id, digest, len(inv.Packages), len(inv.DiffIDs), len(inv.Unknown), inv.OS.ID, inv.OS.Version)
	return err
}

// unlist takes back what an earlier reading of the same digest had listed.
func unlist(ctx context.Context, q Querier, id int64, was *inventory.Inventory) error {
	if _, err := q.Exec(ctx, `DELETE FROM listed WHERE id=$1`, id); err != nil {
		return err
	}
	for part := range slices.Chunk(packageRows(was), rowsPerWrite) {
		args := []any{id}
		for _, r := range part {
			args = append(args, r.id)
		}
		if _, err := q.Exec(ctx, `DELETE FROM package_in WHERE listed=$1 AND package IN (`+numbered(2, len(part))+`)`, args...); err != nil {
			return err
		}
	}
	return nil
}

func writePackages(ctx context.Context, q Querier, id int64, rows []packageRow) error {
	var packages, in []any
	for _, r := range rows {
		packages = append(packages, r.id, r.Type, r.Name, r.Version, r.Architecture, r.Source, r.SourceVersion)
		in = append(in, r.id, id, r.layer, bit(r.held), bit(r.owned))
	}
	if _, err := q.Exec(ctx, `INSERT INTO package(id, type, name, version, architecture, source, source_version) VALUES `+tuples(len(rows), 7)+`
		ON CONFLICT(id) DO NOTHING`, packages...); err != nil {
		return err
	}
	_, err := q.Exec(ctx, `INSERT INTO package_in(package, listed, layer, held, owned) VALUES `+tuples(len(rows), 5)+`
		ON CONFLICT(package, listed) DO UPDATE SET layer=excluded.layer, held=excluded.held, owned=excluded.owned`, in...)
	return err
}

// writeTypes counts an inventory's packages by type, in the place of what was counted before.
func writeTypes(ctx context.Context, q Querier, id int64, rows []packageRow) error {
	if _, err := q.Exec(ctx, `DELETE FROM listed_type WHERE listed=$1`, id); err != nil {
		return err
	}
	count := map[string]int{}
	for _, r := range rows {
		if !r.owned {
			count[r.Type]++
		}
	}
	for _, t := range slices.Sorted(maps.Keys(count)) {
		if _, err := q.Exec(ctx, `INSERT INTO listed_type(listed, type, packages) VALUES($1,$2,$3)`, id, t, count[t]); err != nil {
			return err
		}
	}
	return nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// packageRows are an inventory's packages, each once, in the order of their keys: rows are touched in a fixed order. A
// library of one version may lie in many files: it is owned only if all are, and the lowest layer counts.
func packageRows(inv *inventory.Inventory) []packageRow {
	rows := make([]packageRow, 0, len(inv.Packages))
	for _, p := range inv.Packages {
		r := packageRow{Package: Package{Type: cmp.Or(p.Type, inventory.Deb), Name: p.Name, Version: p.Version, Architecture: p.Architecture, Source: cmp.Or(p.Source, p.Name), SourceVersion: cmp.Or(p.SourceVersion, p.Version)},
			layer: max(p.Layer, 0), held: p.Held, owned: p.Owner != ""}
		r.id = key(r.Type, r.Name, r.Version, r.Architecture, r.Source, r.SourceVersion)
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(a, b packageRow) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(bit(a.owned), bit(b.owned)), cmp.Compare(a.layer, b.layer))
	})
	return slices.CompactFunc(rows, func(a, b packageRow) bool { return a.id == b.id })
}

// key makes a number of a row's identity. Two of a million rows have the same one in one of ten million fleets, and
// nobody can make one that is another's.
func key(identity ...string) int64 {
	sum := sha256.New()
	for _, s := range identity {
		fmt.Fprintf(sum, "%d:%s", len(s), s)
	}
	return int64(binary.BigEndian.Uint64(sum.Sum(nil)) >> 1) // #nosec G115 -- 63 bits
}

// tuples are the placeholders of rows: ($1,$2),($3,$4).
func tuples(rows, width int) string {
	all := make([]string, rows)
	for i := range all {
		all[i] = "(" + numbered(1+i*width, width) + ")"
	}
	return strings.Join(all, ",")
}

// numbered are n placeholders from $first on.
func numbered(first, n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("$%d", first+i)
	}
	return strings.Join(all, ",")
}

// whole runs fn in one transaction: the caller's, or, when q is none, one of its own.
func whole(ctx context.Context, q Querier, fn func(Querier) error) error {
	if s, ok := q.(storable); ok {
		if db, ok := s.q.(database); ok {
			return (&Store{db: db, log: slog.New(slog.DiscardHandler)}).Tx(ctx, func(_ context.Context, q Querier) error { return fn(q) })
		}
	}
	return fn(q)
}

// ListInventories lists up to most stored inventories that were stored before there was a list, each in a transaction of
// its own. It returns how many it listed; when that is less than most, all are. It may be stopped at any moment and run
// again, also by several at once. An inventory that cannot be decoded is passed over and not counted: it is read anew
// when it is needed.
func ListInventories(ctx context.Context, st *Store, most int) (n int, err error) {
	after := ""
	for n < most {
		digests, err := Collect(ctx, st.Q(), scanString, `SELECT digest FROM inventory WHERE digest>$1
			AND NOT EXISTS (SELECT 1 FROM listed WHERE listed.digest=inventory.digest) ORDER BY digest LIMIT $2`, after, most-n)
		if err != nil || len(digests) == 0 {
			return n, err
		}
		for _, d := range digests {
			after = d
			listed, err := listStored(ctx, st, d)
			if err != nil {
				return n, err
			}
			if listed {
				n++
			}
		}
	}
	return n, nil
}

func listStored(ctx context.Context, st *Store, digest string) (listed bool, err error) {
	err = st.Tx(ctx, func(ctx context.Context, q Querier) error {
		inv, err := storedInventory(ctx, q, digest)
		listed = inv != nil && inv.Digest.String() == digest
		if err != nil || !listed {
			return err
		}
		return list(ctx, q, inv, nil)
	})
	return listed && err == nil, err
}

// storedInventory is an inventory in whatever format it was stored; nil when there is none, or none that can be decoded.
func storedInventory(ctx context.Context, q Querier, digest string) (*inventory.Inventory, error) {
	bodies, err := Collect(ctx, q, scanString, `SELECT body FROM inventory WHERE digest=$1`, digest)
	if err != nil || len(bodies) == 0 {
		return nil, err
	}
	inv := new(inventory.Inventory)
	if json.Unmarshal([]byte(bodies[0]), inv) != nil {
		return nil, nil
	}
	return inv, nil
}

// PackagesOf returns the packages of all listed inventories that have a name, or are built from a source of that name, in
// no order.
func PackagesOf(ctx context.Context, q Querier, name string) ([]Package, error) {
	found, err := packagesOf(ctx, q, name)
	out := make([]Package, 0, len(found))
	for _, r := range found {
		out = append(out, r.Package)
	}
	return out, err
}

func packagesOf(ctx context.Context, q Querier, name string) ([]packageRow, error) {
	return Collect(ctx, q, func(row interface{ Scan(...any) error }) (r packageRow, err error) {
		return r, row.Scan(&r.id, &r.Type, &r.Name, &r.Version, &r.Architecture, &r.Source, &r.SourceVersion)
	}, `SELECT id, type, name, version, architecture, source, source_version FROM package WHERE name=$1 OR source=$1`, name)
}

// Holdings returns where the packages of a name, or of a source of that name, are: one for each package of each listed
// inventory, in no order. Inventories that no image points to any more are among them.
func Holdings(ctx context.Context, q Querier, name string) ([]Holding, error) {
	return HoldingsOf(ctx, q, name, func(Package) bool { return true })
}

// HoldingsOf is Holdings of those packages only that which says so of. It is asked once for each package of one version,
// however many inventories hold it.
func HoldingsOf(ctx context.Context, q Querier, name string, which func(Package) bool) ([]Holding, error) {
	packages, err := packagesOf(ctx, q, name)
	if err != nil {
		return nil, err
	}
	packages = slices.DeleteFunc(packages, func(r packageRow) bool { return !which(r.Package) })
	of := make(map[int64]Package, len(packages))
	for _, r := range packages {
		of[r.id] = r.Package
	}
	all := []Holding{}
	for part := range slices.Chunk(packages, rowsPerWrite) {
		args := make([]any, len(part))
		for i, r := range part {
			args[i] = r.id
		}
		some, err := Collect(ctx, q, func(row interface{ Scan(...any) error }) (h Holding, err error) {
			var id, held, owned int64
			err = row.Scan(&id, &h.Digest, &h.Layer, &held, &owned, &h.OS.ID, &h.OS.Version)
			h.Package, h.Held, h.Owned = of[id], held == 1, owned == 1
			return h, err
		}, `SELECT i.package, l.digest, i.layer, i.held, i.owned, l.os, l.os_version FROM package_in i JOIN listed l ON l.id=i.listed WHERE i.package IN (`+numbered(1, len(part))+`)`, args...)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// Contents is how much is in a listed inventory.
type Contents struct {
	Packages int
	Layers   int
	Unknown  int // sentences on what could not be told of it
}

// Listed returns the listed inventories by digest.
func Listed(ctx context.Context, q Querier) (map[string]Contents, error) {
	type row struct {
		digest string
		Contents
	}
	rows, err := Collect(ctx, q, func(s interface{ Scan(...any) error }) (r row, err error) {
		return r, s.Scan(&r.digest, &r.Packages, &r.Layers, &r.Unknown)
	}, `SELECT digest, packages, layers, unknown FROM listed`)
	out := make(map[string]Contents, len(rows))
	for _, r := range rows {
		out[r.digest] = r.Contents
	}
	return out, err
}

// System is what the packages of a listed inventory are of.
type System struct {
	OS    inventory.OS   // without its codename
	Types map[string]int // how many packages of each type, without libraries that the distribution owns
}

// Systems returns those of all listed inventories, by digest.
func Systems(ctx context.Context, q Querier) (map[string]System, error) {
	out := map[string]System{}
	_, err := Collect(ctx, q, func(row interface{ Scan(...any) error }) (_ struct{}, err error) {
		var digest, family string
		var os inventory.OS
		var n int
		if err := row.Scan(&digest, &os.ID, &os.Version, &family, &n); err != nil {
			return struct{}{}, err
		}
		s, ok := out[digest]
		if !ok {
			s = System{OS: os, Types: map[string]int{}}
			out[digest] = s
		}
		if n > 0 {
			s.Types[family] = n
		}
		return struct{}{}, nil
	}, `SELECT l.digest, l.os, l.os_version, COALESCE(t.type, ''), COALESCE(t.packages, 0) FROM listed l LEFT JOIN listed_type t ON t.listed=l.id`)
	return out, err
}

// PackageNames returns the names of all packages and sources of listed inventories, each once, in no order.
func PackageNames(ctx context.Context, q Querier) ([]string, error) {
	return Collect(ctx, q, scanString, `SELECT name FROM package UNION SELECT source FROM package`)
}

// Read is a digest whose inventory is stored.
type Read struct {
	Digest string
	Image  string // for which it was read first
	ReadAt int64
}

// ReadDigests returns the digests with a stored inventory that start with prefix, "sha256:ab": at most most, in order.
func ReadDigests(ctx context.Context, q Querier, prefix string, most int) ([]Read, error) {
	return Collect(ctx, q, scanRead, `SELECT digest, image, read_at FROM inventory WHERE digest>=$1 AND digest<$2 ORDER BY digest LIMIT $3`, prefix, prefix+"g", most)
}

// ReadBefore returns the digests of an image and platform that were read before a moment, the last read first: at most most.
func ReadBefore(ctx context.Context, q Querier, image, platform string, at int64, most int) ([]Read, error) {
	return Collect(ctx, q, scanRead, `SELECT digest, image, read_at FROM inventory WHERE image=$1 AND platform=$2 AND read_at<$3 ORDER BY read_at DESC, digest LIMIT $4`,
		image, platform, at, most)
}

// ReadOf says for which image and when each of some digests was read, by digest. Those that were not are left out.
func ReadOf(ctx context.Context, q Querier, digests []string) (map[string]Read, error) {
	out := make(map[string]Read, len(digests))
	for part := range slices.Chunk(digests, rowsPerWrite) {
		args := make([]any, len(part))
		for i, d := range part {
			args[i] = d
		}
		some, err := Collect(ctx, q, scanRead, `SELECT digest, image, read_at FROM inventory WHERE digest IN (`+numbered(1, len(part))+`)`, args...)
		if err != nil {
			return nil, err
		}
		for _, r := range some {
			out[r.Digest] = r
		}
	}
	return out, nil
}

func scanRead(row interface{ Scan(...any) error }) (r Read, err error) {
	return r, row.Scan(&r.Digest, &r.Image, &r.ReadAt)
}
