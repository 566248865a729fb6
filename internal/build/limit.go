package build

import (
	"context"
	"fmt"

	"golang.org/x/sync/semaphore"
)

// Limit lets at most n builds of b run at once; the others wait in order of arrival. A wait ends with ctx.
// An n below 1 means 1.
func Limit(b Builder, n int) Builder {
	return &limited{Builder: b, slots: semaphore.NewWeighted(int64(max(n, 1)))}
}

type limited struct {
	Builder
	slots *semaphore.Weighted
}

func (l *limited) Build(ctx context.Context, r Request) (*Result, error) {
	if err := l.slots.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("build %s: wait for a free slot: %w", r.Image, err)
	}
	defer l.slots.Release(1)
	return l.Builder.Build(ctx, r)
}
