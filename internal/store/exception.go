package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"rebuilder/internal/policy"
)

// Exception is a finding that somebody asks to have accepted for a while, and what became of that.
//
//	requested -> approved -> revoked
//	requested -> rejected, revoked
type Exception struct {
	ID      string `json:"id"`      // "EX-1", counted; made by RequestException
	Request string `json:"request"` // the asker's own: the same once more is no second one

	Finding string   `json:"finding"`           // advisory or rule
	Images  []string `json:"images,omitempty"`  // patterns as of path.Match over names in the graph; none: all
	Package string   `json:"package,omitempty"` // empty: any
	Reason  string   `json:"reason"`
	Owner   string   `json:"owner"`      // who answers for it
	Expires int64    `json:"expires_at"` // epoch milliseconds: it excuses nothing from here on

	State       policy.ExceptionState `json:"state"`
	Requester   string                `json:"requester"`
	RequestedAt int64                 `json:"requested_at"`
	Approver    string                `json:"approver,omitempty"` // never the requester
	ApprovedAt  int64                 `json:"approved_at,omitempty"`
	EndedBy     string                `json:"ended_by,omitempty"` // who rejected or revoked it
	EndedAt     int64                 `json:"ended_at,omitempty"`
	EndedWhy    string                `json:"ended_why,omitempty"`
}

// Policy is the exception as verdicts see it.
func (e Exception) Policy() policy.Exception {
	return policy.Exception{
		ID: e.ID, Finding: e.Finding, Images: e.Images, Package: e.Package, Reason: e.Reason, Owner: e.Owner, Approver: e.Approver,
		Expires: time.UnixMilli(e.Expires).UTC(), State: e.State,
	}
}

// Refused is what is wrong with a request itself, and the way out; any other error is the store's.
type Refused struct{ Reason string }

func (r Refused) Error() string { return r.Reason }

func refuse(format string, args ...any) error { return Refused{fmt.Sprintf(format, args...)} }

// Bounds of an exception.
const (
	MaxException     = 366 * 24 * time.Hour // from when it is asked for to when it expires, as in the catalog
	maxExceptionName = 200                  // bytes of a name: of a finding, an image, a person
	maxExceptionOf   = 100                  // images
)

// RequestException stores a request with its audit row, and gives it its id. The same request once more, known by its
// Request, changes nothing, and what it has become comes back; ErrOtherRequest when that one asked for something else.
// What cannot be asked for is Refused.
func RequestException(ctx context.Context, q Querier, e Exception) (stored Exception, created bool, err error) {
	if err := e.check(); err != nil {
		return Exception{}, false, err
	}
	err = whole(ctx, q, func(q Querier) error {
		stored, created, err = requestException(ctx, q, e)
		return err
	})
	return stored, created, err
}

func requestException(ctx context.Context, q Querier, e Exception) (stored Exception, created bool, err error) {
	// Those who ask at the same moment wait for each other here.
	var number int64
	if err := q.QueryRow(ctx, `INSERT INTO counter(name, last) VALUES('exception', 0) ON CONFLICT(name) DO UPDATE SET last=counter.last RETURNING last`).Scan(&number); err != nil {
		return Exception{}, false, fmt.Errorf("request exception: %w", err)
	}
	stored, err = scanException(q.QueryRow(ctx, `SELECT `+exceptionColumns+` FROM exception WHERE request=$1`, e.Request))
	if err == nil {
		if !stored.asksFor(e) {
			return stored, false, fmt.Errorf("request %s %w, exception %s", e.Request, ErrOtherRequest, stored.ID)
		}
		return stored, false, nil
	}
	if !errors.Is(err, ErrNoRows) {
		return Exception{}, false, fmt.Errorf("request exception: %w", err)
	}
	number++
	e.ID, e.State = exceptionID(number), policy.ExceptionRequested
	e.Approver, e.ApprovedAt, e.EndedBy, e.EndedAt, e.EndedWhy = "", 0, "", 0, ""
	images, err := json.Marshal(append([]string{}, e.Images...))
	if err != nil {
		return Exception{}, false, err
	}
	if _, err := q.Exec(ctx, `UPDATE counter SET last=$1 WHERE name='exception'`, number); err != nil {
		return Exception{}, false, fmt.Errorf("request exception: %w", err)
	}
	if _, err := q.Exec(ctx, `INSERT INTO exception(number, request, finding, images, package, reason, owner, expires_at, state, requester, requested_at)
		VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)`,
		number, e.Request, e.Finding, string(images), e.Package, e.Reason, e.Owner, e.Expires, string(e.State), e.Requester, e.RequestedAt); err != nil {
		return Exception{}, false, fmt.Errorf("request exception: %w", err)
	}
	return e, true, e.audit(ctx, q, "request exception", e.Requester, e.RequestedAt, fmt.Sprintf("%s, until %s: %s", e.scope(), e.until(), e.Reason))
}

// check refuses what cannot be asked for.
func (e Exception) check() error {
	for _, f := range []struct{ what, is string }{
		{"an id of its own", e.Request}, {"a finding", e.Finding}, {"a reason", e.Reason}, {"an owner", e.Owner}, {"a requester", e.Requester},
	} {
		if strings.TrimSpace(f.is) == "" {
			return refuse("an exception needs %s", f.what)
		}
		if most := map[bool]int{true: maxText, false: maxExceptionName}[f.what == "a reason"]; len(f.is) > most {
			return refuse("an exception needs %s of at most %d bytes", f.what, most)
		}
	}
	if strings.ContainsAny(e.Finding, " \t\r\n*?[") {
		return refuse("%q is not the name of a finding: name one advisory or one rule, such as CVE-2026-1234 or root-user", e.Finding)
	}
	if len(e.Images) > maxExceptionOf {
		return refuse("an exception is for at most %d images: use patterns such as base/*", maxExceptionOf)
	}
	for _, s := range append([]string{e.Package}, e.Images...) {
		if len(s) > maxExceptionName {
			return refuse("%.40q... is longer than %d bytes", s, maxExceptionName)
		}
	}
	for _, s := range e.Images {
		if _, err := path.Match(s, ""); err != nil || s == "" {
			return refuse("%q is no pattern of images: * stands for anything but a slash, as in base/*", s)
		}
	}
	if e.Expires <= e.RequestedAt {
		return refuse("an exception that expires at %s has expired already", e.until())
	}
	if e.Expires-e.RequestedAt > MaxException.Milliseconds() {
		return refuse("an exception until %s is as good as for ever: ask for at most a year, and look at it again then", e.until())
	}
	return nil
}

// asksFor says that two requests are the same.
func (e Exception) asksFor(o Exception) bool {
	return e.Finding == o.Finding && slices.Equal(e.Images, o.Images) && e.Package == o.Package && e.Reason == o.Reason && e.Owner == o.Owner &&
		e.Expires == o.Expires && e.Requester == o.Requester
}

// ApproveException makes a request count, with its audit row. Who asked for it may not approve it: four eyes. Approving what
// is approved changes nothing.
func ApproveException(ctx context.Context, q Querier, id, by string, at int64) (Exception, error) {
	return decide(ctx, q, id, by, at, func(e *Exception, by string) (change string, err error) {
		switch {
		case e.State == policy.ExceptionApproved:
			return "", nil
		case e.State != policy.ExceptionRequested:
			return "", refuse("exception %s was %s by %s: ask for a new one", e.ID, e.State, e.EndedBy)
		case strings.EqualFold(strings.TrimSpace(e.Requester), by):
			return "", refuse("exception %s was asked for by %s, who may not approve it: it takes somebody else", e.ID, e.Requester)
		case e.Expires <= at:
			return "", refuse("exception %s would have expired on %s: ask for a new one", e.ID, e.until())
		}
		e.State, e.Approver, e.ApprovedAt = policy.ExceptionApproved, by, at
		return "approve exception", nil
	})
}

// RejectException says no to a request, with its audit row. Who asked for it may take it back so.
func RejectException(ctx context.Context, q Querier, id, by, why string, at int64) (Exception, error) {
	return decide(ctx, q, id, by, at, func(e *Exception, by string) (change string, err error) {
		switch e.State {
		case policy.ExceptionRejected:
			return "", nil
		case policy.ExceptionRequested:
			e.end(policy.ExceptionRejected, by, why, at)
			return "reject exception", nil
		}
		return "", refuse("exception %s is %s: only what is asked for can be rejected; revoke it", e.ID, e.State)
	})
}

// RevokeException makes an exception, approved or only asked for, excuse nothing any more, with its audit row.
func RevokeException(ctx context.Context, q Querier, id, by, why string, at int64) (Exception, error) {
	return decide(ctx, q, id, by, at, func(e *Exception, by string) (change string, err error) {
		switch e.State {
		case policy.ExceptionRevoked, policy.ExceptionRejected:
			return "", nil
		}
		e.end(policy.ExceptionRevoked, by, why, at)
		return "revoke exception", nil
	})
}

func (e *Exception) end(state policy.ExceptionState, by, why string, at int64) {
	e.State, e.EndedBy, e.EndedAt, e.EndedWhy = state, by, at, bounded(why)
}

// decide lets to change an exception, and writes that with its audit row; no change is none. What another has decided
// meanwhile is looked at again.
func decide(ctx context.Context, q Querier, id, by string, at int64, to func(e *Exception, by string) (change string, err error)) (e Exception, err error) {
	by = strings.TrimSpace(by)
	if by == "" || len(by) > maxExceptionName {
		return Exception{}, refuse("who decides on exception %.40s is not known", id)
	}
	err = whole(ctx, q, func(q Querier) error {
		for {
			if e, err = GetException(ctx, q, id); err != nil {
				return err
			}
			was := e.State
			change, err := to(&e, by)
			if err != nil || change == "" {
				return err
			}
			number, _ := exceptionNumber(id)
			res, err := q.Exec(ctx, `UPDATE exception SET state=$3, approver=$4, approved_at=$5, ended_by=$6, ended_at=$7, ended_why=$8 WHERE number=$1 AND state=$2`,
				number, string(was), string(e.State), e.Approver, e.ApprovedAt, e.EndedBy, e.EndedAt, e.EndedWhy)
			if err != nil {
				return fmt.Errorf("%s %s: %w", change, id, err)
			}
			n, err := res.RowsAffected()
			if err != nil {
				return fmt.Errorf("%s %s: %w", change, id, err)
			}
			if n == 0 {
				continue
			}
			detail := e.scope()
			if e.EndedWhy != "" {
				detail += ": " + e.EndedWhy
			}
			return e.audit(ctx, q, change, by, at, detail)
		}
	})
	return e, err
}

func (e Exception) audit(ctx context.Context, q Querier, action, by string, at int64, detail string) error {
	return Audit(ctx, q, Event{At: at, Actor: by, Kind: Human, Action: action, Object: e.ID, Detail: detail})
}

// scope says what it is for, in words.
func (e Exception) scope() string {
	s := e.Finding
	if e.Package != "" {
		s += " in " + e.Package
	}
	if len(e.Images) == 0 {
		return s + ", all images"
	}
	return s + ", " + strings.Join(e.Images, ", ")
}

func (e Exception) until() string { return time.UnixMilli(e.Expires).UTC().Format(time.DateOnly) }

const exceptionColumns = `number, request, finding, images, package, reason, owner, expires_at, state, requester, requested_at, approver, approved_at, ended_by, ended_at, ended_why`

func scanException(row interface{ Scan(...any) error }) (e Exception, err error) {
	var number int64
	var images string
	err = row.Scan(&number, &e.Request, &e.Finding, &images, &e.Package, &e.Reason, &e.Owner, &e.Expires, &e.State, &e.Requester, &e.RequestedAt,
		&e.Approver, &e.ApprovedAt, &e.EndedBy, &e.EndedAt, &e.EndedWhy)
	if err != nil {
		return Exception{}, err
	}
	e.ID = exceptionID(number)
	if err := json.Unmarshal([]byte(images), &e.Images); err != nil {
		return Exception{}, fmt.Errorf("stored exception %s: %w", e.ID, err)
	}
	return e, nil
}

// GetException returns one; ErrNoRows when there is none.
func GetException(ctx context.Context, q Querier, id string) (Exception, error) {
	number, ok := exceptionNumber(id)
	if !ok {
		return Exception{}, fmt.Errorf("exception %.40s: %w", id, ErrNoRows)
	}
	e, err := scanException(q.QueryRow(ctx, `SELECT `+exceptionColumns+` FROM exception WHERE number=$1`, number))
	if err != nil {
		return Exception{}, fmt.Errorf("exception %s: %w", id, err)
	}
	return e, nil
}

// ListExceptions returns those in the given states, none for all, the last asked for first.
func ListExceptions(ctx context.Context, q Querier, states ...policy.ExceptionState) ([]Exception, error) {
	all, err := Collect(ctx, q, scanException, `SELECT `+exceptionColumns+` FROM exception ORDER BY number DESC`)
	if err != nil {
		return nil, fmt.Errorf("list exceptions: %w", err)
	}
	if len(states) == 0 {
		return all, nil
	}
	return slices.DeleteFunc(all, func(e Exception) bool { return !slices.Contains(states, e.State) }), nil
}

const exceptionPrefix = "EX-"

func exceptionID(number int64) string { return exceptionPrefix + strconv.FormatInt(number, 10) }

// exceptionNumber is the number in an id, whatever the case of its letters; what is no id has none.
func exceptionNumber(id string) (int64, bool) {
	if len(id) <= len(exceptionPrefix) || !strings.EqualFold(id[:len(exceptionPrefix)], exceptionPrefix) {
		return 0, false
	}
	n, err := strconv.ParseInt(id[len(exceptionPrefix):], 10, 64)
	return n, err == nil && n > 0 && exceptionID(n) == strings.ToUpper(id)
}
