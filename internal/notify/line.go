package notify

import (
	"context"
	"time"
)

// Line is where all who write to a forge stand: one at a time for each installation, and no faster than its limits
// allow. It is shared by all replicas.
type Line interface {
	// Enter stands in the line of an installation, and returns when the turn has come. A ticket names what is to be
	// written; who was killed in its turn and enters again with the same ticket goes on before all others.
	Enter(ctx context.Context, installation, ticket string, w Writer) (Turn, error)
	// Hold has nobody write to an installation before a time: the forge refused. An earlier time than the one that
	// holds changes nothing.
	Hold(ctx context.Context, installation string, until time.Time, why string) error
}

// Turn is the right to write to an installation. Leave gives it back.
type Turn interface {
	// Write waits until one more write is allowed, and counts it.
	Write(ctx context.Context) error
	Leave()
}

// Queuing is a Forge whose writers stand in a Line. Its methods that write enter by themselves; who has to look at much
// before it writes does so in its turn, which may come hours after it asked.
type Queuing interface {
	// InTurn runs fn in a turn of the repository's line; what fn writes with its context is in that turn. The ticket
	// names what is done, and is the same when it is repeated.
	InTurn(ctx context.Context, repo, ticket string, fn func(context.Context) error) error
}

// Writer is who writes, and how urgently.
type Writer struct {
	Object string // what is written for, as people know it: an image
	Urgent bool   // goes before all that are not, and has a share of the limits for itself
	Order  int64  // then the lower goes first: the start of the rollout
	// Still is asked when the turn has come, which may be hours later; its error is the end of it. May be nil.
	Still func(context.Context) error
	// Waits hears where in the line it stands, at most once a minute. May be nil.
	Waits func(Waiting)
}

// Waiting says what a writer waits for.
type Waiting struct {
	Place, Of int // 1 of 80 is the one whose turn it is
	Until     time.Time
	Why       string
}

type writerKey struct{}

// By says on whose behalf the calls with this context write to the forge.
func By(ctx context.Context, w Writer) context.Context {
	return context.WithValue(ctx, writerKey{}, w)
}

// WriterOf returns who By has named; the zero Writer when nobody was.
func WriterOf(ctx context.Context) Writer {
	w, _ := ctx.Value(writerKey{}).(Writer)
	return w
}
