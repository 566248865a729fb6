package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// VEXDocument is an OpenVEX document that somebody imported.
type VEXDocument struct {
	ID         string // its own; a newer version takes the place of the one before
	Version    int64
	Author     string
	Statements int
	By         string // who imported it
	At         int64
	Body       string // JSON; left out of lists
}

const maxVEXName = 500 // bytes of a document's id

// ImportVEX stores a document with its audit row, in the place of an earlier version of it. The same document once more
// changes nothing, and who imported it first comes back. An earlier version than the one that is there, and another content
// under the same version, are Refused.
func ImportVEX(ctx context.Context, q Querier, d VEXDocument) (stored VEXDocument, changed bool, err error) {
	switch d.By = strings.TrimSpace(d.By); {
	case d.ID == "" || len(d.ID) > maxVEXName:
		return VEXDocument{}, false, refuse("an OpenVEX document needs an @id of at most %d bytes, by which its next version is known", maxVEXName)
	case d.By == "" || len(d.By) > maxExceptionName:
		return VEXDocument{}, false, refuse("who imports document %s is not known", d.ID)
	}
	err = whole(ctx, q, func(q Querier) error {
		stored, changed, err = importVEX(ctx, q, d)
		return err
	})
	return stored, changed, err
}

func importVEX(ctx context.Context, q Querier, d VEXDocument) (stored VEXDocument, changed bool, err error) {
	was, err := GetVEX(ctx, q, d.ID)
	action := "import statements"
	switch {
	case errors.Is(err, ErrNoRows):
	case err != nil:
		return VEXDocument{}, false, err
	case was.Version > d.Version:
		return was, false, refuse("version %d of document %s is there, and this is version %d: remove that one first, if this one is to count", was.Version, d.ID, d.Version)
	case was.Version == d.Version && was.Body == d.Body:
		return was, false, nil
	case was.Version == d.Version:
		return was, false, refuse("version %d of document %s is there with another content: give this one a higher version", was.Version, d.ID)
	default:
		action = fmt.Sprintf("import statements in the place of version %d", was.Version)
	}
	// Of two at once, the higher version stays.
	res, err := q.Exec(ctx, `INSERT INTO vex(id, version, author, statements, imported_by, imported_at, body) VALUES($1,$2,$3,$4,$5,$6,$7)
		ON CONFLICT(id) DO UPDATE SET version=excluded.version, author=excluded.author, statements=excluded.statements,
		imported_by=excluded.imported_by, imported_at=excluded.imported_at, body=excluded.body WHERE vex.version<excluded.version`,
		d.ID, d.Version, d.Author, d.Statements, d.By, d.At, d.Body)
	if err != nil {
		return VEXDocument{}, false, fmt.Errorf("import statements %s: %w", d.ID, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return VEXDocument{}, false, errors.Join(err, refuse("document %s was imported by somebody else at this moment: look at it, and try again", d.ID))
	}
	return d, true, Audit(ctx, q, Event{At: d.At, Actor: d.By, Kind: Human, Action: action, Object: d.ID, Detail: fmt.Sprintf("version %d, of %s, statements: %d", d.Version, d.Author, d.Statements)})
}

// RemoveVEX removes a document, with its audit row; ErrNoRows when it is not there.
func RemoveVEX(ctx context.Context, q Querier, id, by, why string, at int64) (removed VEXDocument, err error) {
	if by = strings.TrimSpace(by); by == "" || len(by) > maxExceptionName {
		return VEXDocument{}, refuse("who removes document %.100s is not known", id)
	}
	err = whole(ctx, q, func(q Querier) error {
		if removed, err = GetVEX(ctx, q, id); err != nil {
			return err
		}
		if _, err := q.Exec(ctx, `DELETE FROM vex WHERE id=$1`, id); err != nil {
			return fmt.Errorf("remove statements %s: %w", id, err)
		}
		return Audit(ctx, q, Event{At: at, Actor: by, Kind: Human, Action: "remove statements", Object: id, Detail: fmt.Sprintf("version %d: %s", removed.Version, why)})
	})
	return removed, err
}

const vexColumns = `id, version, author, statements, imported_by, imported_at`

func scanVEX(row interface{ Scan(...any) error }, more ...any) (d VEXDocument, err error) {
	return d, row.Scan(append([]any{&d.ID, &d.Version, &d.Author, &d.Statements, &d.By, &d.At}, more...)...)
}

// GetVEX returns one document with its body; ErrNoRows when there is none.
func GetVEX(ctx context.Context, q Querier, id string) (VEXDocument, error) {
	body := ""
	d, err := scanVEX(q.QueryRow(ctx, `SELECT `+vexColumns+`, body FROM vex WHERE id=$1`, id), &body)
	if err != nil {
		return VEXDocument{}, fmt.Errorf("document %.100s: %w", id, err)
	}
	d.Body = body
	return d, nil
}

// ListVEX returns all documents without their bodies, the last imported first.
func ListVEX(ctx context.Context, q Querier) ([]VEXDocument, error) {
	return Collect(ctx, q, func(row interface{ Scan(...any) error }) (VEXDocument, error) { return scanVEX(row) },
		`SELECT `+vexColumns+` FROM vex ORDER BY imported_at DESC, id`)
}
