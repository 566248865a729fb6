package e2e

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/api"
	"rebuilder/internal/registry"
)

// back asks for base/debian to be moved back, as ada does.
func (s *setup) back(ctx context.Context, q api.MoveRequest) (api.HandMoved, error) {
	q.Image, q.Reason, q.By = "base/debian", "TLS is broken", "ada"
	return s.client().Rollback(ctx, q)
}

// proposed waits until the fix has come as far as an open pull request.
func (s *setup) proposed(ctx context.Context) {
	s.t.Helper()
	s.until(ctx, "a pull request is to be open", func() bool {
		prs := s.pullRequests(ctx, "demo/orders")
		return len(prs) > 0 && prs[len(prs)-1].State == "open"
	})
}

// wentBack checks the end that every rollback must come to: the channel is where it was, the pull request is withdrawn, the digest is in
// quarantine, and nothing is to be done but to clear it.
func (s *setup) wentBack(ctx context.Context, before, bad string) {
	s.t.Helper()
	s.mergeAll(ctx)
	s.settled(ctx) // what the last rollout that was merged makes possible is planned by the look after it
	s.mergeAll(ctx)
	if now := s.digest(ctx, "base/debian:stable"); now != before {
		s.t.Errorf("base/debian:stable is at %s, want %s", now, before)
	}
	z, err := s.client().Quarantines(ctx, "base/debian", false)
	if err != nil || z.Standing != 1 || z.Quarantines[0].Digest != bad || z.Quarantines[0].By != "ada" {
		s.t.Errorf("in quarantine: %+v, %v", z, err)
	}
	s.whySays(ctx, "base/debian", "stays as it is: what is built of it now")
	log, err := s.client().Audit(ctx, s.RegistryHost+"/base/debian:stable", 100)
	if err != nil {
		s.t.Fatal(err)
	}
	var moved []string
	for _, e := range log.Events {
		if e.Action == "promote" {
			moved = append(moved, e.Detail)
		}
	}
	if want := []string{before, bad, before}; !slices.Equal(moved, want) {
		s.t.Errorf("the channel was moved to %v, the last first, want %v", moved, want)
	}
	was := s.counts()
	for range 10 {
		if p, err := s.client().Plan(ctx); err != nil || len(p.Steps) != 0 {
			s.t.Fatalf("it goes on: %+v, %v", p.Steps, err)
		}
	}
	if now := s.counts(); now != was {
		s.t.Errorf("writes at rest (registry, forge): %v, were %v", now, was)
	}
}

// A base is rolled back while a rollout of it runs, and once more by somebody who did not know; then while somebody else has moved the
// channel.
func TestRollback(t *testing.T) {
	s := newSetup(t)
	s.start()
	ctx := s.within(4 * time.Minute)
	s.settled(ctx)
	before := s.digest(ctx, "base/debian:stable")
	if _, err := s.Publish(ctx); err != nil {
		t.Fatal(err)
	}
	s.proposed(ctx)
	bad := s.digest(ctx, "base/debian:stable")
	began := time.Now()
	m, err := s.back(ctx, api.MoveRequest{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the channel was moved after %s, all was withdrawn after %s", m.MovedAt.Sub(m.AskedAt), time.Since(began))
	if now := s.digest(ctx, "base/debian:stable"); now != before || m.From != bad || m.To != before {
		t.Errorf("%+v: the channel is at %s, want %s", m, now, before)
	}
	if again, err := s.back(ctx, api.MoveRequest{}); err != nil || !again.Again || again.ID != m.ID {
		t.Errorf("rolled back twice: %+v, %v", again, err)
	}
	s.until(ctx, "the pull request is to be withdrawn", func() bool {
		prs := s.pullRequests(ctx, "demo/orders")
		return prs[0].State == "closed"
	})
	s.wentBack(ctx, before, bad)

	s.retag(ctx, "base/debian", bad, "stable") // by somebody else, who does not know either
	s.whySays(ctx, "base/debian", "was moved by somebody else")
	if _, err := s.back(ctx, api.MoveRequest{}); err == nil || !strings.Contains(err.Error(), "moved by somebody else") {
		t.Fatalf("rolled back over what somebody else did: %v", err)
	}
	if m, err := s.back(ctx, api.MoveRequest{Override: true}); err != nil || m.To != before {
		t.Fatalf("%+v, %v", m, err)
	}
	if now := s.digest(ctx, "base/debian:stable"); now != before {
		t.Errorf("base/debian:stable is at %s, want %s", now, before)
	}
}

// retag moves a tag, as somebody else would who may write to the registry.
func (s *setup) retag(ctx context.Context, image, digest, tag string) {
	s.t.Helper()
	reg, err := registry.New(registry.Config{})
	if err != nil {
		s.t.Fatal(err)
	}
	to, err := v1.NewHash(digest)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := reg.Tag(ctx, s.RegistryHost+"/"+image, to, tag); err != nil {
		s.t.Fatal(err)
	}
}

// A daemon that is killed at a chosen moment of a rollback, and started again, finishes it though nobody asks again.
func TestRollbackKillNine(t *testing.T) {
	for _, c := range []struct {
		name string
		hook func(*setup) *atomic.Pointer[hook]
		when func(*http.Request) bool
	}{
		{"before the channel is moved",
			func(s *setup) *atomic.Pointer[hook] { return &s.writes.registry },
			func(r *http.Request) bool {
				return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/base/debian/manifests/stable")
			}},
		{"before the pull request is told why",
			func(s *setup) *atomic.Pointer[hook] { return &s.writes.forge },
			func(r *http.Request) bool {
				return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/comments")
			}},
		{"before the pull request is closed",
			func(s *setup) *atomic.Pointer[hook] { return &s.writes.forge },
			func(r *http.Request) bool {
				return r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/pulls/")
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSetup(t)
			s.start()
			ctx := s.within(4 * time.Minute)
			s.settled(ctx)
			before := s.digest(ctx, "base/debian:stable")
			if _, err := s.Publish(ctx); err != nil {
				t.Fatal(err)
			}
			s.proposed(ctx)
			bad := s.digest(ctx, "base/debian:stable")
			killed := s.killOnce(c.hook(s), c.when)
			if _, err := s.back(ctx, api.MoveRequest{}); err == nil {
				t.Fatal("the daemon was not killed")
			}
			s.came(ctx, killed)
			s.start()
			s.until(ctx, "the channel is to be back", func() bool { return s.digest(ctx, "base/debian:stable") == before })
			s.until(ctx, "the pull request is to be withdrawn", func() bool { return s.pullRequests(ctx, "demo/orders")[0].State == "closed" })
			s.wentBack(ctx, before, bad)
		})
	}
}
