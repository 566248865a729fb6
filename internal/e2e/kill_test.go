package e2e

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rebuilder/internal/api"
	"rebuilder/internal/demo"
)

// A daemon that is killed at a chosen moment of a rollout, and started again, must end where an undisturbed one ends: every
// image proven, one promotion a base, one pull request, one dispatch.
func TestKillNine(t *testing.T) {
	for _, c := range []struct {
		name string
		hook func(*setup) *atomic.Pointer[hook]
		when func(*http.Request) bool
	}{
		{"in the middle of a build", // a RUN fetches the patched package
			func(s *setup) *atomic.Pointer[hook] { return &s.writes.packages },
			func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, ".deb") }},
		{"between push and promotion", // the image is pushed by digest; its first tag is about to be written
			func(s *setup) *atomic.Pointer[hook] { return &s.writes.registry },
			func(r *http.Request) bool {
				return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/base/debian/manifests/") && !strings.Contains(r.URL.Path, "sha256:")
			}},
		{"between release tag and channel",
			func(s *setup) *atomic.Pointer[hook] { return &s.writes.registry },
			func(r *http.Request) bool {
				return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/base/debian/manifests/stable")
			}},
		{"between branch and pull request",
			func(s *setup) *atomic.Pointer[hook] { return &s.writes.forge },
			func(r *http.Request) bool {
				return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/pulls")
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSetup(t)
			s.start()
			ctx := s.within(3 * time.Minute)
			s.settled(ctx)
			killed := s.killOnce(c.hook(s), c.when)
			p, err := s.Publish(ctx)
			if err != nil {
				t.Fatal(err)
			}
			s.came(ctx, killed)
			s.start()
			s.ends(ctx, p)
		})
	}
}

// came waits for a moment of once.
func (s *setup) came(ctx context.Context, moment chan string) {
	s.t.Helper()
	select {
	case at := <-moment:
		s.t.Log("it came at", at)
	case <-ctx.Done():
		s.t.Fatalf("the moment never came\n%s", s.daemon.log())
	}
}

// ends drives the rollout to its end and checks all that must be true of it.
func (s *setup) ends(ctx context.Context, p demo.Published) demo.Report {
	s.t.Helper()
	r, err := s.Drive(ctx, s.client(), p, func([]api.Node) {})
	if err != nil {
		s.t.Fatalf("%v: %+v\n%s", err, r, s.daemon.log())
	}
	if !r.Proven() || len(r.Images) != 4 || r.PullRequests != 1 || r.Dispatches != 1 {
		s.t.Errorf("%+v\n%s", r, s.daemon.log())
	}
	s.nothingTwice(ctx, r)
	return r
}

// nothingTwice checks that nothing was done twice.
func (s *setup) nothingTwice(ctx context.Context, r demo.Report) {
	s.t.Helper()
	for _, i := range r.Images {
		if i.Kind != "base" {
			continue
		}
		log, err := s.client().Audit(ctx, s.RegistryHost+"/"+i.Name+":stable", 100)
		if err != nil {
			s.t.Fatal(err)
		}
		n, all := 0, 0
		for _, e := range log.Events {
			if e.Action != "promote" {
				continue
			}
			if all++; e.Detail == i.NewDigest {
				n++
			}
		}
		if n != 1 || all != 2 { // the first build's, and this one
			s.t.Errorf("%s was promoted %d times to %s, %d times in all", i.Name, n, i.NewDigest, all)
		}
	}
	if prs := s.pullRequests(ctx, "demo/orders"); len(prs) != 1 {
		s.t.Errorf("%d pull requests on the forge: %+v", len(prs), prs)
	}
}
