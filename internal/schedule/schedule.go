// Package schedule says when something that runs at set times is due. It is pure: the run that was stored last and the
// time of now go in, whether to run and when the next one comes go out.
//
//	spec, err := schedule.Parse("0 3 * * *", "Europe/Berlin", 10*time.Minute, "acme")
//	due, slot, next := spec.Due(last, now)
//	if due {
//		run(slot) // and store slot as the last once it is done
//	}
//
// It is level-triggered: nothing is lost while nobody asks. What was missed is made up once, however many slots went by.
//
// # Daylight saving
//
// A slot is what the clock on the wall says, and each comes once: of an hour that comes twice the first counts, and what
// falls into an hour that is left out comes at the moment of the jump. The cron library reads the fields and counts on a
// clock that never jumps; what its own handling of zones answers depends on the moment from which it is asked, and it can
// lose a day (netresearch/go-cron v0.9.1: "0 0 * * *" in Australia/Lord_Howe has no 2 April 2018 when asked on the day
// before).
package schedule

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"sort"
	"strings"
	"time"

	cron "github.com/netresearch/go-cron"
)

// Spec is a schedule that was checked. Get one from Parse.
type Spec struct {
	cron   *cron.SpecSchedule // on a clock that never jumps
	zone   *time.Location
	jitter time.Duration
	seed   string
}

// longest bounds the text of a schedule.
const longest = 200

// Parse reads five fields as in a crontab (minute, hour, day of month, month, day of week; when both days are given, either
// will do), or @hourly, @daily, @weekly, @monthly, @yearly. Zone is an IANA name; empty is UTC. Each slot is put off by up
// to jitter, the same for the same slot and seed, and never as far as the next slot.
func Parse(text, zone string, jitter time.Duration, seed string) (*Spec, error) {
	loc, err := Zone(zone)
	if err != nil {
		return nil, err
	}
	if len(text) > longest {
		return nil, fmt.Errorf("a schedule has at most %d characters", longest)
	}
	if strings.Contains(text, "=") {
		return nil, errors.New("the time zone is no part of the schedule")
	}
	p, err := cron.TryNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor | cron.DowOrDom)
	if err != nil {
		return nil, err
	}
	parsed, err := p.Parse(strings.TrimSpace(text))
	if err != nil {
		return nil, err
	}
	fields, ok := parsed.(*cron.SpecSchedule)
	if !ok { // @every counts from whenever the daemon started
		return nil, fmt.Errorf("%s names no set times", text)
	}
	fields.Location = time.UTC
	s := &Spec{cron: fields, zone: loc, jitter: max(0, jitter), seed: seed}
	if fields.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("%s never comes", text)
	}
	return s, nil
}

// Zone returns the time zone of an IANA name. Empty is UTC; the machine's own zone has no name.
func Zone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, errors.New("the machine's own time zone is another on each machine")
	}
	return time.LoadLocation(name)
}

// Due tells whether a run is due now, given the slot of the last run that was stored.
//
//   - slot is the newest one that has begun, and due says that it is newer than last. Whoever runs it stores slot, so that
//     it runs once; of several that were missed only the newest is made up.
//   - A last of zero says that nothing ever ran: then nothing was missed, and nothing is due. Store slot to begin with.
//   - next is when the slot after it begins.
func (s *Spec) Due(last, now time.Time) (due bool, slot, next time.Time) {
	w := s.newest(now)
	if !w.IsZero() {
		slot = s.instant(w)
	}
	for next = slot; !next.After(slot); { // several on the wall can be one moment
		if w.IsZero() {
			w = s.wall(now).Add(-2 * day)
		}
		if w = s.cron.Next(w); w.IsZero() {
			return false, slot, time.Time{}
		}
		next = s.instant(w)
	}
	return !last.IsZero() && slot.After(last), slot, s.begins(w)
}

const day = 24 * time.Hour

// newest returns the newest slot that has begun, as the wall says it; zero when there is none in eight years.
func (s *Spec) newest(now time.Time) time.Time {
	hi := s.wall(now).Add(2 * day).Truncate(time.Minute) // no zone jumps that far: what comes after it has not begun
	begun := func(after time.Time) bool {
		w := s.cron.Next(after)
		return !w.IsZero() && !s.begins(w).After(now)
	}
	back := 4 * day
	for ; !begun(hi.Add(-back)); back *= 2 {
		if back > 8*366*day {
			return time.Time{}
		}
	}
	// The last minute of which the next slot has begun: the later the question, the later the answer.
	lo := hi.Add(-back)
	n := sort.Search(int(back/time.Minute), func(i int) bool { return !begun(lo.Add(time.Duration(i) * time.Minute)) })
	return s.cron.Next(lo.Add(time.Duration(n-1) * time.Minute))
}

// begins is when a slot's run begins: the slot and its jitter.
func (s *Spec) begins(w time.Time) time.Time {
	slot := s.instant(w)
	if s.jitter == 0 {
		return slot
	}
	room := s.jitter
	for next := w; ; {
		if next = s.cron.Next(next); next.IsZero() {
			break
		}
		if gap := s.instant(next).Sub(slot); gap > 0 {
			room = min(room, gap)
			break
		}
	}
	sum := fnv.New64a()
	_ = binary.Write(sum, binary.BigEndian, slot.Unix()) // a hash takes everything
	_, _ = sum.Write([]byte(s.seed))
	return slot.Add(time.Duration(sum.Sum64() % uint64(room))).Truncate(time.Second) // #nosec G115 -- room is above zero
}

// wall is what the clock on the wall says at a moment, as if it hung in UTC.
func (s *Spec) wall(t time.Time) time.Time {
	_, offset := t.In(s.zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// instant is the moment when the clock on the wall says w: the first one when it says so twice, and the jump when it never
// does.
func (s *Spec) instant(w time.Time) time.Time {
	t := time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), w.Second(), 0, s.zone)
	from, to := t.ZoneBounds()
	switch said := s.wall(t); {
	case said.After(w): // guessed by the offset from before the jump
		return from.UTC()
	case said.Before(w):
		return to.UTC()
	}
	if from.IsZero() {
		return t.UTC()
	}
	_, offset := from.Add(-time.Second).Zone()
	if first := w.Add(-time.Duration(offset) * time.Second); first.Before(from) && s.wall(first).Equal(w) {
		return first.UTC()
	}
	return t.UTC()
}
