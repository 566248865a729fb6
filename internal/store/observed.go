package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ObservedKind says what was found.
type ObservedKind string

// What there is to find.
const (
	ObservedImage      ObservedKind = "image"      // a tag of a registry
	ObservedRepository ObservedKind = "repository" // of the forge
)

// Observed is an image or a repository that discovery found, whether somebody declared it or not.
type Observed struct {
	Key        string       `json:"key"`
	Kind       ObservedKind `json:"kind"`
	Place      string       `json:"place"`      // the registry or organisation that it was found in
	Name       string       `json:"name"`       // "registry.example.com/team/web:main", "forge.example.com/acme/web"
	Repository string       `json:"repository"` // "registry.example.com/team/web", "acme/web"
	// Digest is what the tag points to, or the commit at the tip of the default branch; empty when that is unknown.
	Digest string `json:"digest,omitempty"`
	// State is that of a repository: "archived", "disabled", or empty. Neither is ever proposed to.
	State   string           `json:"state,omitempty"`
	Parents []ObservedParent `json:"parents,omitempty"`
	// Unknown says in a sentence what is not known of it; empty when nothing is missing.
	Unknown string `json:"unknown,omitempty"`
	// Note says what else is worth knowing: why this tag was looked at and how many were not, a former name.
	Note string `json:"note,omitempty"`

	FirstSeen int64 `json:"first_seen"`
	LastSeen  int64 `json:"last_seen"`
	ChangedAt int64 `json:"changed_at"`        // since when Digest is what it is
	GoneAt    int64 `json:"gone_at,omitempty"` // when it was found to be there no more
	Walk      int64 `json:"-"`                 // the last one that saw it

	// Detail is what the next look goes on from. Lists leave it out.
	Detail ObservedDetail `json:"-"`
}

// ObservedParent is an image of the catalog that an observed one stands on, with the evidence.
type ObservedParent struct {
	Name      string `json:"name"` // in the catalog
	Kind      string `json:"kind"` // as graph.EdgeKind
	Evidence  string `json:"evidence"`
	Digest    string `json:"digest,omitempty"`    // the parent's, where that is known
	Platform  string `json:"platform,omitempty"`  // of the child; empty for all
	Reference string `json:"reference,omitempty"` // as the Dockerfile has it
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
}

// ObservedDetail is the rest of an observed row.
type ObservedDetail struct {
	// Of an image.
	Platforms []ObservedPlatform `json:"platforms,omitempty"`
	Omitted   int                `json:"omitted,omitempty"`  // platforms that were not looked at
	Artifact  string             `json:"artifact,omitempty"` // what it is when it is no image

	// Of a repository.
	ID       int64          `json:"id,omitempty"`
	Fork     bool           `json:"fork,omitempty"`
	Branch   string         `json:"branch,omitempty"`
	PushedAt int64          `json:"pushed_at,omitempty"`
	LookedAt int64          `json:"looked_at,omitempty"` // when Digest was last asked for
	Was      []string       `json:"was,omitempty"`       // former names, newest last
	Files    []ObservedFile `json:"files,omitempty"`
	// Unread says in a sentence which of its Dockerfiles were not read; empty for none.
	Unread string `json:"unread,omitempty"`
}

// ObservedPlatform is one platform of an observed image.
type ObservedPlatform struct {
	Platform   string   `json:"platform"`
	Manifest   string   `json:"manifest"`
	DiffIDs    []string `json:"diff_ids,omitempty"`
	BaseName   string   `json:"base_name,omitempty"` // as its annotation claims
	BaseDigest string   `json:"base_digest,omitempty"`
}

// ObservedFile is a Dockerfile that was found, with what it names.
type ObservedFile struct {
	Path       string              `json:"path"`
	SHA        string              `json:"sha"` // of the blob
	References []ObservedReference `json:"references,omitempty"`
	Problem    string              `json:"problem,omitempty"`
}

// ObservedReference is an image that a Dockerfile names.
type ObservedReference struct {
	Name string `json:"name"` // with its digest
	Kind string `json:"kind"`
	Line int    `json:"line"`
}

const observedColumns = `key, kind, place, name, repository, digest, state, parents, unknown, note, first_seen, last_seen, changed_at, gone_at, walk`

func scanObserved(row interface{ Scan(...any) error }) (o Observed, err error) {
	var parents string
	if err := row.Scan(&o.Key, &o.Kind, &o.Place, &o.Name, &o.Repository, &o.Digest, &o.State, &parents, &o.Unknown, &o.Note,
		&o.FirstSeen, &o.LastSeen, &o.ChangedAt, &o.GoneAt, &o.Walk); err != nil {
		return o, err
	}
	return o, json.Unmarshal([]byte(parents), &o.Parents)
}

func scanObservedWhole(row interface{ Scan(...any) error }) (o Observed, err error) {
	var detail string
	o, err = scanObserved(scanning(func(into ...any) error { return row.Scan(append(into, &detail)...) }))
	if err != nil {
		return o, err
	}
	return o, json.Unmarshal([]byte(detail), &o.Detail)
}

type scanning func(...any) error

func (s scanning) Scan(into ...any) error { return s(into...) }

// ObservedAll returns everything that was ever found and not forgotten, what is gone included, by kind and name. Detail
// is left out.
func ObservedAll(ctx context.Context, q Querier) ([]Observed, error) {
	all, err := Collect(ctx, q, scanObserved, `SELECT `+observedColumns+` FROM observed`)
	slices.SortFunc(all, func(a, b Observed) int {
		return strings.Compare(string(a.Kind)+" "+a.Name+" "+a.Key, string(b.Kind)+" "+b.Name+" "+b.Key)
	})
	return all, err
}

// GetObserved returns one row with its detail; found is false when there is none.
func GetObserved(ctx context.Context, q Querier, key string) (o Observed, found bool, err error) {
	o, err = scanObservedWhole(q.QueryRow(ctx, `SELECT `+observedColumns+`, detail FROM observed WHERE key=$1`, key))
	if errors.Is(err, ErrNoRows) {
		return o, false, nil
	}
	return o, err == nil, err
}

// ObservedIn returns what was found in one repository of a place, with detail.
func ObservedIn(ctx context.Context, q Querier, place, repository string) ([]Observed, error) {
	return Collect(ctx, q, scanObservedWhole, `SELECT `+observedColumns+`, detail FROM observed WHERE place=$1 AND repository=$2 ORDER BY key`, place, repository)
}

// SaveObserved writes what was seen of a thing now, at LastSeen by the walk Walk. When it was first seen stays; that it
// was gone is forgotten.
func SaveObserved(ctx context.Context, q Querier, o Observed) error {
	if o.Parents == nil {
		o.Parents = []ObservedParent{}
	}
	parents, err := json.Marshal(o.Parents)
	if err != nil {
		return err
	}
	detail, err := json.Marshal(o.Detail)
	if err != nil {
		return err
	}
	_, err = q.Exec(ctx, `INSERT INTO observed(`+observedColumns+`, detail) VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$11,$11,0,$12,$13)
		ON CONFLICT(key) DO UPDATE SET place=excluded.place, name=excluded.name, repository=excluded.repository, state=excluded.state,
		parents=excluded.parents, unknown=excluded.unknown, note=excluded.note, last_seen=excluded.last_seen, gone_at=0, walk=excluded.walk, detail=excluded.detail,
		changed_at=CASE WHEN observed.digest=excluded.digest THEN observed.changed_at ELSE excluded.changed_at END, digest=excluded.digest`,
		o.Key, o.Kind, o.Place, o.Name, o.Repository, o.Digest, o.State, string(parents), bounded(o.Unknown), bounded(o.Note), o.LastSeen, o.Walk, string(detail))
	return err
}

// ObservedUnseen returns what an earlier walk of a place saw and walk did not, at most limit rows. What is gone already is
// left out.
func ObservedUnseen(ctx context.Context, q Querier, place string, walk int64, limit int) ([]Observed, error) {
	return Collect(ctx, q, scanObservedWhole, `SELECT `+observedColumns+`, detail FROM observed WHERE place=$1 AND walk<>$2 AND gone_at=0 ORDER BY key LIMIT $3`, place, walk, limit)
}

// ObservedAfter returns at most limit rows with detail whose keys come after one, in the order of keys.
func ObservedAfter(ctx context.Context, q Querier, after string, limit int) ([]Observed, error) {
	return Collect(ctx, q, scanObservedWhole, `SELECT `+observedColumns+`, detail FROM observed WHERE key>$1 ORDER BY key LIMIT $2`, after, limit)
}

// JudgeObserved replaces the parents of a row and what is unknown of it, unless it was looked at since o was read, and says
// whether they were others.
func JudgeObserved(ctx context.Context, q Querier, o Observed) (changed bool, err error) {
	if o.Parents == nil {
		o.Parents = []ObservedParent{}
	}
	parents, err := json.Marshal(o.Parents)
	if err != nil {
		return false, err
	}
	res, err := q.Exec(ctx, `UPDATE observed SET parents=$2, unknown=$3 WHERE key=$1 AND walk=$4 AND digest=$5 AND (parents<>$2 OR unknown<>$3)`,
		o.Key, string(parents), bounded(o.Unknown), o.Walk, o.Digest)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// ObservedGone records that a thing is there no more.
func ObservedGone(ctx context.Context, q Querier, key string, at int64) error {
	_, err := q.Exec(ctx, `UPDATE observed SET gone_at=$2 WHERE key=$1 AND gone_at=0`, key, at)
	return err
}

// ObservedKept keeps what is known of a repository of a place through a walk that could not look at it. Why replaces what
// is unknown of it.
func ObservedKept(ctx context.Context, q Querier, place, repository string, walk int64, why string) error {
	_, err := q.Exec(ctx, `UPDATE observed SET walk=$3, unknown=$4 WHERE place=$1 AND repository=$2 AND gone_at=0`, place, repository, walk, bounded(why))
	return err
}

// ObservedRowKept is ObservedKept for one row.
func ObservedRowKept(ctx context.Context, q Querier, key string, walk int64, why string) error {
	_, err := q.Exec(ctx, `UPDATE observed SET walk=$2, unknown=$3 WHERE key=$1`, key, walk, bounded(why))
	return err
}

// ForgetObserved deletes a row.
func ForgetObserved(ctx context.Context, q Querier, key string) error {
	_, err := q.Exec(ctx, `DELETE FROM observed WHERE key=$1`, key)
	return err
}

// WalkPhase says where a walk is.
type WalkPhase string

// The phases of a walk, in their order.
const (
	Walking   WalkPhase = "walking"
	Verifying WalkPhase = "verifying" // all is listed; what the list did not have is looked at once more
	Complete  WalkPhase = "complete"
)

// Walk is how far the walk of a place has come. Its counts are those of the present walk, or of the last one.
type Walk struct {
	Place   string    `json:"place"`
	Version int64     `json:"-"`
	Number  int64     `json:"number"`
	Phase   WalkPhase `json:"phase"`
	Page    string    `json:"-"` // of the list, "" for the first
	After   string    `json:"-"` // the last name of the page that is done
	Pages   int64     `json:"pages"`
	Tries   int64     `json:"-"` // of what comes next
	Seen    int64     `json:"seen"`
	Failed  int64     `json:"failed"`
	Refused int64     `json:"refused"` // names that are no names
	// Requests of the present walk so far.
	Requests  int64 `json:"requests"`
	StartedAt int64 `json:"started_at"`
	EndedAt   int64 `json:"ended_at,omitempty"` // of the last complete one
	NextAt    int64 `json:"next_at"`
	NotBefore int64 `json:"-"` // however much it is due
	// Scope is what the walk looks for; what is not that any more begins anew.
	Scope string `json:"-"`
}

const walkColumns = `place, version, number, phase, page, after, pages, tries, seen, failed, refused, requests, started_at, ended_at, next_at, not_before, scope`

func scanWalk(row interface{ Scan(...any) error }) (w Walk, err error) {
	return w, row.Scan(&w.Place, &w.Version, &w.Number, &w.Phase, &w.Page, &w.After, &w.Pages, &w.Tries, &w.Seen, &w.Failed, &w.Refused,
		&w.Requests, &w.StartedAt, &w.EndedAt, &w.NextAt, &w.NotBefore, &w.Scope)
}

// GetWalk returns the walk of a place. One that was never begun is complete, of number 0.
func GetWalk(ctx context.Context, q Querier, place string) (Walk, error) {
	w, err := scanWalk(q.QueryRow(ctx, `SELECT `+walkColumns+` FROM walk WHERE place=$1`, place))
	if errors.Is(err, ErrNoRows) {
		return Walk{Place: place, Phase: Complete}, nil
	}
	return w, err
}

// Walks returns the walks of all places by place.
func Walks(ctx context.Context, q Querier) ([]Walk, error) {
	all, err := Collect(ctx, q, scanWalk, `SELECT `+walkColumns+` FROM walk`)
	slices.SortFunc(all, func(a, b Walk) int { return strings.Compare(a.Place, b.Place) })
	return all, err
}

// ErrWalkLost says that another process has gone on with a walk meanwhile.
var ErrWalkLost = errors.New("another process walks there")

// SaveWalk records how far a walk has come, if nobody else did since w was read, and counts w's version up. It fails with
// ErrWalkLost otherwise, and when the place was forgotten meanwhile. It comes first in a transaction, whose other rows it
// guards.
func SaveWalk(ctx context.Context, q Querier, w *Walk) error {
	query := `UPDATE walk SET version=$2+1, number=$3, phase=$4, page=$5, after=$6, pages=$7, tries=$8, seen=$9, failed=$10, refused=$11, requests=$12,
		started_at=$13, ended_at=$14, next_at=$15, not_before=$16, scope=$17 WHERE place=$1 AND version=$2`
	if w.Version == 0 { // it was never saved
		query = `INSERT INTO walk(` + walkColumns + `) VALUES($1,$2+1,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17) ON CONFLICT(place) DO NOTHING`
	}
	res, err := q.Exec(ctx, query, w.Place, w.Version, w.Number, w.Phase, w.Page, w.After, w.Pages, w.Tries, w.Seen, w.Failed, w.Refused, w.Requests,
		w.StartedAt, w.EndedAt, w.NextAt, w.NotBefore, w.Scope)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		return fmt.Errorf("walk of %s: %w", w.Place, ErrWalkLost)
	}
	w.Version++
	return err
}

// ForgetPlaces deletes all that was found in places other than those to keep, their walks, and their heartbeats, which are
// named prefix and the place.
func ForgetPlaces(ctx context.Context, q Querier, prefix string, keep []string) error {
	walks, err := Walks(ctx, q)
	if err != nil {
		return err
	}
	for _, w := range walks {
		if slices.Contains(keep, w.Place) {
			continue
		}
		for _, del := range []string{`DELETE FROM walk WHERE place=$1`, `DELETE FROM observed WHERE place=$1`} {
			if _, err := q.Exec(ctx, del, w.Place); err != nil {
				return err
			}
		}
	}
	beats, err := Watchers(ctx, q)
	if err != nil {
		return err
	}
	for _, w := range beats {
		if place, is := strings.CutPrefix(w.Name, prefix); is && !slices.Contains(keep, place) {
			if err := ForgetWatcher(ctx, q, w.Name); err != nil {
				return err
			}
		}
	}
	return nil
}
