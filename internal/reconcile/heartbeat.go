package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/observe"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// The watchers whose hearts beat with the loop's. Those of discovery beat by themselves.
const (
	beatLoop      = "reconcile" // the look as a whole
	beatUpstreams = "upstreams" // digests of images that somebody else makes
	beatPackages  = "packages"  // package repositories
	beatForge     = "forge"     // what became of those who were told
	beatRefresh   = "refresh"   // the schedule of [refresh]
	beatJudge     = "advisories"
)

// outcome is what came of one look, for the heartbeats.
type outcome struct {
	at, next time.Time
	problem  error          // of the look as a whole
	world    *observe.World // what was seen in this look; nil when nothing was
	judged   error          // why new advisories are not known
	followed error          // why not everybody could be followed
	refresh  time.Time      // when the next slot comes; zero: there is no schedule
}

// beat records the heart beats, so that what stopped is seen: each watcher's last run, its last success and when it runs
// again. One that did not run in this look keeps the beat it had.
func (l *Loop) beat(ctx context.Context, c *catalog.Catalog, o outcome) error {
	ctx = context.WithoutCancel(ctx)
	return l.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		errs := []error{o.save(ctx, q, beatLoop, said(o.problem))}
		if o.world != nil {
			f := o.world.Facts
			errs = append(errs, o.save(ctx, q, beatUpstreams, blindTo(f)), o.save(ctx, q, beatPackages, staleIn(f)))
			if c.Forge.URL != "" && len(c.Applications) > 0 {
				errs = append(errs, o.save(ctx, q, beatForge, strings.Join(append(unread(f), lines(o.followed)...), "; ")))
			}
			if l.advisories != nil {
				errs = append(errs, o.save(ctx, q, beatJudge, said(o.judged)))
			}
			errs = append(errs, l.beatRefresh(ctx, q, c, o, f))
		}
		if c.Forge.URL == "" || len(c.Applications) == 0 {
			errs = append(errs, store.ForgetWatcher(ctx, q, beatForge))
		}
		if l.advisories == nil {
			errs = append(errs, store.ForgetWatcher(ctx, q, beatJudge))
		}
		return errors.Join(errs...)
	})
}

// save records a run at this look; without a problem it was a success.
func (o outcome) save(ctx context.Context, q store.Querier, name, problem string) error {
	w := store.Watcher{Name: name, LastRun: o.at.UnixMilli(), NextRun: o.next.UnixMilli(), Error: short(problem)}
	if problem == "" {
		w.LastOK = w.LastRun
	}
	return store.SaveWatcher(ctx, q, w)
}

// beatRefresh records the last slot that was taken, and as its success when the last base of it was made.
func (l *Loop) beatRefresh(ctx context.Context, q store.Querier, c *catalog.Catalog, o outcome, f plan.Facts) error {
	if o.refresh.IsZero() {
		return store.ForgetWatcher(ctx, q, beatRefresh)
	}
	last, err := store.LastSlot(ctx, q, refreshSlot(c.Refresh))
	if err != nil {
		return err
	}
	all, err := store.Refreshes(ctx, q)
	if err != nil {
		return err
	}
	w := store.Watcher{Name: beatRefresh, LastRun: last, NextRun: o.refresh.UnixMilli()}
	due := 0
	for _, name := range slices.Sorted(maps.Keys(f.Bases)) {
		if r, b := all[name], f.Bases[name]; r.Due() {
			due++
			if b.Refresh != nil && b.Refresh.Failed != nil {
				w.Error = short(join(w.Error, name+": "+b.Refresh.Failed.Reason))
			}
		} else {
			w.LastOK = max(w.LastOK, r.DoneAt)
		}
	}
	if due > 0 {
		w.LastOK = 0 // it keeps the one before
	}
	return store.SaveWatcher(ctx, q, w)
}

// blindTo names the upstream images that could not be seen.
func blindTo(f plan.Facts) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(f.Upstreams)) {
		if u := f.Upstreams[name]; u.Unknown != "" {
			out = append(out, name+": "+u.Unknown)
		}
	}
	return strings.Join(out, "; ")
}

// staleIn names what is wrong with package repositories, each thing once with the first base that it concerns.
func staleIn(f plan.Facts) string {
	of := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(f.Bases)) {
		if s := f.Bases[name].Stale; s != "" {
			of[s] = append(of[s], name)
		}
	}
	var out []string
	for _, s := range slices.Sorted(maps.Keys(of)) {
		bases := of[s][0]
		if n := len(of[s]) - 1; n > 0 {
			bases += fmt.Sprintf(" and %d more", n)
		}
		out = append(out, s+" (for "+bases+")")
	}
	return strings.Join(out, "; ")
}

// unread names the applications whose repositories could not be read.
func unread(f plan.Facts) (out []string) {
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(f.Applications)) {
		if a := f.Applications[name]; a.Problem != "" && !seen[a.Application] {
			seen[a.Application] = true
			out = append(out, a.Application+": "+a.Problem)
		}
	}
	return out
}

func lines(err error) []string {
	if err == nil {
		return nil
	}
	return []string{said(err)}
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// short cuts a problem to what a page shows.
func short(s string) string {
	const most = 1000
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most]) + " …"
}
