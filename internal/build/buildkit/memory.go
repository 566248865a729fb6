package buildkit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
)

// memory is a file system for a solve, by path: what the engine is given without a file on disk. Files have no owner
// and no time, so that a cache key sees their content only.
type memory map[string][]byte

// Open implements fsutil.FS.
func (m memory) Open(name string) (io.ReadCloser, error) {
	b, ok := m[strings.TrimPrefix(name, "/")]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// Walk implements fsutil.FS: parents before children, a directory's entries in a row.
func (m memory) Walk(_ context.Context, target string, fn fs.WalkDirFunc) error {
	target = strings.TrimPrefix(target, "/")
	skip := "\x00"
	for _, p := range m.paths() {
		if target != "" && p != target && !strings.HasPrefix(p, target+"/") || strings.HasPrefix(p, skip) {
			continue
		}
		err := fn(p, &fsutil.DirEntryInfo{Stat: m.stat(p)}, nil)
		switch {
		case errors.Is(err, fs.SkipAll):
			return nil
		case errors.Is(err, fs.SkipDir):
			skip = p + "/"
		case err != nil:
			return err
		}
	}
	return nil
}

// paths are the files and the directories above them.
func (m memory) paths() []string {
	all := map[string]bool{}
	for p := range m {
		for ; p != "."; p = path.Dir(p) {
			all[p] = true
		}
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return strings.Compare(strings.ReplaceAll(a, "/", "\x00"), strings.ReplaceAll(b, "/", "\x00"))
	})
}

func (m memory) stat(p string) *types.Stat {
	if b, ok := m[p]; ok {
		return &types.Stat{Path: p, Mode: 0o644, Size: int64(len(b))}
	}
	return &types.Stat{Path: p, Mode: uint32(os.ModeDir | 0o755)}
}
