package forge

import (
	"context"
	"strings"
)

// move is a ref that changed: from is "" when it is new, to is "" when it was deleted.
type move struct{ ref, from, to, who string }

// moved is the one place where a changed ref has consequences: pushes by git, calls of the API and merges alike. The
// caller holds mu.
func (f *Forge) moved(ctx context.Context, r *repository, m move) {
	r.Pushed = f.now()
	f.hook(r, "push", func() any { return f.pushEvent(ctx, r, m) })
	branch, isBranch := strings.CutPrefix(m.ref, "refs/heads/")
	if !isBranch {
		return
	}
	f.runJobs(r, m)
	for _, p := range r.newestFirst() {
		if p.State != "open" {
			continue
		}
		if p.Head == branch {
			f.headMoved(ctx, r, p, m)
		}
		if p.State == "open" && p.Base == branch {
			f.mergedOutside(ctx, r, p, m)
		}
	}
	if f.cfg.OnPush != nil {
		push := Push{Owner: r.Owner, Repo: r.Name, Branch: branch, Before: m.from, After: m.to}
		f.calls.Go(func() { f.cfg.OnPush(push) })
	}
}

// headMoved lets a pull request follow its branch, or closes it with its branch.
func (f *Forge) headMoved(ctx context.Context, r *repository, p *pull, m move) {
	if m.to == "" {
		p.BaseSHA = f.git(r).head(ctx, p.Base)
		f.closePull(ctx, r, p, m.who, false)
		return
	}
	p.HeadSHA, p.Updated = m.to, f.now()
	f.dismissStale(r, p)
	f.hook(r, "pull_request", func() any {
		event := f.pullEvent(ctx, r, p, "synchronize", m.who)
		event.Before, event.After = m.from, m.to
		return event
	})
}

// mergedOutside counts a pull request as merged when its base now contains its head: somebody pushed the merge.
func (f *Forge) mergedOutside(ctx context.Context, r *repository, p *pull, m move) {
	git := f.git(r)
	head := git.head(ctx, p.Head)
	if head == "" || m.to == "" || !git.isAncestor(ctx, head, m.to) {
		return
	}
	p.HeadSHA, p.BaseSHA, p.MergeSHA, p.MergedBy = head, m.from, head, m.who
	f.closePull(ctx, r, p, m.who, true)
}

func (f *Forge) closePull(ctx context.Context, r *repository, p *pull, who string, merged bool) {
	now := f.now()
	p.State, p.Closed, p.Updated = "closed", &now, now
	if merged {
		p.Merged = &now
	}
	f.hook(r, "pull_request", func() any { return f.pullEvent(ctx, r, p, "closed", who) })
}

// settleAll brings the pull requests in line with git after a kill between a ref's change and the state's.
func (f *Forge) settleAll() error {
	ctx := context.Background()
	for _, r := range f.state.Repositories {
		for _, p := range r.newestFirst() {
			if p.State == "open" {
				f.settle(ctx, r, p)
			}
		}
	}
	return nil
}

func (f *Forge) settle(ctx context.Context, r *repository, p *pull) {
	git := f.git(r)
	head, base := git.head(ctx, p.Head), git.head(ctx, p.Base)
	now := f.now()
	switch {
	case head == "":
		p.State, p.Closed, p.BaseSHA = "closed", &now, base // HeadSHA is the last one seen
	case base != "" && git.isAncestor(ctx, head, base):
		p.State, p.Closed, p.Merged = "closed", &now, &now
		p.HeadSHA, p.BaseSHA, p.MergeSHA, p.MergedBy = head, base, base, p.Author
	}
}
