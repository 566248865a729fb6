package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const slowly = passing + `- name: it takes its time
  command: sleep
  args: ["3"]
`

// The builder is killed in the middle of a build, the daemon in the middle of the tests, of a trial, and between two documents:
// one rollout goes through all of that and ends where an undisturbed one ends.
func TestKilledAtEveryGate(t *testing.T) {
	s := newSetup(t)
	s.beside("tests/debian.yaml", slowly, 0o644)
	s.changeCatalog("", `context = "bases/debian"`, `context = "bases/debian"`+"\ntests = [\"tests/debian.yaml\"]\ntrial = [\"batch\"]")
	s.start()
	ctx := s.within(4 * time.Minute)
	s.settled(ctx)
	built := s.once(&s.writes.packages, func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, ".deb") }, s.killBuilder)
	tried := s.killOnce(&s.writes.forge, func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/demo/batch.git/git-upload-pack") })
	looked := 0
	attached := s.killOnce(&s.writes.registry, func(r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/base/debian/referrers/") {
			looked++
		}
		return looked == 4 // it looks before it attaches and after: this is the second document's
	})
	p, err := s.Publish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.came(ctx, built)
	s.until(ctx, "its tests run", func() bool { return s.now(ctx, "base/debian", "runs its tests") })
	s.daemon.kill()
	s.start()
	s.came(ctx, tried)
	s.start()
	s.came(ctx, attached)
	s.start()
	r := s.ends(ctx, p)
	for _, i := range r.Images {
		if i.Kind != "base" {
			continue
		}
		if got := s.attached(ctx, i.Name, i.NewDigest); !slices.Equal(got, documents) {
			t.Errorf("attached to %s: %q", i.Name, got)
		}
	}
	if tried := s.trials(ctx, "batch", "base/debian"); len(tried) != 1 || tried[0].State != "done" {
		t.Errorf("the trial that was cut off: %+v", tried)
	}
}

// now says that an image is in hand and what is said of it begins so.
func (s *setup) now(ctx context.Context, image, sentence string) bool {
	s.t.Helper()
	all, err := s.client().Rollouts(ctx, 1)
	if err != nil || len(all.Rollouts) == 0 {
		return false
	}
	one, err := s.client().Rollout(ctx, all.Rollouts[0].ID)
	if err != nil {
		return false
	}
	for _, n := range one.Nodes {
		if n.Image == image && !n.Ended && strings.Contains(n.Sentence, sentence) {
			return true
		}
	}
	return false
}

// killBuilder kills the daemon's BuildKit.
func (s *setup) killBuilder() {
	if err := syscall.Kill(s.builder(), syscall.SIGKILL); err != nil {
		s.t.Error(err)
	}
}

// builder is the process id of the daemon's BuildKit, its only child.
func (s *setup) builder() int {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.daemon.cmd.Process.Pid))
	if err != nil {
		s.t.Error(err)
	}
	for _, task := range tasks {
		b, _ := os.ReadFile(task) // a thread that ended
		for _, child := range strings.Fields(string(b)) {
			pid, err := strconv.Atoi(child)
			if err != nil {
				s.t.Error(err)
			}
			if line, _ := os.ReadFile("/proc/" + child + "/cmdline"); strings.Contains(string(line), "\x00buildkitd\x00") {
				return pid
			}
		}
	}
	s.t.Error("the daemon has no BuildKit")
	return -1
}
