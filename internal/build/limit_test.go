package build

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// gate is a Builder whose builds end when they are told to.
type gate struct {
	started chan string
	release chan struct{}
}

func (g *gate) Build(_ context.Context, r Request) (*Result, error) {
	g.started <- r.Image
	<-g.release
	return &Result{}, nil
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{started: make(chan string, 10), release: make(chan struct{})}
		b := Limit(g, 2)
		errs := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := b.Build(t.Context(), Request{Image: "base/a"})
				errs <- err
			}()
		}
		synctest.Wait()
		if n := len(g.started); n != 2 {
			t.Fatalf("%d builds run, want 2 of the 3", n)
		}

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.Build(ctx, Request{Image: "base/b"}); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled while waiting: %v, want context.Canceled", err)
		}

		g.release <- struct{}{}
		synctest.Wait()
		if n := len(g.started); n != 3 {
			t.Errorf("%d builds have started after one ended, want 3", n)
		}
		close(g.release)
		for range 3 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}
