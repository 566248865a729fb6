package observe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"rebuilder/internal/catalog"
	"rebuilder/internal/coexist"
	"rebuilder/internal/notify"
)

// files holds what the applications' Dockerfiles need, as far as the last look met them: a file of a commit never changes, so
// that an application at rest costs the forge one question, and us nothing to read.
type files struct {
	mu    sync.Mutex
	known map[fileKey][]reference
	other map[fileKey]*coexist.Configs // of other bots, by repository and commit
}

// fileKey is one file as one image is built from it.
type fileKey struct {
	repository, commit, path string
	build                    string // arguments and target
}

func (f *files) get(k fileKey) ([]reference, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	refs, ok := f.known[k]
	return refs, ok
}

func (f *files) put(k fileKey, refs []reference) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		f.known = map[fileKey][]reference{}
	}
	f.known[k] = refs
}

func (f *files) bots(repo, commit string) (*coexist.Configs, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.other[fileKey{repository: repo, commit: commit}]
	return c, ok
}

func (f *files) putBots(repo, commit string, c *coexist.Configs) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.other == nil {
		f.other = map[fileKey]*coexist.Configs{}
	}
	f.other[fileKey{repository: repo, commit: commit}] = c
}

// only lets go of what is of other commits than these, by repository.
func (f *files) only(commits map[string]map[string]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.other, func(k fileKey, _ *coexist.Configs) bool { return !commits[k.repository][k.commit] })
	maps.DeleteFunc(f.known, func(k fileKey, _ []reference) bool { return !commits[k.repository][k.commit] })
}

// needs are the images that the Dockerfile of an application's image needs at a commit.
func (o *Observer) needs(ctx context.Context, a catalog.Application, i catalog.ApplicationImage, commit string) ([]reference, error) {
	k := fileKey{a.Repository, commit, i.Dockerfile, fmt.Sprintf("%q %q", i.Args, i.Target)} // fmt sorts maps
	if refs, ok := o.files.get(k); ok {
		return refs, nil
	}
	src, err := o.Forge.ReadFile(ctx, a.Repository, commit, i.Dockerfile)
	if errors.Is(err, notify.ErrNotFound) {
		err = fmt.Errorf("%s has no %s at %.12s", a.Repository, i.Dockerfile, commit)
	}
	if err != nil {
		return nil, err
	}
	refs, err := openReferences(i.Dockerfile, src, i.Args, i.Target)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.Repository, err)
	}
	o.files.put(k, refs)
	return refs, nil
}
