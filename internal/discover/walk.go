package discover

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/notify"
	"rebuilder/internal/store"
)

const (
	maxTries  = 3                // slices that end at the same thing before it is passed over
	maxPages  = 10_000           // of one walk
	atOnce    = 50               // rows to verify that are read together
	patience  = time.Hour        // before a place is asked again that refused
	maxWait   = 24 * time.Hour   // however long somebody asks for
	busyPause = 15 * time.Minute // after a registry asked to come later, not saying when
)

// item is one repository of a page.
type item struct {
	name   string // as patterns see it; pages are worked through in its order
	listed notify.Listed
}

// found is what a look at one thing found. It is written in one transaction with the step of the walk.
type found struct {
	save   []store.Observed
	forget []string // keys of rows that are no longer looked at
	gone   []string // keys
	kept   string   // a repository that could not be looked at; its rows stay as they are
	why    string
}

// covers says that something is known of a row now.
func (f found) covers(key string) bool {
	return slices.Contains(f.forget, key) || slices.Contains(f.gone, key) || slices.ContainsFunc(f.save, func(o store.Observed) bool { return o.Key == key })
}

// walker is what differs between registries and the forge.
type walker interface {
	// page lists one page; next is "" after the last one. refused counts names that are no names.
	page(ctx context.Context, cursor string) (items []item, next string, refused int, err error)
	look(ctx context.Context, one item) (found, error)
	// verify looks at something that the lists did not have.
	verify(ctx context.Context, row store.Observed) (found, error)
	// repository is what the rows of an item are kept under.
	repository(one item) string
	// unread is the row of an item as far as it is known without a look; was is what the store has under its key, or zero.
	unread(one item, was store.Observed) store.Observed
	passing(err error) bool
}

// nowhere is where there is nothing to walk.
type nowhere struct{ err error }

func (n nowhere) page(context.Context, string) ([]item, string, int, error) { return nil, "", 0, n.err }
func (n nowhere) look(context.Context, item) (found, error)                 { return found{}, n.err }
func (n nowhere) verify(context.Context, store.Observed) (found, error)     { return found{}, n.err }
func (nowhere) repository(one item) string                                  { return one.name }
func (nowhere) unread(item, store.Observed) store.Observed                  { return store.Observed{} }
func (nowhere) passing(error) bool                                          { return false }

// pause ends a slice until a time; it is nobody's fault.
type pause struct {
	until time.Time
	why   string
}

func (p *pause) Error() string { return p.why + ", until " + p.until.UTC().Format(time.RFC3339) }

// slice is the part of a walk that one Run does.
type slice struct {
	*Discoverer
	walker
	place  place
	c      *catalog.Catalog
	judge  judge
	walk   store.Walk
	report PlaceReport
	left   int // requests
	done   int // things
	rest   *pause
}

// spend counts requests.
func (s *slice) spend(n int) {
	s.left -= n
	s.report.Requests += n
	s.walk.Requests += int64(n)
}

// visit does a slice of a place if it is due.
func (d *Discoverer) visit(ctx context.Context, c *catalog.Catalog, p place) (PlaceReport, error) {
	w, err := store.GetWalk(ctx, d.cfg.Store.Q(), p.name)
	if err != nil {
		return PlaceReport{}, err
	}
	wanted := scope(c, p)
	due := dueAt(w, wanted, c.Discovery.Interval)
	now := d.cfg.Now()
	report := PlaceReport{Place: p.name, Next: time.UnixMilli(due)}
	if now.Before(report.Next) {
		return report, d.postpone(ctx, w, due)
	}
	if w.Scope != wanted { // what was seen for something else says nothing of what there is now
		w = store.Walk{Place: w.Place, Version: w.Version, Number: w.Number, Phase: store.Complete, EndedAt: w.EndedAt, Scope: wanted}
	}
	report.Walked = true
	s := &slice{Discoverer: d, place: p, c: c, judge: judge{d.cfg.Store, knownOf(c)}, walk: w, report: report, left: p.budget}
	switch {
	case p.org == "":
		s.walker = newRegistryWalk(s)
	case d.cfg.Forge == nil:
		s.walker = nowhere{errors.New("an organization is on a forge, and the catalog has no [forge]")}
	default:
		s.walker = &forgeWalk{slice: s, host: webHost(c.Forge.URL)}
	}
	problem := s.run(ctx)
	if problem == nil && s.rest != nil && s.walk.Phase != store.Complete {
		problem = s.rest
	}
	if err := s.end(ctx, now, problem); err != nil {
		return s.report, err
	}
	return s.report, nil
}

// end records how a slice ended. Its error is ctx's or the database's.
func (s *slice) end(ctx context.Context, began time.Time, problem error) error {
	var wait *pause
	var fatal *databaseError
	now := s.cfg.Now()
	heartbeat := store.Watcher{Name: HeartbeatPrefix + s.place.name, LastRun: began.UnixMilli()}
	s.walk.NotBefore = now.Add(s.breather()).UnixMilli()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(problem, store.ErrWalkLost):
		s.report.Next = now.Add(s.cfg.Pause)
		return nil // whoever was faster writes the heartbeat
	case errors.As(problem, &fatal):
		return fatal.error
	case errors.As(problem, &wait):
		s.walk.NextAt = min(max(wait.until.UnixMilli(), now.Add(s.cfg.Pause).UnixMilli()), now.Add(maxWait).UnixMilli())
		s.walk.NotBefore = s.walk.NextAt
		heartbeat.LastOK = began.UnixMilli()
		s.report.Problem = wait.Error()
	case problem != nil && !s.passing(problem):
		s.walk.NextAt = now.Add(max(patience, s.cfg.Pause)).UnixMilli()
		heartbeat.Error, s.report.Problem = problem.Error(), problem.Error()
	case problem != nil:
		s.walk.NextAt = now.Add(s.cfg.Pause).UnixMilli()
		heartbeat.Error, s.report.Problem = problem.Error(), problem.Error()
	case s.walk.Phase == store.Complete:
		s.walk.NextAt = dueAt(s.walk, s.walk.Scope, s.c.Discovery.Interval)
		heartbeat.LastOK = began.UnixMilli()
	default: // the budget is spent
		s.walk.NextAt = now.Add(s.cfg.Pause).UnixMilli()
		heartbeat.LastOK = began.UnixMilli()
	}
	heartbeat.NextRun = s.walk.NextAt
	s.report.Next = time.UnixMilli(s.walk.NextAt)
	s.cfg.Log.InfoContext(ctx, "discovery", "place", s.place.name, "requests", s.report.Requests, "found", s.report.Found,
		"changed", s.report.Changed, "gone", s.report.Gone, "complete", s.report.Complete, "problem", s.report.Problem, "next", s.report.Next)
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		w := s.walk
		return errors.Join(store.SaveWalk(ctx, q, &w), store.SaveWatcher(ctx, q, heartbeat))
	})
	if errors.Is(err, store.ErrWalkLost) {
		return nil
	}
	return err
}

// breather is how long a place is left alone after a slice: for the whole pause when its budget was spent, for a part of the
// pause when a part was. What a change of the catalog makes due waits for that, too.
func (s *slice) breather() time.Duration {
	return min(s.cfg.Pause, s.cfg.Pause*time.Duration(s.report.Requests)/time.Duration(s.place.budget))
}

// databaseError is one of the store: the whole Run ends with it.
type databaseError struct{ error }

func (e *databaseError) Unwrap() error { return e.error }

// run walks until the budget is spent, the walk is complete, or something is wrong.
func (s *slice) run(ctx context.Context) error {
	if s.walk.Phase == store.Complete {
		s.walk = store.Walk{Place: s.walk.Place, Version: s.walk.Version, Number: s.walk.Number + 1, Phase: store.Walking,
			StartedAt: s.cfg.Now().UnixMilli(), EndedAt: s.walk.EndedAt, Scope: s.walk.Scope}
		if err := s.step(ctx, found{}); err != nil {
			return err
		}
	}
	for s.walk.Phase == store.Walking {
		if spent, err := s.onePage(ctx); spent || err != nil {
			return err
		}
	}
	for s.walk.Phase == store.Verifying {
		if spent, err := s.someRows(ctx); spent || err != nil {
			return err
		}
	}
	return nil
}

// spent says that the budget is, and that something was done with it.
func (s *slice) spent() bool { return s.left <= 0 && s.done > 0 }

// onePage looks at what is on the present page and goes on to the next one.
func (s *slice) onePage(ctx context.Context) (spent bool, err error) {
	if s.spent() {
		return true, nil
	}
	if s.walk.Pages >= maxPages {
		return false, fmt.Errorf("its list has more than %d pages: name a part of it (\"%s/team\") in [discovery]", maxPages, s.place.name)
	}
	items, next, refused, err := s.page(ctx, s.walk.Page)
	if err != nil {
		return false, s.pageFailed(ctx, err)
	}
	slices.SortFunc(items, func(a, b item) int { return strings.Compare(a.name, b.name) })
	for _, one := range items {
		if one.name <= s.walk.After {
			continue // done in an earlier slice
		}
		if s.spent() {
			return true, nil
		}
		if err := s.oneItem(ctx, one); err != nil {
			return false, err
		}
	}
	s.walk.Refused += int64(refused)
	s.walk.Page, s.walk.After = next, ""
	s.walk.Pages++
	if next == "" {
		s.walk.Phase = store.Verifying
	}
	s.done++
	return false, s.step(ctx, found{})
}

// pageFailed counts how often a page could not be read. A cursor that a registry does not know any more lets the walk begin
// at the first page again; what it has seen stays seen.
func (s *slice) pageFailed(ctx context.Context, err error) error {
	if s.ends(ctx, err) || s.walk.Page == "" {
		return err
	}
	if s.walk.Tries++; s.walk.Tries >= maxTries {
		s.walk.Page, s.walk.After, s.walk.Tries = "", "", 0
	}
	return errors.Join(err, s.save(ctx, found{}))
}

// ends says that an error ends the slice without being the fault of what was looked at.
func (s *slice) ends(ctx context.Context, err error) bool {
	var wait *pause
	var fatal *databaseError
	return ctx.Err() != nil || errors.As(err, &wait) || errors.As(err, &fatal) || errors.Is(err, store.ErrWalkLost)
}

func (s *slice) oneItem(ctx context.Context, one item) error {
	got, err := s.lookAt(ctx, one)
	switch {
	case err == nil:
	case s.ends(ctx, err):
		return err
	case s.passing(err) && s.walk.Tries+1 < maxTries:
		s.walk.Tries++
		return errors.Join(err, s.save(ctx, found{}))
	default:
		s.walk.Failed++
		if got, err = s.failed(ctx, one, err); err != nil {
			return err
		}
	}
	s.walk.After, s.walk.Tries = one.name, 0
	s.walk.Seen++
	s.done++
	return s.step(ctx, got)
}

// failed keeps what is known of an item that could not be looked at, also under another name; when that is nothing, that it
// is there.
func (s *slice) failed(ctx context.Context, one item, why error) (found, error) {
	got := found{kept: s.repository(one), why: failedLook + why.Error()}
	have, err := s.have(ctx, got.kept)
	if err != nil || slices.ContainsFunc(have, func(o store.Observed) bool { return o.GoneAt == 0 }) {
		return got, err
	}
	row := s.unread(one, store.Observed{})
	was, had, err := store.GetObserved(ctx, s.cfg.Store.Q(), row.Key)
	if err != nil {
		return got, &databaseError{err}
	}
	if had && was.GoneAt == 0 {
		row = s.unread(one, was)
	}
	got.save = []store.Observed{row}
	return got, nil
}

// lookAt looks at an item that the catalog's patterns want; of others nothing is kept.
func (s *slice) lookAt(ctx context.Context, one item) (found, error) {
	if s.wanted(one.name) {
		return s.look(ctx, one)
	}
	have, err := s.have(ctx, s.repository(one))
	if err != nil {
		return found{}, err
	}
	var got found
	for _, row := range have {
		got.forget = append(got.forget, row.Key)
	}
	return got, nil
}

func (s *slice) have(ctx context.Context, repository string) ([]store.Observed, error) {
	rows, err := store.ObservedIn(ctx, s.cfg.Store.Q(), s.place.name, repository)
	if err != nil {
		return nil, &databaseError{err}
	}
	return rows, nil
}

// wanted says what Include and Exclude say of a name. The catalog has checked the patterns.
func (s *slice) wanted(name string) bool {
	match := func(pattern string) bool { ok, err := path.Match(pattern, name); return ok && err == nil }
	d := s.c.Discovery
	return (len(d.Include) == 0 || slices.ContainsFunc(d.Include, match)) && !slices.ContainsFunc(d.Exclude, match)
}

// someRows looks at rows that this walk did not see. When there are none left, the walk is complete.
func (s *slice) someRows(ctx context.Context) (spent bool, err error) {
	rows, err := store.ObservedUnseen(ctx, s.cfg.Store.Q(), s.place.name, s.walk.Number, atOnce)
	if err != nil {
		return false, &databaseError{err}
	}
	if len(rows) == 0 {
		return false, s.complete(ctx)
	}
	for _, row := range rows {
		if s.spent() {
			return true, nil
		}
		if err := s.oneRow(ctx, row); err != nil {
			return false, err
		}
	}
	return false, nil
}

func (s *slice) oneRow(ctx context.Context, row store.Observed) error {
	got, err := s.verify(ctx, row)
	switch {
	case err == nil && got.covers(row.Key):
	case err == nil:
		got.forget = append(got.forget, row.Key) // it is another row now; the walk must not come back to this one
	case s.ends(ctx, err):
		return err
	case s.passing(err) && s.walk.Tries+1 < maxTries:
		s.walk.Tries++
		return errors.Join(err, s.save(ctx, found{}))
	default:
		s.walk.Failed++
		row.Unknown = failedLook + err.Error()
		err := s.inTx(ctx, func(ctx context.Context, q store.Querier) error {
			return store.ObservedRowKept(ctx, q, row.Key, s.walk.Number, row.Unknown)
		})
		if err != nil {
			return err
		}
	}
	s.walk.Tries = 0
	s.done++
	return s.step(ctx, got)
}

func (s *slice) complete(ctx context.Context) error {
	s.walk.Phase, s.walk.EndedAt = store.Complete, s.cfg.Now().UnixMilli()
	s.report.Complete = true
	return s.save(ctx, found{})
}

// step writes what was found and how far the walk has come. A kill before it repeats the look; one after it does not.
func (s *slice) step(ctx context.Context, got found) error {
	fresh, changed, err := s.news(ctx, got)
	if err != nil {
		return err
	}
	if err := s.save(ctx, got); err != nil {
		return err
	}
	s.report.Found += fresh
	s.report.Changed += changed
	s.report.Gone += len(got.gone)
	return nil
}

// news counts what is new or changed.
func (s *slice) news(ctx context.Context, got found) (fresh, changed int, err error) {
	for _, row := range got.save {
		was, had, err := store.GetObserved(ctx, s.cfg.Store.Q(), row.Key)
		switch {
		case err != nil:
			return 0, 0, &databaseError{err}
		case !had || was.GoneAt > 0:
			fresh++
		case was.Digest != row.Digest:
			changed++
		}
	}
	return fresh, changed, nil
}

func (s *slice) save(ctx context.Context, got found) error {
	at := s.cfg.Now().UnixMilli()
	return s.inTx(ctx, func(ctx context.Context, q store.Querier) error {
		for _, row := range got.save {
			row.Place, row.LastSeen, row.Walk = s.place.name, at, s.walk.Number
			if err := store.SaveObserved(ctx, q, row); err != nil {
				return err
			}
		}
		for _, key := range got.forget {
			if err := store.ForgetObserved(ctx, q, key); err != nil {
				return err
			}
		}
		for _, key := range got.gone {
			if err := store.ObservedGone(ctx, q, key, at); err != nil {
				return err
			}
		}
		if got.kept != "" {
			return store.ObservedKept(ctx, q, s.place.name, got.kept, s.walk.Number, got.why)
		}
		return nil
	})
}

// inTx saves the walk and what do writes together. Nobody else goes on there before the pause is over, counted from the last
// step; then whoever took it is thought dead.
func (s *slice) inTx(ctx context.Context, do func(context.Context, store.Querier) error) error {
	s.walk.NextAt = s.cfg.Now().Add(s.cfg.Pause).UnixMilli()
	s.walk.NotBefore = s.walk.NextAt
	next := s.walk
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		next = s.walk // a transaction may be run again
		if err := store.SaveWalk(ctx, q, &next); err != nil {
			return err
		}
		return do(ctx, q)
	})
	switch {
	case err == nil:
		s.walk = next
		return nil
	case errors.Is(err, store.ErrWalkLost):
		return err
	}
	return &databaseError{err}
}

// limited turns the forge's rate limit into a pause.
func limited(err error) error {
	var limit *notify.RateLimited
	if errors.As(err, &limit) {
		return &pause{limit.Until, "the forge asks to come later"}
	}
	return err
}

// reserve ends the slice after the present thing when the forge has less than half of its grant left: the rest is for pull
// requests.
func (s *slice) reserve(r notify.Rate) {
	if r.Limit > 0 && r.Remaining*2 < r.Limit && r.Reset.After(s.cfg.Now()) {
		s.left = 0
		s.rest = &pause{r.Reset, fmt.Sprintf("only %d of the %d requests that the forge grants are left, and they are for pull requests", r.Remaining, r.Limit)}
	}
}
