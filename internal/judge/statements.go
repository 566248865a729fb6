package judge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"rebuilder/internal/advisory"
	"rebuilder/internal/catalog"
	"rebuilder/internal/export"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

const (
	maxVEX      = 32 << 20    // bytes of a document
	vexPatience = time.Minute // of reading one
	vexDue      = time.Minute // how often it is looked whether one is due
	maxWrong    = 3           // of what is wrong in a document that are told
)

// VEX reads what others say of vulnerabilities: the OpenVEX documents of the catalog's [[advisories]] and those that were
// imported. It implements Statements, and is safe for concurrent use.
//
// A document that cannot be read anew counts as it was. One that never could be, and what is wrong in one, is said with every
// verdict.
type VEX struct {
	Store   *store.Store
	Catalog func() *catalog.Catalog
	Client  *http.Client // nil: one that repeats what fails
	Now     func() time.Time
	Log     *slog.Logger // nil: nothing is logged

	reading sync.Mutex // one look at a time

	mu       sync.Mutex
	of       *catalog.Catalog // documents are read as of this one: it says which images there are
	sources  map[string]*vexSource
	imported map[string]*vexDocument // by id
	all      []policy.Statement      // of all documents; nil: to be gathered anew
}

// vexDocument is a document and what was read of it.
type vexDocument struct {
	name       string // as messages call it
	version    int64  // of an imported one
	at         int64  // when that was
	raw        []byte
	statements []policy.Statement
	problem    string // what is wrong in it, the rest being read
}

// vexSource is a document of the catalog.
type vexSource struct {
	catalog.AdvisorySource
	vexDocument
	file                advisory.Document
	looked, ok, changed time.Time
	err                 error // why the last look failed
}

// VEXState is how reading a source of statements went.
type VEXState struct {
	Name, Place               string
	LookedAt, OKAt, ChangedAt time.Time // zero: never
	Statements                int
	Problem                   string // what is wrong in it; the rest counts
	Error                     string // why the last look failed; what was known before still is
}

// Statements implements Statements. The first call reads what was never looked at; Run reads it again.
func (v *VEX) Statements(ctx context.Context) (all []policy.Statement, problems []string) {
	v.lookAt(ctx, func(s *vexSource) bool { return s.looked.IsZero() })
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.readImported(ctx); err != nil {
		problems = append(problems, "the imported statements could not be read: "+err.Error())
	}
	for _, name := range slices.Sorted(maps.Keys(v.sources)) {
		switch s := v.sources[name]; {
		case s.ok.IsZero() && s.err != nil:
			problems = append(problems, fmt.Sprintf("the statements of %s could not be read: %v", name, s.err))
		case s.problem != "":
			problems = append(problems, fmt.Sprintf("not all statements of %s could be read: %s", name, s.problem))
		}
	}
	if v.all == nil {
		v.gather()
	}
	return v.all, problems
}

// gather puts the statements of all documents together.
func (v *VEX) gather() {
	v.all = []policy.Statement{}
	for _, name := range slices.Sorted(maps.Keys(v.sources)) {
		v.all = append(v.all, v.sources[name].statements...)
	}
	for _, id := range slices.Sorted(maps.Keys(v.imported)) {
		v.all = append(v.all, v.imported[id].statements...)
	}
}

// States returns how reading each source of the catalog went, by name.
func (v *VEX) States() []VEXState {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := []VEXState{}
	for _, name := range slices.Sorted(maps.Keys(v.sources)) {
		s := v.sources[name]
		state := VEXState{Name: name, Place: s.file.Place(), LookedAt: s.looked, OKAt: s.ok, ChangedAt: s.changed, Statements: len(s.statements), Problem: s.problem}
		if s.err != nil {
			state.Error = s.err.Error()
		}
		out = append(out, state)
	}
	return out
}

// VEXHeartbeats begins the names of the sources' heartbeats; the source's name follows.
const VEXHeartbeats = "statements/"

// Run reads each source again when its time has come, until ctx ends, and calls changed when one is another.
func (v *VEX) Run(ctx context.Context, changed func()) {
	t := time.NewTicker(vexDue)
	defer t.Stop()
	for {
		if v.Look(ctx) {
			changed()
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Look reads each source whose time has come, and says whether one is another.
func (v *VEX) Look(ctx context.Context) (changed bool) {
	now := v.Now()
	changed = v.lookAt(ctx, func(s *vexSource) bool { return !now.Before(s.looked.Add(s.Interval)) })
	if err := v.forget(ctx); err != nil && ctx.Err() == nil {
		v.logger().Warn("heartbeats of statements could not be removed", "error", err)
	}
	return changed
}

// forget removes the heartbeats of sources that are not in the catalog any more.
func (v *VEX) forget(ctx context.Context) error {
	beating, err := store.Watchers(ctx, v.Store.Q())
	for _, w := range beating {
		name, ours := strings.CutPrefix(w.Name, VEXHeartbeats)
		v.mu.Lock()
		gone := ours && v.sources[name] == nil
		v.mu.Unlock()
		if gone {
			err = errors.Join(err, store.ForgetWatcher(ctx, v.Store.Q(), w.Name))
		}
	}
	return err
}

// lookAt reads those sources which are due, and says whether one is another.
func (v *VEX) lookAt(ctx context.Context, due func(*vexSource) bool) (changed bool) {
	for _, s := range v.due(due) {
		changed = v.look(ctx, s) || changed
	}
	return changed
}

// due are the sources that are due, as of the catalog of now.
func (v *VEX) due(which func(*vexSource) bool) (out []*vexSource) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.follow()
	for _, name := range slices.Sorted(maps.Keys(v.sources)) {
		if s := v.sources[name]; which(s) {
			out = append(out, s)
		}
	}
	return out
}

// follow takes over what a changed catalog says: of its sources, and of its images, which documents are about.
func (v *VEX) follow() {
	c := v.Catalog()
	if c == v.of {
		return
	}
	v.of, v.all = c, nil
	was := v.sources
	v.sources = map[string]*vexSource{}
	for _, a := range c.Advisories {
		if a.Kind != catalog.OpenVEX {
			continue
		}
		s := was[a.Name]
		if s == nil || s.Path != a.Path || s.URL != a.URL {
			s = &vexSource{file: advisory.Document{Path: a.Path, URL: a.URL, Limit: maxVEX, Client: v.Client}}
		}
		s.AdvisorySource, s.name = a, a.Name
		v.sources[a.Name] = s
	}
	for _, s := range v.sources {
		s.parse(c)
	}
	for _, d := range v.imported {
		d.parse(c)
	}
}

// look reads a source again, and says whether it is another.
func (v *VEX) look(ctx context.Context, s *vexSource) (changed bool) {
	v.reading.Lock()
	defer v.reading.Unlock()
	bounded, cancel := context.WithTimeoutCause(ctx, vexPatience, fmt.Errorf("it took longer than %s", vexPatience))
	defer cancel()
	raw, changed, err := s.file.Read(bounded)
	if ctx.Err() != nil {
		return false
	}
	if cause := context.Cause(bounded); err != nil && cause != nil {
		err = cause
	}
	if err != nil {
		v.logger().Warn("statements could not be read; what was known before still counts", "source", s.name, "error", err)
	}
	beat := v.looked(s, raw, changed, err)
	if err := store.SaveWatcher(ctx, v.Store.Q(), beat); err != nil && ctx.Err() == nil {
		v.logger().Warn("a heartbeat could not be saved", "source", s.name, "error", err)
	}
	return changed
}

// looked takes over what was read of a source, and returns its heartbeat.
func (v *VEX) looked(s *vexSource, raw []byte, changed bool, err error) store.Watcher {
	v.mu.Lock()
	defer v.mu.Unlock()
	s.looked, s.err = v.Now().UTC(), err
	beat := store.Watcher{Name: VEXHeartbeats + s.name, LastRun: s.looked.UnixMilli(), NextRun: s.looked.Add(s.Interval).UnixMilli()}
	if err != nil {
		beat.Error = err.Error()
		return beat
	}
	s.ok, beat.LastOK = s.looked, beat.LastRun
	if changed {
		s.changed, s.raw, v.all = s.looked, raw, nil
		s.parse(v.of)
	}
	return beat
}

func (v *VEX) logger() *slog.Logger {
	if v.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return v.Log
}

// parse reads the statements of a document, as of a catalog. What is no document at all leaves it without any.
func (d *vexDocument) parse(c *catalog.Catalog) {
	if d.raw == nil {
		return
	}
	doc, err := export.ReadOpenVEX(d.name, bytes.NewReader(d.raw), ImagesAt(c))
	d.statements, d.problem = doc.Statements, ""
	if err != nil {
		d.problem = few(err)
	}
}

// few are the first lines of what may be many.
func few(err error) string {
	lines := strings.Split(err.Error(), "\n")
	if more := len(lines) - maxWrong; more > 0 {
		lines = append(lines[:maxWrong], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "; ")
}

// readImported takes over documents that were imported or removed since, by whomever.
func (v *VEX) readImported(ctx context.Context) error {
	all, err := store.ListVEX(ctx, v.Store.Q())
	if err != nil {
		return err
	}
	is := make(map[string]*vexDocument, len(all))
	for _, d := range all {
		have := v.imported[d.ID]
		if have == nil || have.version != d.Version || have.at != d.At {
			if d, err = store.GetVEX(ctx, v.Store.Q(), d.ID); errors.Is(err, store.ErrNoRows) {
				continue // removed at this moment
			} else if err != nil {
				return err
			}
			have = &vexDocument{name: d.ID, version: d.Version, at: d.At, raw: []byte(d.Body)}
			have.parse(v.of)
			v.all = nil
		}
		is[d.ID] = have
	}
	if len(is) != len(v.imported) {
		v.all = nil
	}
	v.imported = is
	return nil
}

// ImagesAt returns what says which images of a catalog are in a repository.
func ImagesAt(c *catalog.Catalog) func(repository string) []string {
	by := map[string][]string{}
	add := func(name, reference string) {
		repository := repositoryOf(reference)
		by[repository] = append(by[repository], name)
	}
	for _, u := range c.Upstreams {
		add(u.Name, u.Image)
	}
	for _, b := range c.Bases {
		add(b.Name, b.Image)
	}
	for _, a := range c.Applications {
		for _, i := range a.Images {
			add(i.Name, i.Image)
		}
	}
	return func(repository string) []string { return by[repository] }
}
