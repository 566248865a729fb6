package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/api"
)

// counts are all requests that change something, at the registry and at the forge.
func (s *setup) counts() [2]int64 {
	return [2]int64{s.writes.registryWrites.Load(), s.writes.forgeWrites.Load()}
}

// Once its work is done the daemon writes nothing: not when it starts again, not when it looks a hundred times more.
func TestAtRestNothingIsWritten(t *testing.T) {
	s := newSetup(t)
	s.start()
	ctx := s.within(3 * time.Minute)
	s.settled(ctx)
	p, err := s.Publish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.ends(ctx, p)
	s.settled(ctx)
	was := s.counts()
	s.daemon.stop()
	s.start()
	for range 100 {
		p, err := s.client().Plan(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Steps) != 0 {
			t.Fatalf("%s: %+v", p.Title, p.Steps)
		}
	}
	if now := s.counts(); now != was {
		t.Errorf("writes at rest (registry, forge): %v, were %v", now, was)
	}
}

// A recipe that does not upgrade, and holds one package: the rebuild works, and the patch is not inside; what is held is said
// and asks for nothing.
func TestPatchNotTaken(t *testing.T) {
	s := newSetup(t)
	s.start()
	ctx := s.within(3 * time.Minute)
	s.settled(ctx)
	s.edit("RUN apt-get update", "RUN apt-mark hold openssl && apt-get update", "apt-get -y upgrade", "true")
	s.settled(ctx) // the base that holds it is promoted, and its children after it
	s.mergeAll(ctx)
	was := s.counts()
	p, err := s.Publish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	n := s.await(ctx, "base/debian", "not-taken", p.At)
	if !strings.Contains(n.Sentence, p.Package+" is still "+p.From) || strings.Contains(n.Sentence, "openssl is still") {
		t.Errorf("the reason is not said: %s", n.Sentence)
	}
	s.whySays(ctx, "base/debian", "patch not taken: "+p.Package)
	s.whySays(ctx, "base/debian", "its own rules hold back openssl "+p.From)
	builds := s.builds(ctx)
	for range 20 {
		if p, err := s.client().Plan(ctx); err != nil || len(p.Steps) != 0 {
			t.Fatalf("it goes on: %+v, %v", p.Steps, err)
		}
	}
	if now := s.builds(ctx); now != builds {
		t.Errorf("%d rollouts, were %d: it loops", now, builds)
	}
	if prs := s.pullRequests(ctx, "demo/orders"); len(prs) > 1 {
		t.Errorf("pull requests: %+v", prs)
	}
	if now := s.counts(); now[1] != was[1] {
		t.Errorf("%d writes to the forge", now[1]-was[1])
	}
	log, err := s.client().Audit(ctx, s.RegistryHost+"/base/debian:stable", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range log.Events {
		if e.Action == "promote" && e.At.After(p.At) {
			t.Errorf("promoted all the same: %+v", e)
		}
	}
}

// whySays waits until the look after what happened has been made, and its reason for doing nothing is said.
func (s *setup) whySays(ctx context.Context, image, reason string) {
	s.t.Helper()
	for {
		why, err := s.client().Why(ctx, image, "")
		if err == nil && slices.ContainsFunc(why.NotDone, func(n api.NotDone) bool { return strings.Contains(n.Reason, reason) }) {
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			s.t.Fatalf("why does not say %q: %+v, %v", reason, why.NotDone, err)
		}
	}
}

// edit changes the recipe of base/debian as its keeper would: pairs of what is there and what comes in its place.
func (s *setup) edit(pairs ...string) {
	s.t.Helper()
	file := filepath.Join(filepath.Dir(s.Catalog), "bases", "debian", "Dockerfile")
	src, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	text := string(src)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			s.t.Fatalf("no %q in\n%s", pairs[i], src)
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// mergeAll merges what is open until the daemon is at rest.
func (s *setup) mergeAll(ctx context.Context) {
	s.t.Helper()
	for {
		if _, err := s.Merge(ctx); err != nil {
			s.t.Fatal(err)
		}
		st, err := s.client().Status(ctx)
		if err == nil && len(st.Running) == 0 && st.Plan != nil && st.Plan.Steps == 0 {
			return
		}
		if !pause(ctx) {
			s.t.Fatalf("no rest: %+v, %v\n%s", st, err, s.daemon.log())
		}
	}
}

// await waits until an image has come to a state in a rollout that started after since.
func (s *setup) await(ctx context.Context, image, state string, since time.Time) api.Node {
	s.t.Helper()
	for {
		all, err := s.client().Rollouts(ctx, 10)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, r := range all.Rollouts {
			if r.CreatedAt.Before(since) {
				continue
			}
			one, err := s.client().Rollout(ctx, r.ID)
			if err != nil {
				s.t.Fatal(err)
			}
			for _, n := range one.Nodes {
				if n.Image == image && n.State == state {
					return n
				}
			}
		}
		if !pause(ctx) {
			s.t.Fatalf("%s does not become %s\n%s", image, state, s.daemon.log())
		}
	}
}

func (s *setup) builds(ctx context.Context) int {
	s.t.Helper()
	all, err := s.client().Rollouts(ctx, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	return all.Total
}

func pause(ctx context.Context) bool {
	select {
	case <-time.After(300 * time.Millisecond):
		return true
	case <-ctx.Done():
		return false
	}
}
