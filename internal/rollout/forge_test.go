package rollout_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"rebuilder/internal/notify"
)

// forge is a code host in memory, with a CI that builds each new commit of the default branch and each dispatch.
type forge struct {
	lab *lab

	failing    map[string][]string // checks that are red, by commit
	mu         sync.Mutex
	repos      map[string]*repository
	writes     int
	dispatches int
	refuse     bool          // pull requests are not allowed
	human      bool          // somebody else has committed to our branch
	idle       bool          // CI does not build what is merged
	pause      time.Duration // of a dispatch
	green      bool          // checks are
	asked      int           // to merge
}

type repository struct {
	images  []string
	commits []string // Dockerfile at each commit
	values  []string // values.yaml at each commit; none when there is none
	pulls   []*pull
	runs    map[string]int // of CI, by what they were asked for with
}

type pull struct {
	notify.PullRequest
	key, file, values, base string
	again, closed           string // closed: why we closed it
}

// file is the Dockerfile as a proposal has it.
func (r *repository) file(p notify.Proposal) string {
	if src, ok := p.Files["Dockerfile"]; ok {
		return string(src)
	}
	return r.commits[len(r.commits)-1]
}

func (f *forge) add(repo, dockerfile string, images ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.repos[repo] = &repository{images: images, commits: []string{dockerfile}, runs: map[string]int{}}
	f.ci(f.repos[repo])
}

// ci builds the newest commit on whatever its Dockerfile names.
func (f *forge) ci(r *repository) {
	dockerfile := r.commits[len(r.commits)-1]
	from := strings.TrimPrefix(strings.Fields(dockerfile)[1], f.lab.host+"/")
	if i := strings.Index(from, "@"); i >= 0 {
		from = from[:strings.Index(from, ":")] + from[i:]
	}
	on := f.lab.scratch()
	if from != "scratch" {
		on = f.lab.pull(from)
	}
	for _, image := range r.images {
		f.lab.push(f.lab.layer(on, map[string]string{"app": image, "made-from": dockerfile}), image)
	}
}

// merged is the Dockerfile with the lines that a pull request changes; others may have changed since it was made.
func (r *repository) merged(pr *pull) string {
	var n int
	_, _ = fmt.Sscan(pr.base, &n)
	from, to, now := strings.Split(r.commits[n-1], "\n"), strings.Split(pr.file, "\n"), strings.Split(r.commits[len(r.commits)-1], "\n")
	if len(from) != len(to) || len(from) != len(now) {
		return pr.file
	}
	for i := range to {
		if to[i] != from[i] {
			now[i] = to[i]
		}
	}
	return strings.Join(now, "\n")
}

// revert takes the last commit back.
func (f *forge) revert(repo string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.repos[repo]
	r.commits = append(r.commits, r.commits[len(r.commits)-2])
}

func (f *forge) Head(_ context.Context, repo, _ string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.repos[repo]
	if r == nil {
		return "", notify.ErrNotFound
	}
	return fmt.Sprint(len(r.commits)), nil
}

func (f *forge) ReadFile(_ context.Context, repo, commit, path string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var n int
	r := f.repos[repo]
	if _, err := fmt.Sscan(commit, &n); err == nil && path == "values.yaml" && n <= len(r.values) {
		return []byte(r.values[n-1]), nil
	}
	if path != "Dockerfile" {
		return nil, notify.ErrNotFound
	}
	return []byte(r.commits[n-1]), nil
}

func (f *forge) Propose(_ context.Context, p notify.Proposal) (notify.PullRequest, error) {
	f.lab.cut.here("before pull request")
	f.mu.Lock()
	if f.refuse {
		f.mu.Unlock()
		return notify.PullRequest{}, fmt.Errorf("403 for a token that may only read: %w", notify.ErrNotFound)
	}
	if f.human {
		f.mu.Unlock()
		return notify.PullRequest{Number: 1, State: notify.Open, Human: true}, nil
	}
	r := f.repos[p.Repo]
	for _, pr := range slices.Backward(r.pulls) {
		if pr.key == p.Key && pr.file == r.file(p) && pr.values == string(p.Files["values.yaml"]) && pr.again == p.Again {
			f.mu.Unlock()
			return pr.PullRequest, nil
		}
	}
	f.writes++
	for _, pr := range r.pulls {
		if pr.key == p.Key && pr.State == notify.Open {
			pr.file, pr.values, pr.again = r.file(p), string(p.Files["values.yaml"]), p.Again
			f.mu.Unlock()
			return pr.PullRequest, nil
		}
	}
	pr := &pull{PullRequest: notify.PullRequest{Repo: p.Repo, Number: len(r.pulls) + 1, State: notify.Open, HeadCommit: fmt.Sprint("head ", len(r.pulls)+1)}, key: p.Key, file: r.file(p), values: string(p.Files["values.yaml"]), base: p.Base, again: p.Again}
	r.pulls = append(r.pulls, pr)
	made := pr.PullRequest
	f.mu.Unlock()
	f.lab.cut.here("after pull request")
	return made, nil
}

func (f *forge) Proposed(_ context.Context, p notify.Proposal) (notify.PullRequest, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, pr := range f.repos[p.Repo].pulls {
		if pr.key == p.Key && pr.base == p.Base {
			return pr.PullRequest, nil
		}
	}
	return notify.PullRequest{}, notify.ErrNotFound
}

func (f *forge) PullRequest(_ context.Context, repo string, number int) (notify.PullRequest, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.repos[repo].pulls[number-1].PullRequest, nil
}

func (f *forge) ClosePullRequest(_ context.Context, repo string, number int, reason string) error {
	f.lab.cut.here("before close")
	f.mu.Lock()
	if pr := f.repos[repo].pulls[number-1]; pr.State == notify.Open {
		pr.State, pr.closed = notify.Closed, reason
		f.writes++
	}
	f.mu.Unlock()
	f.lab.cut.here("after close")
	return nil
}

func (f *forge) Dispatch(_ context.Context, d notify.Dispatch) error {
	f.lab.cut.here("before dispatch")
	time.Sleep(f.pause)
	f.mu.Lock()
	f.writes++
	f.dispatches++
	f.repos[d.Repo].runs[d.Key]++
	f.ci(f.repos[d.Repo])
	f.mu.Unlock()
	f.lab.cut.here("after dispatch")
	return nil
}

func (f *forge) Dispatched(_ context.Context, d notify.Dispatch, _ time.Time) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.repos[d.Repo].runs[d.Key] > 0, nil
}

func (f *forge) set(do func(*forge)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do(f)
}

// merge merges all that is open, and CI builds it.
func (f *forge) merge() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.repos {
		for _, pr := range r.pulls {
			if pr.State == notify.Open {
				pr.State = notify.Merged
				r.commits = append(r.commits, r.merged(pr))
				if pr.values != "" {
					r.values = append(r.values, pr.values)
				} else if n := len(r.values); n > 0 {
					r.values = append(r.values, r.values[n-1])
				}
				if !f.idle {
					f.ci(r)
				}
			}
		}
	}
}

func (f *forge) open() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.repos {
		if slices.ContainsFunc(r.pulls, func(p *pull) bool { return p.State == notify.Open }) {
			return true
		}
	}
	return false
}

func (f *forge) counts() (pulls, dispatches, writes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.repos {
		pulls += len(r.pulls)
	}
	return pulls, f.dispatches, f.writes
}
