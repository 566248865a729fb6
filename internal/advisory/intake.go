package advisory

import (
	"context"
	"slices"
	"strings"

	"rebuilder/internal/store"
)

const (
	recordsPerWrite  = 200  // no writer should wait long for its turn
	packagesPerWrite = 3000 // of those, so many at most, but for one record
)

// intake writes the files of a source that are not what they were.
type intake struct {
	store   *store.Store
	source  string
	wanted  func(string) bool
	marks   map[string]string // of the files that are stored
	anew    bool              // what is stored was read by an earlier program: all is read again
	have    map[string]bool   // the files that are there now
	kept    []string          // beginnings of the paths of files that were not looked at, being as they were
	batch   []store.AdvisoryRecord
	size    int
	changed int
}

func newIntake(ctx context.Context, st *store.Store, s Source, anew bool) (*intake, error) {
	marks, err := store.AdvisoryMarks(ctx, st.Q(), s.Name)
	return &intake{store: st, source: s.Name, wanted: s.wanted(), marks: marks, anew: anew, have: map[string]bool{}}, err
}

// same says that a file is stored as it is.
func (i *intake) same(path, mark string) bool {
	was, ok := i.marks[path]
	return ok && was == mark && !i.anew
}

// take reads a file unless it is stored as it is. What cannot be read is written down, and loses nothing else.
func (i *intake) take(ctx context.Context, path, mark string, open func() ([]byte, error)) error {
	i.have[path] = true
	if i.same(path, mark) {
		return nil
	}
	raw, err := open()
	if err := ctx.Err(); err != nil {
		return err
	}
	return i.put(ctx, path, mark, raw, err)
}

// put writes what was read of a file.
func (i *intake) put(ctx context.Context, path, mark string, raw []byte, problem error) error {
	i.have[path] = true
	var r store.AdvisoryRecord
	if problem == nil {
		r, problem = parse(raw, i.wanted)
	}
	if problem != nil {
		r = store.AdvisoryRecord{Advisory: store.Advisory{Problem: problem.Error()}}
	}
	r.Path, r.Mark = path, mark
	i.batch = append(i.batch, r)
	i.size += len(r.Packages)
	i.changed++
	if len(i.batch) >= recordsPerWrite || i.size >= packagesPerWrite {
		return i.flush(ctx)
	}
	return nil
}

func (i *intake) flush(ctx context.Context) error {
	err := store.SaveAdvisories(ctx, i.store, i.source, i.batch)
	i.batch, i.size = nil, 0
	return err
}

// keep says that all files below a path are as they were.
func (i *intake) keep(below string) { i.kept = append(i.kept, below+"/") }

// end writes what is left, and removes the files that are there no more.
func (i *intake) end(ctx context.Context) error {
	if err := i.flush(ctx); err != nil {
		return err
	}
	var gone []string
	for path := range i.marks {
		if !i.have[path] && !slices.ContainsFunc(i.kept, func(below string) bool { return strings.HasPrefix(path, below) }) {
			gone = append(gone, path)
		}
	}
	slices.Sort(gone)
	i.changed += len(gone)
	return store.RemoveAdvisories(ctx, i.store, i.source, gone)
}

// empty says that there was not a single file.
func (i *intake) empty() bool { return len(i.have) == 0 && len(i.kept) == 0 }
