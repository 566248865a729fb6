package buildkit

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const reapInterval = 30 * time.Second

// reapForever collects the processes that have ended and that nobody waits for. As the first process of its namespace
// the child inherits those of cancelled steps.
func reapForever(ctx context.Context) {
	r := reaper{parent: os.Getpid()}
	tick := time.NewTicker(reapInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.reap()
		}
	}
}

// reaper collects a process that it finds ended twice in a row. One that somebody waits for is never found twice.
type reaper struct {
	parent int
	ended  map[int]bool
}

func (r *reaper) reap() {
	now := map[int]bool{}
	for _, pid := range zombies(r.parent) {
		if r.ended[pid] {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
			continue
		}
		now[pid] = true
	}
	r.ended = now
}

// zombies are parent's children that have ended.
func zombies(parent int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	var pids []int
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // gone
		}
		// "12 (name, with anything) Z 1 ..."
		s := string(b)
		fields := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
		if len(fields) < 2 || fields[0] != "Z" || fields[1] != strconv.Itoa(parent) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
