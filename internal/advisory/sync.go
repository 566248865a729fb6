package advisory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/store"
)

// HeartbeatPrefix begins the name of a source's heartbeat; its name follows.
const HeartbeatPrefix = "advisories/"

// format counts how often more came to be read of a record: what was read before is then read again.
const format = 1

// cursor is what the next look goes on from.
type cursor struct {
	Format int             `json:"format"`
	Files  map[string]seen `json:"files"`
	Half   []string        `json:"half,omitempty"` // ecosystems of which not all was read
}

// look is one look at a source.
type look struct {
	b      *Book
	s      Source
	was    cursor
	next   cursor
	in     *intake // of OSV
	listed *list   // of a list that was read
	partly []error // what could not be read, the rest being there
}

// Sync looks at every source now and returns how that went. Only what changed is read and written. A source that cannot be
// read keeps what it had, and says so in its state; the error is of the store.
func (b *Book) Sync(ctx context.Context) ([]SourceState, error) {
	sources, _ := b.used()
	if err := b.forget(ctx, sources); err != nil {
		return nil, err
	}
	for _, s := range sources {
		if _, err := b.sync(ctx, s); err != nil {
			return nil, err
		}
	}
	return b.States(ctx)
}

// forget removes what sources brought that are not there any more.
func (b *Book) forget(ctx context.Context, sources []Source) error {
	b.syncing.Lock()
	defer b.syncing.Unlock()
	all, err := store.AdvisorySources(ctx, b.store.Q())
	if err != nil {
		return err
	}
	for _, had := range all {
		if slices.ContainsFunc(sources, func(s Source) bool { return s.Name == had.Name && string(s.Kind) == had.Kind }) {
			continue
		}
		if err := store.ForgetAdvisorySource(ctx, b.store, had.Name); err != nil {
			return err
		}
		if err := store.ForgetWatcher(ctx, b.store.Q(), HeartbeatPrefix+had.Name); err != nil {
			return err
		}
	}
	return nil
}

// sync looks at one source and writes down how it went; changed says that something is new.
func (b *Book) sync(ctx context.Context, s Source) (changed bool, err error) {
	b.syncing.Lock()
	defer b.syncing.Unlock()
	st, found, err := store.GetAdvisorySource(ctx, b.store.Q(), s.Name)
	if err != nil {
		return false, err
	}
	before := st.Revision
	if !found || st.Place != s.place() {
		st.Cursor = ""
	}
	st.Name, st.Kind, st.Place, st.LookedAt = s.Name, string(s.Kind), s.place(), b.store.Now()
	if err := store.SaveAdvisorySource(ctx, b.store.Q(), st); err != nil { // from here on its revision counts
		return false, err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, lookTimeout, fmt.Errorf("it took longer than %s", lookTimeout))
	problem := b.lookAt(bounded, s, &st)
	cancel()
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	st.Error = ""
	if problem != nil {
		st.Error = problem.Error()
		b.log.WarnContext(ctx, "advisories could not be read; what was known before still is", "source", s.Name, "as of", moment(st.OKAt), "error", problem)
	}
	now, _, err := store.GetAdvisorySource(ctx, b.store.Q(), s.Name)
	if err != nil {
		return false, err
	}
	if changed = now.Revision != before; changed {
		st.ChangedAt = b.store.Now()
	}
	return changed, store.SaveAdvisorySource(ctx, b.store.Q(), st)
}

// lookAt reads a source, and fills in what came of it.
func (b *Book) lookAt(ctx context.Context, s Source, st *store.AdvisorySource) error {
	l := &look{b: b, s: s, next: cursor{Format: format, Files: map[string]seen{}}}
	if err := json.Unmarshal([]byte(st.Cursor), &l.was); err != nil || l.was.Format != format {
		l.was = cursor{}
	}
	read := l.records
	if s.Kind != OSV {
		read = l.list
	}
	if err := read(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return err
	}
	if err := l.count(ctx, st); err != nil {
		return err
	}
	raw, err := json.Marshal(l.next)
	if err != nil {
		return err
	}
	st.Cursor = string(raw)
	if len(l.partly) > 0 {
		return errors.Join(l.partly...)
	}
	st.OKAt = b.store.Now()
	return nil
}

// records reads a source of OSV records.
func (l *look) records(ctx context.Context) (err error) {
	// Without a cursor, what is stored may be of another place, or read by an earlier program.
	if l.in, err = newIntake(ctx, l.b.store, l.s, l.was.Format == 0); err != nil {
		return err
	}
	from := l.fromPath
	if l.s.URL != "" {
		from = l.fromURL
	}
	if err := from(ctx); err != nil {
		return errors.Join(err, l.in.flush(context.WithoutCancel(ctx))) // what was read is read
	}
	if l.in.empty() {
		return fmt.Errorf("%s has no OSV record", l.s.place())
	}
	return l.in.end(ctx)
}

// count fills in how much there is.
func (l *look) count(ctx context.Context, st *store.AdvisorySource) (err error) {
	q := l.b.store.Q()
	if l.s.Kind == OSV {
		if st.Records, st.Broken, st.Problems, err = store.CountAdvisories(ctx, q, l.s.Name, namedBroken); err != nil {
			return err
		}
		if l.in.changed > 0 || len(st.Ecosystems) == 0 || len(l.was.Half) > 0 {
			before := st.Ecosystems
			st.Ecosystems, err = store.AdvisoryEcosystems(ctx, q, l.s.Name)
			st.Ecosystems = slices.DeleteFunc(st.Ecosystems, func(e string) bool { return l.half(e) && !slices.Contains(before, e) })
		}
		return err
	}
	if l.listed != nil { // else it is as it was
		st.Records, st.Broken, st.Problems = len(l.listed.names), l.listed.broken, l.listed.problems
		st.ListedAt = 0
		if !l.listed.at.IsZero() {
			st.ListedAt = l.listed.at.UnixMilli()
		}
	}
	return nil
}

// half says that of an ecosystem not all was read in this look. Where it never was, what is stored knows of hardly anything.
func (l *look) half(ecosystem string) bool {
	return slices.ContainsFunc(l.next.Half, func(name string) bool {
		name, _ = kept(name)
		return ecosystem == name || strings.HasPrefix(ecosystem, name+":")
	})
}

// Run looks at each source when its time has come, until ctx ends, and calls changed, which may be nil, when something new
// was found. What another replica looked at is not looked at again before its time.
func (b *Book) Run(ctx context.Context, changed func()) {
	for ctx.Err() == nil {
		sources, others := b.used()
		wait, err := b.round(ctx, sources, changed)
		if err != nil && ctx.Err() == nil {
			b.log.WarnContext(ctx, "advisories could not be looked at", "error", err)
			wait = time.Minute
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-others:
		case <-t.C:
		}
		t.Stop()
	}
}

// round looks at what is due and returns how long nothing is.
func (b *Book) round(ctx context.Context, sources []Source, changed func()) (time.Duration, error) {
	if err := b.forget(ctx, sources); err != nil {
		return 0, err
	}
	wait := defaultInterval
	var errs []error
	for _, s := range sources {
		left, news, err := b.whenDue(ctx, s)
		if news && changed != nil {
			changed()
		}
		errs = append(errs, err)
		wait = min(wait, left)
	}
	return wait, errors.Join(errs...)
}

// whenDue looks at a source if it is due, and returns when it is next.
func (b *Book) whenDue(ctx context.Context, s Source) (left time.Duration, changed bool, err error) {
	interval := s.Interval
	if interval <= 0 {
		interval = defaultInterval
	}
	st, _, err := store.GetAdvisorySource(ctx, b.store.Q(), s.Name)
	if err != nil {
		return 0, false, err
	}
	now := b.store.Now()
	if left = moment(st.LookedAt).Add(interval).Sub(moment(now)); left > 0 && left <= interval && st.Place == s.place() {
		return left, false, nil
	}
	if changed, err = b.sync(ctx, s); err != nil {
		return 0, changed, err
	}
	return interval, changed, b.beat(ctx, s.Name, now, now+interval.Milliseconds())
}

// beat records the source's heartbeat.
func (b *Book) beat(ctx context.Context, name string, now, next int64) error {
	st, _, err := store.GetAdvisorySource(ctx, b.store.Q(), name)
	if err != nil {
		return err
	}
	w := store.Watcher{Name: HeartbeatPrefix + name, LastRun: now, NextRun: next, Error: st.Error}
	if st.Error == "" {
		w.LastOK = now
	}
	return store.SaveWatcher(ctx, b.store.Q(), w)
}
