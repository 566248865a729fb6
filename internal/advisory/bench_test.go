package advisory_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"rebuilder/internal/advisory"
	"rebuilder/internal/inventory"
	"rebuilder/internal/store"
)

// The fleet of the benchmarks: as many inventories with as many packages each, some in all of them, the rest drawn by Zipf.
const (
	fleetSize     = 10_000
	fleetPackages = 300
	fleetEvery    = 100    // packages that all inventories have
	fleetNames    = 10_000 // packages that there are
	fleetVersions = 3      // of each
)

// A new advisory arrives, for a source of which each of 10,000 stored inventories has four packages: it is read, stored and
// held against them.
func BenchmarkRematchSQLite10k(b *testing.B) {
	f, err := sqliteFleet()
	if err != nil {
		b.Fatal(err)
	}
	f.rematch(b)
}

// BenchmarkRematchPostgres10k is the same on PostgreSQL; it needs scripts/with-postgres.
func BenchmarkRematchPostgres10k(b *testing.B) {
	f, err := postgresFleet()
	if err != nil {
		b.Fatal(err)
	}
	f.rematch(b)
}

// Each is made once for all runs of a benchmark.
var (
	sqliteFleet = sync.OnceValues(func() (*fleet, error) {
		dir, err := os.MkdirTemp("", "rebuilder-fleet-")
		if err != nil {
			return nil, err
		}
		cleanups = append(cleanups, func() error { return os.RemoveAll(dir) })
		return newFleet("sqlite:" + filepath.Join(dir, "fleet.db"))
	})
	postgresFleet = sync.OnceValues(func() (*fleet, error) {
		server := os.Getenv("PGURL")
		if server == "" {
			return nil, errors.New("PGURL is not set: run it as `scripts/with-postgres go test -bench ..`")
		}
		return newFleet(server)
	})
	cleanups []func() error // what outlives a benchmark
)

func TestMain(m *testing.M) {
	code := m.Run()
	for _, c := range slices.Backward(cleanups) {
		if err := c(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

type fleet struct {
	st   *store.Store
	dir  string
	book *advisory.Book
	n    int
}

func newFleet(dsn string) (*fleet, error) {
	ctx := context.Background()
	st, err := store.Open(ctx, dsn, nil)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "rebuilder-records-")
	if err != nil {
		return nil, err
	}
	cleanups = append(cleanups, st.Close, func() error { return os.RemoveAll(dir) })
	f := &fleet{st: st, dir: dir}
	if f.book, err = advisory.New(st, advisory.Config{Sources: []advisory.Source{{Name: "dir", Path: dir}}}); err != nil {
		return nil, err
	}
	return f, f.fill()
}

// fill lists the packages of the fleet as saving each inventory would, only faster.
func (f *fleet) fill() error {
	ctx := context.Background()
	for v := range fleetVersions {
		inv := &inventory.Inventory{Format: inventory.Format, Digest: digest(1_000_000 + v), OS: bookworm}
		for n := range fleetNames {
			inv.Packages = append(inv.Packages, fleetPackage(n, v))
		}
		if err := store.SaveInventory(ctx, f.st.Q(), "all", inv, 1); err != nil {
			return err
		}
	}
	type row struct {
		name, version string
		id            int64
	}
	rows, err := store.Collect(ctx, f.st.Q(), func(s interface{ Scan(...any) error }) (r row, err error) {
		return r, s.Scan(&r.name, &r.version, &r.id)
	}, `SELECT name, version, id FROM package`)
	if err != nil {
		return err
	}
	ids := map[string]int64{}
	for _, r := range rows {
		ids[r.name+" "+r.version] = r.id
	}
	listed, in := drawn(ids)
	if err := f.insert("listed", []string{"id", "digest", "packages", "layers", "unknown", "os", "os_version"}, listed); err != nil {
		return err
	}
	return f.insert("package_in", []string{"package", "listed", "layer", "held", "owned"}, in)
}

// drawn are the rows of the fleet, in the order of their keys, in which they are inserted the fastest.
func drawn(ids map[string]int64) (listed, in [][]any) {
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.2, 50, fleetNames-fleetEvery-1)
	for i := range fleetSize {
		listed = append(listed, []any{int64(i), digest(i).String(), fleetPackages, 1, 0, "debian", "12"})
		has := map[int64]bool{}
		for k := 0; len(has) < fleetPackages; k++ {
			name := k
			if k >= fleetEvery {
				name = fleetEvery + int(zipf.Uint64())
			}
			p := fleetPackage(name, (i+name)%fleetVersions)
			if id := ids[p.Name+" "+p.Version]; !has[id] {
				has[id] = true
				in = append(in, []any{id, int64(i), 0, 0, 0})
			}
		}
	}
	slices.SortFunc(in, func(a, b []any) int {
		return cmp.Or(cmp.Compare(a[0].(int64), b[0].(int64)), cmp.Compare(a[1].(int64), b[1].(int64)))
	})
	return listed, in
}

func (f *fleet) insert(table string, columns []string, rows [][]any) error {
	ctx := context.Background()
	if pool := f.st.Postgres(); pool != nil {
		_, err := pool.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromRows(rows))
		return err
	}
	return f.st.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		tuple := "(?" + strings.Repeat(",?", len(columns)-1) + ")"
		for part := range slices.Chunk(rows, 500) {
			query := `INSERT INTO ` + table + `(` + strings.Join(columns, ",") + `) VALUES ` + tuple + strings.Repeat(","+tuple, len(part)-1)
			if _, err := q.Exec(ctx, query, slices.Concat(part...)...); err != nil {
				return err
			}
		}
		return nil
	})
}

// fleetPackage is a package of a version; four each are of one source.
func fleetPackage(n, version int) inventory.Package {
	v := fmt.Sprintf("1.%d-1", version)
	return deb(fmt.Sprint("p", n), v, fmt.Sprint("s", n/4), v)
}

func (f *fleet) rematch(b *testing.B) {
	for b.Loop() {
		f.n++
		r := record(fmt.Sprintf("CVE-2026-%06d", f.n), "Debian:12", "s0", "introduced 0", "fixed 1.2-1")
		if err := os.WriteFile(filepath.Join(f.dir, fmt.Sprint(r["id"], ".json")), raw(b, r), 0o600); err != nil {
			b.Fatal(err)
		}
		if _, err := f.book.Sync(b.Context()); err != nil {
			b.Fatal(err)
		}
		// Four packages of each, two of whose three versions are hit, on average.
		if hits, err := f.book.Affected(b.Context(), fmt.Sprint(r["id"])); err != nil || len(hits) < 4*fleetSize/2 {
			b.Fatal(len(hits), err)
		}
	}
}

// 10,000 records of an advisory with five packages each are read for the first time.
func BenchmarkImport10k(b *testing.B) {
	dir := b.TempDir()
	var members []string
	for i := range 10_000 {
		r := with(record(fmt.Sprintf("ALSA-2026:%d", i), "AlmaLinux:9", fmt.Sprint("p", i%3000), "introduced 0", "fixed 1:2.3-4.el9"), "related", []string{fmt.Sprintf("CVE-2026-%05d", i)})
		for k := range 4 {
			r["affected"] = append(r["affected"].([]any), affected("AlmaLinux:9", fmt.Sprint("p", i%3000, "-", k), "introduced 0", "fixed 1:2.3-4.el9"))
		}
		members = append(members, fmt.Sprint(r["id"], ".json"), string(raw(b, with(r, "details", strings.Repeat("what happened ", 100)))))
	}
	if err := os.WriteFile(filepath.Join(dir, "all.zip"), zipped(b, members...), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		st, err := store.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "x.db"), nil)
		if err != nil {
			b.Fatal(err)
		}
		book, err := advisory.New(st, advisory.Config{Sources: []advisory.Source{{Name: "zip", Path: dir}}})
		if err != nil {
			b.Fatal(err)
		}
		if all, err := book.Sync(b.Context()); err != nil || all[0].Records != 10_000 || all[0].Broken != 0 {
			b.Fatal(all, err)
		}
		if err := st.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// An image of 300 packages, each with 20 advisories of which one hits.
func BenchmarkFindings300(b *testing.B) {
	st, err := store.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "x.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	var members []string
	inv := image(bookworm)
	for p := range 300 {
		inv.Packages = append(inv.Packages, deb(fmt.Sprint("p", p), "5-1", fmt.Sprint("p", p), "5-1"))
		for k := range 20 {
			r := record(fmt.Sprintf("CVE-2026-%06d", p*20+k), "Debian:12", fmt.Sprint("p", p), "introduced 0", fmt.Sprintf("fixed %d-1", 1+k/16*4+k/19))
			members = append(members, fmt.Sprint(r["id"], ".json"), string(raw(b, r)))
		}
	}
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "all.zip"), zipped(b, members...), 0o600); err != nil {
		b.Fatal(err)
	}
	book, err := advisory.New(st, advisory.Config{Sources: []advisory.Source{{Name: "zip", Path: dir}}})
	if err == nil {
		_, err = book.Sync(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if r, err := book.Findings(b.Context(), inv); err != nil || len(r.Findings) != 300 {
			b.Fatal(len(r.Findings), err)
		}
	}
}
