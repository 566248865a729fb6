package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Refresh is the newest fresh build that is wanted of a base. It is wanted until Done is Wanted.
type Refresh struct {
	Image  string
	Wanted string // what its builds are known by: a slot, or a request
	Cause  string // refresh or manual
	Reason string
	Since  int64
	Done   string // the last one that was made: promoted, or of no other content than what is there
	DoneAt int64
}

// Due says that it was not made yet.
func (r Refresh) Due() bool { return r.Wanted != r.Done }

const refreshColumns = `image, wanted, cause, reason, since, done, done_at`

func scanRefresh(row interface{ Scan(...any) error }) (r Refresh, err error) {
	return r, row.Scan(&r.Image, &r.Wanted, &r.Cause, &r.Reason, &r.Since, &r.Done, &r.DoneAt)
}

// Refreshes returns all of them, by image.
func Refreshes(ctx context.Context, q Querier) (map[string]Refresh, error) {
	all, err := Collect(ctx, q, scanRefresh, `SELECT `+refreshColumns+` FROM refresh ORDER BY image`)
	out := make(map[string]Refresh, len(all))
	for _, r := range all {
		out[r.Image] = r
	}
	return out, err
}

// GetRefresh returns that of one base; the zero Refresh, which is not due, when there never was one.
func GetRefresh(ctx context.Context, q Querier, image string) (Refresh, error) {
	r, err := scanRefresh(q.QueryRow(ctx, `SELECT `+refreshColumns+` FROM refresh WHERE image=$1`, image))
	if errors.Is(err, ErrNoRows) {
		return Refresh{}, nil
	}
	return r, err
}

// Refreshed says that a fresh build was made. One that is not the wanted one any more changes nothing.
func Refreshed(ctx context.Context, q Querier, image, wanted string, at int64) error {
	_, err := q.Exec(ctx, `UPDATE refresh SET done=wanted, done_at=$3 WHERE image=$1 AND wanted=$2 AND done<>wanted`, image, wanted, at)
	return err
}

// LastSlot returns the last slot of a schedule that was taken; 0 when none was.
func LastSlot(ctx context.Context, q Querier, name string) (at int64, err error) {
	err = q.QueryRow(ctx, `SELECT at FROM slot WHERE name=$1`, name).Scan(&at)
	if errors.Is(err, ErrNoRows) {
		return 0, nil
	}
	return at, err
}

// TakeSlot takes a slot of a schedule and says whether it was taken by this call: of several at the same moment one is told
// so, and an older slot than the last is never taken.
func TakeSlot(ctx context.Context, q Querier, name string, at int64) (taken bool, err error) {
	res, err := q.Exec(ctx, `INSERT INTO slot(name, at) VALUES($1,$2) ON CONFLICT(name) DO UPDATE SET at=excluded.at WHERE slot.at<excluded.at`, name, at)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// ForgetSlots forgets all schedules but one, "" for all, so that turning one on again makes up nothing.
func ForgetSlots(ctx context.Context, q Querier, but string) error {
	_, err := q.Exec(ctx, `DELETE FROM slot WHERE name<>$1`, but)
	return err
}

// WantRefresh wants fresh builds of some bases. What a schedule wants does not take the place of what a person asked for
// and did not get yet: the one build will do for both.
func WantRefresh(ctx context.Context, q Querier, r Refresh, images []string) error {
	for _, image := range slices.Compact(slices.Sorted(slices.Values(images))) {
		if _, err := q.Exec(ctx, `INSERT INTO refresh(image, wanted, cause, reason, since) VALUES($1,$2,$3,$4,$5)
			ON CONFLICT(image) DO UPDATE SET wanted=excluded.wanted, cause=excluded.cause, reason=excluded.reason, since=excluded.since
			WHERE excluded.cause='manual' OR refresh.cause<>'manual' OR refresh.wanted=refresh.done`,
			image, r.Wanted, r.Cause, bounded(r.Reason), r.Since); err != nil {
			return fmt.Errorf("refresh of %s: %w", image, err)
		}
	}
	return nil
}

// Request is what a person asked for.
type Request struct {
	ID     string   `json:"id"` // the asker's own
	Images []string `json:"images"`
	Reason string   `json:"reason,omitempty"`
	Actor  string   `json:"actor"`
	At     int64    `json:"at"`
}

// ErrOtherRequest is returned for an id that another request has.
var ErrOtherRequest = errors.New("was used for another request")

// AskRefresh stores a request for fresh builds with its audit row; run it in a transaction. The same request once more,
// known by its id, changes nothing, and the first one comes back; ErrOtherRequest when that one was for other images.
func AskRefresh(ctx context.Context, q Querier, r Request) (first Request, created bool, err error) {
	r.Images, r.Reason = slices.Compact(slices.Sorted(slices.Values(r.Images))), bounded(r.Reason)
	images, err := json.Marshal(r.Images)
	if err != nil {
		return r, false, err
	}
	res, err := q.Exec(ctx, `INSERT INTO request(id, images, reason, actor, at) VALUES($1,$2,$3,$4,$5) ON CONFLICT(id) DO NOTHING`, r.ID, string(images), r.Reason, r.Actor, r.At)
	if err != nil {
		return r, false, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		if err == nil {
			first, err = getRequest(ctx, q, r.ID)
		}
		if err == nil && !slices.Equal(first.Images, r.Images) {
			err = fmt.Errorf("request %s: %w", r.ID, ErrOtherRequest)
		}
		return first, false, err
	}
	if err := WantRefresh(ctx, q, Refresh{Wanted: "request " + r.ID, Cause: "manual", Reason: r.reason(), Since: r.At}, r.Images); err != nil {
		return r, false, err
	}
	for _, image := range r.Images {
		if err := Audit(ctx, q, Event{At: r.At, Actor: r.Actor, Kind: Human, Rule: "manual", Action: "refresh", Object: image, Detail: r.Reason}); err != nil {
			return r, false, err
		}
	}
	return r, true, nil
}

// reason is the request as a step's reason says it.
func (r Request) reason() string {
	if r.Reason == "" {
		return r.Actor + " asked for it"
	}
	return r.Actor + " asked for it: " + r.Reason
}

func getRequest(ctx context.Context, q Querier, id string) (r Request, err error) {
	var images string
	if err := q.QueryRow(ctx, `SELECT id, images, reason, actor, at FROM request WHERE id=$1`, id).Scan(&r.ID, &images, &r.Reason, &r.Actor, &r.At); err != nil {
		return r, err
	}
	return r, json.Unmarshal([]byte(images), &r.Images)
}
