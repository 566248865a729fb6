package store

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// AdvisorySource is how reading a source of advisories went.
type AdvisorySource struct {
	Name  string
	Kind  string // osv, kev, epss
	Place string // the path or address that it was read from
	// Cursor is what the next look goes on from. It belongs to the reader; empty: from the beginning.
	Cursor    string
	LookedAt  int64
	OKAt      int64 // the last look that worked
	ChangedAt int64 // the last look that found something new
	ListedAt  int64 // the date that a list gives itself
	Records   int
	Broken    int
	// Ecosystems are those that it has advisories for, as of the last look that worked: one that was read in half has none.
	Ecosystems []string
	Problems   []string // the first broken ones
	Error      string
	Revision   int64 // one more with each change
}

// Advisory is one record as far as it is matched and shown. It is known by the file of a source that holds it.
type Advisory struct {
	Source, Path string
	Mark         string // the same for as long as the file is
	Problem      string // why the file, as it is now, cannot be read; then the rest is of the one before

	ID        string
	Aliases   []string // other names of the same
	Upstream  []string // what it is about, where it gathers several: the CVEs of a DSA
	Summary   string
	Severity  string
	Vector    string
	Score     float64
	Published int64
	Modified  int64
	Withdrawn int64 // 0: it is not
	KnownAt   int64 // when it was first read here
}

// AdvisoryPackage says which versions of a package a record affects. Body is the reader's.
type AdvisoryPackage struct {
	Ecosystem string // "Debian:12", "Go"
	Name      string
	Body      string
	Fixed     bool // it names a version with the fix
	// FixedAt is since when one is known, as is filled in here: of a record that is new here, since it was modified last.
	FixedAt int64
}

// AdvisoryRecord is a record with the packages that it affects.
type AdvisoryRecord struct {
	Advisory
	Packages []AdvisoryPackage
	// Names are those that it can be asked for by.
	Names []string
}

// AdvisoryMatch is a package of a record, with the record.
type AdvisoryMatch struct {
	AdvisoryPackage
	Advisory Advisory
}

// AdvisoryFact is what a list says of a CVE.
type AdvisoryFact struct {
	Source string
	Name   string
	Value  float64
	At     int64
}

const sourceColumns = `name, kind, place, cursor, looked_at, ok_at, changed_at, listed_at, records, broken, problems, ecosystems, error, revision`

func scanSource(row interface{ Scan(...any) error }) (s AdvisorySource, err error) {
	var problems, ecosystems string
	if err := row.Scan(&s.Name, &s.Kind, &s.Place, &s.Cursor, &s.LookedAt, &s.OKAt, &s.ChangedAt, &s.ListedAt, &s.Records, &s.Broken, &problems, &ecosystems, &s.Error, &s.Revision); err != nil {
		return s, err
	}
	if err := json.Unmarshal([]byte(problems), &s.Problems); err != nil {
		return s, err
	}
	return s, json.Unmarshal([]byte(ecosystems), &s.Ecosystems)
}

// AdvisorySources returns all sources that were ever looked at and not forgotten, by name.
func AdvisorySources(ctx context.Context, q Querier) ([]AdvisorySource, error) {
	return Collect(ctx, q, scanSource, `SELECT `+sourceColumns+` FROM advisory_source ORDER BY name`)
}

// GetAdvisorySource returns one source; found is false when it was never looked at.
func GetAdvisorySource(ctx context.Context, q Querier, name string) (s AdvisorySource, found bool, err error) {
	s, err = scanSource(q.QueryRow(ctx, `SELECT `+sourceColumns+` FROM advisory_source WHERE name=$1`, name))
	if errors.Is(err, ErrNoRows) {
		return s, false, nil
	}
	return s, err == nil, err
}

// SaveAdvisorySource writes how a look went. Revision stays what it is.
func SaveAdvisorySource(ctx context.Context, q Querier, s AdvisorySource) error {
	problems, ecosystems, err := jsonLists(s.Problems, s.Ecosystems)
	if err != nil {
		return err
	}
	_, err = q.Exec(ctx, `INSERT INTO advisory_source(`+sourceColumns+`) VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,0)
		ON CONFLICT(name) DO UPDATE SET kind=excluded.kind, place=excluded.place, cursor=excluded.cursor, looked_at=excluded.looked_at, ok_at=excluded.ok_at,
		changed_at=excluded.changed_at, listed_at=excluded.listed_at, records=excluded.records, broken=excluded.broken, problems=excluded.problems, ecosystems=excluded.ecosystems, error=excluded.error`,
		s.Name, s.Kind, s.Place, s.Cursor, s.LookedAt, s.OKAt, s.ChangedAt, s.ListedAt, s.Records, s.Broken, problems, ecosystems, bounded(s.Error))
	return err
}

// AdvisoryMarks returns the marks of a source's files, by path.
func AdvisoryMarks(ctx context.Context, q Querier, source string) (map[string]string, error) {
	type row struct{ path, mark string }
	rows, err := Collect(ctx, q, func(s interface{ Scan(...any) error }) (r row, err error) { return r, s.Scan(&r.path, &r.mark) },
		`SELECT path, mark FROM advisory WHERE source=$1`, source)
	marks := make(map[string]string, len(rows))
	for _, r := range rows {
		marks[r.path] = r.mark
	}
	return marks, err
}

// CountAdvisories says how many files of a source were read, how many of them cannot be, and names the first few of those.
func CountAdvisories(ctx context.Context, q Querier, source string, few int) (records, broken int, problems []string, err error) {
	err = q.QueryRow(ctx, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN problem='' THEN 0 ELSE 1 END), 0) FROM advisory WHERE source=$1`, source).Scan(&records, &broken)
	if err != nil || broken == 0 {
		return records, broken, nil, err
	}
	problems, err = Collect(ctx, q, func(s interface{ Scan(...any) error }) (string, error) {
		var path, problem string
		err := s.Scan(&path, &problem)
		return path + ": " + problem, err
	}, `SELECT path, problem FROM advisory WHERE source=$1 AND problem<>'' ORDER BY path LIMIT $2`, source, few)
	return records, broken, problems, err
}

// SaveAdvisories writes records of one source, each in the place of what its file held before, in one transaction. One with
// a problem leaves what its file held before as it was. It is safe to repeat.
func SaveAdvisories(ctx context.Context, st *Store, source string, records []AdvisoryRecord) error {
	if len(records) == 0 {
		return nil
	}
	now := st.Now()
	return st.Tx(ctx, func(ctx context.Context, q Querier) error {
		if err := revise(ctx, q, source); err != nil {
			return err
		}
		return saveAdvisories(ctx, q, source, records, now)
	})
}

func saveAdvisories(ctx context.Context, q Querier, source string, records []AdvisoryRecord, now int64) error {
	var good []AdvisoryRecord
	var keys []any
	for _, r := range records {
		r.Source = source
		if r.Problem != "" {
			if err := breakAdvisory(ctx, q, r.Advisory, now); err != nil {
				return err
			}
			continue
		}
		good, keys = append(good, r), append(keys, advisoryKey(source, r.Path))
	}
	since, err := fixesKnown(ctx, q, keys)
	if err != nil {
		return err
	}
	if err := clearAdvisories(ctx, q, keys, "advisory_package", "advisory_name"); err != nil {
		return err
	}
	var rows, packages, names []any
	for _, r := range good {
		key := advisoryKey(source, r.Path)
		aliases, upstream, err := jsonLists(r.Aliases, r.Upstream)
		if err != nil {
			return err
		}
		rows = append(rows, key, source, r.Path, r.Mark, "", r.ID, aliases, upstream, r.Summary, r.Severity, r.Vector, r.Score, r.Published, r.Modified, r.Withdrawn, now)
		for _, p := range r.Packages {
			packages = append(packages, p.Ecosystem, p.Name, key, p.Body, since.of(key, p, r.Modified, now))
		}
		for _, n := range r.Names {
			names = append(names, strings.ToUpper(n), key)
		}
	}
	if err := insert(ctx, q, `INSERT INTO advisory(key, source, path, mark, problem, id, aliases, upstream, summary, severity, vector, score, published, modified, withdrawn, known_at) VALUES `,
		` ON CONFLICT(key) DO UPDATE SET mark=excluded.mark, problem='', id=excluded.id, aliases=excluded.aliases, upstream=excluded.upstream, summary=excluded.summary,
		severity=excluded.severity, vector=excluded.vector, score=excluded.score, published=excluded.published, modified=excluded.modified, withdrawn=excluded.withdrawn,
		known_at=CASE WHEN advisory.id='' THEN excluded.known_at ELSE advisory.known_at END`, 16, rows); err != nil {
		return err
	}
	if err := insert(ctx, q, `INSERT INTO advisory_package(ecosystem, name, advisory, body, fixed_at) VALUES `, ` ON CONFLICT(ecosystem, name, advisory) DO NOTHING`, 5, packages); err != nil {
		return err
	}
	return insert(ctx, q, `INSERT INTO advisory_name(name, advisory) VALUES `, ` ON CONFLICT(name, advisory) DO NOTHING`, 2, names)
}

// fixPlace is a package of a record.
type fixPlace struct {
	key             int64
	ecosystem, name string
}

// fixes is since when fixes are known that stored records name, and which records are stored.
type fixes struct {
	at     map[fixPlace]int64
	stored map[int64]bool
}

func fixesKnown(ctx context.Context, q Querier, keys []any) (f fixes, err error) {
	f = fixes{at: map[fixPlace]int64{}, stored: map[int64]bool{}}
	for part := range slices.Chunk(keys, rowsPerWrite) {
		_, err := Collect(ctx, q, func(row interface{ Scan(...any) error }) (p fixPlace, err error) {
			var at int64
			err = row.Scan(&p.key, &p.ecosystem, &p.name, &at)
			f.stored[p.key] = true
			f.at[p] = at
			return p, err
		}, `SELECT a.key, COALESCE(p.ecosystem, ''), COALESCE(p.name, ''), COALESCE(p.fixed_at, 0) FROM advisory a LEFT JOIN advisory_package p ON p.advisory=a.key
			WHERE a.id<>'' AND a.key IN (`+numbered(1, len(part))+`)`, part...)
		if err != nil {
			return f, err
		}
	}
	return f, nil
}

// of is since when a fix of a package is known.
func (f fixes) of(key int64, p AdvisoryPackage, modified, now int64) int64 {
	was := f.at[fixPlace{key, p.Ecosystem, p.Name}]
	switch {
	case !p.Fixed:
		return 0
	case was > 0:
		return was
	case f.stored[key] || modified <= 0:
		return now
	}
	return min(modified, now)
}

// breakAdvisory keeps what a file held before it could not be read any more.
func breakAdvisory(ctx context.Context, q Querier, a Advisory, now int64) error {
	_, err := q.Exec(ctx, `INSERT INTO advisory(key, source, path, mark, problem, known_at) VALUES($1,$2,$3,$4,$5,$6)
		ON CONFLICT(key) DO UPDATE SET mark=excluded.mark, problem=excluded.problem`, advisoryKey(a.Source, a.Path), a.Source, a.Path, a.Mark, bounded(a.Problem), now)
	return err
}

// insert writes rows of a width, some at a time.
func insert(ctx context.Context, q Querier, before, after string, width int, values []any) error {
	for part := range slices.Chunk(values, rowsPerWrite*width) {
		if _, err := q.Exec(ctx, before+tuples(len(part)/width, width)+after, part...); err != nil {
			return err
		}
	}
	return nil
}

func advisoryKey(source, path string) int64 { return key(source, path) }

// clearAdvisories removes what tables have of some records.
func clearAdvisories(ctx context.Context, q Querier, keys []any, tables ...string) error {
	for part := range slices.Chunk(keys, rowsPerWrite) {
		for _, t := range tables {
			if _, err := q.Exec(ctx, `DELETE FROM `+t+` WHERE advisory IN (`+numbered(1, len(part))+`)`, part...); err != nil {
				return err
			}
		}
	}
	return nil
}

// revise says that a source is not what it was.
func revise(ctx context.Context, q Querier, source string) error {
	_, err := q.Exec(ctx, `UPDATE advisory_source SET revision=revision+1 WHERE name=$1`, source)
	return err
}

// RemoveAdvisories removes the records of files that a source does not have any more, some in each transaction.
func RemoveAdvisories(ctx context.Context, st *Store, source string, paths []string) error {
	for part := range slices.Chunk(paths, rowsPerWrite) {
		keys := make([]any, len(part))
		for i, p := range part {
			keys[i] = advisoryKey(source, p)
		}
		err := st.Tx(ctx, func(ctx context.Context, q Querier) error {
			if err := revise(ctx, q, source); err != nil {
				return err
			}
			if err := clearAdvisories(ctx, q, keys, "advisory_package", "advisory_name"); err != nil {
				return err
			}
			_, err := q.Exec(ctx, `DELETE FROM advisory WHERE key IN (`+numbered(1, len(keys))+`)`, keys...)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ForgetAdvisorySource removes a source and all that it brought. It may be cut off in the middle and repeated.
func ForgetAdvisorySource(ctx context.Context, st *Store, source string) error {
	marks, err := AdvisoryMarks(ctx, st.Q(), source)
	if err != nil {
		return err
	}
	paths := make([]string, 0, len(marks))
	for p := range marks {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	if err := RemoveAdvisories(ctx, st, source, paths); err != nil {
		return err
	}
	return st.Tx(ctx, func(ctx context.Context, q Querier) error {
		if _, err := q.Exec(ctx, `DELETE FROM advisory_fact WHERE source=$1`, source); err != nil {
			return err
		}
		_, err := q.Exec(ctx, `DELETE FROM advisory_source WHERE name=$1`, source)
		return err
	})
}

const advisoryColumns = `a.source, a.path, a.mark, a.problem, a.id, a.aliases, a.upstream, a.summary, a.severity, a.vector, a.score, a.published, a.modified, a.withdrawn, a.known_at`

func scanAdvisory(row interface{ Scan(...any) error }, more ...any) (a Advisory, err error) {
	var aliases, upstream string
	into := []any{&a.Source, &a.Path, &a.Mark, &a.Problem, &a.ID, &aliases, &upstream, &a.Summary, &a.Severity, &a.Vector, &a.Score, &a.Published, &a.Modified, &a.Withdrawn, &a.KnownAt}
	if err := row.Scan(append(into, more...)...); err != nil {
		return a, err
	}
	if err := json.Unmarshal([]byte(aliases), &a.Aliases); err != nil {
		return a, err
	}
	return a, json.Unmarshal([]byte(upstream), &a.Upstream)
}

func scanMatch(row interface{ Scan(...any) error }) (m AdvisoryMatch, err error) {
	m.Advisory, err = scanAdvisory(row, &m.Ecosystem, &m.Name, &m.Body, &m.FixedAt)
	m.Fixed = m.FixedAt > 0
	return m, err
}

// AdvisoriesFor returns what records say of packages of an ecosystem, in no order.
func AdvisoriesFor(ctx context.Context, q Querier, ecosystem string, names []string) ([]AdvisoryMatch, error) {
	all := []AdvisoryMatch{}
	for part := range slices.Chunk(names, rowsPerWrite) {
		args := []any{ecosystem}
		for _, n := range part {
			args = append(args, n)
		}
		some, err := Collect(ctx, q, scanMatch, `SELECT `+advisoryColumns+`, p.ecosystem, p.name, p.body, p.fixed_at
			FROM advisory_package p JOIN advisory a ON a.key=p.advisory WHERE p.ecosystem=$1 AND p.name IN (`+numbered(2, len(part))+`)`, args...)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// AdvisoriesNamed returns the records that have a name, in whatever letters, by source and path.
func AdvisoriesNamed(ctx context.Context, q Querier, name string) ([]Advisory, error) {
	return Collect(ctx, q, func(row interface{ Scan(...any) error }) (Advisory, error) { return scanAdvisory(row) },
		`SELECT `+advisoryColumns+` FROM advisory_name n JOIN advisory a ON a.key=n.advisory WHERE n.name=$1 ORDER BY a.source, a.path`, strings.ToUpper(name))
}

// AdvisoryPackagesNamed returns the packages of the records that have a name, in whatever letters, by ecosystem and name.
func AdvisoryPackagesNamed(ctx context.Context, q Querier, name string) ([]AdvisoryMatch, error) {
	return Collect(ctx, q, scanMatch, `SELECT `+advisoryColumns+`, p.ecosystem, p.name, p.body, p.fixed_at FROM advisory_name n
		JOIN advisory_package p ON p.advisory=n.advisory JOIN advisory a ON a.key=n.advisory WHERE n.name=$1 ORDER BY p.ecosystem, p.name, a.source, a.path`, strings.ToUpper(name))
}

// AdvisoryEcosystems returns the ecosystems that a source has advisories for.
func AdvisoryEcosystems(ctx context.Context, q Querier, source string) ([]string, error) {
	return Collect(ctx, q, scanString, `SELECT DISTINCT p.ecosystem FROM advisory_package p JOIN advisory a ON a.key=p.advisory WHERE a.source=$1 ORDER BY 1`, source)
}

func scanFact(row interface{ Scan(...any) error }) (f AdvisoryFact, err error) {
	return f, row.Scan(&f.Source, &f.Name, &f.Value, &f.At)
}

// AdvisoryFacts returns what all lists say of some CVEs, in the order of names and sources.
func AdvisoryFacts(ctx context.Context, q Querier, names []string) ([]AdvisoryFact, error) {
	all := []AdvisoryFact{}
	for part := range slices.Chunk(names, rowsPerWrite) {
		args := make([]any, len(part))
		for i, n := range part {
			args[i] = n
		}
		some, err := Collect(ctx, q, scanFact, `SELECT source, name, value, at FROM advisory_fact WHERE name IN (`+numbered(1, len(part))+`) ORDER BY name, source`, args...)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// SaveAdvisoryFacts writes those of some facts of one list that are not what they were, in one transaction, and says how
// many those are.
func SaveAdvisoryFacts(ctx context.Context, st *Store, source string, facts []AdvisoryFact) (changed int, err error) {
	names := make([]string, len(facts))
	for i, f := range facts {
		names[i] = f.Name
	}
	was := map[string]AdvisoryFact{}
	have, err := AdvisoryFacts(ctx, st.Q(), names)
	if err != nil {
		return 0, err
	}
	for _, f := range have {
		if f.Source == source {
			was[f.Name] = f
		}
	}
	var rows []any
	done := map[string]bool{} // of one that is named twice the first counts: no statement may write a row twice
	for _, f := range facts {
		w, ok := was[f.Name]
		if done[f.Name] || ok && w.Value == f.Value && w.At == f.At {
			continue
		}
		done[f.Name] = true
		rows = append(rows, source, f.Name, f.Value, f.At)
		changed++
	}
	if changed == 0 {
		return 0, nil
	}
	return changed, st.Tx(ctx, func(ctx context.Context, q Querier) error {
		if err := revise(ctx, q, source); err != nil {
			return err
		}
		return insert(ctx, q, `INSERT INTO advisory_fact(source, name, value, at) VALUES `, ` ON CONFLICT(name, source) DO UPDATE SET value=excluded.value, at=excluded.at`, 4, rows)
	})
}

// AdvisoryFactNames returns the CVEs that a list names.
func AdvisoryFactNames(ctx context.Context, q Querier, source string) ([]string, error) {
	return Collect(ctx, q, scanString, `SELECT name FROM advisory_fact WHERE source=$1`, source)
}

// CountAdvisoryFacts says how many CVEs a list names.
func CountAdvisoryFacts(ctx context.Context, q Querier, source string) (n int, err error) {
	return n, q.QueryRow(ctx, `SELECT COUNT(*) FROM advisory_fact WHERE source=$1`, source).Scan(&n)
}

// RemoveAdvisoryFacts removes what a list does not name any more.
func RemoveAdvisoryFacts(ctx context.Context, st *Store, source string, names []string) error {
	for part := range slices.Chunk(names, rowsPerWrite) {
		args := []any{source}
		for _, n := range part {
			args = append(args, n)
		}
		err := st.Tx(ctx, func(ctx context.Context, q Querier) error {
			if err := revise(ctx, q, source); err != nil {
				return err
			}
			_, err := q.Exec(ctx, `DELETE FROM advisory_fact WHERE source=$1 AND name IN (`+numbered(2, len(part))+`)`, args...)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func jsonLists(a, b []string) (string, string, error) {
	x, err := json.Marshal(listOf(a))
	if err != nil {
		return "", "", err
	}
	y, err := json.Marshal(listOf(b))
	return string(x), string(y), err
}

// listOf is a list that JSON writes as one, also when it is empty.
func listOf(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
