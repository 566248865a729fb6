package observe

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/inventory"
)

const (
	firstRefusal   = 10 * time.Minute // it is doubled each time
	longestRefusal = 24 * time.Hour
	mostRefusals   = 10_000 // digests remembered at once
)

// Unreadable says why the content of a digest is not known. A digest never changes: it is not read again at each look, which
// of a hostile image takes minutes, but after a pause that grows, as a newer version of ours may read it.
type Unreadable struct{ Err error }

// Error implements error.
func (e *Unreadable) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong with the image.
func (e *Unreadable) Unwrap() error { return e.Err }

// Temporary is false: whoever asks again soon gets the same answer.
func (e *Unreadable) Temporary() bool { return false }

// refused remembers digests that could not be read, for as long as the process lives.
type refused struct {
	mu sync.Mutex
	of map[v1.Hash]refusal
}

type refusal struct {
	err   *Unreadable
	pause time.Duration
	until time.Time
}

// why is the error of the last time; nil when the digest may be read now.
func (r *refused) why(digest v1.Hash, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, ok := r.of[digest]; ok && now.Before(f.until) {
		return f.err
	}
	return nil
}

// note remembers an error that is the image's own, and returns what callers get. That an image could not be had, or that
// nobody waited for it, says nothing of it.
func (r *refused) note(digest v1.Hash, err error, now time.Time) error {
	var fetch *inventory.FetchError
	switch {
	case errors.Is(err, context.DeadlineExceeded): // it took too long, whoever is to blame
	case errors.As(err, &fetch), errors.Is(err, context.Canceled):
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f := refusal{err: &Unreadable{err}, pause: firstRefusal}
	if last, ok := r.of[digest]; ok {
		f.pause = min(2*last.pause, longestRefusal)
	}
	f.until = now.Add(f.pause)
	if len(r.of) >= mostRefusals {
		maps.DeleteFunc(r.of, func(_ v1.Hash, f refusal) bool { return !now.Before(f.until) })
	}
	if r.of == nil {
		r.of = map[v1.Hash]refusal{}
	}
	if len(r.of) < mostRefusals {
		r.of[digest] = f
	}
	return f.err
}

func (r *refused) forget(digest v1.Hash) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of, digest)
}
