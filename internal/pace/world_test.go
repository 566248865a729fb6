package pace_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"rebuilder/internal/pace"
)

// world is a fleet that does what is decided, in a random order of events.
type world struct {
	*rand.Rand
	pace.Fleet
	now   time.Time
	fails float64 // the share of those who were told that fail
}

func newWorld(seed uint64) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 1)), now: noon}
	for n := range 1 + w.IntN(4) {
		r := pace.Rollout{ID: fmt.Sprintf("r%d", n), Started: w.now, Lane: pace.Lane(w.IntN(3))}
		if w.IntN(3) > 0 {
			r.Waves = []pace.Wave{{Name: "canary", Canary: true, Count: 2, Soak: time.Duration(w.IntN(100)) * time.Minute}, {Name: "30%", Share: 30, Soak: time.Minute}, {Name: "100%", Share: 100}}
		}
		all := members(1 + w.IntN(40))
		in := pace.Assign(r.Waves, all)
		for _, m := range all {
			r.Items = append(r.Items, pace.Item{Name: m.Name, Repository: fmt.Sprintf("org-%d/%s", w.IntN(2), m.Name), Wave: in[m.Name], State: pace.State(w.IntN(2))})
		}
		w.Rollouts = append(w.Rollouts, r)
	}
	w.Limits = pace.Limits{Open: w.IntN(12), Hourly: w.IntN(12), OrganizationOpen: w.IntN(8), OrganizationHourly: w.IntN(8), RepositoryOpen: w.IntN(3), Reserved: w.IntN(60)}
	if w.IntN(2) == 0 {
		w.Windows = []pace.Window{{Name: "w", From: noon.Add(time.Hour), To: noon.Add(5 * time.Hour), Spread: time.Hour}}
	}
	return w
}

// happen lets something happen: bases are finished, images arrive or do not, time goes by.
func (w *world) happen() {
	w.now = w.now.Add(time.Duration(w.IntN(40)) * time.Minute)
	for r := range w.Rollouts {
		for i := range w.Rollouts[r].Items {
			it := &w.Rollouts[r].Items[i]
			switch {
			case it.State == pace.Unready && w.IntN(3) == 0:
				it.State, it.Ready = pace.Ready, w.now
			case it.State == pace.Open && w.IntN(3) == 0:
				it.State, it.Ended = pace.Proven, w.now
				if w.Float64() < w.fails {
					it.State = pace.Failed
				}
			}
		}
	}
}

// obey tells those who may be told.
func (w *world) obey() pace.Decision {
	d := pace.Decide(w.Fleet, w.now)
	for _, g := range d.Go {
		for r := range w.Rollouts {
			for i := range w.Rollouts[r].Items {
				if it := &w.Rollouts[r].Items[i]; w.Rollouts[r].ID == g.Rollout && it.Name == g.Name {
					it.State, it.Told = pace.Open, w.now
					w.Past = append(w.Past, pace.Tell{Repository: it.Repository, Lane: g.Lane, At: w.now})
				}
			}
		}
	}
	return d
}

func (w *world) count(is func(pace.Item) bool) (n int) {
	for _, r := range w.Rollouts {
		for _, i := range r.Items {
			if is(i) {
				n++
			}
		}
	}
	return n
}

func waits(i pace.Item) bool { return i.State == pace.Ready || i.State == pace.Unready }

// within checks that no limit is passed.
func (w *world) within(t *testing.T) {
	t.Helper()
	open, hourly := map[string]int{}, map[string]int{}
	for _, r := range w.Rollouts {
		for _, i := range r.Items {
			if i.State == pace.Open {
				open[""]++
				open[i.Repository[:5]]++
				open[i.Repository]++
			}
		}
	}
	for _, p := range w.Past {
		if p.At.Add(time.Hour).After(w.now) {
			hourly[""]++
			hourly[p.Repository[:5]]++
		}
	}
	check := func(what string, n, limit int) {
		if limit > 0 && n > limit {
			t.Fatalf("%d %s, the limit is %d", n, what, limit)
		}
	}
	for whose, n := range open {
		switch len(whose) {
		case 0:
			check("open", n, w.Limits.Open)
		case 5:
			check("open of an organization", n, w.Limits.OrganizationOpen)
		default:
			check("open in a repository", n, w.Limits.RepositoryOpen)
		}
	}
	for whose, n := range hourly {
		if whose == "" {
			check("within an hour", n, w.Limits.Hourly)
		} else {
			check("within an hour of an organization", n, w.Limits.OrganizationHourly)
		}
	}
}

// Whatever happens in whatever order: no limit is passed, each that could be told and is not has a reason, and when nothing
// fails all are told in the end, what is critical and what is not.
func all(t *testing.T, seed uint64) {
	w := newWorld(seed)
	for range 3000 {
		d := w.obey()
		w.within(t)
		for _, r := range w.Rollouts {
			for _, i := range r.Items {
				if h, ok := d.Holds[pace.Ref{Rollout: r.ID, Name: i.Name}]; ok != (i.State == pace.Ready) || ok && (h.Reason == "" || h.Who == "") {
					t.Fatalf("%s of %s is %v, and waits for %+v", i.Name, r.ID, i.State, h)
				}
			}
		}
		if again := pace.Decide(w.Fleet, w.now); len(again.Go) > 0 {
			t.Fatalf("asked again at once, more may go: %+v", again.Go)
		}
		if w.count(waits) == 0 {
			return
		}
		w.happen()
	}
	t.Fatalf("%d are never told: %+v %+v", w.count(waits), w.Limits, pace.Decide(w.Fleet, w.now).Holds)
}

func FuzzAllAreTold(f *testing.F) {
	for seed := range uint64(30) {
		f.Add(seed)
	}
	f.Fuzz(all)
}

// What fails stops at the budget and those that were told by then; nobody is told of it after that.
func stops(t *testing.T, seed uint64) {
	w := newWorld(seed)
	w.fails = 0.7
	b := pace.Budget{Most: w.IntN(4)}
	if w.IntN(2) == 0 {
		b = pace.Budget{Most: w.IntN(50), Percent: true}
	}
	for i := range w.Rollouts {
		w.Rollouts[i].Budget = &b
	}
	for range 150 {
		told, failed := map[string]int{}, map[string]int{}
		for _, r := range w.Rollouts {
			for _, i := range r.Items {
				if !i.Told.IsZero() {
					told[r.ID]++
				}
				if i.State == pace.Failed {
					failed[r.ID]++
				}
			}
		}
		d := w.obey()
		for _, g := range d.Go {
			if n := failed[g.Rollout]; !b.Percent && n > b.Most || b.Percent && n*100 > b.Most*told[g.Rollout] {
				t.Fatalf("%s is told after %d of %d failed; the budget is %s", g.Name, n, told[g.Rollout], b)
			}
			if d.Halts[g.Rollout] != "" {
				t.Fatalf("%s is told of what halts", g.Name)
			}
		}
		w.happen()
	}
}

func FuzzFailuresStop(f *testing.F) {
	for seed := range uint64(30) {
		f.Add(seed)
	}
	f.Fuzz(stops)
}

// While there is always more that is critical, and always more that is not, each gets its share of a limit of an hour.
func TestNoLaneStarves(t *testing.T) {
	for limit := 2; limit <= 40; limit++ {
		for _, reserved := range []int{1, 20, 50, 99} {
			w := &world{now: noon, Fleet: pace.Fleet{Limits: pace.Limits{Hourly: limit, Reserved: reserved}}}
			told := map[pace.Lane]int{}
			for range 20 {
				w.Rollouts = nil
				for _, l := range []pace.Lane{pace.Critical, pace.Usual} {
					w.Rollouts = append(w.Rollouts, pace.Rollout{ID: fmt.Sprint(l), Lane: l, Items: many(60)})
				}
				for _, g := range w.obey().Go {
					told[g.Lane]++
				}
				w.now = w.now.Add(15 * time.Minute)
			}
			if told[pace.Critical] < 5 || told[pace.Usual] < 5 {
				t.Errorf("limit %d, reserved %d%%: %d critical and %d others in five hours", limit, reserved, told[pace.Critical], told[pace.Usual])
			}
		}
	}
}

// BenchmarkTenThousand is one decision over 10,000 applications in four waves, with windows and limits.
func BenchmarkTenThousand(b *testing.B) {
	w := &world{now: noon}
	all := members(10_000)
	in := pace.Assign(steps, all)
	r := pace.Rollout{ID: "r", Waves: steps, Budget: &pace.Budget{Most: 10, Percent: true}}
	for n, m := range all {
		i := pace.Item{Name: m.Name, Repository: fmt.Sprintf("org-%d/%s", n%20, m.Name), Wave: in[m.Name], State: pace.Ready, Ready: noon}
		if i.Wave < 2 {
			i.State, i.Told, i.Ended = pace.Proven, ago(time.Hour), ago(time.Minute)
		}
		r.Items = append(r.Items, i)
	}
	w.Fleet = pace.Fleet{Rollouts: []pace.Rollout{r}, Limits: pace.Limits{Hourly: 500, OrganizationOpen: 50, Reserved: 20},
		Windows: []pace.Window{{Name: "w", Schedule: friday, For: 60 * time.Hour, Images: []string{"app-1*"}}}}
	b.ReportAllocs()
	for b.Loop() {
		if d := pace.Decide(w.Fleet, w.now); len(d.Go) == 0 {
			b.Fatal("nobody may go")
		}
	}
}

// BenchmarkAssign puts 10,000 applications into waves.
func BenchmarkAssign(b *testing.B) {
	all := members(10_000)
	for b.Loop() {
		pace.Assign(steps, all)
	}
}
