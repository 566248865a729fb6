package api

import (
	"errors"
	"fmt"
	"net/http"

	"rebuilder/internal/reconcile"
	"rebuilder/internal/rollout"
	"rebuilder/internal/store"
)

// Error is what goes wrong in an answer: a code for programs, words for people, and a way out.
type Error struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// Codes of errors. They are part of the API.
const (
	CodeNotFound    = "not_found"
	CodeBadRequest  = "bad_request"
	CodeDenied      = "denied"
	CodeMoved       = "plan_moved"
	CodeApplied     = "plan_applied"
	CodeNothing     = "nothing_to_do"
	CodeNotReady    = "not_ready"
	CodeNotRead     = "not_read" // nobody has looked into the image yet
	CodeRefused     = "refused"  // by what is known of the channel or the digest
	CodeUnavailable = "unavailable"
	CodeInternal    = "internal"
)

func notFound(hint, format string, args ...any) *Error {
	return &Error{Status: http.StatusNotFound, Code: CodeNotFound, Message: fmt.Sprintf(format, args...), Hint: hint}
}

func badRequest(hint, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Code: CodeBadRequest, Message: fmt.Sprintf(format, args...), Hint: hint}
}

func denied(hint, format string, args ...any) *Error {
	return &Error{Status: http.StatusForbidden, Code: CodeDenied, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// asError makes an answer of any error. Those that nobody classified are internal: their text goes to the log, and to
// the answer too, since who may ask may also read the log's facts.
func asError(err error) *Error {
	var e *Error
	var refused *rollout.Refused
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &refused):
		return &Error{http.StatusConflict, CodeRefused, refused.Reason, refused.Hint}
	case errors.Is(err, store.ErrNoRows):
		return &Error{http.StatusNotFound, CodeNotFound, "there is no such thing: " + err.Error(), "list what there is: rebuilder rollouts"}
	case errors.Is(err, rollout.ErrMoved):
		return &Error{http.StatusConflict, CodeMoved, err.Error(), "make a new plan and look at it: rebuilder plan"}
	case errors.Is(err, reconcile.ErrApplied):
		return &Error{http.StatusConflict, CodeApplied, err.Error(), "see what became of it: rebuilder rollouts"}
	case errors.Is(err, reconcile.ErrNothing):
		return &Error{http.StatusConflict, CodeNothing, err.Error(), "see how things are: rebuilder status"}
	}
	return &Error{http.StatusInternalServerError, CodeInternal, err.Error(), "the daemon's log says more"}
}
