package github

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // git names blobs by it
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/google/go-github/v57/github"
)

// errNothing says that the base has the proposed files already.
var errNothing = errors.New("nothing to change")

const (
	modeFile   = "100644"
	modeScript = "100755"
	maxInline  = 1 << 20 // larger contents are blobs of their own
	maxStale   = 4       // attempts while GitHub does not see what it just stored
)

// commit makes one commit with all files on the proposal's base, and returns errNothing when the base has them.
// Author and committer are left out: GitHub fills in whose token it is, and signs for Apps.
func (j *job) commit(ctx context.Context) (string, error) {
	root, all, err := j.fromBase(ctx)
	if err != nil {
		return "", err
	}
	return j.commitOf(ctx, root, all)
}

// commitOf makes a commit of changes to the tree of the base.
func (j *job) commitOf(ctx context.Context, root string, all []change) (string, error) {
	var entries []*github.TreeEntry
	for _, one := range all {
		made, err := j.entry(ctx, one.path, one.mode, one.content)
		if err != nil {
			return "", err
		}
		entries = append(entries, made)
	}
	if len(entries) == 0 {
		return "", errNothing
	}
	var err error
	var tree *github.Tree
	err = j.write(ctx, func() (err error) {
		tree, _, err = j.c.api.Git.CreateTree(ctx, j.t.owner, j.t.name, root, entries)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("make tree: %w", err)
	}
	message := commitMessage(j.p)
	var made *github.Commit
	err = j.untilSeen(ctx, "Tree SHA does not exist", func() (err error) {
		made, _, err = j.c.api.Git.CreateCommit(ctx, j.t.owner, j.t.name, &github.Commit{
			Message: &message, Tree: tree, Parents: []*github.Commit{{SHA: &j.p.Base}},
		}, nil)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("make commit: %w", err)
	}
	return made.GetSHA(), nil
}

// change is a file that differs from the base, with the mode and the blob that it has there.
type change struct {
	path, mode, old string
	content         []byte
}

// changes are the files that differ from the base.
func (j *job) changes(ctx context.Context, root string) ([]change, error) {
	tree := &treeReader{j: j, dirs: map[string]map[string]*github.TreeEntry{}, root: root}
	var all []change
	for _, file := range slices.Sorted(maps.Keys(j.p.Files)) {
		content := j.p.Files[file]
		old, err := tree.find(ctx, file)
		if err != nil {
			return nil, err
		}
		mode := modeFile
		if old != nil {
			mode = old.GetMode()
		}
		switch {
		case mode != modeFile && mode != modeScript:
			return nil, fmt.Errorf("%s is not a regular file (mode %s): it is left alone", file, mode)
		case old.GetSHA() == blobName(content):
			continue
		}
		all = append(all, change{file, mode, old.GetSHA(), content})
	}
	return all, nil
}

// first makes a branch that is not there yet, with the proposal's commit. Where one file changes, GitHub makes the
// commit from the file itself, which saves a write; it gives the mode of a plain file, so that scripts take the other way.
func (j *job) first(ctx context.Context, branch string) (string, error) {
	root, all, err := j.fromBase(ctx)
	if err != nil {
		return "", err
	}
	if fewest(all) {
		if err := j.makeRef(ctx, branch, j.p.Base); err != nil {
			return "", err
		}
		return j.put(ctx, branch, all[0])
	}
	commit, err := j.commitOf(ctx, root, all)
	if err != nil {
		return "", err
	}
	return commit, j.makeRef(ctx, branch, commit)
}

func fewest(all []change) bool {
	return len(all) == 1 && all[0].mode == modeFile && len(all[0].content) <= maxInline
}

// fromBase reads what the proposal changes.
func (j *job) fromBase(ctx context.Context) (root string, all []change, err error) {
	base, _, err := j.c.api.Git.GetCommit(ctx, j.t.owner, j.t.name, j.p.Base)
	if err != nil {
		return "", nil, fmt.Errorf("base commit %s: %w", j.p.Base, err)
	}
	root = base.GetTree().GetSHA()
	all, err = j.changes(ctx, root)
	return root, all, err
}

// put commits one file on a branch that is at the base. The blob that it replaces is GitHub's compare-and-set: nothing
// else may have changed the file. When the answer is lost it looks.
func (j *job) put(ctx context.Context, branch string, one change) (string, error) {
	message := commitMessage(j.p)
	options := &github.RepositoryContentFileOptions{Message: &message, Content: one.content, Branch: &branch}
	if one.old != "" {
		options.SHA = &one.old
	}
	path := (&url.URL{Path: one.path}).String() // go-github sends it as it is
	var made *github.RepositoryContentResponse
	err := j.write(ctx, func() (err error) {
		made, _, err = j.c.api.Repositories.UpdateFile(ctx, j.t.owner, j.t.name, path, options)
		return err
	})
	if err == nil {
		j.pushes++
		return made.Commit.GetSHA(), nil
	}
	err = fmt.Errorf("commit %s: %w", one.path, err)
	if !unsure(ctx, err) && status(err) != http.StatusConflict {
		return "", err
	}
	head, lookErr := j.c.Head(ctx, j.t.String(), branch)
	if lookErr != nil || head == j.p.Base {
		return "", err
	}
	there, _, lookErr := j.c.api.Git.GetCommit(ctx, j.t.owner, j.t.name, head)
	if lookErr != nil || proposalOf(there.GetMessage()) != j.digest {
		return "", err
	}
	j.pushes++
	return head, nil
}

// resume goes on with a branch that has no commit of its own: a kill came after it was made. It returns errNext when it
// has some, which are somebody else's.
func (j *job) resume(ctx context.Context, branch, head string) (string, error) {
	if head == j.p.Base {
		_, all, err := j.fromBase(ctx)
		if err == nil && len(all) == 0 {
			return "", errNothing
		}
		if err == nil && fewest(all) {
			return j.put(ctx, branch, all[0])
		}
		if err != nil {
			return "", err
		}
		return j.replace(ctx, branch, head)
	}
	options := &github.ListOptions{PerPage: 1}
	diff, _, err := j.c.api.Repositories.CompareCommits(ctx, j.t.owner, j.t.name, j.p.Base, head, options)
	switch {
	case err != nil:
		return "", err
	case diff.GetAheadBy() > 0:
		return "", errNext
	}
	return j.replace(ctx, branch, head)
}

// entry sends plain text within the tree, which saves a call, and everything else as a blob, byte for byte.
func (j *job) entry(ctx context.Context, file, mode string, content []byte) (*github.TreeEntry, error) {
	kind := "blob"
	made := &github.TreeEntry{Path: &file, Mode: &mode, Type: &kind}
	if len(content) > 0 && len(content) <= maxInline && utf8.Valid(content) && !bytes.ContainsRune(content, 0) {
		text := string(content)
		made.Content = &text
		return made, nil
	}
	text, encoding := base64.StdEncoding.EncodeToString(content), "base64"
	err := j.write(ctx, func() error {
		blob, _, err := j.c.api.Git.CreateBlob(ctx, j.t.owner, j.t.name, &github.Blob{Content: &text, Encoding: &encoding})
		if err == nil {
			made.SHA = blob.SHA
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", file, err)
	}
	return made, nil
}

// blobName is the name git gives to a content.
func blobName(content []byte) string {
	h := sha1.New() //nolint:gosec // git names blobs by it
	fmt.Fprintf(h, "blob %d\x00", len(content))
	h.Write(content)
	return hex.EncodeToString(h.Sum(nil))
}

// treeReader reads the directories on the way to the files, each once. The recursive listing of a large repository
// is cut short.
type treeReader struct {
	j    *job
	root string
	dirs map[string]map[string]*github.TreeEntry
}

// find returns a path's entry, nil when there is none.
func (t *treeReader) find(ctx context.Context, file string) (*github.TreeEntry, error) {
	dir, name := path.Split(file)
	entries, err := t.dir(ctx, path.Clean(dir))
	if err != nil {
		return nil, err
	}
	return entries[name], nil
}

func (t *treeReader) dir(ctx context.Context, dir string) (map[string]*github.TreeEntry, error) {
	if known, ok := t.dirs[dir]; ok {
		return known, nil
	}
	sha := t.root
	if dir != "." {
		at, err := t.find(ctx, dir)
		if err != nil {
			return nil, err
		}
		if at == nil || at.GetType() != "tree" {
			t.dirs[dir] = nil
			return nil, nil
		}
		sha = at.GetSHA()
	}
	listing, _, err := t.j.c.api.Git.GetTree(ctx, t.j.t.owner, t.j.t.name, sha, false)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", dir, err)
	}
	entries := make(map[string]*github.TreeEntry, len(listing.Entries))
	for _, entry := range listing.Entries {
		entries[entry.GetPath()] = entry
	}
	t.dirs[dir] = entries
	return entries, nil
}

// makeRef creates a branch. When the answer is lost it looks; one that somebody else made meanwhile is not ours.
func (j *job) makeRef(ctx context.Context, branch, commit string) error {
	name := "refs/heads/" + branch
	err := j.untilSeen(ctx, "Object does not exist", func() error {
		ref := &github.Reference{Ref: &name, Object: &github.GitObject{SHA: &commit}}
		_, _, err := j.c.api.Git.CreateRef(ctx, j.t.owner, j.t.name, ref)
		return err
	})
	if j.pushed(ctx, branch, commit, err) {
		j.pushes++
		return nil
	}
	return wrapRef("create", branch, err)
}

// replace makes the proposal's commit and moves the branch to it, if the branch is still where it was seen. GitHub
// offers no compare-and-set, so this looks immediately before, and again after.
func (j *job) replace(ctx context.Context, branch, seen string) (string, error) {
	commit, err := j.commit(ctx)
	if err != nil {
		return "", err
	}
	head, err := j.c.Head(ctx, j.t.String(), branch)
	if err != nil {
		return "", err
	}
	if head != seen {
		return "", fmt.Errorf("branch %s was moved by somebody else meanwhile: left alone", branch)
	}
	name := "refs/heads/" + branch
	err = j.untilSeen(ctx, "Reference update failed", func() error {
		ref := &github.Reference{Ref: &name, Object: &github.GitObject{SHA: &commit}}
		_, _, err := j.c.api.Git.UpdateRef(ctx, j.t.owner, j.t.name, ref, true)
		return err
	})
	if err != nil && !j.pushed(ctx, branch, commit, err) {
		return "", wrapRef("update", branch, err)
	}
	j.pushes++
	return commit, nil
}

// pushed tells whether a failed write of a branch came through after all.
func (j *job) pushed(ctx context.Context, branch, commit string, err error) bool {
	if err == nil {
		return true
	}
	if !unsure(ctx, err) {
		return false
	}
	head, err := j.c.Head(ctx, j.t.String(), branch)
	return err == nil && head == commit
}

func wrapRef(verb, branch string, err error) error {
	return fmt.Errorf("%s branch %s: %w", verb, branch, err)
}

// untilSeen makes a write again while GitHub refuses it because it does not see yet what it stored a moment ago.
func (j *job) untilSeen(ctx context.Context, phrase string, call func() error) error {
	wait := j.c.cfg.RetryWait
	for attempt := 1; ; attempt++ {
		err := j.write(ctx, call)
		if attempt == maxStale || status(err) != http.StatusUnprocessableEntity || !says(err, phrase) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
			wait *= 2
		}
	}
}
