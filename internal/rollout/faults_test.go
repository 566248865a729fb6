package rollout_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/build"
	"rebuilder/internal/registry"
)

// scripted is a builder that appends a layer to the pinned parent: base/debian's upgrades libfoo, the others add a file.
type scripted struct {
	lab *lab

	mu        sync.Mutex
	available string        // the version that an upgrade brings in
	held      bool          // libfoo is held: an upgrade leaves it
	salt      string        // makes the content differ
	fail      string        // the image whose build fails
	dead      string        // the fresh build that fails: a download is gone
	gate      chan struct{} // builds wait for it to be closed; nil: they do not
	builds    map[string]int
	fresh     map[string]string // by image: what the last build was asked to be
	requests  map[string]build.Request
	trial     func(build.Request) bool // which trials fail; nil: none
	slow      bool                     // those fail because their time is over
	unfetched string                   // why no repository can be read; empty: they can
}

// last is the newest request to build an image.
func (s *scripted) last(image string) (r build.Request) {
	s.set(func(s *scripted) { r = s.requests[image] })
	return r
}

// try is a build of an application on a candidate: nothing is pushed.
func (s *scripted) try(r build.Request) (*build.Result, error) {
	s.lab.cut.here("before trial")
	defer s.lab.cut.here("after trial")
	var fails func(build.Request) bool
	var unfetched string
	var slow bool
	s.set(func(s *scripted) { fails, unfetched, slow = s.trial, s.unfetched, s.slow })
	if unfetched != "" {
		return nil, &build.Error{Image: r.Image, Reason: unfetched, Unfetched: true}
	}
	if slow && fails(r) {
		return nil, context.DeadlineExceeded
	}
	if fails != nil && fails(r) {
		return nil, &build.Error{Image: r.Image, Reason: "RUN make exited with 2", ExitCode: 2}
	}
	return &build.Result{Started: time.Now(), Ended: time.Now()}, nil
}

func (s *scripted) set(f func(*scripted)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *scripted) count(image string) (n int) {
	s.set(func(s *scripted) { n = s.builds[image] })
	return n
}

func (s *scripted) Build(_ context.Context, r build.Request) (*build.Result, error) {
	if !r.Discard {
		s.lab.cut.here("before build")
	}
	s.mu.Lock()
	if s.builds == nil {
		s.builds, s.fresh, s.requests = map[string]int{}, map[string]string{}, map[string]build.Request{}
	}
	s.requests[r.Image] = r
	s.builds[r.Image]++
	s.fresh[r.Image] = r.Fresh
	version, held, salt, fail, gate := s.available, s.held, s.salt, s.fail == r.Image || s.dead != "" && s.dead == r.Fresh, s.gate
	s.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if r.Discard {
		return s.try(r)
	}
	if fail {
		return nil, &build.Error{Image: r.Image, Reason: "RUN apt-get exited with 100", ExitCode: 100}
	}
	if len(r.Pins) != 1 {
		return nil, fmt.Errorf("%d pins", len(r.Pins))
	}
	repo, _, _ := strings.Cut(strings.TrimPrefix(r.Pins[0].Reference, s.lab.host+"/"), ":")
	parent := s.lab.pull(repo + "@" + r.Pins[0].Digest.String())
	files := map[string]string{"opt/" + strings.ReplaceAll(r.Image, "/", "-"): "x" + salt}
	if r.Image == "base/debian" {
		if held {
			version = "1.0"
		}
		files["var/lib/dpkg/status"] = status(version, held)
	}
	img := s.lab.layer(parent, files)
	d := s.lab.push(img, strings.TrimPrefix(r.Repository, s.lab.host+"/"))
	s.lab.cut.here("after build")
	return &build.Result{Digest: d, Started: time.Now(), Ended: time.Now()}, nil
}

// cut stops the process at the nth outside effect: the call never returns, nothing after it is recorded.
type cut struct {
	mu   sync.Mutex
	at   int    // 0: never
	want string // or the first effect of this name
	n    int
	name string
	hit  bool
}

func (c *cut) arm(at int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.n, c.hit, c.name = at, 0, false, ""
}

// armAt cuts at the first effect of a name.
func (c *cut) armAt(name string) {
	c.arm(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.want = name
}

func (c *cut) here(name string) {
	c.mu.Lock()
	c.n++
	now := c.at > 0 && c.n == c.at || c.want == name
	if now {
		c.hit, c.name, c.want = true, name, ""
	}
	c.mu.Unlock()
	if now {
		select {}
	}
}

// happened says, once, that the process was stopped.
func (c *cut) happened() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	hit := c.hit
	c.hit = false
	return hit
}

// count is how many effects there were since arm.
func (c *cut) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *cut) where() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.name
}

type cutRegistry struct {
	*registry.Client
	cut *cut
}

func (r cutRegistry) Tag(ctx context.Context, repo string, d v1.Hash, tag string) error {
	r.cut.here("before tag " + tag)
	err := r.Client.Tag(ctx, repo, d, tag)
	r.cut.here("after tag " + tag)
	return err
}
