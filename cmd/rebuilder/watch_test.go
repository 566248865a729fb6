package main

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"rebuilder/internal/api"
	"rebuilder/internal/api/apitest"
	"rebuilder/internal/store"
)

// written calls f with all that was written so far.
type written struct {
	strings.Builder
	f func(all string)
}

func (w *written) Write(b []byte) (int, error) {
	n, err := w.Builder.Write(b)
	w.f(w.String())
	return n, err
}

// A rollout that runs is followed to its end, each thing said once.
func TestWatch(t *testing.T) {
	w, err := apitest.New(t.Context(), t.TempDir(), apitest.Running)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	server := httptest.NewServer(api.New(w.Deps).Handler())
	t.Cleanup(server.CloseClientConnections)
	t.Cleanup(server.Close)
	step := 0
	q, at := w.Store.Q(), apitest.Now().UnixMilli()
	out := &written{}
	out.f = func(all string) {
		switch {
		case step == 0 && strings.Contains(all, "index 1/1"):
			step++
			if _, err := store.MoveNode(t.Context(), q, store.Move{Rollout: apitest.RolloutID, Image: "base/python", To: store.Scanning, Reason: "looks inside", At: at, Rule: "test"}); err != nil {
				t.Error(err)
			}
		case step == 1 && strings.Contains(all, "base/python: looks inside"):
			step++
			if err := store.SetRollout(t.Context(), q, apitest.RolloutID, store.Cancelled, "not needed", at, "test"); err != nil {
				t.Error(err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	env := func(string) string { return "" }
	root := newRoot(env)
	root.SetArgs([]string{"--server", server.URL, "watch", apitest.RolloutID})
	root.SetOut(out)
	root.SetErr(io.Discard)
	if code := exitCode(ctx, root.ExecuteContext(ctx)); code != exitError {
		t.Errorf("exit status %d", code)
	}
	all := out.String()
	if n := strings.Count(all, "base/debian: promoted"); n != 1 {
		t.Errorf("said %d times that base/debian is promoted:\n%s", n, all)
	}
	if !strings.Contains(all, "cancelled") || !strings.HasSuffix(strings.TrimSpace(all), "not needed") {
		t.Errorf("its end:\n%s", all)
	}
}
