package observe

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"rebuilder/internal/catalog"
	"rebuilder/internal/coexist"
	"rebuilder/internal/notify"
	"rebuilder/internal/plan"
)

// coexist says of each reference which other bots update it, and whether it is left to them.
func (o *Observer) coexist(ctx context.Context, a catalog.Application, commit string, refs []plan.Reference) error {
	if a.Strategy != catalog.PullRequest || len(refs) == 0 {
		return nil
	}
	bots, err := o.bots(ctx, a.Repository, commit)
	if err != nil {
		return err
	}
	for i := range refs {
		r := &refs[i]
		for _, says := range bots.Ask(lineOf(*r, a.Branch)) {
			if says.Says == coexist.Leaves {
				continue
			}
			r.Bots = append(r.Bots, says)
			if says.Says == coexist.Keeps && a.Proposals.WithBots == catalog.Yield && r.Rewritable {
				r.Left, r.Rewritable, r.Why = true, false, fmt.Sprintf("is kept up to date by %s (%s: %s)", says.Bot, says.Where, says.Why)
			}
		}
	}
	return nil
}

func lineOf(r plan.Reference, branch string) coexist.Line {
	l := coexist.Line{Image: r.Reference, File: r.File, Branch: branch}
	if i := strings.LastIndex(r.Reference, ":"); i > strings.LastIndex(r.Reference, "/") {
		l.Image, l.Tag = r.Reference[:i], r.Reference[i+1:]
	}
	return l
}

// bots reads the configurations of other bots in a repository, once a commit.
func (o *Observer) bots(ctx context.Context, repo, commit string) (*coexist.Configs, error) {
	if c, ok := o.files.bots(repo, commit); ok {
		return c, nil
	}
	there, err := o.present(ctx, repo, commit, coexist.Files())
	if err != nil {
		return nil, err
	}
	found := map[string][]byte{}
	for _, p := range there {
		src, err := o.Forge.ReadFile(ctx, repo, commit, p)
		if errors.Is(err, notify.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found[p] = src
	}
	c := coexist.Read(found)
	o.files.putBots(repo, commit, c)
	return c, nil
}

// trees is a forge that lists a commit: two requests say which of a dozen files are there.
type trees interface {
	Tree(ctx context.Context, repo, sha string, recursive bool) (notify.Tree, error)
}

// present are those of some paths that a commit may have.
func (o *Observer) present(ctx context.Context, repo, commit string, paths []string) (there []string, err error) {
	forge, ok := o.Forge.(trees)
	if !ok {
		return paths, nil
	}
	root, err := forge.Tree(ctx, repo, commit, false)
	if err != nil {
		return nil, err
	}
	listed := map[string]notify.Tree{".": root}
	for _, e := range root.Entries {
		if e.Kind == notify.Directory && slices.ContainsFunc(paths, func(p string) bool { return path.Dir(p) == e.Path }) {
			if listed[e.Path], err = forge.Tree(ctx, repo, e.SHA, false); err != nil {
				return nil, err
			}
		}
	}
	for _, p := range paths {
		dir := listed[path.Dir(p)]
		if dir.Truncated || slices.ContainsFunc(dir.Entries, func(e notify.TreeEntry) bool {
			return e.Kind == notify.RegularFile && e.Path == path.Base(p) && e.Size <= coexist.MaxFile
		}) {
			there = append(there, p)
		}
	}
	return there, nil
}
