package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A builder whose disk is full, then a registry that has no room: each time the rollout says so in words and moves nothing,
// and the next one goes through when there is room.
func TestFullDisks(t *testing.T) {
	s := newSetup(t)
	s.changeCatalog("", `retry_after = "1m"`, `retry_after = "3s"`)
	root := filepath.Join(s.StateDirectory, "buildkit")
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	disk := func(size string, flags uintptr) {
		t.Helper()
		if err := unix.Mount("tmpfs", root, "tmpfs", flags, "size="+size); err != nil {
			t.Fatal(err)
		}
	}
	disk("64m", 0) // not even what the base stands on
	t.Cleanup(func() {
		s.daemon.kill()
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s.start()
	ctx := s.within(4 * time.Minute)
	s.settled(ctx)
	was, writes := s.digest(ctx, "base/debian:stable"), s.counts()
	p, err := s.Publish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.await(ctx, "base/debian", "failed", p.At); !strings.Contains(n.Sentence, "no space left on device") || n.Who != "who keeps the builders" {
		t.Errorf("it is not said that the builder's disk is full: %s (%s)", n.Sentence, n.Who)
	}
	if now := s.counts(); now != writes {
		t.Errorf("writes (registry, forge): %v, were %v", now, writes)
	}

	full := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return false
		}
		w.WriteHeader(http.StatusInsufficientStorage)
		_, _ = io.WriteString(w, `{"errors":[{"code":"UNKNOWN","message":"the volume is full"}]}`)
		return true
	}
	s.writes.registry.Store(&full)
	disk("2g", unix.MS_REMOUNT)
	s.says(ctx, "base/debian", "failed", "the volume is full", "who keeps the registry")
	if now := s.digest(ctx, "base/debian:stable"); now != was {
		t.Errorf("the channel moved to %s", now)
	}
	s.says(ctx, "base/python", "skipped", "nothing new to stand on: base/debian: failed", "")

	s.writes.registry.Store(nil)
	s.await(ctx, "base/python", "done", p.At)
	if now := s.digest(ctx, "base/debian:stable"); now == was {
		t.Error("the channel has not moved")
	}
}
