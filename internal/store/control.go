package store

import (
	"context"
)

// Control is what a person asked for at a pull request. It is asked until the forge said that the person may;
// then it is granted, until it is done.
type Control struct {
	ID          string       `json:"id"` // of the delivery, and which one of it
	Repository  string       `json:"repository"`
	Number      int          `json:"number"` // of the pull request
	Application string       `json:"application"`
	Line        string       `json:"line"` // of the proposal; empty: the whole application
	Action      string       `json:"action"`
	Actor       string       `json:"actor"`             // the forge's login
	Comment     int64        `json:"comment,omitempty"` // the comment that asked; 0: none
	Label       string       `json:"label,omitempty"`   // the label that asked
	State       ControlState `json:"state"`
	At          int64        `json:"at"`
	Until       int64        `json:"until,omitempty"` // of wait
	Acked       bool         `json:"acked"`           // the person was answered
	Reason      string       `json:"reason,omitempty"`
}

// ControlState is how far a control has come.
type ControlState string

// The states of a control.
const (
	ControlAsked   ControlState = "asked"
	ControlGranted ControlState = "granted"
	ControlDone    ControlState = "done"
	ControlRefused ControlState = "refused"
)

// most of a repository's controls that nobody looked at yet are kept: whoever may comment can make many.
const maxControls = 100

const controlColumns = `id, repository, number, application, line, action, actor, comment, label, state, at, until, acked, reason`

func scanControl(row interface{ Scan(...any) error }) (c Control, err error) {
	var acked int64
	err = row.Scan(&c.ID, &c.Repository, &c.Number, &c.Application, &c.Line, &c.Action, &c.Actor, &c.Comment, &c.Label, &c.State, &c.At, &c.Until, &acked, &c.Reason)
	c.Acked = acked != 0
	return c, err
}

// AddControl remembers what was asked, once by its id. It says no when a hundred of the repository are waiting to be looked at.
func AddControl(ctx context.Context, q Querier, c Control) (added bool, err error) {
	var waiting int
	if err := q.QueryRow(ctx, `SELECT count(*) FROM control WHERE repository=$1 AND state='asked'`, c.Repository).Scan(&waiting); err != nil || waiting >= maxControls {
		return false, err
	}
	res, err := q.Exec(ctx, `INSERT INTO control(`+controlColumns+`) VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9,'asked',$10,$11,0,'') ON CONFLICT(id) DO NOTHING`,
		c.ID, c.Repository, c.Number, c.Application, c.Line, c.Action, c.Actor, c.Comment, c.Label, c.At, c.Until)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// Ours says that a pull request was made by us.
func Ours(ctx context.Context, q Querier, repository string, number int) (bool, error) {
	var n int
	err := q.QueryRow(ctx, `SELECT count(*) FROM proposal WHERE lower(repository)=lower($1) AND number=$2`, repository, number).Scan(&n)
	return n > 0, err
}

// SetControl writes how far a control has come.
func SetControl(ctx context.Context, q Querier, c Control) error {
	acked := 0
	if c.Acked {
		acked = 1
	}
	_, err := q.Exec(ctx, `UPDATE control SET state=$2, until=$3, acked=$4, reason=$5 WHERE id=$1`, c.ID, c.State, c.Until, acked, bounded(c.Reason))
	return err
}

// Unanswered returns the controls that were asked, or whose person was not answered yet, oldest first.
func Unanswered(ctx context.Context, q Querier) ([]Control, error) {
	return Collect(ctx, q, scanControl, `SELECT `+controlColumns+` FROM control WHERE state='asked' OR acked=0 ORDER BY at, id`)
}

// Granted returns what was granted for an application and is not done, oldest first.
func Granted(ctx context.Context, q Querier, application string) ([]Control, error) {
	return Collect(ctx, q, scanControl, `SELECT `+controlColumns+` FROM control WHERE application=$1 AND state='granted' ORDER BY at, id`, application)
}
