package durable

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// quiet passes on warnings and errors. What the engine tells at lower levels is about itself, several lines a start; and
// once it is being closed it tells that what it does is cut off, as was asked for. What did not stop is Close's error.
type quiet struct {
	slog.Handler
	closing *atomic.Bool
}

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && !q.closing.Load() && q.Handler.Enabled(ctx, l)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quiet{q.Handler.WithAttrs(attrs), q.closing}
}

func (q quiet) WithGroup(name string) slog.Handler {
	return quiet{q.Handler.WithGroup(name), q.closing}
}
