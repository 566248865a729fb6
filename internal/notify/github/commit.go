package github

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // git names blobs by it
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"path"
	"sort"
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
	base, _, err := j.c.api.Git.GetCommit(ctx, j.t.owner, j.t.name, j.p.Base)
	if err != nil {
		return "", fmt.Errorf("base commit %s: %w", j.p.Base, err)
	}
	root := base.GetTree().GetSHA()
	entries, err := j.entries(ctx, root)
	if err != nil {
		return "", err
	}
	if len(entries) == 0 {
		return "", errNothing
	}
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

// entries are the files that differ from the base, each with the mode it has there.
func (j *job) entries(ctx context.Context, root string) ([]*github.TreeEntry, error) {
	tree := &treeReader{j: j, dirs: map[string]map[string]*github.TreeEntry{}, root: root}
	paths := make([]string, 0, len(j.p.Files))
	for file := range j.p.Files {
		paths = append(paths, file)
	}
	sort.Strings(paths)
	var entries []*github.TreeEntry
	for _, file := range paths {
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
		made, err := j.entry(ctx, file, mode, content)
		if err != nil {
			return nil, err
		}
		entries = append(entries, made)
	}
	return entries, nil
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
