package registry

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// ErrNotFound is what errors.Is finds when a repository, tag, digest or platform is not there (or may not be seen).
var ErrNotFound = errors.New("not found")

// ErrPlainHTTP is what errors.Is finds when a registry could only be reached without TLS and that was not allowed.
var ErrPlainHTTP = errors.New("plain HTTP refused")

// NotFound says what is missing. It matches ErrNotFound.
type NotFound struct {
	Reference string
	Why       string // what to look at, one sentence
	Cause     error  // may be nil
}

func (e *NotFound) Error() string        { return e.Reference + " not found: " + e.Why }
func (e *NotFound) Unwrap() error        { return e.Cause }
func (e *NotFound) Is(target error) bool { return target == ErrNotFound }

// explain names the reference and a way out in an error of the remote package.
func explain(do, ref string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotFound):
		return err
	case status(err) == http.StatusNotFound:
		return &NotFound{Reference: ref, Why: "no such repository or tag in the registry", Cause: err}
	case refused(err):
		return fmt.Errorf("%s %s: %w: give the daemon's user credentials for this registry (docker login) with access to the repository", do, ref, err)
	case errors.Is(err, ErrPlainHTTP):
		return fmt.Errorf("%s %s: %w: serve it with TLS, or allow this host as insecure", do, ref, err)
	}
	return fmt.Errorf("%s %s: %w", do, ref, err)
}

func refused(err error) bool {
	s := status(err)
	return s == http.StatusUnauthorized || s == http.StatusForbidden
}

// status is the HTTP status behind an error, 0 when there is none.
func status(err error) int {
	var te *transport.Error
	if errors.As(err, &te) {
		return te.StatusCode
	}
	return 0
}
