package promote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"rebuilder/internal/registry"
)

// shelf is a real registry with three images in one repository, and a place for faults.
type shelf struct {
	repo    string
	a, b, c v1.Hash
	client  *registry.Client

	mu     sync.Mutex
	writes []string // tags that were written, in order
	// fault may take a request, with or without serving it; its answer is then lost.
	fault func(r *http.Request, serve func()) (lost bool)
	busy  func(r *http.Request) bool // answered with 503
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{}
	inner := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(inner, w, r) }))
	t.Cleanup(srv.Close)
	s.repo = strings.TrimPrefix(srv.URL, "http://") + "/base/debian"
	for _, to := range []*v1.Hash{&s.a, &s.b, &s.c} {
		img, err := random.Image(100, 1)
		if err != nil {
			t.Fatal(err)
		}
		if *to, err = img.Digest(); err != nil {
			t.Fatal(err)
		}
		ref, err := name.NewDigest(s.repo + "@" + to.String())
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, img); err != nil {
			t.Fatal(err)
		}
	}
	s.writes = nil
	var err error
	if s.client, err = registry.New(registry.Config{Backoff: time.Microsecond}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *shelf) serve(inner http.Handler, w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy != nil && s.busy(r) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if s.fault == nil || !s.fault(r, func() { inner.ServeHTTP(httptest.NewRecorder(), r) }) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			s.writes = append(s.writes, r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
		}
		inner.ServeHTTP(w, r)
		return
	}
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		_ = conn.Close()
	}
}

func (s *shelf) at(t *testing.T, tag string) v1.Hash {
	t.Helper()
	d, err := s.client.Digest(t.Context(), s.repo+":"+tag)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (s *shelf) put(t *testing.T, tag string, d v1.Hash) {
	t.Helper()
	if d == (v1.Hash{}) {
		return
	}
	if err := s.client.Tag(t.Context(), s.repo, d, tag); err != nil {
		t.Fatal(err)
	}
}

func (s *shelf) wrote() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := strings.Join(s.writes, " ")
	s.writes = nil
	return got
}

func TestPromote(t *testing.T) {
	s := newShelf(t)
	none := v1.Hash{}
	for i, c := range []struct {
		name             string
		channel, release v1.Hash // before
		digest, expect   v1.Hash
		noRelease        bool
		want             Result
		writes           string // R the release, C the channel
	}{
		{"first", none, none, s.a, none, false, Result{Moved: true, Released: true}, "R C"},
		{"next", s.a, none, s.b, s.a, false, Result{Moved: true, Released: true, Previous: s.a}, "R C"},
		{"died after the release", s.a, s.b, s.b, s.a, false, Result{Moved: true, Previous: s.a}, "C"},
		{"done already", s.b, s.b, s.b, s.a, false, Result{Previous: s.b}, ""},
		{"done, release lost", s.b, none, s.b, s.a, false, Result{Released: true, Previous: s.b}, "R"},
		{"no release wanted", s.a, none, s.b, s.a, true, Result{Moved: true, Previous: s.a}, "C"},
		{"back to an older one", s.b, s.a, s.a, s.b, false, Result{Moved: true, Previous: s.b}, "C"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Request{Repository: s.repo, Channel: fmt.Sprint("stable", i), Digest: c.digest, Expect: c.expect, Release: fmt.Sprint("r", i)}
			s.put(t, r.Channel, c.channel)
			s.put(t, r.Release, c.release)
			if c.noRelease {
				r.Release = ""
			}
			s.wrote()
			got, err := Promote(t.Context(), s.client, r)
			if err != nil || got != c.want {
				t.Fatalf("got %+v, %v, want %+v", got, err, c.want)
			}
			wrote := strings.NewReplacer(r.Channel, "C", fmt.Sprint("r", i), "R").Replace(s.wrote())
			if wrote != c.writes {
				t.Errorf("wrote %q, want %q", wrote, c.writes)
			}
			if s.at(t, r.Channel) != c.digest {
				t.Error("the channel is elsewhere")
			}
			again, err := Promote(t.Context(), s.client, r)
			if err != nil || again.Moved || again.Released || s.wrote() != "" {
				t.Errorf("a second time: %+v, %v", again, err)
			}
		})
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	s := newShelf(t)
	none := v1.Hash{}
	for i, c := range []struct {
		name             string
		channel, release v1.Hash
		expect           v1.Hash
		moved, taken     bool
		want             []string
	}{
		{"moved by somebody else", s.c, none, s.a, true, false, []string{s.a.String(), s.b.String(), s.c.String()}},
		{"made by somebody else", s.c, none, none, true, false, []string{"expected nothing", s.c.String()}},
		{"removed by somebody else", none, none, s.a, true, false, []string{"points to nothing", s.a.String()}},
		{"release taken", s.a, s.c, s.a, false, true, []string{"never moved", s.c.String()}},
		{"release taken, channel there", s.b, s.c, s.a, false, true, []string{"never moved"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Request{Repository: s.repo, Channel: fmt.Sprint("stable", i), Digest: s.b, Expect: c.expect, Release: fmt.Sprint("r", i)}
			s.put(t, r.Channel, c.channel)
			s.put(t, r.Release, c.release)
			s.wrote()
			_, err := Promote(t.Context(), s.client, r)
			var moved *Moved
			var taken *ReleaseTaken
			if errors.As(err, &moved) != c.moved || errors.As(err, &taken) != c.taken {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not say %q: %v", want, err)
				}
			}
			if wrote := s.wrote(); wrote != "" {
				t.Errorf("wrote %s", wrote)
			}
			if s.at(t, r.Channel) != c.channel {
				t.Error("the channel was moved")
			}
		})
	}
}

// Whatever one request meets with, the promotion, run again where it failed, ends in the same state, with the release
// before the channel.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(r *http.Request, serve func()) bool
	}{
		{"lost before its effect", func(*http.Request, func()) bool { return true }},
		{"answer lost after its effect", func(_ *http.Request, serve func()) bool { serve(); return true }},
	} {
		for n := range 8 {
			t.Run(fmt.Sprintf("%s, request %d", c.name, n), func(t *testing.T) {
				s := newShelf(t)
				s.put(t, "stable", s.a)
				s.wrote()
				s.client, _ = registry.New(registry.Config{Attempts: 1}) // the faults are for us
				seen := -1
				s.fault = func(r *http.Request, serve func()) bool {
					if !strings.Contains(r.URL.Path, "/manifests/") {
						return false
					}
					if seen++; seen != n {
						return false
					}
					return c.fault(r, serve)
				}
				r := Request{Repository: s.repo, Channel: "stable", Digest: s.b, Expect: s.a, Release: "r1"}
				_, err := Promote(t.Context(), s.client, r)
				if err != nil {
					if at := s.at(t, "stable"); at == s.b && s.at(t, "r1") != s.b {
						t.Error("the channel was moved before the release was made")
					}
					_, err = Promote(t.Context(), s.client, r)
				}
				if err != nil {
					t.Fatal(err)
				}
				if s.at(t, "stable") != s.b || s.at(t, "r1") != s.b {
					t.Errorf("stable %s, r1 %s", s.at(t, "stable"), s.at(t, "r1"))
				}
			})
		}
	}
}

// One busy answer to each request is the registry client's to bear.
func TestOneBusyAnswerIsNoFailure(t *testing.T) {
	s := newShelf(t)
	failed := map[string]bool{}
	s.busy = func(r *http.Request) bool {
		key := r.Method + r.URL.Path
		first := !failed[key]
		failed[key] = true
		return first
	}
	got, err := Promote(t.Context(), s.client, Request{Repository: s.repo, Channel: "stable", Digest: s.a, Release: "r1"})
	if err != nil || !got.Moved || !got.Released {
		t.Fatalf("got %+v, %v", got, err)
	}
	if len(failed) < 4 {
		t.Errorf("only %d requests were refused", len(failed))
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	d := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}
	for name, r := range map[string]Request{
		"no repository":      {Channel: "stable", Digest: d},
		"no channel":         {Repository: "h/a", Digest: d},
		"no digest":          {Repository: "h/a", Channel: "stable"},
		"release is channel": {Repository: "h/a", Channel: "stable", Release: "stable", Digest: d},
	} {
		if _, err := Promote(t.Context(), unreachable{t: t}, r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

type unreachable struct {
	Registry // asked for nothing else
	t        *testing.T
}

func (u unreachable) Digest(context.Context, string) (v1.Hash, error) {
	u.t.Error("the registry was asked")
	return v1.Hash{}, nil
}

func (u unreachable) Tag(context.Context, string, v1.Hash, string) error {
	u.t.Error("the registry was written to")
	return nil
}

// A digest of another repository is there whole, and attested, before its release and its channel are.
func TestPromoteFromAnotherRepository(t *testing.T) {
	s := newShelf(t)
	to := s.repo + "/released"
	attested := false
	r := Request{Repository: to, From: s.repo, Channel: "stable", Digest: s.a, Release: "r1", Attest: func(ctx context.Context) error {
		attested = true
		at, err := s.client.Digest(ctx, to+"@"+s.a.String())
		if err != nil || at != s.a {
			t.Errorf("attested before it is there: %s, %v", at, err)
		}
		if at, err := s.client.Digest(ctx, to+":r1"); err != nil || at != (v1.Hash{}) {
			t.Errorf("attested after the release: %s, %v", at, err)
		}
		return nil
	}}
	got, err := Promote(t.Context(), s.client, r)
	if err != nil || got != (Result{Moved: true, Released: true}) || !attested {
		t.Fatalf("%+v, %v, attested %v", got, err, attested)
	}
	attested = false
	if got, err := Promote(t.Context(), s.client, r); err != nil || got.Moved || got.Released || attested {
		t.Errorf("again: %+v, %v, attested %v", got, err, attested)
	}
	// Neither is done for a channel that was moved by somebody else.
	r.Digest = s.b
	var moved *Moved
	if _, err := Promote(t.Context(), s.client, r); !errors.As(err, &moved) || attested {
		t.Errorf("%v, attested %v", err, attested)
	}
	if at, err := s.client.Digest(t.Context(), to+"@"+s.b.String()); err != nil || at != (v1.Hash{}) {
		t.Errorf("copied for nothing: %s, %v", at, err)
	}
	r.Expect, r.Release, r.Attest = s.a, "r2", func(context.Context) error { return errors.New("no key") }
	if _, err := Promote(t.Context(), s.client, r); err == nil || s.at(t, "stable") == s.b {
		t.Errorf("promoted without attestation: %v", err)
	}
	if at, err := s.client.Digest(t.Context(), to+":r2"); err != nil || at != (v1.Hash{}) {
		t.Errorf("released without attestation: %s, %v", at, err)
	}
}

func TestPromoteWhatIsNotWhole(t *testing.T) {
	s := newShelf(t)
	nowhere := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}
	if _, err := Promote(t.Context(), s.client, Request{Repository: s.repo, Channel: "stable", Digest: nowhere}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("promoted nothing: %v", err)
	}
}
