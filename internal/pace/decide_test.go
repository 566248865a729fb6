package pace_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/pace"
	"rebuilder/internal/schedule"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) // a Friday

func ago(d time.Duration) time.Time { return noon.Add(-d) }

func ready(name string, wave int) pace.Item {
	return pace.Item{Name: name, Repository: "acme/" + name, Wave: wave, State: pace.Ready, Ready: ago(5 * time.Hour)}
}

// was is an application that was told an hour ago, and what became of it a minute later.
func was(name string, wave int, s pace.State) pace.Item {
	i := ready(name, wave)
	i.State, i.Told = s, ago(time.Hour)
	if s != pace.Open {
		i.Ended = ago(59 * time.Minute)
	}
	return i
}

func rollout(items ...pace.Item) pace.Rollout {
	return pace.Rollout{ID: "r", Lane: pace.Usual, Started: ago(6 * time.Hour), Items: items}
}

var (
	canaryFirst = []pace.Wave{{Name: "canary", Canary: true, Soak: 2 * time.Hour}, {Name: "100%", Share: 100}}
	friday      = mustParse("0 10 * * 5", "UTC") // from Friday, ten o'clock
)

func mustParse(text, zone string) *schedule.Spec {
	s, err := schedule.Parse(text, zone, 0, "")
	if err != nil {
		panic(err)
	}
	return s
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name  string
		fleet pace.Fleet
		lane  pace.Lane
		goes  string // the names, in order
		waits string // a part of why the first other one waits
		until time.Time
		halt  string
	}{
		{name: "nothing holds", fleet: pace.Fleet{Rollouts: []pace.Rollout{rollout(ready("a", 0), ready("b", 0))}}, lane: pace.Usual, goes: "a b"},
		{name: "canaries first", fleet: pace.Fleet{Rollouts: []pace.Rollout{waves(ready("a", 0), ready("b", 1))}}, lane: pace.Usual,
			goes: "a", waits: "wave 2 of 2 (100%) waits for wave 1 of 2 (canary): 1 of 1 not told yet"},
		{name: "told is not proven", fleet: pace.Fleet{Rollouts: []pace.Rollout{waves(was("a", 0, pace.Open), ready("b", 1))}}, lane: pace.Usual,
			waits: "1 of 1 told and waited for"},
		{name: "soak counts from when it was proven", fleet: pace.Fleet{Rollouts: []pace.Rollout{waves(was("a", 0, pace.Proven), ready("b", 1))}}, lane: pace.Usual,
			waits: "to soak for 2h0m0s", until: noon.Add(61 * time.Minute)},
		{name: "soaked", fleet: pace.Fleet{Rollouts: []pace.Rollout{waves(ended("a", 3*time.Hour), ready("b", 1))}}, lane: pace.Usual, goes: "b"},
		{name: "a wave that nobody of was told does not soak", fleet: pace.Fleet{Rollouts: []pace.Rollout{waves(left("a"), ready("b", 1))}}, lane: pace.Usual, goes: "b"},
		{name: "a wave whose bases are not finished holds the next", fleet: pace.Fleet{Rollouts: []pace.Rollout{waves(unready("a"), ready("b", 1))}}, lane: pace.Usual,
			waits: "1 of 1 not told yet"},
		{name: "critical waits for no wave", fleet: pace.Fleet{Rollouts: []pace.Rollout{waves(was("a", 0, pace.Open), ready("b", 1))}}, lane: pace.Critical, goes: "b"},
		{name: "paused", fleet: pace.Fleet{Rollouts: []pace.Rollout{paused(rollout(ready("a", 0)))}}, lane: pace.Usual, waits: "paused by ada"},
		{name: "critical is paused as well", fleet: pace.Fleet{Rollouts: []pace.Rollout{paused(rollout(ready("a", 0)))}}, lane: pace.Critical, waits: "paused by ada"},
		{name: "in a freeze", fleet: frozenFleet(pace.Window{Schedule: friday, For: 60 * time.Hour}), lane: pace.Usual,
			waits: `freeze "w"`, until: ago(2 * time.Hour).Add(60 * time.Hour)},
		{name: "critical waits for no freeze", fleet: frozenFleet(pace.Window{Schedule: friday, For: 60 * time.Hour}), lane: pace.Critical, goes: "a"},
		{name: "after a freeze", fleet: frozenFleet(pace.Window{Schedule: friday, For: 2 * time.Hour}), lane: pace.Usual, goes: "a"},
		{name: "spread after a freeze", fleet: frozenFleet(pace.Window{Schedule: friday, For: 2 * time.Hour, Spread: 10 * time.Hour}), lane: pace.Usual,
			waits: "one after the other"},
		{name: "a freeze for others", fleet: frozenFleet(pace.Window{Schedule: friday, For: 60 * time.Hour, Images: []string{"b*"}}), lane: pace.Usual, goes: "a"},
		{name: "a freeze for its image", fleet: frozenFleet(pace.Window{Schedule: friday, For: 60 * time.Hour, Images: []string{"a/*"}}), lane: pace.Usual, waits: "freeze"},
		{name: "a freeze for a label that it has not", fleet: frozenFleet(pace.Window{Schedule: friday, For: 60 * time.Hour, Match: map[string]string{"tier": "1"}}), lane: pace.Usual, goes: "a"},
		{name: "once", fleet: frozenFleet(pace.Window{From: ago(time.Hour), To: noon.Add(time.Hour)}), lane: pace.Usual, waits: "freeze", until: noon.Add(time.Hour)},
		{name: "not begun", fleet: frozenFleet(pace.Window{From: noon.Add(time.Minute), To: noon.Add(time.Hour)}), lane: pace.Usual, goes: "a"},
		{name: "the budget is not spent", fleet: pace.Fleet{Rollouts: []pace.Rollout{budget(pace.Budget{Most: 1}, 0, was("a", 0, pace.Failed), ready("b", 0))}}, lane: pace.Usual, goes: "b"},
		{name: "the budget is spent", fleet: pace.Fleet{Rollouts: []pace.Rollout{budget(pace.Budget{}, 0, was("a", 0, pace.Failed), ready("b", 0))}}, lane: pace.Usual,
			waits: "halts", halt: "1 of 1 told failed; the budget is 0: a: closed"},
		{name: "the budget is a share", fleet: pace.Fleet{Rollouts: []pace.Rollout{budget(pace.Budget{Most: 50, Percent: true}, 0, was("a", 0, pace.Failed), was("c", 0, pace.Open), ready("b", 0))}}, lane: pace.Usual, goes: "b"},
		{name: "nobody is left to halt for", fleet: pace.Fleet{Rollouts: []pace.Rollout{budget(pace.Budget{}, 0, was("a", 0, pace.Failed))}}, lane: pace.Usual},
		{name: "forgiven", fleet: pace.Fleet{Rollouts: []pace.Rollout{budget(pace.Budget{}, 1, was("a", 0, pace.Failed), ready("b", 0))}}, lane: pace.Usual, goes: "b"},
		{name: "critical has a budget, too", fleet: pace.Fleet{Rollouts: []pace.Rollout{budget(pace.Budget{}, 0, was("a", 0, pace.Failed), ready("b", 0))}}, lane: pace.Critical,
			waits: "halts", halt: "1 of 1 told failed"},
		{name: "open at once", fleet: pace.Fleet{Limits: pace.Limits{Open: 2}, Rollouts: []pace.Rollout{rollout(was("a", 0, pace.Open), ready("b", 0), ready("c", 0))}}, lane: pace.Usual,
			goes: "c", waits: "2 of 2 told and waited for"},
		{name: "within an hour", fleet: pace.Fleet{Limits: pace.Limits{OrganizationHourly: 1}, Past: []pace.Tell{{Repository: "acme/x", At: ago(20 * time.Minute)}}, Rollouts: []pace.Rollout{rollout(ready("b", 0))}},
			lane: pace.Usual, waits: "1 of 1 told within an hour in acme", until: noon.Add(40 * time.Minute)},
		{name: "an hour ago", fleet: pace.Fleet{Limits: pace.Limits{OrganizationHourly: 1}, Past: []pace.Tell{{Repository: "acme/x", At: ago(time.Hour)}}, Rollouts: []pace.Rollout{rollout(ready("b", 0))}},
			lane: pace.Usual, goes: "b"},
		{name: "of another organization", fleet: pace.Fleet{Limits: pace.Limits{OrganizationHourly: 1}, Past: []pace.Tell{{Repository: "other/x", At: ago(time.Minute)}}, Rollouts: []pace.Rollout{rollout(ready("b", 0))}},
			lane: pace.Usual, goes: "b"},
		{name: "kept for what is critical", fleet: pace.Fleet{Limits: pace.Limits{Hourly: 5, Reserved: 20}, Rollouts: []pace.Rollout{rollout(many(5)...)}}, lane: pace.Usual,
			goes: "c a d e", waits: "4 of 5 told within an hour; the rest is kept for what is critical"},
		{name: "kept from what is critical", fleet: pace.Fleet{Limits: pace.Limits{Hourly: 5, Reserved: 20}, Rollouts: []pace.Rollout{rollout(many(5)...)}}, lane: pace.Critical,
			goes: "c a d e", waits: "4 of 5 told within an hour; the rest is kept for what is not critical"},
		{name: "critical has no more than the limit", fleet: pace.Fleet{Limits: pace.Limits{Open: 1}, Rollouts: []pace.Rollout{rollout(was("a", 0, pace.Open), ready("b", 0))}}, lane: pace.Critical,
			waits: "1 of 1 told and waited for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.fleet.Rollouts[0].Lane = c.lane
			d := pace.Decide(c.fleet, noon)
			var goes []string
			for _, g := range d.Go {
				goes = append(goes, g.Name)
			}
			if got := strings.Join(goes, " "); got != c.goes {
				t.Errorf("%q may go, want %q", got, c.goes)
			}
			if h := d.Halts["r"]; !strings.HasPrefix(h, c.halt) || c.halt == "" && h != "" {
				t.Errorf("halts for %q, want %q", h, c.halt)
			}
			if c.waits == "" != (len(d.Holds) == 0) {
				t.Fatalf("holds %v, want %q", d.Holds, c.waits)
			}
			for ref, h := range d.Holds {
				if !strings.Contains(h.Reason, c.waits) || h.Who == "" {
					t.Errorf("%s waits for %+v, want %q", ref.Name, h, c.waits)
				}
				if !c.until.IsZero() && (!h.Until.Equal(c.until) || !d.Next.Equal(c.until)) {
					t.Errorf("until %s, next %s, want %s", h.Until, d.Next, c.until)
				}
			}
		})
	}
}

func waves(items ...pace.Item) pace.Rollout {
	r := rollout(items...)
	r.Waves = canaryFirst
	return r
}

func paused(r pace.Rollout) pace.Rollout {
	r.Held = &pace.Hold{Reason: "paused by ada", Since: ago(time.Hour), Who: pace.Operator}
	return r
}

func budget(b pace.Budget, forgiven int, items ...pace.Item) pace.Rollout {
	r := rollout(items...)
	r.Budget, r.Forgiven = &b, forgiven
	for i := range r.Items {
		if r.Items[i].State == pace.Failed {
			r.Items[i].Why = "closed"
		}
	}
	return r
}

func frozenFleet(w pace.Window) pace.Fleet {
	w.Name = "w"
	i := ready("a", 0)
	i.Images = []string{"a/api"}
	return pace.Fleet{Windows: []pace.Window{w}, Rollouts: []pace.Rollout{rollout(i)}}
}

func ended(name string, before time.Duration) pace.Item {
	i := was(name, 0, pace.Proven)
	i.Ended = ago(before)
	return i
}

func left(name string) pace.Item { i := ready(name, 0); i.State = pace.Left; return i }

func unready(name string) pace.Item { i := ready(name, 0); i.State = pace.Unready; return i }

func many(n int) []pace.Item {
	var out []pace.Item
	for i := range n {
		out = append(out, ready(string(rune('a'+i)), 0))
	}
	return out
}

// One canary that nobody merges holds the fleet no longer than the catalog says, if another one is proven.
func TestAWaveThatNobodyFinishesIsLeftBehind(t *testing.T) {
	r := waves(was("a", 0, pace.Proven), was("b", 0, pace.Open), ready("c", 1))
	r.Waves = slices.Clone(r.Waves)
	r.Waves[0].Within, r.Waves[0].Soak = 3*time.Hour, 0
	d := pace.Decide(pace.Fleet{Rollouts: []pace.Rollout{r}}, noon)
	if h := d.Holds[pace.Ref{Rollout: "r", Name: "c"}]; !h.Until.Equal(noon.Add(2*time.Hour)) || !strings.Contains(h.Reason, "1 of 2 told and waited for") {
		t.Errorf("%+v", h)
	}
	if d := pace.Decide(pace.Fleet{Rollouts: []pace.Rollout{r}}, noon.Add(2*time.Hour)); len(d.Go) != 1 {
		t.Errorf("%+v", d.Holds)
	}
	r.Items[0].State = pace.Failed
	if d := pace.Decide(pace.Fleet{Rollouts: []pace.Rollout{r}}, noon.Add(200*time.Hour)); len(d.Go) != 0 {
		t.Error("it goes on though nobody is proven")
	}
}

// Those that a freeze held are not told at the same moment, and those that came later do not wait for them.
func TestSpread(t *testing.T) {
	w := pace.Window{Name: "w", From: ago(3 * time.Hour), To: noon, Spread: time.Hour}
	var items []pace.Item
	for _, i := range members(600) {
		items = append(items, ready(i.Name, 0))
	}
	told := 0
	for m := range 61 {
		now := noon.Add(time.Duration(m) * time.Minute)
		d := pace.Decide(pace.Fleet{Windows: []pace.Window{w}, Rollouts: []pace.Rollout{rollout(items...)}}, now)
		if n := len(d.Go) - told; n > 40 {
			t.Errorf("%d are told in one minute", n)
		}
		told = len(d.Go)
	}
	if told != len(items) {
		t.Errorf("%d of %d are told after the hour", told, len(items))
	}
	late := ready("late", 0)
	late.Ready = noon.Add(time.Second)
	if d := pace.Decide(pace.Fleet{Windows: []pace.Window{w}, Rollouts: []pace.Rollout{rollout(late)}}, noon.Add(time.Second)); len(d.Go) != 1 {
		t.Errorf("%+v", d.Holds)
	}
}

// A weekend is one in its own time zone, also when clocks are put back in it.
func TestZones(t *testing.T) {
	berlin := mustParse("0 22 * * 6", "Europe/Berlin") // Saturday, 24 October 2026: clocks go back that night
	w := pace.Window{Name: "w", Schedule: berlin, For: 5 * time.Hour}
	at := func(hour int) bool {
		_, _, frozen := w.Frozen(ready("a", 0), time.Time{}, time.Date(2026, 10, 24, hour, 0, 0, 0, time.UTC))
		return frozen
	}
	for hour, want := range map[int]bool{19: false, 20: true, 24: true, 25: false} {
		if at(hour) != want {
			t.Errorf("at %d:00 UTC: %v", hour, !want)
		}
	}
}

func TestOrder(t *testing.T) {
	older, younger, urgent := rollout(ready("a", 0)), rollout(ready("b", 0)), rollout(ready("c", 0))
	older.ID, younger.ID, urgent.ID = "r2", "r1", "r3"
	younger.Started, urgent.Started = ago(time.Hour), ago(time.Minute)
	urgent.Lane = pace.Security
	d := pace.Decide(pace.Fleet{Rollouts: []pace.Rollout{younger, older, urgent}}, noon)
	if len(d.Go) != 3 || d.Go[0].Name != "c" || d.Go[1].Name != "a" || d.Go[2].Name != "b" {
		t.Errorf("%+v", d.Go)
	}
}
