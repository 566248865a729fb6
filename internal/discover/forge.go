package discover

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/notify"
	"rebuilder/internal/store"
)

// forgeWalk walks an organisation.
type forgeWalk struct {
	*slice
	host string // in names: "github.com"
}

// pushMargin is how much older than our last look a push must be to be sure that the look came after it: the forge tells
// seconds, and its clock is not ours.
const pushMargin = 5 * time.Minute

// forgeName is the full name of a repository; a name of dots alone is none.
var forgeName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*/\.*[A-Za-z0-9_-][A-Za-z0-9._-]*$`)

const maxNames = 5 // former names that are kept

func (f *forgeWalk) passing(err error) bool     { return f.cfg.Forge.Passing(err) }
func (f *forgeWalk) repository(one item) string { return one.name }

func (f *forgeWalk) page(ctx context.Context, cursor string) (items []item, next string, refused int, err error) {
	repos, next, rate, err := f.cfg.Forge.Repositories(ctx, f.place.org, cursor)
	f.spend(1)
	if err != nil {
		return nil, "", 0, limited(err)
	}
	f.reserve(rate)
	for _, r := range repos {
		if r.ID == 0 || len(r.Name) > maxName || !forgeName.MatchString(r.Name) {
			refused++
			continue
		}
		items = append(items, item{name: r.Name, listed: r})
	}
	return items, next, refused, nil
}

func (f *forgeWalk) key(id int64) string { return fmt.Sprintf("repository %s %d", f.host, id) }

// unread has the present name, and remembers the former one.
func (f *forgeWalk) unread(one item, was store.Observed) store.Observed {
	l, row := one.listed, was
	row.Key, row.Kind, row.Name, row.Repository, row.State = f.key(l.ID), store.ObservedRepository, f.host+"/"+l.Name, l.Name, stateOf(l)
	if was.Repository != "" && was.Repository != l.Name {
		names := append(slices.Clone(was.Detail.Was), was.Repository)
		row.Detail.Was = names[max(0, len(names)-maxNames):]
	}
	row.Detail.ID, row.Detail.Fork = l.ID, l.Fork
	return row
}

// look looks at one repository: without a request when nothing was pushed since the last look, by 1 when the branch did not
// move, and else by its tree and the Dockerfiles that are new.
func (f *forgeWalk) look(ctx context.Context, one item) (found, error) {
	l := one.listed
	was, _, err := store.GetObserved(ctx, f.cfg.Store.Q(), f.key(l.ID))
	if err != nil {
		return found{}, &databaseError{err}
	}
	row := f.unread(one, was)
	if row.State != "disabled" {
		err = f.read(ctx, l, &row)
	}
	if err != nil {
		return found{}, limited(err)
	}
	f.judge.repository(&row)
	row.Note = noteOf(row)
	return found{save: []store.Observed{row}}, nil
}

// stateOf says that a repository cannot be pushed to.
func stateOf(l notify.Listed) string {
	switch {
	case l.Disabled:
		return "disabled"
	case l.Archived:
		return "archived"
	}
	return ""
}

// read brings the row's commit and Dockerfiles up to date.
func (f *forgeWalk) read(ctx context.Context, l notify.Listed, row *store.Observed) error {
	d := &row.Detail
	now, pushed := f.cfg.Now().UnixMilli(), l.PushedAt.UnixMilli()
	same := d.Branch == l.Branch && d.LookedAt > 0
	if same && !l.PushedAt.IsZero() && d.PushedAt == pushed && pushed < d.LookedAt-pushMargin.Milliseconds() {
		return nil
	}
	commit, err := f.head(ctx, l)
	if err != nil {
		return err
	}
	switch {
	case commit == "" && row.Digest != "":
		return fmt.Errorf("branch %s of %s, which had commits: %w", l.Branch, l.Name, notify.ErrNotFound)
	case commit == "":
		d.Files, d.Unread = nil, ""
	case !same || commit != row.Digest:
		if err := f.dockerfiles(ctx, l.Name, commit, d); err != nil {
			return err
		}
	}
	row.Digest, d.Branch, d.PushedAt, d.LookedAt = commit, l.Branch, pushed, now
	return nil
}

// head is the commit of the default branch; empty when there is none.
func (f *forgeWalk) head(ctx context.Context, l notify.Listed) (commit string, err error) {
	if l.Branch == "" {
		return "", nil
	}
	if strings.Contains(l.Branch, "..") {
		return "", fmt.Errorf("its default branch %q has a name that git does not allow", l.Branch[:min(len(l.Branch), maxName)])
	}
	commit, err = f.cfg.Forge.Head(ctx, l.Name, l.Branch)
	f.spend(1)
	if errors.Is(err, notify.ErrNotFound) {
		return "", nil
	}
	return commit, err
}

// noteOf says what else is worth knowing of a repository.
func noteOf(row store.Observed) string {
	var notes []string
	if row.State == "archived" {
		notes = append(notes, "archived: nothing can be proposed to it")
	}
	if row.Detail.Fork {
		notes = append(notes, "a fork")
	}
	if was := row.Detail.Was; len(was) > 0 {
		notes = append(notes, "was "+was[len(was)-1])
	}
	return strings.Join(notes, "; ")
}

// verify asks for a repository that the walk did not see.
func (f *forgeWalk) verify(ctx context.Context, row store.Observed) (found, error) {
	if !f.wanted(row.Repository) {
		return found{forget: []string{row.Key}}, nil
	}
	l, err := f.cfg.Forge.Repository(ctx, row.Repository)
	f.spend(1)
	owner, _, _ := strings.Cut(l.Name, "/")
	switch {
	case errors.Is(err, notify.ErrNotFound):
		return found{gone: []string{row.Key}}, nil
	case err != nil:
		return found{}, limited(err)
	case l.ID != row.Detail.ID, !strings.EqualFold(owner, f.place.org):
		return found{gone: []string{row.Key}}, nil // another one has the name now, or it went to another organisation
	case !f.wanted(l.Name): // it was renamed
		return found{forget: []string{row.Key}}, nil
	}
	return f.look(ctx, item{name: l.Name, listed: l})
}
