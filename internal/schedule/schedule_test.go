package schedule

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func parse(t testing.TB, text, zone string, jitter time.Duration) *Spec {
	t.Helper()
	s, err := Parse(text, zone, jitter, "acme")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	if text == "" {
		return time.Time{}
	}
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDue(t *testing.T) {
	for _, c := range []struct {
		name, cron, zone, last, now string
		due                         bool
		slot, next                  string
	}{
		{"never ran: nothing was missed", "0 3 * * *", "", "", "2026-11-21T12:00:00Z", false, "2026-11-21T03:00:00Z", "2026-11-22T03:00:00Z"},
		{"before the slot", "0 3 * * *", "", "2026-11-20T03:00:00Z", "2026-11-21T02:59:59Z", false, "2026-11-20T03:00:00Z", "2026-11-21T03:00:00Z"},
		{"on the slot", "0 3 * * *", "", "2026-11-20T03:00:00Z", "2026-11-21T03:00:00Z", true, "2026-11-21T03:00:00Z", "2026-11-22T03:00:00Z"},
		{"after it", "0 3 * * *", "", "2026-11-20T03:00:00Z", "2026-11-21T23:00:00Z", true, "2026-11-21T03:00:00Z", "2026-11-22T03:00:00Z"},
		{"ran already", "0 3 * * *", "", "2026-11-21T03:00:00Z", "2026-11-21T23:00:00Z", false, "2026-11-21T03:00:00Z", "2026-11-22T03:00:00Z"},
		{"a year was missed: made up once", "0 3 * * *", "", "2025-11-21T03:00:00Z", "2026-11-21T12:00:00Z", true, "2026-11-21T03:00:00Z", "2026-11-22T03:00:00Z"},
		{"the clock was put back", "0 3 * * *", "", "2026-11-21T03:00:00Z", "2026-11-20T12:00:00Z", false, "2026-11-20T03:00:00Z", "2026-11-21T03:00:00Z"},
		{"@daily", "@daily", "", "2026-11-20T00:00:00Z", "2026-11-21T00:00:01Z", true, "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"},
		{"a zone", "0 3 * * *", "Asia/Tokyo", "2026-11-19T18:00:00Z", "2026-11-20T18:00:00Z", true, "2026-11-20T18:00:00Z", "2026-11-21T18:00:00Z"},
		{"once in years", "0 0 29 2 *", "", "2024-02-29T00:00:00Z", "2026-11-21T00:00:00Z", false, "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"either day will do", "0 0 1 * 1", "", "2026-11-16T00:00:00Z", "2026-11-24T00:00:00Z", true, "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"},
		{"left out: at the jump", "30 2 * * *", "America/New_York", "2026-03-07T07:30:00Z", "2026-03-08T07:00:00Z", true, "2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"},
		{"left out: not before the jump", "30 2 * * *", "America/New_York", "2026-03-07T07:30:00Z", "2026-03-08T06:59:59Z", false, "2026-03-07T07:30:00Z", "2026-03-08T07:00:00Z"},
		{"left out, asked from within the hour after", "30 2 * * *", "America/New_York", "2026-03-08T07:00:00Z", "2026-03-08T07:10:00Z", false, "2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"},
		{"left out with all its quarters: once", "*/15 2 * * *", "Europe/Berlin", "2026-03-28T01:45:00Z", "2026-03-29T01:00:00Z", true, "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"},
		{"twice: the first", "30 1 * * *", "America/New_York", "2026-10-31T05:30:00Z", "2026-11-01T05:30:00Z", true, "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"},
		{"twice: not the second", "30 1 * * *", "America/New_York", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", false, "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"},
		{"half an hour back", "0 0 * * *", "Australia/Lord_Howe", "2018-03-31T13:00:00Z", "2018-04-01T13:30:00Z", true, "2018-04-01T13:30:00Z", "2018-04-02T13:30:00Z"},
		{"midnight that is not there", "0 0 * * *", "Asia/Beirut", "2018-03-23T22:00:00Z", "2018-03-24T22:00:00Z", true, "2018-03-24T22:00:00Z", "2018-03-25T21:00:00Z"},
		{"a day that is not there", "0 12 * * *", "Pacific/Apia", "2011-12-29T22:00:00Z", "2011-12-30T12:00:00Z", true, "2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			due, slot, next := parse(t, c.cron, c.zone, 0).Due(at(t, c.last), at(t, c.now))
			if due != c.due || !slot.Equal(at(t, c.slot)) || !next.Equal(at(t, c.next)) {
				t.Errorf("%v %s %s, want %v %s %s", due, slot, next, c.due, c.slot, c.next)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, cron, zone, says string }{
		{"empty", "", "", "empty"},
		{"six fields", "0 0 3 * * *", "", "5 fields"},
		{"words", "every night", "", "fields"},
		{"out of range", "0 25 * * *", "", "25"},
		{"never", "0 0 30 2 *", "", "never comes"},
		{"from the start of the daemon", "@every 1h", "", "no set times"},
		{"not known", "@nightly", "", "@nightly"},
		{"its own zone", "CRON_TZ=Asia/Tokyo 0 3 * * *", "", "time zone is no part"},
		{"no such zone", "0 3 * * *", "Europe/Bonn", "Bonn"},
		{"the machine's zone", "0 3 * * *", "Local", "own time zone"},
		{"too long", "0 3 * * " + strings.Repeat("1,", 200) + "1", "", "at most"},
	} {
		if _, err := Parse(c.cron, c.zone, 0, ""); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
}

func TestJitter(t *testing.T) {
	now := at(t, "2026-11-21T12:00:00Z")
	seen := map[time.Duration]bool{}
	for _, seed := range []string{"a", "b", "c", "d", "e", "f"} {
		s, err := Parse("0 3 * * *", "", 10*time.Minute, seed)
		if err != nil {
			t.Fatal(err)
		}
		_, slot, next := s.Due(now, now)
		late := next.Sub(slot.Add(day))
		if late < 0 || late >= 10*time.Minute {
			t.Errorf("%s: %s late", seed, late)
		}
		if _, _, again := s.Due(now, next.Add(-time.Second)); !again.Equal(next) {
			t.Errorf("%s: %s, then %s", seed, next, again)
		}
		seen[late] = true
	}
	if len(seen) < 3 {
		t.Errorf("all alike: %v", seen)
	}
}

var hard = []string{"America/New_York", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Beirut", "Pacific/Apia", "UTC"}

// Whoever asks every few minutes runs each slot once and in order, and sees the same slots as one who asks at other times.
func TestEachSlotRunsOnceAndNoneIsLost(t *testing.T) {
	for _, zone := range hard {
		for _, text := range []string{"30 2 * * *", "0 0 * * *", "45 1 * * 0", "0 * * * *"} {
			t.Run(zone+" "+text, func(t *testing.T) {
				t.Parallel()
				s := parse(t, text, zone, 7*time.Minute)
				for _, begin := range jumps {
					end := begin.AddDate(0, 0, 9)
					a, b := runs(t, s, begin, end, 97*time.Minute), runs(t, s, begin, end, 131*time.Minute+13*time.Second)
					if text == "0 * * * *" {
						continue // who asks less often than that makes up the newest only
					}
					if !slices.Equal(a, b) {
						t.Errorf("from %s: %v\n%v", begin, a, b)
					}
					if text != "45 1 * * 0" && (len(a) < 8 || len(a) > 10) {
						t.Errorf("%d runs in nine days: %v", len(a), a)
					}
				}
			})
		}
	}
}

// jumps are when days begin in which zones jump: most in March and the autumn of 2018, Apia over a whole day in 2011.
var jumps = []time.Time{time.Date(2018, 3, 5, 12, 0, 0, 0, time.UTC), time.Date(2018, 3, 23, 12, 0, 0, 0, time.UTC), time.Date(2018, 10, 28, 12, 0, 0, 0, time.UTC),
	time.Date(2011, 12, 25, 12, 0, 0, 0, time.UTC)}

func runs(t *testing.T, s *Spec, begin, end time.Time, every time.Duration) (slots []int64) {
	t.Helper()
	_, last, next := s.Due(time.Time{}, begin)
	for now := begin; !now.After(end); now = now.Add(every) {
		if left := end.Sub(now); left > 0 && left < every {
			every = left // the last question is the same for all
		}
		due, slot, after := s.Due(last, now)
		switch {
		case !after.After(now):
			t.Fatalf("at %s the next is %s", now, after)
		case due && next.After(now), !due && !next.After(now):
			t.Fatalf("at %s due is %v, and %s was said before", now, due, next)
		case due && !slot.After(last):
			t.Fatalf("%s ran after %s", slot, last)
		}
		if due {
			slots, last = append(slots, slot.Unix()), slot
		}
		next = after
	}
	return slots
}

// FuzzDue holds any schedule at any moment to what Due promises.
func FuzzDue(f *testing.F) {
	for i, text := range []string{"0 3 * * *", "*/7 1-3 * * *", "@weekly", "0 0 29 2 *", "59 23 31 12 *", "* * * * *", "15 2,3 1 * 1"} {
		f.Add(text, uint8(i), int64(1521950000+i*86400*30), int64(i*1000))
	}
	f.Fuzz(func(t *testing.T, text string, zone uint8, unix, ago int64) {
		s, err := Parse(text, hard[int(zone)%len(hard)], time.Duration(ago%1000)*time.Second, text)
		if err != nil {
			return
		}
		now := time.Unix(((unix%4e9)+4e9)%4e9, 0) // till 2096
		last := now.Add(-time.Duration(ago%1e8) * time.Second)
		due, slot, next := s.Due(last, now)
		if slot.After(now) || !next.IsZero() && !next.After(now) || due != slot.After(last) {
			t.Fatalf("%q: last %s now %s: %v %s %s", text, last, now, due, slot, next)
		}
		if again, _, _ := s.Due(slot, now); again {
			t.Fatalf("%q: %s runs twice at %s", text, slot, now)
		}
		if next.IsZero() {
			return
		}
		if early, same, _ := s.Due(slot, next.Add(-time.Second)); early || !same.Equal(slot) {
			t.Fatalf("%q: a second before %s it is due: %v %s", text, next, early, same)
		}
		if !slot.IsZero() {
			if then, newer, _ := s.Due(slot, next); !then || !newer.After(slot) {
				t.Fatalf("%q: nothing is due at %s: %s", text, next, newer)
			}
		}
	})
}
