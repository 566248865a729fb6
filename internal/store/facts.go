package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"rebuilder/internal/build"
	"rebuilder/internal/inventory"
)

// SeenImage records what a reference was found to point to, and returns since when it has pointed there.
func SeenImage(ctx context.Context, q Querier, name, kind, reference, digest, problem string, at int64) (since int64, err error) {
	err = q.QueryRow(ctx, `INSERT INTO image(name, kind, reference, digest, manifest, seen_at, error) VALUES($1,$2,$3,$4,$4,$5,$6)
		ON CONFLICT(name) DO UPDATE SET kind=excluded.kind, reference=excluded.reference, error=excluded.error,
		seen_at=CASE WHEN image.digest=excluded.digest THEN image.seen_at ELSE excluded.seen_at END,
		digest=excluded.digest, manifest=excluded.manifest
		RETURNING seen_at`, name, kind, reference, digest, at, problem).Scan(&since)
	return since, err
}

// GetInventory returns a stored inventory; found is false when that digest was never read, or in an older format only.
func GetInventory(ctx context.Context, q Querier, digest string) (inv *inventory.Inventory, found bool, err error) {
	var body string
	err = q.QueryRow(ctx, `SELECT body FROM inventory WHERE digest=$1`, digest).Scan(&body)
	if errors.Is(err, ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	inv = new(inventory.Inventory)
	if err := json.Unmarshal([]byte(body), inv); err != nil {
		return nil, false, fmt.Errorf("stored inventory of %s: %w", digest, err)
	}
	if inv.Format != inventory.Format {
		return nil, false, nil
	}
	return inv, true, nil
}

// SaveInventory stores what is inside a digest and lists its packages (see Holdings), in one transaction. A digest's
// content never changes: a second save only replaces what was stored in another format.
func SaveInventory(ctx context.Context, q Querier, image string, inv *inventory.Inventory, at int64) error {
	return whole(ctx, q, func(q Querier) error {
		was, err := storedInventory(ctx, q, inv.Digest.String())
		if err != nil {
			return err
		}
		if err := saveInventory(ctx, q, image, inv, at); err != nil {
			return err
		}
		return list(ctx, q, inv, was)
	})
}

func saveInventory(ctx context.Context, q Querier, image string, inv *inventory.Inventory, at int64) error {
	body, err := json.Marshal(inv)
	if err != nil {
		return err
	}
	_, err = q.Exec(ctx, `INSERT INTO inventory(digest, image, platform, read_at, fingerprint, body) VALUES($1,$2,$3,$4,$5,$6)
		ON CONFLICT(digest) DO UPDATE SET body=excluded.body, fingerprint=excluded.fingerprint, read_at=excluded.read_at`,
		inv.Digest.String(), image, inv.Platform, at, inv.Fingerprint, string(body))
	return err
}

// Attempt is the memory of a build key.
type Attempt struct {
	Key     string
	Image   string
	Outcome string // built, unchanged, not-taken, failed
	Reason  string
	Digest  string
	Tries   int
	At      int64
	Next    int64  // 0: not before the inputs change
	Gate    string // of a failed one, that Digest did not pass; empty: it came to no gate
}

// Gates that a candidate did not pass.
const (
	GatePolicy     = "policy"
	GateTests      = "tests"
	GateTrials     = "trials"
	GateDocuments  = "documents"
	GateQuarantine = "quarantine" // it has something of what a person put there
)

// GetAttempt returns the memory of a key; found is false when it was never built.
func GetAttempt(ctx context.Context, q Querier, key string) (a Attempt, found bool, err error) {
	err = q.QueryRow(ctx, `SELECT key, image, outcome, reason, digest, tries, at, next_at, gate FROM attempt WHERE key=$1`, key).
		Scan(&a.Key, &a.Image, &a.Outcome, &a.Reason, &a.Digest, &a.Tries, &a.At, &a.Next, &a.Gate)
	if errors.Is(err, ErrNoRows) {
		return a, false, nil
	}
	return a, err == nil, err
}

// SaveAttempt remembers how a build key ended.
func SaveAttempt(ctx context.Context, q Querier, a Attempt) error {
	_, err := q.Exec(ctx, `INSERT INTO attempt(key, image, outcome, reason, digest, tries, at, next_at, gate) VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9)
		ON CONFLICT(key) DO UPDATE SET outcome=excluded.outcome, reason=excluded.reason, digest=excluded.digest, tries=excluded.tries, at=excluded.at, next_at=excluded.next_at,
		gate=excluded.gate`,
		a.Key, a.Image, a.Outcome, bounded(a.Reason), a.Digest, a.Tries, a.At, a.Next, a.Gate)
	return err
}

// AskAgain makes candidates that did not pass a gate due at once, as when what the gate goes by is another. It returns how
// many there were.
func AskAgain(ctx context.Context, q Querier, gate string, at int64) (n int, err error) {
	res, err := q.Exec(ctx, `UPDATE attempt SET next_at=$1 WHERE gate=$2 AND next_at>$1`, at, gate)
	if err != nil {
		return 0, err
	}
	rows, err := res.RowsAffected()
	return int(rows), err
}

// Build is the record of one build.
type Build struct {
	ID      string      `json:"id"`
	Rollout string      `json:"rollout"`
	Image   string      `json:"image"`
	Key     string      `json:"key"`
	State   string      `json:"state"` // running, done, failed, lost
	Started int64       `json:"started_at"`
	Ended   int64       `json:"ended_at,omitempty"`
	Digest  string      `json:"digest,omitempty"`
	Log     string      `json:"-"` // file
	Error   string      `json:"error,omitempty"`
	Detail  BuildDetail `json:"detail"`
}

// BuildDetail is the rest of a build's record: what went in, what was done, what was said.
type BuildDetail struct {
	Recipe  string            `json:"recipe"`
	State   string            `json:"state"`
	Parents map[string]string `json:"parents"` // graph name -> digest
	// Source is the commit or directory that was built: "acme/web@1a2b3c4", empty for a base of the catalog.
	Source   string            `json:"source,omitempty"`
	Trial    string            `json:"trial,omitempty"` // the base whose candidate it tried; empty: it was no trial
	Platform string            `json:"platform,omitempty"`
	Args     map[string]string `json:"args,omitempty"`
	Secrets  []string          `json:"secrets,omitempty"` // by name only
	Worker   string            `json:"worker,omitempty"`
	Doubt    string            `json:"doubt,omitempty"` // why every RUN was keyed by the repositories' state
	Steps    int               `json:"steps"`
	Cached   int               `json:"cached"`
	Took     []build.Step      `json:"took,omitempty"` // the steps, in the order in which they began
	Warnings []build.Warning   `json:"warnings,omitempty"`
	// Materials are the resolved inputs by digest; Fetched is what RUN steps fetched, where that was recorded.
	Materials []build.Material `json:"materials,omitempty"`
	Fetched   []build.Material `json:"fetched,omitempty"`
	LogTail   []string         `json:"log_tail,omitempty"`
	Lines     []string         `json:"lines,omitempty"`
}

const maxSteps, maxFetched = 500, 2000 // that are kept of one build

// cut bounds what a build's record holds.
func (d *BuildDetail) cut() {
	d.LogTail, d.Lines = boundedLines(d.LogTail), boundedLines(d.Lines)
	d.Took = d.Took[:min(len(d.Took), maxSteps)]
	d.Warnings = d.Warnings[:min(len(d.Warnings), maxLines)]
	d.Materials = d.Materials[:min(len(d.Materials), maxSteps)]
	d.Fetched = d.Fetched[:min(len(d.Fetched), maxFetched)]
	d.Took, d.Warnings = slices.Clone(d.Took), slices.Clone(d.Warnings)
	for i := range d.Took {
		d.Took[i].Name, d.Took[i].Error = bounded(d.Took[i].Name), bounded(d.Took[i].Error)
	}
	for i := range d.Warnings {
		d.Warnings[i].Text, d.Warnings[i].Lines = bounded(d.Warnings[i].Text), boundedLines(d.Warnings[i].Lines)
	}
}

const buildColumns = `id, rollout, image, key, state, started_at, ended_at, digest, log, error, detail`

func scanBuild(row interface{ Scan(...any) error }) (b Build, err error) {
	var detail string
	if err := row.Scan(&b.ID, &b.Rollout, &b.Image, &b.Key, &b.State, &b.Started, &b.Ended, &b.Digest, &b.Log, &b.Error, &detail); err != nil {
		return b, err
	}
	return b, json.Unmarshal([]byte(detail), &b.Detail)
}

// SaveBuild writes or replaces a build's record; when it was first written it started. What people read is cut: each
// text at 2,000 bytes, the log's tail and the lines at the last 100, steps at the first 500. The whole log is in its file.
func SaveBuild(ctx context.Context, q Querier, b Build) error {
	b.Error = bounded(b.Error)
	b.Detail.cut()
	d, err := json.Marshal(b.Detail)
	if err != nil {
		return err
	}
	_, err = q.Exec(ctx, `INSERT INTO build(`+buildColumns+`) VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)
		ON CONFLICT(id) DO UPDATE SET state=excluded.state, ended_at=excluded.ended_at, digest=excluded.digest, log=excluded.log, error=excluded.error, detail=excluded.detail`,
		b.ID, b.Rollout, b.Image, b.Key, b.State, b.Started, b.Ended, b.Digest, b.Log, b.Error, string(d))
	return err
}

// GetBuild returns one build by its id; ErrNoRows when there is none.
func GetBuild(ctx context.Context, q Querier, id string) (Build, error) {
	return scanBuild(q.QueryRow(ctx, `SELECT `+buildColumns+` FROM build WHERE id=$1`, id))
}

// BuildOf returns the newest finished build that made a digest of an image; found is false when we did not make it.
func BuildOf(ctx context.Context, q Querier, image, digest string) (b Build, found bool, err error) {
	b, err = scanBuild(q.QueryRow(ctx, `SELECT `+buildColumns+` FROM build WHERE image=$1 AND digest=$2 AND state='done' ORDER BY ended_at DESC LIMIT 1`, image, digest))
	if errors.Is(err, ErrNoRows) {
		return b, false, nil
	}
	return b, err == nil, err
}

// Builds returns the newest builds, of one image when image is not empty.
func Builds(ctx context.Context, q Querier, image string, limit int) ([]Build, error) {
	if image == "" {
		return Collect(ctx, q, scanBuild, `SELECT `+buildColumns+` FROM build ORDER BY started_at DESC LIMIT $1`, limit)
	}
	return Collect(ctx, q, scanBuild, `SELECT `+buildColumns+` FROM build WHERE image=$1 ORDER BY started_at DESC LIMIT $2`, image, limit)
}

// SeenRepository records the state of a package repository and returns since when it has been in that state.
func SeenRepository(ctx context.Context, q Querier, key, uri, suite, hash string, date int64, problem string, at int64) (since int64, err error) {
	err = q.QueryRow(ctx, `INSERT INTO repository(key, uri, suite, hash, date, checked_at, changed_at, error) VALUES($1,$2,$3,$4,$5,$6,$6,$7)
		ON CONFLICT(key) DO UPDATE SET checked_at=excluded.checked_at, error=excluded.error,
		changed_at=CASE WHEN repository.hash=excluded.hash THEN repository.changed_at ELSE excluded.changed_at END,
		hash=excluded.hash, date=excluded.date
		RETURNING changed_at`, key, uri, suite, hash, date, at, problem).Scan(&since)
	return since, err
}

// Watcher is the heartbeat of something that runs again and again.
type Watcher struct {
	Name    string `json:"name"`
	LastRun int64  `json:"last_run"`
	LastOK  int64  `json:"last_ok"`
	NextRun int64  `json:"next_run"`
	Error   string `json:"error,omitempty"`
}

// SaveWatcher records a run. LastOK 0 keeps the old one.
func SaveWatcher(ctx context.Context, q Querier, w Watcher) error {
	_, err := q.Exec(ctx, `INSERT INTO watcher(name, last_run, last_ok, next_run, error) VALUES($1,$2,$3,$4,$5)
		ON CONFLICT(name) DO UPDATE SET last_run=excluded.last_run, next_run=excluded.next_run, error=excluded.error,
		last_ok=CASE WHEN excluded.last_ok=0 THEN watcher.last_ok ELSE excluded.last_ok END`, w.Name, w.LastRun, w.LastOK, w.NextRun, w.Error)
	return err
}

// Watchers returns all heartbeats by name.
func Watchers(ctx context.Context, q Querier) ([]Watcher, error) {
	return Collect(ctx, q, func(row interface{ Scan(...any) error }) (w Watcher, err error) {
		return w, row.Scan(&w.Name, &w.LastRun, &w.LastOK, &w.NextRun, &w.Error)
	}, `SELECT name, last_run, last_ok, next_run, error FROM watcher ORDER BY name`)
}
